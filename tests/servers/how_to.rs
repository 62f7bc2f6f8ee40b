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

/// A block that no test runs would drift. A page that nobody here can run says so at its top, with the date.
#[test]
fn each_block_of_a_page_is_run_by_a_test() {
    let tests = ["servers", "milter", "door", "stories"].map(|folder| sources(&Path::new("tests").join(folder))).concat();
    let (mut run, mut not_run) = (0, 0);
    for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/how-to")).unwrap().flatten() {
        let page = entry.file_name().to_string_lossy().trim_end_matches(".md").to_string();
        let text = read(&format!("docs/how-to/{page}.md"));
        if text.contains("\n**Not run here.**") {
            assert!(!text.contains("<!-- snippet:"), "{page}.md says that it is not run, and has snippets");
            not_run += 1;
            continue;
        }
        let blocks: Vec<&str> = text.split("\n```").collect();
        for (at, before) in blocks.iter().enumerate().step_by(2).take(blocks.len() / 2) {
            let block = blocks[at + 1].lines().nth(1).unwrap_or_default();
            let mark = before.lines().last().unwrap_or_default();
            let name = mark.strip_prefix("<!-- snippet: ").and_then(|name| name.strip_suffix(" -->"));
            let name = name.unwrap_or_else(|| panic!("{page}.md: no test runs the block that begins {block:?}"));
            assert!(tests.contains(&format!("\"{name}\"")), "{page}.md: no test runs the snippet {name}");
            run += 1;
        }
    }
    println!("how-to blocks run by tests={run} pages not run here={not_run}");
}

fn sources(folder: &Path) -> String {
    let Ok(entries) = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)) else { return String::new() };
    entries.flatten().map(|entry| fs::read_to_string(entry.path()).unwrap_or_default()).collect()
}
