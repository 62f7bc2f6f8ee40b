//! Reads a TOML table key by key. Every accessor notes its mistakes and lets reading go on.

use super::{Diagnostic, Diagnostics, Source, amount::parse_duration};
use std::{
    cell::RefCell,
    fmt::Display,
    ops::{Range, RangeInclusive},
    time::Duration,
};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

/// A value and its place in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Located<T> {
    pub value: T,
    pub at: Range<usize>,
}

impl<T> Located<T> {
    pub fn new(value: T, at: Range<usize>) -> Self {
        Self { value, at }
    }
}

/// Reads one file. `with` asks the table for its keys; keys that it did not ask for are mistakes. None when `with`
/// gives none, or when the file is not TOML at all.
pub fn read<T>(
    source: &Source,
    diagnostics: &mut Diagnostics,
    with: impl FnOnce(&Table<'_>) -> Option<T>,
) -> Option<T> {
    let (root, errors) = DeTable::parse_recoverable(&source.text);
    if !errors.is_empty() {
        for error in errors {
            let span = error.span().unwrap_or(0..0);
            let message = error.message().lines().collect::<Vec<_>>().join(", ");
            diagnostics.push(Diagnostic::new(source, span, format!("this is not TOML: {message}")));
        }
        return None;
    }
    let reading = Reading { source, mistakes: RefCell::default() };
    let table = Table::new(&reading, root.get_ref(), 0..0, String::new());
    let value = with(&table);
    table.finish();
    diagnostics.extend(reading.mistakes.into_inner());
    value
}

/// One file being read.
struct Reading<'s> {
    source: &'s Source,
    mistakes: RefCell<Diagnostics>,
}

/// One table of the file. Remembers which keys were asked for; `finish` reports the others.
pub struct Table<'r> {
    reading: &'r Reading<'r>,
    entries: &'r DeTable<'r>,
    at: Range<usize>,
    /// `rules.hide-recipients`; empty for the file itself.
    name: String,
    asked: RefCell<Vec<String>>,
}

/// One value of the file.
pub struct Value<'r> {
    reading: &'r Reading<'r>,
    value: &'r Spanned<DeValue<'r>>,
    /// The dotted key, for messages.
    name: String,
}

impl<'r> Table<'r> {
    fn new(reading: &'r Reading<'r>, entries: &'r DeTable<'r>, at: Range<usize>, name: String) -> Self {
        Self { reading, entries, at, name, asked: RefCell::default() }
    }

    /// Where the table begins: its header.
    pub fn at(&self) -> Range<usize> {
        self.at.clone()
    }

