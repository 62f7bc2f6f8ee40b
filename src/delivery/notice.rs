//! What a sender is told of a held or returned message: which sentence of which policy, what was found
//! (masked), what to do now. Built with lettre, sent through the outbox with the null sender.

mod hidden;
mod joined;

use crate::{
    mail::{Address, Envelope, ForwardPath, ReversePath, SubmissionId},
    quarantine::{Case, CaseHead, Face, FacedGround, HiddenNote, Letter, NoticeWriter},
};
use lettre::{
    Message,
    message::{
        Mailbox, MultiPart, SinglePart,
        header::{ContentType, HeaderName, HeaderValue},
    },
};

/// How notices are written.
#[derive(Clone, Debug)]
pub struct Notices {
    /// `[notices] from`.
    pub from: Address,
    pub own_domains: Vec<String>,
    pub hostname: String,
}

impl NoticeWriter for Notices {
    fn held(&self, head: &CaseHead, face: &Face) -> Option<Letter> {
        if !face.tell_sender {
            return None;
        }
        let opening = "Your message has not been sent yet. It waits for a reviewer of your organisation, \
                       who will release it or send it back to you. You need not send it again.";
        self.write(face, head.id, "Waiting for review", opening)
    }

    fn returned(&self, case: &Case, face: &Face) -> Option<Letter> {
        let opening = "Your message was not sent. A reviewer of your organisation has sent it back to you.";
        self.write(face, case.head.id, "Not sent", opening)
    }

    fn joined(&self, cases: &[(&CaseHead, &Face)]) -> Option<Letter> {
        let told = |(_, face): &(&CaseHead, &Face)| face.tell_sender && self.recipient(face).is_some();
        let cases: Vec<_> = cases.iter().copied().filter(told).collect();
        let (head, face) = *cases.first()?;
        if cases.len() == 1 {
            return self.held(head, face);
        }
        let subject = format!("Waiting for review: {} messages", cases.len());
        let bodies = (joined::plain_body(&cases), html_page(&joined::html_body(&cases)));
        self.letter(self.recipient(face)?, subject, bodies, &[])
    }

    fn hidden(&self, notes: &[HiddenNote]) -> Option<Letter> {
        self.of_hidden(notes)
    }

    fn expired(&self, case: &Case, face: &Face) -> Option<Letter> {
        if !face.tell_sender {
            return None;
        }
        let opening = "Your message was not sent. It waited for a reviewer of your organisation, and nobody has decided in \
                       time. Please speak to them, or send it again without what stopped it.";
        self.write(face, case.head.id, "Not sent", opening)
    }
}

