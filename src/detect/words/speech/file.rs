//! A file of speech patterns as it is written: classes of words, and patterns over them.
//!
//! ```text
//! language: en
//! list: abuse                 # whose findings these are: words.abuse
//! ---
//! [class: GROUP, category: religion]     # a class; a finding takes the category of the entry that stands in it
//! hindu +s
//! sikh people|man|woman                  # | divides words of which any may stand there
//! [class: OATH, from: profanity]         # what the word lists have in these categories
//! [class: THEY, stands-for: GROUP]       # pronouns: a GROUP after one was named
//! [pattern: contempt, severity: strong]
//! loathe|despise .. GROUP                # .. up to three words but no comma, ... up to six words; a word or class with ? may be absent
//! - loathe GROUP                         # takes a pattern (or, in a class, an entry) out again
//! ```

use super::super::{
    super::{Mistake, SourceFile},
    list::{forms, severity, without_comment},
};
use super::pattern::{LONG_GAP, SHORT_GAP};
use std::ops::Range;

#[derive(Clone, Debug, Default)]
pub(super) struct Class {
    pub name: String,
    pub entries: Vec<ClassEntry>,
    /// Categories of the word lists whose entries are of this class too.
    pub from: Vec<String>,
    pub stands_for: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ClassEntry {
    pub form: String,
    pub category: Option<String>,
}

#[derive(Clone, Debug)]
pub(super) struct WrittenPattern {
    pub text: String,
    pub elements: Vec<Element>,
    pub category: Option<String>,
    pub severity: u8,
    pub list: String,
    pub place: Place,
}

/// Where it stands, for a mistake that shows only when all files are read.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub file: String,
    pub line: usize,
    pub span: Range<usize>,
}

impl Place {
    pub fn mistake(&self, message: impl Into<String>) -> Mistake {
        Mistake { file: self.file.clone(), line: self.line, span: self.span.clone(), message: message.into() }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Element {
    /// Words of which one stands there: classes in capitals.
    Words { any: Vec<String>, optional: bool },
    /// So many words of any kind.
    Gap(usize),
}

/// All files together.
#[derive(Debug, Default)]
pub(super) struct Written {
    pub classes: Vec<Class>,
    pub patterns: Vec<WrittenPattern>,
}

const KEYS: [&str; 6] = ["title", "language", "list", "source", "licence", "note"];
const CLASS_KEYS: &str = "allowed: category, from, stands-for";
const PATTERN_KEYS: &str = "allowed: category, severity, list";
const MOST_ELEMENTS: usize = 16;
const LONGEST_LINE: usize = 2_000;
const MOST_FORMS: usize = 400;

impl Written {
    /// All mistakes of all files at once.
    pub fn parse(files: &[SourceFile]) -> Result<Self, Vec<Mistake>> {
        let mut written = Self::default();
        let mut mistakes = Vec::new();
        for file in files {
            Reading::new(file, &mut written, &mut mistakes).read();
        }
        if mistakes.is_empty() { Ok(written) } else { Err(mistakes) }
    }
}

#[derive(Clone)]
enum Section {
    None,
    Class { index: usize, category: Option<String> },
    Pattern { category: Option<String>, severity: u8, list: String },
}

struct Reading<'a> {
    file: &'a SourceFile,
    written: &'a mut Written,
    mistakes: &'a mut Vec<Mistake>,
    list: String,
    section: Section,
    line: usize,
    span: Range<usize>,
}

impl<'a> Reading<'a> {
    fn new(file: &'a SourceFile, written: &'a mut Written, mistakes: &'a mut Vec<Mistake>) -> Self {
        Self { file, written, mistakes, list: "abuse".into(), section: Section::None, line: 0, span: 0..0 }
    }

    fn read(mut self) {
        let mut in_head = true;
        let mut at = 0;
        for (index, line) in self.file.text.split('\n').enumerate() {
            self.span = at..at + line.len();
            self.line = index + 1;
            at += line.len() + 1;
            match without_comment(line).trim() {
                "" => {}
                "---" if in_head => in_head = false,
                content if in_head => self.head(content),
                content => self.content(content),
            }
        }
        if in_head {
            self.mistake("the head has no end: a line `---` goes between the head and the classes");
        }
    }

    fn place(&self) -> Place {
        Place { file: self.file.path.clone(), line: self.line, span: self.span.clone() }
    }

