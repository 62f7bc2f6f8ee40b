//! Texts as an administrator writes them, what becomes of them, and what is refused with its place.

use super::*;
use crate::policy::{
    directory::Written as Age,
    legal::{Kind, Part},
};
use std::time::Duration;
use time::OffsetDateTime;

fn address(text: &str) -> Address {
    Address::parse(text).unwrap()
}

fn person(of: &str, name: &str, groups: &[&str]) -> Person {
    Person {
        address: address(of),
        name: name.into(),
        title: String::new(),
        team: String::new(),
        phone: String::new(),
        manager: None,
        groups: groups.iter().map(|group| address(group)).collect(),
    }
}

fn directory() -> Directory {
    let ann = Person {
        title: "Advocate & <b>friend</b>".into(),
        phone: "020 7946 0000".into(),
        manager: Some(address("bob@ours.example")),
        ..person("ann@ours.example", "Ann \"A\" Example", &["advice@ours.example", "nameless@ours.example"])
    };
    let people = vec![
        ann,
        person("bob@ours.example", "Bob Example", &[]),
        person("advice@ours.example", "The advice team", &[]),
    ];
    Directory::new(people, Age { at: OffsetDateTime::UNIX_EPOCH, stale_after: Duration::MAX })
}

fn organisation() -> Organisation {
    let mut legal = Legal::default();
    legal.name = "Example Trust Ltd".into();
    legal.number = "01234567".into();
    (legal.kind, legal.registered_in) = (Some(Kind::LimitedCompany), Some(Part::Scotland));
    Organisation { name: "Example Trust".into(), legal }
}

/// Filled for Ann, for Bob of whom little is known, and for nobody.
fn filled(plain: Option<&str>, html: Option<&str>) -> [Option<(String, String)>; 3] {
    let source = |text: &str| Source::new("n.txt", text);
    let mut diagnostics = Diagnostics::default();
    let (plain, html) = (plain.map(source), html.map(source));
    let text = NoticeText::of_files(plain.as_ref(), html.as_ref(), &mut diagnostics);
    assert!(diagnostics.is_empty(), "{diagnostics}");
    let (organisation, directory) = (organisation(), directory());
    ["ann@ours.example", "bob@ours.example", "nobody@ours.example"].map(|author| {
        let author = address(author);
        let person = directory.person(&author);
        let values = Values { organisation: &organisation, author: Some(&author), person, directory: &directory };
        let notice = text.template.fill("n", Placement::default(), &values)?;
        Some((notice.plain.clone(), notice.html.clone()))
    })
}

fn plain(text: &str) -> [String; 3] {
    filled(Some(text), None).map(|filled| filled.map(|(plain, _)| plain).unwrap_or_default())
}

fn html(text: &str) -> [String; 3] {
    filled(None, Some(text)).map(|filled| filled.map(|(_, html)| html).unwrap_or_default())
}

#[test]
fn lines_with_a_field_that_is_not_known_are_left_out() {
    assert_eq!(
        plain(
            "{{sender.name}}\nTel. {{sender.phone}}\n\n{{ sender.title | \"One of us\" }} of {{organisation.name}}\r\n"
        ),
        [
            "Ann \"A\" Example\nTel. 020 7946 0000\n\nAdvocate & <b>friend</b> of Example Trust\n",
            "Bob Example\n\nOne of us of Example Trust\n",
            "One of us of Example Trust\n",
        ]
    );
    assert_eq!(
        plain("a\n\n{{sender.phone}}\n\nb\n\n{{sender.manager}} leads {{sender.group}}\n"),
        ["a\n\n020 7946 0000\n\nb\n\nBob Example leads The advice team\n", "a\n\nb\n", "a\n\nb\n"]
    );
    assert_eq!(plain("{{sender.phone}}\n")[1..], ["", ""], "nothing is left: no notice");
    assert_eq!(
        plain("{{organisation.registered-name}} {{organisation.registered-in}} {{organisation.registered-number}}")[2],
        "Example Trust Ltd Scotland 01234567\n"
    );
    assert_eq!(plain("x {{organisation.charity-number | sender.address}}")[2], "x nobody@ours.example\n");
}

