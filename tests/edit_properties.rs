//! For any generated message: everything outside the edited parts is byte-identical, an edited part reads as before
//! and then the notice, twice is once, and nothing asks more of transport.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "properties/verified.rs"]
mod verified;

use base64::{Engine, engine::general_purpose::STANDARD};
use mail_parser::{MessageParser, MimeHeaders};
use outgate::mail::{
    Edit, Message, Part,
    edit::{Instead, Notice, Seal, Transport, apply},
};
use proptest::prelude::*;
use std::{collections::BTreeMap, sync::Arc};

#[derive(Clone, Debug)]
enum Node {
    Text { html: bool, charset: &'static str, encoding: &'static str, text: String },
    File { bytes: Vec<u8>, inline: bool },
    Forward(Box<Node>),
    Multipart { subtype: &'static str, children: Vec<Node>, preamble: String },
}

impl Node {
    /// Header fields, empty line and body of one part; no line break at the end.
    fn write(&self, path: &str, out: &mut Vec<u8>) {
        match self {
            Node::Text { html, charset, encoding, text } => {
                let kind = if *html { "html" } else { "plain" };
                out.extend(
                    format!(
                        "Content-Type: text/{kind}; charset={charset}\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n"
                    )
                    .bytes(),
                );
                let text = if *html { format!("<html><body><p>{text}</p></body></html>") } else { text.clone() };
                out.extend(encode(&in_charset(&text, charset), encoding));
            }
            Node::File { bytes, inline } => {
                let disposition = if *inline { "inline" } else { "attachment" };
                out.extend(format!("Content-Type: image/png\r\nContent-Disposition: {disposition}; filename=\"a.png\"\r\nContent-Transfer-Encoding: base64\r\n\r\n").bytes());
                out.extend(encode(bytes, "base64"));
            }
            Node::Forward(inner) => {
                out.extend(b"Content-Type: message/rfc822\r\n\r\nSubject: inner\r\nMIME-Version: 1.0\r\n");
                inner.write(&format!("{path}f"), out);
            }
            Node::Multipart { subtype, children, preamble } => {
                let boundary = format!("b{path}b");
                out.extend(
                    format!("Content-Type: multipart/{subtype}; boundary=\"{boundary}\"\r\n\r\n{preamble}").bytes(),
                );
                for (index, child) in children.iter().enumerate() {
                    out.extend(format!("\r\n--{boundary}\r\n").bytes());
                    child.write(&format!("{path}{index}"), out);
                }
                out.extend(format!("\r\n--{boundary}--\r\n").bytes());
            }
        }
    }
}

fn in_charset(text: &str, charset: &str) -> Vec<u8> {
    match charset {
        "utf-16le" => text.encode_utf16().flat_map(u16::to_le_bytes).collect(),
        "us-ascii" => text.chars().filter(char::is_ascii).collect::<String>().into_bytes(),
        _ => {
            let encoding = encoding_rs::Encoding::for_label(charset.as_bytes()).expect("a known label");
            let carried: String = text.chars().filter(|c| !encoding.encode(&c.to_string()).2).collect();
            encoding.encode(&carried).0.into_owned()
        }
    }
}

fn encode(content: &[u8], encoding: &str) -> Vec<u8> {
    match encoding {
        "base64" => {
            let lines: Vec<String> = STANDARD
                .encode(content)
                .as_bytes()
                .chunks(76)
                .map(|line| String::from_utf8_lossy(line).into_owned())
                .collect();
            lines.join("\r\n").into_bytes()
        }
        "quoted-printable" => {
            let mut out = Vec::new();
            for (at, byte) in content.iter().enumerate() {
                let plain = byte.is_ascii_alphanumeric() || b"<>/,.\r\n".contains(byte);
                match plain {
                    true => out.push(*byte),
                    false => out.extend(format!("={byte:02X}").bytes()),
                }
                if at % 20 == 19 && *byte != b'\r' {
                    out.extend(b"=\r\n");
                }
            }
            out
        }
        _ => content.to_vec(),
    }
}

/// Words that no zone parser takes for a quotation.
fn text() -> impl Strategy<Value = String> {
    let line = "([a-zA-Z]{1,12}|[0-9]{1,4}|é|ü|Привет|日本|=|--)( ([a-zA-Z]{1,12}|,|=3D|£|ß|да|語)){0,14} {0,2}";
    (proptest::collection::vec(line, 0..6), prop_oneof![Just(""), Just("\r\n"), Just("\r\n\r\n")])
        .prop_map(|(lines, end)| lines.join("\r\n") + end)
}

fn leaf_text() -> impl Strategy<Value = Node> {
    let form = prop_oneof![
        Just(("us-ascii", "7bit")),
        Just(("utf-8", "8bit")),
        Just(("utf-8", "quoted-printable")),
        Just(("utf-8", "base64")),
        Just(("iso-8859-1", "8bit")),
        Just(("iso-8859-1", "quoted-printable")),
        Just(("windows-1252", "base64")),
        Just(("koi8-r", "8bit")),
        Just(("koi8-r", "quoted-printable")),
        Just(("iso-2022-jp", "7bit")),
        Just(("shift_jis", "base64")),
        Just(("utf-16le", "base64")),
    ];
    (any::<bool>(), form, text()).prop_map(|(html, (charset, encoding), text)| Node::Text {
        html,
        charset,
        encoding,
        text,
    })
}

fn node() -> impl Strategy<Value = Node> {
    let file = (proptest::collection::vec(any::<u8>(), 0..300), any::<bool>())
        .prop_map(|(bytes, inline)| Node::File { bytes, inline });
    let leaf = prop_oneof![4 => leaf_text(), 1 => file];
    leaf.prop_recursive(3, 12, 4, |inner| {
        let subtype = prop_oneof![Just("mixed"), Just("alternative"), Just("related")];
        let preamble = prop_oneof![Just(String::new()), Just("A preamble.\r\n".to_owned())];
        let many = (subtype, proptest::collection::vec(inner.clone(), 1..4), preamble)
            .prop_map(|(subtype, children, preamble)| Node::Multipart { subtype, children, preamble });
        prop_oneof![5 => many, 1 => inner.prop_map(|inner| Node::Forward(Box::new(inner)))]
    })
}

fn message(node: &Node) -> Vec<u8> {
    let mut out = b"From: ada@ours.example\r\nTo: ben@elsewhere.example,\r\n\tcleo@elsewhere.example\r\nSubject: Plans\r\nCc: dan@elsewhere.example\r\nMIME-Version: 1.0\r\n".to_vec();
    node.write("", &mut out);
    out
}

fn notice(plain: &str) -> Edit {
    Edit::AppendNotice {
        notice: Arc::new(Notice { name: "n".into(), plain: plain.into(), html: String::new(), ..Notice::default() }),
    }
}

/// For messages that are sealed in any way.
fn notice_around(plain: &str, instead: Instead) -> Edit {
    let sealed = BTreeMap::from(Seal::ALL.map(|seal| (seal, instead)));
    Edit::AppendNotice { notice: Arc::new(Notice { plain: plain.into(), sealed, ..Notice::default() }) }
}

/// The header of a message that something sealed, of which no reader of ours looks at the signature.
fn sealed(seal: usize, body: &[u8]) -> Vec<u8> {
    let (kind, before, behind) = [
        (
            "multipart/signed; protocol=\"application/pkcs7-signature\"; boundary=seal",
            "--seal\r\n",
            "\r\n--seal\r\nContent-Type: application/pkcs7-signature\r\n\r\nAAAA\r\n--seal--\r\n",
        ),
        (
            "multipart/signed; protocol=\"application/pgp-signature\"; boundary=seal",
            "--seal\r\n",
            "\r\n--seal\r\nContent-Type: application/pgp-signature\r\n\r\nAAAA\r\n--seal--",
        ),
        (
            "multipart/encrypted; protocol=\"application/pgp-encrypted\"; boundary=seal",
            "--seal\r\nContent-Type: application/pgp-encrypted\r\n\r\nVersion: 1\r\n--seal\r\n",
            "\r\n--seal--\r\n",
        ),
    ][seal];
    let encoding = if body.is_ascii() { "7bit" } else { "8bit" };
    let header = format!(
        "From: ada@ours.example\r\nBcc: dan@elsewhere.example\r\nSubject: Plans\r\nMIME-Version: 1.0\r\nContent-Type: {kind}\r\n\
         Content-Transfer-Encoding: {encoding}\r\nTo: ben@elsewhere.example\r\n\r\n{before}"
    );
    [header.as_bytes(), body, behind.as_bytes()].concat()
}

fn span(part: &Part) -> std::ops::Range<usize> {
    part.header.start..part.body.end
}

/// The edited message with the edited parts put back as they were.
fn put_back(before: &Message, after: &Message, edited: &[usize]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut at = 0;
    for index in edited {
        let (old, new) = (span(&before.parts()[*index]), span(&after.parts()[*index]));
        out.extend_from_slice(&after.read(at..new.start));
        out.extend_from_slice(&before.read(old));
        at = new.end;
    }
    out.extend_from_slice(&after.read(at..after.len()));
    out
}

fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn nested_forward(node: &Node) -> bool {
    fn forwards(node: &Node, within: bool) -> bool {
        match node {
            Node::Text { .. } | Node::File { .. } => false,
            Node::Forward(inner) => within || forwards(inner, true),
            Node::Multipart { children, .. } => children.iter().any(|child| forwards(child, within)),
        }
    }
    forwards(node, false)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn a_notice_changes_its_parts_and_nothing_else(
        node in node(),
        wording in prop_oneof![Just("This notice is plain."), Just("Costs £5 at the café"), Just("Bitte “nicht” – 日本")],
    ) {
        let bytes = message(&node);
        let before = Message::parse(bytes.clone());
        prop_assume!(before.ambiguous().is_empty());
        let edits = [notice(wording)];
        let applied = match apply(&before, &edits, Transport::default()) {
            Ok(applied) => applied,
            Err(failure) => {
                // mail-parser loses the part behind a forward that holds a forward.
                let no_place = failure.to_string() == "append-notice: the message has no part that can take it";
                prop_assert!(no_place || nested_forward(&node), "{}", failure);
                return Ok(());
            }
        };
        let after = Message::parse(applied.bytes());
        if applied.changes.iter().any(|change| change.kind == "wrap") {
            // Files alone: all of it stands behind a text with the notice.
            prop_assert!(memchr::memmem::find(&applied.bytes(), &bytes[before.root().body.clone()]).is_some());
            let note = after.text(&after.parts()[1]).text;
            prop_assert_eq!(words(&note), words(wording));
            prop_assert_eq!(apply(&after, &edits, Transport::default()).unwrap().bytes(), applied.bytes());
            return Ok(());
        }
        let place = |id: &str| before.parts().iter().position(|part| part.id.as_str() == id).unwrap();
        let edited: Vec<usize> = applied.changes.iter().map(|change| place(change.part.as_str())).collect();
        prop_assert!(!edited.is_empty());
        prop_assert_eq!(put_back(&before, &after, &edited), bytes.clone());
        prop_assert!(!bytes.is_ascii() || applied.bytes().is_ascii());
        prop_assert!(applied.bytes().split(|byte| *byte == b'\n').all(|line| line.len() <= 999));

        let unedited = MessageParser::new().parse(&bytes).unwrap();
        let left = applied.bytes();
        let independent = MessageParser::new().parse(&left).unwrap();
        for index in edited {
            let (old, new) = (&before.parts()[index], &after.parts()[index]);
            let old_start = old.body.start;
            prop_assert!(!new.enclosed);
            let (old, new_text) = (before.text(old).text, after.text(new).text);
            if new.content_type.subtype == "plain" {
                prop_assert!(new_text.starts_with(&old), "{:?} then {:?}", old, new_text);
                prop_assert_eq!(words(&new_text[old.len()..]), wording);
            } else {
                prop_assert_eq!(words(&new_text), words(&format!("{old} {wording}")));
            }
            // mail-parser loses the part behind a forward that holds a forward: what it did not see before it need not see now.
            let at = |tree: &mail_parser::Message<'_>, start: usize| {
                tree.parts.iter().position(|part| part.offset_body as usize == start)
            };
            if nested_forward(&node) && at(&unedited, old_start).is_none() {
                continue;
            }
            let seen = &independent.parts[at(&independent, new.body.start).expect("the independent parser sees the part")];
            prop_assert!(seen.content_type().is_some());
            let shown = if new.content_type.subtype == "plain" { wording } else { "<p>" };
            prop_assert!(words(seen.text_contents().unwrap()).contains(shown));
        }
        let again = apply(&after, &edits, Transport::default()).unwrap();
        prop_assert!(again.changes.is_empty());
        prop_assert_eq!(again.bytes(), applied.bytes());
    }

