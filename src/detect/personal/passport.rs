//! Passport numbers: nine digits with words near them, or the second line of the machine-readable zone, which proves
//! itself by its check digits (ICAO Doc 9303, part 3, 4.9 and part 4, 4.2).

use super::{Candidate, context::Vocabulary, number};
use crate::detect::fold::Folded;

pub(super) fn vocabulary() -> Vocabulary {
    let speak_for =
        ["passport", "passports", "passport no", "passport number", "uk passport", "travel document", "visa"];
    let against = [
        "order",
        "invoice",
        "ref",
        "reference",
        "tracking",
        "booking",
        "tel",
        "telephone",
        "phone",
        "mobile",
        "account",
        "company",
        "registered",
        "charity",
        "vat",
        "parcel",
        "ticket",
        "serial",
        "sort code",
        "visa card",
        "nhs",
    ];
    Vocabulary::new(&speak_for, &against)
}

pub(super) fn read(folded: &Folded, digit: usize) -> Option<Candidate> {
    let text = &folded.lower[..];
    if let Some(candidate) = machine_readable(text, digit) {
        return Some(candidate);
    }
    let number = number::read(text, digit, &[&[9], &[3, 3, 3]])?;
    let normalised = number::to_string(&number.digits);
    let excerpt = format!("*******{}", &normalised[7..]);
    Some(Candidate { range: digit..number.end, normalised, excerpt, score: 0.2, best: 0.95 })
}

/// Number (9) check, nationality (3), birth (6) check, sex, expiry (6) check, and whatever stands behind.
const FIELDS: [(usize, usize); 3] = [(0, 9), (13, 19), (21, 27)];
const LINE: usize = 28;

fn machine_readable(text: &[u8], digit: usize) -> Option<Candidate> {
    // The number may begin with letters.
    let letters = text[..digit].iter().rev().take(9).take_while(|byte| byte.is_ascii_lowercase()).count();
    let start = digit - letters;
    let line = text.get(start..start + LINE)?;
    let sound = FIELDS.iter().all(|&(from, to)| check_digit(&line[from..to]) == Some(line[to]))
        && line[10..13].iter().all(|byte| byte.is_ascii_lowercase() || *byte == b'<')
        && matches!(line[20], b'm' | b'f' | b'x' | b'<');
    if !sound || start > 0 && text[start - 1].is_ascii_alphanumeric() {
        return None;
    }
    let normalised = String::from_utf8(line[..9].to_ascii_uppercase()).ok()?;
    let filler = text[start + LINE..].iter().take(16).take_while(|byte| matches!(byte, b'<' | b'0'..=b'9')).count();
    let excerpt = format!("*******{}", &normalised[7..]);
    Some(Candidate { range: start..start + LINE + filler, normalised, excerpt, score: 0.95, best: 0.99 })
}

fn check_digit(field: &[u8]) -> Option<u8> {
    let mut sum = 0;
    for (byte, weight) in field.iter().zip([7, 3, 1].into_iter().cycle()) {
        let value = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'z' => byte - b'a' + 10,
            b'<' => 0,
            _ => return None,
        };
        sum += u32::from(value) * weight;
    }
    Some(b'0' + (sum % 10) as u8)
}

#[cfg(test)]
mod tests {
    use super::super::assert_found;

    #[test]
    fn passports() {
        assert_found(
            &[
                ("her passport number is 123456789.", "123456789"),
                ("Passport No: 123 456 789, expires", "123 456 789"),
                ("UK passport\n> 123\n> 456 789", "123\n> 456 789"),
                ("company number 123456789", ""),
                ("123456789", ""),
                ("passport office, phone 123456789", ""),
                // The specimen of ICAO Doc 9303.
                ("L898902C36UTO7408122F1204159ZE184226B<<<<<10", "L898902C36UTO7408122F1204159"),
                ("L898902C37UTO7408122F1204159ZE184226B<<<<<10", ""),
            ],
            "UK_PASSPORT",
        );
    }
}
