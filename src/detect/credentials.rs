//! Passwords, PINs and keys. A password is found by the word that announces it and by what stands behind: people also
//! write about passwords without telling one. A key or token is found by its maker's own prefix.

use super::{Detector, Hit, fold::Folded, matcher::is_word_byte};
use aho_corasick::{AhoCorasick, MatchKind};
use regex::bytes::Regex;
use std::{ops::Range, sync::Arc};

/// What announces a secret.
const WORDS: [&str; 17] = [
    "password",
    "passwords",
    "passwd",
    "pwd",
    "passcode",
    "pass code",
    "passphrase",
    "pass phrase",
    "pin",
    "pin code",
    "pin number",
    "pincode",
    "login code",
    "door code",
    "access code",
    "security code",
    "secret key",
];

/// From the word to the secret: `Password for the dial-in is `.
const REACH: usize = 60;
const LONGEST: usize = 64;

/// Prefixes that the makers publish, so that a leaked key is recognised. Each with the length that follows.
const KEYS: &str = r"(?x)
    \b(?:AKIA|ASIA)[A-Z0-9]{16}\b |
    \bgh[pousr]_[A-Za-z0-9]{36,255}\b |
    \bgithub_pat_[A-Za-z0-9_]{60,255}\b |
    \bglpat-[A-Za-z0-9_-]{20,64}\b |
    \bxox[abprs]-[A-Za-z0-9-]{10,250}\b |
    \b[rs]k_live_[A-Za-z0-9]{20,250}\b |
    \bAIza[A-Za-z0-9_-]{35}\b |
    \bSG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}\b |
    \beyJ[A-Za-z0-9_-]{10,2000}\.eyJ[A-Za-z0-9_-]{10,4000}\.[A-Za-z0-9_-]{10,1000}\b |
    -----BEGIN\ (?:[A-Z]{2,12}\ ){0,3}PRIVATE\ KEY-----";

pub(super) struct Credentials {
    password: Arc<Detector>,
    key: Arc<Detector>,
    words: AhoCorasick,
    keys: Regex,
}

impl Credentials {
    pub fn new() -> Self {
        let words = AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(WORDS);
        Self {
            password: Detector::new("credentials.password", "CREDENTIAL"),
            key: Detector::new("credentials.key", "CREDENTIAL"),
            words: words.expect("a short constant list of words compiles"),
            keys: Regex::new(KEYS).expect("a constant pattern compiles"),
        }
    }

    pub fn detectors(&self) -> impl Iterator<Item = &Arc<Detector>> {
        [&self.password, &self.key].into_iter()
    }

    pub fn find(&self, folded: &Folded, hits: &mut Vec<Hit>) {
        let text = &folded.lower[..];
        let mut told = 0;
        for word in self.words.find_iter(text) {
            let whole = (word.start() == 0 || !is_word_byte(text[word.start() - 1]))
                && text.get(word.end()).is_none_or(|byte| !is_word_byte(*byte));
            if !whole || word.start() < told {
                continue;
            }
            if let Some((range, score)) = secret(folded, word.end()) {
                told = range.end;
                hits.push(hit(&self.password, range, score, folded));
            }
        }
        let keys = self.keys.find_iter(folded.cased.as_bytes());
        hits.extend(keys.map(|found| hit(&self.key, found.range(), 0.99, folded)));
    }
}

/// The excerpt shows nothing of a secret, not even its length.
fn hit(detector: &Arc<Detector>, range: Range<usize>, score: f32, folded: &Folded) -> Hit {
    Hit {
        detector: detector.clone(),
        category: None,
        severity: 0,
        value: super::value_hash(&detector.name, &folded.cased.as_bytes()[range.clone()]),
        range: folded.original(range),
        excerpt: "********".into(),
        score,
    }
}

/// How the secret is joined to the word that announces it.
#[derive(Clone, Copy, PartialEq)]
enum Joint {
    /// `Password: x`, `pwd=x`.
    Sign,
    /// `the password is x`.
    Verb,
    /// `user admin and password x`.
    Nothing,
}

/// The secret behind the word that ends at `from`: what follows directly, if that looks like one, else what a sign or a
/// verb in the same sentence joins to it.
fn secret(folded: &Folded, from: usize) -> Option<(Range<usize>, f32)> {
    let direct = skip_space(&folded.lower, from);
    let told = (direct > from).then(|| token(folded, direct, Joint::Nothing)).flatten();
    told.or_else(|| joint(&folded.lower, from).and_then(|(at, joint)| token(folded, at, joint)))
}

