//! The words near a number: which speak for it, which against it, and how close they stand.

use crate::detect::matcher::is_word_byte;
use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
use std::ops::Range;

/// How far before and behind a number a word can speak of it. Labels stand before.
const BEFORE: usize = 80;
const AFTER: usize = 40;
/// A longer line is no row of a table that a person wrote.
const LONGEST_ROW: usize = 1_000;
const MOST_ROWS: usize = 500;
const LONGEST_HEADING: usize = 60;

pub(super) struct Vocabulary {
    words: AhoCorasick,
    /// The first so many speak for it, the others against it.
    speak_for: usize,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Evidence {
    /// 1 directly beside the number or as its heading, falling with the distance.
    For(f32),
    Against,
    Nothing,
}

impl Vocabulary {
    /// Folded words and phrases, whole words each.
    pub fn new(speak_for: &[&str], against: &[&str]) -> Self {
        let (speak_for, against) = (broken(speak_for), broken(against));
        let words = AhoCorasick::builder()
            .kind(Some(AhoCorasickKind::DFA))
            .match_kind(MatchKind::LeftmostLongest)
            .build(speak_for.iter().chain(&against))
            .expect("a short constant list of words compiles");
        Self { words, speak_for: speak_for.len() }
    }

    pub fn evidence(&self, text: &[u8], number: &Range<usize>, tables: &mut Tables) -> Evidence {
        if let Some(row) = tables.row(text, number.start) {
            if let Some(heading) = row.heading
                && let Some(evidence) = self.of_heading(&text[heading])
            {
                return evidence;
            }
            if row.certain {
                return self.of_surroundings(text, number, row.line);
            }
        }
        self.of_surroundings(text, number, 0..text.len())
    }

    fn of_heading(&self, heading: &[u8]) -> Option<Evidence> {
        let best = self.matches(heading, 0).map(|(_, speaks_for)| speaks_for).max()?;
        Some(if best { Evidence::For(1.0) } else { Evidence::Against })
    }

    /// The nearest word decides.
    fn of_surroundings(&self, text: &[u8], number: &Range<usize>, within: Range<usize>) -> Evidence {
        let from = number.start.saturating_sub(BEFORE).max(within.start);
        let to = end_of_sentence(text, number.end, (number.end + AFTER).min(within.end).max(number.end));
        let before: Vec<_> = self
            .matches(&text[from..number.start], from)
            .map(|(at, good)| (number.start - at.end, good, BEFORE))
            .collect();
        let after =
            self.matches(&text[number.end..to], number.end).map(|(at, good)| (at.start - number.end, good, AFTER));
        // A word behind the number counts as standing twice as far: "order 12 for the card" speaks of the order. One that
        // speaks against it belongs to what comes next, where the number already has a word before it.
        let after = after.filter(|(_, good, _)| *good || before.is_empty());
        let nearest =
            before.iter().copied().chain(after.map(|(distance, good, reach)| (distance * 2, good, reach * 2)));
        match nearest.min_by_key(|(distance, good, _)| (*distance, !good)) {
            None => Evidence::Nothing,
            Some((_, false, _)) => Evidence::Against,
            Some((distance, true, reach)) => Evidence::For(1.0 - distance as f32 / (2 * reach) as f32),
        }
    }

    fn matches<'t>(&'t self, text: &'t [u8], offset: usize) -> impl Iterator<Item = (Range<usize>, bool)> + 't {
        let whole = |range: &Range<usize>| {
            (range.start == 0 || !is_word_byte(text[range.start - 1]))
                && text.get(range.end).is_none_or(|byte| !is_word_byte(*byte))
        };
        let words = self.words.find_iter(text).map(|hit| (hit.range(), hit.pattern().as_usize() < self.speak_for));
        words
            .filter(move |(range, _)| whole(range))
            .map(move |(range, speaks_for)| (range.start + offset..range.end + offset, speaks_for))
    }
}

/// Each phrase also as it stands when a line ends in it, quoted or not.
fn broken(phrases: &[&str]) -> Vec<String> {
    let mut all: Vec<String> = phrases.iter().map(|phrase| phrase.to_string()).collect();
    for phrase in phrases {
        let spaces = phrase.match_indices(' ').map(|(at, _)| phrase.split_at(at));
        for (before, behind) in spaces {
            let behind = &behind[1..];
            all.extend(["\n", "\r\n", "\n> ", "\r\n> "].map(|end| format!("{before}{end}{behind}")));
        }
    }
    all
}

/// What follows behind the end of the sentence speaks of something else.
fn end_of_sentence(text: &[u8], from: usize, to: usize) -> usize {
    let ends = |at: &usize| match text[*at] {
        b'.' | b'?' | b'!' => text.get(at + 1).is_none_or(u8::is_ascii_whitespace),
        b'\n' => text.get(at + 1).is_some_and(|byte| matches!(byte, b'\n' | b'\r')),
        _ => false,
    };
    (from..to).find(ends).unwrap_or(to)
}

/// Rows and columns in plain text. Remembers the table it saw last, so that a long one is read once.
#[derive(Default)]
pub(super) struct Tables {
    last: Option<Known>,
}

struct Known {
    row: usize,
    delimiter: u8,
    cells: usize,
    heading_row: Range<usize>,
}

pub(super) struct Row {
    line: Range<usize>,
    heading: Option<Range<usize>>,
    /// Divided by tabs or bars: what stands in another row says nothing of this one. Commas are in sentences too.
    certain: bool,
}

impl Tables {
    /// The row that `at` is in.
    fn row(&mut self, text: &[u8], at: usize) -> Option<Row> {
        let line = line_of(text, at)?;
        let delimiter = *[b'\t', b'|', b';', b','].iter().find(|byte| text[line.clone()].contains(byte))?;
        let cells = count(&text[line.clone()], delimiter);
        let column = count(&text[line.start..at], delimiter);
        let heading_row = self.heading_row(text, &line, delimiter, cells);
        let heading = (heading_row != line).then(|| cell(text, heading_row, delimiter, column)).flatten();
        Some(Row { line, heading, certain: matches!(delimiter, b'\t' | b'|') })
    }

