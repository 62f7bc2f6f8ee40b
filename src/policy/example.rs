//! A rule's own test, `[[test]]`: a message in a few words, and whether the rule must match it.

use super::{Earlier, clause::domain, condition::UNREAD, follow::Followed};
use crate::{
    diagnostic::{Diagnostic, Table},
    mail::{Address, UnreadReason},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use std::{fmt::Write as _, sync::Arc};

/// Who writes and reads when a test says nothing of it.
const AUTHOR: &str = "author@ours.example";
const READER: &str = "client@elsewhere.example";

/// One test as written.
#[derive(Clone, Debug)]
pub struct Example {
    pub name: String,
    /// Whether the rule must match.
    pub expect: bool,
    /// None: the null sender.
    pub sender: Option<Address>,
    /// The account that handed it in, authenticated.
    pub user: Option<String>,
    pub from: Address,
    to: Recipients,
    cc: Recipients,
    bcc: Recipients,
    /// So many others outside had the message in earlier transactions.
    earlier: Many,
    subject: String,
    text: Option<String>,
    html: Option<String>,
    attachments: Vec<Attachment>,
    /// Whole fields without their line end.
    headers: Vec<String>,
    /// The visible recipients already see each other in this thread.
    pub thread_shares: bool,
    /// The message that was stopped before, as it is compared with this one.
    pub followed: Option<Followed>,
    /// A part of the message could not be read, for this reason.
    pub unread: Option<UnreadReason>,
    /// What a look inside its attachment finds, which the rules' tests do not have looked into.
    pub found_inside: Option<Arc<str>>,
}

/// Addresses as written, and as many more as `to-many` says.
#[derive(Clone, Debug, Default)]
struct Recipients {
    named: Vec<Address>,
    many: Many,
    /// The domain of the many.
    at: Option<String>,
}

/// `40`, `limit`, `limit + 1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Many {
    Number(usize),
    Limit(i64),
}

impl Default for Many {
    fn default() -> Self {
        Many::Number(0)
    }
}

#[derive(Clone, Debug)]
struct Attachment {
    name: String,
    content_type: String,
    bytes: Vec<u8>,
}

/// Envelope recipients and bytes of a test's message.
#[derive(Debug)]
pub struct Written {
    pub recipients: Vec<Address>,
    pub bytes: Vec<u8>,
}

/// Reads one `[[test]]`. `limited`: the rule has a count of recipients that `limit` can mean.
pub fn parse(table: &Table<'_>, limited: bool) -> Option<Example> {
    const MAILBOX: &str = "an address such as client@elsewhere.example";
    let name = table.required_text("name");
    let expect = table.required("expect").and_then(|expect| expect.choice(&[("match", true), ("no match", false)]));
    let from = table.parsed("from", MAILBOX, Address::parse);
    let sender = table.parsed("sender", "an address, or <> for none", |text| match text {
        "<>" => Ok(None),
        _ => Address::parse(text).map(Some),
    });
    let user = table.filled_text("user").map(|user| user.value);
    let many_at = table.parsed("many-at", "a domain such as agency.example", domain).map(|domain| domain.value);
    let [to, cc, bcc] = ["to", "cc", "bcc"].map(|field| Recipients {
        named: table.parsed_list(field, MAILBOX, Address::parse).into_iter().map(|address| address.value).collect(),
        many: many(table, &format!("{field}-many"), limited),
        at: many_at.clone(),
    });
    let earlier = many(table, "earlier-many", limited);
    let subject = table.parsed("subject", "one line", one_line).map(|subject| subject.value);
    let text = table.text("text").map(|text| text.value);
    let html = table.text("html").map(|html| html.value);
    let mut attachments: Vec<Attachment> = table.tables("attachments").iter().filter_map(attachment).collect();
    let headers = table.parsed_list("headers", "fields such as \"Auto-Submitted: auto-replied\"", header);
    let thread_shares = table.flag("thread-already-shares", false);
    let followed = table.table("follows-stopped").and_then(|table| followed(&table));
    let unread = table.value("unread").and_then(|unread| unread.choice(&UNREAD));
    let found_inside = table.filled_text("found-inside").map(|found| Arc::from(found.value));
    if let Some(kib) = table.integer("filled-kib", 1..=2_048) {
        let bytes = vec![b'x'; usize::try_from(kib.value).unwrap_or(0) << 10];
        attachments.push(Attachment {
            name: "filled.bin".into(),
            content_type: "application/octet-stream".into(),
            bytes,
        });
    }
    table.finish();
    let from = from.map(|from| from.value).or_else(|| Address::parse(AUTHOR).ok())?;
    Some(Example {
        name: name?.value,
        expect: expect?.value,
        sender: sender.map_or_else(|| Some(from.clone()), |sender| sender.value),
        user,
        from,
        to,
        cc,
        bcc,
        earlier,
        subject: subject.unwrap_or_else(|| "A test".into()),
        text,
        html,
        attachments,
        headers: headers.into_iter().map(|header| header.value).collect(),
        thread_shares,
        followed,
        unread: unread.map(|unread| unread.value),
        found_inside,
    })
}

