//! Numbers of other countries, found where `countries` asks for them: social security numbers of the United States, VAT numbers
//! and personal numbers of the EU. Formats and check digits: SSA, "The SSN Numbering Scheme" (and POMS RM 10201.035 for what was never
//! given out); European Commission, VIES "VAT identification number structure"; for personal numbers each country's own rule, named
//! beside it.

use super::{Candidate, context::Vocabulary, number};
use crate::detect::{fold::Folded, matcher::is_word_byte};

/// The longest number below, without separators.
const LONGEST: usize = 16;

pub(super) fn ssn_vocabulary() -> Vocabulary {
    let against = ["order", "invoice", "ref", "reference", "tracking", "tel", "telephone", "phone", "ticket", "part"];
    Vocabulary::new(&["ssn", "social security", "social security number", "soc sec", "itin", "w-9", "w9"], &against)
}

/// `123-45-6789`; nine digits together need a word near them.
pub(super) fn ssn(folded: &Folded, digit: usize) -> Option<Candidate> {
    let text = &folded.lower[..];
    let number = number::read(text, digit, &[&[3, 2, 4], &[9]])?;
    let digits = &number.digits;
    let never = &digits[..3] == b"000" || &digits[..3] == b"666" || digits[0] == b'9' || &digits[3..5] == b"00";
    if never || &digits[5..] == b"0000" || digits.iter().all(|digit| *digit == digits[0]) {
        return None;
    }
    let grouped = text.get(digit + 3) == Some(&b'-') && text.get(digit + 6) == Some(&b'-');
    let excerpt = format!("***-**-**{}", number::to_string(&digits[7..]));
    let score = if grouped { 0.45 } else { 0.1 };
    Some(Candidate { range: digit..number.end, normalised: number::to_string(digits), excerpt, score, best: 0.95 })
}

pub(super) fn vat_vocabulary() -> Vocabulary {
    let speak_for = [
        "vat",
        "vat no",
        "vat number",
        "vat id",
        "vat reg",
        "ust-id",
        "ust-idnr",
        "umsatzsteuer",
        "mwst",
        "tva",
        "n° tva",
        "iva",
        "btw",
        "btw-nummer",
        "moms",
        "nif",
        "cif",
        "partita iva",
        "nip",
        "alv",
        "dph",
        "pvn",
        "kmkr",
        "ddv",
    ];
    Vocabulary::new(&speak_for, &["order", "iban", "bic", "tracking", "serial", "postcode"])
}

/// Country, and for each place: `9` a digit, `A` a letter, `*` either, `U` itself (VIES).
const VAT: [(&[u8; 2], &[&str]); 28] = [
    (b"at", &["U99999999"]),
    (b"be", &["9999999999"]),
    (b"bg", &["999999999", "9999999999"]),
    (b"cy", &["99999999A"]),
    (b"cz", &["99999999", "999999999", "9999999999"]),
    (b"de", &["999999999"]),
    (b"dk", &["99999999"]),
    (b"ee", &["999999999"]),
    (b"el", &["999999999"]),
    (b"es", &["A9999999*", "99999999A"]),
    (b"fi", &["99999999"]),
    (b"fr", &["**999999999"]),
    (b"hr", &["99999999999"]),
    (b"hu", &["99999999"]),
    (b"ie", &["9999999A", "9999999AA", "9*99999A"]),
    (b"it", &["99999999999"]),
    (b"lt", &["999999999", "999999999999"]),
    (b"lu", &["99999999"]),
    (b"lv", &["99999999999"]),
    (b"mt", &["99999999"]),
    (b"nl", &["999999999B99"]),
    (b"pl", &["9999999999"]),
    (b"pt", &["999999999"]),
    (b"ro", &["99", "999", "9999", "99999", "999999", "9999999", "99999999", "999999999", "9999999999"]),
    (b"se", &["999999999999"]),
    (b"si", &["99999999"]),
    (b"sk", &["9999999999"]),
    (b"xi", &["999999999", "999999999999"]),
];

