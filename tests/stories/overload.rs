//! T32: more than the gateway can do. What it cannot take it refuses at once, before anything is accepted; what it takes it
//! still carries at nearly the rate of its best; nothing that got its 250 is lost.
//!
//! First as many clients as keep it busy, each with the next message when it has its answer: its best rate. Then messages
//! come by the clock, twice as many as that, whether or not those before were answered.

use crate::support::{Client, Gateway, Hop, Tried, letter, number};
use std::{
    collections::{BTreeMap, HashSet},
    env,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

const BEN: &str = "ben.okafor@ours.example";
const CLAIMS: &[&str] = &["claims@agency.example"];

/// Busy clients while the best rate is measured.
const BUSY: usize = 16;
/// Text, all of which is scanned: the gateway has more to do with it than its clients.
const BYTES: usize = 512 << 10;
/// Clients that may wait for an answer at once; beyond it they would say more about this machine than about the gateway.
const WAITING: usize = 3_000;

#[derive(Default)]
struct Seen {
    acked: Vec<usize>,
    refused: usize,
    slowest_refusal: Duration,
    /// What they were told.
    replies: BTreeMap<String, usize>,
}

#[test]
fn twice_the_load_is_carried_or_refused_at_once() {
    let long = env::var("OUTGATE_OVERLOAD").ok().map(|seconds| seconds.parse().expect("seconds"));
    let span = Duration::from_secs(long.unwrap_or(3));
    let hop = Hop::start();
    let gateway = Gateway::start(hop.address());
    let text = "The parcel is here, and so is the long list of what was in it.\r\n".repeat(BYTES / 65);
    let best = best_rate(&gateway, &text, span);
    let before = hop.arrived().len();
    let began = Instant::now();
    let seen = offered(&gateway, &text, span, 2.0 * best);
    let goodput = seen.acked.len() as f64 / began.elapsed().as_secs_f64();
    let (share, resident) = (goodput / best, gateway.resident() >> 20);
    let arrived: HashSet<usize> =
        hop.arrived()[before..].iter().filter_map(|one| number(&one.bytes)?.parse().ok()).collect();
    let lost = seen.acked.iter().filter(|number| !arrived.contains(number)).count();
    let Seen { acked, refused, slowest_refusal, replies } = seen;
    println!(
        "T32 best={best:.1}/s offered=2x goodput={goodput:.1}/s ({:.0} %) acked={} refused={refused} \
         slowest-refusal={slowest_refusal:?} lost={lost} resident={resident} MiB replies={replies:?}",
        100.0 * share,
        acked.len()
    );
    assert_eq!(lost, 0);
    assert!(slowest_refusal < Duration::from_secs(1), "{slowest_refusal:?}");
    assert!(long.is_none() || share >= 0.8, "{share}");
    let answer = crate::support::hand_in(gateway.door(), BEN, CLAIMS, &letter("after", "The parcel is here."));
    assert!(answer.starts_with("250"), "as if nothing had been: {answer}");
}

/// A client that announces more than there is room for is refused at MAIL, at once, and others with little to send go on; when
/// those that hold the room have gone, there is room again.
#[test]
fn without_memory_a_message_is_refused_before_it_comes() {
    let hop = Hop::start();
    let gateway = Gateway::start(hop.address());
    let large = format!("MAIL FROM:<{BEN}> SIZE={}", 48 << 20);
    let mut greedy = Vec::new();
    let refused = loop {
        let mut client = Client::connect(gateway.door()).unwrap();
        let asked = Instant::now();
        let answer = client.say(&large).unwrap();
        assert!(asked.elapsed() < Duration::from_secs(1));
        if !answer.starts_with("250") {
            break answer;
        }
        greedy.push(client);
        assert!(greedy.len() < 50, "the budget has no end");
    };
    assert!(refused.starts_with("452 4.3.1"), "{refused}");
    assert!((5..=10).contains(&greedy.len()), "512 MiB are {} messages of 48 MiB", greedy.len());
    let answer = crate::support::hand_in(gateway.door(), BEN, CLAIMS, &letter("small", "The parcel is here."));
    assert!(answer.starts_with("250"), "{answer}");
    drop(greedy);
    let again = crate::support::wait_for("room again", Duration::from_secs(5), || {
        let mut client = Client::connect(gateway.door()).ok()?;
        client.say(&large).ok().filter(|answer| answer.starts_with("250"))
    });
    assert!(again.starts_with("250"));
    assert_eq!(hop.with_number("small").len(), 1);
}

/// Messages a second.
fn best_rate(gateway: &Gateway, text: &str, span: Duration) -> f64 {
    let (done, next) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let began = Instant::now();
    thread::scope(|scope| {
        for _ in 0..BUSY {
            scope.spawn(|| {
                let mut client = Client::connect(gateway.door()).unwrap();
                while began.elapsed() < span {
                    let number = format!("best-{}", next.fetch_add(1, Ordering::Relaxed));
                    let answer = client.send(BEN, CLAIMS, &letter(number, text)).unwrap();
                    assert!(answer.starts_with("250"), "{answer}");
                    done.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    done.load(Ordering::Relaxed) as f64 / began.elapsed().as_secs_f64()
}

/// Messages by the clock, each over a connection of its own and tried once.
fn offered(gateway: &Gateway, text: &str, span: Duration, rate: f64) -> Seen {
    let (seen, waiting) = (Mutex::new(Seen::default()), AtomicUsize::new(0));
    let door = gateway.door();
    thread::scope(|scope| {
        let began = Instant::now();
        for number in 0.. {
            let due = Duration::from_secs_f64(number as f64 / rate);
            if due > span {
                break;
            }
            thread::sleep(due.saturating_sub(began.elapsed()));
            if waiting.fetch_add(1, Ordering::Relaxed) >= WAITING {
                waiting.fetch_sub(1, Ordering::Relaxed);
                continue;
            }
            let (seen, waiting) = (&seen, &waiting);
            scope.spawn(move || {
                offer(door, number, text, seen);
                waiting.fetch_sub(1, Ordering::Relaxed);
            });
        }
    });
    seen.into_inner().unwrap()
}

fn offer(door: std::net::SocketAddr, number: usize, text: &str, seen: &Mutex<Seen>) {
    let message = letter(number, text);
    let asked = Instant::now();
    let answer = Client::connect(door).map_err(Tried::BeforeDot).and_then(|mut client| {
        for command in [format!("MAIL FROM:<{BEN}> SIZE={}", message.len()), format!("RCPT TO:<{}>", CLAIMS[0])] {
            let asked = Instant::now();
            let answer = client.say(&command).map_err(Tried::BeforeDot)?;
            if !answer.starts_with("250") {
                return Ok((answer, asked.elapsed()));
            }
        }
        let asked = Instant::now();
        client.finish(&message).map(|answer| (answer, asked.elapsed())).map_err(Tried::AfterDot)
    });
    let mut seen = seen.lock().unwrap();
    match answer {
        Ok((answer, _)) if answer.starts_with("250") => seen.acked.push(number),
        Ok((answer, after)) => {
            assert!(answer.starts_with('4'), "{answer}");
            *seen.replies.entry(answer).or_default() += 1;
            seen.refused += 1;
            seen.slowest_refusal = seen.slowest_refusal.max(after);
        }
        // 421 instead of the banner is an error of `connect`'s.
        Err(Tried::BeforeDot(error)) if error.to_string().starts_with("421") => {
            seen.refused += 1;
            seen.slowest_refusal = seen.slowest_refusal.max(asked.elapsed());
        }
        Err(error) => panic!("number {number} was neither carried nor refused: {error:?}"),
    }
}
