//! `outgate manual DIR`: the manual pages, for whoever makes a package. Section 1 comes from the command line itself, section
//! 5 from the reference of the settings, so that neither says what the program does not.

use super::{Failure, arguments::Arguments, arguments::Manual};
use clap::CommandFactory;
use clap_mangen::{
    Man,
    roff::{Inline, Roff, bold, italic, roman},
};
use std::{fs, io, path::Path};

/// What stands in the folder of the reference, and is the page's second half.
const SETTINGS: &str = include_str!("../../docs/reference/settings.md");
const SHIPPED: &str = include_str!("../../config/outgate.toml");

pub fn run(options: &Manual) -> Result<u8, Failure> {
    let written = fs::create_dir_all(&options.folder).and_then(|()| write(&options.folder));
    written.map_err(|error| Failure::said(format!("{}: {error}", options.folder.display())))?;
    Ok(0)
}

fn write(folder: &Path) -> io::Result<()> {
    pages(Arguments::command(), "outgate", folder)?;
    fs::write(folder.join("outgate.toml.5"), settings(SETTINGS, SHIPPED))
}

/// One page for each command, also for those below another.
fn pages(mut command: clap::Command, name: &str, folder: &Path) -> io::Result<()> {
    command = command.display_name(name.to_string());
    command.build();
    for below in command.get_subcommands().filter(|below| !below.is_hide_set() && below.get_name() != "help") {
        pages(below.clone(), &format!("{name}-{}", below.get_name()), folder)?;
    }
    let mut page = Vec::new();
    Man::new(command).title(name).manual("outgate").render(&mut page)?;
    if name == "outgate" {
        let mut files = Roff::new();
        files.control("SH", ["FILES"]);
        for (path, what) in [
            ("/etc/outgate/outgate.toml", "The settings; see outgate.toml(5)."),
            (
                "/etc/outgate/local/",
                "Your own policies, rules, detectors, word lists and notices: they extend what is built in, and win.",
            ),
            (
                "/etc/outgate/store.key",
                "The key of all that is held. Its loss is total: back it up, apart from the data.",
            ),
            ("/var/lib/outgate/", "What waits for a decision, the outbox, the book."),
            (
                "/usr/share/doc/outgate/",
                "How to install it, put it behind a mail server and take it out again; an example of each file.",
            ),
        ] {
            files.control("TP", []);
            files.text([bold(path)]).text([roman(what)]);
        }
        files.to_writer(&mut page)?;
    }
    fs::write(folder.join(format!("{name}.1")), page)
}

/// outgate.toml(5): the reference, and the shipped file with every key.
fn settings(reference: &str, shipped: &str) -> String {
    let mut page = Roff::new();
    page.control("TH", ["outgate.toml", "5", "", concat!("outgate ", env!("CARGO_PKG_VERSION")), "outgate"]);
    page.control("SH", ["NAME"]).text([roman("outgate.toml - the settings of outgate")]);
    page.control("SH", ["DESCRIPTION"]);
    render(reference, &mut page);
    page.control("SH", ["ALL KEYS"]);
    page.text([roman("The shipped file. What stands in it is the default, unless it says otherwise.")]);
    verbatim(shipped, &mut page);
    page.control("SH", ["SEE ALSO"]).text([
        bold("outgate"),
        roman("(1), "),
        bold("outgate-config-check"),
        roman("(1)"),
    ]);
    page.to_roff()
}

/// The Markdown of our own reference: headings, paragraphs, lists, tables, code. A table's row becomes a term (its first
/// cell) and what is said of it.
fn render(markdown: &str, page: &mut Roff) {
    let mut lines = markdown.lines().peekable();
    let mut head: Vec<&str> = Vec::new();
    while let Some(line) = lines.next() {
        if let Some(title) = line.trim_start_matches('#').strip_prefix(' ').filter(|_| line.starts_with('#')) {
            if !line.starts_with("# ") {
                page.control("SH", [title]);
            }
        } else if line.starts_with("```") {
            let code: Vec<&str> = lines.by_ref().take_while(|line| !line.starts_with("```")).collect();
            verbatim(&code.join("\n"), page);
        } else if line.starts_with('|') {
            let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
            if lines.peek().is_some_and(|next| next.starts_with("|--") || next.starts_with("| --")) {
                lines.next();
                head = cells;
            } else {
                row(&head, &cells, page);
            }
        } else if let Some(item) = line.strip_prefix("* ").or_else(|| line.strip_prefix("- ")) {
            page.control("IP", ["\\(bu", "2"]).text(inlines(item));
        } else if line.is_empty() {
            page.control("PP", []);
        } else {
            page.text(inlines(line));
        }
    }
}