#[test]
fn html_of_plain_text_is_escaped_with_paragraphs_and_links() {
    let [ann, bob, _] = filled(
        Some("{{sender.name}}\n{{sender.title}}\n\nSee https://ours.example/a?b&c, or (office@ours.example).\n"),
        None,
    );
    let end = "<p>See <a href=\"https://ours.example/a?b&amp;c\">https://ours.example/a?b&amp;c</a>, or \
               (<a href=\"mailto:office@ours.example\">office@ours.example</a>).</p>";
    assert_eq!(
        ann.unwrap().1,
        format!("<p>Ann &quot;A&quot; Example<br>Advocate &amp; &lt;b&gt;friend&lt;/b&gt;</p>{end}")
    );
    assert_eq!(bob.unwrap().1, format!("<p>Bob Example</p>{end}"));
}

#[test]
fn plain_text_of_html_is_readable() {
    let fragment = "<p><b>{{sender.name}}</b><br>\n{{sender.title}}</p>\n<ul><li>A &amp; B</li><li>Caf&eacute;</li></ul>\n\
                    <p>See <a href=\"https://ours.example\">our pages</a>, <a href=\"mailto:{{sender.address}}\">{{sender.address}}</a> or \
                    <a href=\"tel:{{sender.phone}}\">{{sender.phone}}</a></p><table><tr><td>Tel.</td><td>1</td></tr></table>";
    let [ann, bob, _] = filled(None, Some(fragment));
    let ann = ann.unwrap();
    assert!(ann.1.contains("<a href=\"tel:02079460000\">020 7946 0000</a>"), "{}", ann.1);
    assert_eq!(
        ann.0,
        "Ann \"A\" Example\nAdvocate & <b>friend</b>\n\n* A & B\n* Café\n\nSee our pages (https://ours.example), ann@ours.example or \
         020 7946 0000\n\nTel. 1\n"
    );
    assert_eq!(
        bob.unwrap().0,
        "Bob Example\n\n* A & B\n* Café\n\nTel. 1\n",
        "the line with the missing telephone is left out"
    );
}

#[test]
fn lines_rows_and_elements_of_html_are_left_out_whole() {
    for (fragment, bob) in [
        ("<p>{{sender.name}}<br>{{sender.title}}<br>end</p>", "<p>Bob Example<br>end</p>"),
        ("<p>{{sender.name}}<br><b>{{sender.title}}</b></p>", "<p>Bob Example</p>"),
        ("<p>{{sender.phone}}</p><p>x</p>", "<p>x</p>"),
        ("<div><p>{{sender.phone}}</p></div><p>x</p>", "<p>x</p>"),
        ("<ul><li>a</li><li>{{sender.phone}}</li></ul>", "<ul><li>a</li></ul>"),
        (
            "<table><tr><td>a</td></tr><tr><td>Tel.</td><td>{{sender.phone}}</td></tr></table>",
            "<table><tr><td>a</td></tr></table>",
        ),
        (
            "<span style='color:red'>{{sender.name}}<br>{{sender.phone}}</span>",
            "<span style='color:red'>Bob Example</span>",
        ),
        ("<p><a href=\"tel:{{sender.phone}}\">call</a></p><p>x</p>", "<p>x</p>"),
        ("<p>{{sender.phone | \"none\"}}</p>", "<p>none</p>"),
        ("<p>x<br/><hr>{{sender.name}}</p>", "<p>x<br/><hr>Bob Example</p>"),
        ("<p></p><p>x</p>", "<p></p><p>x</p>"),
    ] {
        assert_eq!(html(fragment)[1], bob, "{fragment}");
    }
}

