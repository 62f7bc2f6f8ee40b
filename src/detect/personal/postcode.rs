//! Postcodes of the UK (Royal Mail; BS 7666): area and district, a space, sector and unit. Only areas that exist count.

use super::{Candidate, context::Vocabulary, number};
use crate::detect::{fold::Folded, matcher::is_word_byte};
use std::ops::Range;

pub(super) fn vocabulary() -> Vocabulary {
    let speak_for = ["postcode", "post code", "post-code", "address", "lives", "live at", "moved to", "residing"];
    let against = [
        "order",
        "part",
        "part no",
        "invoice",
        "ref",
        "reference",
        "booking",
        "flight",
        "grid",
        "model",
        "serial",
        "drawing",
        "version",
        "sku",
        "room",
        "plate",
        "registration",
    ];
    Vocabulary::new(&speak_for, &against)
}

const AREAS: &[u8] = b" ab al b ba bb bd bh bl bn br bs bt ca cb cf ch cm co cr ct cv cw da dd de dg dh dl dn dt dy e ec \
eh en ex fk fy g gl gu gy ha hd hg hp hr hs hu hx ig im ip iv je ka kt kw ky l la ld le ll ln ls lu m me mk ml n ne ng nn \
np nr nw ol ox pa pe ph pl po pr rg rh rm s sa se sg sk sl sm sn so sp sr ss st sw sy ta td tf tn tq tr ts tw ub w wa wc \
wd wf wn wr ws wv yo ze ";

pub(super) fn read(folded: &Folded, digit: usize) -> Option<Candidate> {
    let text = &folded.lower[..];
    let range = at(text, digit)?;
    let normalised = compact(text, &range);
    let spaced = range.len() > normalised.len();
    let excerpt = format!("{}* ***", &normalised[..2]);
    Some(Candidate { range, normalised, excerpt, score: if spaced { 0.6 } else { 0.5 }, best: 0.9 })
}

/// In capitals, without its space.
pub(super) fn compact(text: &[u8], range: &Range<usize>) -> String {
    let signs = text[range.clone()].iter().filter(|byte| byte.is_ascii_alphanumeric());
    signs.map(|byte| char::from(byte.to_ascii_uppercase())).collect()
}

/// The postcode whose district begins with this digit.
pub(super) fn at(text: &[u8], digit: usize) -> Option<Range<usize>> {
    let letters = text[..digit].iter().rev().take(3).take_while(|byte| byte.is_ascii_lowercase()).count();
    let start = digit.checked_sub(letters).filter(|_| (1..=2).contains(&letters))?;
    // Not within an address of the web.
    if start > 0 && (is_word_byte(text[start - 1]) || b"/=#_&%".contains(&text[start - 1])) {
        return None;
    }
    let area = [&b" "[..], &text[start..digit], b" "].concat();
    memchr::memmem::find(AREAS, &area)?;
    // District: a digit, and a digit or a letter behind it.
    let unit = |from: usize| {
        let unit = text.get(from..from + 3)?;
        let letter = |byte: u8| byte.is_ascii_lowercase() && !b"cikmov".contains(&byte);
        let whole = text.get(from + 3).is_none_or(|byte| !is_word_byte(*byte));
        (unit[0].is_ascii_digit() && letter(unit[1]) && letter(unit[2]) && whole).then_some(from + 3)
    };
    let ends = [digit + 1, digit + 2]
        .into_iter()
        .filter(|end| *end == digit + 1 || text.get(digit + 1).is_some_and(|byte| byte.is_ascii_alphanumeric()));
    let gap = |at: usize| if matches!(text.get(at), Some(b'-' | b'.' | b'/')) { 0 } else { number::gap(text, at) };
    ends.map(|end| end + gap(end)).find_map(unit).map(|end| start..end)
}

#[cfg(test)]
mod tests {
    use super::super::assert_found;

    #[test]
    fn postcodes() {
        assert_found(
            &[
                ("SW1A 1AA", "SW1A 1AA"),
                ("M1 1AE", "M1 1AE"),
                ("postcode ec1a 1bb", "ec1a 1bb"),
                ("B33 8TH,", "B33 8TH"),
                ("CR2 6XH.", "CR2 6XH"),
                ("DN551PT", "DN551PT"),
                ("W1A\n0AX", "W1A\n0AX"),
                ("ZZ1 1AA", ""),
                ("XSW1A 1AA", ""),
                ("SW1A 1AAX", ""),
                ("SW1A 1CI", ""),
                ("part no SW1 1AA", ""),
                ("M1 1AEE", ""),
                ("flight ba1 2aa", ""),
                ("https://ours.example/S/DN551PT/M", ""),
            ],
            "UK_POSTCODE",
        );
    }
}
