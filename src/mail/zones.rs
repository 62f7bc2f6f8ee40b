//! Whose words each line is: own, quoted, forwarded, signature. So nobody is punished for quoting, and nothing of one's
//! own is taken for a quotation without a sign that a mail program or a habit of writing gives.

use super::Zone;
use std::ops::Range;

/// What the headers say of the message as a whole.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Context {
    /// It answers another message: an unmarked copy below a head is a quotation.
    pub reply: bool,
    pub forward: bool,
}

impl Context {
    /// What a copied message below a head is.
    fn copied(self) -> Option<Zone> {
        match self {
            Context { forward: true, .. } => Some(Zone::Forwarded),
            Context { reply: true, .. } => Some(Zone::Quoted),
            _ => None,
        }
    }
}

const MOST_ZONES: usize = 50_000;
/// How many lines an attribution or a head may take.
const LONGEST_HEAD: usize = 8;
/// A line of two dashes without the space begins a signature only this near to the end.
const SHORT_SIGNATURE: usize = 12;

/// The zones of `text`, without gaps. `marks` are what the markup of HTML says, sorted.
pub(super) fn of_lines(text: &str, marks: &[(Range<usize>, Zone)], context: Context) -> Vec<(Range<usize>, Zone)> {
    let mut zones = Zones { found: Vec::new() };
    // From here on, all that no mark covers.
    let mut rest = None;
    let mut attribution_lines = 0;
    let mut marks = marks.iter().peekable();
    let mut inside_mark = false;
    let mut at = 0;
    while at < text.len() {
        let end = memchr::memchr(b'\n', &text.as_bytes()[at..]).map_or(text.len(), |length| at + length + 1);
        let line = &text[at..end];
        while marks.next_if(|(range, _)| range.end <= at).is_some() {}
        let mark = marks.peek().filter(|(range, _)| range.contains(&at)).map(|(_, zone)| *zone);
        if inside_mark && mark.is_none() {
            rest = None;
        }
        inside_mark = mark.is_some();
        let below = &text[at..];
        if let Some(begun) = begins(line, below, context) {
            match begun {
                Begins::Rest(zone) => rest = Some(zone),
                Begins::Attribution { lines, rest: zone } => {
                    attribution_lines = lines;
                    // Marked lines follow: the marks tell where the quotation ends.
                    let marked =
                        marks.peek().is_some_and(|(range, _)| range.start < at + head_length(below, lines + 3));
                    rest = if marked { rest } else { zone.or(rest) };
                }
                Begins::Signature if rest.is_none() => rest = Some(Zone::Signature),
                Begins::Signature => {}
            }
        }
        let quoted_line = line.trim_start_matches(' ').starts_with('>') && line.len() - line.trim_start().len() < 4;
        let zone = match (rest, mark) {
            (Some(Zone::Forwarded), _) => Zone::Forwarded,
            (_, Some(mark)) => mark,
            _ if quoted_line => Zone::Quoted,
            _ if attribution_lines > 0 => Zone::Quoted,
            (Some(zone), _) => zone,
            _ => Zone::Own,
        };
        attribution_lines = attribution_lines.saturating_sub(1);
        zones.push(at..end, zone);
        at = end;
    }
    zones.found
}

struct Zones {
    found: Vec<(Range<usize>, Zone)>,
}

impl Zones {
    /// Text that changes its zone too often is taken for the author's own from there on.
    fn push(&mut self, range: Range<usize>, zone: Zone) {
        let zone = if self.found.len() >= MOST_ZONES { Zone::Own } else { zone };
        match self.found.last_mut() {
            Some((last, known)) if *known == zone => last.end = range.end,
            _ => self.found.push((range, zone)),
        }
    }
}

/// What a line begins.
enum Begins {
    Rest(Zone),
    /// `On … wrote:` over some lines, and what all below is.
    Attribution {
        lines: usize,
        rest: Option<Zone>,
    },
    Signature,
}

