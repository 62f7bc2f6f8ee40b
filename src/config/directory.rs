//! `[directory]`: the organisation's people, from a table that its own systems write.

use super::{check::Remarks, folders, table_file, table_file::Field, written::path};
use crate::{
    diagnostic::{Diagnostic, Diagnostics, Located, Source, Table},
    mail::Address,
    policy::{Directory, Person, directory::Written as Age},
};
use std::{collections::HashMap, fs, path::Path, sync::Arc, time::Duration};
use time::OffsetDateTime;

/// People join and leave within a month.
pub(super) const STALE_AFTER: Duration = Duration::from_secs(31 * 24 * 60 * 60);

/// Of a file that is wrong as a whole, the first mistakes tell enough.
const MOST_MISTAKES: usize = 50;

/// Longer is no name, title, team or phone number.
const LONGEST: usize = 200;

const COLUMNS: [&str; 7] = ["address", "name", "job title", "team", "phone", "manager", "groups"];

const ADDRESS: &str = "allowed: an address, such as office@ours.example";

#[derive(Debug)]
pub(super) struct Written {
    file: Option<Located<String>>,
    stale_after: Option<Located<Duration>>,
}

pub(super) fn read(table: &Table<'_>) -> Written {
    table.required("file");
    Written { file: path(table, "file"), stale_after: table.duration("stale-after") }
}

/// With the people read. A mistake is noted, and what it is in left out.
pub(super) fn check(
    source: &Source,
    folder: &Path,
    written: Option<&Written>,
    diagnostics: &mut Diagnostics,
    remarks: &mut Remarks,
) -> Arc<Directory> {
    let Some((written, file)) = written.and_then(|written| Some((written, written.file.as_ref()?))) else {
        return Arc::default();
    };
    let path = folder.join(&file.value);
    let mut wrong = |why: &str| {
        let message = format!("{}: {why}", path.display());
        diagnostics.push(Diagnostic::new(source, file.at.clone(), message));
    };
    let text = match folders::read_file(&path) {
        Ok(text) => text,
        Err(mistake) => {
            wrong(mistake.message());
            return Arc::default();
        }
    };
    let Ok(at) = fs::metadata(&path).and_then(|metadata| metadata.modified()) else {
        wrong("its file system does not say when it was written");
        return Arc::default();
    };
    let people = People::read(&text, diagnostics, remarks);
    let stale_after = written.stale_after.as_ref().map_or(STALE_AFTER, |stale| stale.value);
    let directory = Directory::new(people, Age { at: at.into(), stale_after });
    if directory.is_stale(OffsetDateTime::now_utc()) {
        let days = stale_after.as_secs() / (24 * 60 * 60);
        remarks.push(format!("[directory] {} was written more than {days} days ago", path.display()));
    }
    Arc::new(directory)
}

struct People<'d> {
    /// As it may be shown: the lines below the head say only where fields begin and end.
    shown: Source,
    diagnostics: &'d mut Diagnostics,
    mistakes: usize,
    /// Where each column stands.
    columns: HashMap<&'static str, usize>,
    width: usize,
}

impl<'d> People<'d> {
    fn read(source: &Source, diagnostics: &'d mut Diagnostics, remarks: &mut Remarks) -> Vec<Person> {
        let separator = table_file::separator(&source.text);
        let shown = Source::new(source.path.clone(), withheld(&source.text, separator));
        let mut people = People { shown, diagnostics, mistakes: 0, columns: HashMap::new(), width: 0 };
        let lines = match table_file::read(&source.text, separator) {
            Ok(lines) => lines,
            Err(bad) => {
                people.mistake(bad.at, bad.why, "");
                return Vec::new();
            }
        };
        let Some((head, lines)) = lines.split_first() else {
            people.mistake(
                0..0,
                "the directory is empty",
                "write a head: address,name,job title,team,phone,manager,groups",
            );
            return Vec::new();
        };
        if !people.head(head, remarks) {
            return Vec::new();
        }
        let mut first: HashMap<String, usize> = HashMap::new();
        let mut found = Vec::with_capacity(lines.len());
        for line in lines {
            let Some(person) = people.person(line) else { continue };
            if first.insert(person.address.folded(), line[0].at.start).is_some() {
                let at = people.columns["address"];
                people.mistake(
                    line[at].at.clone(),
                    "this address stands in an earlier line already",
                    "one line a person",
                );
                continue;
            }
            found.push(person);
        }
        found
    }

