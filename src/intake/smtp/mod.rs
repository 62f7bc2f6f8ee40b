//! The SMTP door (RFC 5321).
//!
//! In: connections of peers. Out: a `Submission` for each message that was read whole and is fit to be passed on, and the
//! corridor's answer as the reply to the final dot. Never: mail of a stranger, a reply 250 that the corridor did not
//! give, a message of which we and the next hop could disagree where it ends.
//!
//! `listen` accepts and hands each connection to a `session`, which obeys commands (`stage`: which may come when;
//! `client`: who it is; `offer`: what EHLO promises; `tls`), `receive`s the message and `hand_in`s it.

mod attested;
mod auth;
mod client;
mod connection;
mod hand_in;
mod identity;
mod listen;
mod logins;
mod offer;
mod paces;
mod receive;
mod session;
mod settings;
mod stage;
mod tls;

pub use listen::{Door, bind};
pub use settings::{Auth, Limits, Peer, RelayRisk, Senders, Settings, Tenant, is_too_wide};
pub use tls::{ServerTls, TlsError, TlsSettings};
