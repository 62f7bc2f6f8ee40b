//! The texts of notices: read and checked when the configuration is loaded, filled for each message. What leaves this
//! module is a `Notice`, a value without fields.

mod field;
mod html;
mod plain;

use super::{
    condition::{DIRECTIONS, Direction, direction},
    directory::{Directory, Person},
    legal::Legal,
    seen::Seen,
};
use crate::{
    diagnostic::{Diagnostic, Diagnostics, Located, Source, Table, Value},
    mail::{
        Address,
        edit::{Notice, Placement},
    },
};
use field::FIELDS;
use html::Html;
use plain::Plain;
use std::{ops::Range, sync::Arc};

/// Whose notice it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Organisation {
    pub name: String,
    pub legal: Legal,
}

/// What fields are filled with. Prints nothing.
struct Values<'v> {
    organisation: &'v Organisation,
    author: Option<&'v Address>,
    person: Option<&'v Person>,
    directory: &'v Directory,
}

/// A text with its place in a file.
#[derive(Clone, Debug)]
pub struct Written {
    source: Source,
    text: String,
    at: Range<usize>,
    /// It stands in the file as it is, so that places within it are places of the file.
    verbatim: bool,
}

impl Written {
    /// A whole file.
    pub fn file(source: &Source) -> Self {
        let at = 0..source.text.len();
        Self { source: source.clone(), text: source.text.to_string(), at, verbatim: true }
    }

    /// A value of a TOML file. One with escapes in it is a place as a whole.
    fn value(source: &Source, value: Located<String>) -> Self {
        let Located { value: text, at } = value;
        let token = source.text.get(at.clone()).unwrap_or_default();
        let long = token.starts_with("\"\"\"") || token.starts_with("'''");
        let open = if long { 3 } else { 1 };
        let inner = token.get(open..).unwrap_or_default();
        let skipped = if long { inner.len() - inner.strip_prefix('\n').unwrap_or(inner).len() } else { 0 };
        let verbatim = inner[skipped..].starts_with(&text);
        let at = if verbatim { at.start + open + skipped..at.end } else { at };
        Self { source: source.clone(), text, at, verbatim }
    }
}

/// A text being read, and what is wrong with it.
struct Reading<'r> {
    written: &'r Written,
    diagnostics: &'r mut Diagnostics,
}

impl Reading<'_> {
    fn text(&self) -> &str {
        &self.written.text
    }

    fn note(&mut self, at: Range<usize>, message: impl Into<String>) -> Diagnostic {
        let Written { at: whole, verbatim, .. } = self.written;
        let at = if *verbatim { whole.start + at.start..whole.start + at.end } else { whole.clone() };
        Diagnostic::new(&self.written.source, at, message)
    }

    fn mistake(&mut self, at: Range<usize>, message: impl Into<String>, allowed: &str) {
        let mistake = self.note(at, message);
        self.diagnostics.push(if allowed.is_empty() { mistake } else { mistake.with_allowed(allowed) });
    }

    fn unknown_field(&mut self, at: Range<usize>, word: &str) {
        let mistake = self.note(at, format!("there is no field `{word}`"));
        self.diagnostics.push(mistake.with_words(word, &FIELDS.map(|(name, _)| name)));
    }
}

/// A text that a rule asks for. Empty: demanded by the document, but not given there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NoticeText {
    /// For those whom no choice fits.
    template: Template,
    choices: Vec<(Selector, Template)>,
    /// All of it as written, for the digest.
    written: String,
}

/// Whose messages a text is for: all that is given must fit, of a list any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Selector {
    domains: Vec<String>,
    groups: Vec<Address>,
    directions: Vec<Direction>,
}

/// Both forms: the one that was not written is derived. An empty one says nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Template {
    /// None: derived from the HTML once that is filled.
    plain: Option<Plain>,
    html: Html,
}

impl NoticeText {
    /// From a file or two.
    pub fn of_files(plain: Option<&Source>, html: Option<&Source>, diagnostics: &mut Diagnostics) -> Self {
        let (plain, html) = (plain.map(Written::file), html.map(Written::file));
        let mut text = Self::default();
        text.template = text.template(plain, html, diagnostics);
        text
    }

    /// `NAME = "text"`, or a table with `plain`, `html` and `[[when]]`.
    pub fn of_value(table: &Table<'_>, value: &Value<'_>) -> Option<Self> {
        let mut diagnostics = Diagnostics::default();
        let mut text = Self::default();
        if value.is_text() {
            let plain = Written::value(table.source(), value.text()?);
            text.template = text.template(Some(plain), None, &mut diagnostics);
        } else {
            let own = value.table()?;
            if !own.has("html") && !own.has("when") {
                own.required("plain");
            }
            text.template = text.forms(&own, &mut diagnostics);
            for choice in own.tables("when") {
                let template = text.forms(&choice, &mut diagnostics);
                let selector = Selector::read(&choice);
                text.written.push_str(&format!("{selector:?}"));
                text.choices.push((selector, template));
                choice.finish();
            }
            own.finish();
        }
        diagnostics.into_iter().for_each(|mistake| table.mistake(mistake));
        Some(text)
    }

    fn forms(&mut self, table: &Table<'_>, diagnostics: &mut Diagnostics) -> Template {
        let form = |key| Some(Written::value(table.source(), table.text(key)?));
        let (plain, html) = (form("plain"), form("html"));
        self.template(plain, html, diagnostics)
    }

