//! Room 1, mail: the words that all rooms speak.
//!
//! In: bytes. Out: `Message` (raw bytes and an index of parts by byte range), `Envelope`, `Origin`,
//! `Edit`. Never: I/O, a re-serialised message, a changed byte outside `edit::apply`. Imports no room.

mod address;
mod charset;
pub mod check;
mod digest;
pub mod dkim;
mod doubt;
pub mod edit;
mod encoded_word;
mod envelope;
mod header;
mod html_entities;
mod html_marks;
mod html_tag;
mod html_text;
mod id;
mod mailboxes;
mod message;
mod origin;
mod part;
mod part_header;
mod reading;
mod recipients;
mod scan;
mod source_map;
mod text;
mod transfer;
pub mod wire;
mod zones;

pub use address::{Address, AddressError};
pub use edit::Edit;
pub use envelope::{Envelope, ForwardPath, Parameter, ReversePath};
pub use id::SubmissionId;
pub use message::Message;
pub use origin::{Certainty, Door, Origin, User, Via};
pub use part::{
    Ambiguity, ContentType, Disposition, Field, Part, PartId, Protection, TransferEncoding, Unread, UnreadReason,
};
pub use reading::{as_text, html_as_text};
pub use recipients::{ANSWERS, NAMING};
pub use text::{Confidence, Passage, Text, Zone};