fn begins(line: &str, below: &str, context: Context) -> Option<Begins> {
    let bare = line.trim();
    // Most lines end here: only these can begin something.
    let first = bare.trim_start_matches(['*', '_']).bytes().next()?;
    match first {
        b'-' => {
            let is_signature = line.trim_end_matches(['\r', '\n']) == "-- "
                || (bare == "--" && below.lines().take(SHORT_SIGNATURE + 1).count() <= SHORT_SIGNATURE);
            if is_signature { Some(Begins::Signature) } else { separator(bare, context) }
        }
        b'B' | b'b' if starts_with(bare, "begin forwarded message") => Some(Begins::Rest(Zone::Forwarded)),
        b'F' | b'f' | b'V' | b'D' if is_head(below) => context.copied().map(Begins::Rest),
        _ => attribution(bare, below, context),
    }
}

fn starts_with(text: &str, lower: &str) -> bool {
    text.get(..lower.len()).is_some_and(|head| head.eq_ignore_ascii_case(lower))
}

/// `-----Original Message-----`, `---------- Forwarded message ---------`.
fn separator(bare: &str, context: Context) -> Option<Begins> {
    if bare.len() > 100 || !bare.starts_with("--") {
        return None;
    }
    let words = bare.trim_matches(['-', ' ']).to_lowercase();
    match words.as_str() {
        "forwarded message"
        | "forwarded by"
        | "forwarded email"
        | "weitergeleitete nachricht"
        | "message transféré"
        | "neges a anfonwyd ymlaen" => Some(Begins::Rest(Zone::Forwarded)),
        "original message"
        | "original appointment"
        | "ursprüngliche nachricht"
        | "message d'origine"
        | "neges wreiddiol" => Some(Begins::Rest(context.copied().unwrap_or(Zone::Quoted))),
        _ => None,
    }
}

/// The head of a copied message, as Outlook writes it: `From:`, `Sent:`, `To:`, `Subject:`.
fn is_head(below: &str) -> bool {
    const FIRST: [&str; 4] = ["from:", "von:", "de :", "de:"];
    const FURTHER: [&str; 12] = [
        "sent:",
        "date:",
        "to:",
        "cc:",
        "subject:",
        "gesendet:",
        "an:",
        "betreff:",
        "envoyé :",
        "à :",
        "objet :",
        "reply-to:",
    ];
    let label = |line: &str| line.trim().trim_start_matches(['*', '_']).to_lowercase();
    let mut lines = below.lines().filter(|line| !line.trim().is_empty()).take(LONGEST_HEAD);
    let Some(first) = lines.next().filter(|line| line.len() < 1_000) else { return false };
    let first = label(first);
    if !FIRST.iter().any(|known| first.starts_with(known)) {
        return false;
    }
    let further = |line: &&str| {
        let line = label(line.get(..line.len().min(40)).unwrap_or(""));
        FURTHER.iter().any(|known| line.starts_with(known))
    };
    lines.filter(further).count() >= 2
}

/// `On 3 May 2024, Ada wrote:`, which programs fold over several lines.
fn attribution(bare: &str, below: &str, context: Context) -> Option<Begins> {
    const BEGINNINGS: [&str; 8] = ["on ", "am ", "le ", "el ", "il ", "op ", "ar ", "dnia "];
    const ENDS: [&str; 9] = [
        "wrote:",
        "writes:",
        "schrieb:",
        "a écrit :",
        "a écrit\u{a0}:",
        "escribió:",
        "ha scritto:",
        "ysgrifennodd:",
        "schreef:",
    ];
    if !BEGINNINGS.iter().any(|beginning| starts_with(bare, beginning)) {
        return None;
    }
    let mut dated = false;
    let mut rest_of_text = below.lines();
    for lines in 1..=3 {
        let line = rest_of_text.next()?;
        let line = line.trim();
        if line.is_empty() || line.len() > 1_000 {
            return None;
        }
        dated |= line.bytes().any(|byte| byte.is_ascii_digit() || byte == b'@');
        // `Am 3.5.24 schrieb Ada:` has the name behind the verb.
        let ends = ENDS.iter().any(|end| line.ends_with(end)) || (line.ends_with(':') && line.contains(" schrieb "));
        if ends {
            if !dated {
                return None;
            }
            let next = rest_of_text.take(LONGEST_HEAD).find(|line| !line.trim().is_empty());
            // Lines with their own sign follow, so own words may come between and below.
            let marked = next.is_none_or(|line| line.trim_start().starts_with('>'));
            return Some(Begins::Attribution { lines, rest: if marked { None } else { context.copied() } });
        }
    }
    None
}

