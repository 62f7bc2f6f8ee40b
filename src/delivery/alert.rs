//! What reviewers are told of a case that waits: which rule, which clause, until when, how to look. Neither the subject
//! nor the sender: the letter lies in more mailboxes than the case is for.

use super::notice::Notices;
use crate::{
    mail::{Address, Envelope, ForwardPath, ReversePath, SubmissionId},
    policy::Disposition,
    quarantine::{CaseHead, Face, Letter},
};
use lettre::{
    Message,
    message::{
        Mailbox,
        header::{ContentType, HeaderName, HeaderValue},
    },
};
use time::OffsetDateTime;

/// What the reviewers hear of a bypass.
pub enum Bypassed<'r> {
    Until { until: OffsetDateTime, reason: &'r str },
    Ended,
    Expired,
}

impl Notices {
    /// To all readers of a desk; `untold` cases came in before this one. None without readers.
    pub fn alert(&self, head: &CaseHead, face: &Face, readers: &[Address], untold: u32) -> Option<Letter> {
        let mut body = String::from("A message waits for your decision.\n");
        for ground in face.grounds.iter().filter(|ground| ground.disposition == Disposition::Hold) {
            body.push_str(&format!("\n{}\n", ground.title));
            for (id, text) in &ground.clauses {
                body.push_str(&format!("Policy {id}: \"{}\"\n", text.trim()));
            }
        }
        let date = head.expires.date();
        body.push_str(&format!("\nIt waits until {date}. Look at it with:\n  outgate case show {}\n", head.id));
        if untold > 0 {
            body.push_str(&format!("{untold} more came in shortly before: outgate case list\n"));
        }
        self.to_readers(&format!("Waiting for review: {}", head.category.as_str()), body, readers)
    }

    /// Cases that came in too fast for a letter each.
    pub fn joined_alert(&self, head: &CaseHead, readers: &[Address], untold: u32) -> Option<Letter> {
        let body = format!("{untold} more messages wait for your decision: outgate case list\n");
        self.to_readers(&format!("Waiting for review: {}", head.category.as_str()), body, readers)
    }

    /// An edit was not made, since what it would have made did not read as intended.
    pub fn unproven(&self, id: SubmissionId, rule: &str, failure: &str, readers: &[Address]) -> Option<Letter> {
        let body = format!(
            "The rule {rule} was to change a message. The changed message did not stand its proof, so nothing was changed and the \
             rule's fallback was followed.\n\nSubmission {id}\n{failure}\n\nThis is a fault of outgate: please report it with these \
             lines. Further ones are in the log; you hear of them once an hour at most.\n"
        );
        self.to_readers("A change of a message was not made", body, readers)
    }

    /// Nothing is judged for a while, or everything is again.
    pub fn bypass(&self, told: &Bypassed<'_>, readers: &[Address]) -> Option<Letter> {
        let (subject, body) = match told {
            Bypassed::Until { until, reason } => (
                "Mail is not judged for now",
                format!(
                    "Until {} {:02}:{:02} UTC mail leaves as it comes: no rule holds it, changes it or sends it back.\n\nReason \
                     given: {reason}\n\nIt is recorded which messages left so. To have mail judged again at once:\n  outgate \
                     bypass --end\n",
                    until.date(),
                    until.hour(),
                    until.minute()
                ),
            ),
            Bypassed::Ended => ("Mail is judged again", "The bypass was ended by hand.\n".into()),
            Bypassed::Expired => ("Mail is judged again", "The bypass has come to its end.\n".into()),
        };
        self.to_readers(subject, body, readers)
    }

    fn to_readers(&self, subject: &str, body: String, readers: &[Address]) -> Option<Letter> {
        let mut builder =
            Message::builder().from(Mailbox::new(None, self.from.as_str().parse().ok()?)).subject(subject);
        for reader in readers {
            builder = builder.to(Mailbox::new(None, reader.as_str().parse().ok()?));
        }
        let id = format!("<{}@{}>", SubmissionId::fresh(), self.hostname);
        let mut message = builder.message_id(Some(id)).header(ContentType::TEXT_PLAIN).body(body).ok()?;
        // RFC 3834 5.
        let name = HeaderName::new_from_ascii_str("Auto-Submitted");
        message.headers_mut().insert_raw(HeaderValue::new(name, "auto-generated".into()));
        let path = |address: &Address| ForwardPath { address: address.clone(), parameters: Vec::new() };
        let recipients: Vec<ForwardPath> = readers.iter().map(path).collect();
        if recipients.is_empty() {
            return None;
        }
        Some(Letter { envelope: Envelope { sender: ReversePath::default(), recipients }, content: message.formatted() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{policy::Category, quarantine::State};

    #[test]
    fn who_looks_after_the_machine_hears_of_an_edit_that_was_not_made() {
        let address = |text: &str| Address::parse(text).unwrap();
        let notices =
            Notices { from: address("outgate@ours.example"), own_domains: Vec::new(), hostname: "gate.example".into() };
        let id = SubmissionId::fresh();
        assert!(notices.unproven(id, "notice", "x", &[]).is_none(), "nobody to tell");
        let letter = notices.unproven(id, "notice", "another number of parts", &[address("it@ours.example")]).unwrap();
        let message = mail_parser::MessageParser::default().parse(&letter.content).unwrap();
        let text = message.body_text(0).unwrap();
        assert!(
            text.contains(&id.to_string())
                && text.contains("The rule notice")
                && text.contains("another number of parts")
        );
    }

    #[test]
    fn reviewers_are_told_that_something_waits_and_not_whose_it_is() {
        let address = |text: &str| Address::parse(text).unwrap();
        let notices = Notices {
            from: address("outgate@ours.example"),
            own_domains: vec!["ours.example".into()],
            hostname: "gate.ours.example".into(),
        };
        let head = CaseHead {
            id: SubmissionId::fresh(),
            state: State::Waiting,
            category: Category::Language,
            rules: vec!["abusive-language".into()],
            bytes: 100,
            received: OffsetDateTime::UNIX_EPOCH,
            expires: OffsetDateTime::UNIX_EPOCH,
            epoch: 1,
        };
        let face: Face = serde_json::from_value(serde_json::json!({
            "envelope": {"sender": {"address": "sam@ours.example", "parameters": []}, "recipients": []},
            "author": "Sam", "subject": "Confidential matter", "message_id": "<1@ours.example>", "user": null,
            "grounds": [{"rule": "abusive-language", "title": "Abusive language waits", "disposition": "hold", "advice": "",
                "clauses": [["4.1", "Nobody writes abusive language."]], "evidence": []}],
            "edits": [], "trace": "", "automatic": false, "tell_sender": true
        }))
        .unwrap();
        assert!(notices.alert(&head, &face, &[], 0).is_none(), "nobody to tell");
        let readers = [address("hr@ours.example"), address("dpo@ours.example")];
        let letter = notices.alert(&head, &face, &readers, 3).unwrap();
        assert!(letter.envelope.sender.is_null());
        assert_eq!(letter.envelope.recipients.len(), 2);
        let message = mail_parser::MessageParser::default().parse(&letter.content).unwrap();
        assert_eq!(message.header_raw("Auto-Submitted").map(str::trim), Some("auto-generated"));
        let text = format!("{:?} {}", message.subject(), message.body_text(0).unwrap());
        for wanted in ["4.1", "3 more came in", &head.id.to_string()] {
            assert!(text.contains(wanted), "{wanted} is not in {text}");
        }
        for unwanted in ["Confidential matter", "sam@"] {
            assert!(!text.contains(unwanted), "{unwanted}");
        }
    }
}
