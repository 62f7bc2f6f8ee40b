//! One mailbox of an envelope path, as a parsed type (RFC 5321 4.1.2, RFC 6531).

use std::fmt;

/// A mailbox `local@domain` without angle brackets, spelled as it came. Local part at most 64 octets,
/// domain at most 255 (RFC 5321 4.5.3.1). No control character, no bare space, no source route.
/// `Debug` withholds it and there is no `Display`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Address {
    spelled: Box<str>,
    at: usize,
}

/// Why a text is not a mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    #[error("not a mailbox of the form local-part@domain")]
    Syntax,
    #[error("local part longer than 64 octets or domain longer than 255")]
    TooLong,
    #[error("source routes are not accepted")]
    SourceRoute,
}

impl Address {
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        if text.starts_with('@') {
            return Err(AddressError::SourceRoute);
        }
        let at = text.rfind('@').ok_or(AddressError::Syntax)?;
        let (local, domain) = (&text[..at], &text[at + 1..]);
        if local.len() > 64 || domain.len() > 255 {
            return Err(AddressError::TooLong);
        }
        if !is_local(local) || !is_domain(domain) {
            return Err(AddressError::Syntax);
        }
        Ok(Self { spelled: text.into(), at })
    }

    /// As it came.
    pub fn as_str(&self) -> &str {
        &self.spelled
    }

    pub fn local(&self) -> &str {
        &self.spelled[..self.at]
    }

    /// As it came; compare it without case.
    pub fn domain(&self) -> &str {
        &self.spelled[self.at + 1..]
    }

    /// For counting and look-up: case folded. Two mailboxes that differ only in case are one person
    /// everywhere in practice (RFC 5321 2.4 notwithstanding).
    pub fn folded(&self) -> String {
        self.spelled.to_lowercase()
    }

    /// Whether the local part names another mailbox to which some servers would send on: `user%else.example`,
    /// `else.example!user`, `"user@else.example"` (RFC 5321 appendix F.2 has done away with them; servers have not).
    pub fn is_routed(&self) -> bool {
        self.local().contains(['%', '!', '@'])
    }

    /// Whether the domain is `domain` or below it.
    pub fn is_within(&self, domain: &str) -> bool {
        let own = self.domain().to_lowercase();
        let domain = domain.to_lowercase();
        own == domain || own.strip_suffix(&domain).is_some_and(|rest| rest.ends_with('.'))
    }
}

impl serde::Serialize for Address {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.spelled)
    }
}

impl<'de> serde::Deserialize<'de> for Address {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Address::parse(&text).map_err(serde::de::Error::custom)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[withheld]")
    }
}

/// Dot-string or quoted-string (RFC 5321 4.1.2), with UTF-8 (RFC 6531 3.3).
fn is_local(local: &str) -> bool {
    if let Some(quoted) = local.strip_prefix('"') {
        let Some(inner) = quoted.strip_suffix('"') else { return false };
        let mut escaped = false;
        for c in inner.chars() {
            match c {
                _ if c.is_control() => return false,
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                '"' => return false,
                _ => {}
            }
        }
        return !escaped && quoted.len() > 1;
    }
    !local.is_empty() && local.split('.').all(|atom| !atom.is_empty() && atom.chars().all(is_atext))
}

fn is_atext(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c) || (!c.is_ascii() && !c.is_control())
}

/// Domain name (a single label too, as `localhost`) or address literal.
fn is_domain(domain: &str) -> bool {
    if let Some(literal) = domain.strip_prefix('[') {
        return literal.strip_suffix(']').is_some_and(|inner| {
            let v6 = inner.get(..5).is_some_and(|tag| tag.eq_ignore_ascii_case("IPv6:"));
            if v6 {
                inner[5..].parse::<std::net::Ipv6Addr>().is_ok()
            } else {
                inner.parse::<std::net::Ipv4Addr>().is_ok()
            }
        });
    }
    !domain.is_empty()
        && domain.split('.').all(|label| {
            !label.is_empty()
                && label.len() <= 63
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.chars().all(|c| {
                    c.is_ascii_alphanumeric()
                        || c == '-'
                        || c == '_'
                        || (!c.is_ascii() && !c.is_control() && !c.is_whitespace())
                })
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mailboxes() {
        for good in [
            "a@b.example",
            "a.b+c@b.example",
            "\"a b\"@b.example",
            "\"a\\\"b\"@b.example",
            "a@[192.0.2.1]",
            "a@[IPv6:2001:db8::1]",
            "grün@bücher.example",
            "root@localhost",
            "a@x_y.example",
        ] {
            assert!(Address::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "a",
            "@b.example",
            "a@",
            "a b@c.example",
            "a..b@c.example",
            ".a@c.example",
            "a@b..c",
            "a@-b.example",
            "\"a@b.example",
            "\"@b.example",
            "a\"b@c.example",
            "a@[300.1.1.1]",
            "a@b\r\nc",
            "a\0@b.example",
            "@x,@y:a@b",
        ] {
            assert!(Address::parse(bad).is_err(), "{bad}");
        }
        assert_eq!(Address::parse(&format!("{}@b.example", "a".repeat(65))), Err(AddressError::TooLong));
        assert!(Address::parse("a@Sub.Ours.example").unwrap().is_within("ours.example"));
        assert!(!Address::parse("a@notours.example").unwrap().is_within("ours.example"));
    }
}
