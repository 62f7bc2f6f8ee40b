//! International bank account numbers (ISO 13616): the lengths of the SWIFT IBAN registry, release 99, and the check modulo 97.

use super::{Candidate, context::Vocabulary, number};
use crate::detect::fold::Folded;
use crate::detect::matcher::is_word_byte;

pub(super) fn vocabulary() -> Vocabulary {
    Vocabulary::new(&["iban", "bic", "swift", "account", "bank", "transfer", "sepa", "payee", "beneficiary"], &[])
}

/// Country and length.
const LENGTHS: [(&[u8; 2], usize); 89] = [
    (b"ad", 24),
    (b"ae", 23),
    (b"al", 28),
    (b"at", 20),
    (b"az", 28),
    (b"ba", 20),
    (b"be", 16),
    (b"bg", 22),
    (b"bh", 22),
    (b"bi", 27),
    (b"br", 29),
    (b"by", 28),
    (b"ch", 21),
    (b"cr", 22),
    (b"cy", 28),
    (b"cz", 24),
    (b"de", 22),
    (b"dj", 27),
    (b"dk", 18),
    (b"do", 28),
    (b"ee", 20),
    (b"eg", 29),
    (b"es", 24),
    (b"fi", 18),
    (b"fk", 18),
    (b"fo", 18),
    (b"fr", 27),
    (b"gb", 22),
    (b"ge", 22),
    (b"gi", 23),
    (b"gl", 18),
    (b"gr", 27),
    (b"gt", 28),
    (b"hn", 28),
    (b"hr", 21),
    (b"hu", 28),
    (b"ie", 22),
    (b"il", 23),
    (b"iq", 23),
    (b"is", 26),
    (b"it", 27),
    (b"jo", 30),
    (b"kw", 30),
    (b"kz", 20),
    (b"lb", 28),
    (b"lc", 32),
    (b"li", 21),
    (b"lt", 20),
    (b"lu", 20),
    (b"lv", 21),
    (b"ly", 25),
    (b"mc", 27),
    (b"md", 24),
    (b"me", 22),
    (b"mk", 19),
    (b"mn", 20),
    (b"mr", 27),
    (b"mt", 31),
    (b"mu", 30),
    (b"ni", 28),
    (b"nl", 18),
    (b"no", 15),
    (b"om", 23),
    (b"pk", 24),
    (b"pl", 28),
    (b"ps", 29),
    (b"pt", 25),
    (b"qa", 29),
    (b"ro", 24),
    (b"rs", 22),
    (b"ru", 33),
    (b"sa", 24),
    (b"sc", 31),
    (b"sd", 18),
    (b"se", 24),
    (b"si", 19),
    (b"sk", 24),
    (b"sm", 27),
    (b"so", 23),
    (b"st", 25),
    (b"sv", 28),
    (b"tl", 23),
    (b"tn", 24),
    (b"tr", 26),
    (b"ua", 29),
    (b"va", 22),
    (b"vg", 24),
    (b"xk", 20),
    (b"ye", 30),
];

/// `digit` is the first of the two check digits.
pub(super) fn read(folded: &Folded, digit: usize) -> Option<Candidate> {
    let text = &folded.lower[..];
    let start = digit.checked_sub(2)?;
    let country: &[u8; 2] = text[start..digit].try_into().ok()?;
    if !text.get(digit + 1)?.is_ascii_digit() || (start > 0 && is_word_byte(text[start - 1])) {
        return None;
    }
    let length = LENGTHS[LENGTHS.binary_search_by_key(&country, |(country, _)| country).ok()?].1;
    let mut characters = Vec::with_capacity(length);
    let mut at = start;
    while characters.len() < length {
        // People write groups of four.
        if characters.len() % 4 == 0 && !characters.is_empty() {
            at += number::gap(text, at);
        }
        let byte = *text.get(at)?;
        if !byte.is_ascii_alphanumeric() {
            return None;
        }
        characters.push(byte.to_ascii_uppercase());
        at += 1;
    }
    if text.get(at).is_some_and(|byte| is_word_byte(*byte)) || !is_valid(&characters) {
        return None;
    }
    let normalised = number::to_string(&characters);
    Some(Candidate {
        range: start..at,
        excerpt: format!("{}** **** **** {}", &normalised[..2], &normalised[length - 4..]),
        normalised,
        score: 0.9,
        best: 0.99,
    })
}

/// ISO 7064 MOD 97-10: the first four characters go to the end, letters become 10 to 35.
fn is_valid(characters: &[u8]) -> bool {
    let rotated = characters[4..].iter().chain(&characters[..4]);
    let remainder = rotated.fold(0u32, |rest, byte| match byte {
        b'0'..=b'9' => (rest * 10 + u32::from(byte - b'0')) % 97,
        _ => (rest * 100 + u32::from(byte - b'A') + 10) % 97,
    });
    remainder == 1
}

#[cfg(test)]
mod tests {
    use super::super::assert_found;
    use super::*;

    #[test]
    fn the_table_is_sorted() {
        assert!(LENGTHS.is_sorted_by_key(|(country, _)| country));
    }

    #[test]
    fn ibans() {
        // The examples of the registry.
        assert_found(
            &[
                ("IBAN GB29 NWBK 6016 1331 9268 19", "GB29 NWBK 6016 1331 9268 19"),
                ("GB29NWBK60161331926819", "GB29NWBK60161331926819"),
                ("iban gb29nwbk60161331926819.", "gb29nwbk60161331926819"),
                ("DE89-3704-0044-0532-0130-00", "DE89-3704-0044-0532-0130-00"),
                ("FR14 2004 1010\n> 0505 0001 3M02 606", "FR14 2004 1010\n> 0505 0001 3M02 606"),
                ("NO9386011117947", "NO9386011117947"),
                ("MT84MALT011000012345MTLCAST001S", "MT84MALT011000012345MTLCAST001S"),
                ("ＤＥ８９370400440532013000", "ＤＥ８９370400440532013000"),
                ("IBAN GB29 NWBK 6016 1331 9268 18", ""),
                ("IBAN GB29 NWBK 6016 1331 9268 1", ""),
                ("IBAN GB29NWBK601613319268199", ""),
                ("IBAN XX29NWBK60161331926819", ""),
                ("IBAN GB29 NWBK 60161 331 9268 19", ""),
            ],
            "IBAN",
        );
    }
}