/// `{ minutes = 5, shared = 9, people = 10 }`.
fn followed(table: &Table<'_>) -> Option<Followed> {
    let minutes = table.required("minutes").and_then(|minutes| minutes.number(0.0..=10_000.0));
    let count =
        |key| table.required(key).and_then(|count| count.integer(0..=100_000)).map(|count| count.value as usize);
    let (shared, people) = (count("shared"), count("people"));
    table.finish();
    Some(Followed { minutes: minutes?.value, shared: shared?, people: people? })
}

fn many(table: &Table<'_>, key: &str, limited: bool) -> Many {
    let Some(value) = table.value(key) else { return Many::default() };
    let allowed = "a number up to 2000, or a text such as \"limit + 1\"";
    if value.is_integer() {
        let number = value.integer(0..=2000).and_then(|number| usize::try_from(number.value).ok());
        return Many::Number(number.unwrap_or(0));
    }
    let limit = value.parsed(allowed, |text| {
        let rest = text.strip_prefix("limit").ok_or("not a number of recipients")?.replace(' ', "");
        let more: i64 = if rest.is_empty() { 0 } else { rest.parse().map_err(|_| "not a number of recipients")? };
        if more.abs() > 1000 { Err("too many") } else { Ok(more) }
    });
    let Some(limit) = limit else { return Many::default() };
    if !limited {
        let message = "`limit` means nothing here: [when] has no count of recipients";
        table.mistake(Diagnostic::new(table.source(), limit.at, message).with_allowed("allowed: a number"));
    }
    Many::Limit(limit.value)
}

fn attachment(table: &Table<'_>) -> Option<Attachment> {
    let name = table.required("name").and_then(|name| name.parsed("a file name without quotes", file_name));
    let content_type = table.parsed("type", "a media type such as application/pdf", media_type);
    let text = table.text("text");
    let decode = |text: &str| STANDARD.decode(text.split_whitespace().collect::<String>());
    let binary = table.parsed("base64", "bytes in base64", decode);
    table.finish();
    if table.has("text") == table.has("base64") {
        table.mistake_at(table.at(), "an attachment has either `text` or `base64`");
        return None;
    }
    let bytes = text.map(|text| text.value.into_bytes()).or(binary.map(|binary| binary.value))?;
    let content_type = content_type.map_or_else(|| "application/octet-stream".into(), |found| found.value);
    Some(Attachment { name: name?.value, content_type, bytes })
}

fn one_line(text: &str) -> Result<String, &'static str> {
    if text.chars().any(char::is_control) { Err("more than one line") } else { Ok(text.into()) }
}

fn file_name(text: &str) -> Result<String, &'static str> {
    let good = !text.is_empty() && !text.contains(['"', '\\']);
    if good { one_line(text) } else { Err("not a file name") }
}

fn media_type(text: &str) -> Result<String, &'static str> {
    let token =
        |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"-+._".contains(&b));
    match text.split_once('/') {
        Some((media, subtype)) if token(media) && token(subtype) => Ok(text.into()),
        _ => Err("not a media type"),
    }
}