    fn mistake(&mut self, message: impl Into<String>) {
        self.mistakes.push(self.place().mistake(message));
    }

    fn head(&mut self, content: &str) {
        match content.split_once(':').map(|(key, value)| (key.trim(), value.trim())) {
            Some(("list", name)) => self.list = name.into(),
            Some((key, _)) if KEYS.contains(&key) => {}
            Some((key, _)) => self.mistake(format!("unknown key `{key}`; allowed: {}", KEYS.join(", "))),
            None => self.mistake(format!("not a head line `key: value`; allowed keys: {}", KEYS.join(", "))),
        }
    }

    fn content(&mut self, content: &str) {
        if content.len() > LONGEST_LINE {
            return self.mistake(format!("a line has at most {LONGEST_LINE} bytes"));
        }
        if let Some(section) = content.strip_prefix('[') {
            return match section.strip_suffix(']') {
                Some(section) => self.section(section),
                None => self.mistake("a section ends with `]`"),
            };
        }
        match self.section.clone() {
            Section::None => self.mistake("before the first section `[class: NAME]` or `[pattern: NAME]`"),
            Section::Class { index, category } => self.entry(content, index, category),
            Section::Pattern { category, severity, list } => self.pattern(content, category, severity, list),
        }
    }

    fn section(&mut self, section: &str) {
        let mut settings = section.split(',').map(|setting| setting.split_once(':').unwrap_or((setting, "")));
        let (kind, name) = settings.next().map(|(kind, name)| (kind.trim(), name.trim())).unwrap_or_default();
        let settings: Vec<(&str, &str)> = settings.map(|(key, value)| (key.trim(), value.trim())).collect();
        match kind {
            "class" if is_class(name) => self.class_section(name, &settings),
            "class" => self.mistake("a class is named in capitals: `[class: GROUP]`"),
            "pattern" => self.pattern_section(&settings),
            _ => self.mistake("a section is `[class: NAME]` or `[pattern: NAME]`"),
        }
    }

    fn class_section(&mut self, name: &str, settings: &[(&str, &str)]) {
        let known = self.written.classes.iter().position(|class| class.name == name);
        let index = known.unwrap_or(self.written.classes.len());
        if known.is_none() {
            self.written.classes.push(Class { name: name.into(), ..Class::default() });
        }
        let mut category = None;
        for (key, value) in settings {
            let class = &mut self.written.classes[index];
            match *key {
                "category" => category = Some(value.to_string()),
                "from" => class.from.extend(value.split_whitespace().map(str::to_string)),
                "stands-for" => class.stands_for = Some(value.to_string()),
                _ => self.mistake(format!("unknown key `{key}`; {CLASS_KEYS}")),
            }
        }
        self.section = Section::Class { index, category };
    }

    fn pattern_section(&mut self, settings: &[(&str, &str)]) {
        let (mut category, mut weight, mut list) = (None, None, self.list.clone());
        for (key, value) in settings {
            match *key {
                "category" => category = Some(value.to_string()),
                "list" => list = value.to_string(),
                "severity" => match severity(value) {
                    Some(known) => weight = Some(known),
                    None => self.mistake("severity is `mild`, `strong` or `severe`"),
                },
                _ => self.mistake(format!("unknown key `{key}`; {PATTERN_KEYS}")),
            }
        }
        self.section = Section::Pattern { category, severity: weight.unwrap_or(0), list };
    }

    fn entry(&mut self, content: &str, index: usize, category: Option<String>) {
        if let Some(removed) = content.strip_prefix("- ") {
            return self.written.classes[index].entries.retain(|entry| entry.form != removed.trim());
        }
        let forms = match forms(content) {
            Ok(forms) => forms.iter().flat_map(|form| alternatives(form)).collect::<Vec<_>>(),
            Err(why) => return self.mistake(why),
        };
        if forms.len() > MOST_FORMS {
            return self
                .mistake(format!("a line stands for at most {MOST_FORMS} entries; this one for {}", forms.len()));
        }
        let entries =
            forms.into_iter().map(|form| ClassEntry { form: form.to_lowercase(), category: category.clone() });
        self.written.classes[index].entries.extend(entries);
    }

