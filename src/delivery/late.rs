//! Late answers: our clock ended before the next hop's reply to the final dot. The client heard 451 and will try
//! again; the connection upstream is kept, and the retry is answered from what the hop says there.

use crate::{intake::RetryKey, mail::wire::Reply};
use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};
use tokio::{sync::watch, time::Instant};

/// How long an answer that nobody fetched is kept. As long as a retry record.
const KEPT: Duration = Duration::from_secs(5 * 24 * 3600);

/// The answers that are still awaited, and those that came after their client had gone.
#[derive(Default)]
pub struct LateAnswers {
    waiting: Mutex<HashMap<RetryKey, Waiting>>,
}

struct Waiting {
    since: Instant,
    answer: watch::Receiver<Late>,
}

/// What is known of a message whose client was told 451 too early.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Late {
    /// The hop has not answered yet.
    Pending,
    Answered(Reply),
    /// The connection was lost: whether the hop has the message is not known.
    Lost,
}

impl LateAnswers {
    /// A message's answer is awaited; its outcome is told through the sender.
    pub fn expect(&self, key: RetryKey) -> watch::Sender<Late> {
        let (tell, answer) = watch::channel(Late::Pending);
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.retain(|_, entry| entry.since.elapsed() < KEPT);
        waiting.insert(key, Waiting { since: Instant::now(), answer });
        tell
    }

    /// The answer for a retry: waits for one that is still pending, until `deadline`. None when nothing is known of
    /// this key, or the outcome was lost: the message then goes its way anew.
    pub async fn answer(&self, key: RetryKey, deadline: Instant) -> Option<Late> {
        let mut receiver = {
            let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            waiting.get(&key)?.answer.clone()
        };
        let settled = tokio::time::timeout_at(deadline, receiver.wait_for(|late| *late != Late::Pending)).await;
        let late = match settled {
            Ok(Ok(late)) => late.clone(),
            // The task that should have told us is gone.
            Ok(Err(_)) => Late::Lost,
            Err(_) => return Some(Late::Pending),
        };
        // Told once: the same message sent again on purpose must arrive again.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
        if late == Late::Lost { None } else { Some(late) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: RetryKey = RetryKey([1; 32]);

    #[tokio::test(start_paused = true)]
    async fn a_retry_waits_for_the_pending_answer_and_gets_it_once() {
        let late = LateAnswers::default();
        let soon = || Instant::now() + Duration::from_secs(5);
        assert_eq!(late.answer(KEY, soon()).await, None);
        let tell = late.expect(KEY);
        assert_eq!(late.answer(KEY, soon()).await, Some(Late::Pending), "not answered in time: 451 again");
        let reply = Reply::new(250, (2, 0, 0), "queued");
        tell.send_replace(Late::Answered(reply.clone()));
        assert_eq!(late.answer(KEY, soon()).await, Some(Late::Answered(reply)));
        assert_eq!(late.answer(KEY, soon()).await, None, "a second deliberate sending goes its own way");
    }

    #[tokio::test(start_paused = true)]
    async fn a_lost_answer_lets_the_retry_go_its_way() {
        let late = LateAnswers::default();
        drop(late.expect(KEY));
        assert_eq!(late.answer(KEY, Instant::now() + Duration::from_secs(5)).await, None);
        late.expect(KEY).send_replace(Late::Lost);
        assert_eq!(late.answer(KEY, Instant::now() + Duration::from_secs(5)).await, None);
    }
}
