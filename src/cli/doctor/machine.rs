//! Files and who may read and change them, room on the disk, what the kernel can do, whether the service answers.

use super::Finding;
use crate::{
    config::{Settings, key_file},
    gateway::readers::{self, Walls},
};
use rustix::fs::{statfs, statvfs};
use std::{
    fs,
    io::{Read, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::Duration,
};

/// Below it new mail is refused soon; the desk still needs room to erase.
const FREE_PERCENT: u64 = 10;
const FREE_BYTES: u64 = 1 << 30;

/// Files looked at in the configuration's folder.
const MOST_FILES: usize = 10_000;

/// How long the service may take to say how it is.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) fn look(settings: &Settings) -> Vec<Finding> {
    let mut findings = vec![key(settings), writable(&settings.folder), data(&settings.data_dir)];
    findings.extend(space(&settings.data_dir));
    findings.push(file_system(&settings.data_dir));
    findings.extend(kernel());
    findings.push(reading(readers::readers().trial()));
    findings
}

fn key(settings: &Settings) -> Finding {
    let path = &settings.store.key_file;
    match key_file::open(path) {
        Ok(_) => Finding::good("key", format!("{} can be read by the service alone", path.display())),
        Err(error) => {
            Finding::bad("key", error.to_string(), "see the manual: the key belongs to the service, with mode 0600")
        }
    }
}

/// Whoever can write a rule decides over everybody's mail.
fn writable(folder: &Path) -> Finding {
    let (mut open, mut unread, mut folders, mut seen) = (Vec::new(), Vec::new(), vec![folder.to_path_buf()], 0);
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else {
            unread.push(folder);
            continue;
        };
        for path in entries.filter_map(Result::ok).map(|entry| entry.path()).take(MOST_FILES.saturating_sub(seen)) {
            seen += 1;
            let Ok(metadata) = path.symlink_metadata() else { continue };
            if metadata.mode() & 0o002 != 0 && !metadata.is_symlink() {
                open.push(path.clone());
            }
            if metadata.is_dir() {
                folders.push(path);
            } else if fs::File::open(&path).is_err() {
                unread.push(path);
            }
        }
    }
    let named =
        |paths: &[PathBuf]| paths.iter().take(5).map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ");
    if !open.is_empty() {
        let text = format!("everybody on this machine can change {}", named(&open));
        return Finding::bad("files", text, "chmod o-w: whoever writes a rule decides over everybody's mail");
    }
    if !unread.is_empty() {
        let advice = "the service's group must be able to read what it is configured with";
        return Finding::bad("files", format!("the service cannot read {}", named(&unread)), advice);
    }
    Finding::good("files", format!("nobody else can change what lies in {}", folder.display()))
}

fn data(folder: &Path) -> Finding {
    let shown = folder.display();
    match fs::metadata(folder) {
        Err(error) => Finding::bad("data", format!("{shown}: {error}"), "has the service run?"),
        Ok(metadata) if metadata.mode() & 0o077 != 0 => {
            let text = format!("{shown} is open to others (mode {:04o})", metadata.mode() & 0o7777);
            Finding::bad("data", text, format!("chmod 0700 {shown}"))
        }
        Ok(_) => match tempfile::tempfile_in(folder) {
            Ok(_) => Finding::good("data", format!("{shown} is the service's own, and can be written")),
            Err(error) => Finding::bad("data", format!("{shown} cannot be written: {error}"), "see its owner and mode"),
        },
    }
}

fn space(folder: &Path) -> Vec<Finding> {
    let Ok(room) = statvfs(folder) else {
        return vec![Finding::skipped("disk", "the file system does not say how full it is")];
    };
    let free = room.f_bavail.saturating_mul(room.f_frsize);
    let percent = room.f_bavail.saturating_mul(100) / room.f_blocks.max(1);
    let text = format!("{} MiB free ({percent} %) where {} lies", free >> 20, folder.display());
    let mut findings = vec![match (free < FREE_BYTES || percent < FREE_PERCENT, percent < 2) {
        (_, true) => {
            Finding::bad("disk", text, "make room: what is held needs the disk, and without it mail is put off")
        }
        (true, _) => Finding::warning("disk", text, "make room, or move data-dir"),
        _ => Finding::good("disk", text),
    }];
    if room.f_files > 0 && room.f_favail.saturating_mul(100) / room.f_files < 2 {
        findings.push(Finding::bad(
            "disk",
            "hardly a file can be made any more (inodes)",
            "remove files, or move data-dir",
        ));
    }
    findings
}