#[test]
fn a_field_brings_neither_markup_nor_another_field() {
    let hostile = Person { name: "{{sender.phone}} </p><script>'\"&".into(), ..person("ann@ours.example", "", &[]) };
    let directory = Directory::new(vec![hostile], Age { at: OffsetDateTime::UNIX_EPOCH, stale_after: Duration::MAX });
    let source =
        Source::new("n.html", "<p title=\"t\">{{sender.name}}</p><a href=\"https://x.example/?{{sender.name}}\">x</a>");
    let text = NoticeText::of_files(None, Some(&source), &mut Diagnostics::default());
    let (organisation, author) = (organisation(), address("ann@ours.example"));
    let person = directory.person(&author);
    let values = Values { organisation: &organisation, author: Some(&author), person, directory: &directory };
    let notice = text.template.fill("n", Placement::default(), &values).unwrap();
    assert_eq!(
        notice.html,
        "<p title=\"t\">&#123;&#123;sender.phone}} &lt;/p&gt;&lt;script&gt;&#39;&quot;&amp;</p>\
         <a href=\"https://x.example/?%7B%7Bsender.phone%7D%7D%3C%2Fp%3E%3Cscript%3E%27%22%26\">x</a>"
    );
    assert!(notice.plain.starts_with("{{sender.phone}} </p><script>'\"&\n"), "{}", notice.plain);
}

#[test]
fn bad_texts_are_refused_with_their_place() {
    let mistakes = |plain: Option<&str>, html: Option<&str>| {
        let mut diagnostics = Diagnostics::default();
        let source = |text: &str| Source::new("n", text);
        NoticeText::of_files(plain.map(source).as_ref(), html.map(source).as_ref(), &mut diagnostics);
        diagnostics.to_string()
    };
    for (text, expected) in [
        (
            "a\nDear {{sender.nam}}",
            "n:2:8: there is no field `sender.nam` (did you mean `sender.name`? allowed: sender.name, ",
        ),
        ("a\n{{sender.name", "n:2:1: nothing closes this field ("),
        ("{{sender.name\n}}", "n:1:1: nothing closes this field ("),
        ("a }} b", "n:1:3: this closes no field ("),
        ("{{}}", "n:1:3: there is no field ``"),
        ("{{sender.name | }}", "there is no field ``"),
        ("a\u{7}", "n:1:2: a control character in a notice ("),
    ] {
        let found = mistakes(Some(text), None);
        assert!(found.contains(expected), "{text}\ngives\n{found}");
    }
    for (text, expected) in [
        ("<p>a\n<b>b</p>", "n:2:5: `</p>` closes across another element (`</b>` comes first)"),
        ("<p>a", "n:1:1: `<p>` is not closed"),
        ("a</p>", "n:1:2: `</p>` closes nothing"),
        ("a < b", "n:1:3: this tag does not end (a `<` that is none is written &lt;)"),
        ("<>", "n:1:1: this is no tag"),
        ("<p>x</p><!-- y -->", "n:1:9: a comment would go out with every message"),
        ("<script>alert(1)</script>", "n:1:1: `<script` cannot stand in a notice (allowed: p, div, "),
        (
            "<img src=\"https://x.example/p.png\">",
            "n:1:1: `<img` cannot stand in a notice: nothing is fetched from elsewhere",
        ),
        ("<blockquote>x</blockquote>", "n:1:1: `<blockquote` would be read as a quotation"),
        ("<BODY>", "n:1:1: `<body` cannot stand in a notice (allowed: a fragment of HTML, as it stands within <body>)"),
        ("<p onclick=\"x()\">x</p>", "n:1:4: `onclick` would run a script"),
        ("<p class=\"x\">x</p>", "n:1:4: `class` cannot stand in <p> of a notice"),
        ("<p style=\"background: URL(x)\">x</p>", "n:1:11: `url(` cannot stand in a style"),
        ("<p style=\"display : none\">x</p>", "n:1:11: `display:none`: a notice is there to be seen"),
        ("<p style=\"color:{{sender.name}}\">x</p>", "n:1:11: no field can stand here"),
        ("<p align=left>x</p>", "n:1:4: `align` has no value in quotation marks"),
        ("<a href=\"javascript:x\">x</a>", "n:1:10: no link that every mail program follows"),
        ("<a href=\"{{sender.name}}\">x</a>", "n:1:10: no link that every mail program follows"),
        ("<a href=\"https://x\">{{sender.nme}}</a>", "n:1:23: there is no field `sender.nme`"),
    ] {
        let found = mistakes(None, Some(text));
        assert!(found.contains(expected), "{text}\ngives\n{found}");
    }
    let long = "x".repeat(999);
    assert!(mistakes(None, Some(&format!("a\n{long}"))).contains("n:2:1: a line of a notice is too long for mail"));
}
