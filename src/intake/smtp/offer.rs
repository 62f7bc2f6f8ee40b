//! What EHLO offers, and whether the parameters of MAIL and RCPT keep to it.
//!
//! Only what the next hop can do too is offered: nothing is ever recoded on the way. CHUNKING and BINARYMIME never.

use super::Limits;
use crate::{
    intake::{Extensions, unfit::Unfit},
    mail::{ForwardPath, Parameter, ReversePath, wire::Reply},
};
use std::fmt::Write;

/// What we add on the way must fit the next hop's limit (trace header, notice).
const ADDED: u64 = 64 << 10;

/// What a client may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Offer {
    pub size: u64,
    eight_bit: bool,
    smtputf8: bool,
    dsn: bool,
}

impl Offer {
    pub fn new(limits: &Limits, hop: &Extensions) -> Self {
        let size = if hop.size == 0 { limits.message_size } else { limits.message_size.min(hop.size) };
        Self { size: size.saturating_sub(ADDED), eight_bit: hop.eight_bit_mime, smtputf8: hop.smtputf8, dsn: hop.dsn }
    }

    /// The whole reply to EHLO, with what else this client is offered. Not a `Reply`, whose lines are few.
    pub fn write_to(&self, hostname: &str, also: &[&str], out: &mut Vec<u8>) {
        let mut text = format!("250-{hostname}\r\n250-PIPELINING\r\n");
        write!(text, "250-SIZE {}\r\n", self.size).expect("a String takes all");
        for (offered, keyword) in [(self.eight_bit, "8BITMIME"), (self.smtputf8, "SMTPUTF8"), (self.dsn, "DSN")] {
            if offered {
                write!(text, "250-{keyword}\r\n").expect("a String takes all");
            }
        }
        for keyword in also {
            write!(text, "250-{keyword}\r\n").expect("a String takes all");
        }
        text.push_str("250 ENHANCEDSTATUSCODES\r\n");
        out.extend_from_slice(text.as_bytes());
    }

    /// What stands against MAIL, its parameters first.
    pub fn against_sender(&self, sender: &ReversePath) -> Option<Reply> {
        if let Some(reply) = sender.parameters.iter().find_map(|parameter| self.against_mail_parameter(parameter)) {
            return Some(reply);
        }
        if sender.size().is_some_and(|size| size > self.size) {
            return Some(too_large());
        }
        let ascii = sender.address.as_ref().is_none_or(|address| address.as_str().is_ascii());
        (!ascii && !sender.smtputf8()).then(needs_smtputf8)
    }

    fn against_mail_parameter(&self, parameter: &Parameter) -> Option<Reply> {
        let value = parameter.value();
        let keyword = parameter.keyword().to_ascii_uppercase();
        match keyword.as_str() {
            "SIZE" => unless(value.is_some_and(is_number)),
            "BODY" => match value.map(str::to_ascii_uppercase).as_deref() {
                Some("7BIT") => None,
                Some("8BITMIME") => (!self.eight_bit).then(no_eight_bit),
                _ => Some(unsupported()),
            },
            "SMTPUTF8" if !self.smtputf8 => Some(no_smtputf8()),
            "SMTPUTF8" => unless(value.is_none()),
            "RET" if self.dsn => unless(value.is_some_and(|value| is_one_of(value, &["FULL", "HDRS"]))),
            "ENVID" if self.dsn => unless(value.is_some_and(|value| value.len() <= 100 && is_xtext(value))),
            _ => Some(unsupported()),
        }
    }

    /// What stands against RCPT.
    pub fn against_recipient(&self, recipient: &ForwardPath, sender: &ReversePath) -> Option<Reply> {
        if !recipient.address.as_str().is_ascii() && !sender.smtputf8() {
            return Some(needs_smtputf8());
        }
        recipient.parameters.iter().find_map(|parameter| {
            let value = parameter.value().unwrap_or_default();
            match parameter.keyword().to_ascii_uppercase().as_str() {
                "NOTIFY" if self.dsn => unless(is_notify(value)),
                "ORCPT" if self.dsn => unless(is_original_recipient(value)),
                _ => Some(unsupported()),
            }
        })
    }

    /// What the sender declared and the next hop turns out to lack.
    pub fn against_declared(&self, sender: &ReversePath) -> Option<Reply> {
        if sender.smtputf8() && !self.smtputf8 {
            return Some(no_smtputf8());
        }
        (sender.eight_bit() && !self.eight_bit).then(no_eight_bit)
    }
}

fn too_large() -> Reply {
    Unfit::TooLarge.reply()
}

fn no_eight_bit() -> Reply {
    Reply::new(550, (5, 6, 3), "The next hop does not take 8-bit content, and nothing is recoded here")
}

fn no_smtputf8() -> Reply {
    Reply::new(550, (5, 6, 7), "The next hop does not take internationalised mail")
}

fn needs_smtputf8() -> Reply {
    Reply::new(553, (5, 6, 7), "An address that is not ASCII needs SMTPUTF8")
}

fn unsupported() -> Reply {
    Reply::new(555, (5, 5, 4), "Parameter not supported")
}

fn unless(good: bool) -> Option<Reply> {
    (!good).then(|| Reply::new(501, (5, 5, 4), "Parameter malformed"))
}

