//! Cases as pages show them. The templates escape all text; here it is cut to a length and made visible.

use crate::{
    mail::{Edit, SubmissionId},
    policy::{Category, Disposition, PlannedEdit},
    quarantine::{Case, Face, FacedGround, State},
};
use askama::Template;
use time::{Duration, OffsetDateTime, UtcOffset, macros::format_description};

/// Recipients shown one by one; the rest is a number.
const RECIPIENTS: usize = 50;

#[derive(Template)]
#[template(path = "text.html")]
pub(super) struct TextPage<'a> {
    pub text: &'a str,
}

#[derive(Template)]
#[template(path = "list.html")]
pub(super) struct ListPage {
    waiting: usize,
    rows: Vec<Row>,
}

struct Row {
    id: SubmissionId,
    subject: String,
    from: String,
    recipients: usize,
    why: String,
    category: &'static str,
    state: &'static str,
    waits: bool,
    received: String,
    left: String,
}

impl ListPage {
    pub fn of(cases: &[Case], now: OffsetDateTime) -> Self {
        let waiting = cases.iter().filter(|case| case.head.state == State::Waiting).count();
        Self { waiting, rows: cases.iter().map(|case| row(case, now)).collect() }
    }
}

fn row(case: &Case, now: OffsetDateTime) -> Row {
    let face = case.face.as_ref();
    let why = face.and_then(|face| stopping(face).next()).map(|ground| shown(&ground.title, 120));
    Row {
        id: case.head.id,
        subject: face.map_or("(erased)".into(), subject),
        from: face.map_or("(erased)".into(), sender),
        recipients: face.map_or(0, |face| face.envelope.recipients.len()),
        why: why.unwrap_or_default(),
        category: category(case.head.category),
        state: state(case.head.state),
        waits: case.head.state == State::Waiting,
        received: when(case.head.received),
        left: left(case, now),
    }
}

#[derive(Template)]
#[template(path = "case.html")]
pub(super) struct CasePage {
    row: Row,
    bytes: u64,
    expires: String,
    face: Option<Details>,
}

struct Details {
    author: String,
    account: String,
    to: Vec<String>,
    more_to: usize,
    message_id: String,
    grounds: Vec<Reason>,
    /// Rules that stop nothing and change the copy that leaves.
    edits: Vec<String>,
    told: bool,
}

struct Reason {
    title: String,
    clauses: Vec<(String, String)>,
    evidence: Vec<(String, String, String)>,
    advice: String,
}

impl CasePage {
    pub fn of(case: &Case, now: OffsetDateTime) -> Self {
        let (bytes, expires) = (case.head.bytes, when(case.head.expires));
        Self { row: row(case, now), bytes, expires, face: case.face.as_ref().map(details) }
    }
}

fn details(face: &Face) -> Details {
    let recipients = &face.envelope.recipients;
    Details {
        author: shown(face.author.expose(), 200),
        account: face.user.as_ref().map_or(String::new(), |user| shown(user.expose(), 100)),
        to: recipients.iter().take(RECIPIENTS).map(|path| shown(path.address.as_str(), 320)).collect(),
        more_to: recipients.len().saturating_sub(RECIPIENTS),
        message_id: shown(face.message_id.expose(), 200),
        grounds: stopping(face).map(reason).collect(),
        edits: face.edits.iter().map(edit).collect(),
        told: face.tell_sender && !face.automatic,
    }
}

fn reason(ground: &FacedGround) -> Reason {
    let evidence = ground
        .evidence
        .iter()
        .map(|(detector, part, excerpt)| (shown(excerpt.expose(), 200), shown(detector, 60), shown(part, 60)));
    Reason {
        title: shown(&ground.title, 200),
        clauses: ground.clauses.iter().map(|(id, text)| (shown(id, 60), shown(text, 2_000))).collect(),
        evidence: evidence.collect(),
        advice: shown(&ground.advice, 500),
    }
}

/// The grounds that stopped the message.
fn stopping(face: &Face) -> impl Iterator<Item = &FacedGround> {
    face.grounds.iter().filter(|ground| ground.disposition != Disposition::Relay)
}

/// What is made on release, as a person says it.
fn edit(planned: &PlannedEdit) -> String {
    match &planned.edit {
        Edit::AppendNotice { notice } => format!("The notice “{}” is put below the text.", shown(&notice.name, 60)),
        Edit::HideRecipients | Edit::ShowOnly { .. } => "The recipients are hidden from each other.".into(),
        Edit::IndividualCopies => "Each recipient gets a copy that names them alone.".into(),
        Edit::SetHeader { name, value } => format!("The field {} becomes “{}”.", shown(name, 60), shown(value, 200)),
        Edit::RemoveHeader { name } => format!("The field {} is taken out.", shown(name, 60)),
        Edit::TagSubject { tag } => format!("[{}] is put in front of the subject.", shown(tag, 60)),
    }
}

fn subject(face: &Face) -> String {
    let subject = shown(face.subject.expose(), 200);
    if subject.is_empty() { "(no subject)".into() } else { subject }
}

fn sender(face: &Face) -> String {
    face.envelope.sender.address.as_ref().map_or("<> (a machine)".into(), |sender| shown(sender.as_str(), 320))
}

/// Text that others wrote: cut, and without characters that hide or turn round what stands beside them.
fn shown(text: &str, most: usize) -> String {
    let mut shown: String = text.trim().chars().take(most).map(visible).collect();
    if text.trim().chars().nth(most).is_some() {
        shown.push('…');
    }
    shown
}

fn visible(c: char) -> char {
    match c {
        _ if c.is_control() => ' ',
        // Marks and overrides of direction, zero-width characters, tags.
        '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{feff}'
        | '\u{ad}'
        | '\u{61c}'
        | '\u{180e}'
        | '\u{e0000}'..='\u{e007f}' => '\u{fffd}',
        _ => c,
    }
}

fn when(time: OffsetDateTime) -> String {
    let format = format_description!("[day padding:none] [month repr:short] [year], [hour]:[minute] UTC");
    time.to_offset(UtcOffset::UTC).format(&format).unwrap_or_default()
}

/// How long a waiting case may still wait.
fn left(case: &Case, now: OffsetDateTime) -> String {
    let left = case.head.expires - now;
    match case.head.state {
        State::Waiting if left <= Duration::ZERO => "overdue".into(),
        State::Waiting if left.whole_days() > 1 => format!("{} days left", left.whole_days()),
        State::Waiting if left.whole_hours() > 1 => format!("{} hours left", left.whole_hours()),
        State::Waiting => format!("{} minutes left", left.whole_minutes()),
        _ => String::new(),
    }
}

fn category(category: Category) -> &'static str {
    match category {
        Category::PersonalData => "Personal data",
        Category::Language => "Language",
        Category::Safeguarding => "Safeguarding",
        Category::Recipients => "Recipients",
        Category::Approval => "Approval",
        Category::Confirmation => "Confirmation",
        Category::Technical => "Technical",
    }
}

fn state(state: State) -> &'static str {
    match state {
        State::Waiting => "Waiting",
        State::Released => "Released, on its way",
        State::Delivered => "Delivered",
        State::DeliveryFailed => "Delivery failed",
        State::Returned => "Sent back",
        State::Refused => "Refused",
        State::Erased => "Erased",
    }
}
