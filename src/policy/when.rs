//! Reads `[when]` and `[unless]`: one key, one condition.

use super::{
    authorship::{CLAIMED, Claimed},
    clause::domain,
    condition::{Condition, DIRECTIONS, EXTENTS, UNREAD},
    count::COUNTS,
    finds::{Finds, ZONES},
    follow::Follows,
    sensitive::SensitiveLists,
};
use crate::diagnostic::{Located, Table, Value};

/// Names of detectors that a rule asks for, to be checked against those that there are.
pub type Asked = Vec<Located<String>>;

/// All conditions of one table, in the order in which they are cheap to ask.
pub fn conditions(table: &Table<'_>, asked: &mut Asked) -> Vec<Condition> {
    let mut found = Vec::new();
    let count = |key| table.integer(key, 0..=1_000_000).and_then(|limit| usize::try_from(limit.value).ok());
    let flag = |key| table.value(key)?.flag().map(|flag| flag.value);
    found.extend(any_word(table.value("direction"), &DIRECTIONS).map(Condition::Direction));
    found.extend(flag("outside").map(Condition::Outside));
    found.extend(COUNTS.iter().filter_map(|(key, what)| Some(Condition::Over(*what, count(key)?))));
    found.extend(flag("recall").map(Condition::Recall));
    found.extend(table.table("follows-stopped").map(|table| Condition::FollowsStopped(Follows::read(&table))));
    found.extend(flag("visible-group").map(Condition::VisibleGroup));
    found.extend(table.value("sensitive-list").and_then(sensitive_list));
    found.extend(domains(table, "recipient-domain").map(Condition::RecipientDomain));
    found.extend(texts(table.value("recipient-group")).map(Condition::RecipientGroup));
    found.extend(flag("group-needs-approval").map(Condition::GroupNeedsApproval));
    found.extend(flag("look-alike-recipient").map(Condition::LookAlike));
    found.extend(flag("own-private-mailbox").map(Condition::OwnMailbox));
    found.extend(domains(table, "from-domain").map(Condition::FromDomain));
    found.extend(table.value("author-is-not-sender").and_then(author_is_not_sender));
    found.extend(flag("automatic").map(Condition::Automatic));
    found.extend(flag("thread-already-shares").map(Condition::ThreadAlreadyShares));
    found.extend(table.choice("encrypted", &EXTENTS).map(|extent| Condition::Encrypted(extent.value)));
    found.extend(any_word(table.value("unread"), &UNREAD).map(Condition::Unread));
    found.extend(flag("ambiguous").map(Condition::Ambiguous));
    let subject = texts(table.value("subject-contains"));
    found.extend(
        subject.map(|texts| Condition::SubjectContains(texts.iter().map(|text| text.to_lowercase()).collect())),
    );
    found.extend(table.table("header-matches").and_then(|table| header_matches(&table)));
    found.extend(table.value("finds").and_then(|value| finds(&value, asked)).map(Condition::Finds));
    table.finish();
    found
}

fn any_word<T: Clone>(value: Option<Value<'_>>, words: &[(&str, T)]) -> Option<Vec<T>> {
    let value = value?;
    let elements = value.elements();
    let chosen: Vec<T> = elements.iter().filter_map(|word| word.choice(words)).map(|word| word.value).collect();
    if elements.is_empty() {
        value.mistake(format!("`{}` is an empty list: it would never hold", value.name()));
    }
    (!chosen.is_empty()).then_some(chosen)
}

/// `true`, `false`, or whose name is used.
fn author_is_not_sender(value: Value<'_>) -> Option<Condition> {
    if value.is_flag() {
        let any = || vec![Claimed::Ours, Claimed::Foreign];
        let wanted = value.flag()?.value;
        return Some(if wanted { Condition::AuthorIsNotSender(any()) } else { Condition::AuthorIsSender });
    }
    any_word(Some(value), &CLAIMED).map(Condition::AuthorIsNotSender)
}

