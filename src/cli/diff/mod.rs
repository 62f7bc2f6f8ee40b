//! `outgate diff`: what would be changed in a message, decoded, and why the rest is left alone.

mod lines;

use self::lines::{Op, compare, in_context};
use super::{
    Failure,
    arguments::{Arguments, Diff},
    check::Fate,
    judging::{self, Circumstances, Judged},
    opening,
};
use crate::{
    config::{self, Loaded},
    mail::{Field, Message, NAMING, Part},
    policy::{Mode, Ruleset},
};
use serde_json::{Value, json};
use std::{collections::HashSet, io::Write, path::Path};

/// Lines about a change that are shown with it.
const AROUND: usize = 2;
/// Characters of a line that are shown where it did not change.
const WIDTH: usize = 160;

pub fn run(arguments: &Arguments, options: &Diff) -> Result<u8, Failure> {
    let loaded = config::load(&opening::file(arguments)?).map_err(Failure::Configuration)?;
    let circumstances = Circumstances::of(options.from.as_deref(), &options.handed_in);
    let judged = judging::judge(&loaded, &options.file, &circumstances)?;
    let fate = Fate::of(&judged);
    let told = Told::of(&judged, &loaded);
    let text =
        if arguments.json { told.object(&options.file, fate).to_string() } else { told.in_words(&options.file, fate) };
    writeln!(std::io::stdout().lock(), "{text}").map_err(|error| Failure::said(error.to_string()))?;
    Ok(fate.code().1)
}

/// Actions of rules that change a message.
const CHANGES: [&str; 8] =
    ["append-notice", "hide-recipients", "set-header", "remove-header", "tag-subject", "redact", "wrap", "drop-part"];

/// What becomes of a message.
#[derive(Default)]
struct Told {
    header: Vec<(Op, String)>,
    /// How many addresses the recipients do not see any more.
    hidden: usize,
    parts: Vec<ToldPart>,
    untouched: usize,
    /// Changes that were rightly not made, or not asked for.
    left: Vec<String>,
    /// Changes that were asked for and could not be made.
    failed: Vec<String>,
}

struct ToldPart {
    title: String,
    /// Empty for a part that is new.
    id: String,
    header: Vec<(Op, String)>,
    text: Vec<Option<(Op, String)>>,
}

impl Told {
    fn of(judged: &Judged, loaded: &Loaded) -> Self {
        let before = &judged.submission.message;
        let left_as = judged.leaving(&loaded.settings.dkim);
        let mut told = match *left_as == *before.read(0..before.len()) {
            false => Self::of_change(before, &Message::parse(left_as.into_owned())),
            true => Self { untouched: leaves(before).count(), ..Self::default() },
        };
        told.failed = judged.made.unmade.iter().map(failed).collect();
        told.left = left(judged, &loaded.ruleset);
        told
    }

    fn of_change(before: &Message, after: &Message) -> Self {
        let addresses = |message: &Message| -> HashSet<String> {
            NAMING.iter().flat_map(|name| message.mailboxes(name)).map(|address| address.folded()).collect()
        };
        let mut told = Self {
            header: header(before, Some(before.root()), after, after.root()),
            hidden: addresses(before).difference(&addresses(after)).count(),
            ..Self::default()
        };
        let olds = counterparts(before, after);
        let same_tree = before.parts().len() == after.parts().len();
        for (index, (part, old)) in after.parts().iter().zip(olds).enumerate() {
            match ToldPart::of(before, old, after, part, index == 0 && same_tree) {
                Some(told_part) => told.parts.push(told_part),
                None if !part.is_multipart() => told.untouched += 1,
                None => {}
            }
        }
        told
    }

    fn object(&self, file: &Path, fate: Fate) -> Value {
        let lines = |lines: &[(Op, String)]| -> Vec<Value> {
            lines.iter().map(|(op, text)| json!({"op": op.sign().to_string(), "text": text})).collect()
        };
        let parts = self.parts.iter().map(|part| {
            let text: Vec<(Op, String)> = part.text.iter().flatten().cloned().collect();
            json!({"part": part.id, "title": part.title, "header": lines(&part.header), "text": lines(&text)})
        });
        json!({
            "file": file.display().to_string(),
            "disposition": fate.as_str(),
            "header": lines(&self.header),
            "hidden": self.hidden,
            "parts": parts.collect::<Vec<_>>(),
            "untouched": self.untouched,
            "left": self.left,
            "failed": self.failed,
        })
    }

