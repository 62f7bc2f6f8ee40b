//! What a sender is told of a message that left with its recipients hidden from each other: what was done, and what to do
//! next time.

use super::{Notices, escape, html_page, message_id, one_line};
use crate::quarantine::{HiddenNote, Letter};

const BCC: &str = "Your message was sent. Its recipients do not see each other's addresses: they were taken out of it, as the \
                   policy of your organisation asks. You need not send it again.";
const COPIES: &str = "Your message is on its way. Each recipient gets a copy that names nobody else, as the policy of your \
                      organisation asks. You need not send it again.";
const SEVERAL: &str = "These messages of yours were sent. Their recipients do not see each other's addresses, as the policy of \
                       your organisation asks. You need not send them again.";

impl Notices {
    /// About one message, or several of one sender.
    pub(super) fn of_hidden(&self, notes: &[HiddenNote]) -> Option<Letter> {
        let first = notes.first()?;
        let ours = self.own_domains.iter().any(|domain| first.sender.is_within(domain));
        if !ours {
            return None;
        }
        let (subject, opening) = match notes {
            [one] if one.apart => (about(one), COPIES),
            [one] => (about(one), BCC),
            _ => (format!("Recipients hidden: {} messages", notes.len()), SEVERAL),
        };
        let mut fields = Vec::new();
        if let ([one], Some(original)) = (notes, message_id(first.message_id.expose())) {
            fields.push(("Outgate-Submission", one.submission.to_string()));
            fields.push(("In-Reply-To", original.clone()));
            fields.push(("References", original));
        }
        let bodies = (plain_body(opening, notes), html_page(&html_body(opening, notes)));
        self.letter(&first.sender, subject, bodies, &fields)
    }
}

fn about(note: &HiddenNote) -> String {
    format!("Recipients hidden: {}", one_line(note.subject.expose()))
}

/// How many addresses everybody would have seen; a list that was in Bcc showed none.
fn shown(note: &HiddenNote) -> Option<String> {
    (note.shown > 1).then(|| format!("Each of them would have seen {} addresses.", note.shown))
}

fn plain_body(opening: &str, notes: &[HiddenNote]) -> String {
    let mut body = format!("{opening}\n");
    for note in notes {
        body.push_str(&format!("\nSubject: {}\n", one_line(note.subject.expose())));
        shown(note).iter().for_each(|shown| body.push_str(&format!("{shown}\n")));
        body.push_str(&format!("Why: {}\n", one_line(&note.title)));
        for (clause, text) in &note.clauses {
            body.push_str(&format!("Policy {}: \"{}\"\n", one_line(clause), text.trim()));
        }
        if !note.advice.is_empty() {
            body.push_str(&format!("What you can do: {}\n", note.advice.trim()));
        }
        body.push_str(&format!("Submission {}\n", note.submission));
    }
    body
}

fn html_body(opening: &str, notes: &[HiddenNote]) -> String {
    let mut body = format!("<p>{}</p>", escape(opening));
    for note in notes {
        body.push_str(&format!("<p><b>Subject:</b> {}", escape(&one_line(note.subject.expose()))));
        shown(note).iter().for_each(|shown| body.push_str(&format!("<br>{shown}")));
        body.push_str(&format!("<br><b>Why:</b> {}", escape(&one_line(&note.title))));
        for (clause, text) in &note.clauses {
            body.push_str(&format!("<br>Policy {}: &ldquo;{}&rdquo;", escape(&one_line(clause)), escape(text.trim())));
        }
        if !note.advice.is_empty() {
            body.push_str(&format!("<br><b>What you can do:</b> {}", escape(note.advice.trim())));
        }
        body.push_str(&format!("<br>Submission {}</p>", note.submission));
    }
    body
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::{Address, SubmissionId};

    fn note(sender: &str, subject: &str, apart: bool) -> HiddenNote {
        HiddenNote {
            submission: SubmissionId::fresh(),
            sender: Address::parse(sender).expect("an address"),
            subject: subject.to_string().into(),
            message_id: "<one@ours.example>".to_string().into(),
            shown: 23,
            apart,
            title: "Large mailings hide the recipients".into(),
            clauses: vec![("C-2.8.1".into(), "use Bcc".into())],
            advice: "Next time put the addresses in Bcc.".into(),
        }
    }

    fn notices() -> Notices {
        Notices {
            from: Address::parse("outgate@ours.example").expect("an address"),
            own_domains: vec!["ours.example".into()],
            hostname: "gate.ours.example".into(),
        }
    }

    #[test]
    fn one_message_or_several_and_nothing_to_strangers() {
        let text = |letter: Letter| {
            assert!(letter.envelope.sender.is_null());
            let message = mail_parser::MessageParser::default().parse(&letter.content).expect("a message").into_owned();
            assert_eq!(message.header_raw("Auto-Submitted").map(str::trim), Some("auto-replied"));
            let bodies =
                [message.body_text(0), message.body_html(0)].map(|body| body.expect("both forms").into_owned());
            (message.subject().unwrap_or_default().to_string(), bodies)
        };
        let (subject, bodies) =
            text(notices().of_hidden(&[note("sam@ours.example", "News", false)]).expect("a letter"));
        assert_eq!(subject, "Recipients hidden: News");
        for body in bodies {
            for wanted in ["23 addresses", "C-2.8.1", "use Bcc", "Next time put the addresses in Bcc.", "was sent"] {
                assert!(body.contains(wanted), "{wanted} is not in {body}");
            }
        }
        let (_, bodies) = text(notices().of_hidden(&[note("sam@ours.example", "News", true)]).expect("a letter"));
        assert!(bodies[0].contains("Each recipient gets a copy"));
        let several = [note("sam@ours.example", "One", false), note("sam@ours.example", "Two <b>\r\nBcc: x@y", false)];
        let (subject, bodies) = text(notices().of_hidden(&several).expect("a letter"));
        assert_eq!(subject, "Recipients hidden: 2 messages");
        assert!(bodies[0].contains("One") && bodies[1].contains("Two &lt;b&gt;"), "{bodies:?}");
        assert!(notices().of_hidden(&[note("sam@elsewhere.example", "News", false)]).is_none());
        assert!(notices().of_hidden(&[]).is_none());
    }
}