    /// False: the lines below cannot be read.
    fn head(&mut self, head: &[Field], remarks: &mut Remarks) -> bool {
        let mut others = Vec::new();
        self.width = head.len();
        for (index, field) in head.iter().enumerate() {
            let Some(column) = column(&field.text) else {
                others.push(field.text.trim());
                continue;
            };
            if self.columns.contains_key(column) {
                self.mistake(field.at.clone(), format!("there are two columns `{column}`"), "");
            } else {
                self.columns.insert(column, index);
            }
        }
        if !self.columns.contains_key("address") {
            // Perhaps there is no head, and these are a person's: they are not named.
            let allowed = format!("allowed: {}", COLUMNS.join(", "));
            self.mistake(0..0, "the first line has no column `address`", allowed);
            return false;
        }
        if !others.is_empty() {
            remarks.push(format!("[directory] columns that are not read: {}", others.join(", ")));
        }
        true
    }

    fn person(&mut self, line: &[Field]) -> Option<Person> {
        if line.len() != self.width {
            let at = line[0].at.start..line.last()?.at.end;
            let message = format!("{} fields where the head has {}", line.len(), self.width);
            self.mistake(at, message, "a field with a separator in it stands in quotation marks");
            return None;
        }
        let address = self.addresses(line, "address");
        let [name, title, team, phone] = ["name", "job title", "team", "phone"].map(|column| self.text(line, column));
        let (manager, groups) = (self.addresses(line, "manager"), self.addresses(line, "groups"));
        let (at, manager_at) = (self.place(line, "address"), self.place(line, "manager"));
        if address.as_ref().is_some_and(|address| address.len() != 1) {
            self.mistake(at, "one address belongs here", ADDRESS);
            return None;
        }
        if manager.as_ref().is_some_and(|manager| manager.len() > 1) {
            self.mistake(manager_at, "one manager's address belongs here", ADDRESS);
        }
        Some(Person {
            address: address?.pop()?,
            name: name?,
            title: title?,
            team: team?,
            phone: phone?,
            manager: manager?.pop(),
            groups: groups?,
        })
    }

    /// None: a mistake was noted.
    fn text(&mut self, line: &[Field], column: &str) -> Option<String> {
        let Some(field) = self.columns.get(column).map(|index| &line[*index]) else { return Some(String::new()) };
        let text = field.text.trim();
        if text.chars().any(char::is_control) || text.chars().count() > LONGEST {
            let allowed = format!("allowed: one line of at most {LONGEST} characters");
            self.mistake(field.at.clone(), format!("no {column} looks like this"), allowed);
            return None;
        }
        Some(text.to_owned())
    }

    /// Separated by spaces, commas or semicolons. None: a mistake was noted.
    fn addresses(&mut self, line: &[Field], column: &str) -> Option<Vec<Address>> {
        let Some(field) = self.columns.get(column).map(|index| &line[*index]) else { return Some(Vec::new()) };
        let words = field.text.split([' ', ',', ';', '\t', '\r', '\n']).filter(|word| !word.is_empty());
        match words.map(Address::parse).collect::<Result<Vec<_>, _>>() {
            Ok(addresses) => Some(addresses),
            Err(why) => {
                self.mistake(field.at.clone(), format!("`{column}`: {why}"), ADDRESS);
                None
            }
        }
    }

    fn place(&self, line: &[Field], column: &str) -> std::ops::Range<usize> {
        self.columns.get(column).map_or(0..0, |index| line[*index].at.clone())
    }

    fn mistake(&mut self, at: std::ops::Range<usize>, message: impl Into<String>, allowed: impl Into<String>) {
        self.mistakes += 1;
        let mistake = match self.mistakes {
            ..=MOST_MISTAKES => {
                let (mistake, allowed) = (Diagnostic::new(&self.shown, at, message), allowed.into());
                if allowed.is_empty() { mistake } else { mistake.with_allowed(allowed) }
            }
            many if many == MOST_MISTAKES + 1 => Diagnostic::new(&self.shown, at, "and more mistakes from here on"),
            _ => return,
        };
        self.diagnostics.push(mistake);
    }
}

