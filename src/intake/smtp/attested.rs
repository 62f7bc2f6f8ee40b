//! What a listed peer's own header fields say of who sent a message: the login in its Received, and the tenant of a cloud
//! that many customers share. Whoever writes a message can write such fields too, so only the place and the number in
//! which the peer itself writes them count.

use super::settings::Tenant;
use crate::intake::trace::{fields, is_named};
use std::ops::Range;

/// What Postfix writes with `smtpd_sasl_authenticated_header = yes`.
const LOGIN: &str = "Authenticated sender:";

/// The login in the first field of the message, when that is a Received: the peer's own. Further down stands what others
/// wrote.
pub(super) fn login(message: &[u8]) -> Option<String> {
    let first = fields(message).next()?;
    let field = &message[first];
    if !is_named(field, "Received") {
        return None;
    }
    let text = std::str::from_utf8(field).ok()?;
    let value = text.split_once(':')?.1;
    // `from HELO (NAME [ADDRESS]) (…) (Authenticated sender: USER) by …`: the server's own comments stand between the
    // client's name, which the client chose, and `by`. The first one is the client's address.
    let words = value.trim_start().strip_prefix("from")?;
    let mut rest = words.trim_start();
    rest = rest.get(rest.find(char::is_whitespace)?..)?.trim_start();
    let mut comments = Vec::new();
    while rest.starts_with('(') {
        let (comment, behind) = comment(rest)?;
        comments.push(comment);
        rest = behind.trim_start();
    }
    let by = rest.get(..2).is_some_and(|word| word.eq_ignore_ascii_case("by"));
    if !by || !rest.get(2..)?.starts_with(char::is_whitespace) || !comments.first()?.trim_end().ends_with(']') {
        return None;
    }
    let mut logins = comments[1..].iter().filter_map(|comment| comment.trim().strip_prefix(LOGIN));
    let login = logins.next()?.trim().to_lowercase();
    let fit = !login.is_empty() && login.len() <= 254 && !login.contains(|c: char| c.is_whitespace() || c.is_control());
    (fit && logins.next().is_none()).then_some(login)
}

/// A comment without its parentheses, and what follows it. One within another ends nothing (RFC 5322 3.2.2).
fn comment(text: &str) -> Option<(&str, &str)> {
    let (mut depth, mut escaped) = (0, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some((&text[1..at], &text[at + 1..]));
        }
    }
    None
}

/// Whether the message says, once, that it is our own tenant's. The place of the field, where it is a secret that goes no
/// further.
pub(super) fn is_of(tenant: &Tenant, message: &[u8]) -> Result<Option<Range<usize>>, ()> {
    let (name, expected) = match tenant {
        Tenant::Id(id) => ("X-MS-Exchange-CrossTenant-Id", id.as_str()),
        Tenant::Domain(domain) => ("X-OriginatorOrg", domain.as_str()),
        Tenant::Header { name, value } => (name.as_str(), value.expose().as_str()),
    };
    let mut found = fields(message).filter(|field| is_named(&message[field.clone()], name));
    // Twice: one of them the cloud's, the other one the sender's. Which, nobody can say.
    let (Some(field), None) = (found.next(), found.next()) else { return Err(()) };
    let text = std::str::from_utf8(&message[field.clone()]).map_err(|_| ())?;
    let value = text.split_once(':').map_or("", |(_, value)| value).trim();
    let secret = matches!(tenant, Tenant::Header { .. });
    let same = if secret { same(value.as_bytes(), expected.as_bytes()) } else { value.eq_ignore_ascii_case(expected) };
    if same { Ok(secret.then_some(field)) } else { Err(()) }
}

