//! The codecs, sans I/O: commands, replies and the DATA stream of SMTP, used by the door and by the relay; `milter`, the
//! other door's.
//!
//! In: bytes in any chunks. Out: parsed commands and replies, message bytes. Never: a socket, a bare CR, LF or
//! NUL written out.

mod command;
mod data;
mod line;
pub mod milter;
mod reply;
mod reply_parser;
mod stuff;

pub use command::{Attribute, Command, CommandError, Mechanism, Verb};
pub use data::{Blemishes, DataDecoder, Decoded, LineEndings};
pub use line::{LineSplitter, Split};
pub use reply::{EnhancedCode, Reply};
pub use reply_parser::{ReplyError, ReplyParser};
pub use stuff::{NotWire, Pieces, WireBody};
