//! Golden messages: `fixtures/edit/NAME.eml` becomes `NAME.expected.eml`. A failing test writes `NAME.actual.eml`
//! beside it.

use super::*;
use std::{fs, path::PathBuf};

/// What becomes of a fixture.
enum Outcome {
    /// As the golden file says; these parts are changed.
    Changed(&'static [&'static str]),
    /// No byte is changed, for this reason.
    Skipped(&'static str),
    Fails(EditFailure),
}

use Outcome::{Changed, Fails, Skipped as Left};

const KIND: &str = "append-notice";

fn plain_notice() -> Vec<Edit> {
    let plain =
        "This message is confidential.\nIf it is not for you, please delete it.\n\nExample Trust, charity 0000000";
    let html = "<p>This message is <b>confidential</b>.<br>If it is not for you, please delete it.</p>\n<p>Example Trust, charity 0000000</p>";
    vec![notice(plain, html)]
}

fn notice(plain: &str, html: &str) -> Edit {
    Edit::AppendNotice {
        notice: Arc::new(Notice { name: "n".into(), plain: plain.into(), html: html.into(), ..Notice::default() }),
    }
}

/// By the end of the fixture's name: a notice of ASCII, one that Latin-1 can carry, one that it cannot; else by its
/// start, a header edit.
fn edits(name: &str) -> Vec<Edit> {
    let tag = |tag: &str| vec![Edit::TagSubject { tag: tag.into() }];
    let set = |value: &str| vec![Edit::SetHeader { name: "X-Class".into(), value: value.into() }];
    match name.split('-').next() {
        _ if name == "hide-and-notice" => [vec![Edit::HideRecipients], plain_notice()].concat(),
        _ if name == "plain-long-notice-line" => vec![notice(&"notice ".repeat(300), "")],
        Some("hide") => vec![Edit::HideRecipients],
        Some("only") => {
            let address = Address::parse("ada@ours.example").expect("an address");
            vec![Edit::ShowOnly { address }]
        }
        Some("tag") => tag(if name.contains("nonascii") { "Extern – grün" } else { "External" }),
        Some("set") => set(if name == "set-encoded" { "Grün – intern" } else { "internal" }),
        Some("remove") => vec![Edit::RemoveHeader { name: "X-Class".into() }],
        _ if name.ends_with("-pound") => vec![notice("Costs £5, see\nhttps://ours.example/fees", "")],
        _ if name.ends_with("-dash") => vec![notice("Costs “five” – see\nhttps://ours.example/fees", "")],
        _ => plain_notice(),
    }
}