    /// What is sealed stands in what leaves byte for byte, the header with its content; hidden recipients stand nowhere; twice
    /// is once.
    #[test]
    fn a_sealed_message_goes_whole_into_a_new_one(
        node in node(),
        seal in 0..3_usize,
        covering in any::<bool>(),
        lf in any::<bool>(),
        wording in prop_oneof![Just("This notice is plain."), Just("Costs £5 at the café"), Just("Bitte “nicht” – 日本")],
    ) {
        let mut part = Vec::new();
        node.write("", &mut part);
        let mut bytes = sealed(seal, &part);
        if lf {
            bytes.retain(|byte| *byte != b'\r');
        }
        let before = Message::parse(bytes.clone());
        prop_assume!(before.ambiguous().is_empty());
        let instead = if covering { Instead::CoveringNote } else { Instead::Wrap };
        let edits = [Edit::RemoveHeader { name: "Bcc".into() }, notice_around(wording, instead)];
        let applied = match apply(&before, &edits, Transport::default()) {
            Ok(applied) => applied,
            // mail-parser loses the part behind a forward that holds a forward.
            Err(failure) => {
                prop_assert!(nested_forward(&node), "{}", failure);
                return Ok(());
            }
        };
        let left = applied.bytes();
        let body = &bytes[before.root().body.clone()];
        prop_assert!(memchr::memmem::find(&left, body).is_some());
        prop_assert!(memchr::memmem::find(&left, b"dan@elsewhere.example").is_none());
        prop_assert_eq!(memchr::memmem::find_iter(&left, b"ben@elsewhere.example").count(), 1);
        prop_assert!(!bytes.is_ascii() || left.is_ascii());
        prop_assert!(lf != left.contains(&b'\r'));
        let after = Message::parse(left.clone());
        prop_assert!(after.ambiguous().is_empty());
        let note = &after.parts()[if covering { 1 } else { after.parts().len() - 1 }];
        let says = after.text(note).text;
        prop_assert_eq!(says.trim(), wording);
        let again = apply(&after, &edits, Transport::default()).unwrap();
        prop_assert_eq!(again.bytes(), left);
    }