/// RFC 1870 3: at most 20 digits.
fn is_number(value: &str) -> bool {
    value.parse::<u64>().is_ok() && value.len() <= 20 && value.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_one_of(value: &str, words: &[&str]) -> bool {
    words.iter().any(|word| value.eq_ignore_ascii_case(word))
}

/// RFC 3461 4.1: NEVER stands alone.
fn is_notify(value: &str) -> bool {
    is_one_of(value, &["NEVER"]) || value.split(',').all(|word| is_one_of(word, &["SUCCESS", "FAILURE", "DELAY"]))
}

/// RFC 3461 4.2, RFC 6533 3: address type, semicolon, the address in xtext or UTF-8.
fn is_original_recipient(value: &str) -> bool {
    value.len() <= 500
        && value.split_once(';').is_some_and(|(kind, address)| {
            !kind.is_empty()
                && kind.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
                && !address.is_empty()
        })
}

/// RFC 3461 4: visible ASCII, `+` only before two upper-case hexadecimal digits.
fn is_xtext(value: &str) -> bool {
    let bytes = value.as_bytes();
    let hexadecimal =
        |at: usize| bytes.get(at).is_some_and(|byte| byte.is_ascii_digit() || (b'A'..=b'F').contains(byte));
    bytes.iter().enumerate().all(|(at, byte)| {
        byte.is_ascii_graphic() && *byte != b'=' && (*byte != b'+' || (hexadecimal(at + 1) && hexadecimal(at + 2)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::wire::Command;

    fn hop(all: bool) -> Extensions {
        Extensions { eight_bit_mime: all, smtputf8: all, dsn: all, size: 0 }
    }

    fn mail(arguments: &str, hop: &Extensions) -> u16 {
        match Command::parse(format!("MAIL FROM:{arguments}").as_bytes()) {
            Ok(Command::Mail(path)) => {
                Offer::new(&Limits::default(), hop).against_sender(&path).map_or(250, |reply| reply.code())
            }
            Ok(_) => 0,
            Err(error) => error.reply().code(),
        }
    }

    #[test]
    fn only_what_the_hop_has_is_offered() {
        let text = |hop: &Extensions| {
            let mut out = Vec::new();
            Offer::new(&Limits::default(), hop).write_to("gate.example", &[], &mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(
            text(&hop(true)),
            "250-gate.example\r\n250-PIPELINING\r\n250-SIZE 52363264\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-DSN\r\n\
             250 ENHANCEDSTATUSCODES\r\n"
        );
        assert_eq!(
            text(&Extensions { size: 1_000_000, ..hop(false) }),
            "250-gate.example\r\n250-PIPELINING\r\n250-SIZE 934464\r\n250 ENHANCEDSTATUSCODES\r\n"
        );
    }

    #[test]
    fn parameters_of_mail() {
        for (arguments, with_all, with_none) in [
            ("<a@b.example>", 250, 250),
            ("<> SIZE=0 BODY=7BIT", 250, 250),
            ("<a@b.example> SIZE=52363264", 250, 250),
            ("<a@b.example> SIZE=52363265", 552, 552),
            ("<a@b.example> SIZE=18446744073709551616", 501, 501),
            ("<a@b.example> SIZE=+5", 501, 501),
            ("<a@b.example> SIZE", 501, 501),
            ("<a@b.example> BODY=8BITMIME", 250, 550),
            ("<a@b.example> BODY=BINARYMIME", 555, 555),
            ("<a@b.example> SMTPUTF8", 250, 550),
            ("<a@b.example> SMTPUTF8=yes", 501, 550),
            ("<grün@b.example>", 553, 553),
            ("<grün@b.example> SMTPUTF8", 250, 550),
            ("<a@b.example> RET=hdrs ENVID=a+2Bb", 250, 555),
            ("<a@b.example> RET=SOME", 501, 555),
            ("<a@b.example> ENVID=a+b", 501, 555),
            ("<a@b.example> AUTH=<>", 555, 555),
            ("<a@b.example> FOO", 555, 555),
        ] {
            assert_eq!(mail(arguments, &hop(true)), with_all, "{arguments}");
            assert_eq!(mail(arguments, &hop(false)), with_none, "{arguments}");
        }
    }

    #[test]
    fn parameters_of_rcpt() {
        let offer = Offer::new(&Limits::default(), &hop(true));
        for (arguments, code) in [
            ("<a@b.example> NOTIFY=SUCCESS,delay ORCPT=rfc822;a@b.example", 250),
            ("<a@b.example> NOTIFY=NEVER", 250),
            ("<a@b.example> NOTIFY=NEVER,SUCCESS", 501),
            ("<a@b.example> NOTIFY", 501),
            ("<a@b.example> ORCPT=a@b.example", 501),
            ("<a@b.example> SIZE=1", 555),
            ("<a@bücher.example>", 553),
        ] {
            let Ok(Command::Rcpt(path)) = Command::parse(format!("RCPT TO:{arguments}").as_bytes()) else {
                panic!("{arguments}")
            };
            let reply = offer.against_recipient(&path, &ReversePath::default());
            assert_eq!(reply.map_or(250, |reply| reply.code()), code, "{arguments}");
        }
    }
}
