//! The master key's file: 32 random bytes, for our eyes only.
//!
//! In: the path. Out: `Keys`. Never: a key that others can read, a new key while data sealed under the lost one is still
//! there (it would look like a fresh start and make that data unreadable for good).

use crate::keys::Keys;
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

const LENGTH: usize = 32;

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    #[error("{path}: others can read or change it (mode {mode:04o}); allowed: 0600 or 0400")]
    Open { path: PathBuf, mode: u32 },
    #[error("{path}: {length} bytes; a key has exactly 32. Restore it from the backup")]
    Length { path: PathBuf, length: u64 },
    #[error("{path}: not a file")]
    NotAFile { path: PathBuf },
    #[error("{path} is missing, but {data} holds data sealed under it. Restore the key from the backup")]
    Lost { path: PathBuf, data: PathBuf },
    #[error("{path}: {what}: {source}")]
    Io { path: PathBuf, what: &'static str, source: io::Error },
}

/// The key, made at the first start: when neither it nor any data exists.
pub fn open_or_make(path: &Path, data_dir: &Path) -> Result<Keys, KeyFileError> {
    match open(path) {
        Err(KeyFileError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
        opened => return opened,
    }
    if holds_data(data_dir, path) {
        return Err(KeyFileError::Lost { path: path.into(), data: data_dir.into() });
    }
    make(path)?;
    open(path)
}

/// The key of an existing file.
pub fn open(path: &Path) -> Result<Keys, KeyFileError> {
    // Not blocking: a named pipe in its place must not hang the start.
    let nonblocking = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).expect("a flag of open(2) fits its argument");
    let mut file =
        OpenOptions::new().read(true).custom_flags(nonblocking).open(path).map_err(failed(path, "cannot be opened"))?;
    let metadata = file.metadata().map_err(failed(path, "cannot be examined"))?;
    if !metadata.is_file() {
        return Err(KeyFileError::NotAFile { path: path.into() });
    }
    let mode = metadata.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(KeyFileError::Open { path: path.into(), mode });
    }
    if metadata.len() != LENGTH as u64 {
        return Err(KeyFileError::Length { path: path.into(), length: metadata.len() });
    }
    let mut master = [0; LENGTH];
    file.read_exact(&mut master).map_err(failed(path, "cannot be read"))?;
    Ok(Keys::new(&master))
}

/// Makes a new key. Whole or not there at all, also after a crash; an existing file is never replaced.
pub fn make(path: &Path) -> Result<(), KeyFileError> {
    let mut master = [0; LENGTH];
    getrandom::fill(&mut master).map_err(|error| KeyFileError::Io {
        path: path.into(),
        what: "the system gives no random bytes",
        source: io::Error::other(error),
    })?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let draft =
        tempfile::Builder::new().prefix(".store.key.").tempfile_in(folder).map_err(failed(path, "cannot be made"))?;
    // tempfile makes its files 0600.
    draft.as_file().write_all(&master).map_err(failed(path, "cannot be written"))?;
    draft.as_file().sync_all().map_err(failed(path, "cannot be written to the disk"))?;
    draft.persist_noclobber(path).map_err(|error| failed(path, "cannot be put in its place")(error.error))?;
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed(path, "cannot be written to the disk"))
}

/// Whether anything but the key lies in the data folder. A folder that cannot be looked into counts as full: a wrong
/// guess would cost every held message.
fn holds_data(data_dir: &Path, key: &Path) -> bool {
    match fs::read_dir(data_dir) {
        Err(error) => error.kind() != io::ErrorKind::NotFound,
        Ok(mut entries) => entries.any(|entry| {
            entry.map_or(true, |entry| {
                let name = entry.file_name();
                entry.path() != key && name != "lost+found" && !name.as_encoded_bytes().starts_with(b".store.key.")
            })
        }),
    }
}

fn failed(path: &Path, what: &'static str) -> impl Fn(io::Error) -> KeyFileError {
    move |source| KeyFileError::Io { path: path.into(), what, source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::Purpose;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn made_once_with_mode_0600_and_opened_the_same_ever_after() {
        let folder = tempfile::tempdir().unwrap();
        let (path, data) = (folder.path().join("store.key"), folder.path().join("data"));
        let first = open_or_make(&path, &data).unwrap();
        let metadata = fs::metadata(&path).unwrap();
        assert_eq!((metadata.mode() & 0o7777, metadata.len()), (0o600, 32));
        let again = open_or_make(&path, &data).unwrap();
        assert_eq!(first.derive(Purpose::Wrap), again.derive(Purpose::Wrap));
        assert!(matches!(make(&path), Err(KeyFileError::Io { .. })), "never replaced");
        assert_eq!(open(&path).unwrap().derive(Purpose::Wrap), first.derive(Purpose::Wrap));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no draft is left behind");
    }

    #[test]
    fn a_key_that_others_can_read_or_change_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.key");
        make(&path).unwrap();
        for mode in [0o644, 0o640, 0o604, 0o620, 0o602, 0o660, 0o601] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            assert!(matches!(open(&path), Err(KeyFileError::Open { mode: shown, .. }) if shown == mode), "{mode:o}");
        }
        for mode in [0o600, 0o400] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            assert!(open(&path).is_ok(), "{mode:o}");
        }
    }

    #[test]
    fn a_key_of_the_wrong_length_and_what_is_no_file_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        for (length, name) in [(0, "a"), (31, "b"), (33, "c")] {
            let path = folder.path().join(name);
            fs::write(&path, vec![7; length]).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            assert!(
                matches!(open_or_make(&path, folder.path()), Err(KeyFileError::Length { length: shown, .. }) if shown == length as u64)
            );
        }
        assert!(matches!(open(folder.path()), Err(KeyFileError::NotAFile { .. })));
    }

    #[test]
    fn a_lost_key_is_not_replaced_while_its_data_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        fs::create_dir(&data).unwrap();
        let path = data.join("store.key");
        fs::write(data.join("outgate.db"), b"sealed").unwrap();
        assert!(matches!(open_or_make(&path, &data), Err(KeyFileError::Lost { .. })));
        assert!(!path.exists());
        fs::remove_file(data.join("outgate.db")).unwrap();
        assert!(open_or_make(&path, &data).is_ok(), "an empty folder is a first start");
    }
}
