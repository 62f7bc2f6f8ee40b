//! The mark on the test messages of `outgate doctor`. Whoever has the key can make one, for a few minutes and for one text: a
//! message that bears it is judged and then kept from going anywhere, whoever it is addressed to, so that a test never
//! reaches a person. Bound to the text, it makes no other message disappear.

use super::{
    Seals,
    trace::{fields, hex, is_named, unhex},
};
use crate::mail::SubmissionId;
use memchr::memmem;
use time::OffsetDateTime;

/// The header that the mark stands in.
pub const TRIAL: &str = "Outgate-Test";

impl Seals {
    /// The header, CR LF at its end, for a message with this text behind its header.
    pub fn trial_header(&self, trial: SubmissionId, expires: OffsetDateTime, text: &[u8]) -> String {
        let expires = expires.unix_timestamp();
        let mac = self.trial.mac(&[trial.as_bytes(), &expires.to_be_bytes(), text]);
        format!("{TRIAL}: {trial} {expires} {}\r\n", hex(&mac))
    }

    /// The number in a valid mark. Servers put fields before and behind it: it may stand anywhere in the header.
    pub(in crate::intake) fn trial(&self, message: &[u8], now: OffsetDateTime) -> Option<SubmissionId> {
        let field = fields(message).map(|field| &message[field]).find(|field| is_named(field, TRIAL))?;
        let (_, value) = std::str::from_utf8(field).ok()?.split_once(':')?;
        let mut words = value.split_ascii_whitespace();
        let trial: SubmissionId = words.next()?.parse().ok()?;
        let expires: i64 = words.next()?.parse().ok()?;
        let mac = unhex(words.next()?)?;
        let text = &message[memmem::find(message, b"\r\n\r\n")? + 4..];
        let genuine = mac.len() == 32 && self.trial.verify(&[trial.as_bytes(), &expires.to_be_bytes(), text], &mac);
        (genuine && words.next().is_none() && now.unix_timestamp() < expires).then_some(trial)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::Keys;
    use std::time::Duration;

    const NOW: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;
    const TEXT: &str = "A test.\r\n";

    #[test]
    fn a_mark_is_good_for_its_own_text_its_time_and_its_key() {
        let seals = Seals::new(&Keys::new(&[1; 32]));
        let id = SubmissionId::fresh();
        let mark = seals.trial_header(id, NOW + Duration::from_secs(600), TEXT.as_bytes());
        let message = |text: &str| {
            format!("Received: by mx.example\r\nFrom: a@ours.example\r\n{mark}X-Added: later\r\n\r\n{text}")
                .into_bytes()
        };
        assert_eq!(seals.trial(&message(TEXT), NOW), Some(id));
        assert_eq!(seals.trial(&message("Another text.\r\n"), NOW), None, "no other message can be made to disappear");
        assert_eq!(seals.trial(&message(TEXT), NOW + Duration::from_secs(600)), None);
        assert_eq!(Seals::new(&Keys::new(&[2; 32])).trial(&message(TEXT), NOW), None);
        let forged =
            String::from_utf8(message(TEXT)).unwrap().replace(&id.to_string(), &SubmissionId::fresh().to_string());
        assert_eq!(seals.trial(forged.as_bytes(), NOW), None);
        assert_eq!(seals.trial(b"From: a@ours.example\r\n\r\nOutgate-Test: in the text\r\n", NOW), None);
    }
}
