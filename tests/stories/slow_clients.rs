//! T31: clients that send a byte now and then. They are closed at their limit, and nobody else waits for them.

use crate::support::{Client, Gateway, Hop, letter};
use std::{
    env,
    io::{Read, Write},
    net::TcpStream,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

const BEN: &str = "ben.okafor@ours.example";
const CLAIMS: &[&str] = &["claims@agency.example"];
/// Data must come with 500 bytes a second once this has passed.
const LIMIT: Duration = Duration::from_secs(30);
const BUSY: usize = 4;
const MEASURED: Duration = Duration::from_secs(4);

#[test]
fn slow_clients_are_closed_at_their_limit_and_nobody_waits_for_them() {
    let slow: usize = env::var("OUTGATE_SLOW").map_or(100, |slow| slow.parse().expect("a number"));
    let hop = Hop::start();
    let gateway = Gateway::start(hop.address());
    let unloaded = rate(&gateway);
    // Of each, since when it sends.
    let mut clients: Vec<_> = (0..slow).map(|_| (amid_data(&gateway), Instant::now())).collect();
    let stop = AtomicBool::new(false);
    let closed = AtomicUsize::new(0);
    let (loaded, ends) = thread::scope(|scope| {
        let (stop, closed) = (&stop, &closed);
        let slowest = scope.spawn(move || {
            let mut ends = Vec::new();
            while !clients.is_empty() && !stop.load(Ordering::Relaxed) {
                thread::sleep(Duration::from_secs(1));
                clients.retain_mut(|(client, began)| {
                    let alive = client.write_all(b"x").is_ok() && !is_closed(client);
                    if !alive {
                        ends.push(began.elapsed());
                        closed.fetch_add(1, Ordering::Relaxed);
                    }
                    alive
                });
            }
            ends
        });
        // The last of them has given its connection to the next hop back by now.
        thread::sleep(Duration::from_secs(1));
        let loaded = rate(&gateway);
        let until = Instant::now() + LIMIT + Duration::from_secs(10);
        while closed.load(Ordering::Relaxed) < slow && Instant::now() < until {
            thread::sleep(Duration::from_millis(100));
        }
        stop.store(true, Ordering::Relaxed);
        (loaded, slowest.join().expect("it ends"))
    });
    let (first, last) = (ends.iter().min().copied(), ends.iter().max().copied());
    println!(
        "T31 slow={slow} closed={} from {first:?} to {last:?} rate={loaded:.0}/s unloaded={unloaded:.0}/s ({:.0} %)",
        ends.len(),
        100.0 * loaded / unloaded
    );
    assert_eq!(ends.len(), slow, "each is closed");
    let about = LIMIT.mul_f64(0.9)..LIMIT.mul_f64(1.1) + Duration::from_secs(2);
    assert!(ends.iter().all(|end| about.contains(end)), "{first:?} {last:?}");
}

/// A client that has begun to send its message.
fn amid_data(gateway: &Gateway) -> TcpStream {
    let mut client = Client::connect(gateway.door()).expect("the door is open");
    for command in [&format!("MAIL FROM:<{BEN}>"), "RCPT TO:<claims@agency.example>", "DATA"] {
        let answer = client.say(command).expect("an answer");
        assert!(answer.starts_with(['2', '3']), "{answer}");
    }
    let stream = client.into_stream();
    stream.set_nonblocking(true).expect("a socket can be asked without waiting");
    stream
}

fn is_closed(stream: &mut TcpStream) -> bool {
    loop {
        match stream.read(&mut [0; 512]) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => return error.kind() != std::io::ErrorKind::WouldBlock,
        }
    }
}

/// Messages a second through clients that are busy.
fn rate(gateway: &Gateway) -> f64 {
    let until = Instant::now() + MEASURED;
    let sent: usize = thread::scope(|scope| {
        let clients: Vec<_> = (0..BUSY)
            .map(|_| {
                scope.spawn(move || {
                    let mut client = Client::connect(gateway.door()).expect("the door is open");
                    let mut sent = 0;
                    while Instant::now() < until {
                        let answer =
                            client.send(BEN, CLAIMS, &letter("good", "The parcel is here.")).expect("an answer");
                        assert!(answer.starts_with("250"), "{answer}");
                        sent += 1;
                    }
                    sent
                })
            })
            .collect();
        clients.into_iter().map(|client| client.join().expect("it ends")).sum()
    });
    sent as f64 / MEASURED.as_secs_f64()
}
