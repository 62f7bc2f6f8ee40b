//! What the fuzzer asserts, for its seeds and for every input that once broke one: `fixtures/fuzz/TARGET/NAME`, named after
//! the bug. The fuzzer itself is `scripts/fuzz`.

#[path = "../fuzz/src/targets/mod.rs"]
mod targets;

use std::{fs, path::PathBuf};

fn files(folder: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    let mut files: Vec<_> =
        entries.map(|entry| entry.expect("an entry").path()).filter(|path| path.is_file()).collect();
    files.sort();
    files
}

/// Beside its own folder, what the target reads anyway.
fn seeds(target: &str) -> Vec<PathBuf> {
    let others: &[&str] = match target {
        "header" | "mime" | "edit" => &["fixtures/demo", "fixtures/edit"],
        "rule_file" => &["config", "config/rules", "tests/invalid"],
        _ => &[],
    };
    let own = format!("fixtures/fuzz/{target}");
    let own = files(&own);
    assert!(!own.is_empty(), "no seed for {target}");
    own.into_iter().chain(others.iter().flat_map(|folder| files(folder))).collect()
}

#[test]
fn every_seed_and_every_past_failure_holds() {
    for (target, run) in targets::ALL {
        for seed in seeds(target) {
            println!("{target} {}", seed.display());
            run(&fs::read(&seed).expect("a seed"));
        }
    }
}
