//! The allowed word that someone most likely meant.

/// The one of `words` that differs least from `wrong`, if it differs little: at most a third of its letters.
pub fn nearest<'w, W: AsRef<str>>(wrong: &str, words: &'w [W]) -> Option<&'w str> {
    // A longer text is no misspelt word, and the distance is quadratic.
    if wrong.len() > 64 {
        return None;
    }
    let wrong = wrong.to_lowercase().replace('_', "-");
    words
        .iter()
        .map(AsRef::as_ref)
        .map(|word| (distance(&wrong, word), word))
        .filter(|(distance, word)| *distance <= (word.chars().count() / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}

/// Letters to insert, remove, replace, or swap with the neighbour.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let replaced = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = replaced.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_that_was_meant() {
        let words = ["title", "mode", "purpose", "visible-recipients-over", "to"];
        for (wrong, meant) in [
            ("titel", Some("title")),
            ("Mode", Some("mode")),
            ("visible_recipients_over", Some("visible-recipients-over")),
            ("visible-recipient-over", Some("visible-recipients-over")),
            ("tp", Some("to")),
            ("colour", None),
        ] {
            assert_eq!(nearest(wrong, &words), meant, "{wrong}");
        }
        assert_eq!(nearest(&"x".repeat(10_000), &words), None);
    }
}