fn outcomes() -> Vec<(&'static str, Outcome)> {
    const ONE: &[&str] = &["1"];
    const TWO: &[&str] = &["1", "2"];
    const HEADER: &[&str] = &["HEADER"];
    let ambiguous = |class| Fails(EditFailure::Ambiguous { kind: KIND, class });
    let mut all: Vec<(&str, Outcome)> = Vec::new();
    let whole = [
        "plain-no-mime",
        "plain-no-mime-pound",
        "plain-7bit",
        "plain-7bit-pound",
        "plain-7bit-utf8-pound",
        "plain-7bit-latin1-pound",
        "plain-8bit-utf8-pound",
        "plain-8bit-ascii-only-pound",
        "plain-8bit-latin1",
        "plain-8bit-latin1-dash",
        "plain-8bit-windows-1252-dash",
        "plain-8bit-koi8-pound",
        "plain-7bit-iso-2022-jp",
        "plain-7bit-iso-2022-jp-pound",
        "plain-qp",
        "plain-qp-pound",
        "plain-qp-latin1-dash",
        "plain-qp-ascii-pound",
        "plain-qp-soft-break-at-end",
        "plain-qp-space-at-end",
        "plain-base64",
        "plain-base64-pound",
        "plain-base64-latin1-dash",
        "plain-base64-utf16",
        "plain-base64-lf-inside",
        "plain-base64-above-quote",
        "plain-flowed",
        "plain-flowed-delsp",
        "plain-empty-body",
        "plain-no-final-newline",
        "plain-blank-lines-at-end",
        "plain-space-at-end",
        "plain-signature",
        "plain-dots",
        "plain-long-notice-line",
        "plain-long-line",
        "plain-lf",
        "plain-lf-pound",
        "plain-charset-folded",
        "plain-reply-above-quote",
        "plain-reply-below-quote",
        "plain-quoted-notice",
        "html-7bit",
        "html-7bit-pound",
        "html-8bit-latin1",
        "html-qp",
        "html-base64",
        "html-base64-utf16",
        "html-iso-2022-jp",
        "html-no-body",
        "html-body-in-comment",
        "html-unclosed-comment",
        "html-script",
        "html-entities-only",
        "mixed-plain-pdf",
        "mixed-empty-bare-boundary",
        "mixed-html-qp-pdf",
        "mixed-base64-pound",
        "mixed-7bit-pound",
        "mixed-no-type",
        "mixed-no-type-pound",
        "related-html",
        "mixed-forward",
        "mixed-boundary-like",
        "mixed-no-last-line",
        "mixed-preamble-epilogue",
        "mixed-quoted-pieces",
    ];
    all.extend(whole.map(|name| (name, Changed(ONE))));
    let both = ["alternative-7bit", "alternative-7bit-pound", "alternative-qp-pound", "alternative-base64-pound"];
    all.extend(both.map(|name| (name, Changed(TWO))));
    let header = [
        "hide-many-folded",
        "hide-duplicate-to",
        "hide-encoded-word-to",
        "hide-resent",
        "hide-cc-only",
        "hide-signed",
        "hide-everywhere",
        "only-everywhere",
        "only-none-named",
        "tag-plain",
        "tag-long-subject",
        "tag-folded-subject",
        "tag-encoded-subject",
        "tag-nonascii-encoded-subject",
        "tag-empty-subject",
        "tag-no-subject",
        "set-new",
        "set-existing",
        "set-encoded",
        "remove-all",
    ];
    all.extend(header.map(|name| (name, Changed(HEADER))));
    all.extend([
        ("hide-and-notice", Changed(&["HEADER", "1"])),
        ("alternative-html-has-notice", Changed(ONE)),
        ("related-start", Changed(&["2"])),
        ("mixed-alternative-pdf", Changed(&["1.1", "1.2"])),
        ("alternative-related", Changed(&["1", "2.1"])),
        ("related-alternative", Changed(&["1.1", "1.2"])),
        ("mixed-alternative-related", Changed(&["1.1", "1.2.1"])),
        ("apple-pieces", Changed(&["5"])),
        ("apple-alternative-mixed", Changed(&["1", "2.3"])),
        ("plain-existing-notice", Left("already there")),
        ("html-existing-notice", Left("already there")),
        ("hide-already", Left("already so")),
        ("tag-already", Left("already so")),
        ("remove-none", Left("already so")),
        ("report", Left("a report")),
        ("calendar", Left("a calendar invitation")),
        ("winmail", Left("winmail.dat")),
        ("attachment-only", Changed(&["1", "1"])),
        ("signed", Fails(EditFailure::Protected { kind: KIND, seal: Seal::PgpSigned })),
        ("pgp-inline", Fails(EditFailure::Protected { kind: KIND, seal: Seal::Encrypted })),
        ("base64-damaged", ambiguous(doubt::DAMAGED_BASE64)),
        ("two-boundaries", ambiguous(doubt::TWO_CONTENT_TYPES)),
        ("unlabelled-8bit-pound", ambiguous("a text that is not what its character set says")),
        ("malformed-euc-jp-pound", ambiguous("a text that is not what its character set says")),
    ]);
    all
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures/edit")
}

