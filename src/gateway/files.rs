//! File descriptors: the doors get so many connections that enough are left for the store, the next hop and the desk.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// For the store, the next hops' connections, the outbox, those who are turned away, and health.
const OURS: u64 = 512;

/// Raises the soft limit of this process to the hard one: the soft one is for programs that use select(2).
pub fn raise() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        tracing::warn!(%error, "The limit of open files could not be raised");
    }
}

/// How many connections each door may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shares {
    files: u64,
    milter: bool,
}

impl Shares {
    pub fn new(milter: bool) -> Self {
        Self { files: getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX), milter }
    }

    /// Lowers what the doors may have to what there is.
    pub fn limit(self, smtp: &mut usize, milter: &mut usize) {
        let theirs = self.files - OURS.min(self.files / 2);
        let quarter = if self.milter { theirs / 4 } else { 0 };
        let wanted = *smtp;
        *milter = (*milter).min(usize::try_from(quarter).unwrap_or(usize::MAX));
        *smtp = (*smtp).min(usize::try_from(theirs - *milter as u64).unwrap_or(usize::MAX));
        if *smtp < wanted {
            tracing::warn!(
                connections = *smtp,
                files = self.files,
                "Fewer connections than usual are taken at once: the limit of open files (LimitNOFILE, ulimit -n) is low"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn enough_is_left_for_us() {
        for (files, milter, expected) in [
            (256, false, (128, 0)),
            (256, true, (96, 32)),
            (1_024, true, (384, 128)),
            (20_000, false, (10_000, 0)),
            (20_000, true, (10_000, 1_000)),
            (u64::MAX, true, (10_000, 1_000)),
        ] {
            let (mut smtp, mut at_milter) = (10_000, 1_000);
            Shares { files, milter }.limit(&mut smtp, &mut at_milter);
            assert_eq!((smtp, at_milter), expected, "{files}");
        }
    }
}
