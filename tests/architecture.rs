//! Who may import whom. `mail` imports no room; each room imports only `mail` and the rooms before it; nobody
//! imports `store`, `config`, `cli` or `gateway`, which wire the rooms.

use std::{fs, path::Path};

/// The rooms in the order in which a message walks through them.
const ROOMS: [&str; 9] =
    ["mail", "intake", "detect", "policy", "audit", "quarantine", "archive", "delivery", "console"];

/// Leaves: no room in them, all may import them.
const LEAVES: [&str; 4] = ["diagnostic", "keys", "sensitive", "supervisor"];

/// Those that wire the rooms, in the order in which they may import each other.
const WIRING: [&str; 4] = ["store", "config", "gateway", "cli"];

/// Which of our modules `module` may name after `crate::`.
fn allowed(module: &str) -> Vec<&'static str> {
    let mut allowed = LEAVES.to_vec();
    if let Some(place) = ROOMS.iter().position(|room| *room == module) {
        allowed.extend(&ROOMS[..=place]);
    } else if let Some(place) = WIRING.iter().position(|room| *room == module) {
        allowed.extend(ROOMS);
        allowed.extend(&WIRING[..=place]);
    }
    allowed
}

/// The module that a file below src belongs to: `src/mail/wire/reply.rs` is `mail`.
fn module_of(path: &Path) -> String {
    let below = path.strip_prefix("src").expect("below src");
    let first = below.iter().next().expect("not src itself").to_string_lossy().into_owned();
    first.trim_end_matches(".rs").to_string()
}

/// The modules named in one line: `crate::mail::Edit` names `mail`; `crate::{mail, keys::Keys}` is
/// seen because rustfmt puts each of several names of a group on the same or on its own line.
fn named(source: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut group_depth = None;
    let mut depth = 0usize;
    for (number, line) in source.lines().enumerate() {
        if line.trim_start().starts_with("//") {
            continue;
        }
        let mut rest = line;
        if group_depth.is_none() {
            while let Some(at) = rest.find("crate::") {
                let before = rest[..at].chars().next_back();
                rest = &rest[at + "crate::".len()..];
                if before.is_some_and(|c| c.is_alphanumeric() || c == '_') {
                    continue;
                }
                if rest.starts_with('{') {
                    group_depth = Some(depth);
                    break;
                }
                found.push((number + 1, identifier(rest)));
            }
        }
        if group_depth.is_some() {
            let mut word_start = true;
            for (at, c) in rest.char_indices() {
                match c {
                    '{' => depth += 1,
                    '}' => depth -= 1,
                    _ => {}
                }
                if depth == 1 && word_start && (c.is_alphabetic() || c == '_') {
                    found.push((number + 1, identifier(&rest[at..])));
                }
                word_start = matches!(c, ',' | '{' | ' ') && depth == 1;
                if c == ';' && depth == 0 {
                    group_depth = None;
                    break;
                }
            }
        }
    }
    found
}

fn identifier(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

fn rust_files(folder: &Path, found: &mut Vec<std::path::PathBuf>) {
    for entry in fs::read_dir(folder).expect("a source folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn rooms_import_only_rooms_before_them() {
    let mut files = Vec::new();
    rust_files(Path::new("src"), &mut files);
    let all: Vec<&str> = ROOMS.iter().chain(&LEAVES).chain(&WIRING).copied().collect();
    let mut wrong = Vec::new();
    for path in files {
        let module = module_of(&path);
        if module == "lib" || module == "main" {
            continue;
        }
        assert!(all.contains(&module.as_str()), "{}: not a room; say in this table what it is", path.display());
        let allowed = allowed(&module);
        let source = fs::read_to_string(&path).expect("a source file");
        for (line, name) in named(&source) {
            if all.contains(&name.as_str()) && name != module && !allowed.contains(&name.as_str()) {
                wrong.push(format!("{}:{line}: {module} may not import {name}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn the_table_sees_single_and_grouped_imports() {
    let source = "use crate::mail::Edit;\nuse crate::{\n    keys::{Keys, Purpose},\n    store::Store,\n};\nlet x = crate::policy::judge();\nuse crate::{audit, delivery::Relay};\n";
    let names: Vec<String> = named(source).into_iter().map(|(_, name)| name).collect();
    assert_eq!(names, ["mail", "keys", "store", "policy", "audit", "delivery"]);
    assert!(!allowed("mail").contains(&"detect") && allowed("delivery").contains(&"quarantine"));
    assert!(!allowed("policy").contains(&"store") && !allowed("store").contains(&"gateway"));
}
