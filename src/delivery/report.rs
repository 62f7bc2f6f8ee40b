//! Delivery reports (RFC 3464) for what we answered 250 to and could not deliver, or delivered to a hop that will
//! not report itself. They return the header alone, whatever RET asks for: personal data need not travel twice.

use super::notice::message_id;
use crate::{
    mail::{Address, Envelope, ForwardPath, Parameter, ReversePath, SubmissionId, wire::Reply},
    quarantine::{ItemKind, OutboxItem},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use memchr::memmem;
use std::fmt::Write;
use time::{OffsetDateTime, format_description::well_known::Rfc2822};

/// As much of the message's header goes back.
const RETURNED_HEADER: usize = 64 << 10;

/// Who writes the reports.
#[derive(Clone, Debug)]
pub struct Reporter {
    /// `[notices] from`.
    pub from: Address,
    pub hostname: String,
}

/// What became of a recipient (RFC 3464 2.3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Refused for good.
    Failed,
    /// Given up after days of trying.
    Expired,
    /// Taken by a hop without DSN, for a sender who asked to hear of success.
    Relayed,
}

/// One recipient of a report.
#[derive(Debug)]
pub struct Reported<'a> {
    pub recipient: &'a ForwardPath,
    pub fate: Fate,
    /// The hop's last answer, unless it was never reached.
    pub reply: Option<&'a Reply>,
}

impl Reported<'_> {
    /// Whether the sender wants to hear of it (RFC 3461 4.1; failures are the default).
    pub fn is_wanted(&self) -> bool {
        let notify = self.recipient.parameter("NOTIFY").and_then(Parameter::value);
        let asks = |word: &str| notify.map(|list| list.split(',').any(|entry| entry.eq_ignore_ascii_case(word)));
        match self.fate {
            Fate::Relayed => asks("SUCCESS").unwrap_or(false),
            Fate::Failed | Fate::Expired => asks("FAILURE").unwrap_or(true),
        }
    }

    fn action(&self) -> &'static str {
        if self.fate == Fate::Relayed { "relayed" } else { "failed" }
    }

    /// RFC 3463: the hop's enhanced code where its class fits, else what the reply's class says.
    fn status(&self) -> String {
        let (class, other) = match self.fate {
            Fate::Failed => (5, (5, 0, 0)),
            Fate::Expired => (5, (5, 4, 7)),
            Fate::Relayed => (2, (2, 0, 0)),
        };
        let told = self.reply.and_then(Reply::enhanced).filter(|enhanced| enhanced.0 == class);
        let (class, subject, detail) = told.unwrap_or(other);
        format!("{class}.{subject}.{detail}")
    }
}

