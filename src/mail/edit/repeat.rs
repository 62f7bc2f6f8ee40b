//! Whether a notice already stands in the author's own text.
//!
//! Compared by letters and digits alone, so that neither reflowing nor another markup hides it.

use super::NoticeDigest;
use super::{Notice, notice_plain};
use crate::mail::{Confidence, Message, Passage, Text, Zone};
use memchr::memmem;
use sha2::{Digest as _, Sha256};

/// A notice as it is looked for: its plain form, and its HTML form where that reads differently.
pub(super) struct Wanted {
    forms: Vec<Form>,
    /// Words that say the same, folded.
    known_by: Vec<String>,
}

struct Form {
    text: String,
    /// The longest word of ASCII letters and digits: without it in a part, nothing more is read.
    word: Option<String>,
}

impl Wanted {
    pub fn new(notice: &Notice) -> Self {
        let shown = super::notice_html::shown(&notice.html);
        let forms = [notice.plain.clone(), shown].into_iter().filter(|text| text.chars().any(char::is_alphanumeric));
        let forms = forms.map(|text| Form { word: longest_word(&text), text }).collect();
        let known_by = notice.known_by.iter().map(|words| folded(words)).filter(|words| !words.trim().is_empty());
        Self { forms, known_by: known_by.collect() }
    }

    /// Whether another notice says it already.
    pub fn is_said_by(&self, other: &Notice) -> bool {
        let text =
            if other.plain.trim().is_empty() { super::notice_html::shown(&other.html) } else { other.plain.clone() };
        let said = folded(&text);
        self.known_by.iter().any(|words| said.contains(words))
    }

    /// Whether it stands in the part's own zone. The text is decoded only when the notice may be in `view`, the
    /// content as bytes in which ASCII means ASCII.
    pub fn stands_in_part(&self, message: &Message, index: usize, view: &[u8]) -> bool {
        let may_be = !self.known_by.is_empty()
            || self.forms.iter().any(|form| match &form.word {
                Some(word) => memmem::find(view, word.as_bytes()).is_some(),
                None => true,
            });
        may_be && self.stands_in(&message.text(&message.parts()[index]))
    }

    /// Whether it stands in the author's own zone, signature and notice included. A quoted notice does not count.
    fn stands_in(&self, text: &Text) -> bool {
        let own = own(text);
        let words = || {
            let own = folded(&own_words(text));
            self.known_by.iter().any(|words| own.contains(words))
        };
        self.forms.iter().any(|form| own.contains(&essence(&form.text))) || (!self.known_by.is_empty() && words())
    }
}

/// Letters and digits of the author's own zones; anything else between two zones parts them.
fn own(text: &Text) -> String {
    if text.zones().is_empty() {
        return essence(&text.text);
    }
    let mut out = String::new();
    for passage in text.zones() {
        match is_own(passage, text) {
            true => push_essence(&text.text[passage.range.clone()], &mut out),
            false => out.push(' '),
        }
    }
    out
}

/// A copied message that is not surely one and has no sign on its lines: a notice was put at its end.
fn is_own(passage: &Passage, text: &Text) -> bool {
    let doubtful = || {
        passage.confidence == Confidence::Low
            && passage.range.end == text.text.len()
            && !notice_plain::is_marked_to_its_end(text)
    };
    matches!(passage.zone, Zone::Own | Zone::Signature | Zone::Notice) || doubtful()
}

/// The author's own zones as they are.
fn own_words(text: &Text) -> String {
    if text.zones().is_empty() {
        return text.text.clone();
    }
    let zones = text.zones().iter().map(|passage| match is_own(passage, text) {
        true => &text.text[passage.range.clone()],
        false => "\n\u{0}\n",
    });
    zones.collect()
}

/// Words in small letters with one space around each: found in another text, they are whole words there.
fn folded(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push(' ');
    for c in text.chars().flat_map(char::to_lowercase) {
        if c.is_alphanumeric() || c == '\0' {
            out.push(c);
        } else if !out.ends_with(' ') {
            out.push(' ');
        }
    }
    if !out.ends_with(' ') {
        out.push(' ');
    }
    out
}

pub(super) fn digest(notice: &Notice) -> NoticeDigest {
    let mut hash = Sha256::new();
    for form in [&notice.plain, &super::notice_html::shown(&notice.html)] {
        let essence = essence(form);
        hash.update((essence.len() as u64).to_be_bytes());
        hash.update(essence);
    }
    NoticeDigest(hash.finalize().into())
}

fn essence(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    push_essence(text, &mut out);
    out
}

fn push_essence(text: &str, out: &mut String) {
    out.extend(text.chars().filter(|c| c.is_alphanumeric()));
}

/// The longest run of ASCII letters and digits, if it is long enough to be worth looking for and if no client
/// would cut it.
fn longest_word(text: &str) -> Option<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric());
    words.max_by_key(|word| word.len()).filter(|word| word.len() >= 4).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Text {
        let mut shown = Text::default();
        shown.push_verbatim(text, 0);
        shown
    }

    fn zones(ends: &[(usize, Zone)]) -> Vec<Passage> {
        let starts = std::iter::once(0).chain(ends.iter().map(|(end, _)| *end));
        starts.zip(ends).map(|(start, (end, zone))| Passage::sure(start..*end, *zone)).collect()
    }

    fn wanted(plain: &str, html: &str) -> Wanted {
        Wanted::new(&Notice { name: "n".into(), plain: plain.into(), html: html.into(), ..Notice::default() })
    }

    #[test]
    fn reflowed_and_marked_up_it_is_the_same() {
        let wanted = wanted(
            "This email is confidential.\n\nPlease delete it.",
            "<p>This email is <b>confidential</b>. Please delete&nbsp;it.",
        );
        let text = shown("Hello\n* This email is\nconfidential. Please  delete it.");
        assert!(wanted.stands_in(&text));
        let text = shown("This email is confidential. Please do not delete it.");
        assert!(!wanted.stands_in(&text));
    }

    #[test]
    fn words_that_say_the_same_are_whole_words_of_the_authors_own() {
        let plain = "Registered charity number 1165856";
        let known_by = vec!["1165856".into(), "exempt charity".into()];
        let wanted = Wanted::new(&Notice { plain: plain.into(), known_by, ..Notice::default() });
        for (text, stands) in [
            ("Ann\nCharity no. 1165856 | 01223 364303", true),
            ("We are an EXEMPT\ncharity.", true),
            ("Call 011165856", false),
            ("An exempt and charity", false),
        ] {
            assert_eq!(wanted.stands_in(&shown(text)), stands, "{text}");
        }
        let mut text = shown("Hello, an exempt\n> x\ncharity\n> 1165856\n");
        text.set_zones(zones(&[(17, Zone::Own), (21, Zone::Quoted), (29, Zone::Own), (39, Zone::Quoted)]));
        assert!(!wanted.stands_in(&text), "neither across a quotation nor in one");
        let other = Notice { plain: "The charity (no. 1165856) is not liable.".into(), ..Notice::default() };
        assert!(wanted.is_said_by(&other) && !wanted.is_said_by(&Notice::default()));
    }

    #[test]
    fn quoted_does_not_count() {
        let wanted = wanted("Confidential notice", "");
        let mut text = shown("Hello\n> Confidential notice\n");
        text.set_zones(zones(&[(6, Zone::Own), (28, Zone::Quoted)]));
        assert!(!wanted.stands_in(&text));
        text.set_zones(zones(&[(6, Zone::Own), (28, Zone::Signature)]));
        assert!(wanted.stands_in(&text));
    }
}
