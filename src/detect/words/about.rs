//! Whether a sentence says a word of a person: "Ann has been diagnosed with epilepsy" does, "a talk on epilepsy" does not.
//! For lists with `about: person` in their head. A label says it too: `Ethnicity: Chinese`.
//!
//! A person (a name, a pronoun, `the client`) must stand before what joins it to the word (`diagnosed with`, `identifies
//! as`, `rep for`); both are looked for in the word's own sentence only, over a bounded stretch, so that a long text costs
//! no more than its words.

use crate::detect::fold::Folded;
use serde::Deserialize;
use std::{
    collections::{HashMap, HashSet},
    ops::Range,
    sync::LazyLock,
};

static ENGLISH: LazyLock<Vocabulary> = LazyLock::new(|| {
    toml::from_str(include_str!("about.en.toml")).expect("the vocabulary is part of the program and tested")
});

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Vocabulary {
    joins_health: Joints,
    joins_state: Joints,
    joins_identity: Joints,
    joins_union: Joints,
    joins_crime: Joints,
    joins_sentence: Joints,
    joins_safeguarding: Joints,
    union_roles: HashSet<String>,
    possessives: HashSet<String>,
    things: HashSet<String>,
    labels: HashSet<String>,
    pronouns: HashSet<String>,
    people: HashSet<String>,
    titles: HashSet<String>,
    no_names: HashSet<String>,
}

/// Phrases that stand between a person and the word, by their last word: a text made of listed words is read fast too.
#[derive(Deserialize)]
#[serde(from = "Vec<String>")]
struct Joints(HashMap<String, Vec<Vec<String>>>);

impl From<Vec<String>> for Joints {
    fn from(phrases: Vec<String>) -> Self {
        let mut joints: HashMap<String, Vec<Vec<String>>> = HashMap::new();
        for phrase in phrases {
            let mut words: Vec<String> = phrase.split(' ').map(str::to_string).collect();
            joints.entry(words.pop().unwrap_or_default()).or_default().push(words);
        }
        Self(joints)
    }
}

impl Joints {
    /// Where those begin that end with the last word of `before`.
    fn ending(&self, before: &[Word]) -> impl Iterator<Item = usize> {
        let known = before.split_last().and_then(|(last, rest)| Some((self.0.get(last.lower)?, rest)));
        known.into_iter().flat_map(|(phrases, rest)| {
            phrases.iter().filter_map(|phrase| {
                let at = rest.len().checked_sub(phrase.len())?;
                phrase.iter().zip(&rest[at..]).all(|(wanted, word)| word.lower == wanted).then_some(at)
            })
        })
    }
}

/// A sentence is read so far to either side of the word.
const BEFORE: usize = 240;
const AFTER: usize = 80;

/// What the word is about decides what may join it to a person.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Health,
    /// Ethnicity, religion, sexuality, opinion: what someone is.
    Identity,
    Union,
    Crime,
    Safeguarding,
    /// Of a list of the organisation's own.
    Any,
}

impl Kind {
    fn of(category: Option<&str>) -> Self {
        match category {
            Some("health") => Kind::Health,
            Some("ethnicity" | "religion" | "sexuality" | "politics") => Kind::Identity,
            Some("union") => Kind::Union,
            Some("criminal-record") => Kind::Crime,
            Some("safeguarding") => Kind::Safeguarding,
            _ => Kind::Any,
        }
    }

    /// What may join it, and how.
    fn joints(self) -> Vec<(&'static Joints, Manner)> {
        let all = &*ENGLISH;
        let health = [(&all.joins_health, Manner::Loose), (&all.joins_state, Manner::Close)];
        match self {
            Kind::Health => health.to_vec(),
            Kind::Identity => vec![(&all.joins_identity, Manner::Close)],
            Kind::Union => vec![(&all.joins_union, Manner::Loose)],
            Kind::Crime => vec![(&all.joins_crime, Manner::Loose), (&all.joins_sentence, Manner::Close)],
            Kind::Safeguarding => [&[(&all.joins_safeguarding, Manner::Loose)], &health[..]].concat(),
            Kind::Any => [
                &[
                    (&all.joins_identity, Manner::Close),
                    (&all.joins_union, Manner::Loose),
                    (&all.joins_crime, Manner::Loose),
                ],
                &health[..],
            ]
            .concat(),
        }
    }
}

