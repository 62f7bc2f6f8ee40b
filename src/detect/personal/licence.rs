//! British driving licence numbers (DVLA, form D1 and "Understanding your driving licence"): five characters of the
//! surname, padded with 9; the decade of birth, its month (women's with 50 added), its day, its year; two initials, 9
//! where there is none; a digit, and two letters that the DVLA computes. Sixteen characters, an issue number behind.

use super::{Candidate, context::Vocabulary, number};
use crate::detect::{fold::Folded, matcher::is_word_byte};

pub(super) fn vocabulary() -> Vocabulary {
    let speak_for = [
        "driving licence",
        "driver's licence",
        "drivers licence",
        "driving license",
        "licence",
        "license",
        "licence no",
        "licence number",
        "driver",
        "driver number",
        "dvla",
        "hire car",
    ];
    Vocabulary::new(&speak_for, &["part", "serial", "order", "sku", "model", "software", "key"])
}

/// `digit` is the first of a run of digits: of the padding, or of the date.
pub(super) fn read(folded: &Folded, digit: usize) -> Option<Candidate> {
    let text = &folded.lower[..];
    // A short surname is padded, and the run of digits begins in its padding.
    let start = surname_start(text, digit)?;
    let (surname, behind) = text.get(start..)?.split_at_checked(5)?;
    let letters = surname.iter().take_while(|byte| byte.is_ascii_lowercase()).count();
    if letters == 0 || !surname[letters..].iter().all(|byte| *byte == b'9') {
        return None;
    }
    let date_at = start + 5 + number::gap(behind, 0);
    let date = text.get(date_at..date_at + 6)?;
    if !is_date(date) {
        return None;
    }
    let rest_at = date_at + 6 + number::gap(text, date_at + 6);
    let rest = text.get(rest_at..rest_at + 5)?;
    let initials = rest[..2].iter().all(|byte| byte.is_ascii_lowercase() || *byte == b'9');
    let check = rest[2].is_ascii_alphanumeric() && rest[3..].iter().all(u8::is_ascii_lowercase);
    let end = rest_at + 5;
    if !initials || !check || text.get(end).is_some_and(|byte| is_word_byte(*byte)) {
        return None;
    }
    let normalised = [surname, date, rest].concat().to_ascii_uppercase();
    let normalised = String::from_utf8(normalised).ok()?;
    let excerpt = format!("{}*** ****** *****", &normalised[..2]);
    Some(Candidate { range: start..end, normalised, excerpt, score: 0.85, best: 0.99 })
}

fn surname_start(text: &[u8], digit: usize) -> Option<usize> {
    let before = digit - if text[digit] == b'9' { 0 } else { number::gap_before(text, digit) };
    let letters = text[..before].iter().rev().take(6).take_while(|byte| byte.is_ascii_lowercase()).count();
    let start = before - letters;
    let alone = start == 0 || !is_word_byte(text[start - 1]);
    ((1..=5).contains(&letters) && alone).then_some(start)
}

fn is_date(digits: &[u8]) -> bool {
    if !digits.iter().all(u8::is_ascii_digit) {
        return false;
    }
    let pair = |at: usize| (digits[at] - b'0') * 10 + (digits[at + 1] - b'0');
    let month = pair(1);
    matches!(month, 1..=12 | 51..=62) && (1..=31).contains(&pair(3))
}

#[cfg(test)]
mod tests {
    use super::super::assert_found;

    #[test]
    fn driving_licences() {
        assert_found(
            &[
                ("licence MORGA657054SM9IJ", "MORGA657054SM9IJ"),
                ("his licence is MORGA 657054 SM9IJ 35.", "MORGA 657054 SM9IJ"),
                ("DVLA no. LI999 851010 J99AB", "LI999 851010 J99AB"),
                ("licence\n> number MORGA\n> 657054 SM9IJ", "MORGA\n> 657054 SM9IJ"),
                ("morga657054sm9ij is her driving licence", "morga657054sm9ij"),
                ("MORGA657054SM9IJ", "MORGA657054SM9IJ"),
                ("licence MORGA633054SM9IJ", ""),
                ("licence MORGA657324SM9IJ", ""),
                ("licence MORGA657054SM9IJK", ""),
                ("licence XMORGAN657054SM9IJ", ""),
                ("licence 12345657054SM9IJ", ""),
            ],
            "UK_DRIVING_LICENCE",
        );
    }
}
