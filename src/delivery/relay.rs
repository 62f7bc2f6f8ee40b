//! The relay client: our side of SMTP towards the next hop.

use crate::mail::wire::Reply;

/// What became of a message given to the next hop.
#[derive(Debug)]
pub enum Sent {
    /// The next hop's final reply, class kept (421 and faults of ours already made 451).
    Replied(Reply),
    /// Nothing was sent, or nothing that the hop acknowledged: 451.
    NotSent(Reply),
    /// Our clock ended first: 451 to the client now; the true answer comes here.
    Late(tokio::sync::oneshot::Receiver<Option<Reply>>),
}
