//! Vehicle registrations (DVLA): AB12 CDE since 2001, A123 BCD before. Booking references and room names look the same, so
//! words near them are needed.

use super::{Candidate, context::Vocabulary, number};
use crate::detect::{fold::Folded, matcher::is_word_byte};

pub(super) fn vocabulary() -> Vocabulary {
    let speak_for = [
        "vehicle",
        "registration",
        "registration number",
        "reg",
        "reg no",
        "number plate",
        "plate",
        "car",
        "van",
        "minibus",
        "driving a",
        "parked",
        "dvla",
        "mot",
        "vrm",
        "index mark",
    ];
    let against = ["booking", "reference", "ref", "order", "part", "model", "room", "flight", "course", "asset", "sku"];
    Vocabulary::new(&speak_for, &against)
}

pub(super) fn read(folded: &Folded, digit: usize) -> Option<Candidate> {
    let text = &folded.lower[..];
    let before = text[..digit].iter().rev().take(3).take_while(|byte| byte.is_ascii_lowercase()).count();
    let start = digit - before;
    let digits = number::end_of_digits(text, digit) - digit;
    let shaped = matches!((before, digits), (2, 2) | (1, 1..=3));
    if !shaped || (start > 0 && (is_word_byte(text[start - 1]) || text[start - 1] == b'-')) {
        return None;
    }
    let behind = digit + digits;
    let from = behind + usize::from(text.get(behind) == Some(&b' '));
    let letters = text.get(from..from + 3)?;
    let allowed = letters.iter().all(|byte| byte.is_ascii_lowercase() && !b"iq".contains(byte));
    let end = from + 3;
    if !allowed || text.get(end).is_some_and(|byte| is_word_byte(*byte)) {
        return None;
    }
    let signs = text[start..end].iter().filter(|byte| **byte != b' ');
    let normalised: String = signs.map(|byte| char::from(byte.to_ascii_uppercase())).collect();
    let excerpt = format!("{}** ***", &normalised[..2]);
    Some(Candidate { range: start..end, normalised, excerpt, score: if before == 2 { 0.4 } else { 0.2 }, best: 0.95 })
}

#[cfg(test)]
mod tests {
    use super::super::assert_found;

    #[test]
    fn vehicle_registrations() {
        assert_found(
            &[
                ("her car, AB12 CDE, was parked", "AB12 CDE"),
                ("vehicle reg: ab12cde", "ab12cde"),
                ("the van's plate is A123 BCD", "A123 BCD"),
                ("AB12 CDE", ""),
                ("booking reference AB12 CDE", ""),
                ("car AB12 CDQ", ""),
                ("car AB123 CDE", ""),
                ("car park B12 then", ""),
            ],
            "UK_VEHICLE",
        );
    }
}
