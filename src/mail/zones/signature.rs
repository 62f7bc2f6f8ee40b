//! Signatures and confidentiality notices at the end of what the author wrote.
//!
//! Looked for from the end upwards, and only so far: reading stays linear.

use super::{Confidence, Passage, Zone, words};
use std::ops::Range;

/// A signature has no more lines with something in them.
const LONGEST_SIGNATURE: usize = 12;
const MOST_LINES: usize = 80;
const LONGEST_TAIL: usize = 16_000;
const LONGEST_LINE: usize = 3_000;
const WHOLE_PARAGRAPH: usize = 120;

/// Divides the author's own passages.
pub(super) fn divide(text: &str, passages: Vec<Passage>) -> Vec<Passage> {
    let mut divided: Vec<Passage> = Vec::with_capacity(passages.len() + 3);
    // Whether nothing but signatures and notices of the author stands below.
    let mut last = true;
    for passage in passages.into_iter().rev() {
        let own = text[passage.range.clone()].trim_ascii_end();
        if passage.zone != Zone::Own || own.is_empty() {
            divided.push(passage);
            continue;
        }
        let mut end = passage.range.end;
        for (cut, (zone, confidence)) in Tail::new(text, passage.range.start, own).cuts(last) {
            divided.push(Passage { range: cut..end, zone, confidence });
            end = cut;
        }
        last &= text[passage.range.start..end].trim_ascii().is_empty();
        if passage.range.start < end {
            divided.push(Passage { range: passage.range.start..end, ..passage });
        }
    }
    divided.reverse();
    divided.dedup_by(|next, kept| {
        let same = next.zone == kept.zone && next.confidence == kept.confidence;
        if same {
            kept.range.end = next.range.end;
        }
        same
    });
    divided
}

/// The last lines of a passage.
struct Tail<'a> {
    text: &'a str,
    lines: Vec<Range<usize>>,
}

type Cut = (usize, (Zone, Confidence));

impl<'a> Tail<'a> {
    /// Of `own`, which begins at `first` of `text`.
    fn new(text: &'a str, first: usize, own: &str) -> Self {
        let mut lines = Vec::new();
        let mut end = first + own.len();
        let stop = first.max(end.saturating_sub(LONGEST_TAIL));
        while end > stop && lines.len() < MOST_LINES {
            let window = end.saturating_sub(LONGEST_LINE).max(first);
            let start = match memchr::memrchr(b'\n', &text.as_bytes()[window..end]) {
                Some(at) => window + at + 1,
                None if window == first => window,
                None => break,
            };
            lines.push(start..end);
            end = start.saturating_sub(1).max(first);
        }
        lines.reverse();
        Self { text, lines }
    }

    fn line(&self, index: usize) -> &'a str {
        self.text[self.lines[index].clone()].trim()
    }

    /// Where something else than the author's text begins, from the end upwards. `whole`: no text of theirs stands below.
    fn cuts(&self, whole: bool) -> Vec<Cut> {
        let mut cuts = Vec::new();
        let mut end = self.lines.len();
        while whole && let Some(last) = (0..end).rfind(|index| !self.line(*index).is_empty()) {
            let first = self.paragraph(last);
            let notice = cuts.last().is_some_and(|(_, (zone, _))| *zone == Zone::Notice);
            if notice && is_heading(self.line(last)) {
                cuts.push((self.lines[last].start, (Zone::Notice, Confidence::High)));
                end = last;
                continue;
            }
            let Some((at, zone, confidence)) = self.of_paragraph(first, last) else { break };
            cuts.push((self.lines[at].start, (zone, confidence)));
            end = at;
        }
        let signature = self.delimiter(end).or_else(|| if whole { self.below_closing(end) } else { None });
        if let Some((at, confidence)) = signature {
            // What was taken for a part of a signature stands in one.
            cuts.retain(|(_, (zone, _))| *zone == Zone::Notice);
            cuts.push((self.lines[at].start, (Zone::Signature, confidence)));
        }
        cuts
    }

    /// The first line of the paragraph that ends with line `last`. A line that no program would leave so long is one.
    fn paragraph(&self, last: usize) -> usize {
        let is_whole = |index: usize| self.line(index).len() > WHOLE_PARAGRAPH;
        let mut first = last;
        while first > 0
            && !self.line(first - 1).is_empty()
            && !is_rule(self.line(first))
            && !is_whole(first)
            && !is_whole(first - 1)
        {
            first -= 1;
        }
        first
    }

    fn of_paragraph(&self, first: usize, last: usize) -> Option<(usize, Zone, Confidence)> {
        let points = |first: usize, last: usize| points(&self.text[self.lines[first].start..self.lines[last].end]);
        let all = points(first, last);
        if all >= 3 {
            // What says nothing of the kind in front of it is the author's.
            let first = (first..=last).find(|line| points(*line, *line) > 0).unwrap_or(first);
            let confidence = if all > 3 { Confidence::High } else { Confidence::Low };
            return Some((first, Zone::Notice, confidence));
        }
        if is_rule(self.line(first)) && last - first <= LONGEST_SIGNATURE && last > first {
            let list = self.text[self.lines[first].start..self.lines[last].end].contains("mailing list");
            return Some((first, Zone::Signature, if list { Confidence::High } else { Confidence::Low }));
        }
        let line = self.line(last);
        if let Some(confidence) = sent_from(line).filter(|sure| *sure == Confidence::High || first == last) {
            return Some((last, Zone::Signature, confidence));
        }
        if first == last && is_dashed_name(line) {
            return Some((first, Zone::Signature, Confidence::Low));
        }
        // A short paragraph between or below those of a notice.
        let above = (0..first).rfind(|index| !self.line(*index).is_empty())?;
        let is_notice = points(self.paragraph(above), above) > 3;
        (is_notice && last - first <= 2).then_some((first, Zone::Notice, Confidence::Low))
    }

    /// `-- ` (RFC 3676 4.3), and as programs that cut spaces write it, near to the end.
    fn delimiter(&self, end: usize) -> Option<(usize, Confidence)> {
        let mut shown = 0;
        for index in (0..end).rev() {
            let line = self.text[self.lines[index].clone()].trim_end_matches('\r');
            let short = shown <= LONGEST_SIGNATURE;
            let confidence = match line.trim_end() {
                "--" if short => Some(Confidence::High),
                "--" if line == "-- " => Some(Confidence::Low),
                "---" | "—" | "__" if short && shown > 0 => Some(Confidence::Low),
                _ => None,
            };
            if let Some(confidence) = confidence {
                return Some((index, confidence));
            }
            shown += usize::from(!line.trim().is_empty());
        }
        None
    }

    /// The name below `Kind regards`, and what stands below it, if these are no sentences.
    fn below_closing(&self, end: usize) -> Option<(usize, Confidence)> {
        let mut shown = 0;
        for index in (0..end).rev() {
            let line = self.line(index);
            if line.is_empty() {
                continue;
            }
            if is_closing(line) {
                let below = (index + 1..end).find(|index| !self.line(*index).is_empty())?;
                return Some((below, Confidence::Low));
            }
            shown += 1;
            if shown > LONGEST_SIGNATURE || is_sentence(line) {
                return None;
            }
        }
        None
    }
}

