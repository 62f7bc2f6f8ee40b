//! The same letters through other programs that add footers, judged by the same reader. By hand, with `apt-get install altermime
//! rspamd`: `cargo test --test golden side_by_side -- --ignored --nocapture`.

use super::{Letter, edited, judged, letters, notice};
use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    process::{Command, Stdio},
};

/// What every program is given; the other two cannot make one form of the other.
const PLAIN: &str = "This message may be confidential. If it is not for you, please tell us and delete it.";

type Program = (&'static str, fn(&Path, &Letter) -> Option<Vec<u8>>);

const PROGRAMS: [Program; 3] = [("outgate", by_outgate), ("altermime", by_altermime), ("rspamd", by_rspamd)];

#[test]
#[ignore = "needs altermime and rspamd"]
fn footers() {
    let letters: Vec<Letter> = letters::of_clients().into_iter().chain(letters::of_charsets()).collect();
    // As a filter script of a mail server gets them: with LF, like the notices that it is given.
    let fresh = letters.iter().filter(|letter| !letter.what.contains("already"));
    let letters: Vec<Letter> = fresh.map(|letter| Letter { name: letter.name.clone(), ..letter.with_lf() }).collect();
    for (program, run) in PROGRAMS {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("notice.txt"), format!("{PLAIN}\n")).unwrap();
        fs::write(folder.path().join("notice.html"), format!("<p>{PLAIN}</p>\n")).unwrap();
        let after: Vec<Vec<u8>> =
            letters.iter().map(|letter| run(folder.path(), letter).unwrap_or_else(|| letter.bytes.clone())).collect();
        let mut by_class: BTreeMap<String, Vec<&str>> = BTreeMap::new();
        let faults = judged(folder.path(), &letters, &after, PLAIN);
        for fault in &faults {
            let told: serde_json::Value = serde_json::from_str(fault).unwrap();
            let name = told["name"].as_str().unwrap();
            let known = letters.iter().find(|letter| letter.name == name).unwrap();
            for class in told["faults"].as_array().unwrap() {
                let names = by_class.entry(class[0].as_str().unwrap().to_owned()).or_default();
                if names.last() != Some(&&*known.name) {
                    names.push(&known.name);
                }
            }
        }
        let only_missing = faults.iter().filter(|fault| !fault.contains(r#""missing""#)).count();
        println!(
            "{program}: {} of {} letters wrong, {only_missing} of them in another way than without a notice",
            faults.len(),
            letters.len()
        );
        for (class, names) in by_class {
            println!("  {class:<11} {:>4}  {}", names.len(), names[..names.len().min(6)].join(", "));
        }
    }
}

fn by_outgate(_: &Path, letter: &Letter) -> Option<Vec<u8>> {
    Some(edited(&letter.bytes, &[notice(PLAIN)]).ok()?.bytes())
}

/// With all that makes it add to more messages.
fn by_altermime(folder: &Path, letter: &Letter) -> Option<Vec<u8>> {
    let message = folder.join("message");
    fs::write(&message, &letter.bytes).unwrap();
    let option = |name: &str, file: &str| format!("--{name}={}", folder.join(file).display());
    let done = Command::new("altermime")
        .arg(format!("--input={}", message.display()))
        .args([option("disclaimer", "notice.txt"), option("disclaimer-html", "notice.html")])
        .args(["--force-into-b64", "--force-for-bad-html"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .current_dir(folder)
        .status()
        .expect("altermime is installed");
    // A program that fails leaves the message as it was.
    if done.success() { fs::read(&message).ok() } else { None }
}

fn by_rspamd(folder: &Path, letter: &Letter) -> Option<Vec<u8>> {
    let message = folder.join("message");
    fs::write(&message, &letter.bytes).unwrap();
    let done = Command::new("rspamadm")
        .args(["mime", "modify", "-t"])
        .arg(folder.join("notice.txt"))
        .arg("-H")
        .arg(folder.join("notice.html"))
        .arg(&message)
        .stderr(Stdio::null())
        .output()
        .expect("rspamd is installed");
    (done.status.success() && !done.stdout.is_empty()).then_some(done.stdout)
}
