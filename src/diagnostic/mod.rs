//! A mistake in a config file: path, line, caret, allowed words.
//!
//! In: the text of a configuration file. Out: typed values, each with its place, or every mistake of every file at
//! once. Never: a stop at the first mistake, a value taken by guess, a key passed over in silence.
//!
//! ```
//! use outgate::diagnostic::{self, Diagnostics, Source};
//!
//! let source = Source::new("rules/example.toml", "title = 'Large mailings'\nlimit = 20\n");
//! let mut diagnostics = Diagnostics::default();
//! let read = diagnostic::read(&source, &mut diagnostics, |table| {
//!     let title = table.required_text("title"); // a mistake is noted, reading goes on
//!     let limit = table.integer("limit", 1..=1000);
//!     Some((title?.value, limit?.value)) // keys nobody asked for are mistakes too
//! });
//! assert!(diagnostics.is_empty());
//! assert_eq!(read, Some(("Large mailings".into(), 20)));
//! ```

mod amount;
mod nearest;
mod table;

pub use amount::parse_duration;
pub use nearest::nearest;
pub use table::{Located, Table, Value, read};

use miette::{GraphicalReportHandler, GraphicalTheme, LabeledSpan, NamedSource, SourceCode};
use std::{fmt, ops::Range, sync::Arc};

/// One configuration file as text. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    pub path: Arc<str>,
    pub text: Arc<str>,
}

impl Source {
    pub fn new(path: impl Into<Arc<str>>, text: impl Into<Arc<str>>) -> Self {
        Self { path: path.into(), text: text.into() }
    }
}

/// One mistake, with its place and what would be right.
#[derive(Clone, Debug)]
pub struct Diagnostic {
    file: NamedSource<Arc<str>>,
    path: Arc<str>,
    text: Arc<str>,
    /// Bytes of the file; empty for what is missing.
    span: Range<usize>,
    message: String,
    allowed: Option<String>,
}

impl Diagnostic {
    /// A span beyond the end of the text is cut to it.
    pub fn new(source: &Source, span: Range<usize>, message: impl Into<String>) -> Self {
        let start = floor_char(&source.text, span.start);
        let end = floor_char(&source.text, span.end).max(start);
        Self {
            file: NamedSource::new(&source.path, source.text.clone()),
            path: source.path.clone(),
            text: source.text.clone(),
            span: start..end,
            message: message.into(),
            allowed: None,
        }
    }

    /// For a mistake of a whole file that cannot even be read as text.
    pub fn of_file(path: impl Into<Arc<str>>, message: impl Into<String>) -> Self {
        Self::new(&Source::new(path, ""), 0..0, message)
    }

    /// What would be right here: `allowed: enforce, watch`.
    pub fn with_allowed(mut self, allowed: impl Into<String>) -> Self {
        self.allowed = Some(allowed.into());
        self
    }

    /// For a word that is not one of `words`: the nearest one, and all of them.
    pub fn with_words<W: AsRef<str>>(self, wrong: &str, words: &[W]) -> Self {
        let list = words.iter().map(AsRef::as_ref).collect::<Vec<_>>().join(", ");
        let allowed = if list.is_empty() { "there is none to choose from".into() } else { format!("allowed: {list}") };
        match nearest(wrong, words) {
            Some(near) => self.with_allowed(format!("did you mean `{near}`? {allowed}")),
            None => self.with_allowed(allowed),
        }
    }

    pub fn path(&self) -> &str {
        &self.path
    }

    pub fn message(&self) -> &str {
        &self.message
    }

    pub fn allowed(&self) -> Option<&str> {
        self.allowed.as_deref()
    }

    pub fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    /// Counted from 1.
    pub fn line(&self) -> usize {
        self.text[..self.span.start].matches('\n').count() + 1
    }

    /// In characters, counted from 1.
    pub fn column(&self) -> usize {
        let before = &self.text[..self.span.start];
        before[before.rfind('\n').map_or(0, |at| at + 1)..].chars().count() + 1
    }
}

