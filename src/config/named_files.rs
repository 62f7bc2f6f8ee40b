//! Files that `outgate.toml` names: certificates, keys, passwords.

use crate::diagnostic::{Diagnostic, Diagnostics, Located, Source};
use std::{
    fs::{File, OpenOptions},
    io::Read,
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::Path,
    sync::Arc,
};

/// More than any chain of certificates or password.
const LARGEST_FILE: u64 = 1 << 20;

/// Who but the owner may read a file.
#[derive(Clone, Copy)]
pub(super) enum Secrecy {
    None,
    /// Its group may: several services of a machine share a key.
    Group,
    Owner,
}

/// The whole file. None when a mistake was noted.
pub(super) fn read(
    source: &Source,
    folder: &Path,
    named: &Located<String>,
    secrecy: Secrecy,
    diagnostics: &mut Diagnostics,
) -> Option<Arc<[u8]>> {
    let path = folder.join(&named.value);
    match read_file(&path, secrecy) {
        Ok(bytes) => Some(bytes),
        Err(why) => {
            let message = format!("{}: {why}", path.display());
            diagnostics.push(Diagnostic::new(source, named.at.clone(), message));
            None
        }
    }
}

fn read_file(path: &Path, secrecy: Secrecy) -> Result<Arc<[u8]>, String> {
    // Not blocking: a named pipe in its place must not hang the start.
    let nonblocking = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).expect("a flag of open(2) fits its argument");
    let file = OpenOptions::new().read(true).custom_flags(nonblocking).open(path);
    let file: File = file.map_err(|error| error.to_string())?;
    let metadata = file.metadata().map_err(|error| error.to_string())?;
    if !metadata.is_file() {
        return Err("not a file".into());
    }
    let mode = metadata.mode() & 0o7777;
    let (others, allowed) = match secrecy {
        Secrecy::None => (0, ""),
        Secrecy::Group => (0o037, "0640, 0600 or 0400"),
        Secrecy::Owner => (0o077, "0600 or 0400"),
    };
    if mode & others != 0 {
        return Err(format!("others can read or change it (mode {mode:04o}); allowed: {allowed}"));
    }
    let mut bytes = Vec::new();
    file.take(LARGEST_FILE + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    if bytes.len() as u64 > LARGEST_FILE {
        return Err("larger than 1 MiB".into());
    }
    Ok(bytes.into())
}
