//! Whose words each line is: own, quoted, forwarded, signature, notice, and how sure that is. So nobody is punished
//! for quoting, and nothing of one's own is taken for a quotation without a sign that a mail program or a habit of
//! writing gives.
//!
//! To take the author's own words for a quotation is the worse error: an offence could hide behind a `>` that anybody
//! can type. So what has no sign is own, and a quotation is sure only with two signs that do not depend on one another:
//! the header fields that call the message an answer, the line that introduces a quotation, the sign on each quoted
//! line, the element of a mail program. With one it is `Confidence::Low`, and counts as own too.

mod quotation;
mod signature;
mod words;

#[cfg(test)]
mod clients;
#[cfg(test)]
mod markup;
#[cfg(test)]
mod tests;

use super::html_marks::{Marks, Sign};
use super::{Confidence, Passage, Zone};
use quotation::{Attribution, Begins};
use std::ops::Range;

/// What the headers say of the message as a whole.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Context {
    /// It answers another message.
    pub reply: bool,
    pub forward: bool,
}

impl Context {
    /// What a copied message below a head is.
    fn copied(self) -> Zone {
        if self.forward { Zone::Forwarded } else { Zone::Quoted }
    }

    fn signs(self) -> u8 {
        u8::from(self.reply || self.forward)
    }
}

const MOST_PASSAGES: usize = 50_000;
/// Programs break lines that are longer.
const SHOWN_LINE: usize = 60;
/// How far behind an introducing line the quotation begins.
const NEAR: usize = 3;

/// The zones of `text`, without gaps, in one pass. `marks` are what the markup of HTML says.
pub(super) fn of_lines(text: &str, marks: &Marks, context: Context) -> Vec<Passage> {
    let mut reader = Reader {
        text,
        context,
        stretches: marks.stretches.iter().peekable(),
        frames: marks.frames.iter().peekable(),
        heads: marks.heads.iter().peekable(),
        head: None,
        copy: None,
        introduction: None,
        introduced: false,
        block_introduced: None,
        announced: None,
        found: Passages::default(),
    };
    reader.run();
    signature::divide(text, reader.found.0)
}

/// A copied message that goes on until `end`, or to the end of the text.
#[derive(Clone, Copy)]
struct Copy {
    zone: Zone,
    confidence: Confidence,
    end: Option<usize>,
}

/// Lines in front of a quotation.
struct Introduction {
    end: usize,
    confidence: Confidence,
}

type Peekable<'a, T> = std::iter::Peekable<std::slice::Iter<'a, T>>;

struct Reader<'a> {
    text: &'a str,
    context: Context,
    stretches: Peekable<'a, (Range<usize>, Sign)>,
    frames: Peekable<'a, Range<usize>>,
    heads: Peekable<'a, super::html_marks::Head>,
    /// The markup says that the head of a copied message begins with the next words.
    head: Option<bool>,
    copy: Option<Copy>,
    introduction: Option<Introduction>,
    /// A line that introduces a quotation stood in front: one sign for all that follows.
    introduced: bool,
    /// Where the block quotation begins that such a line stands directly in front of.
    block_introduced: Option<usize>,
    /// Whether the author says that answers stand within the copy; not yet asked: none.
    announced: Option<bool>,
    found: Passages,
}

