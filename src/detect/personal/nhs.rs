//! NHS numbers (NHS Data Dictionary, "NHS NUMBER"): ten digits, the last a check digit modulo 11. One in eleven ten-digit
//! numbers passes the check, telephone and order numbers among them, so words near it are needed.

use super::{Candidate, context::Vocabulary, number};
use crate::detect::fold::Folded;

pub(super) fn vocabulary() -> Vocabulary {
    Vocabulary::new(
        &[
            "nhs",
            "nhs no",
            "nhs number",
            "nhs num",
            "nhs id",
            "patient",
            "patients",
            "nhs no.",
            "patient no",
            "patient number",
        ],
        &[
            "order",
            "orders",
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
            "fax",
            "call",
            "ring",
            "account",
            "acc",
            "utr",
            "tax",
            "taxpayer",
            "imei",
            "isbn",
            "barcode",
            "parcel",
            "ticket",
            "job",
            "meter",
            "serial",
            "extension",
            "ext",
            "direct dial",
            "company",
            "registered",
            "vat",
            "charity",
            "part",
            "sku",
            "passport",
        ],
    )
}

const GROUPINGS: [&[usize]; 2] = [&[10], &[3, 3, 4]];

pub(super) fn read(folded: &Folded, digit: usize) -> Option<Candidate> {
    let text = &folded.lower[..];
    let number = number::read(text, digit, &GROUPINGS)?;
    let digits = &number.digits;
    if !is_valid(digits) {
        return None;
    }
    Some(Candidate {
        range: digit..number.end,
        normalised: number::to_string(digits),
        excerpt: format!("*** *** **{}", number::to_string(&digits[8..])),
        score: 0.3,
        best: 0.99,
    })
}

pub(super) fn is_valid(digits: &[u8]) -> bool {
    let weighted: u32 =
        digits[..9].iter().zip((2..=10).rev()).map(|(digit, weight)| u32::from(digit - b'0') * weight).sum();
    let check = (11 - weighted % 11) % 11;
    // Ten of one digit pass the sum and are nobody's.
    check == u32::from(digits[9] - b'0') && digits.iter().any(|digit| *digit != digits[0])
}

#[cfg(test)]
mod tests {
    use super::super::assert_found;

    #[test]
    fn nhs_numbers() {
        // 999 000 0000 onwards is the range for tests.
        assert_found(
            &[
                ("NHS number 999 000 0018", "999 000 0018"),
                ("NHS No: 9990000018.", "9990000018"),
                ("(NHS 999-000-0018)", "999-000-0018"),
                ("the patient's number is 999.000.0018", "999.000.0018"),
                ("NHS no. 999\n> 000 0018", "999\n> 000 0018"),
                ("NHS ９９９ ０００ ００１８", "９９９ ０００ ００１８"),
                ("Name,NHS No\nAnn,9990000018\n", "9990000018"),
                ("9990000018", ""),
                ("999 000 0018", ""),
                ("order number 9990000018", ""),
                ("NHS supplies, order number 9990000018", ""),
                ("NHS number 999 000 0019", ""),
                ("NHS number 4444444444", ""),
                ("NHS number 99900000181", ""),
                ("NHS number 9990-000-018", ""),
                ("NHS | UTR\nx | 9990000018", ""),
            ],
            "UK_NHS",
        );
    }
}
