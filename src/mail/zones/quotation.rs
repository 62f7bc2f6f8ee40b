//! The signs of a quotation in text: `>`, `On … wrote:`, `-----Original Message-----`, the head of a copied message.
//!
//! Each look reaches a few lines ahead and no further, so that reading stays linear.

use super::words;

/// How many lines an attribution or a head may take.
const LONGEST_HEAD: usize = 10;
const LONGEST_ATTRIBUTION: usize = 4;
/// No line longer than this is one that a program writes in front of a quotation.
const LONGEST_LINE: usize = 500;

/// An author who answers within a copy says so at the top.
const LONGEST_ANNOUNCEMENT: usize = 8_000;

/// What a line begins.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Begins {
    /// A copied message: all below is it.
    Copy {
        forwarded: bool,
        signs: u8,
    },
    Attribution(Attribution),
}

/// `On … wrote:`, over some lines.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Attribution {
    pub lines: usize,
    /// Without a date people write it.
    pub dated: bool,
    /// Lines that begin with `>` follow.
    pub followed: bool,
    /// A program writes so: enough also where nothing that follows has a sign of its own.
    pub alone: bool,
}

/// `head`: the markup says that a copied message begins here, and whether for certain.
pub(super) fn begins(line: &str, below: &str, head: Option<bool>) -> Option<Begins> {
    if line.len() > LONGEST_LINE {
        return None;
    }
    let bare = bare(line);
    let first = line.trim().bytes().next()?;
    let of_element = u8::from(head.is_some());
    if is_head(bare, below) {
        return Some(Begins::Copy { forwarded: false, signs: 1 + of_element });
    }
    if head == Some(true) {
        return Some(Begins::Copy { forwarded: false, signs: 2 });
    }
    if matches!(first, b'-' | b'_' | b'=' | b'*') {
        let ruled = rule(line.trim(), below);
        if ruled.is_some() {
            return ruled;
        }
    }
    if words::BEGIN_FORWARDED.iter().any(|words| starts_with(bare, words)) {
        return Some(Begins::Copy { forwarded: true, signs: 1 + u8::from(head_follows(below)) });
    }
    attribution(bare, below).map(Begins::Attribution)
}

/// Whether the line has the sign of a quotation of its own (RFC 3676 4.5).
pub(super) fn is_marked(line: &str) -> bool {
    let bare = line.trim_start_matches(' ');
    bare.starts_with('>') && line.len() - bare.len() < 4
}

/// Whether the author says that answers are written into what is copied below.
pub(super) fn announces_answers(own: &str) -> bool {
    let own = own[..own.floor_char_boundary(LONGEST_ANNOUNCEMENT)].to_lowercase();
    let is_word = |at: usize, words: &str| {
        let before = own[..at].chars().next_back();
        let behind = own[at + words.len()..].chars().next();
        !before.is_some_and(char::is_alphanumeric) && !behind.is_some_and(char::is_alphanumeric)
    };
    words::ANSWERS_WITHIN.iter().any(|words| own.match_indices(words).any(|(at, _)| is_word(at, words)))
}

/// Without emphasis and the marks of direction that some programs write.
fn bare(line: &str) -> &str {
    line.trim().trim_start_matches(['*', '_', '\u{200e}', '\u{200f}', '\u{feff}']).trim_start()
}

fn starts_with(text: &str, lower: &str) -> bool {
    match text.get(..lower.len()) {
        Some(head) if lower.is_ascii() => head.eq_ignore_ascii_case(lower),
        Some(head) => head.to_lowercase() == lower,
        None => false,
    }
}

/// `-----Original Message-----`, `---------- Forwarded message ---------`, or a rule above a head.
fn rule(line: &str, below: &str) -> Option<Begins> {
    let inner = line.trim_matches(['-', '_', '=', '*', ' ']);
    if inner.is_empty() {
        return (line.len() >= 5 && head_follows(below)).then_some(Begins::Copy { forwarded: false, signs: 2 });
    }
    if inner.len() > 60 || !line.starts_with("--") {
        return None;
    }
    let inner = inner.trim_end_matches(':').to_lowercase().replace('’', "'");
    let forwarded = words::FORWARDED.iter().any(|words| inner == *words || begins_by(&inner, words));
    let original = words::ORIGINAL.contains(&inner.as_str());
    (forwarded || original).then(|| Begins::Copy { forwarded, signs: 1 + u8::from(head_follows(below)) })
}

/// `Forwarded by Ada Fenwick`, as Notes writes it.
fn begins_by(inner: &str, words: &str) -> bool {
    words.ends_with(" by") && inner.starts_with(words)
}

/// Whether the head of a copied message follows the first line.
fn head_follows(below: &str) -> bool {
    let mut behind = below.split_inclusive('\n');
    let mut at = behind.next().map_or(0, str::len);
    for line in behind.take(LONGEST_HEAD / 2) {
        if !line.trim().is_empty() {
            return line.len() <= LONGEST_LINE && reads_as_head(&below[at..]);
        }
        at += line.len();
    }
    false
}

/// The head of a copied message, as Outlook writes it: `From:`, `Sent:`, `To:`, `Subject:`.
fn is_head(first: &str, below: &str) -> bool {
    label(first).is_some_and(|label| is_one(label, &words::FROM)) && reads_as_head(below)
}