fn is_rule(line: &str) -> bool {
    line.len() >= 2
        && (line.bytes().all(|byte| byte == b'_')
            || (line.len() >= 10 && line.bytes().all(|byte| matches!(byte, b'-' | b'=' | b'*' | b'~'))))
}

fn is_closing(line: &str) -> bool {
    if line.len() > 80 {
        return false;
    }
    let lower = line.to_lowercase();
    // `Med venlig hilsen / Kind regards`
    let mut closings = lower.split('/').map(|one| one.trim_matches([',', '.', '!', ' ', '*', '_', '-', '–']));
    closings.any(|closing| words::CLOSINGS.contains(&closing))
}

/// Somebody writes to somebody: no line of a signature.
fn is_sentence(line: &str) -> bool {
    let words = line.split_whitespace().count();
    line.len() > 100
        || line.ends_with(['?', '!'])
        || (words >= 6 && line.ends_with('.'))
        || line.starts_with("PS")
        || line.starts_with("P.S")
}

/// `Sent from my iPhone`. One that names no device may be a sentence.
fn sent_from(line: &str) -> Option<Confidence> {
    let line = line.split(['<', '(']).next().unwrap_or_default();
    let bare = line.trim_matches(['*', '_', ' ', '.', '-', '[', ']']).to_lowercase();
    let words = bare.split_whitespace().count();
    if bare.len() > 90 || words > 11 || bare.contains([',', ';', '?', '!']) || bare.contains(". ") {
        return None;
    }
    let (begins, ends) = words::SENT_FROM.iter().find(|(begins, _)| bare.starts_with(begins))?;
    if !bare.ends_with(ends) || bare.len() == begins.len() {
        return None;
    }
    let device = words::DEVICES.iter().any(|device| bare.contains(device));
    Some(if device { Confidence::High } else { Confidence::Low })
}

/// `-Ada Fenwick`
fn is_dashed_name(line: &str) -> bool {
    let Some(name) = line.strip_prefix(['-', '–', '—', '~']) else { return false };
    let name = name.trim_start_matches('-');
    line.len() <= 40
        && name.starts_with(char::is_uppercase)
        && name.split_whitespace().count() <= 4
        && name.chars().all(|c| c.is_alphabetic() || matches!(c, ' ' | '.' | '\'' | '’' | '-'))
}

fn is_heading(line: &str) -> bool {
    let bare = line.trim_matches(['*', '_', ':', '.', ' ', '-', '=']);
    line.len() <= 60 && words::NOTICE_HEADINGS.contains(&bare.to_lowercase().as_str())
}

/// How much of what confidentiality notices say stands in it.
fn points(paragraph: &str) -> usize {
    let lower = paragraph.to_lowercase().split_whitespace().collect::<Vec<_>>().join(" ");
    words::NOTICE.iter().filter(|row| row.iter().any(|words| lower.contains(words))).count()
}