    fn pattern(&mut self, content: &str, category: Option<String>, severity: u8, list: String) {
        let content = content.split_whitespace().collect::<Vec<_>>().join(" ");
        if let Some(removed) = content.strip_prefix("- ") {
            return self.written.patterns.retain(|pattern| pattern.text != removed);
        }
        let elements: Vec<Element> = content.split(' ').map(element).collect();
        let is_gap = |element: Option<&Element>| matches!(element, Some(Element::Gap(_)) | None);
        if is_gap(elements.first()) || is_gap(elements.last()) {
            return self.mistake("a pattern begins and ends with a word or a class");
        }
        if elements.len() > MOST_ELEMENTS {
            return self.mistake(format!("a pattern has at most {MOST_ELEMENTS} words, classes and gaps"));
        }
        let empty =
            |element: &Element| matches!(element, Element::Words { any, .. } if any.iter().any(String::is_empty));
        if elements.iter().any(empty) {
            return self.mistake("between two `|` stands a word or a class");
        }
        let place = self.place();
        self.written.patterns.push(WrittenPattern { text: content, elements, category, severity, list, place });
    }
}

fn element(word: &str) -> Element {
    match word {
        ".." => Element::Gap(SHORT_GAP),
        "..." => Element::Gap(LONG_GAP),
        _ => {
            let (word, optional) = word.strip_suffix('?').map_or((word, false), |word| (word, true));
            Element::Words { any: word.split('|').map(str::to_string).collect(), optional }
        }
    }
}

pub(super) fn is_class(word: &str) -> bool {
    word.len() > 1 && word.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'-')
}

/// `sikh people|man`: every way to read it.
fn alternatives(form: &str) -> Vec<String> {
    form.split(' ').fold(vec![String::new()], |begun, word| {
        let with = |start: &String, word: &str| if start.is_empty() { word.into() } else { format!("{start} {word}") };
        begun.iter().flat_map(|start| word.split('|').map(move |word| with(start, word))).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Written, Vec<Mistake>> {
        Written::parse(&[SourceFile { path: "wordlists/speech/en.txt".into(), text: text.into() }])
    }

    #[test]
    fn classes_and_patterns() {
        let written = parse(
            "language: en # x\n---\n[class: BIRD, category: birds]\nkite +s\nred|blue tit\n[pattern: dislike, severity: strong]\ndislike|loathe .. BIRD really?\n",
        )
        .unwrap();
        let forms: Vec<&str> = written.classes[0].entries.iter().map(|entry| entry.form.as_str()).collect();
        assert_eq!(forms, ["kite", "kites", "red tit", "blue tit"]);
        let words = |any: &[&str], optional| Element::Words {
            any: any.iter().map(|word| word.to_string()).collect(),
            optional,
        };
        let pattern = &written.patterns[0];
        assert_eq!(
            pattern.elements,
            [words(&["dislike", "loathe"], false), Element::Gap(3), words(&["BIRD"], false), words(&["really"], true)]
        );
        assert_eq!((pattern.severity, pattern.list.as_str(), pattern.place.line), (2, "abuse", 7));
    }

    #[test]
    fn a_later_file_takes_out() {
        let file = |text: &str| SourceFile { path: "x.txt".into(), text: format!("language: en\n---\n{text}") };
        let written = Written::parse(&[
            file("[class: BIRD]\nkite\nauk\n[pattern: a]\nno BIRD\n"),
            file("[class: BIRD]\n- kite\nrobin\n[pattern: a]\n- no BIRD\nsome BIRD\n"),
        ])
        .unwrap();
        let forms: Vec<&str> = written.classes[0].entries.iter().map(|entry| entry.form.as_str()).collect();
        assert_eq!(forms, ["auk", "robin"]);
        assert_eq!(written.patterns.iter().map(|pattern| pattern.text.as_str()).collect::<Vec<_>>(), ["some BIRD"]);
    }

    #[test]
    fn every_mistake_has_its_line() {
        let mistakes = parse(
            "langauge: en\n---\nword\n[class: bird]\n[class: BIRD, colour: red]\n!!!\n[pattern: a, severity: awful]\n.. BIRD\na||b\n[bird\n[flock: x]\n",
        )
        .unwrap_err();
        let lines: Vec<usize> = mistakes.iter().map(|mistake| mistake.line).collect();
        assert_eq!(lines, [1, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
        assert_eq!(parse("language: en\n").unwrap_err()[0].line, 2);
    }
}