/// Lines of which one says from whom, one about what, and one to whom or when; or one when it was sent, and one to
/// whom. (`From: Leeds`, `To: York`, `Date: 1 June` is a journey.) Empty lines between them are few.
fn reads_as_head(below: &str) -> bool {
    let (mut from, mut subject, mut sent, mut further, mut empty) = (false, false, false, 0, 0);
    for line in below.lines().take(LONGEST_HEAD) {
        if line.trim().is_empty() {
            empty += 1;
            if empty > LONGEST_HEAD / 2 {
                break;
            }
            continue;
        }
        let label = label(bare(line)).unwrap_or_default();
        if is_one(label, &words::FROM) {
            // Another begins another head.
            if from {
                break;
            }
            from = true;
        } else if is_one(label, &words::SUBJECT) {
            subject = true;
        } else if is_one(label, &words::SENT) {
            sent = true;
            further += 1;
        } else if is_one(label, &words::FURTHER) {
            further += 1;
        } else if !from && !subject && further == 0 {
            return false;
        }
    }
    from && ((subject && further > 0) || (sent && further > 1))
}

/// The word in front of the colon.
fn label(bare: &str) -> Option<&str> {
    let colon = bare.bytes().take(20).position(|byte| byte == b':')?;
    Some(bare.get(..colon)?.trim_end_matches(['*', '_', ' ', '\u{a0}', '\u{202f}']))
}

/// Of words in small letters.
fn is_one(word: &str, of: &[&str]) -> bool {
    let is = |known: &&str| match known.is_ascii() {
        true => known.eq_ignore_ascii_case(word),
        false => word.to_lowercase() == **known,
    };
    !word.is_empty() && of.iter().filter(|known| known.len() == word.len()).any(is)
}

/// `On 3 May 2024, Ada wrote:`, which programs fold over several lines, and in other languages other orders of words.
fn attribution(bare: &str, below: &str) -> Option<Attribution> {
    let introduces = words::INTRODUCES.iter().any(|beginning| starts_with(bare, beginning));
    let addressed = memchr::memchr(b'<', bare.as_bytes()).is_some() && bare.contains('@');
    if !introduces && !addressed && !bare.ends_with(':') {
        return None;
    }
    let mut joined = String::new();
    let mut behind = below.lines();
    let mut lines = 0;
    for line in behind.by_ref().take(LONGEST_ATTRIBUTION) {
        let line = line.trim();
        if line.is_empty() || joined.len() + line.len() > LONGEST_LINE {
            return None;
        }
        lines += 1;
        joined.push_str(line);
        // `2012/3/1 Ada Fenwick <ada@a.example>`, as Gmail wrote it once; with a colon in Japan.
        let dated = line.starts_with(|c: char| c.is_ascii_digit()) && line.trim_end_matches(':').ends_with('>');
        if lines == 1 && dated && addressed {
            let followed = is_followed(behind);
            return followed.then_some(Attribution { lines, dated: true, followed, alone: false });
        }
        if line.ends_with(':') {
            if says_wrote(&joined) {
                break;
            }
            return None;
        }
        joined.push(' ');
    }
    if !joined.ends_with(':') {
        return None;
    }
    let dated = is_dated(&joined);
    let followed = is_followed(behind);
    let alone = is_timed(&joined) && !is_told(&joined) && (introduces || addressed);
    Some(Attribution { lines, dated, followed, alone })
}

/// Whether the next words have the sign of a quotation.
fn is_followed<'a>(lines: impl Iterator<Item = &'a str>) -> bool {
    lines.take(LONGEST_HEAD).find(|line| !line.trim().is_empty()).is_some_and(is_marked)
}

fn says_wrote(joined: &str) -> bool {
    let lower = joined.to_lowercase();
    let is_verb = |(at, verb): (usize, &str)| {
        let before = lower[..at].chars().next_back();
        let behind = lower[at + verb.len()..].chars().next();
        !before.is_some_and(char::is_alphanumeric) && !behind.is_some_and(char::is_alphabetic)
    };
    words::WROTE.iter().any(|verb| lower.match_indices(verb).any(is_verb))
}

/// An address, a time or a whole date.
fn is_dated(joined: &str) -> bool {
    let bytes = joined.as_bytes();
    let digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
    let parts = |at: usize| matches!(bytes[at], b':' | b'/' | b'.' | b'-') && at > 0 && digit(at - 1) && digit(at + 1);
    let year =
        |four: &[u8]| matches!(four, [b'1' | b'2', b'9' | b'0', b, c] if b.is_ascii_digit() && c.is_ascii_digit());
    joined.contains('@') || (0..bytes.len()).any(parts) || bytes.windows(4).any(year)
}

/// Mail programs write an address or the time of day; people who tell of a letter do not.
fn is_timed(joined: &str) -> bool {
    let time =
        |four: &[u8]| matches!(four, [a, b':', b, c] if a.is_ascii_digit() && b.is_ascii_digit() && c.is_ascii_digit());
    joined.contains('@') || joined.as_bytes().windows(4).any(time)
}

/// `On 3 May 2024 you wrote:` is a sentence of the author.
fn is_told(joined: &str) -> bool {
    let lower = joined.to_lowercase();
    let words: Vec<&str> = lower.split([' ', ',', '\u{a0}']).filter(|word| !word.is_empty()).collect();
    words.windows(2).any(|two| {
        let verb = |word: &str| words::WROTE.iter().any(|verb| word.trim_end_matches(':') == *verb);
        (verb(two[1]) && words::PRONOUNS.contains(&two[0]))
            || (verb(two[0]) && words::PRONOUNS.contains(&two[1].trim_end_matches(':')))
    })
}