    #[test]
    fn hidden_recipients_leave_the_body_alone(node in node()) {
        let bytes = message(&node);
        let before = Message::parse(bytes.clone());
        let applied = apply(&before, &[Edit::HideRecipients], Transport::default()).unwrap();
        let body = before.root().body.start;
        prop_assert!(applied.bytes().ends_with(&bytes[body..]));
        let head = String::from_utf8(applied.bytes()[..applied.bytes().len() - (bytes.len() - body)].to_vec()).unwrap();
        let expected = String::from_utf8(bytes[..body].to_vec()).unwrap()
            .replace("To: ben@elsewhere.example,\r\n\tcleo@elsewhere.example\r\n", "To: undisclosed-recipients:;\r\n")
            .replace("Cc: dan@elsewhere.example\r\n", "");
        prop_assert_eq!(head, expected);
    }

    /// However and wherever a header names those whom To and Cc name: afterwards none of them stands in any field but those
    /// of authors, and nothing else has changed.
    #[test]
    fn hidden_recipients_stand_nowhere_any_more(
        fields in prop::collection::vec((0..FIELDS.len(), prop::collection::vec((0..6usize, 0..6usize), 1..5)), 1..8),
        only in any::<bool>(),
    ) {
        let mut header = String::from("From: Ann <ann@ours.example>\r\nX-Kept: p9@elsewhere.example\r\n");
        let mut hidden = std::collections::BTreeSet::new();
        for (name, people) in &fields {
            let name = FIELDS[*name];
            let value: Vec<String> = people.iter().map(|(person, spelling)| spelled(*person, *spelling)).collect();
            header.push_str(&format!("{name}: {}\r\n", value.join(",\r\n ")));
            if NAMES.contains(&name) || (name == "Reply-To" && distinct(people) > 3) {
                hidden.extend(people.iter().map(|(person, _)| address(*person)));
            }
        }
        header.push_str("Message-ID: <1@ours.example>\r\nSubject: x\r\n\r\np1@elsewhere.example\r\n");
        let before = Message::parse(header.clone().into_bytes());
        let edit = match only {
            true => Edit::ShowOnly { address: outgate::mail::Address::parse("ann@ours.example").unwrap() },
            false => Edit::HideRecipients,
        };
        let after = Message::parse(apply(&before, std::slice::from_ref(&edit), Transport::default()).unwrap().bytes());
        for field in &after.root().fields {
            let name = String::from_utf8(after.read(field.name.clone()).to_vec()).unwrap();
            let text = after.field_text(field).text.to_lowercase();
            let raw = String::from_utf8(after.read(field.value.clone()).to_vec()).unwrap().to_lowercase();
            let named: Vec<_> = hidden.iter().filter(|one| text.contains(*one) || raw.contains(*one)).collect();
            let answers = (0..6).filter(|person| text.contains(&address(*person))).count();
            let one_answer = ["Reply-To", "Mail-Followup-To"].contains(&name.as_str()) && answers == 1;
            prop_assert!(named.is_empty() || one_answer, "{name}: {named:?} in {text}\nof {header}");
        }
        prop_assert_eq!(after.fields(after.root(), "X-Kept").count(), 1);
        prop_assert!(after.read(0..after.len()).ends_with(b"Subject: x\r\n\r\np1@elsewhere.example\r\n") || only);
        let again = apply(&after, &[edit], Transport::default()).unwrap();
        prop_assert_eq!(again.bytes(), after.read(0..after.len()).to_vec());
    }
}

/// Fields by which a recipient is named, and others in which one may stand.
const FIELDS: [&str; 11] = [
    "To",
    "Cc",
    "Bcc",
    "Resent-To",
    "X-Envelope-To",
    "Delivered-To",
    "Reply-To",
    "Mail-Followup-To",
    "X-Team",
    "List-Post",
    "to",
];
const NAMES: [&str; 7] = ["To", "Cc", "Bcc", "Resent-To", "X-Envelope-To", "Delivered-To", "to"];

fn address(person: usize) -> String {
    format!("p{person}@elsewhere.example")
}

fn distinct(people: &[(usize, usize)]) -> usize {
    people.iter().map(|(person, _)| person).collect::<std::collections::BTreeSet<_>>().len()
}

/// One address as clients and people write it.
fn spelled(person: usize, spelling: usize) -> String {
    let address = address(person);
    match spelling {
        0 => address,
        1 => format!("Person <{}>", address.to_uppercase()),
        2 => format!("\"{address}\" <{address}>"),
        3 => format!("=?utf-8?q?{}?= <{address}>", address.replace('@', "=40")),
        4 => format!("Friends: {address};"),
        _ => format!("'{address}' <{address}>"),
    }
}