    pub fn source(&self) -> &'r Source {
        self.reading.source
    }

    /// Notes a mistake of this file.
    pub fn mistake(&self, diagnostic: Diagnostic) {
        self.reading.mistakes.borrow_mut().push(diagnostic);
    }

    /// Notes a mistake at a place of this file.
    pub fn mistake_at(&self, at: Range<usize>, message: impl Into<String>) {
        self.mistake(Diagnostic::new(self.reading.source, at, message));
    }

    /// The value of an optional key.
    pub fn value(&self, key: &str) -> Option<Value<'r>> {
        self.ask(key);
        let value = self.entries.get(key)?;
        Some(Value { reading: self.reading, value, name: self.dotted(key) })
    }

    /// The value of a key that must be there.
    pub fn required(&self, key: &str) -> Option<Value<'r>> {
        let value = self.value(key);
        if value.is_none() {
            let place = if self.name.is_empty() { String::new() } else { format!(" in [{}]", self.name) };
            self.mistake_at(self.at.clone(), format!("`{key}` is missing{place}"));
        }
        value
    }

    pub fn text(&self, key: &str) -> Option<Located<String>> {
        self.value(key)?.text()
    }

    /// A text that must be there and say something.
    pub fn required_text(&self, key: &str) -> Option<Located<String>> {
        self.required(key)?;
        self.filled_text(key)
    }

    /// A text that may be absent, but says something when it is there.
    pub fn filled_text(&self, key: &str) -> Option<Located<String>> {
        let text = self.value(key)?.text()?;
        if text.value.trim().is_empty() {
            self.mistake_at(text.at, format!("`{key}` is empty"));
            return None;
        }
        Some(text)
    }

    /// A list of texts; one text is a list of one. Absent: empty.
    pub fn texts(&self, key: &str) -> Vec<Located<String>> {
        self.value(key).map(|value| value.texts()).unwrap_or_default()
    }

    /// True or false; `default` when absent or wrong.
    pub fn flag(&self, key: &str, default: bool) -> bool {
        self.value(key).and_then(|value| value.flag()).map_or(default, |flag| flag.value)
    }

    pub fn integer(&self, key: &str, range: RangeInclusive<i64>) -> Option<Located<i64>> {
        self.value(key)?.integer(range)
    }

    /// `540 s`, `3 years`.
    pub fn duration(&self, key: &str) -> Option<Located<Duration>> {
        self.value(key)?.duration()
    }

    /// One of a few words.
    pub fn choice<T: Clone>(&self, key: &str, words: &[(&str, T)]) -> Option<Located<T>> {
        self.value(key)?.choice(words)
    }

    /// A text read by `parse`; `allowed` says what is right: `an address with its port, such as 127.0.0.1:25`.
    pub fn parsed<T, E: Display>(
        &self,
        key: &str,
        allowed: &str,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Option<Located<T>> {
        self.value(key)?.parsed(allowed, parse)
    }

    /// A list of texts, each read by `parse`. What is wrong is noted and left out.
    pub fn parsed_list<T, E: Display>(
        &self,
        key: &str,
        allowed: &str,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Vec<Located<T>> {
        let Some(value) = self.value(key) else { return Vec::new() };
        value.elements().iter().filter_map(|element| element.parsed(allowed, &parse)).collect()
    }

    pub fn table(&self, key: &str) -> Option<Table<'r>> {
        self.value(key)?.table()
    }

    /// `[[key]]`: all tables of that name.
    pub fn tables(&self, key: &str) -> Vec<Table<'r>> {
        let Some(value) = self.value(key) else { return Vec::new() };
        let DeValue::Array(elements) = value.value.get_ref() else {
            value.wrong_type::<()>(&format!("a list of tables, each headed [[{key}]]"));
            return Vec::new();
        };
        let elements = elements.iter();
        elements.filter_map(|element| value.element(element).table()).collect()
    }

    /// All entries in the order of the file, for a table whose keys are names. Nothing of it is then unknown.
    pub fn entries(&self) -> Vec<(Located<String>, Value<'r>)> {
        let mut entries: Vec<_> = self.entries.iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        let entries = entries.into_iter().map(|(key, value)| {
            let name = key.get_ref().to_string();
            self.ask(&name);
            let dotted = self.dotted(&name);
            (Located::new(name, key.span()), Value { reading: self.reading, value, name: dotted })
        });
        entries.collect()
    }

    /// Whether nothing is written in it.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub fn has(&self, key: &str) -> bool {
        self.entries.contains_key(key)
    }

    /// Reports every key that nobody asked for, with the nearest allowed word and all of them. `read` calls it for the
    /// file itself; whoever opens a table below calls it when all was asked.
    pub fn finish(&self) {
        let mut asked = self.asked.borrow_mut();
        asked.sort();
        asked.dedup();
        for key in self.entries.keys() {
            let name = key.get_ref().as_ref();
            if !asked.iter().any(|known| known == name) {
                let place = if self.name.is_empty() { String::new() } else { format!(" in [{}]", self.name) };
                let diagnostic =
                    Diagnostic::new(self.reading.source, key.span(), format!("unknown key `{name}`{place}"));
                self.mistake(diagnostic.with_words(name, &asked));
            }
        }
    }

    fn ask(&self, key: &str) {
        self.asked.borrow_mut().push(key.into());
    }

    fn dotted(&self, key: &str) -> String {
        if self.name.is_empty() { key.into() } else { format!("{}.{key}", self.name) }
    }
}

impl<'r> Value<'r> {
    pub fn at(&self) -> Range<usize> {
        self.value.span()
    }

