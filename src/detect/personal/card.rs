//! Payment card numbers: the issuers' ranges with their lengths (ISO/IEC 7812), the Luhn check digit, and the groups in
//! which they are written. One number in ten passes Luhn, so what speaks of an order or a parcel is none.

use super::{Candidate, context::Vocabulary, number};
use crate::detect::fold::Folded;

pub(super) fn vocabulary() -> Vocabulary {
    Vocabulary::new(
        &[
            "card",
            "cards",
            "card no",
            "card number",
            "credit card",
            "debit card",
            "visa",
            "mastercard",
            "master card",
            "amex",
            "american express",
            "maestro",
            "diners",
            "discover",
            "jcb",
            "unionpay",
            "debit",
            "credit",
            "cvv",
            "cvc",
            "cv2",
            "expiry",
            "expires",
            "exp",
            "valid to",
            "security code",
            "pan",
            "charge",
            "pay",
            "payment",
            "deposit",
            "over the phone",
            "cardholder",
        ],
        &[
            "order",
            "orders",
            "tracking",
            "track",
            "invoice",
            "imei",
            "barcode",
            "ean",
            "isbn",
            "serial",
            "meter",
            "parcel",
            "consignment",
            "ref",
            "reference",
            "ticket",
            "booking",
            "shipment",
            "sku",
            "part",
            "job",
            "handset",
            "device",
            "delivery",
            "mpan",
            "mprn",
            "licence",
            "transaction",
            "message id",
            "asset",
            "waybill",
        ],
    )
}

const GROUPINGS: [&[usize]; 13] = [
    &[16],
    &[4, 4, 4, 4],
    &[15],
    &[4, 6, 5],
    &[14],
    &[4, 6, 4],
    &[19],
    &[4, 4, 4, 4, 3],
    &[18],
    &[17],
    &[13],
    &[4, 4, 4, 2],
    &[4, 3, 3, 3],
];

pub(super) fn read(folded: &Folded, digit: usize) -> Option<Candidate> {
    let text = &folded.lower[..];
    // All ranges begin with 2 to 6 or 8: rules most numbers out at once.
    if !matches!(text[digit], b'2'..=b'6' | b'8') {
        return None;
    }
    let number = number::read(text, digit, &GROUPINGS)?;
    let digits = &number.digits;
    if !is_issued(digits) || !luhn(digits) {
        return None;
    }
    let grouped = number.end - digit > digits.len();
    Some(Candidate {
        range: digit..number.end,
        normalised: number::to_string(digits),
        excerpt: format!("**** **** **** {}", number::to_string(&digits[digits.len() - 4..])),
        score: if grouped { 0.7 } else { 0.55 },
        best: 0.99,
    })
}

/// Issuer ranges as published by the schemes: first digits from, to, and the lengths.
const RANGES: [(u32, u32, &[usize]); 17] = [
    (400_000, 499_999, &[13, 16, 19]),
    (510_000, 559_999, &[16]),
    (222_100, 272_099, &[16]),
    (340_000, 349_999, &[15]),
    (370_000, 379_999, &[15]),
    (300_000, 305_999, &[14, 16]),
    (360_000, 369_999, &[14]),
    (380_000, 399_999, &[14, 16]),
    (352_800, 358_999, &[16, 17, 18, 19]),
    (601_100, 601_199, &[16, 19]),
    (644_000, 659_999, &[16, 19]),
    (620_000, 629_999, &[16, 17, 18, 19]),
    (810_000, 817_199, &[16, 17, 18, 19]),
    (501_800, 501_899, &[16, 18, 19]),
    (502_000, 503_899, &[16, 18, 19]),
    (630_400, 630_499, &[16, 18, 19]),
    (675_900, 676_399, &[16, 18, 19]),
];

fn is_issued(digits: &[u8]) -> bool {
    let first = digits[..6].iter().fold(0, |number, digit| number * 10 + u32::from(digit - b'0'));
    RANGES.iter().any(|(from, to, lengths)| (*from..=*to).contains(&first) && lengths.contains(&digits.len()))
}

fn luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(index, digit)| {
            let value = u32::from(digit - b'0') << (index % 2);
            if value > 9 { value - 9 } else { value }
        })
        .sum();
    sum.is_multiple_of(10)
}

#[cfg(test)]
mod tests {
    use super::super::assert_found;

    #[test]
    fn payment_cards() {
        // The schemes' published test numbers.
        assert_found(
            &[
                ("card 4111 1111 1111 1111 exp 11/27", "4111 1111 1111 1111"),
                ("card: 4111111111111111", "4111111111111111"),
                ("Amex 3782 822463 10005", "3782 822463 10005"),
                ("Diners 3056-930902-5904", "3056-930902-5904"),
                ("Mastercard 5555.5555.5555.4444", "5555.5555.5555.4444"),
                ("Mastercard 2223 0031 2200 3222", "2223 0031 2200 3222"),
                ("JCB 3530111333300000", "3530111333300000"),
                ("the full number is 6011 1111\n> 1111 1117, thanks", "6011 1111\n> 1111 1117"),
                ("４１１１ １１１１ １１１１ １１１１", "４１１１ １１１１ １１１１ １１１１"),
                ("4111 1111 1111 1111", "4111 1111 1111 1111"),
                ("card number\t x\n4111111111111111\t1\n", "4111111111111111"),
                ("order 4111 1111 1111 1111", ""),
                ("Tracking number 4111111111111111 shows as delivered", ""),
                ("card 4111 1111 1111 1112", ""),
                ("card 41111111111111111", ""),
                ("card 7111 1111 1111 1117", ""),
                ("card **** **** **** 1111", ""),
                ("card 4111 11111111 1111", ""),
                ("card 4111\t1111 1111 1111", ""),
            ],
            "PAYMENT_CARD",
        );
    }
}