fn header(text: &str) -> Result<String, &'static str> {
    let (name, _) = text.split_once(':').ok_or("no colon")?;
    super::when::field_name(name)?;
    one_line(text)
}

impl Example {
    /// Whom earlier transactions brought the message to.
    pub fn earlier(&self, limit: usize) -> Earlier {
        let many = self.earlier.count(limit);
        Earlier { people: many, outside: many }
    }

    /// The message. `limit` is the rule's count of recipients; `sample` gives an entry of a word list, for
    /// `{words.NAME}` in texts, so that ugly words stand in the lists alone.
    pub fn write(&self, limit: usize, sample: &dyn Fn(&str) -> Option<String>) -> Written {
        let [to, mut cc, bcc] =
            [("to", &self.to), ("cc", &self.cc), ("bcc", &self.bcc)].map(|(field, given)| given.all(field, limit));
        let mut to = to;
        if to.is_empty() && cc.is_empty() && bcc.is_empty() {
            to.extend(Address::parse(READER));
        }
        let mut message = String::new();
        field(&mut message, "From", &[&self.from]);
        field(&mut message, "To", &to.iter().collect::<Vec<_>>());
        field(&mut message, "Cc", &cc.iter().collect::<Vec<_>>());
        let subject = filled(&self.subject, sample);
        // Fixed: a test's message is the same in every run.
        let _ = write!(
            message,
            "Subject: {subject}\r\nDate: Mon, 02 Feb 2026 09:00:00 +0000\r\nMessage-ID: <test@ours.example>\r\n"
        );
        for header in &self.headers {
            let _ = write!(message, "{header}\r\n");
        }
        message.push_str("MIME-Version: 1.0\r\n");
        self.write_body(&mut message, sample);
        to.append(&mut cc);
        to.extend(bcc);
        Written { recipients: to, bytes: message.into_bytes() }
    }

    fn write_body(&self, message: &mut String, sample: &dyn Fn(&str) -> Option<String>) {
        let text = self.text.as_ref().map(|text| filled(text, sample));
        let html = self.html.as_ref().map(|html| filled(html, sample));
        let mut body = String::new();
        match (&text, &html) {
            (Some(text), Some(html)) => {
                body.push_str("Content-Type: multipart/alternative; boundary=\"inner\"\r\n\r\n");
                for (subtype, content) in [("plain", text), ("html", html)] {
                    let _ = write!(body, "--inner\r\n{}", text_part(subtype, content));
                }
                body.push_str("--inner--\r\n");
            }
            (None, Some(html)) => body = text_part("html", html),
            (text, None) => body = text_part("plain", text.as_deref().unwrap_or("A test.")),
        }
        if self.attachments.is_empty() {
            message.push_str(&body);
            return;
        }
        let _ = write!(message, "Content-Type: multipart/mixed; boundary=\"outer\"\r\n\r\n--outer\r\n{body}");
        for attachment in &self.attachments {
            let Attachment { name, content_type, bytes } = attachment;
            let _ = write!(
                message,
                "--outer\r\nContent-Type: {content_type}; name=\"{name}\"\r\nContent-Transfer-Encoding: base64\r\n\
                 Content-Disposition: attachment; filename=\"{name}\"\r\n\r\n"
            );
            for line in STANDARD.encode(bytes).as_bytes().chunks(76) {
                let _ = write!(message, "{}\r\n", String::from_utf8_lossy(line));
            }
        }
        message.push_str("--outer--\r\n");
    }
}

impl Many {
    fn count(self, limit: usize) -> usize {
        match self {
            Many::Number(number) => number,
            Many::Limit(more) => {
                usize::try_from(i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(more)).unwrap_or(0)
            }
        }
    }
}

impl Recipients {
    fn all(&self, field: &str, limit: usize) -> Vec<Address> {
        let many = self.many.count(limit);
        let at = self.at.as_deref().unwrap_or("elsewhere.example");
        // An organisation's figure has no bound that a message would have.
        let many = (1..=many.min(20_000)).filter_map(|n| Address::parse(&format!("{field}-{n}@{at}")).ok());
        self.named.iter().cloned().chain(many).collect()
    }
}

