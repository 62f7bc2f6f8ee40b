//! A folder with many different mistakes: each is reported, with its file, its line and what is allowed, all at once. A
//! failing test writes what it got to `expected.actual`.

use outgate::config::{load, report};
use std::{fs, path::Path};

#[test]
fn all_mistakes_of_all_files_come_at_once_with_file_line_and_what_is_allowed() {
    let folder = Path::new("tests/config/many_mistakes");
    let mistakes = load(&folder.join("outgate.toml")).err().expect("a configuration full of mistakes");
    let found: String = mistakes.iter().map(|mistake| format!("{mistake}\n")).collect();
    let found = found.replace("tests/config/many_mistakes/", "");
    let expected = fs::read_to_string(folder.join("expected.txt")).unwrap_or_default();
    if found != expected {
        fs::write(folder.join("expected.actual"), &found).unwrap();
    }
    assert_eq!(found, expected);
    let files = ["outgate.toml", "rules/", "policies/", "wordlists/", "notices/", "detectors/", "people.csv"];
    for file in files {
        assert!(found.contains(file), "no mistake of {file}");
    }
    assert!(found.lines().count() >= 10);

    let drawn = report(&Err(mistakes), false);
    assert!(drawn.contains("mode        = \"enforse\""), "the line itself:\n{drawn}");
    assert!(!drawn.contains("Bob") && !drawn.contains("Öst"), "personal data of the directory:\n{drawn}");
    assert!(drawn.contains("mistakes. This configuration cannot be used."));
}

#[test]
fn a_configuration_that_is_not_there_says_so() {
    let mistakes = load(Path::new("tests/config/nowhere/outgate.toml")).err().expect("no file").to_string();
    assert_eq!(mistakes, "tests/config/nowhere/outgate.toml:1:1: there is no such file");
}
