//! The golden set as Chromium shows it: the notice can be seen, once, behind the author's words and in front of the quotation.

use super::edited;
use super::letters::{Becomes, Letter, NOTICE, notice, of_charsets, of_clients};
use mail_parser::{MessageParser, PartType};
use serde::Deserialize;
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Asks each frame what a reader sees of it. The contrast is that of WCAG 2.2 (1.4.3), of the notice's first words against what
/// lies behind them.
const LOOK: &str = r"
const fold = text => text.replace(/\s+/g, ' ').trim();
const light = colour => {
  const [r, g, b] = colour.match(/[\d.]+/g).map(Number).map(c => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const behind = (element, view) => {
  for (; element; element = element.parentElement) {
    const colour = view.getComputedStyle(element).backgroundColor;
    if (!/^rgba\(.*, 0\)$|transparent/.test(colour)) return colour;
  }
  return 'rgb(255, 255, 255)';
};
const look = frame => {
  const doc = frame.contentDocument, view = frame.contentWindow, words = 'This message may be confidential';
  const walker = doc.createTreeWalker(doc.documentElement, NodeFilter.SHOW_TEXT);
  let seen = [], node;
  while ((node = walker.nextNode())) {
    const at = node.data.indexOf(words);
    if (at < 0) continue;
    const range = doc.createRange();
    range.setStart(node, at); range.setEnd(node, at + words.length);
    const box = range.getBoundingClientRect(), style = view.getComputedStyle(node.parentElement);
    const [a, b] = [light(style.color), light(behind(node.parentElement, view))].sort((a, b) => b - a);
    seen.push({ width: box.width, height: box.height, left: box.left, size: parseFloat(style.fontSize), contrast: (a + 0.05) / (b + 0.05) });
  }
  return { text: fold(doc.body.innerText), dark: matchMedia('(prefers-color-scheme: dark)').matches, seen };
};
addEventListener('load', () => {
  const told = [...document.querySelectorAll('iframe')].map(look);
  document.body.innerHTML = '<pre id=told>' + btoa(unescape(encodeURIComponent(JSON.stringify(told)))) + '</pre>';
});";

#[derive(Deserialize)]
struct Shown {
    text: String,
    dark: bool,
    seen: Vec<Seen>,
}

#[derive(Debug, Deserialize)]
struct Seen {
    width: f64,
    height: f64,
    left: f64,
    size: f64,
    contrast: f64,
}

/// As a reader has it who wants dark pages.
const DARK: &str = "--blink-settings=preferredColorScheme=0";

fn attribute(text: &str) -> String {
    text.replace('&', "&amp;").replace('"', "&quot;")
}

/// Without a network, and with a profile of its own.
fn chromium(folder: &Path, arguments: &[&str], page: &Path) -> String {
    let output = Command::new("chromium")
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--hide-scrollbars"])
        .args([
            "--host-resolver-rules=MAP * ~NOTFOUND",
            "--disable-background-networking",
            "--virtual-time-budget=30000",
        ])
        .arg(format!("--user-data-dir={}", folder.join("profile").display()))
        .args(arguments)
        .arg(format!("file://{}", page.display()))
        .output()
        .expect("chromium");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn asked(folder: &Path, frames: &[String], arguments: &[&str]) -> Vec<Shown> {
    let frames: String = frames
        .iter()
        .map(|html| {
            format!("<iframe sandbox=allow-same-origin width=800 height=600 srcdoc=\"{}\"></iframe>\n", attribute(html))
        })
        .collect();
    let page = folder.join("page.html");
    fs::write(&page, format!("<!doctype html><meta charset=utf-8><body>{frames}<script>{LOOK}</script>")).unwrap();
    let dom = chromium(folder, &[arguments, &["--dump-dom"]].concat(), &page);
    let (_, told) = dom.split_once("<pre id=\"told\">").expect("what the frames show");
    use base64::{Engine, engine::general_purpose::STANDARD};
    let told = STANDARD.decode(told.split('<').next().unwrap()).unwrap();
    serde_json::from_slice(&told).unwrap()
}

/// What a program that shows HTML shows of the message, by another parser than ours: all texts, one below the other.
fn html_of(bytes: &[u8]) -> Option<String> {
    let message = MessageParser::default().parse(bytes)?;
    let parts = message.html_body.iter().map(|id| &message.parts[*id as usize]);
    let html = parts.filter_map(|part| match &part.body {
        PartType::Html(text) => Some(text.to_string()),
        _ => None,
    });
    Some(html.collect::<String>()).filter(|html| !html.is_empty())
}

fn folded(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn noticed() -> Vec<(Letter, Vec<u8>)> {
    let letters = of_clients().into_iter().chain(of_charsets());
    let noticed = letters.filter(|letter| letter.becomes() == Becomes::Noticed);
    noticed
        .map(|letter| (edited(&letter.bytes, &[notice(NOTICE)]).unwrap().bytes(), letter))
        .map(|(b, l)| (l, b))
        .collect()
}

/// What a reader would not see as intended.
fn faults(letter: &Letter, shown: &Shown) -> Vec<String> {
    let mut faults = Vec::new();
    let text = &shown.text;
    let words = folded(NOTICE);
    if text.matches(&words).count() != 1 {
        faults.push(format!("the notice can be read {} times", text.matches(&words).count()));
    }
    let at = text.find(&words).unwrap_or(0);
    if !text[..at].contains(&folded(&letter.behind)) {
        faults.push("it does not stand behind the author's words".into());
    }
    if !letter.front.is_empty() && !text[at..].contains(&folded(&letter.front)) {
        faults.push("it does not stand in front of the quotation".into());
    }
    let legible = |seen: &Seen| {
        seen.width > 50.0
            && seen.height >= 8.0
            && (0.0..700.0).contains(&seen.left)
            && seen.size >= 9.0
            && seen.contrast >= 4.5
    };
    if !shown.seen.iter().any(legible) {
        faults.push(format!("nobody can read it: {:?}", shown.seen));
    }
    faults
}

#[test]
fn chromium_shows_the_notice_once_at_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let (letters, frames): (Vec<Letter>, Vec<String>) =
        noticed().into_iter().filter_map(|(letter, bytes)| Some((letter, html_of(&bytes)?))).unzip();
    let mut wrong = Vec::new();
    for (scheme, arguments) in [("light", &[][..]), ("dark", &[DARK][..])] {
        let shown = asked(folder.path(), &frames, arguments);
        assert_eq!(shown.len(), letters.len());
        for (letter, shown) in letters.iter().zip(&shown) {
            assert_eq!(shown.dark, scheme == "dark");
            wrong.extend(faults(letter, shown).into_iter().map(|fault| format!("{} ({scheme}): {fault}", letter.name)));
        }
    }
    println!("chromium: {} letters, light and dark, {} wrong", letters.len(), wrong.len());
    assert!(letters.len() >= 150 && wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_look_finds_what_nobody_sees() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = NOTICE.split_once("\n\n").unwrap();
    let paragraphs = format!("<p>{first}</p><p>{second}</p>");
    let cases = [
        ("fine", format!("<p>Ada</p>{paragraphs}")),
        ("hidden", format!("<p>Ada</p><div style='display:none'>{paragraphs}</div>")),
        ("white on white", format!("<p>Ada</p><div style='color:#fff'>{paragraphs}</div>")),
        ("tiny", format!("<p>Ada</p><div style='font-size:1px'>{paragraphs}</div>")),
        ("twice", format!("<p>Ada</p>{paragraphs}{paragraphs}")),
        ("in front", format!("{paragraphs}<p>Ada</p>")),
        ("a comment", format!("<p>Ada</p><!-- {paragraphs} -->")),
        ("far to the left", format!("<p>Ada</p><div style='position:absolute;left:-4000px'>{paragraphs}</div>")),
    ];
    let frames: Vec<String> = cases.iter().map(|(_, html)| html.clone()).collect();
    let (bytes, name, what) = (Vec::new(), String::new(), "notice".into());
    let letter = Letter { name, bytes, what, behind: "Ada".into(), front: String::new() };
    for ((case, _), shown) in cases.iter().zip(asked(folder.path(), &frames, &[])) {
        assert_eq!(faults(&letter, &shown).is_empty(), *case == "fine", "{case}: {:?}", faults(&letter, &shown));
    }
}

/// Those whose pictures are in `docs/notices-seen.md`.
const PICTURED: [&str; 10] = [
    "outlook-desktop-new",
    "outlook-desktop-reply",
    "outlook-web-reply",
    "gmail-reply",
    "apple-mail-reply",
    "iphone-photos",
    "thunderbird-html-reply",
    "thunderbird-reply-above",
    "newsletter-dark-mode",
    "html-unclosed-table",
];

/// By hand: `cargo test --test golden -- --ignored pictures` draws the letters before and after into `docs/notices/`.
#[test]
#[ignore = "by hand, when what notices look like has changed"]
fn pictures() {
    let folder = tempfile::tempdir().unwrap();
    let docs = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/notices");
    fs::create_dir_all(&docs).unwrap();
    let letters = noticed();
    for name in PICTURED {
        let (letter, after) = letters.iter().find(|(letter, _)| letter.name == name).unwrap();
        let frame = |bytes: &[u8]| {
            let html = html_of(bytes).unwrap_or_else(|| {
                let message = MessageParser::default().parse(bytes).unwrap();
                let texts = (0..message.text_body_count()).filter_map(|at| message.body_text(at));
                let text = texts.collect::<String>().replace('&', "&amp;").replace('<', "&lt;");
                format!("<pre style='font: 12px monospace; white-space: pre-wrap'>{text}</pre>")
            });
            format!("<iframe sandbox=allow-same-origin srcdoc=\"{}\"></iframe>", attribute(&html))
        };
        let height = "document.documentElement.dataset.height = Math.max(...[...document.querySelectorAll('iframe')].map(f => \
                      f.height = f.contentDocument.documentElement.scrollHeight)) + 60";
        let page = folder.path().join("picture.html");
        let text = format!(
            "<!doctype html><meta charset=utf-8><style>body {{ margin: 8px; font: 13px sans-serif; display: flex; gap: 12px }} \
             section {{ flex: 1 }} iframe {{ width: 100%; border: 1px solid #bbb }}</style><section><b>{name}: as it came</b>{}</section>\
             <section><b>as it left</b>{}</section><script>addEventListener('load', () => {{ {height} }})</script>",
            frame(&letter.bytes),
            frame(after)
        );
        fs::write(&page, text).unwrap();
        let scheme = if name.contains("dark") { DARK } else { "--blink-settings=preferredColorScheme=1" };
        let dom = chromium(folder.path(), &[scheme, "--window-size=1100,900", "--dump-dom"], &page);
        let (_, height) = dom.split_once("data-height=\"").unwrap();
        let height: u32 = height.split('"').next().unwrap().parse().unwrap();
        let picture = docs.join(format!("{name}.png"));
        let (to, size) =
            (format!("--screenshot={}", picture.display()), format!("--window-size=1100,{}", height.min(900)));
        chromium(folder.path(), &[scheme, &to, &size], &page);
        println!("{} {} bytes", picture.display(), fs::metadata(&picture).unwrap().len());
    }
}