/// An address field, one mailbox a line (RFC 5322 2.1.1 limits lines to 998 octets).
fn field(message: &mut String, name: &str, addresses: &[&Address]) {
    if addresses.is_empty() {
        return;
    }
    let list = addresses.iter().map(|address| address.as_str()).collect::<Vec<_>>().join(",\r\n ");
    let _ = write!(message, "{name}: {list}\r\n");
}

fn text_part(subtype: &str, content: &str) -> String {
    let lines = content.replace("\r\n", "\n").trim_end_matches('\n').replace('\n', "\r\n");
    let encoding = if lines.is_ascii() { "7bit" } else { "8bit" };
    format!("Content-Type: text/{subtype}; charset=utf-8\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n{lines}\r\n")
}

/// `{words.offensive}` becomes an entry of that list.
fn filled(text: &str, sample: &dyn Fn(&str) -> Option<String>) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{words.") {
        out.push_str(before);
        let end = after.find('}').unwrap_or(after.len());
        let name = format!("words.{}", &after[..end]);
        out.push_str(&sample(&name).unwrap_or(name));
        rest = after.get(end + 1..).unwrap_or_default();
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        diagnostic::{self, Diagnostics, Source},
        mail::Message,
    };

    fn example(text: &str) -> Example {
        let mut diagnostics = Diagnostics::default();
        let read = diagnostic::read(&Source::new("test", text), &mut diagnostics, |table| parse(table, true));
        assert!(diagnostics.is_empty(), "{diagnostics}");
        read.expect("an example")
    }

    #[test]
    fn recipients_are_named_counted_or_assumed() {
        let recipients = |more: &str, limit| {
            let written = example(&format!("name = 'x'\nexpect = 'match'\n{more}")).write(limit, &|_| None);
            let shown = Message::parse(written.bytes.clone());
            (written.recipients.len(), shown.mailboxes("To").len() + shown.mailboxes("Cc").len())
        };
        for (more, limit, counted) in [
            ("", 5, (1, 1)),
            ("to-many = 'limit'", 5, (5, 5)),
            ("to-many = 'limit + 1'", 5, (6, 6)),
            ("cc-many = 'limit - 2'", 5, (3, 3)),
            ("to = ['a@ours.example']\nbcc-many = 40", 5, (41, 1)),
            ("to = 'a@ours.example'\ncc = ['b@ours.example', 'c@ours.example']", 5, (3, 3)),
        ] {
            assert_eq!(recipients(more, limit), counted, "{more}");
        }
        assert_eq!(recipients("bcc-many = 'limit + 1'", 1_000_000).0, 20_000, "no more than can be tried");
    }

    #[test]
    fn the_message_has_its_text_html_attachments_and_fields() {
        let example = example(
            r#"
            name    = "x"
            expect  = "no match"
            sender  = "<>"
            text    = "café {words.roots}\n> quoted\n"
            html    = "<p>Hi</p>"
            headers = ["X-Test: yes"]
            [[attachments]]
            name    = "a.bin"
            base64  = "AAEC"
            [[attachments]]
            name    = "b.txt"
            text    = "b"
            type    = "text/plain"
            "#,
        );
        assert!(example.sender.is_none() && !example.expect);
        let written = example.write(0, &|name| (name == "words.roots").then(|| "turnip".into()));
        let message = Message::parse(written.bytes);
        let types = message.parts().iter().map(|part| &part.content_type);
        let types: Vec<String> = types.map(|found| format!("{}/{}", found.media, found.subtype)).collect();
        let expected = [
            "multipart/mixed",
            "multipart/alternative",
            "text/plain",
            "text/html",
            "application/octet-stream",
            "text/plain",
        ];
        assert_eq!(types, expected);
        assert_eq!(message.text(&message.parts()[2]).text.replace("\r\n", "\n").trim(), "café turnip\n> quoted");
        assert_eq!(&*message.content(&message.parts()[4], 100).0, [0, 1, 2]);
        assert_eq!(message.header("X-Test").as_deref(), Some("yes"));
        assert!(message.unread().is_empty() && message.ambiguous().is_empty(), "{:?}", message.ambiguous());
    }
}