impl Notices {
    /// None for machine mail and for senders that are not our own: we never write to strangers about mail
    /// that may carry a forged sender (backscatter).
    fn recipient<'a>(&self, face: &'a Face) -> Option<&'a Address> {
        let sender = face.envelope.sender.address.as_ref()?;
        let ours = self.own_domains.iter().any(|domain| sender.is_within(domain));
        (ours && !face.automatic).then_some(sender)
    }

    /// A letter about one case.
    fn write(&self, face: &Face, id: SubmissionId, what: &str, opening: &str) -> Option<Letter> {
        let sender = self.recipient(face)?;
        let subject = one_line(face.subject.expose());
        let plain = plain_body(face, id, opening, &subject);
        let html = html_page(&html_body(face, id, opening, &subject));
        let mut fields = vec![("Outgate-Case", id.to_string())];
        if let Some(original) = message_id(face.message_id.expose()) {
            fields.push(("In-Reply-To", original.clone()));
            fields.push(("References", original));
        }
        self.letter(sender, format!("{what}: {subject}"), (plain, html), &fields)
    }

    fn letter(
        &self,
        sender: &Address,
        subject: String,
        bodies: (String, String),
        fields: &[(&'static str, String)],
    ) -> Option<Letter> {
        let content = self.message(sender, subject, bodies, fields)?;
        let recipients = vec![ForwardPath { address: sender.clone(), parameters: Vec::new() }];
        Some(Letter { envelope: Envelope { sender: ReversePath::default(), recipients }, content })
    }

    fn message(
        &self,
        sender: &Address,
        subject: String,
        (plain, html): (String, String),
        fields: &[(&'static str, String)],
    ) -> Option<Vec<u8>> {
        let mut message = Message::builder()
            .from(mailbox(&self.from)?)
            .to(mailbox(sender)?)
            .subject(subject)
            .message_id(Some(format!("<{}@{}>", SubmissionId::fresh(), self.hostname)))
            .multipart(
                MultiPart::alternative()
                    .singlepart(SinglePart::builder().header(ContentType::TEXT_PLAIN).body(plain))
                    .singlepart(SinglePart::builder().header(ContentType::TEXT_HTML).body(html)),
            )
            .ok()?;
        let mut set = |name: &'static str, value: String| {
            message.headers_mut().insert_raw(HeaderValue::new(HeaderName::new_from_ascii_str(name), value));
        };
        // RFC 3834 5: an automatic answer says so, so that nothing answers it.
        set("Auto-Submitted", "auto-replied".into());
        for (name, value) in fields {
            set(name, value.clone());
        }
        Some(message.formatted())
    }
}

fn mailbox(address: &Address) -> Option<Mailbox> {
    Some(Mailbox::new(None, address.as_str().parse().ok()?))
}

/// A message id that may stand in a header: angle brackets, graphic ASCII, at most 250 octets.
pub(super) fn message_id(text: &str) -> Option<String> {
    let text = text.trim();
    let good = text.len() <= 250
        && text.starts_with('<')
        && text.ends_with('>')
        && text.bytes().all(|byte| byte.is_ascii_graphic());
    good.then(|| text.to_string())
}

/// Free text of a message for a line of ours: no control characters, at most 200 characters.
fn one_line(text: &str) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(200).collect();
    if line.trim().is_empty() { "(no subject)".into() } else { line.trim().to_string() }
}

/// The grounds a sender is told of: those that stopped the message.
fn stopping(face: &Face) -> impl Iterator<Item = &FacedGround> {
    face.grounds.iter().filter(|ground| ground.disposition != crate::policy::Disposition::Relay)
}

fn plain_body(face: &Face, id: SubmissionId, opening: &str, subject: &str) -> String {
    let mut body = format!("{opening}\n\nSubject: {subject}\n");
    for ground in stopping(face) {
        body.push_str(&format!("\nWhy: {}\n", one_line(&ground.title)));
        for (clause, text) in &ground.clauses {
            body.push_str(&format!("Policy {}: \"{}\"\n", one_line(clause), text.trim()));
        }
        for (detector, part, excerpt) in &ground.evidence {
            body.push_str(&format!("Found: {} ({detector}, part {part})\n", one_line(excerpt.expose())));
        }
        if !ground.advice.is_empty() {
            body.push_str(&format!("What you can do: {}\n", ground.advice.trim()));
        }
    }
    body.push_str(&format!("\nCase {id}\n"));
    body
}

fn html_body(face: &Face, id: SubmissionId, opening: &str, subject: &str) -> String {
    let mut body = format!("<p>{}</p><p><b>Subject:</b> {}</p>", escape(opening), escape(subject));
    for ground in stopping(face) {
        body.push_str(&format!("<p><b>Why:</b> {}", escape(&one_line(&ground.title))));
        for (clause, text) in &ground.clauses {
            body.push_str(&format!("<br>Policy {}: &ldquo;{}&rdquo;", escape(&one_line(clause)), escape(text.trim())));
        }
        for (detector, part, excerpt) in &ground.evidence {
            let found = escape(&one_line(excerpt.expose()));
            body.push_str(&format!("<br>Found: <code>{found}</code> ({}, part {})", escape(detector), escape(part)));
        }
        if !ground.advice.is_empty() {
            body.push_str(&format!("<br><b>What you can do:</b> {}", escape(ground.advice.trim())));
        }
        body.push_str("</p>");
    }
    body.push_str(&format!("<p>Case {id}</p>"));
    body
}

fn html_page(body: &str) -> String {
    format!("<!DOCTYPE html><html lang=\"en-GB\"><body>{body}</body></html>")
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            _ => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{policy::Category, policy::Disposition, quarantine::State};
    use proptest::prelude::*;
    use time::OffsetDateTime;

    fn notices() -> Notices {
        Notices {
            from: Address::parse("outgate@ours.example").expect("an address"),
            own_domains: vec!["ours.example".into()],
            hostname: "gate.ours.example".into(),
        }
    }

    fn head() -> CaseHead {
        CaseHead {
            id: SubmissionId::fresh(),
            state: State::Waiting,
            category: Category::PersonalData,
            rules: vec!["personal-data-outside".into()],
            bytes: 100,
            received: OffsetDateTime::UNIX_EPOCH,
            expires: OffsetDateTime::UNIX_EPOCH,
            epoch: 1,
        }
    }

    fn face(sender: &str, subject: &str, excerpt: &str) -> Face {
        let sender = Address::parse(sender).expect("an address");
        let to = Address::parse("friend@elsewhere.example").expect("an address");
        Face {
            envelope: Envelope {
                sender: ReversePath { address: Some(sender), parameters: Vec::new() },
                recipients: vec![ForwardPath { address: to, parameters: Vec::new() }],
            },
            author: "Sam".to_string().into(),
            subject: subject.to_string().into(),
            message_id: "<one@ours.example>".to_string().into(),
            user: None,
            grounds: vec![FacedGround {
                tells_hidden: false,
                rule: "personal-data-outside".into(),
                title: "Personal data leaves only encrypted".into(),
                clauses: vec![("A-sensitive".into(), "no transfer of any sensitive information".into())],
                disposition: Disposition::Hold,
                advice: "Encrypt the file and telephone the password.".into(),
                evidence: vec![("personal.uk-nino".into(), "1".into(), excerpt.to_string().into())],
            }],
            edits: Vec::new(),
            trace: String::new().into(),
            automatic: false,
            tell_sender: true,
            undelivered: Vec::new(),
            content: None,
        }
    }

    #[test]
    fn a_held_message_is_explained_to_its_sender() {
        let letter =
            notices().held(&head(), &face("sam@ours.example", "Start date", "QQ ** ** ** C")).expect("a letter");
        assert!(letter.envelope.sender.is_null());
        assert_eq!(letter.envelope.recipients[0].address.as_str(), "sam@ours.example");
        let message = mail_parser::MessageParser::default().parse(&letter.content).expect("a message");
        assert_eq!(message.subject(), Some("Waiting for review: Start date"));
        assert_eq!(message.header_raw("Auto-Submitted").map(str::trim), Some("auto-replied"));
        assert_eq!(message.header_raw("In-Reply-To").map(str::trim), Some("<one@ours.example>"));
        let text = message.body_text(0).expect("a text part");
        for wanted in
            ["A-sensitive", "QQ ** ** ** C", "Encrypt the file and telephone the password.", "personal.uk-nino"]
        {
            assert!(text.contains(wanted), "{wanted} is not in {text}");
        }
    }

    #[test]
    fn machines_strangers_and_untold_categories_hear_nothing() {
        let writer = notices();
        let mut machine = face("sam@ours.example", "x", "y");
        machine.automatic = true;
        assert!(writer.held(&head(), &machine).is_none());
        assert!(writer.held(&head(), &face("sam@elsewhere.example", "x", "y")).is_none());
        let mut untold = face("sam@ours.example", "x", "y");
        untold.tell_sender = false;
        assert!(writer.held(&head(), &untold).is_none());
        let mut nobody = face("sam@ours.example", "x", "y");
        nobody.envelope.sender.address = None;
        assert!(writer.held(&head(), &nobody).is_none());
    }

    #[test]
    fn several_holds_are_told_in_one_letter() {
        let (first, second, third) = (head(), head(), head());
        let one = face("sam@ours.example", "Start date", "QQ ** ** ** C");
        let mut other = face("Sam@ours.example", "Second <b>\r\nBcc: x@y", "4000 **** **** 0002");
        let shown = other.grounds[0].evidence[0].clone();
        other.grounds[0].evidence = vec![shown.clone(), shown.clone(), shown];
        let mut untold = face("sam@ours.example", "Hidden subject", "y");
        untold.tell_sender = false;
        let letter = notices().joined(&[(&first, &one), (&second, &other), (&third, &untold)]).expect("a letter");
        assert!(letter.envelope.sender.is_null());
        assert_eq!(letter.envelope.recipients.len(), 1);
        let message = mail_parser::MessageParser::default().parse(&letter.content).expect("a message");
        assert_eq!(message.subject(), Some("Waiting for review: 2 messages"));
        assert_eq!(message.header_raw("Auto-Submitted").map(str::trim), Some("auto-replied"));
        assert!(!header_names(&letter.content).contains(&"Bcc".to_string()));
        let (text, html) = (message.body_text(0).expect("plain"), message.body_html(0).expect("HTML"));
        for body in [&text, &html] {
            for wanted in ["Start date", "A-sensitive", "QQ ** ** ** C", &first.id.to_string(), &second.id.to_string()]
            {
                assert!(body.contains(wanted), "{wanted} is not in {body}");
            }
            assert!(!body.contains("Hidden subject") && !body.contains(&third.id.to_string()), "{body}");
            assert_eq!(body.matches("4000 **** **** 0002").count(), 2, "evidence is short");
        }
        assert!(html.contains("Second &lt;b&gt;") && !html.contains("<b>Bcc"), "{html}");
    }

    #[test]
    fn a_joined_letter_of_one_hold_is_the_usual_one_and_of_none_is_none() {
        let (head, one) = (head(), face("sam@ours.example", "Start date", "x"));
        let letter = notices().joined(&[(&head, &one)]).expect("a letter");
        let message = mail_parser::MessageParser::default().parse(&letter.content).expect("a message");
        assert_eq!(message.subject(), Some("Waiting for review: Start date"));
        assert!(notices().joined(&[(&head, &face("sam@elsewhere.example", "x", "y"))]).is_none());
        assert!(notices().joined(&[]).is_none());
    }

    #[test]
    fn what_the_sender_may_not_know_of_does_not_come_back_by_the_clock() {
        let mut untold = face("sam@ours.example", "x", "y");
        untold.tell_sender = false;
        let case = Case { head: head(), face: None };
        assert!(notices().expired(&case, &untold).is_none());
        assert!(notices().expired(&case, &face("sam@ours.example", "x", "y")).is_some());
    }

    /// The header lines of a message, folds joined, names only.
    fn header_names(content: &[u8]) -> Vec<String> {
        let text = String::from_utf8_lossy(content);
        let block = text.split("\r\n\r\n").next().unwrap_or_default().replace("\r\n ", " ").replace("\r\n\t", " ");
        block.lines().map(|line| line.split(':').next().unwrap_or_default().to_string()).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]
        /// Threat table 1.1: no text of a message becomes a header line of ours.
        #[test]
        fn hostile_text_adds_no_header(subject in "\\PC{0,40}[\r\n\0]{0,3}Bcc: x@y\\PC{0,20}", id in "<?[ -~\r\n]{0,40}>?") {
            let mut hostile = face("sam@ours.example", &subject, &subject);
            hostile.message_id = id.into();
            let plain = notices().held(&head(), &face("sam@ours.example", "a", "b")).expect("a letter");
            let letter = notices().held(&head(), &hostile).expect("a letter");
            let allowed = header_names(&plain.content);
            for name in header_names(&letter.content) {
                prop_assert!(allowed.contains(&name), "{name}");
            }
            prop_assert!(mail_parser::MessageParser::default().parse(&letter.content).is_some());
        }
    }
}
