//! What we write at the top of a message and look for when it comes: our Received header with its keyed mark, loops,
//! and the pass of mail that we injected ourselves.

use super::SplitKey;
use crate::{
    keys::{KeyedHash, Keys, Purpose},
    mail::{Certainty, Message, Origin, SubmissionId},
};
use memchr::memchr;
use std::{net::IpAddr, ops::Range};
use time::{OffsetDateTime, format_description::well_known::Rfc2822};

/// The header that a pass of ours stands in.
pub const PASS: &str = "Outgate-Pass";

/// Fields that a message collects at its top on the way. What is below them stays the same from hop to hop.
const TRACE: &[&str] = &["Received", "Return-Path", "Delivered-To", PASS];

/// The keys under which we know our own marks and passes.
#[derive(Clone)]
pub struct Seals {
    mark: KeyedHash,
    pass: KeyedHash,
    retry: KeyedHash,
    split: KeyedHash,
    pub(super) trial: KeyedHash,
}

impl Seals {
    pub fn new(keys: &Keys) -> Self {
        let hasher = |purpose| keys.hasher(purpose);
        Self {
            mark: hasher(Purpose::Mark),
            pass: hasher(Purpose::Pass),
            retry: hasher(Purpose::Retry),
            split: hasher(Purpose::Split),
            trial: hasher(Purpose::Trial),
        }
    }

    /// Our Received header (RFC 5321 4.4), CR LF at its end. The mark says that we wrote it; without the key nobody
    /// can make one, so a loop is told from a message that merely names us.
    pub fn received(
        &self,
        id: SubmissionId,
        origin: &Origin,
        hostname: &str,
        utf8: bool,
        at: OffsetDateTime,
    ) -> String {
        let with = with(origin, utf8);
        // The connection's own client (RFC 5321 4.4), not whom it speaks for.
        let (address, helo) = match &origin.via {
            Some(via) => (via.address, &via.helo),
            None => (origin.address, &origin.helo),
        };
        let client = match address.to_canonical() {
            IpAddr::V4(address) => format!("[{address}]"),
            IpAddr::V6(address) => format!("[IPv6:{address}]"),
        };
        let mark = hex(&self.mark.mac(&[id.as_bytes()])[..MARK_BYTES]);
        let date = at.format(&Rfc2822).expect("the year has four digits");
        format!(
            "Received: from {helo} ({client})\r\n\tby {hostname} with {with} id {id}\r\n\t(outgate {mark}); {date}\r\n"
        )
    }

    /// The header with which mail of ours is let through when it comes back to one of our doors: it names the case,
    /// ends at `expires`, and is good for these bytes below the leading trace headers only. CR LF at its end.
    pub fn pass_header(&self, case: SubmissionId, expires: OffsetDateTime, message: &[u8]) -> String {
        let expires = expires.unix_timestamp();
        let below = &message[leading_trace(message)..];
        format!(
            "{PASS}: {case} {expires} {}\r\n",
            hex(&self.pass.mac(&pass_fields(&case, &expires.to_be_bytes(), below)))
        )
    }

    /// Identifies a hand-in for the retry record.
    pub(in crate::intake) fn retry_key(
        &self,
        sender: &str,
        recipients: &mut [&str],
        below: &[u8],
        peer: &str,
    ) -> [u8; 32] {
        recipients.sort_unstable();
        let mut fields = Vec::with_capacity(recipients.len() + 3);
        fields.push(sender.as_bytes());
        fields.extend(recipients.iter().map(|recipient| recipient.as_bytes()));
        fields.extend([below, peer.as_bytes()]);
        self.retry.mac(&fields)
    }

    /// Tells a message whichever of its transactions brings it. None without a Message-ID: many a script sends the same
    /// text to one after the other, and each is a message of its own.
    pub(in crate::intake) fn split_key(&self, sender: &str, message: &Message) -> Option<SplitKey> {
        let message_id = message.header("Message-ID").filter(|id| !id.is_empty())?;
        let date = message.header("Date").unwrap_or_default();
        let sender = sender.to_lowercase();
        let mac = self.split.mac(&[sender.as_bytes(), message_id.as_bytes(), date.as_bytes(), &message.text_digest()]);
        mac.first_chunk().copied().map(SplitKey)
    }

    /// Looks at the header of a message that came in.
    pub fn examine(&self, message: &[u8], now: OffsetDateTime) -> Trace {
        let end = leading_trace(message);
        let mut trace = Trace { end, received: 0, marks: 0, pass: None };
        for field in fields(message) {
            if is_named(&message[field.clone()], "Received") {
                trace.received += 1;
                trace.marks += usize::from(self.is_marked(&message[field]));
            } else if field.end <= end && trace.pass.is_none() && is_named(&message[field.clone()], PASS) {
                let case = self.passed(&message[field.clone()], &message[end..], now);
                trace.pass = case.map(|case| Pass { case, field });
            }
        }
        trace
    }

