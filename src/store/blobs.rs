//! Sealed files: one for each held message and each large outbox item, at `blobs/aa/bb/<32 hex digits>`.
//!
//! A file is written under a temporary name beside its place, synced, renamed, and its folders are synced, all
//! before the row that names it is committed. What no row names is removed at the next start.

use super::seal::random;
use crate::audit::chain::hex;
use std::{
    collections::HashSet,
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, ErrorKind, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

/// Younger files than this may belong to a commit under way in another process.
const YOUNG: Duration = Duration::from_secs(600);

/// The largest sealed file that is read: a message of 50 MiB that did not compress, and room.
const MOST: u64 = 80 << 20;

/// The folder of sealed files.
#[derive(Clone)]
pub(super) struct Blobs {
    root: PathBuf,
}

impl Blobs {
    pub fn open(data_dir: &Path) -> io::Result<Self> {
        let root = data_dir.join("blobs");
        make_folder(&root)?;
        sync_folder(data_dir)?;
        Ok(Self { root })
    }

    /// Writes a new file, durable when it returns, and gives its name.
    pub fn write(&self, sealed: &[u8]) -> io::Result<String> {
        let name = hex(&random::<16>());
        let path = self.path(&name)?;
        let folder = path.parent().expect("a blob lies two folders deep");
        let above = folder.parent().expect("a blob lies two folders deep");
        make_folder(above)?;
        make_folder(folder)?;
        let temporary = folder.join(format!("{name}.new"));
        let written = write_synced(&temporary, sealed).and_then(|()| fs::rename(&temporary, &path));
        if let Err(error) = written {
            // Best effort: the sweep at the next start takes what stays.
            let _ = fs::remove_file(&temporary);
            return Err(error);
        }
        // A folder's entry is as durable as the folder above it.
        [folder, above, &self.root].into_iter().try_for_each(sync_folder)?;
        Ok(name)
    }

    pub fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        let file = File::open(self.path(name)?)?;
        let mut sealed = Vec::new();
        file.take(MOST).read_to_end(&mut sealed)?;
        Ok(sealed)
    }

    /// Removes a file, durably. One that is not there any more is no failure.
    pub fn remove(&self, name: &str) -> io::Result<()> {
        let path = self.path(name)?;
        match fs::remove_file(&path) {
            Ok(()) => sync_folder(path.parent().expect("a blob lies two folders deep")),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Removes what no row names and is older than ten minutes: left by a crash between file and commit,
    /// or between an erase's commit and its removal. Gives how many.
    pub fn sweep(&self, known: &HashSet<String>, now: SystemTime) -> io::Result<u64> {
        let mut removed = 0;
        for above in fs::read_dir(&self.root)? {
            for folder in fs::read_dir(above?.path())? {
                for entry in fs::read_dir(folder?.path())? {
                    let entry = entry?;
                    let is_known = entry.file_name().to_str().is_some_and(|name| known.contains(name));
                    let age = now.duration_since(entry.metadata()?.modified()?).unwrap_or_default();
                    if !is_known && age > YOUNG {
                        fs::remove_file(entry.path())?;
                        removed += 1;
                    }
                }
            }
        }
        Ok(removed)
    }

    /// Names come from our own rows; one that is not a name of ours never becomes a path.
    fn path(&self, name: &str) -> io::Result<PathBuf> {
        if name.len() != 32 || !name.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(io::Error::new(ErrorKind::InvalidInput, "not the name of a sealed file"));
        }
        Ok(self.root.join(&name[..2]).join(&name[2..4]).join(name))
    }
}

/// 0700, and no failure when it is there.
pub(super) fn make_folder(path: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        made => made,
    }
}

pub(super) fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

fn write_synced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn files_are_ours_alone_and_go_when_nobody_names_them() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(folder.path()).unwrap();
        let (kept, orphan) = (blobs.write(b"kept").unwrap(), blobs.write(b"orphan").unwrap());
        assert_eq!(blobs.read(&kept).unwrap(), b"kept");
        let path = blobs.path(&kept).unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(path.parent().unwrap().metadata().unwrap().permissions().mode() & 0o777, 0o700);
        let known = HashSet::from([kept.clone()]);
        assert_eq!(blobs.sweep(&known, SystemTime::now()).unwrap(), 0, "young files stay");
        assert_eq!(blobs.sweep(&known, SystemTime::now() + YOUNG * 2).unwrap(), 1);
        assert_eq!(blobs.read(&orphan).unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(blobs.read(&kept).unwrap(), b"kept");
        blobs.remove(&kept).unwrap();
        blobs.remove(&kept).unwrap();
    }

    #[test]
    fn a_name_that_is_not_ours_never_becomes_a_path() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(folder.path()).unwrap();
        for name in ["", "../../../../../../../../etc/passwd", "aabb", "zz000000000000000000000000000000"] {
            assert_eq!(blobs.read(name).unwrap_err().kind(), ErrorKind::InvalidInput, "{name}");
        }
    }
}
