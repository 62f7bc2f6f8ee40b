//! T3: the power goes at random under load: what got its 250 is there, each held message can be read, and the database is
//! whole. The data lies on an ext4 of the test's own, whose power is cut by the kernel.
//!
//! The gateway stands still from just before the cut, as it does without power. One that lived on would be told lies: a sync
//! under way while the kernel shuts the file system down was seen to succeed, and its pages were gone.

use crate::support::{Dice, Disk, Gateway, Hop, Setup, Tally, number, under_load};
use sqlx::{ConnectOptions, sqlite::SqliteConnectOptions};
use std::{
    env, fs, thread,
    time::{Duration, SystemTime},
};

#[test]
fn what_got_its_250_outlives_a_power_cut() {
    let cuts: u64 = env::var("OUTGATE_POWER_CUTS").map_or(4, |cuts| cuts.parse().expect("a number"));
    let seed = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(1, |now| now.as_nanos() as u64);
    let Some(disk) = Disk::of(256) else { return };
    let hop = Hop::start();
    let setup = Setup { data: Some(disk.path().join("data")), ..Setup::default() };
    let gateway = Gateway::with(hop.address(), setup);
    let (mut damaged, mut in_a_sync) = (0, 0);
    let told = under_load(&gateway, || {
        let mut dice = Dice::new(seed);
        for _ in 0..cuts {
            thread::sleep(Duration::from_millis(100 + dice.below(900)));
            in_a_sync += u64::from(gateway.freeze() > 0);
            disk.cut();
            gateway.kill();
            disk.restore();
            damaged += u64::from(!is_whole(&gateway));
            gateway.launch();
        }
    });
    let tally = Tally::of(&told, &hop, &gateway);
    let unreadable = tally.waiting.iter().filter(|case| !can_be_read(&gateway, &case.id, case.number)).count();
    println!("T3 cuts={cuts} in a sync={in_a_sync} {tally} damaged={damaged} unreadable={unreadable} seed={seed}");
    tally.assert_nothing_lost(cuts);
    assert_eq!((damaged, unreadable), (0, 0));
    gateway.done(&["audit", "verify"]);
}

/// Without this the test above could not fail.
#[test]
fn a_power_cut_takes_what_was_not_synced() {
    let Some(disk) = Disk::of(16) else { return };
    let (synced, written) = (disk.path().join("synced"), disk.path().join("written"));
    fs::write(&synced, "synced").unwrap();
    fs::File::open(&synced).unwrap().sync_all().unwrap();
    fs::File::open(disk.path()).unwrap().sync_all().unwrap();
    fs::write(&written, "written").unwrap();
    let renamed = disk.path().join("renamed");
    fs::rename(&synced, &renamed).unwrap();
    disk.cut();
    assert!(fs::write(disk.path().join("more"), "more").is_err(), "the disk is gone");
    disk.restore();
    assert_eq!(fs::read(&synced).unwrap(), b"synced");
    assert!(!written.exists() && !renamed.exists());
}

/// What SQLite itself says of the database.
fn is_whole(gateway: &Gateway) -> bool {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let options = SqliteConnectOptions::new().filename(gateway.data().join("outgate.db"));
        let mut db = options.connect().await.unwrap();
        let verdict: String = sqlx::query_scalar("PRAGMA integrity_check").fetch_one(&mut db).await.unwrap();
        verdict == "ok"
    })
}

/// Whether the held message comes out of its sealed file, and is the one that the case names.
fn can_be_read(gateway: &Gateway, id: &str, expected: u64) -> bool {
    let path = gateway.folder().join("held.eml");
    let _ = fs::remove_file(&path);
    let shown = gateway.command(&["case", "show", id, "--message", &path.display().to_string()]);
    shown.status.success() && number(&fs::read(&path).unwrap_or_default()) == Some(expected.to_string())
}
