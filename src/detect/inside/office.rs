//! Office Open XML (ECMA-376) and OpenDocument: bodies, tables, headers and footers, comments, tracked changes, notes,
//! slides and their notes, properties. What is embedded is entered like any attachment.

use super::{
    Note, Out, below,
    budget::Held,
    enter, sheet, xml,
    zip::{Archive, Failed, member, name, stream},
};
use crate::mail::UnreadReason;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Document {
    OpenXml,
    OpenDocument,
}

impl Document {
    /// By the member that such a document must have (ECMA-376 part 2, 7.2.3; OpenDocument 1.3 part 2, 3.3).
    pub fn of(archive: &mut Archive<'_>) -> Option<Self> {
        let has = |name: &str| archive.index_for_name(name).is_some();
        if has("[Content_Types].xml") {
            return Some(Document::OpenXml);
        }
        (has("content.xml") && (has("mimetype") || has("META-INF/manifest.xml"))).then_some(Document::OpenDocument)
    }

    pub fn read(self, archive: &mut Archive<'_>, path: &str, depth: usize, out: &mut Out<'_>) {
        let names: Vec<String> = (0..archive.len()).map(|index| name(archive, index)).collect();
        if self == Document::OpenXml {
            sheet::read(archive, &names, path, out);
        }
        for (index, name) in names.iter().enumerate() {
            match self.what(name) {
                What::Nothing => {}
                What::Macro => out.note(path, Note::Macro),
                What::Words | What::Data | What::Links => {
                    if !out.budget.take_member() {
                        return out.unread(path, UnreadReason::TooMany);
                    }
                    self.words(archive, index, name, path, out);
                }
                What::Embedded => {
                    let member = member(archive, index, path, out);
                    if let Some((held, inside)) = member.and_then(|member| member.held.map(|held| (held, member.path)))
                    {
                        entered(&held, &inside, depth, out);
                    }
                }
            }
        }
    }

    fn words(self, archive: &mut Archive<'_>, index: usize, name: &str, path: &str, out: &mut Out<'_>) {
        let inside = below(path, name);
        let stream = match stream(archive, index, out) {
            Ok(Some(stream)) => stream,
            Ok(None) => return,
            Err(Failed::Encrypted) => return out.encrypted(&inside, Note::EncryptedOffice),
            Err(Failed::Unread(reason)) => return out.unread(&inside, reason),
        };
        match self.what(name) {
            What::Links => links(stream, &inside, out),
            what => xml::text_of(stream, &inside, what == What::Words && self == Document::OpenXml, out),
        }
    }

    /// What a member is to somebody who reads the document.
    fn what(self, name: &str) -> What {
        let lower = name.to_ascii_lowercase();
        let file = lower.rsplit('/').next().unwrap_or(&lower);
        if lower.ends_with('/') {
            return What::Nothing;
        }
        if file.starts_with("vbaproject")
            || file.ends_with(".xba")
            || lower.starts_with("basic/") && file != "script-lc.xml"
        {
            return What::Macro;
        }
        match self {
            Document::OpenXml if lower.contains("/media/") || lower.contains("/fonts/") => What::Nothing,
            Document::OpenXml if file.ends_with(".rels") => What::Links,
            Document::OpenXml if file.ends_with(".xml") => match file {
                "[content_types].xml"
                | "styles.xml"
                | "settings.xml"
                | "fonttable.xml"
                | "websettings.xml"
                | "numbering.xml"
                | "presprops.xml"
                | "viewprops.xml"
                | "tablestyles.xml"
                | "calcchain.xml"
                | "sharedstrings.xml"
                | "workbook.xml"
                | "stylewitheffects.xml" => What::Nothing,
                _ if lower.contains("/theme/") || lower.contains("/slidelayouts/") => What::Nothing,
                _ if lower.contains("/worksheets/") || lower.contains("/chartsheets/") => What::Nothing,
                _ if lower.starts_with("docprops/") || lower.starts_with("customxml/") => What::Data,
                _ if lower.contains("/charts/") => What::Data,
                _ => What::Words,
            },
            Document::OpenXml if file.ends_with(".vml") => What::Data,
            Document::OpenXml if file.starts_with("printersettings") || lower.contains("/activex/") => What::Nothing,
            Document::OpenXml => What::Embedded,
            Document::OpenDocument => match file {
                "content.xml" | "styles.xml" | "meta.xml" => What::Words,
                "mimetype" | "manifest.xml" | "settings.xml" | "manifest.rdf" | "layout-cache" => What::Nothing,
                _ if lower.starts_with("pictures/") || lower.starts_with("thumbnails/") => What::Nothing,
                _ if lower.starts_with("configurations2/") => What::Nothing,
                _ if file.ends_with(".xml") => What::Words,
                _ => What::Embedded,
            },
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    Nothing,
    /// Text that a reader sees.
    Words,
    /// All text of it.
    Data,
    /// Targets of links.
    Links,
    Macro,
    Embedded,
}

fn entered(held: &Held, path: &str, depth: usize, out: &mut Out<'_>) {
    if !held.bytes.is_empty() {
        enter(&held.bytes, path, depth + 1, out);
    }
}

/// Where links lead: `mailto:` names people (ECMA-376 part 2, 6.5.3).
fn links(stream: impl std::io::Read, path: &str, out: &mut Out<'_>) {
    let mut targets = String::new();
    let walked = xml::walk(stream, &mut |piece| {
        if let xml::Piece::Start("Relationship", tag) = piece
            && xml::attribute(tag, "TargetMode").as_deref() == Some("External")
            && let Some(target) = xml::attribute(tag, "Target")
        {
            targets.push_str(&target);
            targets.push('\n');
        }
    });
    out.text(path, &targets);
    if let Err(reason) = walked {
        out.unread(path, reason);
    }
}