/// `DE 123456788`: a country in front of a number of its form. The check digit, where we know it, raises the score.
pub(super) fn vat(folded: &Folded, digit: usize) -> Option<Candidate> {
    let (start, end, written) = word(folded, digit)?;
    let (country, rest) = written.split_at_checked(2)?;
    let (_, forms) = VAT.iter().find(|(known, _)| known.as_slice() == country.to_ascii_lowercase().as_bytes())?;
    if !forms.iter().any(|form| fits(rest, form)) {
        return None;
    }
    let digits: Vec<u8> = rest.bytes().filter(u8::is_ascii_digit).collect();
    let score = match vat_check(country, &digits) {
        Some(true) => 0.55,
        Some(false) => return None,
        None => 0.2,
    };
    let tail = &rest[rest.len().saturating_sub(2)..];
    let excerpt = format!("{country}*****{tail}");
    Some(Candidate { range: start..end, normalised: written, excerpt, score, best: 0.95 })
}

/// None: a country whose check digit we do not compute.
fn vat_check(country: &str, digits: &[u8]) -> Option<bool> {
    let value = |range: std::ops::Range<usize>| number_of(&digits[range]);
    Some(match country.to_ascii_lowercase().as_str() {
        "de" => iso7064_11_10(digits),
        "be" => 97 - value(0..8) % 97 == value(8..10),
        "it" => luhn(digits),
        "fr" => digits.len() < 11 || (12 + 3 * (value(2..11) % 97)) % 97 == value(0..2),
        "lu" => value(0..6) % 89 == value(6..8),
        "pl" => weighted(digits, &[6, 5, 7, 2, 3, 4, 5, 6, 7]) % 11 == u64::from(digits[9] - b'0'),
        "dk" => weighted(digits, &[2, 7, 6, 5, 4, 3, 2, 1]).is_multiple_of(11),
        "pt" => mod_11(digits),
        "se" => luhn(&digits[..10]),
        "hr" => iso7064_11_10(digits),
        _ => return None,
    })
}

pub(super) fn id_vocabulary() -> Vocabulary {
    let speak_for = [
        "steuer-id",
        "steueridentifikationsnummer",
        "identifikationsnummer",
        "idnr",
        "dni",
        "nie",
        "nif",
        "sécurité sociale",
        "securite sociale",
        "numéro de sécurité sociale",
        "nir",
        "codice fiscale",
        "bsn",
        "burgerservicenummer",
        "sofinummer",
        "pesel",
        "personnummer",
        "cpr",
        "cpr-nummer",
        "henkilötunnus",
        "hetu",
        "rijksregisternummer",
        "numéro national",
        "pps",
        "pps number",
        "ppsn",
        "contribuinte",
        "national id",
        "identity number",
        "personal number",
        "tax id",
    ];
    Vocabulary::new(
        &speak_for,
        &["order", "invoice", "tracking", "tel", "telephone", "phone", "iban", "serial", "isbn"],
    )
}

