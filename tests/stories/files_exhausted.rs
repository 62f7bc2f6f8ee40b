//! T7: more clients than there are file descriptors. Who is refused hears it at once, who is in is served, and the
//! service is back as soon as they leave.

use crate::support::{Client, Gateway, Hop, Setup, letter, wait_for};
use std::{
    io::{BufRead, BufReader},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

const FROM: &str = "ben.okafor@ours.example";
const TO: &[&str] = &["claims@agency.example"];
const PLAIN: &str = "The parcel is here.";

/// The banner, and how long it took.
fn knock(door: SocketAddr) -> Option<(TcpStream, String, Duration)> {
    let asked = Instant::now();
    let stream = TcpStream::connect_timeout(&door, Duration::from_secs(5)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(30))).ok()?;
    let mut banner = String::new();
    BufReader::new(&stream).read_line(&mut banner).ok()?;
    Some((stream, banner, asked.elapsed()))
}

#[test]
fn more_clients_than_file_descriptors_are_told_to_come_again() {
    let hop = Hop::start();
    let under = ["prlimit", "--nofile=256:256"].map(String::from).into();
    let gateway = Gateway::with(hop.address(), Setup { under, ..Setup::default() });
    let door = gateway.door();
    let mut first = Client::connect(door).expect("the door is open");
    let knocked: Vec<_> = (0..400).filter_map(|_| knock(door)).collect();
    let refused = knocked.iter().filter(|(_, banner, _)| banner.starts_with("421"));
    let worst = knocked.iter().map(|(.., took)| *took).max().unwrap_or_default();
    let (all, refused) = (knocked.len(), refused.count());
    for (number, text) in [(1, PLAIN), (2, "Her NI number is QQ 12 34 56 C.")] {
        let answer = first.send(FROM, TO, &letter(number, text)).expect("an answer");
        assert!(answer.starts_with("250"), "who was in is served: {answer}");
    }
    drop(knocked);
    let left = Instant::now();
    wait_for("service for all", Duration::from_secs(5), || {
        let mut client = Client::connect(door).ok()?;
        client.send(FROM, TO, &letter(3, PLAIN)).ok().filter(|answer| answer.starts_with("250"))
    });
    println!("T7 clients={all} of 400 answered, refused={refused}, slowest {worst:?}, back after {:?}", left.elapsed());
    assert_eq!(all, 400, "each had an answer");
    assert!((200..=300).contains(&refused), "{refused}");
    assert!(worst < Duration::from_secs(1), "{worst:?}");
}
