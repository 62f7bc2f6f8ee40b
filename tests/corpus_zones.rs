//! Whose words each line of real replies is: `$OUTGATE_CORPORA/replies`, when that variable is set, against the labels
//! of `tests/zones/replies.labels`. Prints how many lines are right; each message is read as a reply and as one whose
//! header fields say nothing.

use outgate::mail::{Confidence, Message, Zone};
use std::{collections::BTreeMap, ops::RangeInclusive, path::Path};

/// Of a hundred lines that must be right.
const LEAST: usize = 97;

type Labels = BTreeMap<String, Vec<(Zone, RangeInclusive<usize>)>>;

fn labels() -> Labels {
    let lines = include_str!("zones/replies.labels").lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    lines.map(|line| line.split_once(' ').expect("a name and its labels")).map(label).collect()
}

fn label((name, zones): (&str, &str)) -> (String, Vec<(Zone, RangeInclusive<usize>)>) {
    let one = |label: &str| {
        let (zone, lines) = label.trim().split_once(' ').expect("a zone and its lines");
        let zone = serde_json::from_value(zone.into()).expect("the name of a zone");
        let (first, last) = lines.split_once('-').unwrap_or((lines, lines));
        (zone, first.parse().expect("a line")..=last.parse().expect("a line"))
    };
    (name.to_string(), zones.split(',').map(one).collect())
}

#[derive(Default)]
struct Score {
    lines: usize,
    right: usize,
    own: usize,
    /// The worse error: the author's words surely taken for somebody else's.
    own_taken: usize,
    others: usize,
    /// Of somebody else, and not surely so: they count as own too.
    others_doubted: usize,
    /// What is wrong, and where.
    notes: Vec<String>,
}

fn measure(folder: &Path, labels: &Labels, header: &str) -> Score {
    let mut score = Score::default();
    let folder_name = folder.file_name().expect("a name").to_string_lossy().into_owned();
    for entry in std::fs::read_dir(folder).expect("the folder") {
        let path = entry.expect("an entry").path();
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        let expected = labels.get(&format!("{folder_name}/{name}")).or_else(|| labels.get(&name));
        let expected = expected.unwrap_or_else(|| panic!("no labels for {name}"));
        let bytes = std::fs::read(&path).expect("the message");
        let head =
            format!("{header}Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n");
        let message = Message::parse([head.as_bytes(), &bytes].concat());
        let text = message.text(message.root());
        let mut at = 0;
        for (index, line) in text.text.split_inclusive('\n').enumerate() {
            let (zone, confidence) = text.zone_and_confidence(at);
            at += line.len();
            if line.trim().is_empty() {
                continue;
            }
            let label = expected.iter().find(|(_, lines)| lines.contains(&(index + 1)));
            let wanted = label.unwrap_or_else(|| panic!("no label for {name}:{}", index + 1)).0;
            score.lines += 1;
            score.right += usize::from(zone == wanted);
            if zone != wanted {
                score.notes.push(format!("{folder_name}/{name}:{}: {zone:?} for {wanted:?}", index + 1));
            }
            let taken = matches!(zone, Zone::Quoted | Zone::Forwarded) && confidence == Confidence::High;
            if wanted == Zone::Quoted {
                score.others += 1;
                score.others_doubted += usize::from(!taken);
            } else {
                score.own += 1;
                score.own_taken += usize::from(taken);
            }
        }
    }
    score
}

#[test]
fn lines_of_real_replies() {
    let Some(corpora) = std::env::var_os("OUTGATE_CORPORA") else {
        println!("skipped: OUTGATE_CORPORA is not set");
        return;
    };
    let labels = labels();
    for folder in ["github", "zapier"] {
        let path = Path::new(&corpora).join("replies").join(folder);
        if !path.is_dir() {
            println!("skipped: no replies/{folder}");
            continue;
        }
        for (kind, header) in [("replies", "Subject: Re: x\r\nIn-Reply-To: <a@b.example>\r\n"), ("bare text", "")] {
            let score = measure(&path, &labels, header);
            let percent = score.right as f64 * 100.0 / score.lines as f64;
            println!(
                "{folder} as {kind}: zone accuracy by line: {} of {} ({percent:.1} %); own words surely taken for quoted: \
                 {} of {}; quoted words not surely so: {} of {}",
                score.right, score.lines, score.own_taken, score.own, score.others_doubted, score.others
            );
            score.notes.iter().for_each(|note| println!("  {note}"));
            assert!(score.right * 100 >= score.lines * LEAST, "{folder} as {kind}: {percent:.1} %");
            assert_eq!(score.own_taken, 0, "{folder} as {kind}");
        }
    }
}
