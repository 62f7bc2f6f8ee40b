//! National Insurance numbers (HMRC, National Insurance Manual NIM39110): two letters, six digits, a letter A to D.

use super::{Candidate, context::Vocabulary, number};
use crate::detect::fold::Folded;
use crate::detect::matcher::is_word_byte;

pub(super) fn vocabulary() -> Vocabulary {
    Vocabulary::new(
        &[
            "national insurance",
            "national insurance number",
            "insurance number",
            "insurance no",
            "nat ins",
            "n.i. number",
            "ni number",
            "ni no",
            "ni num",
            "ni",
            "nino",
            "nin",
            "hmrc",
            "payroll",
            "employee",
            "tax code",
            "p45",
            "p60",
            "dwp",
            "benefit",
            "universal credit",
            "date of birth",
            "dob",
        ],
        &[
            "order",
            "drawing",
            "part",
            "part no",
            "invoice",
            "model",
            "serial",
            "booking",
            "product",
            "sku",
            "tracking",
            "item",
            "stock",
            "batch",
            "version",
            "ticket",
            "parcel",
            "asset",
            "catalogue",
        ],
    )
}

/// `digit` is the first of a run of digits.
pub(super) fn read(folded: &Folded, digit: usize) -> Option<Candidate> {
    let text = &folded.lower[..];
    let letters_end = digit - number::gap_before(text, digit);
    let start = letters_end.checked_sub(2)?;
    let prefix = [text[start], text[start + 1]];
    if !prefix.iter().all(u8::is_ascii_lowercase) || (start > 0 && is_word_byte(text[start - 1])) {
        return None;
    }
    let (digits, end) = [&[6][..], &[2, 2, 2], &[3, 3]].iter().find_map(|grouping| digits(text, digit, grouping))?;
    let suffix_at = end + number::gap(text, end);
    let suffix = *text.get(suffix_at)?;
    if !(b'a'..=b'd').contains(&suffix) || text.get(suffix_at + 1).is_some_and(|byte| is_word_byte(*byte)) {
        return None;
    }
    let prefix_kind = prefix_kind(prefix)?;
    let [first, second] = prefix.map(|byte| char::from(byte.to_ascii_uppercase()));
    let suffix = char::from(suffix.to_ascii_uppercase());
    let grouped = suffix_at - start > 8;
    let score = match prefix_kind {
        Prefix::Allocated if grouped => 0.8,
        Prefix::Allocated => 0.75,
        Prefix::Example => 0.3,
    };
    Some(Candidate {
        range: start..suffix_at + 1,
        normalised: format!("{first}{second}{digits}{suffix}"),
        excerpt: format!("{first}{second} ** ** ** {suffix}"),
        score,
        best: 0.99,
    })
}

fn digits(text: &[u8], start: usize, grouping: &[usize]) -> Option<(String, usize)> {
    let (mut at, mut digits) = (start, String::with_capacity(6));
    for (index, length) in grouping.iter().enumerate() {
        if index > 0 {
            at += number::gap(text, at);
        }
        let group = text.get(at..at + length)?;
        if !group.iter().all(u8::is_ascii_digit) {
            return None;
        }
        digits.extend(group.iter().map(|byte| char::from(*byte)));
        at += length;
    }
    Some((digits, at))
}

enum Prefix {
    Allocated,
    /// QQ: never given to a person, in every form as the example. With words near it, it is somebody's placeholder for
    /// a number, and worth a look.
    Example,
}

/// Neither letter is D, F, I, Q, U or V, the second is not O, and seven pairs are not used.
fn prefix_kind(prefix: [u8; 2]) -> Option<Prefix> {
    const UNUSED: [&[u8; 2]; 7] = [b"bg", b"gb", b"nk", b"kn", b"tn", b"nt", b"zz"];
    if &prefix == b"qq" {
        return Some(Prefix::Example);
    }
    let unused =
        prefix.iter().any(|letter| b"dfiquv".contains(letter)) || prefix[1] == b'o' || UNUSED.contains(&&prefix);
    (!unused).then_some(Prefix::Allocated)
}

#[cfg(test)]
mod tests {
    use super::super::{assert_found, found};

    #[test]
    fn national_insurance_numbers() {
        assert_found(
            &[
                ("QQ 12 34 56 C is my NI number", "QQ 12 34 56 C"),
                ("her national insurance number is QQ123456C.", "QQ123456C"),
                ("NINO: qq 12 34 56 c", "qq 12 34 56 c"),
                ("NI no. AB-12-34-56-A", "AB-12-34-56-A"),
                ("NI no. AB.12.34.56.A,", "AB.12.34.56.A"),
                ("NI no. AB 123456 A", "AB 123456 A"),
                ("NI no. AB  12  34  56  A", "AB  12  34  56  A"),
                ("NI\n> no. AB 12\n> 34 56 A", "AB 12\n> 34 56 A"),
                ("NI ＡＢ１２３４５６Ａ", "ＡＢ１２３４５６Ａ"),
                ("NI AB\u{200B}123\u{AD}456A", "AB\u{200B}123\u{AD}456A"),
                ("nothing near AB123456A here", "AB123456A"),
                ("name\tNI number\nAnn\tab123456a\n", "ab123456a"),
                ("QQ123456C is discontinued", ""),
                ("order AB123456A was sent", ""),
                ("file ab123456a", ""),
                ("NI DA123456A BG123456A GB123456A NK123456A KN123456A TN123456A NT123456A ZZ123456A AO123456A", ""),
                ("NI AB123456E AB123456", ""),
                ("NI XAB123456A AB1234567A AB123456AB", ""),
                ("NI AB\t123456 A", ""),
            ],
            "UK_NINO",
        );
    }

    #[test]
    fn excerpt_value_and_score() {
        let mut hits = Vec::new();
        let text = "NI number AB123456A, again: ab 12 34 56 a (NI)";
        super::super::Personal::with(&[]).find(&super::super::Folded::new(text), &mut hits);
        assert_eq!(hits.len(), 2);
        assert_eq!(hits[0].excerpt, "AB ** ** ** A");
        assert_eq!(hits[0].value, hits[1].value);
        assert!(hits[0].score > 0.9 && hits[0].score <= 1.0);
        assert!(found("").is_empty());
    }
}