/// How far apart person, joint and word may stand.
#[derive(Clone, Copy)]
enum Manner {
    /// "Ann Example, who is on leave, has been diagnosed with a severe form of".
    Loose,
    /// Small words join much: "she is a practising", but not "she said that the whole screen is".
    Close,
}

impl Manner {
    /// Words between joint and word.
    fn reach(self) -> usize {
        match self {
            Manner::Loose => 5,
            Manner::Close => 2,
        }
    }

    /// The words before the joint that may name the person.
    fn subject<'w, 'a>(self, before: &'w [Word<'a>]) -> &'w [Word<'a>] {
        match self {
            Manner::Loose => before,
            Manner::Close => &before[before.len().saturating_sub(4)..],
        }
    }
}

pub(super) fn is_about_a_person(folded: &Folded, range: &Range<usize>, category: Option<&str>) -> bool {
    let kind = Kind::of(category);
    let text = &folded.lower[..];
    let sentence = sentence_around(text, range);
    let before = words(folded, sentence.start..range.start);
    let behind = words(folded, range.end..sentence.end);
    let next = behind.first().map_or("", |word| word.lower);
    if is_labelled(text, range.start) {
        return true;
    }
    if ENGLISH.things.contains(next) {
        return false;
    }
    let last = before.last().map_or("", |word| word.lower);
    if kind == Kind::Union && ENGLISH.union_roles.contains(next) {
        return names_a_person(&before) || names_a_person(&behind);
    }
    if matches!(kind, Kind::Health | Kind::Safeguarding | Kind::Any) && ENGLISH.possessives.contains(last) {
        return true;
    }
    let is_said = |joints: &Joints, manner: Manner| {
        let ends = (0..=manner.reach()).filter_map(|skipped| before.len().checked_sub(skipped));
        ends.flat_map(|end| joints.ending(&before[..end])).any(|at| {
            let subject = manner.subject(&before[..at]);
            let named = names_a_person(subject) || ends_in_a_name(subject, before[at].lower);
            named && !is_denied(&before[at.saturating_sub(3)..])
        })
    };
    let said = kind.joints().into_iter().any(|(joints, manner)| is_said(joints, manner));
    said && !(kind == Kind::Identity && is_attribute(text, range.end, next))
}

struct Word<'a> {
    lower: &'a str,
    cased: &'a str,
    /// Nothing but white space and quote marks stand between it and the word before.
    joined: bool,
}

impl Word<'_> {
    fn is_capitalised(&self) -> bool {
        let mut characters = self.cased.chars();
        characters.next().is_some_and(char::is_uppercase) && characters.next().is_some_and(char::is_lowercase)
    }

    fn may_be_a_name(&self) -> bool {
        self.is_capitalised() && !ENGLISH.no_names.contains(self.lower) && !ENGLISH.things.contains(self.lower)
    }

    /// `AB`, `J.S`: people are often written by their initials in care.
    fn may_be_initials(&self) -> bool {
        (1..=3).contains(&self.cased.len())
            && self.cased.bytes().all(|byte| byte.is_ascii_uppercase())
            && !ENGLISH.no_names.contains(self.lower)
    }
}

/// From the end of the sentence before to the end of this one.
fn sentence_around(text: &[u8], range: &Range<usize>) -> Range<usize> {
    let from = range.start.saturating_sub(BEFORE);
    let to = text.len().min(range.end + AFTER);
    let start = (from..range.start).rev().find(|at| ends_sentence(text, *at)).map_or(from, |at| at + 1);
    let end = (range.end..to).find(|at| ends_sentence(text, *at)).unwrap_or(to);
    start..end
}

fn ends_sentence(text: &[u8], at: usize) -> bool {
    match text[at] {
        b'?' | b'!' => true,
        // Not the points of "Mr. Smith" and "J. Smith".
        b'.' => {
            text.get(at + 1).is_none_or(u8::is_ascii_whitespace)
                && text[..at].iter().rev().take_while(|byte| byte.is_ascii_alphabetic()).take(3).count() > 2
        }
        b'\n' => {
            let rest = &text[at + 1..];
            let line = rest.iter().position(|byte| !matches!(byte, b'>' | b' ' | b'\t' | b'\r'));
            line.is_none_or(|at| rest[at] == b'\n')
        }
        _ => false,
    }
}

