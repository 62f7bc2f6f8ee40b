//! The files of a configuration: what lies beside `outgate.toml`, the embedded default for a folder that is absent, and
//! what lies in `local/`.

use crate::diagnostic::{Diagnostic, Diagnostics, Source};
use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
};

/// The shipped files: name as below the configuration's folder, and text.
pub(super) static SHIPPED: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/shipped.rs"));

/// The largest file that is read: a list of 100,000 words has 2 MiB.
const LARGEST: u64 = 32 * 1024 * 1024;
/// Folders within folders: `policies/NAME/texts`, `wordlists/LANGUAGE`.
const DEEPEST: usize = 3;

/// The folders beside `outgate.toml`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Folder {
    Policies,
    Rules,
    Detectors,
    Wordlists,
    Notices,
    Domains,
}

impl Folder {
    const ALL: [Folder; 6] =
        [Folder::Policies, Folder::Rules, Folder::Detectors, Folder::Wordlists, Folder::Notices, Folder::Domains];

    pub fn name(self) -> &'static str {
        match self {
            Folder::Policies => "policies",
            Folder::Rules => "rules",
            Folder::Detectors => "detectors",
            Folder::Wordlists => "wordlists",
            Folder::Notices => "notices",
            Folder::Domains => "domains",
        }
    }

    /// How its files' names end.
    fn endings(self) -> &'static [&'static str] {
        match self {
            Folder::Policies | Folder::Rules | Folder::Detectors => &["toml"],
            Folder::Wordlists | Folder::Domains => &["txt"],
            Folder::Notices => &["txt", "html"],
        }
    }
}

/// One file of the configuration.
#[derive(Clone, Debug)]
pub(super) struct ConfigFile {
    /// Below its folder: `hide-recipients.toml`, `en/abuse.txt`, `aukcap/policy.toml`.
    pub name: String,
    pub source: Source,
}

/// All files of one folder.
#[derive(Clone, Debug, Default)]
pub(super) struct Files {
    pub shipped: Vec<ConfigFile>,
    pub local: Vec<ConfigFile>,
}

impl Files {
    /// A local file takes the place of the shipped one of its name.
    pub fn winning(&self) -> Vec<ConfigFile> {
        let all = self.shipped.iter().chain(&self.local);
        all.map(|file| (file.name.clone(), file.clone())).collect::<BTreeMap<_, _>>().into_values().collect()
    }
}

/// Reads the files of one folder. What cannot be read is a mistake.
pub(super) fn read(home: &Path, folder: Folder, diagnostics: &mut Diagnostics) -> Files {
    let place = home.join(folder.name());
    let shipped = if place.is_dir() { read_disk(&place, folder, diagnostics) } else { embedded(folder) };
    let local = home.join("local").join(folder.name());
    let local = if local.is_dir() { read_disk(&local, folder, diagnostics) } else { Vec::new() };
    Files { shipped, local }
}

/// Whatever in `local/` would never be read is a mistake: a misspelt folder would otherwise be ignored in silence.
pub(super) fn check_local(home: &Path, diagnostics: &mut Diagnostics) {
    let local = home.join("local");
    let Ok(entries) = fs::read_dir(&local) else { return };
    let mut names: Vec<_> = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    for name in names.iter().filter(|name| !is_aside(name)) {
        let known = Folder::ALL.iter().any(|folder| folder.name() == name) && local.join(name).is_dir();
        if !known {
            let path = local.join(name).display().to_string();
            let mistake = Diagnostic::of_file(path, format!("`{name}` in local/ is not read"));
            diagnostics.push(mistake.with_words(name, &Folder::ALL.map(Folder::name)));
        }
    }
}

/// Reads one file, with its limits.
pub(super) fn read_file(path: &Path) -> Result<Source, Box<Diagnostic>> {
    let shown = path.display().to_string();
    let wrong = |why: String| Box::new(Diagnostic::of_file(shown.clone(), why));
    let unreadable = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => wrong("there is no such file".into()),
        io::ErrorKind::PermissionDenied => wrong("this account may not read it".into()),
        _ => wrong(format!("cannot be read: {error}")),
    };
    let file = File::open(path).map_err(unreadable)?;
    if !file.metadata().map_err(unreadable)?.is_file() {
        return Err(wrong("not a file".into()));
    }
    let mut bytes = Vec::new();
    file.take(LARGEST + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > LARGEST {
        return Err(wrong(format!("larger than {} MiB", LARGEST / (1024 * 1024))));
    }
    match String::from_utf8(bytes) {
        Ok(text) => Ok(Source::new(shown, text)),
        Err(error) => {
            let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
            let line = valid.iter().filter(|byte| **byte == b'\n').count() + 1;
            let mistake = Diagnostic::of_file(shown, format!("line {line} is not UTF-8"));
            Err(Box::new(mistake.with_allowed("allowed: text in UTF-8")))
        }
    }
}

