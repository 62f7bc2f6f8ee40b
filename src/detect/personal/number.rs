//! Reading numbers that are written in groups.

use crate::detect::matcher::is_word_byte;

/// Between two groups of one number.
const LONGEST_GAP: usize = 10;

/// The next digit at or behind `from` that begins a run of digits.
pub(super) fn next_digit(text: &[u8], from: usize) -> Option<usize> {
    text.get(from..)?.iter().position(u8::is_ascii_digit).map(|at| from + at)
}

pub(super) fn end_of_digits(text: &[u8], from: usize) -> usize {
    text[from..].iter().position(|byte| !byte.is_ascii_digit()).map_or(text.len(), |length| from + length)
}

/// The length of what may stand between two groups of one number: spaces, one hyphen, dot or slash, one line end with
/// the quote marks behind it. 0 when there is none. A tab, a comma or a bar divides two numbers.
pub(super) fn gap(text: &[u8], from: usize) -> usize {
    let (mut signs, mut line_ends, mut at) = (0, 0, from);
    while at - from < LONGEST_GAP {
        match text.get(at) {
            Some(b' ') => {}
            Some(b'-' | b'.' | b'/') if signs == 0 => signs = 1,
            Some(b'\r') if text.get(at + 1) == Some(&b'\n') => {}
            Some(b'\n') if line_ends == 0 => line_ends = 1,
            Some(b'>') if line_ends == 1 => {}
            _ => break,
        }
        at += 1;
    }
    at - from
}

/// The same, read backwards from `to`; a line end ends it, but for one directly behind letters.
pub(super) fn gap_before(text: &[u8], to: usize) -> usize {
    let start = to.saturating_sub(LONGEST_GAP);
    (start..to).find(|from| gap(text, *from) == to - from).map_or(0, |from| to - from)
}

/// Digits in groups.
pub(super) struct Number {
    pub digits: Vec<u8>,
    pub end: usize,
}

/// A number in one of the given groupings, `[16]` or `[4, 4, 4, 4]`, that begins at `start` and stands alone.
pub(super) fn read(text: &[u8], start: usize, groupings: &[&[usize]]) -> Option<Number> {
    if start > 0 && is_joined(text, start - 1, start.checked_sub(2)) {
        return None;
    }
    groupings.iter().find_map(|grouping| grouped(text, start, grouping))
}

fn grouped(text: &[u8], start: usize, grouping: &[usize]) -> Option<Number> {
    let mut digits = Vec::with_capacity(20);
    let mut at = start;
    for (index, length) in grouping.iter().enumerate() {
        if index > 0 {
            let gap = gap(text, at);
            if gap == 0 {
                return None;
            }
            at += gap;
        }
        let group = text.get(at..at + length)?;
        if !group.iter().all(u8::is_ascii_digit) {
            return None;
        }
        digits.extend_from_slice(group);
        at += length;
        if text.get(at).is_some_and(u8::is_ascii_digit) {
            return None;
        }
    }
    (at >= text.len() || !is_joined(text, at, Some(at + 1))).then_some(Number { digits, end: at })
}

/// Whether the byte at `beside` makes the number part of something longer: a letter or digit, or a sign with a digit behind.
fn is_joined(text: &[u8], beside: usize, beyond: Option<usize>) -> bool {
    let byte = text[beside];
    let beyond = beyond.and_then(|at| text.get(at));
    is_word_byte(byte)
        || byte == b'_'
        || (matches!(byte, b'-' | b'.' | b'/' | b'+') && beyond.is_some_and(u8::is_ascii_digit))
}

pub(super) fn to_string(digits: &[u8]) -> String {
    digits.iter().map(|digit| char::from(*digit)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_and_gaps() {
        let number = |text: &str| {
            read(text.as_bytes(), text.find('1').unwrap(), &[&[6], &[2, 4]]).map(|number| to_string(&number.digits))
        };
        for good in
            ["123456", "(123456)", "no.123456.", "12 3456", "12-3456", "12-\n> 3456", "12 \r\n3456,", "12  3456"]
        {
            assert_eq!(number(good).as_deref(), Some("123456"), "{good:?}");
        }
        for bad in [
            "1234567",
            "a123456",
            "123456b",
            "9-123456",
            "123456-9",
            "12\t3456",
            "12,3456",
            "12--3456",
            "12\n\n3456",
            "12 34567",
        ] {
            assert_eq!(number(bad), None, "{bad:?}");
        }
        assert_eq!(gap_before(b"ab - 1", 5), 3);
        assert_eq!(gap_before(b"ab1", 2), 0);
    }
}