impl Reader<'_> {
    fn run(&mut self) {
        let mut at = 0;
        while at < self.text.len() {
            let end =
                memchr::memchr(b'\n', &self.text.as_bytes()[at..]).map_or(self.text.len(), |length| at + length + 1);
            let (zone, confidence) = self.line(at, end);
            self.found.push(Passage { range: at..end, zone, confidence });
            at = end;
        }
    }

    fn line(&mut self, at: usize, end: usize) -> (Zone, Confidence) {
        let line = &self.text[at..end];
        while self.stretches.next_if(|(range, _)| range.end <= at).is_some() {}
        while self.frames.next_if(|range| range.end <= at).is_some() {}
        while let Some(head) = self.heads.next_if(|head| head.at <= at) {
            self.head = Some(head.certain || self.head.unwrap_or(false));
        }
        self.copy = self.copy.filter(|copy| copy.end.is_none_or(|end| at < end));
        self.introduction = self.introduction.take().filter(|introduction| at < introduction.end);
        let mark = self.stretches.peek().filter(|(range, _)| range.contains(&at)).map(|found| (*found).clone());
        let is_blank = line.trim().is_empty();
        if !is_blank && self.introduction.is_none() {
            self.begin(at, line, mark.as_ref());
            self.head = None;
        }
        let marked = self.marked(line, mark.as_ref());
        match (self.copy, marked) {
            (Some(copy), Some((Zone::Quoted, Confidence::High))) if copy.confidence == Confidence::Low => {
                (copy.zone, Confidence::High)
            }
            (Some(copy), _) => (copy.zone, copy.confidence),
            (None, Some(marked)) => marked,
            (None, None) => match &self.introduction {
                Some(introduction) => (Zone::Quoted, introduction.confidence),
                None if self.breaks_quoted_line(at, end) => (Zone::Quoted, Confidence::Low),
                None => (Zone::Own, Confidence::High),
            },
        }
    }

    /// What the line begins, if it begins something.
    fn begin(&mut self, at: usize, line: &str, mark: Option<&(Range<usize>, Sign)>) {
        let below = &self.text[at..];
        let begins = match (quotation::begins(line, below, self.head), mark) {
            (None, Some((range, Sign::Attribution))) if range.start + NEAR >= at => {
                let lines = self.text[range.clone()].trim_end().lines().count();
                Some(Begins::Attribution(Attribution { lines, dated: true, followed: false, alone: true }))
            }
            (begins, _) => begins,
        };
        match begins {
            Some(Begins::Copy { forwarded, signs }) => {
                let zone = if forwarded { Zone::Forwarded } else { self.context.copied() };
                self.copy_begins(at, zone, signs, mark);
            }
            Some(Begins::Attribution(attribution)) => self.attribution(at, &attribution, mark),
            None => {}
        }
    }

    fn copy_begins(&mut self, at: usize, zone: Zone, signs: u8, mark: Option<&(Range<usize>, Sign)>) {
        let element = matches!(mark, Some((_, Sign::Quotation | Sign::Forward)));
        let in_doubt = mark.is_none() && self.answers_within();
        let confidence = self.confidence(signs + u8::from(element), in_doubt);
        // What is copied within a copy belongs to it.
        if self.copy.is_some_and(|copy| copy.confidence >= confidence) {
            return;
        }
        let frame = self.frames.peek().filter(|frame| frame.contains(&at)).map(|frame| frame.end);
        let of_mark = mark.filter(|(_, sign)| *sign != Sign::Attribution).map(|(range, _)| range.end);
        self.copy = Some(Copy { zone, confidence, end: of_mark.or(frame) });
    }

    fn attribution(&mut self, at: usize, attribution: &Attribution, mark: Option<&(Range<usize>, Sign)>) {
        let Attribution { lines, dated, followed, alone } = *attribution;
        let end = at + length_of(&self.text[at..], lines);
        let near = at + length_of(&self.text[at..], lines + NEAR);
        let mut following = self.stretches.clone().take_while(|(range, _)| range.start < near);
        let next = following.find(|(range, sign)| range.start >= end && *sign != Sign::Signature);
        let next = next.map(|(range, _)| range.start);
        let inside = matches!(mark, Some((_, Sign::Quotation | Sign::Block | Sign::Forward)));
        let marked = followed || next.is_some() || inside;
        if !marked && !alone {
            return;
        }
        // Without a date people write it, and what they please in it.
        let confidence = self.confidence(1 + u8::from(followed || next.is_some()), !dated);
        self.introduction = Some(Introduction { end, confidence });
        if dated {
            self.introduced = true;
            self.block_introduced = next;
        }
        // Lines or elements with their own sign follow: these tell where the quotation ends. Else all below is it.
        if !marked {
            let zone = if self.context.reply { Zone::Quoted } else { self.context.copied() };
            self.copy_begins(at, zone, u8::from(dated), mark);
        }
    }

    fn confidence(&self, signs: u8, in_doubt: bool) -> Confidence {
        if signs + self.context.signs() >= 2 && !in_doubt { Confidence::High } else { Confidence::Low }
    }

    /// What the line's own sign or its element says.
    fn marked(&self, line: &str, mark: Option<&(Range<usize>, Sign)>) -> Option<(Zone, Confidence)> {
        let introduced = u8::from(self.introduced);
        Some(match mark {
            Some((_, Sign::Signature)) => (Zone::Signature, Confidence::High),
            Some((_, Sign::Forward)) => (Zone::Forwarded, self.confidence(1 + introduced, false)),
            Some((_, Sign::Quotation | Sign::Attribution)) => (Zone::Quoted, self.confidence(1 + introduced, false)),
            // It may be the author's own emphasis, also in an answer.
            Some((range, Sign::Block)) if self.block_introduced == Some(range.start) => {
                (Zone::Quoted, Confidence::High)
            }
            Some((_, Sign::Block)) => (Zone::Quoted, Confidence::Low),
            None if quotation::is_marked(line) => (Zone::Quoted, self.confidence(1 + introduced, false)),
            None => return None,
        })
    }

    /// Whether the line is the rest of a quoted one that a program broke: in small letters in the middle of a sentence,
    /// between two lines with their sign.
    fn breaks_quoted_line(&self, at: usize, end: usize) -> bool {
        let line = self.text[at..end].trim_end();
        if !line.starts_with(char::is_lowercase) || !self.text[end..].starts_with('>') {
            return false;
        }
        let without = |text: &'_ str, last: char| text.len() - usize::from(text.ends_with(last));
        let above = &self.text[..at];
        let above = &above[..without(above, '\n')];
        let above = &above[..without(above, '\r')];
        let above = &above[..without(above, ' ')];
        // A longer one is no line of text.
        let above = &above[above.ceil_char_boundary(above.len().saturating_sub(SHOWN_LINE * 4))..];
        let above = above.rsplit('\n').next().unwrap_or_default();
        above.starts_with('>') && above.len() > SHOWN_LINE && above.ends_with(|c: char| c.is_alphanumeric() || c == ',')
    }

    /// Whether the author says, in front of the copy, that answers are written into it.
    fn answers_within(&mut self) -> bool {
        let own_ends = self.found.0.first().filter(|passage| passage.zone == Zone::Own).map_or(0, |own| own.range.end);
        let text = self.text;
        *self.announced.get_or_insert_with(|| quotation::announces_answers(&text[..own_ends]))
    }
}

#[derive(Default)]
struct Passages(Vec<Passage>);

impl Passages {
    /// Text that changes its zone too often is taken for the author's own from there on.
    fn push(&mut self, passage: Passage) {
        let passage = match self.0.len() >= MOST_PASSAGES {
            true => Passage::sure(passage.range, Zone::Own),
            false => passage,
        };
        match self.0.last_mut() {
            Some(last) if last.zone == passage.zone && last.confidence == passage.confidence => {
                last.range.end = passage.range.end;
            }
            _ => self.0.push(passage),
        }
    }
}

/// The length of the next lines.
fn length_of(below: &str, lines: usize) -> usize {
    below.split_inclusive('\n').take(lines).map(str::len).sum()
}
