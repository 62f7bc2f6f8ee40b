//! Telephone numbers of the UK (Ofcom, National Telephone Numbering Plan): 0 or +44 and nine or ten digits, in any
//! grouping. The prefix says much; an order number that begins with 0 is told apart by the words near it.

use super::{Candidate, context::Vocabulary, number};
use crate::detect::{fold::Folded, matcher::is_word_byte};

pub(super) fn vocabulary() -> Vocabulary {
    let speak_for = [
        "tel",
        "telephone",
        "phone",
        "mobile",
        "mob",
        "cell",
        "call",
        "ring",
        "text",
        "contact",
        "emergency contact",
        "direct dial",
        "home",
        "landline",
        "fax",
        "whatsapp",
        "number is",
        "reach",
        "dial",
    ];
    let against = [
        "order",
        "orders",
        "invoice",
        "purchase",
        "tracking",
        "booking",
        "utr",
        "isbn",
        "barcode",
        "parcel",
        "ticket",
        "serial",
        "meter",
        "imei",
        "sku",
        "part",
        "account",
        "a/c",
        "sort code",
        "mpan",
        "company",
        "registered",
        "vat",
    ];
    Vocabulary::new(&speak_for, &against)
}

pub(super) fn read(folded: &Folded, digit: usize) -> Option<Candidate> {
    let text = &folded.lower[..];
    let plus = digit > 0 && text[digit - 1] == b'+';
    let before = digit.checked_sub(if plus { 2 } else { 1 }).map(|at| text[at]);
    if before.is_some_and(|byte| is_word_byte(byte) || matches!(byte, b'-' | b'/' | b'.' | b'_' | b'+')) {
        return None;
    }
    let (trunk, at) = trunk(text, digit, plus)?;
    // The length of the national number without its 0: ten, but for some of 01 and 0800 (nine).
    let (digits, end) = digits(text, at, 10)?;
    let digits = digits.get(usize::from(digits.starts_with(b"0"))..)?;
    let nine = digits.len() == 9 && (digits[0] == b'1' || digits.starts_with(b"800"));
    if !(digits.len() == 10 || nine) || !matches!(digits[0], b'1'..=b'3' | b'5' | b'7'..=b'9') {
        return None;
    }
    let written = &text[digit..end];
    let grouped = written.iter().any(|byte| !byte.is_ascii_digit());
    if grouped && !are_groups(written) {
        return None;
    }
    let score = match (trunk, digits[0], grouped) {
        (Trunk::International, ..) => 0.85,
        (_, b'7', true) => 0.8,
        (_, _, true) => 0.7,
        (_, b'7', false) => 0.65,
        (_, _, false) => 0.55,
    };
    let normalised = format!("0{}", number::to_string(digits));
    let excerpt = format!("{}*** ***{}", &normalised[..3], &normalised[normalised.len() - 2..]);
    Some(Candidate { range: digit - usize::from(plus)..end, normalised, excerpt, score, best: 0.98 })
}

/// Groups as people dial them. A column of single figures is none.
fn are_groups(written: &[u8]) -> bool {
    let mut groups = written.split(|byte| !byte.is_ascii_digit()).filter(|group| !group.is_empty());
    let decimals = memchr::memmem::find(written, b".00").is_some();
    let bracketed = memchr::memmem::find(written, b"(0)").is_some();
    !decimals && groups.clone().count() <= 6 && groups.all(|group| group.len() > 1 || bracketed)
}

#[derive(Clone, Copy)]
enum Trunk {
    National,
    International,
}

/// `0`, `+44`, `0044`, `+44 (0)`.
fn trunk(text: &[u8], digit: usize, plus: bool) -> Option<(Trunk, usize)> {
    let rest = &text[digit..];
    let country = [&b"0044"[..], b"44"].into_iter().find(|code| rest.starts_with(code) && (plus || code.len() == 4));
    match country {
        Some(code) => {
            let mut at = digit + code.len();
            at += number::gap(text, at);
            if text[at..].starts_with(b"(0)") {
                at += 3;
                at += number::gap(text, at);
            }
            Some((Trunk::International, at))
        }
        None if !plus && rest[0] == b'0' => Some((Trunk::National, digit + 1)),
        None => None,
    }
}

/// So many digits, or what there is of them, across gaps and brackets. None when more follow directly.
fn digits(text: &[u8], start: usize, most: usize) -> Option<(Vec<u8>, usize)> {
    let (mut digits, mut at, mut end) = (Vec::with_capacity(most + 1), start, start);
    let mut wanted = most;
    while digits.len() < wanted {
        match text.get(at) {
            Some(digit) if digit.is_ascii_digit() => {
                if digits.is_empty() && *digit == b'0' {
                    wanted += 1;
                }
                digits.push(*digit);
                at += 1;
                end = at;
            }
            Some(b')' | b'(') => at += 1,
            _ => match number::gap(text, at) {
                0 => break,
                gap => at += gap,
            },
        }
    }
    let behind = text.get(end);
    let goes_on = behind.is_some_and(|byte| is_word_byte(*byte) || *byte == b'_')
        || matches!(behind, Some(b'-' | b'/' | b'.')) && text.get(end + 1).is_some_and(u8::is_ascii_digit);
    (!goes_on).then_some((digits, end))
}

#[cfg(test)]
mod tests {
    use super::super::assert_found;

    #[test]
    fn telephone_numbers() {
        // Ofcom's ranges for drama.
        assert_found(
            &[
                ("ring me on 07700 900123", "07700 900123"),
                ("+44 7700 900123", "+44 7700 900123"),
                ("+44 (0)7700 900 123", "+44 (0)7700 900 123"),
                ("0044 20 7946 0123", "0044 20 7946 0123"),
                ("(01632) 960123", "01632) 960123"),
                ("tel 02079460123,", "02079460123"),
                ("T: 0113 496 0123\n12 Mill Lane", "0113 496 0123"),
                ("home: (01632) 96\n0123", "01632) 96\n0123"),
                ("0800 496 012", "0800 496 012"),
                ("Mobile,DOB\n07700900123,1/2/60", "07700900123"),
                ("order number 07700900123", ""),
                ("0113 496 012345", ""),
                ("0331339491683159", ""),
                ("00000000000", ""),
                ("1234 567890", ""),
                ("+49 30 123456", ""),
                ("room 0113", ""),
                ("0 0 303 79 1 0 0 1028070983", ""),
                ("10.00    0\n 20.00    0\n 30.00    0\n 40.00", ""),
            ],
            "UK_PHONE",
        );
    }
}
