//! Embeds the shipped policies, rules, detectors, notices and word lists, so that the binary alone is a whole product: a
//! folder that is absent beside the configuration is the one that is embedded here.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
};

/// Where a folder of the configuration lies in the source tree.
const FOLDERS: [(&str, &str); 6] = [
    ("policies", "config/policies"),
    ("rules", "config/rules"),
    ("detectors", "config/detectors"),
    ("notices", "config/notices"),
    ("domains", "config/domains"),
    ("wordlists", "wordlists"),
];

fn main() -> io::Result<()> {
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let mut files = Vec::new();
    for (name, place) in FOLDERS {
        let folder = root.join(place);
        println!("cargo::rerun-if-changed={place}");
        if folder.is_dir() {
            collect(&folder, name, &mut files)?;
        }
    }
    files.sort();
    let entries: String =
        files.iter().map(|(name, path)| format!("    ({name:?}, include_str!({:?})),\n", path.display())).collect();
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it")).join("shipped.rs");
    fs::write(out, format!("&[\n{entries}]\n"))
}

fn collect(folder: &Path, name: &str, files: &mut Vec<(String, PathBuf)>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let file_name = entry.file_name().into_string().expect("shipped files have plain names");
        let below = format!("{name}/{file_name}");
        if entry.file_type()?.is_dir() {
            collect(&entry.path(), &below, files)?;
        } else if file_name.ends_with(".toml") || file_name.ends_with(".txt") || file_name.ends_with(".html") {
            files.push((below, entry.path()));
        }
    }
    Ok(())
}
