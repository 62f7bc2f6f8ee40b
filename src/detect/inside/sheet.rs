//! Workbooks (ECMA-376 part 1, 18): each sheet, hidden or not, as rows of cells with tabs between, so that a column's heading
//! speaks for its cells. Numbers that are shown as dates are written as dates.

use super::{
    Note, Out, below,
    xml::{Piece, attribute, attributes, walk},
    zip::{Archive, Failed, stream},
};
use crate::mail::UnreadReason;
use time::{Date, Duration, Month};

/// Text that several cells share lies in memory while the sheets are read.
const MOST_SHARED: usize = 16 << 20;

/// A wider gap in a row is none in a table.
const MOST_EMPTY: usize = 64;

pub(super) fn read(archive: &mut Archive<'_>, names: &[String], path: &str, out: &mut Out<'_>) {
    let find = |wanted: &str| names.iter().position(|name| name.eq_ignore_ascii_case(wanted));
    let Some(workbook) = find("xl/workbook.xml") else { return };
    let book = of(archive, workbook, path, &names[workbook], out, Book::read);
    out.text(&below(path, "xl/workbook.xml"), &book.sheet_names);
    let shared = match find("xl/sharedStrings.xml") {
        Some(index) => of(archive, index, path, &names[index], out, Shared::read),
        None => Shared::default(),
    };
    let dates = match find("xl/styles.xml") {
        Some(index) => of(archive, index, path, &names[index], out, DateStyles::read),
        None => DateStyles::default(),
    };
    // Strings that no cell shows any more are still in the file.
    for text in shared.texts() {
        out.text(&below(path, "xl/sharedStrings.xml"), text);
    }
    for (index, name) in names.iter().enumerate() {
        let lower = name.to_ascii_lowercase();
        if !lower.starts_with("xl/worksheets/") || !lower.ends_with(".xml") {
            continue;
        }
        if !out.budget.take_member() {
            return out.unread(path, UnreadReason::TooMany);
        }
        let inside = below(path, name);
        let opened = match stream(archive, index, out) {
            Ok(Some(stream)) => stream,
            Ok(None) => continue,
            Err(failed) => {
                note(failed, &inside, out);
                continue;
            }
        };
        let mut rows = Rows { shared: &shared, dates: &dates, from_1904: book.from_1904, ..Rows::new() };
        let walked = walk(opened, &mut |piece| {
            rows.take(&piece);
            if rows.text.len() >= super::PIECE && rows.text.ends_with('\n') {
                out.text(&inside, &rows.text);
                rows.text.clear();
            }
        });
        out.text(&inside, &rows.text);
        if let Err(reason) = walked {
            out.unread(&inside, reason);
        }
    }
}

fn note(failed: Failed, path: &str, out: &mut Out<'_>) {
    match failed {
        Failed::Encrypted => out.encrypted(path, Note::EncryptedOffice),
        Failed::Unread(reason) => out.unread(path, reason),
    }
}

/// A member read by walking through it.
fn of<T: Default>(
    archive: &mut Archive<'_>,
    index: usize,
    path: &str,
    name: &str,
    out: &mut Out<'_>,
    read: impl FnOnce(&mut dyn std::io::Read) -> (T, Result<(), UnreadReason>),
) -> T {
    let inside = below(path, name);
    let result = match stream(archive, index, out) {
        Ok(Some(mut stream)) => Ok(read(&mut stream)),
        Ok(None) => return T::default(),
        Err(failed) => Err(failed),
    };
    match result {
        Ok((value, walked)) => {
            if let Err(reason) = walked {
                out.unread(&inside, reason);
            }
            value
        }
        Err(failed) => {
            note(failed, &inside, out);
            T::default()
        }
    }
}

#[derive(Default)]
struct Book {
    sheet_names: String,
    from_1904: bool,
}

impl Book {
    fn read(stream: &mut dyn std::io::Read) -> (Self, Result<(), UnreadReason>) {
        let mut book = Self::default();
        let walked = walk(stream, &mut |piece| match piece {
            Piece::Start("sheet" | "definedName", tag) => {
                if let Some(name) = attribute(tag, "name") {
                    book.sheet_names.push_str(&name);
                    book.sheet_names.push('\n');
                }
            }
            Piece::Start("workbookPr", tag) => {
                book.from_1904 = attribute(tag, "date1904").is_some_and(|value| value == "1" || value == "true");
            }
            _ => {}
        });
        (book, walked)
    }
}