    fn is_marked(&self, field: &[u8]) -> bool {
        let Ok(text) = std::str::from_utf8(field) else { return false };
        let Some((before, behind)) = text.split_once("(outgate ") else { return false };
        let id = before.split_ascii_whitespace().last().and_then(|word| word.parse::<SubmissionId>().ok());
        let mark = behind.split_once(')').and_then(|(mark, _)| unhex(mark));
        matches!((id, mark), (Some(id), Some(mark))
            if mark.len() == MARK_BYTES && self.mark.verify(&[id.as_bytes()], &mark))
    }

    fn passed(&self, field: &[u8], below: &[u8], now: OffsetDateTime) -> Option<SubmissionId> {
        let text = std::str::from_utf8(field).ok()?;
        let mut words = text.split_once(':')?.1.split_ascii_whitespace();
        let case: SubmissionId = words.next()?.parse().ok()?;
        let expires: i64 = words.next()?.parse().ok()?;
        let tag = unhex(words.next()?)?;
        let genuine = tag.len() == 32 && self.pass.verify(&pass_fields(&case, &expires.to_be_bytes(), below), &tag);
        (genuine && words.next().is_none() && now.unix_timestamp() < expires).then_some(case)
    }
}

/// The protocol by which a message came (RFC 3848; RFC 6531 4.3 for UTF-8).
fn with(origin: &Origin, utf8: bool) -> String {
    let with = match (utf8, origin.esmtp) {
        (true, _) => "UTF8SMTP",
        (false, true) => "ESMTP",
        // Without extensions there is neither STARTTLS nor AUTH to speak of.
        (false, false) => return "SMTP".into(),
    };
    let logged_in = origin.user.as_ref().is_some_and(|user| user.certainty == Certainty::Authenticated);
    let tls = if origin.tls.is_some() { "S" } else { "" };
    format!("{with}{tls}{}", if logged_in { "A" } else { "" })
}

/// What the header of a message says of its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// Where the leading trace headers end.
    pub end: usize,
    /// Received fields in the whole header.
    pub received: usize,
    /// Those with a mark of ours.
    pub marks: usize,
    pub pass: Option<Pass>,
}

/// A pass that is valid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pass {
    pub case: SubmissionId,
    /// The whole field, to be taken out.
    pub field: Range<usize>,
}

/// Half of SHA-256: short enough for a header line, and nobody forges it.
const MARK_BYTES: usize = 16;

fn pass_fields<'a>(case: &'a SubmissionId, expires: &'a [u8], below: &'a [u8]) -> [&'a [u8]; 3] {
    [case.as_bytes(), expires, below]
}

/// The length of the leading trace headers.
pub fn leading_trace(message: &[u8]) -> usize {
    fields(message)
        .take_while(|field| TRACE.iter().any(|name| is_named(&message[field.clone()], name)))
        .last()
        .map_or(0, |field| field.end)
}

/// The header's fields, folded lines included (RFC 5322 2.2), up to the first line that is none.
pub(in crate::intake) fn fields(message: &[u8]) -> impl Iterator<Item = Range<usize>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let start = at;
        let mut end = line_end(message, start);
        let line = &message[start..end];
        if line.is_empty() || line.starts_with(b"\r\n") || memchr(b':', line).is_none() {
            return None;
        }
        while matches!(message.get(end), Some(b' ' | b'\t')) {
            end = line_end(message, end);
        }
        at = end;
        Some(start..end)
    })
}

fn line_end(message: &[u8], from: usize) -> usize {
    memchr(b'\n', &message[from..]).map_or(message.len(), |offset| from + offset + 1)
}

pub(in crate::intake) fn is_named(field: &[u8], name: &str) -> bool {
    let colon = memchr(b':', field).unwrap_or(field.len());
    field[..colon].trim_ascii_end().eq_ignore_ascii_case(name.as_bytes())
}

pub(super) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |value: u8| char::from(DIGITS[usize::from(value & 15)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(*byte)]).collect()
}

