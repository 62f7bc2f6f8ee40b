//! Reads one message from the reply 354 to the final dot.

use super::{
    connection::Connection,
    session::End,
    settings::{Limits, Peer},
};
use crate::intake::{
    Reservation,
    memory::{THROWN_AWAY, make_room},
    unfit::Unfit,
};
use crate::mail::wire::{DataDecoder, LineEndings, Reply};
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// Room for a message whose size was not declared.
const FIRST_ROOM: u64 = 16 << 10;

/// Beyond the declared size: what comes in the last read behind it, so that a message of that size needs no second room.
const ROOM_BEHIND: u64 = 4 << 10;

/// What came before the final dot.
pub(super) enum Received {
    /// The message, and whether its line ends were made CR LF.
    Whole { content: Vec<u8>, normalised: bool },
    /// It was read to the dot and thrown away.
    Unfit { reply: Reply, reason: &'static str },
}

/// The memory that MAIL reserves.
pub(super) fn first_room(declared: Option<u64>) -> u64 {
    declared.map_or(FIRST_ROOM, |size| size.saturating_add(ROOM_BEHIND))
}

/// Reads to the final dot, whatever comes, so that the reply stands in its place.
pub(super) async fn receive(
    connection: &mut Connection,
    peer: &Peer,
    limits: &Limits,
    most: u64,
    hurried: bool,
    mut reservation: Reservation,
) -> Result<(Received, Reservation), End> {
    let mut decoder = DataDecoder::new(peer.line_endings);
    let mut pace = Pace::new(limits, hurried);
    let mut content = Vec::new();
    let mut unfit = None;
    loop {
        let input = connection.waiting();
        if unfit.is_none() {
            unfit = make_room(&mut content, widest(peer, input.len()), most, &mut reservation).err();
        }
        let step = decoder.decode(input, &mut content);
        connection.consume(step.consumed);
        if content.len() as u64 > most {
            unfit.get_or_insert(Unfit::TooLarge);
        }
        if unfit.is_some() && !step.ended {
            content.clear();
            content.shrink_to(THROWN_AWAY);
            reservation.release();
        }
        if step.ended {
            break;
        }
        pace.wait(connection).await?;
    }
    let blemishes = decoder.blemishes();
    let normalised = blemishes.any();
    let received = match unfit.or(Unfit::of(blemishes, peer.line_endings)) {
        Some(unfit) => Received::Unfit { reply: unfit.reply(), reason: unfit.reason() },
        None => Received::Whole { content, normalised },
    };
    Ok((received, reservation))
}

/// The most that `bytes` of input can become: one CR or dot was held back, and a bare line end becomes two bytes.
fn widest(peer: &Peer, bytes: usize) -> usize {
    match peer.line_endings {
        LineEndings::Strict => bytes + 1,
        LineEndings::Normalise => 2 * bytes + 2,
    }
}

/// How fast the client must send.
struct Pace<'a> {
    limits: &'a Limits,
    /// For a client that sends nothing at all.
    patience: Duration,
    started: Instant,
    bytes: u64,
}

impl<'a> Pace<'a> {
    fn new(limits: &'a Limits, hurried: bool) -> Self {
        let patience = if hurried { limits.crowded_wait } else { limits.data_wait };
        Self { limits, patience, started: Instant::now(), bytes: 0 }
    }

    async fn wait(&mut self, connection: &mut Connection) -> Result<(), End> {
        let elapsed = self.started.elapsed();
        if elapsed > self.limits.data_total || self.is_too_slow(elapsed) {
            return Err(End::too_slow());
        }
        let left = self.limits.data_total.saturating_sub(elapsed);
        match timeout(self.patience.min(left), connection.fill()).await {
            Err(_) => Err(End::too_slow()),
            Ok(Err(_) | Ok(0)) => Err(End::Gone),
            Ok(Ok(bytes)) => {
                self.bytes += bytes as u64;
                Ok(())
            }
        }
    }

    fn is_too_slow(&self, elapsed: Duration) -> bool {
        elapsed > self.limits.data_grace && self.bytes < self.limits.data_floor.saturating_mul(elapsed.as_secs())
    }
}