/// The texts of `sharedStrings.xml`, one behind the other.
#[derive(Default)]
struct Shared {
    text: String,
    ends: Vec<usize>,
}

impl Shared {
    fn read(stream: &mut dyn std::io::Read) -> (Self, Result<(), UnreadReason>) {
        let mut shared = Self::default();
        let (mut in_text, mut in_reading, mut full) = (false, false, false);
        let walked = walk(stream, &mut |piece| match piece {
            Piece::Start("t", _) => in_text = true,
            Piece::End("t") => in_text = false,
            // How a text is pronounced.
            Piece::Start("rPh", _) => in_reading = true,
            Piece::End("rPh") => in_reading = false,
            Piece::End("si") => shared.ends.push(shared.text.len()),
            Piece::Text(text) if in_text && !in_reading => {
                full |= shared.text.len() + text.len() > MOST_SHARED;
                if !full {
                    shared.text.push_str(text);
                }
            }
            _ => {}
        });
        (shared, if full { Err(UnreadReason::TooLarge) } else { walked })
    }

    fn get(&self, index: usize) -> Option<&str> {
        let start = if index == 0 { 0 } else { *self.ends.get(index - 1)? };
        self.text.get(start..*self.ends.get(index)?)
    }

    /// One a line would make a table of it; each stands alone.
    fn texts(&self) -> impl Iterator<Item = &str> {
        (0..self.ends.len()).filter_map(|index| self.get(index)).filter(|text| text.len() > 40)
    }
}

/// Which of the cell formats show a date (18.8.30).
#[derive(Default)]
struct DateStyles {
    own: Vec<u32>,
    formats: Vec<bool>,
}

impl DateStyles {
    fn read(stream: &mut dyn std::io::Read) -> (Self, Result<(), UnreadReason>) {
        let mut styles = Self::default();
        let mut in_cells = false;
        let walked = walk(stream, &mut |piece| match piece {
            Piece::Start("numFmt", tag) => {
                let id = attribute(tag, "numFmtId").and_then(|id| id.parse::<u32>().ok());
                let code = attribute(tag, "formatCode").unwrap_or_default();
                styles.own.extend(id.filter(|_| shows_date(&code)));
            }
            Piece::Start("cellXfs", _) => in_cells = true,
            Piece::End("cellXfs") => in_cells = false,
            Piece::Start("xf", tag) if in_cells => {
                let id = attribute(tag, "numFmtId").and_then(|id| id.parse::<u32>().ok()).unwrap_or(0);
                let date = matches!(id, 14..=17 | 22 | 27..=31 | 36 | 50..=58) || styles.own.contains(&id);
                styles.formats.push(date);
            }
            _ => {}
        });
        (styles, walked)
    }
}

/// A year or a day outside of quotes and brackets.
fn shows_date(code: &str) -> bool {
    let (mut quoted, mut bracketed) = (false, false);
    code.chars().any(|c| {
        match c {
            '"' => quoted = !quoted,
            '[' => bracketed = true,
            ']' => bracketed = false,
            _ => {}
        }
        !quoted && !bracketed && matches!(c, 'y' | 'Y' | 'd' | 'D')
    })
}

struct Rows<'s> {
    text: String,
    shared: &'s Shared,
    dates: &'s DateStyles,
    from_1904: bool,
    kind: String,
    style: usize,
    value: String,
    in_value: bool,
    in_comment: bool,
    /// From 0: which column is written next.
    column: usize,
}

impl Rows<'static> {
    fn new() -> Self {
        static NONE: (Shared, DateStyles) =
            (Shared { text: String::new(), ends: Vec::new() }, DateStyles { own: Vec::new(), formats: Vec::new() });
        Self {
            text: String::new(),
            shared: &NONE.0,
            dates: &NONE.1,
            from_1904: false,
            kind: String::new(),
            style: 0,
            value: String::new(),
            in_value: false,
            in_comment: false,
            column: 0,
        }
    }
}

