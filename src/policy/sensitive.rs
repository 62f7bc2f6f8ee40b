//! Lists of recipients that say something of those who stand on them, by the mere fact that they do: the members of a
//! support group, the patients of a clinic. Hidden addresses are not enough there: a slip shows all of them.

use super::seen::Seen;
use crate::diagnostic::Table;

/// How such a list is known: any of these.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SensitiveLists {
    /// A recipient: names of groups, or addresses; in lower case.
    pub groups: Vec<String>,
    /// The author's team in the directory; in lower case.
    pub teams: Vec<String>,
    /// Words of the subject, whole; in lower case.
    pub subjects: Vec<String>,
}

/// By what a list was known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    Group,
    Team,
    Subject,
}

impl SensitiveLists {
    /// `groups`, `teams` and `subjects` of a table.
    pub fn read(table: &Table<'_>) -> Self {
        let list = |key| {
            let texts = table.texts(key).into_iter();
            texts.map(|text| text.value.trim().to_lowercase()).filter(|text| !text.is_empty()).collect()
        };
        let lists = Self { groups: list("groups"), teams: list("teams"), subjects: list("subjects") };
        if lists == Self::default() {
            table.mistake_at(table.at(), "none of `groups`, `teams` and `subjects`: it would never hold");
        }
        table.finish();
        lists
    }

    pub fn extend(&mut self, more: &Self) {
        self.groups.extend(more.groups.iter().cloned());
        self.teams.extend(more.teams.iter().cloned());
        self.subjects.extend(more.subjects.iter().cloned());
    }

    /// What of it the message has.
    pub fn sign(&self, seen: &Seen<'_>) -> Option<Sign> {
        let has = |list: &[String], text: &str| list.iter().any(|entry| entry == text);
        let named = || seen.groups().any(|group| has(&self.groups, &group.name.to_lowercase()));
        let addressed = || self.groups.iter().any(|group| seen.is_recipient(group));
        if !self.groups.is_empty() && (named() || addressed()) {
            return Some(Sign::Group);
        }
        let team = |author| seen.facts.directory.person(author).map(|person| person.team.trim().to_lowercase());
        if !self.teams.is_empty() && seen.authors().iter().filter_map(team).any(|team| has(&self.teams, &team)) {
            return Some(Sign::Team);
        }
        self.subjects.iter().any(|word| has_word(seen.subject(), word)).then_some(Sign::Subject)
    }
}

/// Whether `word` stands in `text` with no letter or digit before or behind it.
fn has_word(text: &str, word: &str) -> bool {
    let edge = |c: Option<char>| !c.is_some_and(char::is_alphanumeric);
    text.match_indices(word)
        .any(|(at, _)| edge(text[..at].chars().next_back()) && edge(text[at + word.len()..].chars().next()))
}

#[cfg(test)]
mod tests {
    use super::has_word;

    #[test]
    fn words_are_whole() {
        for (text, word, is) in [
            ("hiv support group", "hiv", true),
            ("re: hiv", "hiv", true),
            ("the archives", "hiv", false),
            ("support group: tuesday", "support group", true),
            ("support groups", "support group", false),
        ] {
            assert_eq!(has_word(text, word), is, "{text}");
        }
    }
}