    fn template(&mut self, plain: Option<Written>, html: Option<Written>, diagnostics: &mut Diagnostics) -> Template {
        for form in [&plain, &html] {
            let text = form.as_ref().map_or("", |form| &form.text);
            self.written.push_str(&format!("{}:{text}", text.len()));
        }
        let filled = |form: Option<Written>| form.filter(|form| !form.text.trim().is_empty());
        let plain = filled(plain).map(|written| Plain::read(&mut Reading { written: &written, diagnostics }));
        let html = filled(html).map(|written| Html::read(&mut Reading { written: &written, diagnostics }));
        let html = html.unwrap_or_else(|| plain.as_ref().map(Html::from_plain).unwrap_or_default());
        Template { plain, html }
    }

    pub fn is_empty(&self) -> bool {
        self.template.is_empty() && self.choices.iter().all(|(_, template)| template.is_empty())
    }

    pub fn written(&self) -> &str {
        &self.written
    }
}

impl Selector {
    fn read(table: &Table<'_>) -> Self {
        const GROUP: &str = "a group's address, such as advice@ours.example";
        let domains = table.parsed_list("domain", "a domain such as ours.example", super::clause::domain);
        let groups = table.parsed_list("group", GROUP, Address::parse);
        let directions = table.value("direction").map(|value| value.elements()).unwrap_or_default();
        let directions = directions.iter().filter_map(|word| word.choice(&DIRECTIONS));
        if !["domain", "group", "direction"].iter().any(|key| table.has(key)) {
            let message = "[[when]] says not for whom this text is";
            table.mistake(
                Diagnostic::new(table.source(), table.at(), message).with_allowed("allowed: domain, group, direction"),
            );
        }
        Self {
            domains: domains.into_iter().map(|domain| domain.value).collect(),
            groups: groups.into_iter().map(|group| group.value).collect(),
            directions: directions.map(|direction| direction.value).collect(),
        }
    }

    fn fits(&self, values: &Values<'_>, seen: &Seen<'_>) -> bool {
        let among = |domain: &String| values.author.is_some_and(|author| author.is_within(domain));
        let member = |group: &Address| {
            let folded = group.folded();
            values.person.is_some_and(|person| person.groups.iter().any(|own| own.folded() == folded))
        };
        (self.domains.is_empty() || self.domains.iter().any(among))
            && (self.groups.is_empty() || self.groups.iter().any(member))
            && (self.directions.is_empty() || self.directions.contains(&direction(seen)))
    }
}

impl Template {
    fn is_empty(&self) -> bool {
        self.plain.as_ref().is_none_or(Plain::is_empty) && self.html.is_empty()
    }

    fn is_fixed(&self) -> bool {
        self.plain.as_ref().is_none_or(Plain::is_fixed) && self.html.is_fixed()
    }

    /// None: nothing is left of it.
    fn fill(&self, name: &str, at: Placement, values: &Values<'_>) -> Option<Arc<Notice>> {
        let html = self.html.fill(values);
        let plain = match &self.plain {
            Some(plain) => plain.fill(values),
            None => {
                let filled = Written::file(&Source::new("", html.as_str()));
                Html::read(&mut Reading { written: &filled, diagnostics: &mut Diagnostics::default() }).readable()
            }
        };
        let says = plain.chars().any(char::is_alphanumeric) || html.chars().any(char::is_alphanumeric);
        says.then(|| Arc::new(Notice { name: name.into(), plain, html, at, ..Notice::default() }))
    }
}

/// One policy's text for a rule.
#[derive(Clone, Debug)]
pub enum Wording {
    Text {
        name: String,
        at: Placement,
        text: NoticeText,
        organisation: Arc<Organisation>,
        fixed: Option<Arc<Notice>>,
    },
    /// The same for every message.
    Lines(Vec<Arc<Notice>>),
}

impl Wording {
    pub fn new(name: &str, at: Placement, text: &NoticeText, organisation: Arc<Organisation>) -> Self {
        let is_fixed = text.choices.is_empty() && text.template.is_fixed();
        let (directory, organisation_of) = (Directory::default(), organisation.clone());
        let nobody = Values { organisation: &organisation_of, author: None, person: None, directory: &directory };
        let fixed = is_fixed.then(|| text.template.fill(name, at, &nobody)).flatten();
        Self::Text { name: name.into(), at, text: text.clone(), organisation, fixed }
    }

    /// Whether it is the same text in the same organisation's name.
    pub fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Text { fixed: Some(one), .. }, Self::Text { fixed: Some(other), .. }) => one.plain == other.plain,
            (Self::Text { text: one, organisation: of, .. }, Self::Text { text: other, organisation, .. }) => {
                one == other && of == organisation
            }
            (Self::Lines(one), Self::Lines(other)) => one == other,
            _ => false,
        }
    }

    /// The notice that every message has alike.
    pub fn fixed(&self) -> Option<&Notice> {
        match self {
            Self::Text { fixed, .. } => fixed.as_deref(),
            Self::Lines(lines) => lines.first().map(|line| &**line),
        }
    }

    /// The notices as the author of this message has them.
    pub fn notices(&self, seen: &Seen<'_>) -> Vec<Arc<Notice>> {
        match self {
            Self::Lines(lines) => lines.clone(),
            Self::Text { fixed: Some(fixed), .. } => vec![fixed.clone()],
            Self::Text { name, at, text, organisation, .. } => {
                let author = seen.authors().first();
                let directory = &*seen.facts.directory;
                let person = author.and_then(|author| directory.person(author));
                let values = Values { organisation, author, person, directory };
                let chosen = text.choices.iter().find(|(selector, _)| selector.fits(&values, seen));
                let template = chosen.map_or(&text.template, |(_, template)| template);
                template.fill(name, *at, &values).into_iter().collect()
            }
        }
    }
}

#[cfg(test)]
mod tests;
