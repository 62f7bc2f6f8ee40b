//! Room 1, mail: the words that all rooms speak.
//!
//! In: bytes. Out: `Message` (raw bytes and an index of parts by byte range), `Envelope`, `Origin`,
//! `Edit`. Never: I/O, a re-serialised message, a changed byte outside `edit::apply`. Imports no room.

mod address;
pub mod edit;
mod envelope;
mod id;
mod message;
mod origin;
mod part;
mod text;
pub mod wire;

pub use address::{Address, AddressError};
pub use edit::Edit;
pub use envelope::{Envelope, ForwardPath, Parameter, ReversePath};
pub use id::SubmissionId;
pub use message::Message;
pub use origin::{Certainty, Door, Origin, User};
pub use part::{
    Ambiguity, ContentType, Disposition, Field, Part, PartId, Protection, TransferEncoding, Unread, UnreadReason,
};
pub use text::{Text, Zone};
