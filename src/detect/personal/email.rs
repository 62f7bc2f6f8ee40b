//! E-mail addresses (RFC 5321 4.1.2) as people write them: a dot-string, `@`, a name with a top-level domain.

use super::Candidate;

/// RFC 5321 4.5.3.1: local part and domain.
const LONGEST_LOCAL: usize = 64;
const LONGEST_DOMAIN: usize = 255;

/// `at` is the place of an `@`.
pub(super) fn read(text: &[u8], at: usize) -> Option<Candidate> {
    let local = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+/=?^_`{|}~-.".contains(byte);
    let before = text[..at].iter().rev().take(LONGEST_LOCAL + 1).take_while(|byte| local(byte)).count();
    // Quotes, list marks and `mailto:` stand before it, not in it.
    let start = (at - before..at).find(|from| text[*from].is_ascii_alphanumeric())?;
    let name = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
    let length = text[at + 1..].iter().take(LONGEST_DOMAIN).take_while(|byte| name(byte)).count();
    let domain = text[at + 1..at + 1 + length].trim_ascii_end();
    let domain = &domain[..domain.iter().rposition(u8::is_ascii_alphanumeric)? + 1];
    let top = domain.rsplit(|byte| *byte == b'.').next()?;
    let labels = domain.split(|byte| *byte == b'.');
    let sound = domain.contains(&b'.')
        && labels.into_iter().all(|label| !label.is_empty() && label.len() <= 63 && label[0] != b'-')
        && (2..=24).contains(&top.len())
        && top.iter().all(u8::is_ascii_alphabetic);
    let end = at + 1 + domain.len();
    if !sound || at - start > LONGEST_LOCAL || text[at - 1] == b'.' {
        return None;
    }
    let normalised = String::from_utf8(text[start..end].to_ascii_lowercase()).ok()?;
    let excerpt = format!("{}***@***.{}", char::from(text[start]), String::from_utf8_lossy(top));
    Some(Candidate { range: start..end, normalised, excerpt, score: 0.95, best: 0.95 })
}

#[cfg(test)]
mod tests {
    use super::super::assert_found;

    #[test]
    fn addresses() {
        assert_found(
            &[
                ("write to ann.smith@ours.example.", "ann.smith@ours.example"),
                ("<Ann+x@mail.ours.example>", "Ann+x@mail.ours.example"),
                ("mailto:ann@ours.example?subject=x", "ann@ours.example"),
                ("Ann＠ours.example", "Ann＠ours.example"),
                ("'ann@ours.example'", "ann@ours.example"),
                ("ann@localhost", ""),
                ("ann@1.2.3.4", ""),
                ("@ours.example", ""),
                ("ann.@ours.example", ""),
                ("ann@-ours.example", ""),
                ("a @ b.example", ""),
            ],
            "EMAIL_ADDRESS",
        );
    }
}