fn words<'a>(folded: &'a Folded, range: Range<usize>) -> Vec<Word<'a>> {
    let inside = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'\'' || byte >= 0x80;
    let text = &folded.lower[..];
    let mut all = Vec::new();
    let mut at = range.start;
    let mut end_of_last = range.start;
    while at < range.end {
        let length = text[at..range.end].iter().take_while(|byte| inside(**byte)).count();
        if length == 0 {
            at += 1;
            continue;
        }
        let lower = std::str::from_utf8(&text[at..at + length]).unwrap_or("");
        let cased = folded.cased.get(at..at + length).unwrap_or("");
        let joined = text[end_of_last..at].iter().all(|byte| byte.is_ascii_whitespace() || *byte == b'>');
        all.push(Word { lower: lower.trim_matches('\''), cased: cased.trim_matches('\''), joined });
        at += length;
        end_of_last = at;
    }
    all
}

/// "Has never been diagnosed with", "is not".
fn is_denied(words: &[Word]) -> bool {
    words.iter().any(|word| matches!(word.lower, "not" | "never" | "no" | "isn't" | "wasn't" | "hasn't" | "without"))
}

fn names_a_person(words: &[Word]) -> bool {
    let pairs = words.windows(2).any(|pair| {
        let [first, second] = pair else { return false };
        let title = ENGLISH.titles.contains(first.lower) && second.is_capitalised();
        title || (second.joined && first.may_be_a_name() && second.may_be_a_name())
    });
    pairs
        || words.iter().any(|word| ENGLISH.pronouns.contains(word.lower) || ENGLISH.people.contains(owner(word.lower)))
}

/// `Tom has …`, `JS was …`, `Child B is …`: a first name or initials directly before the verb, with words like `also` between.
fn ends_in_a_name(subject: &[Word], first: &str) -> bool {
    const BETWEEN: &[&str] = &[
        "has",
        "had",
        "have",
        "is",
        "was",
        "been",
        "being",
        "be",
        "also",
        "now",
        "recently",
        "just",
        "previously",
        "says",
        "said",
        "who",
        "still",
        "currently",
    ];
    let Some(last) = subject.iter().rev().find(|word| !BETWEEN.contains(&word.lower)) else { return false };
    let with_verb = subject.last().is_some_and(|word| BETWEEN.contains(&word.lower))
        || matches!(first, "is" | "was" | "has" | "had" | "suffers" | "identifies" | "came" | "disclosed" | "lives");
    with_verb && (last.may_be_a_name() || last.may_be_initials())
}

fn owner(word: &str) -> &str {
    word.strip_suffix("'s").unwrap_or(word)
}

/// "Is a Chinese supplier": the word describes what follows, unless that is a person or a word that ends the clause.
fn is_attribute(text: &[u8], end: usize, next: &str) -> bool {
    const ENDS: &[&str] = &[
        "and",
        "but",
        "or",
        "so",
        "who",
        "which",
        "that",
        "by",
        "in",
        "with",
        "on",
        "at",
        "from",
        "for",
        "to",
        "because",
        "as",
        "when",
        "man",
        "woman",
        "men",
        "women",
        "male",
        "female",
        "boy",
        "girl",
        "lady",
        "person",
        "heritage",
        "origin",
        "descent",
        "background",
        "faith",
        "family",
        "parent",
        "parents",
        "himself",
        "herself",
        "he",
        "she",
        "they",
        "now",
        "too",
        "then",
        "since",
        "after",
        "before",
        "while",
        "though",
        "although",
        "couple",
    ];
    let directly = text.get(end).is_some_and(|byte| matches!(byte, b' ' | b'\n' | b'\r'));
    directly && !next.is_empty() && !ENDS.contains(&next)
}

