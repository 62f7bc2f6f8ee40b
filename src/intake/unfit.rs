//! Messages that neither door takes, whoever hands them in.

use crate::mail::wire::{Blemishes, LineEndings, Reply};

/// Why a message is not taken.
#[derive(Clone, Copy, Debug)]
pub(in crate::intake) enum Unfit {
    TooLarge,
    NoMemory,
    Nul,
    BareLf,
    BareCr,
}

impl Unfit {
    pub fn of(blemishes: Blemishes, endings: LineEndings) -> Option<Self> {
        let strict = endings == LineEndings::Strict;
        match blemishes {
            _ if blemishes.nul => Some(Self::Nul),
            _ if blemishes.bare_lf && strict => Some(Self::BareLf),
            _ if blemishes.bare_cr && strict => Some(Self::BareCr),
            _ => None,
        }
    }

    pub fn reason(self) -> &'static str {
        match self {
            Self::TooLarge => "too-large",
            Self::NoMemory => "memory",
            Self::Nul => "nul",
            Self::BareLf => "bare-lf",
            Self::BareCr => "bare-cr",
        }
    }

    pub fn reply(self) -> Reply {
        match self {
            Self::TooLarge => Reply::new(552, (5, 3, 4), "Message larger than the limit"),
            Self::NoMemory => Reply::new(452, (4, 3, 1), "No memory for this message at the moment, try again later"),
            Self::Nul => Reply::new(
                550,
                (5, 6, 0),
                "The message contains a NUL byte. Remove it, or send that part encoded as base64",
            ),
            Self::BareLf => Reply::new(
                550,
                (5, 6, 0),
                "The message contains a line feed without a carriage return. End every line with CR LF and send it again",
            ),
            Self::BareCr => Reply::new(
                550,
                (5, 6, 0),
                "The message contains a carriage return without a line feed. End every line with CR LF and send it again",
            ),
        }
    }
}
