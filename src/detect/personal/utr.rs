//! Unique taxpayer references (HMRC): ten digits, the first a check digit modulo 11 of the others; often a K behind.

use super::{Candidate, context::Vocabulary, number};
use crate::detect::fold::Folded;

pub(super) fn vocabulary() -> Vocabulary {
    let speak_for = [
        "utr",
        "taxpayer reference",
        "unique taxpayer",
        "unique taxpayer reference",
        "tax reference",
        "tax ref",
        "self assessment",
        "self-assessment",
        "sa reference",
        "hmrc",
    ];
    let against = [
        "order",
        "invoice",
        "purchase",
        "ref",
        "reference",
        "tracking",
        "booking",
        "tel",
        "telephone",
        "phone",
        "mobile",
        "nhs",
        "account",
        "isbn",
        "barcode",
        "parcel",
        "ticket",
        "serial",
        "company",
        "vat",
    ];
    Vocabulary::new(&speak_for, &against)
}

pub(super) fn read(folded: &Folded, digit: usize) -> Option<Candidate> {
    let text = &folded.lower[..];
    let groupings: [&[usize]; 4] = [&[10], &[5, 5], &[3, 3, 4], &[2, 4, 4]];
    let number = number::read(text, digit, &groupings).or_else(|| with_suffix(text, digit))?;
    if !is_valid(&number.digits) {
        return None;
    }
    let excerpt = format!("***** ***{}", number::to_string(&number.digits[8..]));
    let normalised = number::to_string(&number.digits);
    Some(Candidate { range: digit..number.end, normalised, excerpt, score: 0.2, best: 0.97 })
}

/// `1234567890K`: to the reader of numbers a letter makes it part of a word.
fn with_suffix(text: &[u8], digit: usize) -> Option<number::Number> {
    let standing_alone = digit == 0 || !text[digit - 1].is_ascii_alphanumeric();
    let digits = text.get(digit..digit + 10).filter(|digits| digits.iter().all(u8::is_ascii_digit))?;
    let suffixed =
        text.get(digit + 10) == Some(&b'k') && text.get(digit + 11).is_none_or(|byte| !byte.is_ascii_alphanumeric());
    (standing_alone && suffixed).then(|| number::Number { digits: digits.to_vec(), end: digit + 11 })
}

fn is_valid(digits: &[u8]) -> bool {
    const WEIGHTS: [u32; 9] = [6, 7, 8, 9, 10, 5, 4, 3, 2];
    const CHECKS: [u8; 11] = *b"21987654321";
    let sum: u32 = digits[1..].iter().zip(WEIGHTS).map(|(digit, weight)| u32::from(digit - b'0') * weight).sum();
    CHECKS[(sum % 11) as usize] == digits[0]
}

#[cfg(test)]
mod tests {
    use super::super::assert_found;

    #[test]
    fn taxpayer_references() {
        assert_found(
            &[
                ("UTR 4123456789", ""),
                ("her UTR is 2000000000", "2000000000"),
                ("Unique Taxpayer Reference: 20000 00000", "20000 00000"),
                ("tax reference (UTR) is 2000000000K.", "2000000000K"),
                ("UTR 200 000\n0000", "200 000\n0000"),
                ("UTR 3000000000", ""),
                ("2000000000", ""),
                ("order 2000000000", ""),
                ("UTR 2000000000KX", ""),
            ],
            "UK_UTR",
        );
    }
}