/// SQLite's log needs shared memory and locks that network file systems do not give; what is in memory is gone tomorrow.
fn file_system(folder: &Path) -> Finding {
    let Ok(kind) = statfs(folder).map(|about| about.f_type as u64 & 0xffff_ffff) else {
        return Finding::skipped("file system", "its kind cannot be told");
    };
    // statfs(2)
    let (name, fit) = match kind {
        0x6969 => ("NFS", false),
        0xff53_4d42 | 0xfe53_4d42 | 0x517b => ("SMB", false),
        0x0102_1994 | 0x8584_58f6 => ("memory (tmpfs)", false),
        0x6573_5546 => ("FUSE", false),
        0xef53 => ("ext4", true),
        0x5846_5342 => ("XFS", true),
        0x9123_683e => ("Btrfs", true),
        0x2fc1_2fc1 => ("ZFS", true),
        0x794c_7630 => ("overlay", true),
        _ => return Finding::skipped("file system", format!("of a kind that was not tried ({kind:#x})")),
    };
    let text = format!("{} lies on {name}", folder.display());
    match fit {
        true => Finding::good("file system", text),
        false => Finding::bad("file system", text, "move data-dir to a local disk: there 250 means that it is durable"),
    }
}

fn kernel() -> Vec<Finding> {
    let has = |path: &str, word: &str| fs::read_to_string(path).ok().map(|text| text.contains(word));
    let advice = "what reads hostile attachments is shut in by it; use a kernel that has it";
    let feature = |name: &str, found: Option<bool>| match found {
        Some(true) => Finding::good("kernel", format!("has {name}")),
        Some(false) => Finding::warning("kernel", format!("lacks {name}"), advice),
        None => Finding::skipped("kernel", format!("does not say whether it has {name}")),
    };
    vec![
        feature("seccomp", has("/proc/sys/kernel/seccomp/actions_avail", "kill_process")),
        feature("Landlock", has("/sys/kernel/security/lsm", "landlock")),
    ]
}

/// As this command may start them; the service's own walls are the unit's.
fn reading(trial: Result<Walls, &'static str>) -> Finding {
    match trial {
        Ok(Walls { landlock: true }) => {
            Finding::good("attachments", "are read, in processes that are shut off by seccomp and Landlock")
        }
        Ok(Walls { landlock: false }) => {
            Finding::good("attachments", "are read, in processes that are shut off by seccomp")
        }
        Err(why) => Finding::bad(
            "attachments",
            format!("are not read ({why}): each is unread, unknown format, and rules say what that means"),
            "see the manual on attachments: what the service's unit and the kernel must allow",
        ),
    }
}

/// What the service says of itself.
pub(super) fn service(settings: &Settings) -> Vec<Finding> {
    let address = here(settings.metrics.listen);
    let answer = match ask(address) {
        Ok(answer) => answer,
        Err(error) => {
            let advice = "systemctl status outgate; journalctl -u outgate";
            return vec![Finding::bad("service", format!("nothing answers at {address}: {error}"), advice)];
        }
    };
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    if !answer.starts_with("HTTP/1.1 200") {
        return vec![Finding::bad("service", format!("not ready: {}", body.trim()), "journalctl -u outgate says why")];
    }
    let mut findings = vec![Finding::good("service", "ready: it takes mail")];
    findings.extend(body.lines().skip(1).map(|line| match line.ends_with("usable") {
        true => Finding::good("next hop", line),
        false => Finding::bad("next hop", line, "see [next-hop] in outgate.toml, and the log"),
    }));
    findings
}

/// A listener on all addresses is reached at this machine's own.
pub(super) fn here(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

fn ask(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    write!(stream, "GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.take(64 << 10).read_to_string(&mut answer)?;
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::{super::State, *};
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn what_others_can_change_or_see_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let rule = folder.path().join("local/rules/own.toml");
        fs::create_dir_all(rule.parent().unwrap()).unwrap();
        fs::write(&rule, "").unwrap();
        assert_eq!(writable(folder.path()).state, State::Good);
        fs::set_permissions(&rule, fs::Permissions::from_mode(0o666)).unwrap();
        let found = writable(folder.path());
        assert_eq!(found.state, State::Bad);
        assert!(found.text.contains("own.toml"), "{}", found.text);
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o750)).unwrap();
        assert_eq!(data(folder.path()).state, State::Bad, "the group can look in");
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
        assert_eq!(data(folder.path()).state, State::Good);
        assert_eq!(data(&folder.path().join("none")).state, State::Bad);
    }

    #[test]
    fn attachments_that_are_not_read_are_a_fault_of_the_machine() {
        for (trial, state) in [
            (Ok(Walls { landlock: true }), State::Good),
            (Ok(Walls { landlock: false }), State::Good),
            (Err("the kernel has no seccomp"), State::Bad),
        ] {
            assert_eq!(reading(trial).state, state, "{trial:?}");
        }
    }

    #[test]
    fn memory_is_no_place_for_held_mail() {
        let found = file_system(Path::new("/dev/shm"));
        assert_eq!(found.state, State::Bad, "{}", found.text);
        assert!(!space(Path::new("/")).is_empty());
    }
}