/// `Job Title`, `job-title` and `title` are one column; so are `group` and `groups`.
fn column(written: &str) -> Option<&'static str> {
    let folded = written.trim().to_lowercase().replace(['-', '_'], " ");
    let known = match folded.as_str() {
        "title" => "job title",
        "group" => "groups",
        "email" | "e mail" | "email address" | "mail" => "address",
        other => other,
    };
    COLUMNS.into_iter().find(|column| *column == known)
}

/// Nothing of the people below the head, every place as it was: a mistake may be shown and logged.
fn withheld(text: &str, separator: char) -> String {
    let head = text.find('\n').map_or(text.len(), |at| at + 1);
    let hide = |c: char| match (c, c.len_utf8()) {
        (c, _) if c == separator || matches!(c, '"' | '\r' | '\n') => c,
        (_, 1) => 'x',
        (_, 2) => '\u{d7}',
        (_, 3) => '\u{2022}',
        _ => '\u{1d4ec}',
    };
    let names_columns = table_file::read(&text[..head], separator)
        .is_ok_and(|lines| lines.iter().flatten().any(|field| column(&field.text) == Some("address")));
    let shown = if names_columns { head } else { 0 };
    text[..shown].chars().chain(text[shown..].chars().map(hide)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn people(text: &str) -> (Vec<Person>, Vec<String>, Remarks) {
        let (mut diagnostics, mut remarks) = (Diagnostics::default(), Remarks::new());
        let people = People::read(&Source::new("people.csv", text), &mut diagnostics, &mut remarks);
        assert!(!diagnostics.render(false).contains("ann"), "{}", diagnostics.render(false));
        (people, diagnostics.iter().map(ToString::to_string).collect(), remarks)
    }

    #[test]
    fn people_as_a_spreadsheet_writes_them() {
        let text = "\u{feff}Email;Name;Job Title;Team;Phone;Manager;Groups;Room\r\n\
                    Ann@ours.example;Ann Öst;Advocate;Advice;020 7946 0000;bob@ours.example;all@ours.example, advice@ours.example;3\r\n\
                    bob@ours.example;\"Bob \"\"B\"\"\";;;;;;\r\n";
        let (people, mistakes, remarks) = people(text);
        assert!(mistakes.is_empty(), "{mistakes:?}");
        assert_eq!(remarks, ["[directory] columns that are not read: Room"]);
        let [ann, bob] = &people[..] else { panic!("two people") };
        assert_eq!((ann.name.as_str(), ann.title.as_str(), ann.team.as_str()), ("Ann Öst", "Advocate", "Advice"));
        assert_eq!(ann.phone, "020 7946 0000");
        assert_eq!(ann.manager.as_ref().map(Address::as_str), Some("bob@ours.example"));
        assert_eq!(ann.groups.len(), 2);
        assert_eq!((bob.name.as_str(), bob.groups.len()), ("Bob \"B\"", 0));
    }

    #[test]
    fn mistakes_have_their_place_and_name_nobody() {
        let text = "address,name,manager,name\nann,Ann,,\nann@ours.example,A,b@ours.example c@ours.example,\n\
                    ann@ours.example,,,\nANN@ours.example,,,\nannö@ours.example\nann2@ours.example,\"a\nb\",,\n,,,\n,Ann,,\n";
        let (people, mistakes, _) = people(text);
        assert_eq!(people.len(), 1);
        let address = "(allowed: an address, such as office@ours.example)";
        assert_eq!(
            mistakes,
            [
                "people.csv:1:22: there are two columns `name`".to_string(),
                format!("people.csv:2:1: `address`: not a mailbox of the form local-part@domain {address}"),
                format!("people.csv:3:20: one manager's address belongs here {address}"),
                "people.csv:4:1: this address stands in an earlier line already (one line a person)".into(),
                "people.csv:5:1: this address stands in an earlier line already (one line a person)".into(),
                "people.csv:6:1: 1 fields where the head has 4 (a field with a separator in it stands in quotation marks)"
                    .into(),
                "people.csv:7:19: no name looks like this (allowed: one line of at most 200 characters)".into(),
                format!("people.csv:10:1: one address belongs here {address}"),
            ]
        );
    }
}
