//! T30: many connections that say nothing cost little, and slow nobody down who has something to send.
//!
//! The gateway has the limits that it ships with: 10,000 connections. A client behind them is told so at once.

use crate::support::{Client, Gateway, Hop, letter};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use socket2::{Domain, Socket, Type};
use std::{
    env,
    io::{BufRead, BufReader, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    time::{Duration, Instant},
};

/// As many as the door takes.
const MOST: usize = 10_000;
/// Of those connections, these are in use.
const ACTIVE: usize = 20;
/// One after the other, by each measurement.
const LETTERS: usize = 200;

#[test]
fn idle_connections_cost_little() {
    let connections: usize = env::var("OUTGATE_IDLE").map_or(500, |idle| idle.parse().expect("a number"));
    if let Err(error) = allow_files(connections as u64 + 500) {
        println!("skipped: {connections} connections need more open files than are allowed here: {error}");
        return;
    }
    let hop = Hop::start();
    let gateway = Gateway::start(hop.address());
    let door = gateway.door();
    let unloaded = latencies(door, 0);
    let before = gateway.resident();
    let idle: Vec<TcpStream> = (0..connections - ACTIVE).map(|number| greeted(door, number)).collect();
    let resident = gateway.resident();
    let loaded = latencies(door, LETTERS);
    let refused = (connections >= MOST).then(|| {
        let _others: Vec<_> = (0..ACTIVE).map(|number| greeted(door, number)).collect();
        let asked = Instant::now();
        let error = Client::connect(door).err().expect("one more than the door takes");
        assert!(error.to_string().starts_with("421 4.7.0"), "{error}");
        asked.elapsed()
    });
    let each = resident.saturating_sub(before) / idle.len() as u64;
    println!(
        "T30 idle={} resident={} MiB ({each} bytes each) p99={:?} unloaded={:?} refused-after={refused:?}",
        idle.len(),
        resident >> 20,
        p99(&loaded),
        p99(&unloaded)
    );
    assert!(each < 20 << 10, "10,000 of them need more than 200 MiB");
    assert!(connections < MOST || resident <= 200 << 20);
    assert!(refused.is_none_or(|after| after < Duration::from_secs(1)));
    assert_eq!(hop.arrived().len(), 2 * LETTERS, "all that was sent beside them has arrived");
    drop(idle);
    crate::support::wait_for("room for another client", Duration::from_secs(10), || {
        Client::connect(door).ok().map(drop)
    });
}

/// Connected and greeted, from one of many addresses: each has only so many ports towards one door.
fn greeted(door: SocketAddr, number: usize) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let host = 2 + (number % 200) as u8;
    socket.bind(&SocketAddr::from((Ipv4Addr::new(127, 0, 0, host), 0)).into()).unwrap();
    socket.connect(&door.into()).unwrap();
    let mut stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut lines = BufReader::with_capacity(1 << 10, stream.try_clone().unwrap());
    let mut line = String::new();
    lines.read_line(&mut line).unwrap();
    assert!(line.starts_with("220"), "{line}");
    stream.write_all(b"EHLO client.ours.example\r\n").unwrap();
    loop {
        line.clear();
        lines.read_line(&mut line).unwrap();
        if line.starts_with("250 ") {
            return stream;
        }
    }
}

/// How long messages take, sent one after the other over connections that stay.
fn latencies(door: SocketAddr, from: usize) -> Vec<Duration> {
    let mut clients: Vec<_> = (0..ACTIVE).map(|_| Client::connect(door).unwrap()).collect();
    let mut taken = Vec::new();
    for number in 0..LETTERS {
        let message = letter(from + number, "The parcel is here.");
        let asked = Instant::now();
        let answer =
            clients[number % ACTIVE].send("ben.okafor@ours.example", &["claims@agency.example"], &message).unwrap();
        taken.push(asked.elapsed());
        assert!(answer.starts_with("250"), "{answer}");
    }
    taken
}

fn p99(latencies: &[Duration]) -> Duration {
    let mut sorted = latencies.to_vec();
    sorted.sort();
    sorted[sorted.len() * 99 / 100]
}

/// For this process and those that it starts.
fn allow_files(files: u64) -> rustix::io::Result<()> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current.is_none_or(|current| current >= files) {
        return Ok(());
    }
    let maximum = maximum.map(|maximum| maximum.max(files));
    setrlimit(Resource::Nofile, Rlimit { current: Some(files), maximum })
}
