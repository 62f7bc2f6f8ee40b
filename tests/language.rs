//! What people write at work, sentence by sentence: what is found, and what is left alone. And, where its file is at hand,
//! a published test suite of hate speech (`OUTGATE_HATECHECK=FILE cargo test --test language -- --nocapture`).

use outgate::{
    detect::{DetectorSources, Detectors},
    mail::Message,
};
use std::{collections::BTreeMap, fs, sync::LazyLock};

static DETECTORS: LazyLock<Detectors> =
    LazyLock::new(|| Detectors::compile(&DetectorSources::embedded()).expect("the shipped lists"));

struct Sentence {
    section: String,
    /// Of the sentence's group, where it has one.
    group: Option<String>,
    wanted: bool,
    text: String,
}

fn sentences() -> Vec<Sentence> {
    let mut sentences = Vec::new();
    let (mut section, mut groups) = (String::new(), Vec::new());
    for line in include_str!("language/sentences.txt").lines().filter(|line| !line.is_empty() && !line.starts_with('#'))
    {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            section = name.to_string();
        } else if let Some(names) = line.strip_prefix("groups:") {
            groups = names.split(';').map(|name| name.trim().to_string()).collect();
        } else {
            let (sign, text) = line.split_once(' ').expect("a sign and a sentence");
            assert!(matches!(sign, "+" | "-"), "{line}");
            let sentence = |group: Option<&String>, text: String| Sentence {
                section: section.clone(),
                group: group.cloned(),
                wanted: sign == "+",
                text: with_entries(&text),
            };
            if text.contains("{group}") {
                sentences.extend(groups.iter().map(|group| sentence(Some(group), text.replace("{group}", group))));
            } else {
                sentences.push(sentence(None, text.to_string()));
            }
        }
    }
    sentences
}

/// `{entry:race}` becomes an entry of that category of words.abuse.
fn with_entries(text: &str) -> String {
    let Some((before, rest)) = text.split_once("{entry:") else { return text.to_string() };
    let (category, after) = rest.split_once('}').expect("a placeholder ends with }");
    let list = include_str!("../wordlists/en/abuse.txt");
    let section = format!("[category: {category}, severity: ");
    let start = list.find(&section).unwrap_or_else(|| panic!("no section of {category}"));
    let entry = list[start..].lines().nth(1).expect("an entry");
    let entry = entry.split([',', '+']).next().expect("a form").trim();
    with_entries(&format!("{before}{entry}{after}"))
}

/// The categories of what is found: offence with a severity, and chain letters.
fn found(text: &str) -> Vec<String> {
    let message = Message::parse(format!("Content-Type: text/plain; charset=utf-8\r\n\r\n{text}\r\n").into_bytes());
    let findings = DETECTORS.scan(&message).findings.into_iter();
    let findings = findings.filter(|finding| matches!(&*finding.detector, "words.abuse" | "words.chain-letter"));
    findings.map(|finding| finding.category.map_or_else(String::new, |category| category.to_string())).collect()
}

#[derive(Default)]
struct Score {
    wanted: usize,
    found: usize,
    of_category: usize,
    innocent: usize,
    alarms: usize,
}

impl Score {
    fn recall(&self) -> f64 {
        share(self.found, self.wanted)
    }

    fn alarm_rate(&self) -> f64 {
        share(self.alarms, self.innocent)
    }
}

fn share(part: usize, whole: usize) -> f64 {
    100.0 * part as f64 / whole.max(1) as f64
}

#[test]
fn the_sentences_of_a_workplace() {
    let mut by_section: BTreeMap<String, Score> = BTreeMap::new();
    let mut by_group: BTreeMap<String, Score> = BTreeMap::new();
    let (mut all, mut wrong) = (Score::default(), Vec::new());
    let sentences = sentences();
    for sentence in &sentences {
        let found = found(&sentence.text);
        let group = sentence.group.clone().map(|group| by_group.entry(group).or_default());
        for score in
            [Some(by_section.entry(sentence.section.clone()).or_default()), group, Some(&mut all)].into_iter().flatten()
        {
            if sentence.wanted {
                score.wanted += 1;
                score.found += usize::from(!found.is_empty());
                score.of_category += usize::from(found.contains(&sentence.section));
            } else {
                score.innocent += 1;
                score.alarms += usize::from(!found.is_empty());
            }
        }
        if sentence.wanted == found.is_empty() {
            let sign = if sentence.wanted { "missed" } else { "false alarm" };
            wrong.push(format!("{sign} [{}] {} {found:?}", sentence.section, sentence.text));
        }
    }
    wrong.iter().for_each(|line| println!("{line}"));
    for (name, score) in by_section.iter().chain(&by_group) {
        println!(
            "{name:22} found {:3} of {:3}, of the category {:3}; false alarms {:2} of {:3}",
            score.found, score.wanted, score.of_category, score.alarms, score.innocent
        );
    }
    println!(
        "language: {} sentences, {:.1} % found, {:.1} % false alarms",
        sentences.len(),
        all.recall(),
        all.alarm_rate()
    );
    assert!(sentences.len() >= 600, "{}", sentences.len());
    assert!(all.recall() >= 90.0 && all.alarm_rate() <= 2.0, "see the table above");
    for (name, score) in &by_section {
        assert!(score.recall() >= 75.0 || score.wanted == 0, "{name}: {:.0} % found", score.recall());
        assert!(score.alarm_rate() <= 10.0, "{name}: {:.0} % false alarms", score.alarm_rate());
    }
    for (name, score) in &by_group {
        assert!(
            score.alarm_rate() <= 3.0,
            "{name}: {:.0} % of neutral and positive mentions flagged",
            score.alarm_rate()
        );
    }
}

/// Its lines are `case_id,functionality,label_gold,target_ident,templ_id,test_case`.
#[test]
fn a_published_suite_where_it_is_at_hand() {
    let Some(file) = std::env::var_os("OUTGATE_HATECHECK") else { return };
    let text = fs::read_to_string(file).expect("the suite's file");
    let (mut hateful, mut others, mut mentions) = (Score::default(), Score::default(), Score::default());
    for line in text.lines().skip(1) {
        let fields: Vec<&str> = line.splitn(6, ',').collect();
        let [_, functionality, label, _, _, sentence] = fields[..] else { continue };
        let sentence = sentence.trim_matches('"').replace("\"\"", "\"");
        let flagged = usize::from(!found(&sentence).is_empty());
        if label == "hateful" {
            hateful.wanted += 1;
            hateful.found += flagged;
        } else {
            others.innocent += 1;
            others.alarms += flagged;
        }
        if matches!(functionality, "ident_neutral_nh" | "ident_pos_nh") {
            mentions.innocent += 1;
            mentions.alarms += flagged;
        }
    }
    let mean = f64::midpoint(hateful.recall(), 100.0 - others.alarm_rate());
    println!(
        "suite: {:.1} % of hateful flagged, {:.1} % of others not, mean {mean:.1}; {:.1} % of mentions not flagged",
        hateful.recall(),
        100.0 - others.alarm_rate(),
        100.0 - mentions.alarm_rate()
    );
    assert!(mean >= 65.0 && mentions.alarm_rate() <= 3.0);
}