impl Reporter {
    /// The report about `reported` to the sender of `item`, as an item of the same case. None where nobody may be
    /// told: null sender (RFC 3464 2), or no recipient for whom it is wanted. `accepted` is when we took the
    /// message.
    pub fn write(
        &self,
        item: &OutboxItem,
        reported: &[Reported<'_>],
        accepted: OffsetDateTime,
        now: OffsetDateTime,
    ) -> Option<OutboxItem> {
        let sender = item.envelope.sender.address.as_ref()?;
        let wanted: Vec<_> = reported.iter().filter(|reported| reported.is_wanted()).collect();
        if wanted.is_empty() {
            return None;
        }
        let id = SubmissionId::fresh();
        let boundary = format!("report-{id}");
        let header = header_of(&item.content);
        let mut text = self.header(id, sender, &wanted, header, &boundary, now);
        part(&mut text, &boundary, "text/plain; charset=utf-8", &told(&wanted));
        part(&mut text, &boundary, "message/delivery-status", &self.status(&item.envelope, &wanted, accepted, now));
        let mut content = text.into_bytes();
        returned(&mut content, &boundary, header);
        content.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
        Some(OutboxItem { id, case: item.case, kind: ItemKind::Report, envelope: envelope_to(sender), content })
    }

    fn header(
        &self,
        id: SubmissionId,
        sender: &Address,
        wanted: &[&Reported<'_>],
        original: &[u8],
        boundary: &str,
        now: OffsetDateTime,
    ) -> String {
        let subject = match wanted.iter().all(|reported| reported.fate == Fate::Relayed) {
            true => "Your message was passed on",
            false => "Your message could not be delivered",
        };
        let mut text = String::new();
        let mut field = |name: &str, value: &str| text.push_str(&format!("{name}: {value}\r\n"));
        field("From", &format!("Mail delivery <{}>", self.from.as_str()));
        field("To", &format!("<{}>", sender.as_str()));
        field("Subject", subject);
        field("Date", &date(now));
        field("Message-ID", &format!("<{id}@{}>", self.hostname));
        // RFC 3834 5, so that nothing answers it.
        field("Auto-Submitted", "auto-replied");
        if let Some(original) = original_id(original) {
            field("In-Reply-To", &original);
            field("References", &original);
        }
        field("MIME-Version", "1.0");
        // RFC 6522 3.
        let parameters = format!("report-type=delivery-status;\r\n boundary=\"{boundary}\"");
        field("Content-Type", &format!("multipart/report; {parameters}"));
        text.push_str("\r\n");
        text
    }

    /// The fields of message/delivery-status (RFC 3464 2.1).
    fn status(
        &self,
        envelope: &Envelope,
        wanted: &[&Reported<'_>],
        accepted: OffsetDateTime,
        now: OffsetDateTime,
    ) -> String {
        let mut text = format!("Reporting-MTA: dns; {}\r\n", self.hostname);
        let envelope_id = envelope.sender.parameter("ENVID").and_then(Parameter::value).and_then(from_xtext);
        if let Some(envelope_id) = envelope_id {
            text.push_str(&format!("Original-Envelope-Id: {envelope_id}\r\n"));
        }
        text.push_str(&format!("Arrival-Date: {}\r\n", date(accepted)));
        for reported in wanted {
            text.push_str("\r\n");
            if let Some((kind, address)) = original_recipient(reported.recipient) {
                text.push_str(&format!("Original-Recipient: {kind}; {address}\r\n"));
            }
            text.push_str(&format!("Final-Recipient: {}\r\n", typed(&reported.recipient.address)));
            text.push_str(&format!("Action: {}\r\nStatus: {}\r\n", reported.action(), reported.status()));
            if let Some(reply) = reported.reply {
                text.push_str(&format!("Diagnostic-Code: smtp; {}\r\n", said(reply, "\r\n ")));
            }
            text.push_str(&format!("Last-Attempt-Date: {}\r\n", date(now)));
        }
        text
    }
}

/// To the sender, from nobody, so that nothing can bounce back.
fn envelope_to(sender: &Address) -> Envelope {
    let utf8 = (!sender.as_str().is_ascii()).then_some(["BODY=8BITMIME", "SMTPUTF8"]);
    let parameters = utf8.into_iter().flatten().map(Parameter::new).collect();
    let recipients = vec![ForwardPath { address: sender.clone(), parameters: Vec::new() }];
    Envelope { sender: ReversePath { address: None, parameters }, recipients }
}

/// The text a person reads.
fn told(wanted: &[&Reported<'_>]) -> String {
    let mut text = String::from("This is an automatic report about a message of yours.\r\n");
    for (fate, sentence) in [
        (Fate::Failed, "It could not be delivered to these recipients, and will not be tried again:"),
        (Fate::Expired, "It could not be delivered to these recipients for days, and will not be tried again:"),
        (Fate::Relayed, "It was passed on to these recipients; their mail server sends no confirmation:"),
    ] {
        let mut of_this = wanted.iter().filter(|reported| reported.fate == fate).peekable();
        if of_this.peek().is_some() {
            text.push_str(&format!("\r\n{sentence}\r\n"));
        }
        for reported in of_this {
            text.push_str(&format!("\r\n  {}\r\n", reported.recipient.address.as_str()));
            if let Some(reply) = reported.reply.filter(|_| fate != Fate::Relayed) {
                text.push_str(&format!("  The next mail server said: {}\r\n", said(reply, "\r\n  ")));
            }
        }
    }
    text.push_str("\r\nThe header of the message is attached.\r\n");
    text
}

/// A reply on one line or several. Its text is clean ASCII (`Reply`).
fn said(reply: &Reply, fold: &str) -> String {
    let enhanced =
        reply.enhanced().map_or(String::new(), |(class, subject, detail)| format!("{class}.{subject}.{detail} "));
    format!("{} {enhanced}{}", reply.code(), reply.lines().join(fold)).trim_end().to_string()
}

/// A part of UTF-8 text; base64 only where it must be.
fn part(out: &mut String, boundary: &str, kind: &str, text: &str) {
    out.push_str(&format!("\r\n--{boundary}\r\nContent-Type: {kind}\r\n"));
    if text.is_ascii() {
        out.push_str("\r\n");
        out.push_str(text);
    } else {
        out.push_str("Content-Transfer-Encoding: base64\r\n\r\n");
        out.push_str(&base64_lines(text.as_bytes()));
    }
}

/// The message's own header (RFC 6522 4). As base64 when a byte or a line of it needs that.
fn returned(out: &mut Vec<u8>, boundary: &str, header: &[u8]) {
    out.extend_from_slice(format!("\r\n--{boundary}\r\nContent-Type: text/rfc822-headers\r\n").as_bytes());
    let plain = header.is_ascii() && header.split(|byte| *byte == b'\n').all(|line| line.len() <= 998);
    if plain {
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(header);
    } else {
        out.extend_from_slice(b"Content-Transfer-Encoding: base64\r\n\r\n");
        out.extend_from_slice(base64_lines(header).as_bytes());
    }
}

fn base64_lines(bytes: &[u8]) -> String {
    bytes.chunks(57).fold(String::new(), |mut text, line| {
        STANDARD.encode_string(line, &mut text);
        text.push_str("\r\n");
        text
    })
}

/// The header block without the empty line, cut between two lines.
fn header_of(content: &[u8]) -> &[u8] {
    let end = memmem::find(content, b"\r\n\r\n").map_or(content.len(), |at| at + 2);
    let header = &content[..end.min(RETURNED_HEADER)];
    let whole = memmem::rfind(header, b"\r\n").map_or(0, |at| at + 2);
    &header[..whole]
}

/// The message's own id, where it is one.
fn original_id(header: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(header).replace("\r\n ", " ").replace("\r\n\t", " ");
    let mut fields = text.lines().filter_map(|line| line.split_once(':'));
    let (_, value) = fields.find(|(name, _)| name.trim_end().eq_ignore_ascii_case("Message-ID"))?;
    message_id(value)
}

/// Address type and address for a 7-bit report (RFC 3464 2.3.2, RFC 6533 3).
fn typed(address: &Address) -> String {
    if address.as_str().is_ascii() {
        return format!("rfc822; {}", address.as_str());
    }
    let mut text = String::from("utf-8; ");
    for c in address.as_str().chars() {
        if c.is_ascii() && c != '\\' {
            text.push(c);
        } else {
            let _ = write!(text, "\\x{{{:X}}}", u32::from(c));
        }
    }
    text
}

/// What ORCPT says (RFC 3461 4.2): the type, and the address with its xtext undone.
fn original_recipient(recipient: &ForwardPath) -> Option<(&str, String)> {
    let (kind, address) = recipient.parameter("ORCPT")?.value()?.split_once(';')?;
    let atom = !kind.is_empty() && kind.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    // utf-8 addresses have an encoding of their own, which stands in reports as it came (RFC 6533 3).
    let address = if kind.eq_ignore_ascii_case("utf-8") {
        address.bytes().all(|byte| byte.is_ascii_graphic()).then(|| address.to_string())
    } else {
        from_xtext(address)
    };
    atom.then_some(kind).zip(address)
}

/// Undoes xtext (RFC 3461 4). None when that is not printable ASCII: it is to stand in a header field.
fn from_xtext(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let byte = match byte {
            b'+' => {
                let mut digit = || char::from(bytes.next()?).to_digit(16);
                u8::try_from(digit()? * 16 + digit()?).ok()?
            }
            byte => byte,
        };
        (b' '..=b'~').contains(&byte).then_some(())?;
        out.push(char::from(byte));
    }
    (!out.is_empty()).then_some(out)
}

fn date(at: OffsetDateTime) -> String {
    // Fails only for years that RFC 2822 cannot write.
    at.format(&Rfc2822).unwrap_or_else(|_| "Thu, 01 Jan 1970 00:00:00 +0000".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use mail_parser::{MessageParser, MimeHeaders};
    use proptest::prelude::*;

    const AT: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

    fn address(text: &str) -> Address {
        Address::parse(text).expect("an address")
    }

    fn recipient(text: &str, parameters: &[&str]) -> ForwardPath {
        let parameters = parameters.iter().map(|written| Parameter::new(*written)).collect();
        ForwardPath { address: address(text), parameters }
    }

    fn item(sender: Option<&str>, parameters: &[&str], content: &[u8]) -> OutboxItem {
        let parameters = parameters.iter().map(|written| Parameter::new(*written)).collect();
        let sender = ReversePath { address: sender.map(address), parameters };
        let envelope = Envelope { sender, recipients: Vec::new() };
        let (id, case) = (SubmissionId::fresh(), SubmissionId::fresh());
        OutboxItem { id, case, kind: ItemKind::Release, envelope, content: content.to_vec() }
    }

    fn reporter() -> Reporter {
        Reporter { from: address("outgate@ours.example"), hostname: "gate.ours.example".into() }
    }

    fn write(item: &OutboxItem, reported: &[Reported<'_>]) -> Option<OutboxItem> {
        reporter().write(item, reported, AT, AT + time::Duration::DAY)
    }

    const CONTENT: &[u8] = b"Received: x\r\nMessage-ID:\r\n <one@ours.example>\r\nSubject: hi\r\n\r\nsecret body\r\n";

    #[test]
    fn a_failure_is_told_in_words_and_fields() {
        let item = item(Some("ann@ours.example"), &["ENVID=a+2Bb"], CONTENT);
        let bob = recipient("bob@else.example", &["ORCPT=rfc822;bob+2Bx@old.example"]);
        let cat = recipient("cat@else.example", &["NOTIFY=NEVER"]);
        let reply = Reply::new(550, (5, 1, 1), "no such user\nreally");
        let reported = [
            Reported { recipient: &bob, fate: Fate::Failed, reply: Some(&reply) },
            Reported { recipient: &cat, fate: Fate::Failed, reply: Some(&reply) },
        ];
        let report = write(&item, &reported).expect("a report");
        assert_eq!((report.case, report.kind), (item.case, ItemKind::Report));
        assert!(report.envelope.sender.is_null() && report.envelope.sender.parameters.is_empty());
        assert_eq!(report.envelope.recipients, [recipient("ann@ours.example", &[])]);
        assert!(!memmem::find(&report.content, b"secret body").is_some_and(|_| true));

        let message = MessageParser::default().parse(&report.content).expect("a message");
        let kind = message.content_type().expect("a type");
        assert_eq!((kind.c_type.as_ref(), kind.c_subtype.as_deref()), ("multipart", Some("report")));
        assert_eq!(kind.attribute("report-type"), Some("delivery-status"));
        assert_eq!(message.header_raw("Auto-Submitted").map(str::trim), Some("auto-replied"));
        assert_eq!(message.header_raw("In-Reply-To").map(str::trim), Some("<one@ours.example>"));
        assert_eq!(message.parts.len(), 4);
        let text = std::str::from_utf8(message.parts[1].contents()).expect("text");
        assert!(text.contains("bob@else.example") && text.contains("no such user"), "{text}");
        assert!(!text.contains("cat@"), "nobody asked to hear of that one");
        let status = "Reporting-MTA: dns; gate.ours.example\r\n\
            Original-Envelope-Id: a+b\r\n\
            Arrival-Date: Thu, 01 Jan 1970 00:00:00 +0000\r\n\
            \r\n\
            Original-Recipient: rfc822; bob+x@old.example\r\n\
            Final-Recipient: rfc822; bob@else.example\r\n\
            Action: failed\r\n\
            Status: 5.1.1\r\n\
            Diagnostic-Code: smtp; 550 5.1.1 no such user\r\n really\r\n\
            Last-Attempt-Date: Fri, 02 Jan 1970 00:00:00 +0000";
        let written = std::str::from_utf8(message.parts[2].contents()).expect("fields");
        assert_eq!(written.trim_end(), status);
        let header = std::str::from_utf8(message.parts[3].contents()).expect("a header");
        assert_eq!(header.trim_end(), "Received: x\r\nMessage-ID:\r\n <one@ours.example>\r\nSubject: hi");
    }

    #[test]
    fn who_wants_to_hear() {
        let table = [
            (Fate::Failed, &[][..], true),
            (Fate::Failed, &["NOTIFY=NEVER"], false),
            (Fate::Failed, &["notify=Failure,DELAY"], true),
            (Fate::Failed, &["NOTIFY=SUCCESS"], false),
            (Fate::Expired, &["NOTIFY=SUCCESS"], false),
            (Fate::Expired, &[], true),
            (Fate::Relayed, &[], false),
            (Fate::Relayed, &["NOTIFY=FAILURE"], false),
            (Fate::Relayed, &["NOTIFY=success,failure"], true),
        ];
        for (fate, parameters, wanted) in table {
            let bob = recipient("bob@else.example", parameters);
            let reported = [Reported { recipient: &bob, fate, reply: None }];
            assert_eq!(
                write(&item(Some("a@ours.example"), &[], CONTENT), &reported).is_some(),
                wanted,
                "{parameters:?}"
            );
            assert!(write(&item(None, &[], CONTENT), &reported).is_none(), "never to the null sender");
        }
    }

    #[test]
    fn status_codes_fit_the_fate() {
        let bob = recipient("bob@else.example", &[]);
        let later = Reply::new(451, (4, 7, 1), "later");
        let plain = Reply::plain(554, "no");
        let queued = Reply::new(250, (2, 6, 0), "queued");
        for (fate, reply, status) in [
            (Fate::Failed, Some(&plain), "5.0.0"),
            (Fate::Expired, Some(&later), "5.4.7"),
            (Fate::Expired, None, "5.4.7"),
            (Fate::Relayed, Some(&queued), "2.6.0"),
        ] {
            assert_eq!(Reported { recipient: &bob, fate, reply }.status(), status);
        }
    }

    #[test]
    fn other_scripts_travel_in_seven_bits_except_the_senders_own_address() {
        let utf8 = "Subject: gr\u{fc}n\r\n\r\nx\r\n".as_bytes();
        let bob = recipient("gr\u{fc}n@else.example", &[]);
        let reported = [Reported { recipient: &bob, fate: Fate::Expired, reply: None }];
        let plain = write(&item(Some("ann@ours.example"), &[], utf8), &reported).expect("a report");
        assert!(plain.content.is_ascii());
        assert!(memmem::find(&plain.content, b"Final-Recipient: utf-8; gr\\x{FC}n@else.example\r\n").is_some());
        let message = MessageParser::default().parse(&plain.content).expect("a message");
        assert_eq!(message.parts[3].contents(), "Subject: gr\u{fc}n\r\n".as_bytes());
        assert!(plain.envelope.sender.parameters.is_empty());

        let own = write(&item(Some("gr\u{fc}n@ours.example"), &[], utf8), &reported).expect("a report");
        assert!(own.envelope.sender.smtputf8() && own.envelope.sender.eight_bit());
    }

    proptest! {
        #[test]
        fn hostile_words_add_no_line(
            envid in "[ -~]{0,20}(\\+0D\\+0A|\\+0d|\\+00)?[ -~]{0,20}",
            said in "\\PC{0,30}[\r\n]{0,2}\\PC{0,30}",
            header in "Message-ID: <[ -~\r\n\t]{0,40}>\r\n",
        ) {
            let fields = |item: &OutboxItem, reply: &Reply| -> Vec<String> {
                let bob = recipient("bob@else.example", &[]);
                let reported = [Reported { recipient: &bob, fate: Fate::Failed, reply: Some(reply) }];
                let report = write(item, &reported).expect("a report");
                let text = String::from_utf8(report.content).expect("text");
                let (head, body) = text.split_once("\r\n\r\n").expect("a header");
                let status = body.split("message/delivery-status\r\n\r\n").nth(1).expect("a status");
                let status = status.split("\r\n--").next().expect("an end");
                let lines = head.lines().chain(status.lines()).filter(|line| !line.starts_with(' '));
                lines.map(|line| line.split(':').next().unwrap_or_default().to_string())
                    .filter(|name| !["In-Reply-To", "References", "Original-Envelope-Id"].contains(&name.as_str()))
                    .collect()
            };
            let calm = fields(&item(Some("ann@ours.example"), &[], CONTENT), &Reply::plain(550, "no"));
            let content = format!("{header}\r\nbody\r\n");
            let envid = format!("ENVID={envid}");
            let hostile = item(Some("ann@ours.example"), &[&envid], content.as_bytes());
            prop_assert_eq!(fields(&hostile, &Reply::plain(550, &said)), calm);
        }
    }
}
