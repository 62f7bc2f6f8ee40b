//! One notice of several holds: for each its subject, why it waits, a line or two of evidence, its number.

use super::{escape, one_line, stopping};
use crate::quarantine::{CaseHead, Face, FacedGround};

/// Masked excerpts shown of one case: the case's own page and notice have them all.
const EVIDENCE: usize = 2;

const OPENING: &str = "These messages of yours have not been sent yet. They wait for a reviewer of your organisation, who will \
                       release them or send them back to you. You need not send them again.";
const REASON: &str =
    "You were told of several others within the hour; to spare you a letter for each, they are told of together.";

pub(super) fn plain_body(cases: &[(&CaseHead, &Face)]) -> String {
    let mut body = format!("{OPENING}\n\n{REASON}\n");
    for (head, face) in cases {
        body.push_str(&format!("\nSubject: {}\n", one_line(face.subject.expose())));
        for ground in stopping(face) {
            body.push_str(&format!("Why: {}\n", why(ground)));
            for excerpt in excerpts(ground) {
                body.push_str(&format!("Found: {excerpt}\n"));
            }
        }
        body.push_str(&format!("Case {}\n", head.id));
    }
    body
}

pub(super) fn html_body(cases: &[(&CaseHead, &Face)]) -> String {
    let mut body = format!("<p>{}</p><p>{}</p>", escape(OPENING), escape(REASON));
    for (head, face) in cases {
        body.push_str(&format!("<p><b>Subject:</b> {}", escape(&one_line(face.subject.expose()))));
        for ground in stopping(face) {
            body.push_str(&format!("<br><b>Why:</b> {}", escape(&why(ground))));
            for excerpt in excerpts(ground) {
                body.push_str(&format!("<br>Found: <code>{}</code>", escape(&excerpt)));
            }
        }
        body.push_str(&format!("<br>Case {}</p>", head.id));
    }
    body
}

/// The rule in plain words and the numbers of the sentences that it serves.
fn why(ground: &FacedGround) -> String {
    let clauses: Vec<String> = ground.clauses.iter().map(|(id, _)| one_line(id)).collect();
    match clauses.is_empty() {
        true => one_line(&ground.title),
        false => format!("{} (policy {})", one_line(&ground.title), clauses.join(", ")),
    }
}

fn excerpts(ground: &FacedGround) -> impl Iterator<Item = String> {
    ground.evidence.iter().take(EVIDENCE).map(|(_, _, excerpt)| one_line(excerpt.expose()))
}
