//! What server and filter agree on at the beginning.

use super::packet;

/// Changes that a filter may ask for.
pub mod action {
    pub const ADD_HEADERS: u32 = 0x01;
    pub const CHANGE_BODY: u32 = 0x02;
    pub const ADD_RECIPIENTS: u32 = 0x04;
    pub const DELETE_RECIPIENTS: u32 = 0x08;
    pub const CHANGE_HEADERS: u32 = 0x10;
    pub const QUARANTINE: u32 = 0x20;
    pub const CHANGE_SENDER: u32 = 0x40;
    pub const ADD_RECIPIENTS_WITH_PARAMETERS: u32 = 0x80;
    /// The filter says which macros it wants.
    pub const SET_MACROS: u32 = 0x100;
}

/// Steps that the server leaves out, or for which it waits for no reply.
pub mod step {
    pub const NO_CONNECT: u32 = 0x01;
    pub const NO_HELO: u32 = 0x02;
    pub const NO_MAIL: u32 = 0x04;
    pub const NO_RCPT: u32 = 0x08;
    pub const NO_BODY: u32 = 0x10;
    pub const NO_HEADERS: u32 = 0x20;
    pub const NO_END_OF_HEADER: u32 = 0x40;
    pub const NO_REPLY_HEADERS: u32 = 0x80;
    pub const NO_UNKNOWN: u32 = 0x100;
    pub const NO_DATA: u32 = 0x200;
    pub const SKIP: u32 = 0x400;
    /// The server tells of recipients that it has refused, too.
    pub const REFUSED_RECIPIENTS: u32 = 0x800;
    pub const NO_REPLY_CONNECT: u32 = 0x1000;
    pub const NO_REPLY_HELO: u32 = 0x2000;
    pub const NO_REPLY_MAIL: u32 = 0x4000;
    pub const NO_REPLY_RCPT: u32 = 0x8000;
    pub const NO_REPLY_DATA: u32 = 0x1_0000;
    pub const NO_REPLY_UNKNOWN: u32 = 0x2_0000;
    pub const NO_REPLY_END_OF_HEADER: u32 = 0x4_0000;
    pub const NO_REPLY_BODY: u32 = 0x8_0000;
    /// A header's value comes, and goes, with the white space behind the colon.
    pub const LEADING_SPACE: u32 = 0x10_0000;
}

/// Versions that we speak. The first was never in the field.
const VERSIONS: std::ops::RangeInclusive<u32> = 2..=6;

/// What a server of version 2 means when it offers nothing at all.
const DEFAULT_ACTIONS: u32 = 0x0f;
const DEFAULT_STEPS: u32 = 0x3f;

/// What the server can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offer {
    pub version: u32,
    pub actions: u32,
    pub steps: u32,
}

/// What the filter would like.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    pub actions: u32,
    pub steps: u32,
    /// Macros by the stage at which they are wanted, each list separated by spaces.
    pub macros: &'a [(Stage, &'a str)],
}

/// Stages as numbers, in lists of macros alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    Connect = 0,
    Helo = 1,
    Mail = 2,
    Rcpt = 3,
    Data = 4,
    EndOfBody = 5,
    EndOfHeader = 6,
}

/// What is agreed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Agreed {
    pub version: u32,
    pub actions: u32,
    pub steps: u32,
}

impl Offer {
    pub(super) fn read(data: &[u8]) -> Option<Self> {
        let (version, rest) = number(data)?;
        let (actions, rest) = number(rest)?;
        // Servers older than version 2 leave it out; what stands behind it is of later versions.
        let (steps, _) = if rest.is_empty() { (0, rest) } else { number(rest)? };
        Some(Self { version, actions, steps })
    }

    /// The lower version, and what both want. None for a version that we do not speak.
    pub fn agree(self, wanted: &Wanted<'_>) -> Option<Agreed> {
        if self.version < *VERSIONS.start() {
            return None;
        }
        let or = |offered, default| if offered == 0 { default } else { offered };
        Some(Agreed {
            version: self.version.min(*VERSIONS.end()),
            actions: or(self.actions, DEFAULT_ACTIONS) & wanted.actions,
            steps: or(self.steps, DEFAULT_STEPS) & wanted.steps,
        })
    }
}

