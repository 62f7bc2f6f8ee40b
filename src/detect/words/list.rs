//! A word list as it is written: a head of `key: value` lines, a line `---`, then one entry a line.
//!
//! ```text
//! language: en
//! category: abuse
//! severity: strong            # mild | strong | severe; without it the list is not about offence
//! source: where the entries are from
//! licence: CC0-1.0
//! about: person               # an entry counts only in a sentence that says it of a person
//! ---
//! word
//! word +s +ed +ing            # endings put onto the entry
//! child, children             # other forms of the same entry
//! a whole phrase
//! [category: race, severity: severe]     # for the entries below
//! - word                      # takes an entry out again (in a list that extends another)
//! ```

use super::super::{Mistake, SourceFile};
use std::ops::Range;

/// A list: the file's stem is its name.
#[derive(Clone, Debug, Default)]
pub(crate) struct WordList {
    pub name: String,
    /// Excerpts show the entry as it stands, for lists of phrases that offend nobody.
    pub clear: bool,
    /// An entry counts only where it is said of a person.
    pub about_person: bool,
    /// What `scan` calls a match, when not by the list's severity.
    pub kind: Option<String>,
    pub entries: Vec<Entry>,
    pub removed: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The entry itself first.
    pub forms: Vec<String>,
    pub category: Option<String>,
    /// 0 where the list says none, else 1 to 3.
    pub severity: u8,
}

const KEYS: [&str; 10] =
    ["title", "language", "category", "severity", "source", "licence", "excerpt", "type", "about", "note"];
const LONGEST_ENTRY: usize = 200;

impl WordList {
    /// All mistakes of the file at once.
    pub fn parse(file: &SourceFile) -> Result<Self, Vec<Mistake>> {
        let mut reading =
            Reading { file, list: WordList { name: file.stem().into(), ..Default::default() }, ..Reading::new(file) };
        let mut in_head = true;
        let mut at = 0;
        for (index, line) in file.text.split('\n').enumerate() {
            let span = at..at + line.len();
            at += line.len() + 1;
            let content = without_comment(line).trim();
            (reading.line, reading.span) = (index + 1, span);
            match content {
                "" => {}
                "---" if in_head => in_head = false,
                _ if in_head => reading.head(content),
                _ => reading.entry(content),
            }
        }
        if in_head {
            reading.mistake("the head has no end: a line `---` goes between the head and the entries");
        }
        if reading.mistakes.is_empty() { Ok(reading.list) } else { Err(reading.mistakes) }
    }
}

struct Reading<'a> {
    file: &'a SourceFile,
    list: WordList,
    category: Option<String>,
    severity: u8,
    line: usize,
    span: Range<usize>,
    mistakes: Vec<Mistake>,
}

impl<'a> Reading<'a> {
    fn new(file: &'a SourceFile) -> Self {
        Self { file, list: WordList::default(), category: None, severity: 0, line: 0, span: 0..0, mistakes: Vec::new() }
    }

    fn mistake(&mut self, message: impl Into<String>) {
        self.mistakes.push(Mistake {
            file: self.file.path.clone(),
            line: self.line,
            span: self.span.clone(),
            message: message.into(),
        });
    }

    fn head(&mut self, content: &str) {
        let Some((key, value)) = content.split_once(':').map(|(key, value)| (key.trim(), value.trim())) else {
            return self.mistake(format!("not a head line `key: value`; allowed keys: {}", KEYS.join(", ")));
        };
        match key {
            "excerpt" => match value {
                "clear" => self.list.clear = true,
                "masked" => self.list.clear = false,
                _ => self.mistake("excerpt is `masked` or `clear`"),
            },
            "about" => match value {
                "person" => self.list.about_person = true,
                _ => self.mistake("about is `person`"),
            },
            "type" => self.list.kind = Some(value.to_string()),
            "category" | "severity" => self.setting(key, value),
            _ if KEYS.contains(&key) => {}
            _ => self.mistake(format!("unknown key `{key}`; allowed: {}", KEYS.join(", "))),
        }
    }