impl Rows<'_> {
    fn take(&mut self, piece: &Piece<'_>) {
        match piece {
            Piece::Start("c", tag) => {
                self.kind.clear();
                (self.style, self.value) = (0, String::new());
                let mut at = self.column;
                for (key, value) in attributes(tag) {
                    match key {
                        "t" => self.kind = value.into(),
                        "s" => self.style = value.parse().unwrap_or(0),
                        "r" => at = column(&value).unwrap_or(at),
                        _ => {}
                    }
                }
                let column = at;
                // Cells that are empty are left out, and those behind them still stand under their heading.
                let missing = column.saturating_sub(self.column).min(MOST_EMPTY);
                self.text.extend(std::iter::repeat_n('\t', missing));
                self.column = column.max(self.column) + 1;
            }
            Piece::Start("v" | "t", _) => self.in_value = true,
            Piece::End("v" | "t") => self.in_value = false,
            Piece::Start(
                "oddHeader" | "oddFooter" | "evenHeader" | "evenFooter" | "firstHeader" | "firstFooter",
                _,
            ) => {
                self.in_comment = true;
            }
            Piece::End("oddHeader" | "oddFooter" | "evenHeader" | "evenFooter" | "firstHeader" | "firstFooter") => {
                self.in_comment = false;
                self.text.push('\n');
            }
            Piece::Text(text) if self.in_value => self.value.push_str(text),
            Piece::Text(text) if self.in_comment => self.text.push_str(text),
            Piece::End("c") => {
                self.cell();
                self.text.push('\t');
            }
            Piece::End("row") => {
                self.column = 0;
                self.text.push('\n');
            }
            Piece::Start("dataValidation", tag) => {
                for told in ["prompt", "error", "promptTitle"] {
                    if let Some(value) = attribute(tag, told) {
                        self.text.push_str(&format!("{value}\n"));
                    }
                }
            }
            _ => {}
        }
    }

    fn cell(&mut self) {
        match self.kind.as_str() {
            "s" => {
                let shared = self.value.trim().parse().ok().and_then(|index| self.shared.get(index));
                // A line's end within a cell would make a row of it.
                self.text.extend(shared.unwrap_or_default().chars().map(|c| if c == '\n' { ' ' } else { c }));
            }
            "" | "n" if self.dates.formats.get(self.style) == Some(&true) => {
                match self.value.trim().parse().ok().and_then(|serial| date(serial, self.from_1904)) {
                    Some(date) => self.text.push_str(&date),
                    None => self.text.push_str(&self.value),
                }
            }
            "" | "n" => self.text.push_str(&plain_number(&self.value)),
            _ => self.text.extend(self.value.chars().map(|c| if c == '\n' { ' ' } else { c })),
        }
    }
}

/// Of `C7`, 2.
fn column(cell: &str) -> Option<usize> {
    let letters = cell.bytes().take_while(u8::is_ascii_alphabetic).take(3);
    let number = letters.fold(0, |number, letter| number * 26 + usize::from(letter.to_ascii_uppercase() - b'A') + 1);
    usize::checked_sub(number, 1)
}

/// `4.3E+9` as it is shown.
pub(super) fn plain_number(value: &str) -> String {
    let trimmed = value.trim();
    match trimmed.parse::<f64>() {
        Ok(number) if trimmed.contains(['e', 'E']) && number.abs() < 1e16 && number.fract() == 0.0 => {
            format!("{number:.0}")
        }
        _ => trimmed.to_string(),
    }
}

/// Days since the end of 1899, where 1900 is taken for a leap year (18.17.4.1).
pub(super) fn date(serial: f64, from_1904: bool) -> Option<String> {
    if !(1.0..2_958_466.0).contains(&serial) {
        return None;
    }
    let days = serial as i64;
    let start = match from_1904 {
        true => Date::from_calendar_date(1904, Month::January, 1).ok()?,
        false if days < 60 => Date::from_calendar_date(1899, Month::December, 31).ok()?,
        false => Date::from_calendar_date(1899, Month::December, 30).ok()?,
    };
    let date = start.checked_add(Duration::days(days))?;
    Some(format!("{:02}/{:02}/{}", date.day(), u8::from(date.month()), date.year()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_and_numbers_as_they_are_shown() {
        assert_eq!(date(29_221.0, false).as_deref(), Some("01/01/1980"));
        assert_eq!(date(1.0, false).as_deref(), Some("01/01/1900"));
        assert_eq!(date(27_759.5, true).as_deref(), Some("01/01/1980"));
        assert_eq!(date(-1.0, false), None);
        assert!(
            shows_date("dd/mm/yyyy")
                && shows_date("[$-809]d mmmm yyyy")
                && !shows_date("0.00\" days\"")
                && !shows_date("General")
        );
        assert_eq!(plain_number("9.43476587E+9"), "9434765870");
        assert_eq!(plain_number("0.5"), "0.5");
        assert_eq!((column("A1"), column("C7"), column("AA3"), column("7")), (Some(0), Some(2), Some(26), None));
    }
}