/// The length of the next lines.
fn head_length(below: &str, lines: usize) -> usize {
    below.split_inclusive('\n').take(lines).map(str::len).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zones(text: &str, context: Context) -> Vec<(String, Zone)> {
        let found = of_lines(text, &[], context);
        assert_eq!(found.first().map_or(0, |(range, _)| range.start), 0);
        assert_eq!(found.last().map_or(0, |(range, _)| range.end), text.len());
        assert!(found.windows(2).all(|two| two[0].0.end == two[1].0.start && two[0].1 != two[1].1));
        found.into_iter().map(|(range, zone)| (text[range].replace("\r\n", "|"), zone)).collect()
    }

    const REPLY: Context = Context { reply: true, forward: false };
    const FORWARD: Context = Context { reply: false, forward: true };
    const NEITHER: Context = Context { reply: false, forward: false };

    #[test]
    fn lines() {
        use Zone::{Forwarded, Own, Quoted, Signature};
        for (text, context, expected) in [
            ("hello\n", NEITHER, vec![("hello|", Own)]),
            ("", NEITHER, vec![]),
            ("yes\n> no\n>> maybe\nend\n", NEITHER, vec![("yes|", Own), ("> no|>> maybe|", Quoted), ("end|", Own)]),
            ("me\n-- \nAda\n", NEITHER, vec![("me|", Own), ("-- |Ada|", Signature)]),
            ("me\n--\nAda\n", NEITHER, vec![("me|", Own), ("--|Ada|", Signature)]),
            (
                "me\n\nOn 3 May 2024, Ada wrote:\n> a\nown again\n",
                REPLY,
                vec![("me||", Own), ("On 3 May 2024, Ada wrote:|> a|", Quoted), ("own again|", Own)],
            ),
            (
                "me\nOn Fri, 3 May 2024 at 10:00, Ada\n<a@b.example> wrote:\n\nold words\n",
                REPLY,
                vec![("me|", Own), ("On Fri, 3 May 2024 at 10:00, Ada|<a@b.example> wrote:||old words|", Quoted)],
            ),
            ("On reflection I wrote:\nmine\n", REPLY, vec![("On reflection I wrote:|mine|", Own)]),
            (
                "me\nFrom: Ada\nSent: Friday\nTo: me\nSubject: x\n\nold\n",
                REPLY,
                vec![("me|", Own), ("From: Ada|Sent: Friday|To: me|Subject: x||old|", Quoted)],
            ),
            (
                "me\nFrom: Ada\nSent: Friday\nTo: me\nSubject: x\n\nold\n",
                FORWARD,
                vec![("me|", Own), ("From: Ada|Sent: Friday|To: me|Subject: x||old|", Forwarded)],
            ),
            ("From: Ada\nSent: x\nTo: y\nmine\n", NEITHER, vec![("From: Ada|Sent: x|To: y|mine|", Own)]),
            ("From: the office\nHello\n", REPLY, vec![("From: the office|Hello|", Own)]),
            (
                "me\n-----Original Message-----\nold\n",
                REPLY,
                vec![("me|", Own), ("-----Original Message-----|old|", Quoted)],
            ),
            (
                "fyi\n---------- Forwarded message ---------\nFrom: x\n",
                NEITHER,
                vec![("fyi|", Own), ("---------- Forwarded message ---------|From: x|", Forwarded)],
            ),
            (
                "me\n-- \nAda\n> late quote\n",
                REPLY,
                vec![("me|", Own), ("-- |Ada|", Signature), ("> late quote|", Quoted)],
            ),
        ] {
            let found = zones(&text.replace('\n', "\r\n"), context);
            let found: Vec<_> = found.iter().map(|(text, zone)| (text.as_str(), *zone)).collect();
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn marks_of_the_markup_count() {
        let text = "me\nOn 3 May, Ada wrote:\nold\nme again\n";
        let start = text.find("old").expect("there");
        let found = of_lines(text, &[(start..start + 4, Zone::Quoted)], REPLY);
        assert_eq!(found.last().map(|(range, zone)| (&text[range.clone()], *zone)), Some(("me again\n", Zone::Own)));
        assert_eq!(found.len(), 3);
    }
}
