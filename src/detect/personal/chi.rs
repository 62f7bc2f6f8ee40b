//! Community Health Index numbers (NHS Scotland): the date of birth as DDMMYY, two digits, one for the sex, and a check
//! digit as the NHS number has it. Ten digits, so words near it are needed.

use super::{Candidate, context::Vocabulary, nhs, number};
use crate::detect::fold::Folded;

pub(super) fn vocabulary() -> Vocabulary {
    let speak_for = ["chi", "chi no", "chi number", "community health index", "nhs scotland"];
    let against = ["order", "invoice", "ref", "reference", "tel", "telephone", "phone", "account", "utr", "nhs number"];
    Vocabulary::new(&speak_for, &against)
}

pub(super) fn read(folded: &Folded, digit: usize) -> Option<Candidate> {
    let number = number::read(&folded.lower, digit, &[&[10], &[6, 4], &[3, 3, 4]])?;
    let digits = &number.digits;
    let pair = |at: usize| (digits[at] - b'0') * 10 + (digits[at + 1] - b'0');
    if !(1..=31).contains(&pair(0)) || !(1..=12).contains(&pair(2)) || !nhs::is_valid(digits) {
        return None;
    }
    let excerpt = format!("****** **{}", number::to_string(&digits[8..]));
    Some(Candidate { range: digit..number.end, normalised: number::to_string(digits), excerpt, score: 0.2, best: 0.97 })
}

#[cfg(test)]
mod tests {
    use super::super::assert_found;

    #[test]
    fn chi_numbers() {
        assert_found(
            &[
                ("CHI number 0101010028", "0101010028"),
                ("CHI: 010101 0028", "010101 0028"),
                ("CHI number 0101010029", ""),
                ("CHI number 4501010014", ""),
                ("0101010028", ""),
                ("order number 0101010028", ""),
            ],
            "UK_CHI",
        );
    }
}
