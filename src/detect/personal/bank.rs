//! Bank accounts: a sort code (six digits in pairs) with an account number (eight digits) near it, in either order; or
//! an account number alone, where words near it say so.

use super::{Candidate, context::Vocabulary, number};
use crate::detect::fold::Folded;

/// What may stand between a sort code and its account: `, account number `, ` A/C `, a cell's border.
const APART: usize = 40;

pub(super) fn vocabulary() -> Vocabulary {
    let speak_for = [
        "sort",
        "acc",
        "account",
        "account no",
        "account number",
        "account details",
        "acc no",
        "acct",
        "a/c",
        "bank",
        "bank account",
        "bank details",
        "bacs",
        "payee",
        "sort code",
        "s/c",
        "sortcode",
        "refund",
        "standing order",
        "direct debit",
    ];
    let against = [
        "company",
        "company number",
        "company no",
        "registered",
        "charity",
        "order",
        "invoice",
        "ref",
        "reference",
        "tracking",
        "booking",
        "vat",
        "serial",
        "meter",
        "job",
        "ticket",
        "isbn",
        "barcode",
        "firmware",
        "build",
        "version",
    ];
    Vocabulary::new(&speak_for, &against)
}

pub(super) fn read(folded: &Folded, digit: usize) -> Option<Candidate> {
    let text = &folded.lower[..];
    sort_code_first(text, digit).or_else(|| account_first(text, digit))
}

fn sort_code_first(text: &[u8], digit: usize) -> Option<Candidate> {
    let sort_code = sort_code(text, digit)?;
    let account_at = next_number(text, sort_code.end)?;
    let account = number::read(text, account_at, &[&[8], &[4, 4]])?;
    let dashed = text[digit..sort_code.end].contains(&b'-');
    Some(candidate(digit..account.end, &sort_code, &account, if dashed { 0.75 } else { 0.4 }))
}

fn account_first(text: &[u8], digit: usize) -> Option<Candidate> {
    let account = number::read(text, digit, &[&[8]])?;
    let paired = next_number(text, account.end).and_then(|at| sort_code(text, at));
    if let Some(sort_code) = paired {
        let dashed = text[account.end..sort_code.end].contains(&b'-');
        return Some(candidate(digit..sort_code.end, &sort_code, &account, if dashed { 0.7 } else { 0.4 }));
    }
    let normalised = number::to_string(&account.digits);
    let excerpt = format!("******{}", &normalised[6..]);
    Some(Candidate { range: digit..account.end, normalised, excerpt, score: 0.1, best: 0.8 })
}

fn candidate(
    range: std::ops::Range<usize>,
    sort_code: &number::Number,
    account: &number::Number,
    score: f32,
) -> Candidate {
    let normalised = number::to_string(&[&sort_code.digits[..], &account.digits[..]].concat());
    let excerpt = format!("**-**-** ******{}", &normalised[12..]);
    Candidate { range, normalised, excerpt, score, best: 0.98 }
}

fn sort_code(text: &[u8], at: usize) -> Option<number::Number> {
    number::read(text, at, &[&[2, 2, 2], &[6]])
}

/// The next digit, if it stands near and no line of another kind lies between.
fn next_number(text: &[u8], from: usize) -> Option<usize> {
    let at = number::next_digit(&text[..text.len().min(from + APART)], from)?;
    let between = &text[from..at];
    let ends =
        between.windows(2).any(|pair| pair == b"\n\n") || between.iter().filter(|byte| **byte == b'\n').count() > 1;
    (!ends && !between.is_empty()).then_some(at)
}

#[cfg(test)]
mod tests {
    use super::super::assert_found;

    #[test]
    fn bank_accounts() {
        assert_found(
            &[
                ("sort code 12-34-56, account number 12345678", "12-34-56, account number 12345678"),
                ("S/C 12 34 56 A/C 12345678 please", "12 34 56 A/C 12345678"),
                ("My new account is 12345678, sort code 12-34-56.", "12345678, sort code 12-34-56"),
                ("Sort code: 12-34-56\nAccount no: 12345678", "12-34-56\nAccount no: 12345678"),
                ("sort code 12-34-\n> 56, account number\n> 12345678", "12-34-\n> 56, account number\n> 12345678"),
                ("Name\tBank\nAnn\t12-34-56 12345678\n", "12-34-56 12345678"),
                ("my account number is 12345678", "12345678"),
                ("12-34-56 12345678", "12-34-56 12345678"),
                ("company number 12345678, registered in England", ""),
                ("12345678", ""),
                ("12 34 56 78", ""),
                ("on 12-34-56 we counted 99", ""),
                ("order 123456 of 12345678 parts", ""),
            ],
            "UK_BANK_ACCOUNT",
        );
    }
}
