//! Postal addresses in the UK: a house number, a street, and a postcode not far behind it; without a postcode, a street
//! that is called so.

use super::{Candidate, context::Vocabulary, postcode};
use crate::detect::{fold::Folded, matcher::is_word_byte};
use std::ops::Range;

pub(super) fn vocabulary() -> Vocabulary {
    let speak_for =
        ["lives", "lives at", "living at", "address", "home address", "moved to", "resides", "flat", "deliver to"];
    Vocabulary::new(&speak_for, &["units", "pages", "minutes", "items", "boxes", "people", "percent"])
}

/// Words that end the name of a street.
const STREETS: &[u8] =
    b" avenue ave bank close court crescent drive esplanade gardens gate green grove hill lane mews \
parade park place rise road rd row square street st terrace view walk way wharf yard kingsway broadway meadow villas ";

/// From the house number to the postcode.
const LONGEST: usize = 90;
/// From the house number to the word that ends the street's name.
const LONGEST_STREET: usize = 40;

pub(super) fn read(folded: &Folded, digit: usize) -> Option<Candidate> {
    let text = &folded.lower[..];
    let street = street(folded, digit)?;
    let named = ends_like_a_street(&folded.cased.as_bytes()[street.clone()]);
    let (end, score) = match postcode_behind(text, street.end) {
        Some(postcode) => (postcode.end, if named.is_some() { 0.9 } else { 0.7 }),
        None if is_abroad(text, street.end) => return None,
        None => (street.start + named?, 0.5),
    };
    let written = text[digit..end].iter().filter(|byte| byte.is_ascii_alphanumeric());
    let normalised = written.map(|byte| char::from(byte.to_ascii_uppercase())).collect();
    Some(Candidate { range: digit..end, normalised, excerpt: "** ******* ****".into(), score, best: 0.98 })
}

/// `28A Station Road, `: what stands between the house number and the next digit or the end of the line; the first word
/// with a capital.
fn street(folded: &Folded, digit: usize) -> Option<Range<usize>> {
    let text = &folded.lower[..];
    if digit > 0 && (is_word_byte(text[digit - 1]) || matches!(text[digit - 1], b'.' | b'-' | b'/' | b':' | b'+')) {
        return None;
    }
    let digits = text[digit..].iter().take(5).take_while(|byte| byte.is_ascii_digit()).count();
    let mut at = digit + digits;
    at += usize::from(text.get(at).is_some_and(u8::is_ascii_lowercase));
    let comma = usize::from(text.get(at) == Some(&b','));
    let space = text.get(at + comma).is_some_and(|byte| matches!(byte, b' ' | b'\n' | b'\r'));
    if !(1..=4).contains(&digits) || !space {
        return None;
    }
    at += comma + 1;
    if !folded.cased.as_bytes().get(at)?.is_ascii_uppercase() {
        return None;
    }
    let goes_on = |byte: &u8| byte.is_ascii_lowercase() || matches!(byte, b' ' | b',' | b'\'' | b'-' | b'.');
    let length = text[at..].iter().take(LONGEST_STREET).take_while(|byte| goes_on(byte)).count();
    (length >= 4).then_some(at..at + length)
}

/// Where the first word with a capital ends that ends a street's name, from the start of `street`. A sentence that goes
/// on in small letters is no name.
fn ends_like_a_street(street: &[u8]) -> Option<usize> {
    let mut at = 0;
    for word in street.split(|byte| !byte.is_ascii_alphabetic()) {
        let small = word.first().is_some_and(u8::is_ascii_lowercase);
        if small && !matches!(word, b"the" | b"of" | b"and" | b"on" | b"in" | b"s") {
            return None;
        }
        let folded = word.to_ascii_lowercase();
        let listed = !word.is_empty() && memchr::memmem::find(STREETS, &[&b" "[..], &folded, b" "].concat()).is_some();
        if listed && !small {
            return Some(at + word.len());
        }
        at += word.len() + 1;
    }
    None
}

/// The first digit behind the street belongs to a postcode, and nothing but words, commas and two line ends lie between.
fn postcode_behind(text: &[u8], from: usize) -> Option<Range<usize>> {
    let window = &text[from..text.len().min(from + LONGEST)];
    let digit = from + window.iter().position(u8::is_ascii_digit)?;
    let found = postcode::at(text, digit)?;
    let between = &text[from..found.start.max(from)];
    let ends = between.iter().filter(|byte| **byte == b'\n').count();
    let plain = between
        .iter()
        .all(|byte| byte.is_ascii_lowercase() || matches!(byte, b' ' | b',' | b'\n' | b'\r' | b'>' | b'\'' | b'-'));
    (plain && ends <= 3).then_some(found)
}

/// The next number is a postal code of five digits, as in Boston, MA 02131-1234 or 10115 Berlin.
fn is_abroad(text: &[u8], from: usize) -> bool {
    let window = &text[from..text.len().min(from + LONGEST)];
    let mut at = 0;
    // `Suite 1100` stands in between.
    for _ in 0..2 {
        let Some(start) = window[at..].iter().position(u8::is_ascii_digit).map(|start| at + start) else {
            return false;
        };
        let length = window[start..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        at = start + length;
        // A telephone number goes on.
        let goes_on = window.get(at) == Some(&b' ') && window.get(at + 1).is_some_and(u8::is_ascii_digit);
        if length == 5 && !goes_on {
            return memchr::memchr_iter(b'\n', &window[..start]).count() <= 3;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::super::assert_found;

    #[test]
    fn addresses() {
        assert_found(
            &[
                ("lives at 28 Station Road, Cardiff CF10 1AA.", "28 Station Road, Cardiff CF10 1AA"),
                ("Flat 8, 64 High Street, Leeds, LS1 4AB", "64 High Street, Leeds, LS1 4AB"),
                ("17A The Green\nCarlisle\nCA1 1AA", "17A The Green\nCarlisle\nCA1 1AA"),
                ("123 Kingsway,\n> Derby, DE1 1AA", "123 Kingsway,\n> Derby, DE1 1AA"),
                ("moved to 5 Beech Close next week", "5 Beech Close"),
                ("106 Longhorn Road\nWinter Park FL 32792", ""),
                ("16 Eye Street NW, Suite 1100, Washington, DC 20006", ""),
                ("12 Garden Street, 10115 Berlin", ""),
                ("5 Beech Close, tel. 01632 960001", "5 Beech Close"),
                ("we have 340 units left in stock", ""),
                ("on 12 March we met at the park", ""),
                ("chapter 3. The road ahead", ""),
                ("10 Downing people", ""),
            ],
            "UK_ADDRESS",
        );
    }
}
