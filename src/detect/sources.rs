//! What detectors are compiled from: files of the configuration, already read.

use std::ops::Range;

/// A file's path, as it is shown in mistakes, and its text. The stem is the name of a word list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceFile {
    pub path: String,
    pub text: String,
}

impl SourceFile {
    pub(super) fn stem(&self) -> &str {
        let name = self.path.rsplit(['/', '\\']).next().unwrap_or(&self.path);
        name.split_once('.').map_or(name, |(stem, _)| stem)
    }
}

/// All files, those of `local/` last: a list of the same name extends the earlier one.
#[derive(Clone, Debug, Default)]
pub struct DetectorSources {
    /// `wordlists/LANGUAGE/*.txt`.
    pub word_lists: Vec<SourceFile>,
    /// `wordlists/innocent/*.txt`: words and phrases that contain listed ones.
    pub innocent: Vec<SourceFile>,
    /// `wordlists/speech/*.txt`: patterns of what is said of people.
    pub speech: Vec<SourceFile>,
    /// `detectors/*.toml`: the organisation's own patterns.
    pub patterns: Vec<SourceFile>,
    /// Whose personal numbers are looked for besides those of the UK.
    pub countries: Vec<Country>,
}

/// A set of personal numbers that is looked for when it is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Country {
    Us,
    /// The European Union.
    Eu,
}

impl Country {
    pub const ALL: [Self; 2] = [Self::Us, Self::Eu];

    pub fn name(self) -> &'static str {
        match self {
            Country::Us => "us",
            Country::Eu => "eu",
        }
    }
}

impl DetectorSources {
    /// The lists that are shipped in the binary.
    pub fn embedded() -> Self {
        let file = |path: &str, text: &str| SourceFile { path: path.into(), text: text.into() };
        Self {
            word_lists: vec![
                file("wordlists/en/abuse.txt", include_str!("../../wordlists/en/abuse.txt")),
                file("wordlists/en/chain-letter.txt", include_str!("../../wordlists/en/chain-letter.txt")),
                file("wordlists/en/special-category.txt", include_str!("../../wordlists/en/special-category.txt")),
            ],
            innocent: vec![file("wordlists/innocent/en.txt", include_str!("../../wordlists/innocent/en.txt"))],
            speech: vec![file("wordlists/speech/en.txt", include_str!("../../wordlists/speech/en.txt"))],
            patterns: Vec::new(),
            countries: Vec::new(),
        }
    }
}

/// A mistake in one of the files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    pub file: String,
    /// From 1.
    pub line: usize,
    /// Bytes of the file.
    pub span: Range<usize>,
    /// What is wrong, and what is allowed.
    pub message: String,
}