/// `Ethnicity: `, `Diagnosis - `, or the label alone on the line before.
fn is_labelled(text: &[u8], at: usize) -> bool {
    let from = at.saturating_sub(60);
    let before = &text[from..at];
    let line = before.iter().rposition(|byte| *byte == b'\n').map_or(before, |end| &before[end + 1..]);
    let Ok(line) = std::str::from_utf8(line) else { return false };
    let label = |text: &str| ENGLISH.labels.contains(text.trim_matches(|c: char| !c.is_ascii_alphabetic()));
    match line.rfind([':', '\t', '|', '=']) {
        Some(sign) => {
            // "Conditions: asthma, epilepsy": a list behind a label is short.
            let start = line[..sign].rfind(['.', ':', '\t', '|', ';']).map_or(0, |end| end + 1);
            label(&line[start..sign])
        }
        None => line.split_once(" - ").is_some_and(|(before, _)| label(before)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn about(text: &str, word: &str, category: &str) -> bool {
        let folded = Folded::new(text);
        let at = memchr::memmem::find(&folded.lower, word.as_bytes()).expect("the word is in the text");
        is_about_a_person(&folded, &(at..at + word.len()), Some(category))
    }

    #[test]
    fn said_of_a_person() {
        for (text, word, category) in [
            ("Ann Example has been diagnosed with epilepsy and is off work.", "epilepsy", "health"),
            ("Tom has been diagnosed with a severe form of depression", "depression", "health"),
            ("She has HIV.", "hiv", "health"),
            ("her son has\n> type 1 diabetes", "type 1 diabetes", "health"),
            ("The resident in room 4 suffers from dementia", "dementia", "health"),
            ("JS is autistic", "autistic", "health"),
            ("Mr Example was signed off with stress", "stress", "health"),
            ("I am being treated for breast cancer", "breast cancer", "health"),
            ("We talked about his schizophrenia", "schizophrenia", "health"),
            ("Occupational Health say that Ann Example is being treated for anxiety", "anxiety", "health"),
            ("Diagnosis: epilepsy", "epilepsy", "health"),
            ("Medical conditions: asthma, epilepsy", "epilepsy", "health"),
            ("Ethnicity: Chinese", "chinese", "ethnicity"),
            ("Ann Example recorded her ethnicity as Pakistani on the form", "pakistani", "ethnicity"),
            ("Tom came out as gay", "gay", "sexuality"),
            ("He is a practising Catholic.", "catholic", "religion"),
            ("The client is Jewish and keeps kosher", "jewish", "religion"),
            ("Ann Example is the Unison rep for the depot", "unison", "union"),
            ("he joined the RMT last year", "rmt", "union"),
            ("Tom was convicted of burglary", "burglary", "criminal-record"),
            ("her brother is in prison", "prison", "criminal-record"),
            ("The pupil disclosed physical abuse", "physical abuse", "safeguarding"),
            ("Tom is on probation", "probation", "criminal-record"),
            ("she is suicidal", "suicidal", "safeguarding"),
            ("Child B is on a child protection plan", "child protection plan", "safeguarding"),
        ] {
            assert!(about(text, word, category), "{text}");
        }
    }

    #[test]
    fn said_of_a_thing_or_of_nobody() {
        for (text, word, category) in [
            ("The depression over the North Sea will bring rain", "depression", "health"),
            ("There is a cancer awareness stall in the foyer", "cancer", "health"),
            ("Ann Example runs the epilepsy workshop", "epilepsy", "health"),
            ("Our service supports people with dementia", "dementia", "health"),
            ("She wrote the leaflet. Stress is common.", "stress", "health"),
            ("He has not been diagnosed with epilepsy", "epilepsy", "health"),
            ("Mental Health Week: join our talk on depression", "depression", "health"),
            ("We have a table booked at the Indian restaurant", "indian", "ethnicity"),
            ("The client asked for a black and white version", "black", "ethnicity"),
            ("The Asian markets fell overnight", "asian", "ethnicity"),
            ("Ann Example is opening the Chinese office", "chinese", "ethnicity"),
            ("The Christian Aid collection is on Friday", "christian", "religion"),
            ("Please unite the two files that she sent", "unite", "union"),
            ("I will go straight to the depot", "straight", "sexuality"),
            ("The conviction of the team was clear", "conviction", "criminal-record"),
            ("Our policy on domestic abuse is attached", "domestic abuse", "safeguarding"),
            ("Training on self-harm is on Monday", "self-harm", "safeguarding"),
        ] {
            assert!(!about(text, word, category), "{text}");
        }
    }
}
