//! The milter codec, sans I/O: the protocol that Sendmail, Postfix and others speak with mail filters, versions 2 to 6.
//!
//! In: bytes of a mail server in any chunks. Out: its commands; our replies as bytes. Never: a socket, a reply that the
//! server did not agree to.
//!
//! The protocol has no standard; its constants are those of Sendmail's `libmilter/mfdef.h`. A packet is its length (four
//! bytes, the largest first, the letter included), a letter, and data. Strings end in NUL.

mod command;
mod negotiate;
mod packet;
mod reply;

pub use command::{Command, CommandError, Family, Macros};
pub use negotiate::{Agreed, Offer, Stage, Wanted, action, step};
pub use packet::{Packet, PacketError};
pub use reply::{BODY_CHUNK, Reply};
