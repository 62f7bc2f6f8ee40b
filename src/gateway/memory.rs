//! Memory: where the machine, or the control group of the service, gives little, the doors take less at once, and no message
//! that would not find room for what is made of it.

use std::{fs, path::Path};

/// Of what there is messages get a third: as much again may be needed to read them, and the rules and word lists lie beside.
const SHARE: u64 = 3;
/// A held message is there three times for a moment: as it came, compressed, and sealed.
const COPIES: u64 = 3;

/// What each may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Memory {
    /// None: nobody says.
    given: Option<u64>,
}

impl Memory {
    pub fn of_this_machine() -> Self {
        let system = rustix::system::sysinfo();
        let machine = u64::from(system.mem_unit).checked_mul(system.totalram).filter(|bytes| *bytes > 0);
        let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let limits = groups.lines().filter_map(|line| least(Path::new("/sys/fs/cgroup"), line));
        Self { given: limits.chain(machine).min() }
    }

    /// For all messages together.
    pub fn budget(self, wanted: u64) -> u64 {
        self.given.map_or(wanted, |given| wanted.min(given / SHARE))
    }

    /// For one message.
    pub fn largest(self, wanted: u64) -> u64 {
        self.given.map_or(wanted, |given| wanted.min(given / SHARE / COPIES))
    }
}

/// The least that a line of /proc/self/cgroup allows, those above it included. `0::/path` is version 2, `4:memory:/path`
/// version 1 (cgroups(7)).
fn least(root: &Path, line: &str) -> Option<u64> {
    let mut parts = line.splitn(3, ':').skip(1);
    let (controllers, path) = (parts.next()?, parts.next()?);
    let (root, files): (_, &[&str]) = match controllers {
        "" => (root.to_owned(), &["memory.max", "memory.high"]),
        all if all.split(',').any(|one| one == "memory") => (root.join("memory"), &["memory.limit_in_bytes"]),
        _ => return None,
    };
    let group = root.join(path.trim_start_matches('/'));
    // In a container the path is the host's, and its own group is the root.
    let groups = group.ancestors().take_while(|group| group.starts_with(&root));
    let limits = groups.flat_map(|group| files.iter().map(move |file| group.join(file)));
    limits.filter_map(|file| fs::read_to_string(file).ok()?.trim().parse().ok()).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_get_a_share_and_none_is_taken_that_finds_no_room() {
        for (given, expected) in
            [(None, (512, 50)), (Some(8 << 30), (512, 50)), (Some(768 << 20), (256, 50)), (Some(270 << 20), (90, 30))]
        {
            let memory = Memory { given };
            assert_eq!((memory.budget(512 << 20) >> 20, memory.largest(50 << 20) >> 20), expected, "{given:?}");
        }
    }

    #[test]
    fn the_least_of_a_group_and_those_above_it_counts() {
        let folder = tempfile::tempdir().expect("a folder");
        for (path, text) in [
            ("system.slice/outgate.service/memory.max", "max\n"),
            ("system.slice/outgate.service/memory.high", "300000000\n"),
            ("system.slice/memory.max", "200000000\n"),
            ("memory/box/memory.limit_in_bytes", "100000000\n"),
            ("memory/memory.limit_in_bytes", "9223372036854771712\n"),
        ] {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            fs::write(path, text).expect("a file");
        }
        for (line, expected) in [
            ("0::/system.slice/outgate.service", Some(200_000_000)),
            ("0::/", None),
            ("4:memory:/box", Some(100_000_000)),
            ("4:cpu,memory:/box/that/the/host/has", Some(100_000_000)),
            ("3:cpuset:/box", None),
            ("nonsense", None),
        ] {
            assert_eq!(least(folder.path(), line), expected, "{line}");
        }
    }
}
