//! The pages of docs/how-to: what stands in them below `<!-- snippet: NAME -->` is what the tests run.

use std::{fs, path::Path};

/// The block of that name on a page (`docs/how-to/PAGE.md`).
pub fn snippet(page: &str, name: &str) -> String {
    let text = read(&format!("docs/how-to/{page}.md"));
    let mark = format!("<!-- snippet: {name} -->\n```");
    let (_, behind) = text.split_once(&mark).unwrap_or_else(|| panic!("{page}.md has no snippet {name}"));
    let (_, behind) = behind.split_once('\n').unwrap();
    behind.split_once("```").unwrap().0.to_string()
}

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A block that no test runs would drift: settings stand below a name, and a test asks for that name. Commands to type (`sh`)
/// are not settings. A page that nobody here can run says so at its top.
#[test]
fn each_block_of_a_page_is_run_by_a_test() {
    let tests: String = ["servers", "config"].map(|folder| sources(&Path::new("tests").join(folder))).concat();
    let (mut run, mut not_run) = (0, 0);
    for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/how-to")).unwrap().flatten() {
        let page = entry.file_name().to_string_lossy().trim_end_matches(".md").to_string();
        let text = read(&format!("docs/how-to/{page}.md"));
        if text.contains("\n**Not run here.**") {
            assert!(!text.contains("<!-- snippet:"), "{page}.md says that it is not run, and has snippets");
            not_run += 1;
            continue;
        }
        for (name, first_line) in settings(&text) {
            let name = name.unwrap_or_else(|| panic!("{page}.md: no test runs the block that begins {first_line:?}"));
            assert!(tests.contains(&format!("\"{name}\"")), "{page}.md: no test runs the snippet {name}");
            run += 1;
        }
    }
    println!("how-to blocks run by tests={run} pages not run here={not_run}");
}

#[test]
fn each_link_of_a_page_leads_somewhere() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/how-to");
    let mut followed = 0;
    for entry in fs::read_dir(&folder).unwrap().flatten() {
        let page = entry.file_name().to_string_lossy().into_owned();
        let text = read(&format!("docs/how-to/{page}"));
        for link in text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(link, _)| link) {
            if link.starts_with("http") {
                continue;
            }
            let (file, section) = link.split_once('#').unwrap_or((link, ""));
            let there = if file.is_empty() { entry.path() } else { folder.join(file) };
            let there = fs::read_to_string(&there).unwrap_or_else(|error| panic!("{page}: {link}: {error}"));
            let sections = there.lines().filter_map(|line| line.strip_prefix('#'));
            let names = |title: &str| {
                let title = title.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
                title
                    .chars()
                    .filter(|character| character.is_alphanumeric() || "-_".contains(*character))
                    .collect::<String>()
            };
            assert!(section.is_empty() || sections.map(names).any(|name| name == section), "{page}: no section {link}");
            followed += 1;
        }
    }
    println!("how-to links followed={followed}");
}

/// Each block of a page that is not commands: its name, if it has one, and its first line.
fn settings(page: &str) -> Vec<(Option<&str>, &str)> {
    let mut blocks = Vec::new();
    let (mut before, mut inside) = ("", false);
    for line in page.lines() {
        if let Some(language) = line.strip_prefix("```") {
            if !inside && language != "sh" {
                let name = before.strip_prefix("<!-- snippet: ").and_then(|name| name.strip_suffix(" -->"));
                blocks.push((name, ""));
            }
            inside = !inside;
        } else if let (true, Some((_, first @ ""))) = (inside, blocks.last_mut()) {
            *first = line;
        }
        before = line;
    }
    blocks
}

fn sources(folder: &Path) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    fs::read_dir(folder).unwrap().flatten().map(|entry| fs::read_to_string(entry.path()).unwrap_or_default()).collect()
}
