//! What is loaded from where, and what a reload changes.

use outgate::{
    config::{Loaded, init, load, report},
    policy::Mode,
};
use std::{fs, path::Path};
use tempfile::TempDir;

const SETTINGS: &str = "policy = 'policies/baseline'\n[smtp]\n[next-hop]\naddress = '127.0.0.1:10036'\n\
    [reviewers]\ndpo = 'dpo@ours.example'\n";

fn write(home: &Path, name: &str, text: &str) {
    let path = home.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn home() -> TempDir {
    let home = tempfile::tempdir().unwrap();
    write(home.path(), "outgate.toml", SETTINGS);
    home
}

fn loaded(home: &TempDir) -> Loaded {
    load(&home.path().join("outgate.toml")).unwrap_or_else(|mistakes| panic!("{}", mistakes.render(false)))
}

fn title(loaded: &Loaded, rule: &str) -> String {
    let rule = loaded.ruleset.active().iter().find(|active| *active.rule.name == *rule).expect("an active rule");
    rule.rule.title.to_string()
}

fn shipped(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("config").join(name)).unwrap()
}

#[test]
fn the_shipped_configuration_loads_as_it_is() {
    let loaded = load(Path::new("config/outgate.toml")).unwrap_or_else(|mistakes| panic!("{}", mistakes.render(false)));
    assert_eq!(loaded.own_domains(), ["ours.example"]);
    assert!(loaded.ruleset.active().len() >= 6);
    assert!(loaded.proofs().iter().all(|proof| proof.holds()));
    let text = report(&Ok(loaded), false);
    for wanted in [
        "config/outgate.toml: good.",
        "note: [archive]: the archive is not built yet",
        "note: [reviewers] gives no address to hr, ",
    ] {
        assert!(text.contains(wanted), "{wanted} in\n{text}");
    }
}

#[test]
fn folders_that_are_absent_are_the_embedded_ones() {
    let loaded = loaded(&home());
    assert_eq!(title(&loaded, "chain-letter"), title(&load(Path::new("config/outgate.toml")).unwrap(), "chain-letter"));
}

#[test]
fn what_lies_in_local_extends_and_wins() {
    let home = home();
    let before = loaded(&home);
    let rule = shipped("rules/hide-recipients.toml").replace("Large mailings hide", "Ours: large mailings hide");
    write(home.path(), "local/rules/hide-recipients.toml", &rule);
    write(home.path(), "local/wordlists/en/pears.txt", "language: en\n---\nconference pear\n");
    let policy =
        shipped("policies/baseline/policy.toml").replace("own-domains  = [", "own-domains  = [\"more.example\", ");
    write(home.path(), "local/policies/baseline/policy.toml", &policy);
    let after = loaded(&home);
    assert!(title(&after, "hide-recipients").starts_with("Ours: "));
    assert_eq!(title(&after, "chain-letter"), title(&before, "chain-letter"), "the others are still there");
    assert!(after.detectors.names().contains(&"words.pears") && !before.detectors.names().contains(&"words.pears"));
    assert_eq!(after.own_domains(), ["more.example", "ours.example"]);
    assert_ne!(before.ruleset.digest(), after.ruleset.digest());
}

#[test]
fn a_policy_of_ones_own_may_lie_anywhere() {
    let home = home();
    let policy = shipped("policies/baseline/policy.toml");
    for (place, named) in [("local/policies/own", "policies/own"), ("elsewhere/own", "elsewhere/own")] {
        write(home.path(), &format!("{place}/policy.toml"), &policy);
        write(home.path(), "outgate.toml", &SETTINGS.replace("policies/baseline", named));
        assert_eq!(&*loaded(&home).ruleset.policies()[0].name, "own", "{place}");
    }
}

#[test]
fn a_reload_takes_a_good_set_and_keeps_the_old_one_when_the_new_is_bad() {
    let home = home();
    let first = loaded(&home);
    let digest = first.ruleset.digest().clone();

    write(home.path(), "outgate.toml", &format!("mode = 'wach'\n{SETTINGS}"));
    let mistakes = first.reload().err().expect("refused").to_string();
    assert!(
        mistakes.contains("outgate.toml:1:8: `wach` is not allowed for `mode` (did you mean `watch`?"),
        "{mistakes}"
    );
    assert_eq!(*first.ruleset.digest(), digest);

    write(
        home.path(),
        "outgate.toml",
        &format!("mode = 'watch'\nhostname = 'other.example'\n{}", SETTINGS.replace("10036", "10037")),
    );
    let second = first.reload().unwrap_or_else(|mistakes| panic!("{}", mistakes.render(false)));
    assert_eq!(second.settings.mode, Mode::Watch);
    assert_ne!(*second.ruleset.digest(), digest);
    assert!(second.remarks.iter().any(|remark| remark.ends_with("only after a restart: hostname")));
}