/// `path:line:column: message (allowed: …)`, in one line.
impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: {}", self.path, self.line(), self.column(), self.message)?;
        match &self.allowed {
            Some(allowed) => write!(f, " ({allowed})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Diagnostic {}

/// The mistake as miette draws it: the message alone, since the place is drawn below it.
#[derive(Debug)]
struct Drawn<'a>(&'a Diagnostic);

impl fmt::Display for Drawn<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl std::error::Error for Drawn<'_> {}

impl miette::Diagnostic for Drawn<'_> {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.0.allowed.as_ref().map(|allowed| Box::new(allowed) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        (!self.0.text.is_empty()).then_some(&self.0.file as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        Some(Box::new(std::iter::once(LabeledSpan::underline(self.0.span.clone()))))
    }
}

/// All mistakes of all files.
#[derive(Clone, Debug, Default)]
pub struct Diagnostics(Vec<Diagnostic>);

impl Diagnostics {
    pub fn push(&mut self, diagnostic: Diagnostic) {
        self.0.push(diagnostic);
    }

    pub fn extend(&mut self, other: Diagnostics) {
        self.0.extend(other.0);
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn iter(&self) -> std::slice::Iter<'_, Diagnostic> {
        self.0.iter()
    }

    /// `value`, if there was no mistake; the mistakes sorted by file and place.
    pub fn into_result<T>(mut self, value: T) -> Result<T, Diagnostics> {
        if self.0.is_empty() {
            return Ok(value);
        }
        self.sort();
        Err(self)
    }

    /// By file, then by place; the same mistake once.
    pub fn sort(&mut self) {
        self.0.sort_by(|a, b| (&a.path, a.span.start, &a.message).cmp(&(&b.path, b.span.start, &b.message)));
        self.0.dedup_by(|a, b| a.path == b.path && a.span == b.span && a.message == b.message);
    }

    /// For a terminal: every mistake with its line and a caret.
    pub fn render(&self, colour: bool) -> String {
        let theme = if colour { GraphicalTheme::unicode() } else { GraphicalTheme::unicode_nocolor() };
        let handler = GraphicalReportHandler::new_themed(theme).with_width(120).with_links(false);
        let mut out = String::new();
        for diagnostic in &self.0 {
            if diagnostic.text.is_empty() {
                out.push_str(&format!("  {}\n", diagnostic.path));
            }
            if handler.render_report(&mut out, &Drawn(diagnostic)).is_err() {
                out.push_str(&diagnostic.to_string());
            }
            out.push('\n');
        }
        out
    }
}

/// One line each.
impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, diagnostic) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            diagnostic.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Diagnostics {}

impl From<Diagnostic> for Diagnostics {
    fn from(diagnostic: Diagnostic) -> Self {
        Self(vec![diagnostic])
    }
}

impl IntoIterator for Diagnostics {
    type Item = Diagnostic;
    type IntoIter = std::vec::IntoIter<Diagnostic>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

fn floor_char(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistake_shows_path_line_caret_and_the_allowed_words() {
        let source = Source::new("rules/x.toml", "title = \"é\"\nmode = \"enforse\"\n");
        let diagnostic =
            Diagnostic::new(&source, 20..29, "`enforse` is not a mode").with_words("enforse", &["enforce", "watch"]);
        assert_eq!((diagnostic.line(), diagnostic.column()), (2, 8));
        assert_eq!(
            diagnostic.to_string(),
            "rules/x.toml:2:8: `enforse` is not a mode (did you mean `enforce`? allowed: enforce, watch)"
        );
        let drawn = Diagnostics::from(diagnostic).render(false);
        for wanted in ["rules/x.toml:2:8", "mode = \"enforse\"", "allowed: enforce, watch"] {
            assert!(drawn.contains(wanted), "{wanted} in\n{drawn}");
        }
    }

    #[test]
    fn all_mistakes_come_sorted_and_once() {
        let source = Source::new("b.toml", "a = 1\nb = 2\n");
        let mut all = Diagnostics::default();
        all.push(Diagnostic::new(&source, 6..7, "second"));
        all.push(Diagnostic::new(&source, 0..1, "first"));
        all.push(Diagnostic::new(&source, 0..1, "first"));
        all.push(Diagnostic::of_file("a.toml", "cannot be read"));
        let all = all.into_result(()).expect_err("three mistakes");
        assert_eq!(all.to_string(), "a.toml:1:1: cannot be read\nb.toml:1:1: first\nb.toml:2:1: second");
        assert!(all.render(false).contains("a.toml"));
    }
}