fn row(head: &[&str], cells: &[&str], page: &mut Roff) {
    let Some((term, rest)) = cells.split_first() else { return };
    page.control("TP", []).text(inlines(term));
    for (index, cell) in rest.iter().enumerate().filter(|(_, cell)| !cell.is_empty()) {
        let name = head.get(index + 1).copied().unwrap_or_default();
        // The first column behind the term needs no name: it says what the term is.
        let mut text = if index == 0 { Vec::new() } else { vec![roman(format!("{name}: "))] };
        text.extend(inlines(cell));
        text.push(roman("."));
        page.text(text);
    }
}

fn verbatim(text: &str, page: &mut Roff) {
    page.control("PP", []).control("EX", []);
    for line in text.lines() {
        page.text([roman(line)]);
    }
    page.control("EE", []);
}

/// `code` and **strong** bold, *emphasis* italic, a link its text.
fn inlines(text: &str) -> Vec<Inline> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(['`', '*', '[']) {
        let (before, marked) = rest.split_at(at);
        let mark = if marked.starts_with("**") { "**" } else { &marked[..1] };
        let close = if mark == "[" { "](" } else { mark };
        // What is followed by a blank opens nothing.
        let opens = marked[mark.len()..].starts_with(|next: char| !next.is_whitespace());
        let Some(end) = marked[mark.len()..].find(close).filter(|_| opens) else {
            found.push(roman(before));
            found.push(roman(mark));
            rest = &marked[mark.len()..];
            continue;
        };
        let inner = &marked[mark.len()..mark.len() + end];
        rest = &marked[mark.len() + end + close.len()..];
        found.push(roman(before));
        found.push(match mark {
            "*" => italic(inner),
            "[" => roman(inner.trim_matches('`')),
            _ => bold(inner),
        });
        if mark == "[" {
            rest = rest.split_once(')').map_or("", |(_, behind)| behind);
        }
    }
    found.push(roman(rest));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_of_the_shipped_file_is_in_the_page() {
        let page = settings(SETTINGS, SHIPPED);
        let keys = SHIPPED.lines().filter_map(|line| line.split_once(" = ")).map(|(key, _)| key.trim());
        for key in keys.filter(|key| !key.starts_with('#')) {
            assert!(page.contains(&key.replace('-', "\\-")), "{key}");
        }
        for (path, what) in [("[next\\-hop]", "a table"), ("\\fBtls\\-name\\fR", "a row's key")] {
            assert!(page.contains(path), "{what}: {path}\n{page}");
        }
        assert!(!page.contains("|---") && !page.contains("```") && !page.contains("]("), "{page}");
    }

    #[test]
    fn a_mark_that_is_never_closed_is_a_letter() {
        let mut page = Roff::new();
        page.text(inlines("a * b, `c`, **d**, *e*, [f](g.md) and [h"));
        assert!(page.to_roff().contains("a * b, \\fBc\\fR, \\fBd\\fR, \\fIe\\fR, f and [h"), "{}", page.to_roff());
    }

    #[test]
    fn each_command_has_its_page() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path()).unwrap();
        for name in ["outgate.1", "outgate-serve.1", "outgate-case-list.1", "outgate-config-check.1", "outgate.toml.5"]
        {
            assert!(folder.path().join(name).is_file(), "{name}");
        }
        assert!(!folder.path().join("outgate-manual.1").exists(), "for those who make packages");
        assert!(fs::read_to_string(folder.path().join("outgate.1")).unwrap().contains("store.key"));
    }
}