    fn in_words(&self, file: &Path, fate: Fate) -> String {
        let mut out = format!("{}: {}", file.display(), fate.as_str());
        let lines = |out: &mut String, lines: &[(Op, String)]| {
            lines.iter().for_each(|(op, text)| out.push_str(&format!("\n  {} {text}", op.sign())));
        };
        if !self.header.is_empty() {
            out.push_str("\nheader");
            lines(&mut out, &self.header);
        }
        if self.hidden > 0 {
            out.push_str(&format!("\n  {} addresses are no longer seen by the recipients", self.hidden));
        }
        for part in &self.parts {
            out.push_str(&format!("\n{}", part.title));
            lines(&mut out, &part.header);
            for line in &part.text {
                match line {
                    Some((op, text)) => out.push_str(format!("\n  {} {text}", op.sign()).trim_end_matches(' ')),
                    None => out.push_str("\n    …"),
                }
            }
        }
        for reason in &self.failed {
            out.push_str(&format!("\ncould not be changed: {reason}"));
        }
        for reason in &self.left {
            out.push_str(&format!("\nleft alone: {reason}"));
        }
        let parts = match self.untouched {
            0 => None,
            1 => Some("1 part".to_string()),
            more => Some(format!("{more} parts")),
        };
        let header = self.header.is_empty().then(|| "the header".to_string());
        let same: Vec<String> = header.into_iter().chain(parts).collect();
        if !same.is_empty() {
            out.push_str(&format!("\nbyte for byte as it came: {}", same.join(" and ")));
        }
        out
    }
}

fn leaves(message: &Message) -> impl Iterator<Item = &Part> {
    message.parts().iter().filter(|part| !part.is_multipart())
}

fn failed(unmade: &crate::policy::planned::Unmade) -> String {
    let fallback = serde_json::to_value(unmade.fallback).unwrap_or_default();
    format!("{} (rule {}, which then says {})", unmade.failure, unmade.rule, fallback.as_str().unwrap_or_default())
}

/// Why nothing, or not more, is changed.
fn left(judged: &Judged, rules: &Ruleset) -> Vec<String> {
    let mut reasons: Vec<String> = Vec::new();
    if judged.incoming {
        reasons.push("incoming mail passes untouched".into());
    }
    reasons.extend(judged.made.skipped.iter().map(|skipped| format!("{}: {}", skipped.kind, skipped.reason)));
    let watched = judged.verdict.grounds.iter().filter(|ground| ground.mode == Mode::Watch);
    reasons.extend(watched.map(|ground| format!("rule {} only watches", ground.rule)));
    let changes = |name: &str| {
        rules.active().iter().any(|active| &*active.rule.name == name && CHANGES.contains(&active.rule.action.name()))
    };
    let almost = judged.verdict.almost.iter().filter(|almost| changes(&almost.rule));
    reasons.extend(almost.map(|almost| format!("rule {}: {}", almost.rule, almost.missing)));
    let asked = judged.verdict.consignments.iter().any(|consignment| !consignment.edits.is_empty());
    if !asked && !judged.incoming {
        reasons.push("no rule that holds for this message asks for a change".into());
    }
    reasons
}

/// What each part was before: in a message of as many parts the one in its place, else the one of the same bytes, else the text
/// that stood in its place. None: it is new.
fn counterparts<'m>(before: &'m Message, after: &Message) -> Vec<Option<&'m Part>> {
    if before.parts().len() == after.parts().len() {
        return before.parts().iter().map(Some).collect();
    }
    let mut free: Vec<Option<&Part>> = before.parts().iter().map(Some).collect();
    let mut found = vec![None; after.parts().len()];
    let same_bytes = |old: &Part, part: &Part| before.read(old.body.clone()) == after.read(part.body.clone());
    let same_place = |old: &Part, part: &Part| old.id == part.id && part.is_text();
    for alike in [&same_bytes as &dyn Fn(&Part, &Part) -> bool, &same_place] {
        for (part, found) in after.parts().iter().zip(&mut found).filter(|(_, found)| found.is_none()) {
            let kind = &part.content_type;
            let fits = |old: &&Part| old.content_type.is(&kind.media, &kind.subtype) && alike(old, part);
            *found = free.iter_mut().find(|old| old.as_ref().is_some_and(fits)).and_then(Option::take);
        }
    }
    found
}

