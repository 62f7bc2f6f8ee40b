//! Room on the disk. New mail is taken only while there is plenty, so that what was taken can be worked off; and a file of
//! our own keeps room that nobody else can take, for erasing: to destroy a key SQLite must write first.

use super::Inner;
use rustix::fs::{FallocateFlags, fallocate, statvfs};
use std::{
    fs::{self, OpenOptions},
    io::{self, ErrorKind},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{
        Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

/// New mail wants five of the largest messages free, or a tenth of a smaller disk.
const FREE: u64 = 5 * (50 << 20);
const FREE_PART: u64 = 10;

/// The pages of some hundred erasures and their checkpoint; less of a disk that is small.
const RESERVE: u64 = 4 << 20;
const RESERVE_PART: u64 = 32;

const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The reserve, and whether there is room.
pub(super) struct Room {
    data_dir: PathBuf,
    short: AtomicBool,
}

/// Of the file system that has the data folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Space {
    whole: u64,
    free: u64,
}

impl Space {
    fn of(folder: &Path) -> io::Result<Self> {
        let found = statvfs(folder)?;
        Ok(Self { whole: found.f_blocks * found.f_frsize, free: found.f_bavail * found.f_frsize })
    }

    fn reserve(self) -> u64 {
        RESERVE.min(self.whole / RESERVE_PART)
    }

    /// With the reserve still to be made, or made already.
    fn is_short(self, reserved: bool) -> bool {
        let wanted = FREE.min(self.whole / FREE_PART);
        self.free < wanted + if reserved { 0 } else { self.reserve() }
    }
}

impl Room {
    pub fn new(data_dir: &Path) -> Self {
        Self { data_dir: data_dir.to_owned(), short: AtomicBool::new(false) }
    }

    /// Whether new mail must wait. As last looked at; only the process that serves looks.
    pub fn is_short(&self) -> bool {
        self.short.load(Ordering::Relaxed)
    }

    /// Gives the reserve up. False: it was given up before.
    pub fn give_up(&self) -> bool {
        let gone = fs::remove_file(reserve(&self.data_dir)).is_ok();
        if gone {
            self.short.store(true, Ordering::Relaxed);
        }
        gone
    }

    /// Looks how much room there is, and makes the reserve when there is enough.
    pub fn look(&self) {
        let looked = Space::of(&self.data_dir).and_then(|space| {
            let reserved = reserve(&self.data_dir).exists();
            let short = space.is_short(reserved);
            if !reserved && !short {
                make(&reserve(&self.data_dir), space.reserve())?;
            }
            Ok((short, space))
        });
        let (short, free) = match looked {
            Ok((short, space)) => (short, space.free),
            Err(error) if error.kind() == ErrorKind::StorageFull => (true, 0),
            Err(error) => {
                tracing::warn!(%error, "How much room the disk has cannot be seen, or no reserve can be made");
                return;
            }
        };
        metrics::gauge!("outgate_disk_free_bytes").set(free as f64);
        match (self.short.swap(short, Ordering::Relaxed), short) {
            (false, true) => {
                tracing::error!(free, "The disk is nearly full: new mail is answered 452 until there is room")
            }
            (true, false) => tracing::warn!(free, "The disk has room again: new mail is taken"),
            _ => {}
        }
    }
}

fn reserve(data_dir: &Path) -> PathBuf {
    data_dir.join("reserve")
}

fn make(path: &Path, bytes: u64) -> io::Result<()> {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    let made = fallocate(&file, FallocateFlags::empty(), 0, bytes);
    if made.is_err() {
        // Best effort: half a reserve is none.
        let _ = fs::remove_file(path);
    }
    Ok(made?)
}

/// Ends with the store.
pub(super) async fn watch(store: Weak<Inner>) {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let Some(inner) = store.upgrade() else { return };
        let room = inner.room.clone();
        drop(inner);
        // A disk that hangs holds this thread, and no other.
        let _ = tokio::task::spawn_blocking(move || room.look()).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn what_is_plenty_follows_the_disk() {
        let small = |free| Space { whole: 16 * MIB, free };
        let large = |free| Space { whole: 1 << 40, free };
        assert_eq!((small(0).reserve(), large(0).reserve()), (MIB / 2, 4 * MIB));
        assert!(small(MIB).is_short(true) && !small(2 * MIB).is_short(true));
        assert!(large(249 * MIB).is_short(true) && !large(250 * MIB).is_short(true));
        assert!(
            large(251 * MIB).is_short(false) && !large(254 * MIB).is_short(false),
            "the reserve is still to be made"
        );
    }

    #[test]
    fn the_reserve_is_given_up_once_and_made_again() {
        let folder = tempfile::tempdir().unwrap();
        let room = Room::new(folder.path());
        assert!(!room.give_up());
        room.look();
        assert!(!room.is_short(), "the disk that tests run on has room");
        let file = fs::metadata(reserve(folder.path())).unwrap();
        assert!(file.len() > 0);
        assert!(room.give_up() && room.is_short() && !room.give_up());
        room.look();
        assert!(!room.is_short() && reserve(folder.path()).exists());
    }
}
