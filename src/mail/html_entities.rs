//! Character references of HTML (WHATWG HTML 13.5): `&amp;`, `&#65;`, `&#x41;`.

use encoding_rs::WINDOWS_1252;
use std::{collections::HashMap, sync::LazyLock};

/// One reference a line: its name, an exclamation mark where the semicolon may be missing, code points in hexadecimal.
static NAMED: LazyLock<HashMap<&'static str, Reference>> =
    LazyLock::new(|| include_str!("html_entities.txt").lines().filter_map(Reference::read).collect());

const LONGEST_NAME: usize = 31;
/// The longest name that may stand without its semicolon.
const LONGEST_BARE_NAME: usize = 6;

struct Reference {
    text: String,
    bare: bool,
}

impl Reference {
    fn read(line: &'static str) -> Option<(&'static str, Self)> {
        let (name, points) = line.split_once(' ')?;
        let bare = name.ends_with('!');
        let point = |point: &str| char::from_u32(u32::from_str_radix(point, 16).ok()?);
        Some((name.trim_end_matches('!'), Self { text: points.split(' ').filter_map(point).collect(), bare }))
    }
}

/// Decodes the reference at the start of `html`, which begins with `&`: appends the text and gives the length of the
/// reference. None: it is a plain ampersand.
pub(super) fn decode(html: &str, into: &mut String) -> Option<usize> {
    let rest = &html[1..];
    if let Some(number) = rest.strip_prefix('#') {
        let (digits, radix, lead) = match number.strip_prefix(['x', 'X']) {
            Some(digits) => (digits, 16, 3),
            None => (number, 10, 2),
        };
        let length = digits.bytes().take_while(|byte| (*byte as char).is_digit(radix)).count();
        if length == 0 {
            return None;
        }
        let significant = digits[..length].trim_start_matches('0');
        let point = if significant.len() > 8 { u32::MAX } else { u32::from_str_radix(significant, radix).unwrap_or(0) };
        into.push(character(point));
        let semicolon = usize::from(digits.as_bytes().get(length) == Some(&b';'));
        return Some(lead + length + semicolon);
    }
    let length = rest.bytes().take(LONGEST_NAME + 1).take_while(u8::is_ascii_alphanumeric).count();
    if rest.as_bytes().get(length) == Some(&b';')
        && let Some(reference) = NAMED.get(&rest[..length])
    {
        into.push_str(&reference.text);
        return Some(length + 2);
    }
    // `&ampx`: the longest known beginning counts.
    (2..=length.min(LONGEST_BARE_NAME)).rev().find_map(|length| {
        let reference = NAMED.get(&rest[..length]).filter(|reference| reference.bare)?;
        into.push_str(&reference.text);
        Some(length + 1)
    })
}

/// WHATWG HTML 13.2.5.80: numbers of C1 controls mean windows-1252.
fn character(point: u32) -> char {
    match point {
        0x80..=0x9f => {
            let byte = [point as u8];
            WINDOWS_1252.decode_without_bom_handling(&byte).0.chars().next().unwrap_or(char::REPLACEMENT_CHARACTER)
        }
        0 => char::REPLACEMENT_CHARACTER,
        _ => char::from_u32(point).unwrap_or(char::REPLACEMENT_CHARACTER),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references() {
        for (html, expected, length) in [
            ("&amp; b", "&", Some(5)),
            ("&amp b", "&", Some(4)),
            ("&ampb", "&", Some(4)),
            ("&eacute;", "é", Some(8)),
            ("&nbsp;", "\u{a0}", Some(6)),
            ("&period;", ".", Some(8)),
            ("&period", "", None),
            ("&#65;", "A", Some(5)),
            ("&#065x", "A", Some(5)),
            ("&#x41;", "A", Some(6)),
            ("&#150;", "–", Some(6)),
            ("&#0;", "\u{fffd}", Some(4)),
            ("&#99999999999;", "\u{fffd}", Some(14)),
            ("&#;", "", None),
            ("& ", "", None),
            ("&", "", None),
            ("&CounterClockwiseContourIntegral;", "∳", Some(33)),
        ] {
            let mut text = String::new();
            assert_eq!(decode(html, &mut text), length, "{html}");
            assert_eq!(text, expected, "{html}");
        }
    }
}
