//! T1: killed before each system call that a message needs, one after the other: what it reads from the client, what it writes
//! to the next hop and to the disk, each sync. T4: each call to the disk fails instead. The client tries again until it has its
//! 250; then the message is at the hop or is one case.

use crate::support::{Gateway, Hop, Strace, Tally, insist};
use std::{env, fmt::Display, thread, time::Duration};

/// What a message is made of, as the kernel sees it.
const CALLS: &[&str] = &["recvfrom", "sendto", "writev", "pwrite64", "fsync", "fdatasync", "rename", "unlink"];
/// Those that reach the disk, and how each may fail.
const TO_THE_DISK: &[&str] = &["openat", "pwrite64", "fsync", "fdatasync", "rename", "unlink"];
const FAILS: &[&str] = &["EIO", "ENOSPC", "EDQUOT"];
/// Without the long form every so-manieth step is tried; of a disk's failures the first step and the first way to fail.
const EVERY: usize = 4;
/// More than any thread makes of one kind for one message.
const MOST: usize = 60;

#[test]
fn killed_before_each_call_nothing_is_lost() {
    let faults: Vec<_> = CALLS.iter().map(|call| format!("{call}:signal=SIGKILL")).collect();
    let (kills, tally) = at_each_step(&faults, EVERY);
    println!("T1 killed before a call={kills} {tally}");
    assert!(kills >= 20, "the steps of a message");
}

#[test]
fn whichever_call_to_the_disk_fails_nothing_is_lost() {
    let fails = if is_long() { FAILS } else { &FAILS[..1] };
    let faults: Vec<_> =
        TO_THE_DISK.iter().flat_map(|call| fails.iter().map(move |error| format!("{call}:error={error}"))).collect();
    let (felt, tally) = at_each_step(&faults, MOST);
    println!("T4 calls to the disk that failed and were felt={felt} {tally}");
    assert!(felt >= 5, "some fail before the 250");
}

fn is_long() -> bool {
    env::var_os("OUTGATE_EVERY_STEP").is_some()
}

/// One fault at each step of a message that is relayed and of one that is held, until a message no longer comes to that step.
/// How many were felt: the first attempt had no 250, or the process ended.
fn at_each_step(faults: &[impl Display], every: usize) -> (u64, Tally) {
    let every = if is_long() { 1 } else { every };
    let hop = Hop::start();
    let gateway = Gateway::start(hop.address());
    let (mut told, mut felt) = (Vec::new(), 0);
    for held in [false, true] {
        for fault in faults {
            for step in (1..MOST).step_by(every) {
                let number = 8 * (told.len() as u64 + 1) + u64::from(!held);
                let mut strace = Some(Strace::inject(gateway.pid(), &format!("{fault}:when={step}")));
                let mut failed = false;
                told.push(insist(&gateway, &mut None, number, || {
                    failed = true;
                    strace = None;
                    // It may be about to end.
                    thread::sleep(Duration::from_millis(20));
                    gateway.revive();
                }));
                drop(strace);
                failed |= gateway.revive();
                felt += u64::from(failed);
                if !failed {
                    break;
                }
            }
        }
    }
    let tally = Tally::of(&told, &hop, &gateway);
    tally.assert_nothing_lost(felt);
    gateway.done(&["audit", "verify"]);
    (felt, tally)
}
