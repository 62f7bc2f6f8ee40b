//! Dates of birth: any date that people in the UK write, beside words that say that somebody was born. A date alone is
//! nothing, and one that stands a sentence away from such a word is not its date.

use super::{Candidate, context::Vocabulary, number};
use crate::detect::{fold::Folded, matcher::is_word_byte};
use std::ops::Range;

pub(super) fn vocabulary() -> Vocabulary {
    let speak_for =
        ["dob", "d.o.b", "d.o.b.", "date of birth", "birth date", "birthdate", "born", "born on", "birthday"];
    let against = [
        "lease",
        "started",
        "dispatched",
        "invoice",
        "meeting",
        "due",
        "expires",
        "expiry",
        "issued",
        "dated",
        "since",
        "delivered",
        "order",
        "deadline",
        "review",
        "appointment",
        "seen",
        "admitted",
        "joined",
        "wrote",
        "sent",
    ];
    Vocabulary::new(&speak_for, &against)
}

const MONTHS: [&[u8]; 12] = [
    b"january",
    b"february",
    b"march",
    b"april",
    b"may",
    b"june",
    b"july",
    b"august",
    b"september",
    b"october",
    b"november",
    b"december",
];

/// Day, month and year as numbers, whatever the order they were written in.
#[derive(Debug, PartialEq)]
struct Date {
    day: u32,
    month: u32,
    year: u32,
}

pub(super) fn read(folded: &Folded, digit: usize) -> Option<Candidate> {
    let text = &folded.lower[..];
    if digit > 0 && (is_word_byte(text[digit - 1]) || matches!(text[digit - 1], b'/' | b'.' | b'-' | b':')) {
        return None;
    }
    let (range, date) =
        in_figures(text, digit).or_else(|| in_words(text, digit)).or_else(|| month_first(text, digit))?;
    let behind = text.get(range.end);
    let whole = behind.is_none_or(|byte| !is_word_byte(*byte) && !matches!(byte, b'/' | b':'));
    let sound = (1..=31).contains(&date.day) && (1..=12).contains(&date.month) && (1900..2100).contains(&date.year);
    (whole && sound).then(|| Candidate {
        range,
        normalised: format!("{:04}-{:02}-{:02}", date.year, date.month, date.day),
        excerpt: format!("**/**/{}", date.year),
        score: 0.1,
        best: 0.97,
    })
}

/// `19/12/2004`, `19.12.04`, `2004-12-19`.
fn in_figures(text: &[u8], start: usize) -> Option<(Range<usize>, Date)> {
    let (first, at) = figure(text, start, 4)?;
    let sign = *text.get(at)?;
    if !matches!(sign, b'/' | b'.' | b'-') {
        return None;
    }
    let (second, at) = figure(text, behind_sign(text, at, sign)?, 2)?;
    let (third, end) = figure(text, behind_sign(text, at, sign)?, 4)?;
    let date = match (first.1, third.1) {
        (4, 1 | 2) => Date { year: first.0, month: second.0, day: third.0 },
        (1 | 2, 2) => Date { day: first.0, month: second.0, year: in_full(third.0) },
        (1 | 2, 4) => Date { day: first.0, month: second.0, year: third.0 },
        _ => return None,
    };
    Some((start..end, date))
}

/// `19 December 2004`, `19th of Dec 04`.
fn in_words(text: &[u8], start: usize) -> Option<(Range<usize>, Date)> {
    let (day, mut at) = figure(text, start, 2)?;
    if [&b"st"[..], b"nd", b"rd", b"th"].iter().any(|ending| text[at..].starts_with(ending)) {
        at += 2;
    }
    at += number::gap(text, at);
    if text[at..].starts_with(b"of ") {
        at += 3;
    }
    let (month, at) = month(text, at)?;
    let (year, end) = year(text, at)?;
    Some((start..end, Date { day: day.0, month, year }))
}