/// The word at `at`, if it looks like a secret: it must the more, the looser it is joined.
fn token(folded: &Folded, at: usize, joint: Joint) -> Option<(Range<usize>, f32)> {
    let cased = folded.cased.as_bytes();
    let written = |byte: &&u8| byte.is_ascii_graphic() || **byte >= 0x80;
    let length = cased.get(at..)?.iter().take(LONGEST + 1).take_while(written).count();
    let mut token = &cased[at..at + length];
    // What ends the sentence, or quotes the secret, is not part of it; an exclamation mark often is.
    let quotes = token.iter().take_while(|byte| b"\"'`<(*".contains(byte)).count();
    token = &token[quotes..];
    if joint == Joint::Nothing && token.ends_with(b":") {
        return None;
    }
    while let Some((b'.' | b',' | b';' | b':' | b'?' | b'"' | b'\'' | b'`' | b')' | b'>' | b'*', rest)) =
        token.split_last()
    {
        token = rest;
    }
    if !(3..=LONGEST).contains(&token.len()) || token.contains(&b'@') || token.starts_with(b"http") {
        return None;
    }
    let digits = token.iter().filter(|byte| byte.is_ascii_digit()).count();
    let letters = token.iter().filter(|byte| byte.is_ascii_alphabetic()).count();
    let signs = token.len() - digits - letters;
    let inner_capitals = token[1..].iter().any(u8::is_ascii_uppercase) && token.iter().any(u8::is_ascii_lowercase);
    let mixed = digits > 0 && (letters > 0 || token.len() >= 4);
    let score = match joint {
        Joint::Sign if mixed || (signs > 0 && letters > 0 && !token.contains(&b'-')) || inner_capitals => 0.9,
        Joint::Sign if letters >= 6 && quotes > 0 => 0.7,
        Joint::Verb if mixed || inner_capitals => 0.85,
        Joint::Nothing if mixed && letters > 0 => 0.75,
        Joint::Nothing if digits == token.len() && (4..=8).contains(&digits) => 0.6,
        _ => return None,
    };
    let start = at + quotes;
    Some((start..start + token.len(), score))
}

/// The first sign or verb in the rest of the sentence, and where what it announces begins.
fn joint(text: &[u8], from: usize) -> Option<(usize, Joint)> {
    let window = &text[from..text.len().min(from + REACH)];
    let ends = window.iter().zip(window.iter().skip(1)).position(|(byte, next)| {
        matches!(byte, b'.' | b'?' | b'!' | b';') && next.is_ascii_whitespace() || (*byte == b'\n' && *next == b'\n')
    });
    let window = &window[..ends.unwrap_or(window.len())];
    let mut at = 0;
    for word in window.split(u8::is_ascii_whitespace) {
        let sign = word.iter().position(|byte| matches!(byte, b':' | b'='));
        let behind = at + word.len();
        if let Some(sign) = sign {
            return Some((skip_space(text, from + at + sign + 1), Joint::Sign));
        }
        if matches!(word, b"is" | b"was") && behind < window.len() {
            return Some((skip_space(text, from + behind), Joint::Verb));
        }
        at = behind + 1;
    }
    None
}

/// Past spaces, one line end and its quote marks.
fn skip_space(text: &[u8], from: usize) -> usize {
    let space = |byte: &&u8| byte.is_ascii_whitespace() || **byte == b'>';
    from + text[from..].iter().take(8).take_while(space).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<String> {
        let mut hits = Vec::new();
        Credentials::new().find(&Folded::new(text), &mut hits);
        hits.into_iter().map(|hit| text[hit.range].to_string()).collect()
    }

    #[test]
    fn told_secrets() {
        for (text, expected) in [
            ("Password: 5784", "5784"),
            ("pwd=Summer2024!", "Summer2024!"),
            ("The password is \"Anchor89!\".", "Anchor89!"),
            ("Passcode for the dial-in is Pa55word35 and", "Pa55word35"),
            ("log in with user admin\n> and password Thistle43!", "Thistle43!"),
            ("The PIN is 0339.", "0339"),
            ("The password\nis Maple46!", "Maple46!"),
            ("user admin, password Pa55word74\nMy new account is open", "Pa55word74"),
            ("password:\n  hunter2!", "hunter2!"),
            ("the door code is 4711#", "4711#"),
            ("Password = correctHorse", "correctHorse"),
        ] {
            assert_eq!(found(text), [expected], "{text}");
        }
    }

    #[test]
    fn talk_about_secrets() {
        for text in [
            "Your password has expired",
            "The PIN will be sent to you separately by post",
            "Never tell anyone your PIN or password",
            "I have forgotten my password again. Room 1204 is free.",
            "The new password policy starts in June 2026",
            "Please reset your password by following the usual link: https://gate.ours.example/reset?id=77",
            "The password is known to her team.",
            "Password: see the letter",
            "password reset: ask ann2@ours.example",
            "spinning 1234",
            "publickey,password\ndebug1: next method",
            "password",
            "password:",
        ] {
            assert_eq!(found(text), [""; 0], "{text}");
        }
    }

    #[test]
    fn keys_by_their_prefix() {
        // Made at run time, so that nobody's scanner takes this file for a leak.
        let aws = format!("AKIA{}", "Q".repeat(16));
        let github = format!("ghp_{}", "a1".repeat(18));
        let pem = format!("-----BEGIN RSA {} KEY-----", "PRIVATE");
        for key in [&aws, &github, &pem] {
            assert_eq!(found(&format!("use {key} here")), [key.as_str()]);
        }
        assert!(found(&format!("{aws}X ghp_short")).is_empty());
    }
}
