//! An entry of a word list, for tests that must not write ugly words themselves.

use super::{sources::DetectorSources, words::list::WordList};

impl DetectorSources {
    /// The first of the severest entries of `words.NAME`, or of one category of it: `words.NAME/CATEGORY`.
    pub fn sample(&self, detector: &str) -> Option<String> {
        let name = detector.strip_prefix("words.")?;
        let (name, category) = name.split_once('/').map_or((name, None), |(name, category)| (name, Some(category)));
        let files = self.word_lists.iter().filter(|file| file.stem() == name);
        let entries = files.filter_map(|file| WordList::parse(file).ok()).flat_map(|list| list.entries);
        let entries =
            entries.filter(|entry| category.is_none_or(|category| entry.category.as_deref() == Some(category)));
        let severest = entries.reduce(|best, entry| if entry.severity > best.severity { entry } else { best })?;
        severest.forms.into_iter().next()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::SourceFile;

    #[test]
    fn the_first_of_the_severest() {
        let text = "language: en\nseverity: mild\n---\n[category: fruit]\npumpkin\n[category: root, severity: severe]\nturnip\nradish\n";
        let word_lists = vec![SourceFile { path: "wordlists/en/roots.txt".into(), text: text.into() }];
        let sources = DetectorSources { word_lists, ..DetectorSources::default() };
        assert_eq!(sources.sample("words.roots").as_deref(), Some("turnip"));
        assert_eq!(sources.sample("words.roots/fruit").as_deref(), Some("pumpkin"));
        assert_eq!(sources.sample("words.roots/leaf"), None);
        assert_eq!(sources.sample("words.leaves"), None);
        assert_eq!(sources.sample("personal.uk-nino"), None);
    }
}
