//! What we lack to take any message at all: said at MAIL, before anything is accepted.

use crate::mail::wire::Reply;

/// A fault of ours that passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shortage {
    /// The store takes no writes, or takes them too slowly.
    Store,
    /// The disk has no room but for the desk.
    Disk,
    /// More messages wait for a scan than can be scanned in time.
    Scanners,
}

impl Shortage {
    pub fn reason(self) -> &'static str {
        match self {
            Self::Store => "store",
            Self::Disk => "disk",
            Self::Scanners => "scanners",
        }
    }

    pub fn reply(self) -> Reply {
        match self {
            Self::Store => Reply::new(451, (4, 3, 0), "Try again later"),
            Self::Disk => Reply::new(452, (4, 3, 1), "No room for this message at the moment, try again later"),
            Self::Scanners => Reply::new(451, (4, 3, 2), "Too busy, try again later"),
        }
    }
}
