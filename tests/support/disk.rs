//! A disk of the test's own: ext4 in a file, whose power can be cut. Needs root and loop devices.

use std::{
    fs,
    path::PathBuf,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// ext4's `FS_IOC_SHUTDOWN` with `NOLOGFLUSH`: from now on nothing reaches the disk any more, neither what waits in memory nor
/// the journal's open transaction. What was synced is there, what was not may be gone: a power cut as the disk sees it.
const CUT: &str = "open my $disk, '<', $ARGV[0] or die $!; my $no_flush = pack('L', 2); \
                   ioctl($disk, 0x8004587D, $no_flush) or die $!";

pub struct Disk {
    folder: tempfile::TempDir,
}

impl Disk {
    /// None, with the reason on the screen, where a disk cannot be had.
    pub fn of(mebibytes: u64) -> Option<Self> {
        let disk = Self { folder: tempfile::Builder::new().prefix("outgate-disk-").tempdir().expect("a folder") };
        let image = fs::File::create(disk.image()).expect("a file");
        image.set_len(mebibytes << 20).expect("a file without content");
        fs::create_dir(disk.path()).expect("a folder");
        let made = run("mkfs.ext4", &["-q", "-F", &disk.image().display().to_string()]).and_then(|()| disk.mount());
        match made {
            Ok(()) => Some(disk),
            Err(error) => {
                println!("skipped, no disk of our own (it needs root, mkfs.ext4 and a loop device): {error}");
                None
            }
        }
    }

    /// Where it is mounted.
    pub fn path(&self) -> PathBuf {
        self.folder.path().join("mounted")
    }

    /// Its power goes. Whoever has files open there gets errors from now on.
    pub fn cut(&self) {
        run("perl", &["-e", CUT, &self.path().display().to_string()]).expect("the power can be cut");
    }

    /// Power again: unmounted, and mounted with a look into its journal. All that had files open must have ended.
    pub fn restore(&self) {
        self.unmount().expect("nobody uses the disk");
        self.mount().expect("the disk mounts again");
    }

    fn image(&self) -> PathBuf {
        self.folder.path().join("image")
    }

    fn mount(&self) -> Result<(), String> {
        run("mount", &["-o", "loop", &self.image().display().to_string(), &self.path().display().to_string()])
    }

    /// The kernel lets go of a killed process's files a moment after it has ended.
    fn unmount(&self) -> Result<(), String> {
        let until = Instant::now() + Duration::from_secs(5);
        loop {
            match run("umount", &[&self.path().display().to_string()]) {
                Err(error) if Instant::now() > until => return Err(error),
                Err(_) => thread::sleep(Duration::from_millis(20)),
                done => return done,
            }
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Not mounted when it could not be had.
        let _ = run("umount", &["--lazy", &self.path().display().to_string()]);
    }
}

fn run(program: &str, arguments: &[&str]) -> Result<(), String> {
    // Where a user's path does not look.
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    let ran = Command::new(program).args(arguments).env("PATH", path).stdin(Stdio::null()).output();
    let ran = ran.map_err(|error| format!("{program}: {error}"))?;
    if ran.status.success() { Ok(()) } else { Err(format!("{program}: {}", String::from_utf8_lossy(&ran.stderr))) }
}