impl Agreed {
    pub fn has_action(self, action: u32) -> bool {
        self.actions & action == action
    }

    pub fn has_step(self, step: u32) -> bool {
        self.steps & step == step
    }

    /// Appends the answer to the server's offer.
    pub fn write_to(self, wanted: &Wanted<'_>, out: &mut Vec<u8>) {
        packet::append(out, b'O', |out| {
            for value in [self.version, self.actions, self.steps] {
                out.extend_from_slice(&value.to_be_bytes());
            }
            if self.has_action(action::SET_MACROS) {
                for (stage, names) in wanted.macros {
                    out.extend_from_slice(&(*stage as u32).to_be_bytes());
                    out.extend_from_slice(names.as_bytes());
                    out.push(0);
                }
            }
        });
    }
}

fn number(data: &[u8]) -> Option<(u32, &[u8])> {
    let (number, rest) = data.split_first_chunk::<4>()?;
    Some((u32::from_be_bytes(*number), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    const WANTED: Wanted<'_> = Wanted {
        actions: action::ADD_HEADERS | action::CHANGE_BODY | action::CHANGE_HEADERS | action::SET_MACROS,
        steps: step::NO_REPLY_HEADERS | step::LEADING_SPACE | step::NO_REPLY_BODY,
        macros: &[(Stage::Connect, "j"), (Stage::EndOfBody, "i {auth_authen}")],
    };

    fn agreed(version: u32, actions: u32, steps: u32) -> Option<Agreed> {
        Offer { version, actions, steps }.agree(&WANTED)
    }

    #[test]
    fn versions_and_masks() {
        for (version, actions, steps, expected) in [
            (6, 0x1ff, 0x1f_ffff, Some((6, 0x113, 0x18_0080))),
            (7, 0xffff_ffff, 0xffff_ffff, Some((6, 0x113, 0x18_0080))),
            (4, 0x3f, 0x3ff, Some((4, 0x13, 0x80))),
            (3, 0x3f, 0x1ff, Some((3, 0x13, 0x80))),
            (2, 0x3f, 0x7f, Some((2, 0x13, 0))),
            (2, 0, 0, Some((2, 0x03, 0))),
            (6, 0x01, 0x1f_ffff, Some((6, 0x01, 0x18_0080))),
            (1, 0x3f, 0x7f, None),
            (0, 0, 0, None),
        ] {
            let agreed = agreed(version, actions, steps).map(|agreed| (agreed.version, agreed.actions, agreed.steps));
            assert_eq!(agreed, expected, "version {version}");
        }
    }

    #[test]
    fn macros_are_asked_for_where_the_server_lets_us() {
        let mut out = Vec::new();
        agreed(6, 0x1ff, 0x1f_ffff).unwrap().write_to(&WANTED, &mut out);
        assert_eq!(out, b"\0\0\0\x27O\0\0\0\x06\0\0\x01\x13\0\x18\0\x80\0\0\0\0j\0\0\0\0\x05i {auth_authen}\0");
        out.clear();
        agreed(2, 0x3f, 0x7f).unwrap().write_to(&WANTED, &mut out);
        assert_eq!(out, b"\0\0\0\x0dO\0\0\0\x02\0\0\0\x13\0\0\0\0");
    }

    #[test]
    fn offers() {
        let offer = Offer::read(b"\0\0\0\x06\0\0\x01\xff\0\x1f\xff\xff").unwrap();
        assert_eq!((offer.version, offer.actions, offer.steps), (6, 0x1ff, 0x1f_ffff));
        assert_eq!(Offer::read(b"\0\0\0\x02\0\0\0\x0f").unwrap().steps, 0);
        assert!(Offer::read(b"\0\0\0\x06\0\0\x01\xff\0\x1f\xff").is_none());
        assert!(Offer::read(b"").is_none());
    }
}
