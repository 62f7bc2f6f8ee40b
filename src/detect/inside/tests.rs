use super::*;
use ::zip::{ZipWriter, write::SimpleFileOptions};
use std::io::{Cursor, Write};

pub(super) fn zipped(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in members {
        writer.start_file(*name, SimpleFileOptions::default()).unwrap();
        writer.write_all(content).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

pub(super) fn gzipped(content: &[u8]) -> Vec<u8> {
    let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    writer.write_all(content).unwrap();
    writer.finish().unwrap()
}

fn items(content: &[u8]) -> Vec<Item> {
    let mut all = Vec::new();
    read_attachment(content, &mut |item| all.push(item));
    all
}

pub(super) fn text_at(content: &[u8], wanted: &str) -> String {
    let texts = items(content).into_iter().filter_map(|item| match item {
        Item::Text { path, text } if path == wanted => Some(text),
        _ => None,
    });
    texts.collect()
}

pub(super) fn unread(content: &[u8]) -> Vec<(String, UnreadReason)> {
    let all = items(content).into_iter().filter_map(|item| match item {
        Item::Unread { path, reason } => Some((path, reason)),
        _ => None,
    });
    all.collect()
}

pub(super) fn notes(content: &[u8]) -> Vec<Note> {
    let all = items(content).into_iter().filter_map(|item| match item {
        Item::Note { note, .. } => Some(note),
        _ => None,
    });
    all.collect()
}

const SEED: &str = "NI number QQ 12 34 56 C";

#[test]
fn nested_archives_carry_the_path() {
    let mut tar = ::tar::Builder::new(Vec::new());
    let mut header = ::tar::Header::new_gnu();
    header.set_size(SEED.len() as u64);
    header.set_cksum();
    tar.append_data(&mut header, "deep/a.csv", SEED.as_bytes()).unwrap();
    let tar = gzipped(&tar.into_inner().unwrap());
    let inner = zipped(&[("b.tar.gz", &tar), ("empty", b"")]);
    let outer = zipped(&[("inner.zip", &inner), ("notes.txt", b"x")]);
    assert_eq!(text_at(&outer, "inner.zip/b.tar.gz/deep/a.csv"), SEED);
    assert_eq!(unread(&outer), []);
}

#[test]
fn word_documents_with_all_that_a_reader_may_see() {
    let body = r#"<w:document xmlns:w="w"><w:body><w:p><w:r><w:t>NI</w:t></w:r><w:r><w:t xml:space="preserve"> number</w:t></w:r></w:p>
        <w:tbl><w:tr><w:tc><w:p><w:t>Name</w:t></w:p></w:tc><w:tc><w:p><w:t>NHS</w:t></w:p></w:tc></w:tr></w:tbl>
        <w:p><w:del w:author="Ann"><w:r><w:delText>gone &amp; back</w:delText></w:r></w:del><w:posOffset>123456</w:posOffset></w:p></w:body></w:document>"#;
    let document = zipped(&[
        ("[Content_Types].xml", b"<Types/>"),
        ("word/document.xml", body.as_bytes()),
        ("word/comments.xml", b"<w:comments><w:t>said</w:t></w:comments>"),
        ("docProps/core.xml", b"<c><dc:title>Title</dc:title><dc:creator>Ben</dc:creator></c>"),
        ("word/vbaProject.bin", b"x"),
        ("word/embeddings/a.xlsx", &zipped(&[("x.txt", b"embedded")])),
        (
            "word/_rels/document.xml.rels",
            br#"<R><Relationship Target="mailto:a@b.example" TargetMode="External"/></R>"#,
        ),
    ]);
    let text = text_at(&document, "word/document.xml");
    assert!(text.contains("NI number\n") && text.contains("Name\tNHS\t\n") && text.contains("gone & back"), "{text:?}");
    assert!(!text.contains("123456"));
    assert_eq!(text_at(&document, "word/comments.xml"), "said");
    assert_eq!(text_at(&document, "docProps/core.xml").trim(), "Title\nBen");
    assert_eq!(text_at(&document, "word/embeddings/a.xlsx/x.txt"), "embedded");
    assert_eq!(text_at(&document, "word/_rels/document.xml.rels").trim(), "mailto:a@b.example");
    assert_eq!(notes(&document), [Note::Macro]);
}

#[test]
fn sheets_are_rows_under_their_headings() {
    let sheet = r#"<worksheet><sheetData><row><c r="A1" t="s"><v>0</v></c><c r="B1" t="inlineStr"><is><t>Born</t></is></c><c r="D1" t="str"><v>NHS</v></c></row>
        <row><c r="A2"><v>9.43476587E+9</v></c><c r="B2" s="1"><v>29221</v></c><c r="D2"><v>7</v></c></row></sheetData></worksheet>"#;
    let book = zipped(&[
        ("[Content_Types].xml", b"<Types/>"),
        ("xl/workbook.xml", br#"<workbook><sheet name="Hidden" state="hidden"/></workbook>"#),
        ("xl/sharedStrings.xml", b"<sst><si><r><t>NHS </t></r><r><t>number</t></r></si></sst>"),
        ("xl/styles.xml", br#"<s><cellXfs><xf numFmtId="0"/><xf numFmtId="14"/></cellXfs></s>"#),
        ("xl/worksheets/sheet1.xml", sheet.as_bytes()),
    ]);
    assert_eq!(
        text_at(&book, "xl/worksheets/sheet1.xml"),
        "NHS number\tBorn\t\tNHS\t\n9434765870\t01/01/1980\t\t7\t\n"
    );
    assert_eq!(text_at(&book, "xl/workbook.xml").trim(), "Hidden");
}

#[test]
fn what_cannot_be_read_says_why() {
    assert_eq!(unread(b"\x1F\x8B\x08\0"), [("".into(), UnreadReason::Damaged)]);
    assert_eq!(unread(b"PK\x03\x04 broken"), [("".into(), UnreadReason::Damaged)]);
    assert_eq!(unread(b"\x01\x02\x03\x04"), [("".into(), UnreadReason::UnknownFormat)]);
    let mut deep = b"x".to_vec();
    for _ in 0..8 {
        deep = zipped(&[("a.zip", &deep)]);
    }
    assert_eq!(unread(&deep), [("a.zip/a.zip/a.zip/a.zip/a.zip/a.zip".into(), UnreadReason::TooDeep)]);
    let many: Vec<(String, &[u8])> = (0..2_100).map(|number| (format!("{number}"), &b"x"[..])).collect();
    let many: Vec<(&str, &[u8])> = many.iter().map(|(name, content)| (&**name, *content)).collect();
    assert!(unread(&zipped(&many)).contains(&("".into(), UnreadReason::TooMany)));
}

#[test]
fn bombs_end_as_unread() {
    let zeros = vec![0; 40 << 20];
    assert!(unread(&gzipped(&zeros)).iter().any(|(_, reason)| *reason == UnreadReason::TooLarge));
    let flat = zipped(&[("a", &zeros), ("b", &zeros)]);
    assert_eq!(unread(&flat).iter().filter(|(_, reason)| *reason == UnreadReason::TooLarge).count(), 2);
    let laughs = br#"<?xml version="1.0"?><!DOCTYPE l [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">]><l>&b;</l>"#;
    assert_eq!(unread(laughs), [("".into(), UnreadReason::Damaged)]);
    let nested = format!("<?xml version=\"1.0\"?>{}", "<a>".repeat(100_000));
    assert_eq!(unread(nested.as_bytes()), [("".into(), UnreadReason::TooDeep)]);
}

#[test]
fn programs_pictures_and_what_hides_behind_them() {
    assert_eq!(notes(b"MZ\x90\0\x03\0\0\0"), [Note::Executable]);
    assert_eq!(notes(b"#!/bin/sh\necho\n"), [Note::Executable]);
    assert_eq!(notes(b"MZ, our friend"), []);
    assert_eq!(notes(b"\x89PNG\r\n\x1A\n\0\0"), [Note::Image]);
    let archive = zipped(&[("a.txt", b"hidden")]);
    let picture = [&b"GIF89a\0\0"[..], &archive].concat();
    assert_eq!(notes(&picture), [Note::Image, Note::Polyglot]);
    assert_eq!(text_at(&picture, "a.txt"), "hidden");
    assert_eq!(notes(&[&archive[..], b"more"].concat()), [Note::TrailingData]);
}