impl ToldPart {
    /// None: it is as it was. Of the message itself the header is told elsewhere.
    fn of(before: &Message, old: Option<&Part>, after: &Message, new: &Part, is_root: bool) -> Option<Self> {
        let same_body = old.is_some_and(|old| before.read(old.body.clone()) == after.read(new.body.clone()));
        let fields = if is_root { Vec::new() } else { header(before, old, after, new) };
        let fields = if old.is_some() { fields } else { Vec::new() };
        if (same_body || new.is_multipart() || (old.is_some() && !new.is_text())) && fields.is_empty() {
            return None;
        }
        let id = new.id.to_string();
        let kind = format!("{}/{}", new.content_type.media, new.content_type.subtype);
        let name = if is_root { "text".into() } else { format!("part {id}") };
        let shown = if new.content_type.subtype == "html" { ", as displayed" } else { "" };
        let title = match old {
            Some(_) => format!("{name} ({kind}{shown})"),
            None => format!("{name} is new ({kind}{shown})"),
        };
        let text = if same_body || new.is_multipart() { Vec::new() } else { changed_text(before, old, after, new) };
        Some(Self { title, id, header: fields, text })
    }
}

/// As displayed; where that is the same as before, as it is written.
fn changed_text(before: &Message, old: Option<&Part>, after: &Message, new: &Part) -> Vec<Option<(Op, String)>> {
    if !new.is_text() {
        return Vec::new();
    }
    let displayed = |message: &Message, part: &Part| message.text(part).text;
    let written =
        |message: &Message, part: &Part| String::from_utf8_lossy(&message.content(part, usize::MAX).0).into_owned();
    let told = |read: &dyn Fn(&Message, &Part) -> String| {
        let old = old.map(|old| read(before, old)).unwrap_or_default();
        let new = read(after, new);
        let compared = compare(&old.lines().collect::<Vec<_>>(), &new.lines().collect::<Vec<_>>());
        let changed = compared.iter().any(|(op, _)| *op != Op::Same);
        let shown = in_context(&compared, AROUND);
        changed.then(|| shown.into_iter().map(|line| line.map(|(op, text)| (op, printable(op, text)))).collect())
    };
    told(&displayed).or_else(|| told(&written)).unwrap_or_default()
}

/// Fields of one header that differ, encoded words decoded.
fn header(before: &Message, old: Option<&Part>, after: &Message, new: &Part) -> Vec<(Op, String)> {
    let fields = |message: &Message, part: &Part| -> Vec<String> {
        part.fields.iter().map(|field| readable(message, field)).collect()
    };
    let old = old.map(|old| fields(before, old)).unwrap_or_default();
    let new = fields(after, new);
    let [old, new] = [&old, &new].map(|fields| fields.iter().map(String::as_str).collect::<Vec<_>>());
    let compared = compare(&old, &new).into_iter().filter(|(op, _)| *op != Op::Same);
    compared.map(|(op, text)| (op, printable(op, text))).collect()
}

fn readable(message: &Message, field: &Field) -> String {
    let name = message.read(field.name.clone());
    format!("{}: {}", String::from_utf8_lossy(&name), message.field_text(field).text.trim())
}

/// Text of others on a terminal: nothing in it moves the cursor or turns the direction of writing.
fn printable(op: Op, text: &str) -> String {
    let turns = |c: char| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let shown = |c: char| {
        if c == '\t' {
            ' '
        } else if c.is_control() || turns(c) {
            '\u{fffd}'
        } else {
            c
        }
    };
    let whole: String = text.trim_end_matches('\r').chars().map(shown).collect();
    let cut = (op == Op::Same).then(|| whole.char_indices().nth(WIDTH)).flatten();
    cut.map_or(whole.clone(), |(at, _)| format!("{}…", &whole[..at]))
}

#[cfg(test)]
mod tests;