/// In a time that does not tell how much of it is right.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0u8, |differing, (a, b)| differing | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_login_in_the_first_received() {
        let own = "Received: from pc.ours.example (dsl.isp.example [192.0.2.7])\r\n\t(using TLSv1.3 with cipher X (256/256 bits)\r\n\t \
                   key-exchange X25519)\r\n\t(Authenticated sender: Ann@Ours.example)\r\n\tby mail.ours.example (Postfix) with ESMTPSA id \
                   4Xb\r\n\tfor <b@there.example>; Thu, 26 Nov 2026 02:00:00 +0000 (GMT)\r\n";
        assert_eq!(login(own.as_bytes()).as_deref(), Some("ann@ours.example"));
        let forged = own.replace("Ann@Ours", "boss@ours");
        let without = own.replace("\r\n\t(Authenticated sender: Ann@Ours.example)", "");
        for (message, why) in [
            (format!("{without}{forged}"), "not in the first"),
            (format!("Subject: x\r\n{own}"), "not the first field"),
            (format!("X-Received: {}", &own[10..]), "another field"),
            (own.replace("\tby mail", "\t(Authenticated sender: boss)\r\n\tby mail"), "twice"),
            (without.replace("pc.ours.example ", "x (Authenticated sender: boss) "), "in the client's own name"),
            (without.replace("pc.ours.example ", "(Authenticated sender: boss) "), "as the client's own name"),
            (without.replace("dsl.isp.example", "(Authenticated sender: boss)"), "in the client's host name"),
            (without.replace("4Xb", "4Xb (Authenticated sender: boss)"), "behind `by`"),
            (without.replace("GMT", "Authenticated sender: boss"), "at its end"),
            (without.replace("cipher X", "cipher (Authenticated sender: boss)"), "in another comment"),
            (own.replace("Ann@", "Ann boss@"), "two words"),
            (own.replace("Ann@Ours.example", ""), "nobody"),
            (own.replace("\tby ", "\t"), "no `by`"),
            (own.replace("Ann@Ours.example)", "ann"), "a comment without end"),
            (String::new(), "nothing"),
        ] {
            assert_eq!(login(message.as_bytes()), None, "{why}: {message}");
        }
    }

    #[test]
    fn the_tenant_stands_there_once_and_whole() {
        let domain = Tenant::Domain("ours.onmicrosoft.com".into());
        let id = Tenant::Id("11111111-2222-3333-4444-555555555555".into());
        let secret = Tenant::Header { name: "X-Gate".into(), value: "a long and secret word".to_string().into() };
        for (tenant, header, good) in [
            (&domain, "X-OriginatorOrg: ours.onmicrosoft.com\r\n", true),
            (&domain, "x-originatororg:\r\n Ours.onmicrosoft.com \r\n", true),
            (&domain, "Subject: x\r\n", false),
            (&domain, "X-OriginatorOrg: evil.onmicrosoft.com\r\n", false),
            (&domain, "X-OriginatorOrg: ours.onmicrosoft.com.evil.example\r\n", false),
            (&domain, "X-OriginatorOrg: ours.onmicrosoft.com, evil.onmicrosoft.com\r\n", false),
            (&domain, "X-OriginatorOrg: ours.onmicrosoft.com\r\nX-OriginatorOrg: evil.onmicrosoft.com\r\n", false),
            (&domain, "X-OriginatorOrg: ours.onmicrosoft.com\r\nX-OriginatorOrg: ours.onmicrosoft.com\r\n", false),
            (&domain, "Subject: x\r\n\r\nX-OriginatorOrg: ours.onmicrosoft.com\r\n", false),
            (&domain, "Subject: x\r\n X-OriginatorOrg: ours.onmicrosoft.com\r\n", false),
            (&domain, "no header\r\nX-OriginatorOrg: ours.onmicrosoft.com\r\n", false),
            (&id, "X-MS-Exchange-CrossTenant-id: 11111111-2222-3333-4444-555555555555\r\n", true),
            (&id, "X-MS-Exchange-CrossTenant-id: 11111111-2222-3333-4444-555555555556\r\n", false),
            (&id, "X-OriginatorOrg: 11111111-2222-3333-4444-555555555555\r\n", false),
            (&secret, "X-Gate: a long and secret word\r\n", true),
            (&secret, "X-Gate: A long and secret word\r\n", false),
            (&secret, "X-Gate: a long and secret wor\r\n", false),
        ] {
            let message = format!("{header}\r\nbody\r\n");
            assert_eq!(is_of(tenant, message.as_bytes()).is_ok(), good, "{header}");
        }
        let message = b"Subject: x\r\nX-Gate: a long and secret word\r\nTo: y\r\n\r\n";
        assert_eq!(is_of(&secret, message), Ok(Some(12..44)), "it goes no further");
    }
}
