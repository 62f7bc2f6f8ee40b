//! Whether a notice already stands in the author's own text.
//!
//! Compared by letters and digits alone, so that neither reflowing nor another markup hides it.

use super::Notice;
use crate::mail::{Message, Text, Zone};
use memchr::memmem;

/// A notice as it is looked for: its plain form, and its HTML form where that reads differently.
pub(super) struct Wanted(Vec<Form>);

struct Form {
    text: String,
    /// The longest word of ASCII letters and digits: without it in a part, nothing more is read.
    word: Option<String>,
}

impl Wanted {
    pub fn new(notice: &Notice) -> Self {
        let shown = super::notice_html::shown(&notice.html);
        let forms = [notice.plain.clone(), shown].into_iter().filter(|text| text.chars().any(char::is_alphanumeric));
        Self(forms.map(|text| Form { word: longest_word(&text), text }).collect())
    }

    /// Whether it stands in the part's own zone. The text is decoded only when the notice may be in `view`, the
    /// content as bytes in which ASCII means ASCII.
    pub fn stands_in_part(&self, message: &Message, index: usize, view: &[u8]) -> bool {
        let may_be = self.0.iter().any(|form| match &form.word {
            Some(word) => memmem::find(view, word.as_bytes()).is_some(),
            None => true,
        });
        may_be && self.stands_in(&message.text(&message.parts()[index]))
    }

    /// Whether it stands in the author's own zone, signature and notice included. A quoted notice does not count.
    fn stands_in(&self, text: &Text) -> bool {
        let own = own(text);
        self.0.iter().any(|form| own.contains(&essence(&form.text)))
    }
}

/// Letters and digits of the author's own zones; anything else between two zones parts them.
fn own(text: &Text) -> String {
    if text.zones().is_empty() {
        return essence(&text.text);
    }
    let mut out = String::new();
    for (range, zone) in text.zones() {
        match zone {
            Zone::Own | Zone::Signature | Zone::Notice => push_essence(&text.text[range.clone()], &mut out),
            _ => out.push(' '),
        }
    }
    out
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

    fn wanted(plain: &str, html: &str) -> Wanted {
        Wanted::new(&Notice { name: "n".into(), plain: plain.into(), html: html.into() })
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
    fn quoted_does_not_count() {
        let wanted = wanted("Confidential notice", "");
        let mut text = shown("Hello\n> Confidential notice\n");
        text.set_zones(vec![(0..6, Zone::Own), (6..28, Zone::Quoted)]);
        assert!(!wanted.stands_in(&text));
        text.set_zones(vec![(0..6, Zone::Own), (6..28, Zone::Signature)]);
        assert!(wanted.stands_in(&text));
    }
}