fn embedded(folder: Folder) -> Vec<ConfigFile> {
    let files = SHIPPED.iter().filter_map(|(name, text)| {
        let below = name.strip_prefix(folder.name())?.strip_prefix('/')?;
        let source = Source::new(format!("built in: {name}"), *text);
        Some(ConfigFile { name: below.into(), source })
    });
    files.collect()
}

fn read_disk(place: &Path, folder: Folder, diagnostics: &mut Diagnostics) -> Vec<ConfigFile> {
    let mut names = Vec::new();
    list(place, "", 1, &mut names, diagnostics);
    names.sort();
    let mut files = Vec::new();
    for name in names {
        let path = place.join(&name);
        let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending);
        if !folder.endings().contains(&ending) {
            if ending != "md" {
                let why = format!("a file in {}/ that is not read", folder.name());
                let allowed = folder.endings().iter().map(|ending| format!("NAME.{ending}")).collect::<Vec<_>>();
                let allowed = format!("allowed: {}", allowed.join(", "));
                diagnostics.push(Diagnostic::of_file(path.display().to_string(), why).with_allowed(allowed));
            }
            continue;
        }
        match read_file(&path) {
            Ok(source) => files.push(ConfigFile { name, source }),
            Err(mistake) => diagnostics.push(*mistake),
        }
    }
    files
}

fn list(place: &Path, below: &str, depth: usize, names: &mut Vec<String>, diagnostics: &mut Diagnostics) {
    let folder: PathBuf = place.join(below);
    let mistake = |why: String| Diagnostic::of_file(folder.display().to_string(), why);
    if depth > DEEPEST {
        diagnostics.push(mistake(format!("folders go deeper than {DEEPEST}")));
        return;
    }
    let entries = match fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) => {
            diagnostics.push(mistake(format!("cannot be read: {error}")));
            return;
        }
    };
    for entry in entries.flatten() {
        let Ok(name) = entry.file_name().into_string() else {
            diagnostics.push(mistake("a file name in it is not UTF-8".into()));
            continue;
        };
        if is_aside(&name) {
            continue;
        }
        let below = if below.is_empty() { name } else { format!("{below}/{name}") };
        if place.join(&below).is_dir() {
            list(place, &below, depth + 1, names, diagnostics);
        } else {
            names.push(below);
        }
    }
}

/// What editors and version control leave lying about.
fn is_aside(name: &str) -> bool {
    name.starts_with('.') || name.ends_with('~')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(folder: &Path, name: &str, text: &str) {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn an_absent_folder_is_the_embedded_one() {
        let home = tempfile::tempdir().unwrap();
        let mut diagnostics = Diagnostics::default();
        let files = read(home.path(), Folder::Policies, &mut diagnostics);
        assert!(files.shipped.iter().any(|file| file.name == "aukcap/policy.toml"));
        write(home.path(), "policies/own/policy.toml", "");
        let files = read(home.path(), Folder::Policies, &mut diagnostics);
        assert_eq!(files.shipped.iter().map(|file| file.name.as_str()).collect::<Vec<_>>(), ["own/policy.toml"]);
        assert!(diagnostics.is_empty());
    }

    #[test]
    fn local_files_win_by_name_and_others_are_added() {
        let home = tempfile::tempdir().unwrap();
        write(home.path(), "rules/a.toml", "shipped a");
        write(home.path(), "rules/b.toml", "shipped b");
        write(home.path(), "rules/.b.toml.swp", "");
        write(home.path(), "local/rules/b.toml", "local b");
        write(home.path(), "local/rules/c.toml", "local c");
        let mut diagnostics = Diagnostics::default();
        let files = read(home.path(), Folder::Rules, &mut diagnostics);
        let texts: Vec<_> = files.winning().iter().map(|file| file.source.text.to_string()).collect();
        assert_eq!(texts, ["shipped a", "local b", "local c"]);
        assert!(diagnostics.is_empty());
    }

    #[test]
    fn what_would_be_ignored_is_a_mistake() {
        let home = tempfile::tempdir().unwrap();
        write(home.path(), "rules/a.tml", "");
        write(home.path(), "rules/README.md", "");
        write(home.path(), "local/rule/a.toml", "");
        fs::write(home.path().join("rules/bytes.toml"), b"a = 1\nb = '\xFF'").unwrap();
        let mut diagnostics = Diagnostics::default();
        read(home.path(), Folder::Rules, &mut diagnostics);
        check_local(home.path(), &mut diagnostics);
        diagnostics.sort();
        let text = diagnostics.to_string().replace(&home.path().display().to_string(), "");
        assert_eq!(
            text,
            "/local/rule:1:1: `rule` in local/ is not read (did you mean `rules`? allowed: policies, rules, detectors, wordlists, notices, domains)\n\
             /rules/a.tml:1:1: a file in rules/ that is not read (allowed: NAME.toml)\n\
             /rules/bytes.toml:1:1: line 2 is not UTF-8 (allowed: text in UTF-8)"
        );
    }
}