/// `December 19, 2004`: the month stands before the digits.
fn month_first(text: &[u8], start: usize) -> Option<(Range<usize>, Date)> {
    let before = start - number::gap_before(text, start);
    let letters = text[..before].iter().rev().take(10).take_while(|byte| byte.is_ascii_lowercase()).count();
    let from = before - letters;
    let (month, end_of_month) = month(text, from)?;
    (end_of_month == before && before < start).then_some(())?;
    let (day, mut at) = figure(text, start, 2)?;
    if [&b"st"[..], b"nd", b"rd", b"th"].iter().any(|ending| text[at..].starts_with(ending)) {
        at += 2;
    }
    let (year, end) = year(text, at + usize::from(text.get(at) == Some(&b',')))?;
    Some((from..end, Date { day: day.0, month, year }))
}

fn month(text: &[u8], at: usize) -> Option<(u32, usize)> {
    let word = &text[at..text.len().min(at + 10)];
    let letters = word.iter().take_while(|byte| byte.is_ascii_lowercase()).count();
    let word = &word[..letters];
    let index = MONTHS
        .iter()
        .position(|month| month.starts_with(word) && (letters == 3 || letters == month.len() || word == b"sept"))?;
    let abbreviated = usize::from(text.get(at + letters) == Some(&b'.'));
    Some((index as u32 + 1, at + letters + abbreviated))
}

/// `2004`, `04` or `'04`, behind a gap.
fn year(text: &[u8], at: usize) -> Option<(u32, usize)> {
    let gap = number::gap(text, at);
    let comma = usize::from(gap == 0 && text.get(at) == Some(&b','));
    let from = at + comma + gap + if comma == 1 { number::gap(text, at + 1) } else { 0 };
    let (year, end) = figure(text, from + usize::from(text.get(from) == Some(&b'\'')), 4)?;
    match year.1 {
        4 => Some((year.0, end)),
        2 => Some((in_full(year.0), end)),
        _ => None,
    }
}

/// A figure of at most so many digits, with how many it has.
fn figure(text: &[u8], start: usize, most: usize) -> Option<((u32, usize), usize)> {
    let digits = text.get(start..)?.iter().take(most + 1).take_while(|byte| byte.is_ascii_digit()).count();
    if digits == 0 || digits > most {
        return None;
    }
    let value = text[start..start + digits].iter().fold(0, |value, digit| value * 10 + u32::from(digit - b'0'));
    Some(((value, digits), start + digits))
}

/// The same sign again, and at most a line end behind it.
fn behind_sign(text: &[u8], at: usize, sign: u8) -> Option<usize> {
    let gap = number::gap(text, at);
    (gap > 0 && text[at..at + gap].contains(&sign)).then_some(at + gap)
}

/// Nobody born in 2027 or later is written of yet; those of 1927 are.
fn in_full(two_digits: u32) -> u32 {
    two_digits + if two_digits < 27 { 2000 } else { 1900 }
}

#[cfg(test)]
mod tests {
    use super::super::assert_found;

    #[test]
    fn dates_of_birth() {
        assert_found(
            &[
                ("Ann (DOB 19/12/2004)", "19/12/2004"),
                ("date of birth 1960-07-10.", "1960-07-10"),
                ("D.O.B. 9.8.81, widowed", "9.8.81"),
                ("she was born on 19 December 2004 in Leeds", "19 December 2004"),
                ("date of birth: 1st of May '46", "1st of May '46"),
                ("born 4 Dec\n1994", "4 Dec\n1994"),
                ("date of\nbirth 1961-\n08-12.", "1961-\n08-12"),
                ("born December 19, 2004", "December 19, 2004"),
                ("Name,DOB\nAnn,28/06/1998\n", "28/06/1998"),
                ("28/06/1998", ""),
                ("The lease started on 28/06/1998", ""),
                ("born free, and the meeting of the trustees of the charity took place on 28/06/1998", ""),
                ("DOB 45/06/1998", ""),
                ("DOB 12/13/1998", ""),
                ("DOB 12/06/98/7", ""),
                ("DOB 1.2.3", ""),
                ("DOB 10:30", ""),
            ],
            "DATE_OF_BIRTH",
        );
    }
}