    /// The dotted key.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn mistake(&self, message: impl Into<String>) {
        self.note(Diagnostic::new(self.reading.source, self.at(), message));
    }

    pub fn text(&self) -> Option<Located<String>> {
        match self.value.get_ref() {
            DeValue::String(text) => Some(self.located(text.to_string())),
            _ => self.wrong_type("a text in quotes"),
        }
    }

    pub fn flag(&self) -> Option<Located<bool>> {
        match self.value.get_ref() {
            DeValue::Boolean(flag) => Some(self.located(*flag)),
            _ => self.wrong_type("true or false, without quotes"),
        }
    }

    pub fn integer(&self, range: RangeInclusive<i64>) -> Option<Located<i64>> {
        let allowed = format!("a whole number from {} to {}", range.start(), range.end());
        let DeValue::Integer(written) = self.value.get_ref() else { return self.wrong_type(&allowed) };
        match i64::from_str_radix(written.as_str(), written.radix()) {
            Ok(number) if range.contains(&number) => Some(self.located(number)),
            _ => self.out_of_range(&allowed),
        }
    }

    /// A number with or without a fraction.
    pub fn number(&self, range: RangeInclusive<f64>) -> Option<Located<f64>> {
        let allowed = format!("a number from {} to {}", range.start(), range.end());
        let number = match self.value.get_ref() {
            DeValue::Float(written) => written.as_str().parse().ok(),
            DeValue::Integer(written) => {
                i64::from_str_radix(written.as_str(), written.radix()).ok().map(|number| number as f64)
            }
            _ => return self.wrong_type(&allowed),
        };
        match number {
            Some(number) if range.contains(&number) => Some(self.located(number)),
            _ => self.out_of_range(&allowed),
        }
    }

    fn out_of_range<T>(&self, allowed: &str) -> Option<T> {
        let diagnostic = Diagnostic::new(self.reading.source, self.at(), format!("`{}` is out of range", self.name));
        self.note(diagnostic.with_allowed(format!("allowed: {allowed}")));
        None
    }

    pub fn duration(&self) -> Option<Located<Duration>> {
        let allowed = "a number and a unit: s, min, h, days, weeks, months, years";
        self.parsed(allowed, |text| parse_duration(text).ok_or("not a length of time"))
    }

    pub fn choice<T: Clone>(&self, words: &[(&str, T)]) -> Option<Located<T>> {
        let names: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let DeValue::String(text) = self.value.get_ref() else {
            return self.wrong_type(&format!("one of: {}", names.join(", ")));
        };
        if let Some((_, meaning)) = words.iter().find(|(word, _)| word == text) {
            return Some(self.located(meaning.clone()));
        }
        let message = format!("`{text}` is not allowed for `{}`", self.name);
        self.note(Diagnostic::new(self.reading.source, self.at(), message).with_words(text, &names));
        None
    }

    pub fn parsed<T, E: Display>(&self, allowed: &str, parse: impl Fn(&str) -> Result<T, E>) -> Option<Located<T>> {
        let DeValue::String(text) = self.value.get_ref() else { return self.wrong_type(allowed) };
        match parse(text) {
            Ok(value) => Some(self.located(value)),
            Err(why) => {
                let message = format!("`{}`: {why}", self.name);
                self.note(
                    Diagnostic::new(self.reading.source, self.at(), message)
                        .with_allowed(format!("allowed: {allowed}")),
                );
                None
            }
        }
    }

    pub fn texts(&self) -> Vec<Located<String>> {
        self.elements().iter().filter_map(Value::text).collect()
    }

    /// The elements of a list; a single value is a list of one.
    pub fn elements(&self) -> Vec<Value<'r>> {
        match self.value.get_ref() {
            DeValue::Array(elements) => elements.iter().map(|element| self.element(element)).collect(),
            _ => vec![self.element(self.value)],
        }
    }

    pub fn table(&self) -> Option<Table<'r>> {
        match self.value.get_ref() {
            DeValue::Table(entries) => Some(Table::new(self.reading, entries, self.at(), self.name.clone())),
            _ => self.wrong_type(&format!("a table headed [{}]", self.name)),
        }
    }

    pub fn is_table(&self) -> bool {
        self.value.get_ref().is_table()
    }

    pub fn is_text(&self) -> bool {
        self.value.get_ref().is_str()
    }

    pub fn is_flag(&self) -> bool {
        self.value.get_ref().is_bool()
    }

    pub fn is_integer(&self) -> bool {
        self.value.get_ref().is_integer()
    }

    /// Notes that the value is of the wrong kind.
    pub fn wrong_type<T>(&self, allowed: &str) -> Option<T> {
        let is = match self.value.get_ref() {
            DeValue::String(_) => "a text",
            DeValue::Integer(_) => "a whole number",
            DeValue::Float(_) => "a number with a fraction",
            DeValue::Boolean(_) => "true or false",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        let message = format!("`{}` cannot be {is}", self.name);
        self.note(Diagnostic::new(self.reading.source, self.at(), message).with_allowed(format!("allowed: {allowed}")));
        None
    }

    fn element(&self, value: &'r Spanned<DeValue<'r>>) -> Value<'r> {
        Value { reading: self.reading, value, name: self.name.clone() }
    }

    fn located<T>(&self, value: T) -> Located<T> {
        Located::new(value, self.at())
    }

    fn note(&self, diagnostic: Diagnostic) {
        self.reading.mistakes.borrow_mut().push(diagnostic);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mistakes(text: &str, with: impl FnOnce(&Table<'_>) -> Option<()>) -> Vec<String> {
        let mut diagnostics = Diagnostics::default();
        read(&Source::new("f", text), &mut diagnostics, with);
        diagnostics.sort();
        diagnostics.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn every_kind_of_mistake_is_noted_and_reading_goes_on() {
        let text = "titel = 'x'\nmode = 'enforse'\nlimit = 0\nwait = '5 moons'\nto = ['a', 3]\non = 'yes'\n\n[when]\nfoo = 1\n\n[[test]]\nname = 'ok'\n\n[[test]]\nexpect = ' '\n";
        let found = mistakes(text, |table| {
            table.required_text("title");
            table.choice("mode", &[("enforce", 1), ("watch", 2)]);
            table.integer("limit", 1..=9);
            table.duration("wait");
            assert_eq!(table.texts("to").len(), 1);
            assert!(table.flag("on", true));
            let when = table.table("when").expect("a table");
            when.value("over");
            when.finish();
            for test in table.tables("test") {
                test.required_text("name");
                test.text("expect");
                test.finish();
            }
            None
        });
        assert_eq!(
            found,
            [
                "f:1:1: `title` is missing",
                "f:1:1: unknown key `titel` (did you mean `title`? allowed: limit, mode, on, test, title, to, wait, when)",
                "f:2:8: `enforse` is not allowed for `mode` (did you mean `enforce`? allowed: enforce, watch)",
                "f:3:9: `limit` is out of range (allowed: a whole number from 1 to 9)",
                "f:4:8: `wait`: not a length of time (allowed: a number and a unit: s, min, h, days, weeks, months, years)",
                "f:5:12: `to` cannot be a whole number (allowed: a text in quotes)",
                "f:6:6: `on` cannot be a text (allowed: true or false, without quotes)",
                "f:9:1: unknown key `foo` in [when] (allowed: over)",
                "f:14:1: `name` is missing in [test]",
            ]
        );
    }

    #[test]
    fn a_file_that_is_not_toml_says_so_with_its_place() {
        let found = mistakes("a = 1\nb = \n[c\n", |_| panic!("not read further"));
        assert!(found[0].starts_with("f:2:"), "{found:?}");
        assert!(found.len() >= 2, "all of them: {found:?}");
        let twice = mistakes("a = 1\na = 2\n", |_| panic!("not read further"));
        assert!(twice[0].contains("duplicate"), "{twice:?}");
    }

    #[test]
    fn names_keep_the_order_of_the_file() {
        let found = mistakes("z = 1\na = 2\n", |table| {
            let names: Vec<_> = table.entries().into_iter().map(|(name, _)| name.value).collect();
            assert_eq!(names, ["z", "a"]);
            None
        });
        assert!(found.is_empty());
    }
}
