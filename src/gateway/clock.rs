//! Whether the wall clock can be believed, held against the clock that only runs.
//!
//! A machine that comes up with a wrong year, or a time server that lies, must not have waiting cases given back years
//! before their time.

use time::OffsetDateTime;
use tokio::time::Instant;

/// The wall clock may be ahead of the other by so much: a round that came late, a leap second, slewing.
const TOLERANCE: time::Duration = time::Duration::MINUTE;

/// After a jump ahead somebody has so long to set the clock right; then the new time counts.
const PROBATION: time::Duration = time::Duration::DAY;

#[derive(Default)]
pub(super) struct Clock {
    /// When the wall clock said what, by the clock that only runs: the last pair that fitted.
    anchor: Option<(OffsetDateTime, Instant)>,
    jumped: Option<Instant>,
}

impl Clock {
    /// Whether what is due by `now` is due. Asked at every round. A clock that is set back makes nothing due, so it
    /// is believed at once.
    pub fn is_believed(&mut self, now: OffsetDateTime, running: Instant) -> bool {
        let Some((wall, then)) = self.anchor else {
            self.anchor = Some((now, running));
            return true;
        };
        let ahead = now - wall - (running - then);
        if ahead <= TOLERANCE {
            if self.jumped.take().is_some() {
                tracing::warn!("The clock is right again");
            }
            self.anchor = Some((now, running));
            return true;
        }
        let since = *self.jumped.get_or_insert_with(|| {
            let minutes = ahead.whole_minutes();
            tracing::error!(
                minutes,
                "The clock has jumped ahead: no case is given back as expired for a day; is it right?"
            );
            running
        });
        if running - since < PROBATION {
            return false;
        }
        tracing::warn!("The clock has kept its new time for a day; it counts now");
        (self.anchor, self.jumped) = (Some((now, running)), None);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn a_jump_ahead_counts_after_a_day_and_a_jump_back_at_once() {
        let (wall, running) = (OffsetDateTime::UNIX_EPOCH + time::Duration::days(20_000), Instant::now());
        let (minute, year) = (Duration::from_secs(60), time::Duration::days(365));
        let mut clock = Clock::default();
        assert!(clock.is_believed(wall, running));
        assert!(clock.is_believed(wall + minute, running + minute));
        assert!(!clock.is_believed(wall + 10 * year, running + 2 * minute));
        assert!(!clock.is_believed(wall + 10 * year + 60 * minute, running + 62 * minute));
        assert!(clock.is_believed(wall + 63 * minute, running + 63 * minute), "set right");
        assert!(clock.is_believed(wall - 10 * year, running + 64 * minute), "set back");
        assert!(!clock.is_believed(wall, running + 65 * minute), "and forth");
        let day = 24 * 60 * minute;
        assert!(!clock.is_believed(wall + day, running + day));
        assert!(clock.is_believed(wall + day + 65 * minute, running + day + 65 * minute), "for a day");
        assert!(clock.is_believed(wall + day + 66 * minute, running + day + 66 * minute));
    }
}
