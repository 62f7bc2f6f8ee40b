//! Whether the workers work: what the watchdog of whoever started us is told.

use super::Gateway;
use std::{sync::Arc, time::Duration};
use tokio::{task::AbortHandle, time::timeout};

/// Feels whether the house lives.
pub struct Pulse {
    gateway: Arc<Gateway>,
    /// Doors, outbox, housekeeping: each runs until we are asked to stop.
    tasks: Vec<AbortHandle>,
}

impl Pulse {
    pub(super) fn new(gateway: Arc<Gateway>, tasks: Vec<AbortHandle>) -> Self {
        Self { gateway, tasks }
    }

    /// Who does not answer in time. A store that says that it is down does answer: a restart would not mend its disk.
    pub async fn stalled(&self, within: Duration) -> Option<&'static str> {
        if self.tasks.iter().any(AbortHandle::is_finished) {
            return Some("a door, the outbox or housekeeping has ended");
        }
        let (threads, scanners, store) = tokio::join!(
            timeout(within, tokio::spawn(std::future::ready(()))),
            timeout(within, self.gateway.scanners.answers()),
            timeout(within, self.gateway.store.flush()),
        );
        match (threads, scanners, store) {
            (Err(_), _, _) => Some("the threads that answer connections"),
            (_, Err(_), _) => Some("the scanners"),
            (_, _, Err(_)) => Some("the store"),
            (Ok(_), Ok(()), Ok(_)) => None,
        }
    }
}