pub(super) fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    let pairs = text.as_bytes().chunks_exact(2);
    if !pairs.remainder().is_empty() {
        return None;
    }
    pairs.map(|pair| Some((digit(pair[0])? << 4) | digit(pair[1])?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::{Door, User};
    use std::time::Duration;

    const NOW: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

    fn seals(master: u8) -> Seals {
        Seals::new(&Keys::new(&[master; 32]))
    }

    fn origin() -> Origin {
        let address = "192.0.2.1".parse().unwrap();
        Origin {
            address,
            helo: "client.example".into(),
            esmtp: true,
            tls: None,
            user: None,
            door: Door::Smtp,
            via: None,
        }
    }

    fn received(seals: &Seals) -> String {
        seals.received(SubmissionId::fresh(), &origin(), "gate.example", false, NOW)
    }

    #[test]
    fn our_received_header_reads_as_rfc_5321_wants_it() {
        let id: SubmissionId = "01935f7e-8f00-7000-8000-000000000001".parse().unwrap();
        let header = seals(1).received(id, &origin(), "gate.example", false, NOW);
        let mark = header.split_once("(outgate ").unwrap().1.split_once(')').unwrap().0;
        assert_eq!(mark.len(), 32);
        assert_eq!(
            header.replace(mark, "MARK"),
            "Received: from client.example ([192.0.2.1])\r\n\tby gate.example with ESMTP id \
             01935f7e-8f00-7000-8000-000000000001\r\n\t(outgate MARK); Thu, 01 Jan 1970 00:00:00 +0000\r\n"
        );
    }

    #[test]
    fn the_protocol_says_whether_it_was_encrypted_and_whose_it_was() {
        let tls = Some("TLSv1.3 with cipher X".to_string());
        let user = |certainty| Some(User { name: "ann".to_string().into(), certainty });
        for (esmtp, tls, user, utf8, expected) in [
            (false, None, None, false, "SMTP"),
            (true, None, None, false, "ESMTP"),
            (true, tls.clone(), None, false, "ESMTPS"),
            (true, tls.clone(), user(Certainty::Authenticated), false, "ESMTPSA"),
            (true, None, user(Certainty::Authenticated), false, "ESMTPA"),
            (true, tls.clone(), user(Certainty::Attested), false, "ESMTPS"),
            (true, None, None, true, "UTF8SMTP"),
            (true, tls, user(Certainty::Authenticated), true, "UTF8SMTPSA"),
        ] {
            assert_eq!(with(&Origin { esmtp, tls, user, ..origin() }, utf8), expected);
        }
    }

    #[test]
    fn only_our_own_marks_count() {
        let ours = received(&seals(1));
        let foreign = received(&seals(2));
        let forged = ours.replacen("id 0", "id 1", 1);
        let message = format!("{ours}{foreign}{forged}Received: from a\r\n (outgate)\r\nSubject: x\r\n{ours}\r\nbody");
        let trace = seals(1).examine(message.as_bytes(), NOW);
        assert_eq!((trace.received, trace.marks), (5, 2));
        assert_eq!(trace.end, message.find("Subject").unwrap());
        let body = format!("Subject: x\r\n\r\n{ours}{ours}");
        assert_eq!(seals(1).examine(body.as_bytes(), NOW), Trace { end: 0, received: 0, marks: 0, pass: None });
    }

    #[test]
    fn a_pass_is_good_for_its_message_and_its_time() {
        let (case, message) = (SubmissionId::fresh(), "Received: from a\r\n\tby b\r\nSubject: x\r\n\r\nbody\r\n");
        let header = seals(1).pass_header(case, NOW + Duration::from_secs(60), message.as_bytes());
        let carried = format!("Received: by hop\r\n{header}{message}");
        let check = |seals: &Seals, message: &str, now| seals.examine(message.as_bytes(), now).pass;
        let pass = check(&seals(1), &carried, NOW).expect("valid");
        assert_eq!((pass.case, &carried[pass.field]), (case, header.as_str()));
        assert_eq!(check(&seals(2), &carried, NOW), None, "another key");
        assert_eq!(check(&seals(1), &carried, NOW + Duration::from_secs(60)), None, "expired");
        assert_eq!(check(&seals(1), &carried.replace("body", "bodY"), NOW), None, "other bytes");
        let other = SubmissionId::fresh().to_string();
        assert_eq!(check(&seals(1), &carried.replace(&case.to_string(), &other), NOW), None, "another case");
        let below = format!("Subject: x\r\n{header}\r\nbody\r\n");
        assert_eq!(check(&seals(1), &below, NOW), None, "only among the leading trace headers");
    }

    #[test]
    fn leading_trace_headers() {
        for (message, end) in [
            ("", 0),
            ("\r\nbody", 0),
            ("Subject: x\r\n\r\n", 0),
            ("Received: a\r\n", 13),
            ("received : a\r\n\tb\r\nReturn-Path: <>\r\nDelivered-To: x\r\nDate: y\r\n\r\n", 52),
            ("Received: a\r\nno colon\r\nReceived: b\r\n", 13),
            ("Received: a", 11),
        ] {
            assert_eq!(leading_trace(message.as_bytes()), end, "{message}");
        }
    }

    #[test]
    fn the_retry_key_does_not_know_the_order_of_recipients() {
        let seals = seals(1);
        let key = |recipients: &mut [&str], peer| seals.retry_key("a@b.example", recipients, b"body", peer);
        assert_eq!(key(&mut ["x@y.example", "z@y.example"], "p"), key(&mut ["z@y.example", "x@y.example"], "p"));
        assert_ne!(key(&mut ["x@y.example"], "p"), key(&mut ["x@y.example"], "q"));
    }
}
