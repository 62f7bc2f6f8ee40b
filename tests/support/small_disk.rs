//! A disk of a story's own, in memory and small enough to be filled. Needs root, as mounting does.

use std::{
    fs::{self, File},
    io::{ErrorKind, Write},
    path::{Path, PathBuf},
    process::Command,
};

/// Mounted; it goes with this.
pub struct SmallDisk {
    at: PathBuf,
}

impl SmallDisk {
    /// So many MiB of memory.
    pub fn mount(at: &Path, mib: u32) -> Self {
        fs::create_dir_all(at).expect("a folder");
        run(Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={mib}m,mode=700"), "outgate-test"])
            .arg(at));
        Self { at: at.to_owned() }
    }

    /// Takes all the room that is left.
    pub fn fill(&self) {
        let mut file = File::options().create(true).append(true).open(self.filler()).expect("a file");
        for block in [64 << 10, 512] {
            loop {
                match file.write(&vec![7_u8; block]) {
                    Ok(_) => {}
                    Err(error) if error.kind() == ErrorKind::StorageFull => break,
                    Err(error) => panic!("{error}"),
                }
            }
        }
    }

    pub fn empty(&self) {
        fs::remove_file(self.filler()).expect("it was filled");
    }

    fn filler(&self) -> PathBuf {
        self.at.join("filler")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.at).status();
    }
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?} (needs root): {}", String::from_utf8_lossy(&output.stderr));
}
