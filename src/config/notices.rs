//! The notices that no policy has of its own: `notices/NAME.txt`, with `NAME.html` beside it where the derived form will
//! not do.

use super::folders::{self, Folder};
use crate::{
    diagnostic::{Diagnostic, Diagnostics, Source},
    policy::NoticeText,
};
use std::{collections::BTreeMap, path::Path};

/// What cannot stand within a message's body, or would act there.
const NO_FRAGMENT: [&str; 8] = ["<!doctype", "<html", "<head", "<body", "</body", "<script", "<style", "<iframe"];

/// RFC 5322 2.1.1: a notice must never be what makes a line too long.
const LONGEST_LINE: usize = 998;

pub(super) fn read(home: &Path, diagnostics: &mut Diagnostics) -> BTreeMap<String, NoticeText> {
    let mut notices: BTreeMap<String, NoticeText> = BTreeMap::new();
    let mut html: Vec<(String, Source)> = Vec::new();
    for file in folders::read(home, Folder::Notices, diagnostics).winning() {
        let Some((name, ending)) = file.name.rsplit_once('.') else { continue };
        if ending == "html" {
            html.push((name.to_string(), file.source));
        } else {
            check_plain(&file.source, diagnostics);
            notices.insert(name.to_string(), NoticeText { plain: file.source.text.to_string(), html: None });
        }
    }
    for (name, source) in html {
        check_fragment(&source, diagnostics);
        match notices.get_mut(&name) {
            Some(notice) => notice.html = Some(source.text.to_string()).filter(|html| !html.trim().is_empty()),
            None => {
                let file = Diagnostic::new(&source, 0..0, format!("the notice `{name}` has no plain text"));
                diagnostics.push(file.with_allowed(format!("write {name}.txt beside it")));
            }
        }
    }
    notices
}

fn check_plain(source: &Source, diagnostics: &mut Diagnostics) {
    if let Some(at) = source.text.find(|c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t')) {
        let mistake = Diagnostic::new(source, at..at + 1, "a control character in a notice");
        diagnostics.push(mistake.with_allowed("allowed: text, with line ends and tabs"));
    }
}

fn check_fragment(source: &Source, diagnostics: &mut Diagnostics) {
    // ASCII folding keeps every offset.
    let folded = source.text.to_ascii_lowercase();
    for tag in NO_FRAGMENT {
        if let Some(at) = folded.find(tag) {
            let mistake = Diagnostic::new(source, at..at + tag.len(), format!("`{tag}` cannot stand in a notice"));
            diagnostics.push(mistake.with_allowed("allowed: a fragment of HTML, as it stands within <body>"));
        }
    }
    let mut start = 0;
    for line in source.text.split_inclusive('\n') {
        if line.len() > LONGEST_LINE {
            let mistake = Diagnostic::new(source, start..start + 1, "a line of a notice is too long for mail");
            diagnostics.push(mistake.with_allowed(format!("allowed: lines up to {LONGEST_LINE} bytes")));
        }
        start += line.len();
    }
}