fn read(name: &str) -> Vec<u8> {
    fs::read(folder().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
fn golden_messages() {
    let mut wrong = Vec::new();
    for (name, outcome) in outcomes() {
        let input = read(&format!("{name}.eml"));
        let applied = apply(&Message::parse(input.clone()), &edits(name), Transport::default());
        match (outcome, applied) {
            (Changed(parts), Ok(applied)) => {
                let changed: Vec<&str> = applied.changes.iter().map(|change| change.part.as_str()).collect();
                if changed != parts {
                    wrong.push(format!("{name}: changed {changed:?}"));
                }
                let expected = fs::read(folder().join(format!("{name}.expected.eml"))).unwrap_or_default();
                if applied.bytes() != expected {
                    fs::write(folder().join(format!("{name}.actual.eml")), applied.bytes()).unwrap();
                    wrong.push(format!("{name}: see {name}.actual.eml"));
                }
                wrong.extend(sound(&input, &applied.bytes(), name));
            }
            (Left(reason), Ok(applied)) => {
                let reasons: Vec<&str> = applied.skipped.iter().map(|skipped| skipped.reason).collect();
                if applied.bytes() != input || reasons != [reason] || !applied.changes.is_empty() {
                    wrong.push(format!("{name}: {reasons:?}"));
                }
            }
            (Fails(expected), Err(failure)) if failure == expected => {}
            (_, applied) => wrong.push(format!("{name}: {:?}", applied.map(|applied| applied.changes))),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What holds for every edit.
fn sound(input: &[u8], output: &[u8], name: &str) -> Option<String> {
    if input.is_ascii() && !output.is_ascii() {
        return Some(format!("{name}: more than 7bit"));
    }
    let longest = output.split(|byte| *byte == b'\n').map(<[u8]>::len).max().unwrap_or(0);
    if longest > 999 {
        return Some(format!("{name}: a line of {longest}"));
    }
    let bare = output.windows(2).filter(|pair| pair[1] == b'\n' && pair[0] != b'\r').count();
    if input.windows(2).any(|pair| pair == b"\r\n") && bare > 0 {
        return Some(format!("{name}: a bare LF"));
    }
    let again = apply(&Message::parse(output.to_vec()), &edits(name), Transport::default());
    match again {
        Ok(again) if again.bytes() == output && again.changes.is_empty() => None,
        Ok(again) => Some(format!("{name}: twice is not once: {:?}", again.changes)),
        Err(failure) => Some(format!("{name}: twice: {failure}")),
    }
}

#[test]
fn every_fixture_is_tested() {
    let known: Vec<&str> = outcomes().into_iter().map(|(name, _)| name).collect();
    for entry in fs::read_dir(folder()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let Some(name) = name.strip_suffix(".eml") else { continue };
        let name = name.strip_suffix(".expected").or(name.strip_suffix(".actual")).unwrap_or(name);
        assert!(known.contains(&name), "{name}");
    }
}

#[test]
fn a_header_edit_that_cannot_be_written() {
    for edit in [
        Edit::SetHeader { name: "X-A".into(), value: "a\r\nBcc: b@c.example".into() },
        Edit::SetHeader { name: "X-A\r\nBcc".into(), value: "a".into() },
        Edit::SetHeader { name: "Content-Type".into(), value: "text/html".into() },
        Edit::RemoveHeader { name: "".into() },
        Edit::TagSubject { tag: "a\nb".into() },
    ] {
        assert!(matches!(edit.check(), Err(EditFailure::Invalid { .. })), "{edit:?}");
    }
    assert_eq!(Edit::SetHeader { name: "X-A".into(), value: "a".into() }.check(), Ok(()));
}

#[test]
fn edits_of_one_header_are_made_in_the_fixed_order() {
    let set = |value: &str| Edit::SetHeader { name: "X-A".into(), value: value.into() };
    let message = Message::parse(b"Subject: s\r\nCc: a@b.example\r\n\r\nHi\r\n".to_vec());
    let after =
        |edits: &[Edit]| String::from_utf8(apply(&message, edits, Transport::default()).unwrap().bytes()).unwrap();
    let remove = Edit::RemoveHeader { name: "X-A".into() };
    assert_eq!(after(&[set("1"), set("2")]), "Subject: s\r\nCc: a@b.example\r\nX-A: 2\r\n\r\nHi\r\n");
    assert_eq!(after(&[remove, set("1")]), "Subject: s\r\nCc: a@b.example\r\n\r\nHi\r\n");
    let set_cc = Edit::SetHeader { name: "Cc".into(), value: "c@d.example".into() };
    let tag = Edit::TagSubject { tag: "T".into() };
    assert_eq!(
        after(&[Edit::HideRecipients, set_cc, tag]),
        "Subject: [T] s\r\nTo: undisclosed-recipients:;\r\n\r\nHi\r\n"
    );
}

#[test]
fn several_notices_and_their_order() {
    let message = Message::parse(read("alternative-7bit.eml"));
    let edits = [notice("First notice", ""), notice("Second notice", "")];
    let once = apply(&message, &edits, Transport::default()).unwrap();
    let text = String::from_utf8(once.bytes()).unwrap();
    assert!(text.contains("Hello Ben\r\n\r\nFirst notice\r\n\r\nSecond notice\r\n--alt"), "{text}");
    let twice = apply(&Message::parse(once.bytes()), &edits, Transport::default()).unwrap();
    assert_eq!(twice.bytes(), once.bytes());
}

#[test]
fn a_notice_that_looks_like_a_boundary_fails_the_check() {
    let message = Message::parse(read("mixed-plain-pdf.eml"));
    let failure = apply(&message, &[notice("--mix", "")], Transport::default()).unwrap_err();
    assert!(matches!(failure, EditFailure::CheckFailed { .. }), "{failure}");
}