type Rule = (&'static str, fn(&str, &[u8]) -> bool, f32);

/// Form, check, and the score without a word near it. Where the form and the check are strict, the number speaks for itself.
const IDS: [Rule; 12] = [
    // Codice fiscale (DM 23 December 1976).
    ("AAAAAA**A**A***A", |written, _| codice_fiscale(written), 0.8),
    // NIR (France): sex, year, month, place, order, key modulo 97.
    (
        "999999999999999",
        |_, digits| matches!(digits[0], b'1' | b'2') && 97 - number_of(&digits[..13]) % 97 == number_of(&digits[13..]),
        0.5,
    ),
    // DNI and NIE (Spain): a letter modulo 23.
    ("99999999A", |written, digits| spanish(number_of(digits), written), 0.4),
    ("A9999999A", |written, digits| nie(written, digits), 0.5),
    // Steuer-ID (Germany): eleven digits, ISO 7064; the first is not 0.
    ("99999999999", |_, digits| digits[0] != b'0' && iso7064_11_10(digits), 0.2),
    // PESEL (Poland): date, order, check.
    ("99999999999", |_, digits| pesel(digits), 0.2),
    // Rijksregisternummer (Belgium): date, order, 97 less the rest.
    ("99999999999", |_, digits| belgian(digits), 0.2),
    // BSN (Netherlands): the eleven test, the last weighs -1.
    ("999999999", |_, digits| dutch(digits), 0.1),
    // NIF (Portugal).
    ("999999999", |_, digits| mod_11(digits), 0.1),
    // Personnummer (Sweden): date, order, Luhn.
    ("9999999999", |_, digits| is_date(&digits[2..6], true) && luhn(digits), 0.2),
    // CPR (Denmark): date and order; no check since 2007.
    ("9999999999", |_, digits| is_date(&digits[..4], false), 0.1),
    // PPS number (Ireland): a letter modulo 23.
    ("9999999A", |written, digits| irish(written, digits), 0.4),
];

pub(super) fn id(folded: &Folded, digit: usize) -> Option<Candidate> {
    let (start, end, written) = word(folded, digit)?;
    let digits: Vec<u8> = written.bytes().filter(u8::is_ascii_digit).collect();
    let rules = IDS.iter().filter(|(form, check, _)| fits(&written, form) && check(&written, &digits));
    let score = rules.map(|(_, _, score)| *score).fold(0.0, f32::max);
    if score == 0.0 || digits.iter().all(|digit| *digit == digits[0]) {
        return None;
    }
    let excerpt = format!("*****{}", &written[written.len() - 2..]);
    Some(Candidate { range: start..end, normalised: written, excerpt, score, best: 0.95 })
}

/// The number that `digit` is the first digit of: letters and digits that stand together, two letters before them, groups of digits behind;
/// without separators, in capitals.
fn word(folded: &Folded, digit: usize) -> Option<(usize, usize, String)> {
    let text = &folded.lower[..];
    let mut start = digit;
    while start > 0 && text[start - 1].is_ascii_alphanumeric() && digit - start < LONGEST {
        start -= 1;
    }
    let joined = |at: usize| at > 0 && is_word_byte(text[at - 1]);
    // `DE 123456788`: the country stands apart.
    if start == digit
        && start >= 3
        && text[start - 1] == b' '
        && text[start - 3..start - 1].iter().all(u8::is_ascii_alphabetic)
        && !joined(start - 3)
    {
        let capitals = folded.cased.as_bytes()[start - 3..start - 1].iter().all(u8::is_ascii_uppercase);
        start -= if capitals { 3 } else { 0 };
    }
    if joined(start) {
        return None;
    }
    let mut end = start;
    let mut written = String::new();
    while let Some(byte) = text.get(end).copied().filter(|_| written.len() <= LONGEST) {
        match byte {
            b'0'..=b'9' | b'a'..=b'z' => written.push(char::from(byte.to_ascii_uppercase())),
            b' ' | b'-' | b'.' if text.get(end + 1).is_some_and(u8::is_ascii_digit) => {}
            _ => break,
        }
        end += 1;
    }
    let whole = text.get(end).is_none_or(|byte| !is_word_byte(*byte));
    (whole && written.len() <= LONGEST && written.len() >= 4).then_some((start, end, written))
}

fn fits(written: &str, form: &str) -> bool {
    written.len() == form.len()
        && written.bytes().zip(form.bytes()).all(|(byte, place)| match place {
            b'9' => byte.is_ascii_digit(),
            b'A' => byte.is_ascii_uppercase(),
            b'*' => byte.is_ascii_alphanumeric(),
            letter => byte == letter,
        })
}

fn number_of(digits: &[u8]) -> u64 {
    digits.iter().fold(0, |number, digit| number * 10 + u64::from(digit - b'0'))
}

fn weighted(digits: &[u8], weights: &[u64]) -> u64 {
    digits.iter().zip(weights).map(|(digit, weight)| u64::from(digit - b'0') * weight).sum()
}

fn luhn(digits: &[u8]) -> bool {
    let doubled = |(at, digit): (usize, &u8)| {
        let value = u64::from(digit - b'0') * (1 + at as u64 % 2);
        value / 10 + value % 10
    };
    digits.iter().rev().enumerate().map(doubled).sum::<u64>().is_multiple_of(10)
}

fn iso7064_11_10(digits: &[u8]) -> bool {
    let (check, front) = digits.split_last().expect("a number has digits");
    let rest = front.iter().fold(10, |product, digit| {
        let sum = (u64::from(digit - b'0') + product) % 10;
        (if sum == 0 { 10 } else { sum }) * 2 % 11
    });
    (11 - rest) % 10 == u64::from(check - b'0')
}

/// Weights from 9 down to 2; ten and eleven count as zero.
fn mod_11(digits: &[u8]) -> bool {
    let check = 11 - weighted(digits, &[9, 8, 7, 6, 5, 4, 3, 2]) % 11;
    (if check > 9 { 0 } else { check }) == u64::from(digits[8] - b'0')
}

fn pesel(digits: &[u8]) -> bool {
    let month = number_of(&digits[2..4]) % 20;
    let sum = weighted(digits, &[1, 3, 7, 9, 1, 3, 7, 9, 1, 3]);
    (1..=12).contains(&month)
        && (1..=31).contains(&number_of(&digits[4..6]))
        && (10 - sum % 10) % 10 == u64::from(digits[10] - b'0')
}

fn belgian(digits: &[u8]) -> bool {
    let (number, check) = (number_of(&digits[..9]), number_of(&digits[9..]));
    // Whoever was born from 2000 on has a 2 in front.
    is_date(&digits[2..6], true) && [number, 2_000_000_000 + number].iter().any(|number| 97 - number % 97 == check)
}

fn dutch(digits: &[u8]) -> bool {
    let sum = weighted(digits, &[9, 8, 7, 6, 5, 4, 3, 2]);
    sum % 11 == u64::from(digits[8] - b'0')
}

/// Month and day, or day and month.
fn is_date(digits: &[u8], month_first: bool) -> bool {
    let (first, second) = (number_of(&digits[..2]), number_of(&digits[2..4]));
    let (month, day) = if month_first { (first, second) } else { (second, first) };
    (1..=12).contains(&month) && (1..=31).contains(&day)
}

fn spanish(number: u64, written: &str) -> bool {
    const LETTERS: &[u8; 23] = b"TRWAGMYFPDXBNJZSQVHLCKE";
    written.as_bytes().last() == Some(&LETTERS[(number % 23) as usize])
}

fn nie(written: &str, digits: &[u8]) -> bool {
    let first = match written.as_bytes()[0] {
        b'X' => 0,
        b'Y' => 1,
        b'Z' => 2,
        _ => return false,
    };
    spanish(first * 10_000_000 + number_of(digits), written)
}

fn irish(written: &str, digits: &[u8]) -> bool {
    const LETTERS: &[u8; 23] = b"WABCDEFGHIJKLMNOPQRSTUV";
    let sum = weighted(digits, &[8, 7, 6, 5, 4, 3, 2]);
    written.as_bytes()[7] == LETTERS[(sum % 23) as usize]
}

fn codice_fiscale(written: &str) -> bool {
    const ODD: [u32; 26] =
        [1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23];
    let bytes = written.as_bytes();
    let place = |byte: u8| u32::from(if byte.is_ascii_digit() { byte - b'0' } else { byte - b'A' });
    let value = |(at, byte): (usize, &u8)| if at % 2 == 0 { ODD[place(*byte) as usize] } else { place(*byte) };
    let sum: u32 = bytes[..15].iter().enumerate().map(value).sum();
    place(bytes[15]) == sum % 26
}

#[cfg(test)]
mod tests {
    use super::super::{Personal, found_by};
    use super::*;

    fn all(text: &str) -> Vec<(String, String)> {
        found_by(&Personal::with(&crate::detect::Country::ALL), text)
    }

    /// The invented number that `front` becomes with the last sign that makes it valid.
    fn completed(front: &str, signs: &str, valid: impl Fn(&str) -> bool) -> String {
        let all = signs.chars().map(|sign| format!("{front}{sign}"));
        all.into_iter().find(|number| valid(number)).expect("one sign is right")
    }

    fn digits(number: &str) -> Vec<u8> {
        number.bytes().filter(u8::is_ascii_digit).collect()
    }

    #[test]
    fn social_security_numbers() {
        for (text, expected) in [
            ("SSN 219-09-9999", "219-09-9999"),
            ("Social Security number: 219099999", "219099999"),
            ("SSN 000-12-3456", ""),
            ("SSN 666-12-3456", ""),
            ("SSN 987-65-4321", ""),
            ("SSN 219-00-9999", ""),
            ("order 219-09-9999", ""),
            ("219099999", ""),
        ] {
            let found: Vec<String> =
                all(text).into_iter().filter(|(kind, _)| kind == "US_SSN").map(|(_, text)| text).collect();
            assert_eq!(found.concat(), expected, "{text}");
        }
    }

    #[test]
    fn numbers_of_the_eu() {
        let de = completed("DE12345678", "0123456789", |number| iso7064_11_10(&digits(number)));
        let tax = completed("1234567890", "0123456789", |number| iso7064_11_10(&digits(number)));
        let dni = completed("12345678", "TRWAGMYFPDXBNJZSQVHLCKE", |number| spanish(12_345_678, number));
        let pps = completed("1234567", "WABCDEFGHIJKLMNOPQRSTUV", |number| irish(number, &digits(number)));
        let fiscal = completed("MRTMTT91D08F205", "ABCDEFGHIJKLMNOPQRSTUVWXYZ", codice_fiscale);
        let bsn = completed("11122233", "0123456789", |number| dutch(&digits(number)));
        for (text, kind, expected) in [
            (format!("USt-IdNr. {de}"), "EU_VAT", de.clone()),
            (format!("VAT number {}", de.replace("DE", "DE ")), "EU_VAT", de.replace("DE", "DE ")),
            ("VAT IE1234567A".into(), "EU_VAT", "IE1234567A".to_string()),
            ("VAT no. NL123456789B01".into(), "EU_VAT", "NL123456789B01".into()),
            (format!("Steuer-ID: {tax}"), "EU_ID", tax.clone()),
            (format!("DNI {dni}"), "EU_ID", dni.clone()),
            (format!("PPS number {pps}"), "EU_ID", pps.clone()),
            (format!("Codice fiscale {fiscal}"), "EU_ID", fiscal.clone()),
            (fiscal.clone(), "EU_ID", fiscal),
            (format!("BSN {bsn}"), "EU_ID", bsn.clone()),
            (bsn, "EU_ID", String::new()),
            ("VAT DE123456789".into(), "EU_VAT", String::new()),
            ("the seat IE12, row 4".into(), "EU_VAT", String::new()),
            ("order 12345678".into(), "EU_ID", String::new()),
        ] {
            let found: Vec<String> =
                all(&text).into_iter().filter(|(found, _)| found == kind).map(|(_, text)| text).collect();
            assert_eq!(found.concat(), expected, "{text}");
        }
    }

    #[test]
    fn without_being_asked_for_none_is_looked_for() {
        assert!(
            super::super::found("SSN 219-09-9999, Codice fiscale MRTMTT91D08F205J")
                .iter()
                .all(|(kind, _)| kind.starts_with("UK_"))
        );
    }
}