#[test]
fn what_init_writes_loads_and_only_watches() {
    let home = tempfile::tempdir().unwrap();
    let options = init::Options {
        domain: Some("own.example".into()),
        reviewer: Some("dpo@own.example".into()),
        ..init::Options::default()
    };
    let nobody: Option<(&mut std::io::Empty, &mut std::io::Sink)> = None;
    let written = init::init(home.path(), &init::Answers::gather(&options, nobody).unwrap()).unwrap();
    let loaded = load(&written[0]).unwrap_or_else(|mistakes| panic!("{}", mistakes.render(false)));
    assert!(loaded.own_domains().contains(&"own.example".to_string()));
    assert!(report(&Ok(loaded), false).contains("All rules only watch"));
}

#[test]
fn a_set_whose_rule_fails_its_own_test_is_not_taken() {
    let home = home();
    let first = loaded(&home);
    let rule = shipped("rules/hide-recipients.toml").replace("to-many = \"limit\"", "to-many = \"limit + 1\"");
    write(home.path(), "local/rules/hide-recipients.toml", &rule);
    let mistakes = first.reload().err().expect("refused").to_string();
    assert!(mistakes.contains("the test `just the limit` fails: expected no match"), "{mistakes}");
    assert!(mistakes.contains("local/rules/hide-recipients.toml:"), "{mistakes}");
}

#[test]
fn the_directory_is_read_whole_or_not_at_all_and_a_reload_takes_the_new_one() {
    let home = home();
    let settings = format!("{SETTINGS}[directory]\nfile = 'people.csv'\nstale-after = '8 days'\n");
    write(home.path(), "outgate.toml", &settings);
    let mut people = "address,name,groups\n".to_string();
    for number in 0..10_000 {
        people.push_str(&format!("person{number}@ours.example,Person {number},all@ours.example\n"));
    }
    write(home.path(), "people.csv", &people);
    let begun = std::time::Instant::now();
    let first = loaded(&home);
    println!("loaded with 10,000 people in {:?}", begun.elapsed());
    let address = |text| outgate::mail::Address::parse(text).unwrap();
    let directory = &first.settings.directory;
    assert_eq!((directory.people(), directory.groups()), (10_000, 1));
    assert_eq!(directory.members(&address("ALL@ours.example")).map(<[_]>::len), Some(10_000));
    assert!(!first.remarks.iter().any(|remark| remark.contains("[directory]")), "{:?}", first.remarks);

    write(home.path(), "people.csv", &format!("{people}Nobody Example,x,\n"));
    let Err(mistakes) = first.reload() else { panic!("a mistake") };
    let shown = mistakes.render(false);
    assert!(shown.contains("people.csv:10002:1") && !shown.contains("Nobody"), "{shown}");
    assert!(!mistakes.to_string().contains("Nobody"));

    write(home.path(), "people.csv", "address,name\nann@ours.example,Ann\n");
    let old = std::time::SystemTime::now() - std::time::Duration::from_secs(9 * 24 * 60 * 60);
    fs::File::options().write(true).open(home.path().join("people.csv")).unwrap().set_modified(old).unwrap();
    let next = first.reload().unwrap();
    assert_eq!(next.settings.directory.person(&address("ann@ours.example")).unwrap().name, "Ann");
    assert!(next.remarks.iter().any(|remark| remark.contains("more than 8 days ago")), "{:?}", next.remarks);

    fs::remove_file(home.path().join("people.csv")).unwrap();
    let Err(mistakes) = next.reload() else { panic!("no file") };
    assert!(mistakes.to_string().contains("outgate.toml:8:8: "), "{mistakes}");
    assert!(mistakes.to_string().ends_with("people.csv: there is no such file"), "{mistakes}");
}

/// A rule may name another country's numbers where they are looked for, and hears of it where they are not.
#[test]
fn numbers_of_other_countries_are_looked_for_when_asked_for() {
    let home = home();
    write(home.path(), "outgate.toml", &format!("countries = ['us']\n{SETTINGS}"));
    let rule = shipped("rules/personal-data-outside.toml")
        .replace("\"personal.uk-nino\",", "\"personal.uk-nino\", \"personal.us-ssn\",");
    write(home.path(), "local/rules/personal-data-outside.toml", &rule);
    assert!(loaded(&home).detectors.names().contains(&"personal.us-ssn"));
    write(home.path(), "outgate.toml", SETTINGS);
    let mistakes = load(&home.path().join("outgate.toml")).err().expect("nobody looks for them").to_string();
    assert!(mistakes.contains("personal.us-ssn"), "{mistakes}");
}