/// `true`, `false`, or the rule's own signs beside those of the policies.
fn sensitive_list(value: Value<'_>) -> Option<Condition> {
    if value.is_flag() {
        return Some(Condition::SensitiveList { wanted: value.flag()?.value, own: SensitiveLists::default() });
    }
    Some(Condition::SensitiveList { wanted: true, own: SensitiveLists::read(&value.table()?) })
}

/// At least one text, none of them empty.
fn texts(value: Option<Value<'_>>) -> Option<Vec<String>> {
    let value = value?;
    let texts = value.texts();
    if value.elements().is_empty() {
        value.mistake(format!("`{}` is an empty list: it would never hold", value.name()));
    }
    if texts.iter().any(|text| text.value.trim().is_empty()) {
        value.mistake(format!("`{}` holds an empty text: it would always hold", value.name()));
        return None;
    }
    (!texts.is_empty()).then(|| texts.into_iter().map(|text| text.value).collect())
}

fn domains(table: &Table<'_>, key: &str) -> Option<Vec<String>> {
    let domains = table.parsed_list(key, "a domain such as elsewhere.example", domain);
    (!domains.is_empty()).then(|| domains.into_iter().map(|domain| domain.value).collect())
}

fn header_matches(table: &Table<'_>) -> Option<Condition> {
    let name = table.required("name").and_then(|name| name.parsed("a field name such as X-Mailer", field_name));
    let pattern = table.required("pattern").and_then(|pattern| {
        pattern.parsed("a regular expression without look-around and back references", |text| {
            // The size limit keeps a rule from taking the machine's memory.
            regex::RegexBuilder::new(text).size_limit(1 << 20).build().map_err(|error| first_cause(&error))
        })
    });
    table.finish();
    Some(Condition::HeaderMatches { name: name?.value, pattern: pattern?.value })
}

/// A regex error draws its own picture; its last line says what is wrong.
fn first_cause(error: &regex::Error) -> String {
    let text = error.to_string();
    text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_string()
}

/// `ftext` (RFC 5322 3.6.8).
pub fn field_name(text: &str) -> Result<String, &'static str> {
    let good = !text.is_empty() && text.len() <= 76 && text.bytes().all(|b| b.is_ascii_graphic() && b != b':');
    good.then(|| text.to_string()).ok_or("not a field name")
}

/// `finds = ["personal.uk-nino"]`, or a table that says more.
fn finds(value: &Value<'_>, asked: &mut Asked) -> Option<Finds> {
    let mut finds = Finds {
        any: Vec::new(),
        distinct: 1,
        zones: Vec::new(),
        categories: Vec::new(),
        min_score: 0.0,
        min_severity: 0,
    };
    if !value.is_table() {
        let names = value.texts();
        return finished(finds, names, asked, |message| value.mistake(message));
    }
    let table = value.table()?;
    let names = table.required("any").map(|any| any.texts()).unwrap_or_default();
    if let Some(distinct) = table.integer("distinct", 1..=1_000_000) {
        finds.distinct = usize::try_from(distinct.value).unwrap_or(1);
    }
    finds.zones = any_word(table.value("zones"), &ZONES).unwrap_or_default();
    finds.categories = texts(table.value("categories")).unwrap_or_default();
    if let Some(score) = table.value("min-score").and_then(|score| score.number(0.0..=1.0)) {
        finds.min_score = score.value as f32;
    }
    if let Some(severity) = table.integer("min-severity", 0..=3) {
        finds.min_severity = u8::try_from(severity.value).unwrap_or(0);
    }
    table.finish();
    if !table.has("any") {
        return None;
    }
    finished(finds, names, asked, |message| table.mistake_at(table.at(), message))
}

fn finished(
    mut finds: Finds,
    names: Vec<Located<String>>,
    asked: &mut Asked,
    mistake: impl Fn(String),
) -> Option<Finds> {
    if names.is_empty() {
        mistake("`finds` names no detector: it would never hold".into());
        return None;
    }
    finds.any = names.iter().map(|name| name.value.clone()).collect();
    asked.extend(names);
    Some(finds)
}
