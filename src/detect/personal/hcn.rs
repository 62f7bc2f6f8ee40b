//! Health and Care Numbers (Northern Ireland): ten digits from 320 000 0001 to 399 999 9999, with the check digit of the NHS number
//! (NHS Data Dictionary, "HEALTH AND CARE NUMBER"). Words near it are needed, as for any ten digits.

use super::{Candidate, context::Vocabulary, nhs, number};
use crate::detect::fold::Folded;

pub(super) fn vocabulary() -> Vocabulary {
    let speak_for = [
        "h&c",
        "h&c no",
        "h&c number",
        "h and c number",
        "hcn",
        "health and care number",
        "health & care number",
        "hsc number",
        "hsc no",
    ];
    let against = ["order", "invoice", "ref", "reference", "tel", "telephone", "phone", "account", "utr", "nhs number"];
    Vocabulary::new(&speak_for, &against)
}

pub(super) fn read(folded: &Folded, digit: usize) -> Option<Candidate> {
    let number = number::read(&folded.lower, digit, &[&[10], &[3, 3, 4]])?;
    let digits = &number.digits;
    if digits[0] != b'3' || digits[1] < b'2' || !nhs::is_valid(digits) {
        return None;
    }
    let excerpt = format!("*** *** **{}", number::to_string(&digits[8..]));
    Some(Candidate { range: digit..number.end, normalised: number::to_string(digits), excerpt, score: 0.2, best: 0.97 })
}

#[cfg(test)]
mod tests {
    use super::super::{assert_found, found};

    /// In the range, with a check digit, and given to nobody as far as an invented number can be.
    fn number() -> String {
        let valid = |last: &u8| {
            let digits: Vec<u8> = b"399999999".iter().chain([last]).copied().collect();
            super::nhs::is_valid(&digits)
        };
        let last = (b'0'..=b'9').find(valid).expect("a check digit");
        format!("399 999 999{}", char::from(last))
    }

    #[test]
    fn health_and_care_numbers() {
        let number = number();
        for text in
            ["H&C number NUMBER", "HCN: NUMBER", "Health and Care Number\n> NUMBER", "H&amp;C No | x\nNUMBER | y"]
        {
            let text = text.replace("&amp;", "&").replace("NUMBER", &number);
            assert_eq!(found(&text), [("UK_HCN".to_string(), number.clone())], "{text}");
        }
        for text in ["NUMBER", "order number NUMBER", "telephone NUMBER"] {
            assert!(found(&text.replace("NUMBER", &number)).iter().all(|(kind, _)| kind != "UK_HCN"), "{text}");
        }
        assert_found(&[("H&C number 999 000 0018", ""), ("HCN 3199999995", "")], "UK_HCN");
        assert_found(&[(&format!("NHS number {number}"), &number)], "UK_NHS");
    }
}
