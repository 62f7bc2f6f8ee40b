//! `Sensitive<T>`: personal data that must not reach a log, a metric, an error text or a panic.
//!
//! It prints as `[withheld]` in `Debug` and `Display`. Reading it takes a visible `.expose()`, so a
//! reviewer can search for every place where personal data leaves its wrapper.

use std::fmt;

/// Personal data. Prints as `[withheld]`. Can be serialised, so that it can be sealed or shown to a
/// person who may see it; log lines and metrics are never made by serde.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Sensitive<T>(T);

impl<T> Sensitive<T> {
    pub fn new(value: T) -> Self {
        Self(value)
    }

    /// The value itself: for the message, the reviewer and the sender, never for a log line.
    pub fn expose(&self) -> &T {
        &self.0
    }

    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> From<T> for Sensitive<T> {
    fn from(value: T) -> Self {
        Self(value)
    }
}

impl<T> fmt::Debug for Sensitive<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[withheld]")
    }
}

impl<T> fmt::Display for Sensitive<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[withheld]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_nothing_of_what_it_holds() {
        let name = Sensitive::new("Ada Example".to_string());
        assert_eq!(format!("{name} {name:?}"), "[withheld] [withheld]");
        assert_eq!(name.expose(), "Ada Example");
    }
}
