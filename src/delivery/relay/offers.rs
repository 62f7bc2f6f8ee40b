//! What the next hop offers in answer to EHLO.

use crate::{intake::Extensions, mail::wire::Reply};

/// The extensions that matter to us (RFC 5321 4.1.1.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Offers {
    pub pipelining: bool,
    pub eight_bit_mime: bool,
    pub smtputf8: bool,
    pub dsn: bool,
    pub auth: bool,
    /// AUTH PLAIN.
    pub plain: bool,
    /// AUTH LOGIN.
    pub login: bool,
    pub start_tls: bool,
    /// SIZE with its figure; 0 is no limit told (RFC 1870 3).
    pub size: Option<u64>,
}

impl Offers {
    pub fn of(ehlo: &Reply) -> Self {
        let mut offers = Self::default();
        // The first line is the hop's name and greeting.
        for line in ehlo.lines().iter().skip(1) {
            let mut words = line.split_ascii_whitespace();
            let keyword = words.next().unwrap_or_default().to_ascii_uppercase();
            match keyword.as_str() {
                "PIPELINING" => offers.pipelining = true,
                "8BITMIME" => offers.eight_bit_mime = true,
                "SMTPUTF8" => offers.smtputf8 = true,
                "DSN" => offers.dsn = true,
                "AUTH" => {
                    offers.auth = true;
                    for mechanism in words {
                        offers.plain |= mechanism.eq_ignore_ascii_case("PLAIN");
                        offers.login |= mechanism.eq_ignore_ascii_case("LOGIN");
                    }
                }
                "STARTTLS" => offers.start_tls = true,
                "SIZE" => offers.size = Some(words.next().and_then(|size| size.parse().ok()).unwrap_or(0)),
                _ => {}
            }
        }
        offers
    }

    pub fn extensions(&self) -> Extensions {
        Extensions {
            eight_bit_mime: self.eight_bit_mime,
            smtputf8: self.smtputf8,
            dsn: self.dsn,
            size: self.size.unwrap_or(0),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod tests {
    use super::*;
    use crate::mail::wire::ReplyParser;

    fn ehlo(lines: &str) -> Reply {
        let count = lines.lines().count();
        let wire = lines.lines().enumerate().map(|(at, line)| {
            let separator = if at + 1 == count { ' ' } else { '-' };
            format!("250{separator}{line}\r\n")
        });
        let (_, reply) = ReplyParser::for_ehlo().push(wire.collect::<String>().as_bytes()).unwrap();
        reply.unwrap()
    }

    #[test]
    fn keywords_in_any_case() {
        let text = "hop.example\npipelining\nSIZE 1000\n8bitmime\nDSN\nX-DSN2\nAUTH PLAIN\nSMTPUTF8 \nSTARTTLS";
        let reply = ehlo(text);
        let offers = Offers::of(&reply);
        assert!(offers.pipelining && offers.eight_bit_mime && offers.dsn && offers.auth && offers.smtputf8);
        assert!(offers.start_tls && offers.plain && !offers.login);
        assert_eq!(offers.size, Some(1_000));
        assert_eq!(Offers::of(&Reply::plain(250, "DSN")), Offers::default(), "the first line is a greeting");
        assert_eq!(Offers::of(&Reply::plain(250, "hop\nSIZE")).size, Some(0));
    }
}
