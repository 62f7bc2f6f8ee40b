//! A message that follows another which was held, or whose recipients were hidden: to mostly the same people, soon after. In
//! haste the second one does what the first was kept from.

use super::seen::Seen;
use crate::{diagnostic::Table, intake::Submission};

/// Lists shorter than this are not remembered: an answer to two people is a conversation.
const LEAST: usize = 3;

/// To whom a message is addressed, as lists are compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addressed {
    /// Folded.
    pub sender: String,
    /// Folded, each once: recipients and those whom the header shows, without the sender.
    pub people: Vec<String>,
    /// Tells the message, whichever of its transactions brings it.
    pub message: Vec<u8>,
}

impl Addressed {
    /// None for machines, and for a handful of people.
    pub fn of(submission: &Submission) -> Option<Self> {
        let sender = submission.envelope.sender.address.as_ref()?.folded();
        let mut people = submission.message.shown_recipients();
        people.extend(submission.envelope.recipients.iter().map(|recipient| recipient.address.folded()));
        people.retain(|person| *person != sender);
        people.sort_unstable();
        people.dedup();
        let message = submission.split_key.map_or_else(|| submission.retry_key.0.to_vec(), |key| key.0.to_vec());
        (people.len() >= LEAST).then_some(Self { sender, people, message })
    }
}

/// A stopped message of the same sender.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Followed {
    /// So long ago.
    pub minutes: f64,
    /// So many of its people are addressed again.
    pub shared: usize,
    pub people: usize,
}

/// `follows-stopped`: how soon, to how many of the same people, and of how long a list.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Follows {
    pub within_minutes: f64,
    pub share: f64,
    pub people: usize,
}

impl Follows {
    pub const NAMES: [&'static str; 3] = ["within-minutes", "share", "people"];

    pub fn read(table: &Table<'_>) -> Self {
        let within = table.integer("within-minutes", 1..=1_440).map_or(60, |minutes| minutes.value);
        let share = table.value("share").and_then(|share| share.number(0.1..=1.0));
        let people = table.integer("people", LEAST as i64..=100_000).map_or(5, |people| people.value);
        table.finish();
        Self {
            within_minutes: within as f64,
            share: share.map_or(0.8, |share| share.value),
            people: usize::try_from(people).unwrap_or(LEAST),
        }
    }

    /// Whether one of these is what the condition looks for.
    pub fn holds(&self, followed: &[Followed]) -> bool {
        followed.iter().any(|one| {
            one.people >= self.people
                && one.minutes <= self.within_minutes
                && one.shared as f64 >= self.share * one.people as f64
        })
    }

    pub fn wanted(&self) -> String {
        let Self { within_minutes, share, people } = self;
        format!("follows-stopped within {within_minutes} minutes, share from {share}, of {people} people or more")
    }

    /// The nearest of them: `9 of 10 people, 4 minutes before`.
    pub fn value(followed: &[Followed]) -> String {
        let share = |one: &Followed| one.shared as f64 / one.people.max(1) as f64;
        let nearest = followed.iter().max_by(|one, other| share(one).total_cmp(&share(other)));
        nearest.map_or_else(
            || "none was stopped".into(),
            |one| format!("{} of {} people, {:.0} minutes before", one.shared, one.people, one.minutes),
        )
    }

    pub fn figures(&self) -> Vec<(&'static str, f64)> {
        let [within, share, people] = Self::NAMES;
        vec![(within, self.within_minutes), (share, self.share), (people, self.people as f64)]
    }

    pub fn set_figure(&mut self, name: &str, figure: f64) {
        let [within, share, people] = Self::NAMES;
        match name {
            name if name == within => self.within_minutes = figure,
            name if name == share => self.share = figure,
            name if name == people => self.people = figure as usize,
            _ => {}
        }
    }
}

/// How a recall's subject begins, in the languages of Outlook; in lower case.
const RECALLS: [&str; 9] = [
    "recall:",
    "rückruf:",
    "rappel:",
    "rappel :",
    "intrekken:",
    "richiamo:",
    "recuperación:",
    "återkalla:",
    "odwołanie:",
];

/// Fields in which Outlook and Exchange name the class of a message.
const CLASS_FIELDS: [&str; 4] = ["Content-Class", "Message-Class", "X-Message-Class", "X-MS-Exchange-Message-Class"];

/// What the class of a recall holds (IPM.Outlook.Recall), in the header or in winmail.dat.
const CLASS: &[u8] = b"IPM.Outlook.Recall";

/// The class stands in the first kilobytes of winmail.dat.
const CLASS_WITHIN: usize = 64 << 10;

/// An Outlook recall, or what reads like one.
pub fn is_recall(seen: &Seen<'_>) -> bool {
    let message = seen.message();
    let named = || {
        CLASS_FIELDS.iter().filter_map(|name| message.header(name)).any(|class| class.to_lowercase().contains("recall"))
    };
    let in_winmail = || {
        message.parts().iter().filter(|part| part.content_type.is("application", "ms-tnef")).any(|part| {
            let (content, _) = message.content(part, CLASS_WITHIN);
            memchr::memmem::find(&content, CLASS).is_some()
        })
    };
    RECALLS.iter().any(|recall| seen.subject().trim_start().starts_with(recall)) || named() || in_winmail()
}