    fn setting(&mut self, key: &str, value: &str) {
        match (key, value) {
            ("category", "") => self.mistake("a category has a name"),
            ("category", name) => self.category = Some(name.to_string()),
            ("severity", name) => match severity(name) {
                Some(known) => self.severity = known,
                None => self.mistake("severity is `mild`, `strong` or `severe`"),
            },
            _ => self.mistake(format!("unknown key `{key}`; allowed: category, severity")),
        }
    }

    fn entry(&mut self, content: &str) {
        if let Some(section) = content.strip_prefix('[') {
            let Some(section) = section.strip_suffix(']') else {
                return self.mistake("a section ends with `]`");
            };
            for setting in section.split(',') {
                match setting.split_once(':') {
                    Some((key, value)) => self.setting(key.trim(), value.trim()),
                    None => self.mistake("a section holds `category: NAME` and `severity: mild|strong|severe`"),
                }
            }
            return;
        }
        if let Some(removed) = content.strip_prefix("- ") {
            return self.list.removed.push(removed.trim().to_lowercase());
        }
        if content.len() > LONGEST_ENTRY {
            return self.mistake(format!("an entry has at most {LONGEST_ENTRY} bytes"));
        }
        match forms(content) {
            Ok(forms) => {
                self.list.entries.push(Entry { forms, category: self.category.clone(), severity: self.severity });
            }
            Err(why) => self.mistake(why),
        }
    }
}

pub(super) fn severity(name: &str) -> Option<u8> {
    let place = ["mild", "strong", "severe"].iter().position(|known| *known == name)?;
    Some(place as u8 + 1)
}

/// `word +s, another form`: all forms of one entry, the entry itself first.
pub(super) fn forms(content: &str) -> Result<Vec<String>, &'static str> {
    let mut forms = Vec::new();
    for written in content.split(',') {
        let (stem, endings): (Vec<&str>, Vec<&str>) =
            written.split_whitespace().partition(|word| !word.starts_with('+') || word.len() == 1);
        let stem = stem.join(" ");
        if !stem.chars().any(char::is_alphanumeric) {
            return Err("an entry needs a letter or a digit");
        }
        forms.extend(endings.iter().map(|ending| format!("{stem}{}", &ending[1..])));
        forms.insert(forms.len() - endings.len(), stem);
    }
    Ok(forms)
}

/// A `#` at the start of the line or behind white space begins a comment.
pub(super) fn without_comment(line: &str) -> &str {
    let bytes = line.as_bytes();
    let comment = memchr::memchr_iter(b'#', bytes).find(|at| *at == 0 || bytes[at - 1].is_ascii_whitespace());
    &line[..comment.unwrap_or(line.len())]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<WordList, Vec<Mistake>> {
        WordList::parse(&SourceFile { path: "wordlists/en/birds.txt".into(), text: text.into() })
    }

    #[test]
    fn heads_sections_forms_and_comments() {
        let list = parse(
            "# a list\r\nlanguage: en\ncategory: birds\nexcerpt: clear\n---\nkite +s # red ones\ngoose, geese\n\n[severity: severe]\ngreat  auk\n- Robin\n",
        )
        .unwrap();
        assert_eq!(list.name, "birds");
        assert!(list.clear);
        let entry = |forms: &[&str], severity| Entry {
            forms: forms.iter().map(|form| form.to_string()).collect(),
            category: Some("birds".into()),
            severity,
        };
        assert_eq!(
            list.entries,
            [entry(&["kite", "kites"], 0), entry(&["goose", "geese"], 0), entry(&["great auk"], 3)]
        );
        assert_eq!(list.removed, ["robin"]);
    }

    #[test]
    fn every_mistake_has_its_line() {
        let mistakes =
            parse("langauge: en\nseverity: awful\nno colon\n---\n[severity: mild\n!!!\nfine\n[colour: red]\n")
                .unwrap_err();
        let lines: Vec<usize> = mistakes.iter().map(|mistake| mistake.line).collect();
        assert_eq!(lines, [1, 2, 3, 5, 6, 8]);
        assert_eq!(mistakes[1].span, 13..28);
        assert!(mistakes[0].message.contains("language"), "says what is allowed");
        assert_eq!(parse("language: en\nword\n").unwrap_err().len(), 2, "the head never ends");
    }
}