    fn heading_row(&mut self, text: &[u8], line: &Range<usize>, delimiter: u8, cells: usize) -> Range<usize> {
        let mut top = line.clone();
        let mut above = line.start;
        for _ in 0..MOST_ROWS {
            if let Some(known) = &self.last
                && known.row == top.start
                && (known.delimiter, known.cells) == (delimiter, cells)
            {
                top = known.heading_row.clone();
                break;
            }
            let Some(next) = above.checked_sub(1).and_then(|end| line_of(text, end)) else { break };
            above = next.start;
            if count(&text[next.clone()], delimiter) == cells {
                top = next;
            } else if !is_ruler(&text[next]) {
                break;
            }
        }
        self.last = Some(Known { row: line.start, delimiter, cells, heading_row: top.clone() });
        top
    }
}

/// The line around `at`, without its end, unless it is too long.
fn line_of(text: &[u8], at: usize) -> Option<Range<usize>> {
    let from = at.saturating_sub(LONGEST_ROW);
    let start = match memchr::memrchr(b'\n', &text[from..at]) {
        Some(end) => from + end + 1,
        None if from == 0 => 0,
        None => return None,
    };
    let to = (at + LONGEST_ROW).min(text.len());
    let end = match memchr::memchr(b'\n', &text[at..to]) {
        Some(length) => at + length,
        None if to == text.len() => to,
        None => return None,
    };
    Some(start..end)
}

/// A line of dashes under a heading.
fn is_ruler(line: &[u8]) -> bool {
    line.contains(&b'-')
        && line.iter().all(|byte| matches!(byte, b'-' | b'+' | b'|' | b'=' | b':' | b'>' | b' ' | b'\r'))
}

fn count(line: &[u8], delimiter: u8) -> usize {
    memchr::memchr_iter(delimiter, line).count()
}

fn cell(text: &[u8], row: Range<usize>, delimiter: u8, column: usize) -> Option<Range<usize>> {
    let mut start = row.start;
    for cell in text[row].split(|byte| *byte == delimiter).take(column) {
        start += cell.len() + 1;
    }
    let end =
        text[start..].iter().position(|byte| *byte == delimiter || *byte == b'\n').map_or(text.len(), |at| start + at);
    let heading = &text[start..end];
    // A sentence with a comma in it is no row.
    let is_heading = heading.len() <= LONGEST_HEADING && !heading.iter().any(u8::is_ascii_digit);
    is_heading.then_some(start..end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evidence(text: &str) -> Evidence {
        let vocabulary = Vocabulary::new(&["good", "very good"], &["bad"]);
        let at = text.find('7').unwrap();
        vocabulary.evidence(text.as_bytes(), &(at..at + 1), &mut Tables::default())
    }

    #[test]
    fn the_nearest_word_decides() {
        assert_eq!(evidence("nothing 7"), Evidence::Nothing);
        assert!(matches!(evidence("bad very\r\n> good 7"), Evidence::For(_)), "a phrase across a quoted line end");
        assert_eq!(evidence("goods 7"), Evidence::Nothing, "whole words only");
        assert_eq!(evidence("good bad 7"), Evidence::Against);
        assert_eq!(evidence("bad x 7 good"), Evidence::For(1.0 - 2.0 / 160.0));
        assert_eq!(evidence("good at last: 7 bad"), Evidence::For(1.0 - 10.0 / 160.0), "of what comes next");
        assert_eq!(evidence("7 bad"), Evidence::Against);
        assert_eq!(evidence("good; 7. Bad"), Evidence::For(1.0 - 2.0 / 160.0), "another sentence");
        assert!(matches!(evidence("bad good 7"), Evidence::For(closeness) if closeness > 0.9));
        assert_eq!(evidence(&format!("good {} 7", "x ".repeat(60))), Evidence::Nothing, "too far");
    }

    #[test]
    fn headings_speak_for_their_column_only() {
        assert_eq!(evidence("name\tgood\n-------\na\t1\nb\t7\n"), Evidence::For(1.0));
        assert_eq!(evidence("good | bad\n 1 | 2\n 3 | 7\n"), Evidence::Against);
        assert_eq!(evidence("good | name\n 1 | 7\n"), Evidence::Nothing);
        assert_eq!(evidence("good,name\n1,2\n3,7"), Evidence::For(1.0 - 12.0 / 160.0), "commas may be a sentence");
        assert!(matches!(evidence("name | ann\ngood | 7\n"), Evidence::For(_)), "a label in the same row");
    }

    #[test]
    fn a_long_table_is_read_once() {
        let rows = 20_000;
        let text = format!("good\tx\n{}", "7\t1\n".repeat(rows));
        let vocabulary = Vocabulary::new(&["good"], &[]);
        let mut tables = Tables::default();
        let found = (0..rows)
            .map(|row| 7 + row * 4)
            .filter(|at| vocabulary.evidence(text.as_bytes(), &(*at..*at + 1), &mut tables) == Evidence::For(1.0));
        assert_eq!(found.count(), rows);
    }
}
