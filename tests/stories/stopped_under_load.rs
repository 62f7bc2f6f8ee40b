//! SIGTERM under load: what was accepted is finished, a transaction in hand gets its answer, and the gateway ends with
//! success within 30 seconds.

use crate::support::{Client, Gateway, Hop, Tried, letter};
use std::{
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

const BEN: &str = "ben.okafor@ours.example";
const CLAIMS: &[&str] = &["claims@agency.example"];

#[test]
fn accepted_work_is_finished() {
    let hop = Hop::start();
    let gateway = Gateway::start(hop.address());
    let (next, acked) = (AtomicU64::new(0), Mutex::new(Vec::new()));
    let door = gateway.door();
    let (status, took) = thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut client = Client::connect(door).unwrap();
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    match client.send(BEN, CLAIMS, &letter(number, "The parcel is here.")) {
                        Ok(answer) if answer.starts_with("250") => acked.lock().unwrap().push(number),
                        Ok(answer) => assert!(answer.starts_with('4'), "{answer}"),
                        Err(Tried::BeforeDot(_)) => return,
                        Err(Tried::AfterDot(error)) => panic!("a message in hand was not answered: {error}"),
                    }
                }
            });
        }
        // One whose hop takes its time, and one in the midst of its message.
        let mut slow = Client::connect(door).unwrap();
        for command in ["MAIL FROM:<ben.okafor@ours.example>", "RCPT TO:<claims@agency.example>", "DATA"] {
            slow.say(command).unwrap();
        }
        let message = letter("slow", "The parcel is here.");
        let (head, rest) = message.split_at(message.len() / 2);
        slow.write(head).unwrap();
        thread::sleep(Duration::from_millis(700));
        let stopping = scope.spawn(|| gateway.terminate());
        thread::sleep(Duration::from_millis(700));
        hop.change(|manner| manner.late = Some((1, Duration::from_secs(1))));
        slow.write(rest).unwrap();
        slow.write(b".\r\n").unwrap();
        let answer = slow.answer().unwrap();
        assert!(answer.starts_with("250"), "{answer}");
        drop(slow);
        stopping.join().unwrap()
    });
    assert!(status.success(), "{status}\n{}", gateway.log());
    assert!(took < Duration::from_secs(30), "{took:?}");
    assert!(Client::connect(door).is_err(), "the door is closed");
    let acked = acked.into_inner().unwrap();
    let arrived: Vec<_> = hop.arrived().iter().filter_map(|mail| crate::support::number(&mail.bytes)).collect();
    let lost = acked.iter().filter(|number| !arrived.contains(&number.to_string())).count();
    println!("SIGTERM under load: acked={} lost={lost}, ended after {took:?}", acked.len());
    assert_eq!(lost, 0);
    assert_eq!(hop.with_number("slow").len(), 1);
    gateway.launch();
    assert!(gateway.health("/readyz").starts_with("HTTP/1.1 200"));
    gateway.done(&["audit", "verify"]);
}
