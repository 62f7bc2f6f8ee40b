//! Where in a reply a notice stands, and that a second pass adds nothing. The place is written as `|`.

use super::*;
use base64::{Engine, engine::general_purpose::STANDARD};

const HEAD: &str = "From: a@ours.example\r\nSubject: Re: x\r\nIn-Reply-To: <1@x.example>\r\nMIME-Version: 1.0\r\n";

fn both(head: &str, marked: &str, kind: &str, at: Placement) {
    for encoding in ["8bit", "quoted-printable", "base64"] {
        let body = marked.replacen('|', "", 1);
        let written = match encoding {
            "quoted-printable" => body.replace('=', "=3D"),
            "base64" => STANDARD
                .encode(&body)
                .as_bytes()
                .chunks(76)
                .fold(String::new(), |lines, line| lines + std::str::from_utf8(line).unwrap() + "\r\n"),
            _ => body,
        };
        let head =
            format!("{head}Content-Type: text/{kind}; charset=utf-8\r\nContent-Transfer-Encoding: {encoding}\r\n");
        let message = Message::parse(format!("{head}\r\n{written}").into_bytes());
        let notice = Notice { plain: "The notice.".into(), html: "The notice.".into(), at, ..Notice::default() };
        let edits = [Edit::AppendNotice { notice: Arc::new(notice) }];
        let applied = apply(&message, &edits, Transport::default()).unwrap();
        let after = Message::parse(applied.bytes());
        let (content, _) = after.content(after.root(), usize::MAX);
        let text = std::str::from_utf8(&content).unwrap();
        let (before, behind) = marked.split_once('|').unwrap();
        let found = text.find("The notice.").expect("it is there");
        assert_eq!(text.matches("The notice.").count(), 1, "{encoding} {text}");
        assert!(text.starts_with(before) && text.ends_with(behind), "{encoding} {marked}\nbecame\n{text}");
        assert!((before.len()..text.len() - behind.len()).contains(&found), "{encoding} {marked}\nbecame\n{text}");
        let again = apply(&after, &edits, Transport::default()).unwrap();
        assert!(again.changes.is_empty() && again.notices_stand, "{encoding} {marked}: a second pass adds it again");
    }
}

#[test]
fn at_the_end_of_the_authors_own_text() {
    for (kind, marked) in [
        ("plain", "Hi\r\n|\r\nOn 3 May 2026, Ann wrote:\r\n> old\r\n> The end.\r\n"),
        ("plain", "Hi\r\n|\r\n-----Original Message-----\r\nFrom: Ann\r\nSent: Friday\r\nTo: me\r\n\r\nold\r\n"),
        ("plain", "> old\r\n\r\nHi\r\n|"),
        (
            "html",
            "<body><div>Hi</div><br>|<div class=\"gmail_quote\"><div>On 3 May 2026, Ann wrote:<br></div><blockquote>old</blockquote></div></body>",
        ),
        (
            "html",
            "<html><body><p>Hi</p>\r\n|<hr>\r\n<div><p><b>From:</b> Ann<br><b>Sent:</b> Friday<br><b>To:</b> me</p><p>old</p></div></body></html>",
        ),
        ("html", "<body><blockquote type=\"cite\">old</blockquote><p>Hi</p>|</body>"),
        ("html", "<body><table><tr><td>Hi</td></tr><tr><td><blockquote>old</blockquote></td></tr></table>|</body>"),
    ] {
        both(HEAD, marked, kind, Placement::EndOfOwnText);
    }
}

/// What only perhaps is a quotation may be the author's own: the notice stands behind it, and is found there again.
#[test]
fn behind_what_is_no_sure_quotation() {
    let new = "From: a@ours.example\r\nSubject: x\r\nMIME-Version: 1.0\r\n";
    for (kind, marked) in [
        ("plain", "Hi\r\n\r\nFrom: Ann\r\nSent: Friday\r\nTo: me\r\nSubject: x\r\n\r\nold\r\n\r\n|"),
        ("plain", "Hi\r\n\r\n> old\r\n\r\n|"),
        ("html", "<body><p>Hi</p><p><b>From:</b> Ann<br><b>Sent:</b> Friday<br><b>To:</b> me</p><p>old</p>|</body>"),
        ("html", "<body><p>Hi</p><blockquote>old</blockquote>|</body>"),
    ] {
        both(new, marked, kind, Placement::EndOfOwnText);
        both(new, marked, kind, Placement::EndOfMessage);
    }
    let marked = "<body><p>See my answers in red.</p><p><b>From:</b> Ann<br><b>Sent:</b> Friday<br><b>To:</b> me</p><p>old</p>|</body>";
    both(HEAD, marked, "html", Placement::EndOfOwnText);
}

#[test]
fn at_the_end_of_the_message() {
    for (kind, marked) in [
        ("plain", "Hi\r\n\r\nOn 3 May 2026, Ann wrote:\r\n> old\r\n> The end.\r\n|"),
        // Behind an unmarked quotation it would be read as part of it.
        ("plain", "Hi\r\n|\r\n-----Original Message-----\r\nFrom: Ann\r\nSent: Friday\r\nTo: me\r\n\r\nold\r\n"),
        ("html", "<body><div>Hi</div><br><blockquote>old</blockquote>|</body>"),
        (
            "html",
            "<body><p>Hi</p><hr><div><b>From:</b> Ann<br><b>Sent:</b> Friday<br><b>To:</b> me<p>old</p></div>|</body>",
        ),
    ] {
        both(HEAD, marked, kind, Placement::EndOfMessage);
    }
}

#[test]
fn lines_that_belong_together_and_what_another_notice_says_already() {
    let line = |plain: &str, known: &[&str], continues| {
        let known_by = known.iter().map(|words| words.to_string()).collect();
        let name = if known.is_empty() { "private" } else { "legal" }.into();
        let notice = Notice { name, plain: plain.into(), known_by, continues, ..Notice::default() };
        Edit::AppendNotice { notice: Arc::new(notice) }
    };
    let edits = [
        line("Private.", &[], false),
        line("Example Trust", &["example trust"], false),
        line("Registered charity 1234567", &["1234567"], true),
        line("Registered office: 1 The Street", &["1 the street"], true),
    ];
    let message = |text: &str| Message::parse(format!("From: a@ours.example\r\n\r\n{text}").into_bytes());
    for (text, expected) in [
        (
            "Hi\r\n",
            "Hi\r\n\r\nPrivate.\r\n\r\nExample Trust\r\nRegistered charity 1234567\r\nRegistered office: 1 The Street\r\n",
        ),
        (
            "Hi\r\n-- \r\nAnn, Example Trust (1234567)\r\n",
            "Hi\r\n-- \r\nAnn, Example Trust (1234567)\r\n\r\nPrivate.\r\n\r\nRegistered office: 1 The Street\r\n",
        ),
    ] {
        let applied = apply(&message(text), &edits, Transport::default()).unwrap();
        let bytes = String::from_utf8(applied.bytes()).unwrap();
        assert_eq!(bytes.split_once("\r\n\r\n").unwrap().1, expected);
        let again = apply(&message(expected), &edits, Transport::default()).unwrap();
        assert!(again.changes.is_empty(), "{:?}", again.changes);
    }
}
