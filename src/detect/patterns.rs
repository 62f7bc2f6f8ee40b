//! The organisation's own patterns: detectors `patterns.NAME`.
//!
//! ```toml
//! [[pattern]]
//! name    = "case-number"
//! title   = "Our case numbers"
//! regex   = '\bCN-[0-9]{6}\b'
//! context = ["case", "client"]    # optional: one of these must stand near
//! within  = 60                    # characters, before or behind
//! score   = 0.9
//! type    = "PERSON_ID"           # what `scan` calls it
//! ```
//!
//! All patterns are searched for at once, in time linear in the text; those that cannot match without a digit only near digits.
//! A pattern sees the text as it stands and, where that differs, with disguises undone. `\b` knows ASCII words only: a word
//! boundary by Unicode would take the fast automaton away from every text with a curly quote in it.

use super::{Detector, Hit, Mistake, SourceFile, fold::Folded, matcher::is_word_byte};
use aho_corasick::AhoCorasick;
use regex_automata::{Input, MatchKind, PatternSet, meta, util::syntax};
use regex_syntax::hir::{Capture, Class, Hir, HirKind, Look, Repetition};
use serde::Deserialize;
use std::{collections::HashSet, ops::Range, sync::Arc};
use toml::Spanned;

/// All patterns together.
const COMPILED_LIMIT: usize = 10 << 20;
/// A longer match is not looked for near digits only.
const LONGEST_NEAR_DIGITS: usize = 512;
/// More in one text say nothing new.
const MOST_MATCHES: usize = 10_000;

pub(super) struct Patterns {
    own: Vec<Pattern>,
    /// Cannot match without a digit.
    near_digits: Group,
    anywhere: Group,
}

struct Pattern {
    detector: Arc<Detector>,
    regex: meta::Regex,
    context: Option<Context>,
    score: f32,
}

struct Context {
    words: AhoCorasick,
    longest: usize,
    within: usize,
}

/// Patterns in one alternation.
struct Group {
    regex: Option<meta::Regex>,
    /// The same, told to go on behind a match: which patterns there are.
    every: Option<meta::Regex>,
    /// Indexes into all patterns, in the order of the alternation.
    members: Vec<usize>,
    longest: usize,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    pattern: Vec<Written>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Written {
    name: Spanned<String>,
    regex: Spanned<String>,
    /// For people: shown nowhere yet, but wanted in a file that others read.
    #[serde(default, rename = "title")]
    _title: Option<String>,
    #[serde(default)]
    context: Vec<Spanned<String>>,
    within: Option<Spanned<usize>>,
    score: Option<Spanned<f32>>,
    r#type: Option<String>,
}

impl Patterns {
    pub fn compile(files: &[SourceFile]) -> Result<Self, Vec<Mistake>> {
        let (mut own, mut searched, mut mistakes) = (Vec::new(), Vec::new(), Vec::new());
        let mut names = HashSet::new();
        for file in files {
            let written = match toml::from_str::<File>(&file.text) {
                Ok(written) => written.pattern,
                Err(wrong) => {
                    mistakes.push(mistake(file, wrong.span().unwrap_or(0..0), wrong.message().to_string()));
                    continue;
                }
            };
            for written in written {
                let mut check = Check { file, mistakes: &mut mistakes };
                if !names.insert(written.name.get_ref().clone()) {
                    check.mistake(&written.name, "another pattern has this name".into());
                }
                if let Some((pattern, hir)) = check.pattern(&written) {
                    let search = Search::of(&hir);
                    searched.push((hir, search));
                    own.push(pattern);
                }
            }
        }
        let near_digits = Group::compile(&searched, |search| matches!(search, Search::NearDigits { .. }));
        let anywhere = Group::compile(&searched, |search| *search == Search::Anywhere);
        match (near_digits, anywhere) {
            _ if !mistakes.is_empty() => Err(mistakes),
            (Ok(near_digits), Ok(anywhere)) => Ok(Self { own, near_digits, anywhere }),
            _ => {
                let file = files.first().expect("patterns come from a file");
                Err(vec![mistake(
                    file,
                    0..0,
                    format!("all patterns together pass {} MiB compiled", COMPILED_LIMIT >> 20),
                )])
            }
        }
    }

    pub fn detectors(&self) -> impl Iterator<Item = &Arc<Detector>> {
        self.own.iter().map(|pattern| &pattern.detector)
    }

    pub fn find(&self, text: &str, folded: &Folded, hits: &mut Vec<Hit>) {
        if self.own.is_empty() {
            return;
        }
        let first = hits.len();
        self.search_all(text, folded, hits, |range| range);
        if folded.is_plain() {
            return;
        }
        self.search_all(&folded.cased, folded, hits, |range| folded.original(range));
        let mut seen = HashSet::new();
        let mut index = 0;
        hits.retain(|hit| {
            index += 1;
            index <= first || seen.insert((Arc::as_ptr(&hit.detector), hit.range.clone()))
        });
    }

    fn search_all(
        &self,
        text: &str,
        folded: &Folded,
        hits: &mut Vec<Hit>,
        original: impl Fn(Range<usize>) -> Range<usize>,
    ) {
        if folded.has_foreign_digits() {
            // `\d` knows them, the look for digits does not.
            self.search(&self.near_digits, text, 0..text.len(), folded, hits, &original);
        } else {
            for window in windows(text.as_bytes(), self.near_digits.longest) {
                self.search(&self.near_digits, text, window, folded, hits, &original);
            }
        }
        self.search(&self.anywhere, text, 0..text.len(), folded, hits, &original);
    }

    fn search(
        &self,
        group: &Group,
        text: &str,
        window: Range<usize>,
        folded: &Folded,
        hits: &mut Vec<Hit>,
        original: impl Fn(Range<usize>) -> Range<usize>,
    ) {
        let Some(regex) = &group.regex else { return };
        let input = Input::new(text).range(window);
        // Most text has none of them, and that much is known fastest.
        if !regex.is_match(input.clone()) {
            return;
        }
        let Some(every) = &group.every else { return };
        let mut matching = PatternSet::new(every.pattern_len());
        every.which_overlapping_matches(&input, &mut matching);
        for member in matching.iter() {
            let pattern = &self.own[group.members[member.as_usize()]];
            for found in pattern.regex.find_iter(input.clone()).take(MOST_MATCHES) {
                let range = original(found.range());
                let Some(score) = pattern.score(folded, text.len(), found.range()) else { continue };
                hits.push(pattern.hit(&text[found.range()], range, score));
            }
        }
    }
}

impl Pattern {
    fn score(&self, folded: &Folded, searched: usize, found: Range<usize>) -> Option<f32> {
        let Some(context) = &self.context else { return Some(self.score) };
        // In the text as it stands offsets differ from the folded ones by little; in the folded text they are the same.
        let text = &folded.lower[..];
        let within = context.within + text.len().abs_diff(searched).min(context.within);
        let from = found.start.saturating_sub(within + context.longest).min(text.len());
        let to = (found.end + within + context.longest).min(text.len());
        let near = |word: aho_corasick::Match| {
            let (start, end) = (from + word.start(), from + word.end());
            let whole =
                (start == 0 || !is_word_byte(text[start - 1])) && text.get(end).is_none_or(|byte| !is_word_byte(*byte));
            whole && end + within >= found.start && start <= found.end + within
        };
        context.words.find_iter(&text[from..to]).any(near).then_some(self.score)
    }

    fn hit(&self, found: &str, range: Range<usize>, score: f32) -> Hit {
        let normalised: String = found.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_uppercase).collect();
        Hit {
            detector: self.detector.clone(),
            category: None,
            severity: 0,
            range,
            excerpt: masked(found),
            value: super::value_hash(&self.detector.name, normalised.as_bytes()),
            score,
        }
    }
}

struct Check<'a> {
    file: &'a SourceFile,
    mistakes: &'a mut Vec<Mistake>,
}

impl Check<'_> {
    fn mistake<T>(&mut self, place: &Spanned<T>, message: String) {
        self.mistakes.push(mistake(self.file, place.span(), message));
    }

    fn pattern(&mut self, written: &Written) -> Option<(Pattern, Hir)> {
        let before = self.mistakes.len();
        let name = written.name.get_ref();
        if name.is_empty()
            || !name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        {
            self.mistake(&written.name, "a name has small letters, digits and hyphens".into());
        }
        if let Some(score) = &written.score
            && !(0.0..=1.0).contains(score.get_ref())
        {
            self.mistake(score, "a score is between 0 and 1".into());
        }
        if let Some(within) = &written.within
            && !(1..=1_000).contains(within.get_ref())
        {
            self.mistake(within, "`within` is between 1 and 1000".into());
        }
        for word in &written.context {
            if !word.get_ref().chars().any(char::is_alphanumeric) {
                self.mistake(word, "a word needs a letter or a digit".into());
            }
        }
        let regex = self.regex(&written.regex);
        let (regex, hir) = (self.mistakes.len() == before).then_some(regex).flatten()?;
        let kind = written.r#type.clone().unwrap_or_else(|| name.to_uppercase().replace('-', "_"));
        let words: Vec<Vec<u8>> = written.context.iter().map(|word| Folded::new(word.get_ref()).lower).collect();
        let within = written.within.as_ref().map_or(60, |within| *within.get_ref());
        let context = (!words.is_empty()).then(|| Context {
            longest: words.iter().map(Vec::len).max().unwrap_or(0),
            words: AhoCorasick::new(words).expect("a list of short words compiles"),
            within,
        });
        let detector = Detector::new(&format!("patterns.{name}"), &kind);
        Some((
            Pattern { detector, regex, context, score: written.score.as_ref().map_or(0.9, |score| *score.get_ref()) },
            hir,
        ))
    }

    fn regex(&mut self, written: &Spanned<String>) -> Option<(meta::Regex, Hir)> {
        let hir = match syntax::parse(written.get_ref()) {
            Ok(hir) => ascii_boundaries(&hir),
            Err(wrong) => {
                self.mistake(
                    written,
                    format!("not a pattern: {}", wrong.to_string().lines().last().unwrap_or_default()),
                );
                return None;
            }
        };
        if hir.properties().minimum_len() == Some(0) {
            self.mistake(written, "a pattern that matches nothing at all would match everywhere".into());
            return None;
        }
        match builder().build_from_hir(&hir) {
            Ok(regex) => Some((regex, hir)),
            Err(_) => {
                self.mistake(written, format!("compiled, this pattern passes {} MiB", COMPILED_LIMIT >> 20));
                None
            }
        }
    }
}

fn limits() -> meta::Config {
    meta::Config::new().nfa_size_limit(Some(COMPILED_LIMIT)).hybrid_cache_capacity(4 << 20)
}

fn builder() -> meta::Builder {
    let mut builder = meta::Regex::builder();
    builder.configure(limits());
    builder
}

/// Tells of each pattern whether it matches, not only of the one that matches first.
fn every() -> meta::Builder {
    let mut builder = meta::Regex::builder();
    builder.configure(limits().match_kind(MatchKind::All));
    builder
}

fn mistake(file: &SourceFile, span: Range<usize>, message: String) -> Mistake {
    let line = 1 + memchr::memchr_iter(b'\n', &file.text.as_bytes()[..span.start.min(file.text.len())]).count();
    Mistake { file: file.path.clone(), line, span, message }
}

/// Where a pattern can match.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Search {
    NearDigits { longest: usize },
    Anywhere,
}

impl Search {
    fn of(hir: &Hir) -> Self {
        match hir.properties().maximum_len() {
            Some(longest) if longest <= LONGEST_NEAR_DIGITS && needs_digit(hir) => Search::NearDigits { longest },
            _ => Search::Anywhere,
        }
    }
}

/// The same pattern with word boundaries by ASCII.
fn ascii_boundaries(hir: &Hir) -> Hir {
    match hir.kind() {
        HirKind::Look(look) => Hir::look(match look {
            Look::WordUnicode => Look::WordAscii,
            Look::WordUnicodeNegate => Look::WordAsciiNegate,
            Look::WordStartUnicode => Look::WordStartAscii,
            Look::WordEndUnicode => Look::WordEndAscii,
            Look::WordStartHalfUnicode => Look::WordStartHalfAscii,
            Look::WordEndHalfUnicode => Look::WordEndHalfAscii,
            other => *other,
        }),
        HirKind::Repetition(repetition) => {
            Hir::repetition(Repetition { sub: Box::new(ascii_boundaries(&repetition.sub)), ..repetition.clone() })
        }
        HirKind::Capture(capture) => {
            Hir::capture(Capture { sub: Box::new(ascii_boundaries(&capture.sub)), ..capture.clone() })
        }
        HirKind::Concat(parts) => Hir::concat(parts.iter().map(ascii_boundaries).collect()),
        HirKind::Alternation(branches) => Hir::alternation(branches.iter().map(ascii_boundaries).collect()),
        HirKind::Empty | HirKind::Literal(_) | HirKind::Class(_) => hir.clone(),
    }
}

/// Whether every match has a digit in it: an ASCII one, in text that has no others.
fn needs_digit(hir: &Hir) -> bool {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => false,
        HirKind::Literal(literal) => literal.0.iter().any(u8::is_ascii_digit),
        HirKind::Class(Class::Unicode(class)) => {
            class.iter().all(|range| range.len() < 100 && (range.start()..=range.end()).all(char::is_numeric))
        }
        HirKind::Class(Class::Bytes(class)) => {
            class.iter().all(|range| range.start().is_ascii_digit() && range.end().is_ascii_digit())
        }
        HirKind::Repetition(repetition) => repetition.min > 0 && needs_digit(&repetition.sub),
        HirKind::Capture(capture) => needs_digit(&capture.sub),
        HirKind::Concat(parts) => parts.iter().any(needs_digit),
        HirKind::Alternation(branches) => branches.iter().all(needs_digit),
    }
}

impl Group {
    fn compile(searched: &[(Hir, Search)], belongs: impl Fn(&Search) -> bool) -> Result<Self, ()> {
        let members: Vec<usize> = (0..searched.len()).filter(|index| belongs(&searched[*index].1)).collect();
        let sources: Vec<&Hir> = members.iter().map(|index| &searched[*index].0).collect();
        let longest = members.iter().map(|index| match searched[*index].1 {
            Search::NearDigits { longest } => longest,
            Search::Anywhere => 0,
        });
        let longest = longest.max().unwrap_or(0);
        if sources.is_empty() {
            return Ok(Self { regex: None, every: None, members, longest });
        }
        let regex = builder().build_many_from_hir(&sources).map_err(drop)?;
        let every = every().build_many_from_hir(&sources).map_err(drop)?;
        Ok(Self { regex: Some(regex), every: Some(every), members, longest })
    }
}

/// The stretches of text that lie within `reach` of a digit, joined where they meet.
fn windows(text: &[u8], reach: usize) -> impl Iterator<Item = Range<usize>> + '_ {
    let mut at = 0;
    std::iter::from_fn(move || {
        let first = at + text.get(at..).filter(|_| reach > 0)?.iter().position(u8::is_ascii_digit)?;
        let start = first.saturating_sub(reach).max(at);
        let mut last = first;
        // The next digit joins while its reach meets ours.
        while let Some(next) = text[last + 1..text.len().min(last + 2 * reach + 2)].iter().rposition(u8::is_ascii_digit)
        {
            last += 1 + next;
        }
        at = (last + reach + 1).min(text.len());
        Some(start..at)
    })
}

/// The first character of each group of letters and digits, the rest as stars.
fn masked(found: &str) -> String {
    let mut first = true;
    let mask = |c: char| {
        let shown = if !c.is_alphanumeric() || first { c } else { '*' };
        first = !c.is_alphanumeric();
        if shown.is_whitespace() { ' ' } else { shown }
    };
    found.chars().take(80).map(mask).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn file(text: &str) -> SourceFile {
        SourceFile { path: "detectors/own.toml".into(), text: text.into() }
    }

    fn patterns(regexes: &[&str]) -> Patterns {
        let text: String = regexes
            .iter()
            .enumerate()
            .map(|(number, regex)| format!("[[pattern]]\nname = \"p{number}\"\nregex = '{regex}'\n"))
            .collect();
        Patterns::compile(&[file(&text)]).unwrap()
    }

    fn found(patterns: &Patterns, text: &str) -> Vec<(String, String)> {
        let mut hits = Vec::new();
        patterns.find(text, &Folded::new(text), &mut hits);
        hits.sort_by_key(|hit| (hit.detector.name.clone(), hit.range.start));
        hits.into_iter().map(|hit| (hit.detector.name.to_string(), text[hit.range].to_string())).collect()
    }

    #[test]
    fn own_patterns_with_context() {
        let patterns = Patterns::compile(&[file(
            "[[pattern]]\nname = 'case'\nregex = '\\b[A-Z]{2}-[0-9]{4}\\b'\ncontext = ['Case', 'client file']\nwithin = 12\ntype = 'PERSON_ID'\nscore = 0.7\n",
        )])
        .unwrap();
        let one = |text: &str| vec![("patterns.case".to_string(), text.to_string())];
        assert_eq!(found(&patterns, "case AB-1234"), one("AB-1234"));
        assert_eq!(found(&patterns, "AB-1234 is a client file"), one("AB-1234"));
        assert_eq!(found(&patterns, "cases AB-1234, or ab-1234 case"), []);
        assert_eq!(found(&patterns, "case: a long way off AB-1234"), []);
        assert_eq!(found(&patterns, "the “case” – AB-1234"), one("AB-1234"));
        assert_eq!(found(&patterns, "case ＡＢ-１２３４"), one("ＡＢ-１２３４"));
        assert_eq!(&*patterns.own[0].detector.kind, "PERSON_ID");
        assert_eq!(masked("AB-1234 x"), "A*-1*** x");
    }

    #[test]
    fn overlapping_patterns_are_all_found() {
        let patterns = patterns(&["a[0-9]+b", "[0-9]+b c", "x.y", "é"]);
        let all = |names: &[(&str, &str)]| -> Vec<(String, String)> {
            names.iter().map(|(name, text)| (name.to_string(), text.to_string())).collect()
        };
        let expected = all(&[("patterns.p0", "a12b"), ("patterns.p1", "12b c"), ("patterns.p2", "x y")]);
        assert_eq!(found(&patterns, "a12b c, x y"), expected);
        assert_eq!(found(&patterns, "é x1y"), all(&[("patterns.p2", "x1y"), ("patterns.p3", "é")]));
    }

    #[test]
    fn every_mistake_has_its_place() {
        let text = "[[pattern]]\nname = 'A b'\nregex = '('\n[[pattern]]\nname = 'c'\nregex = 'x*'\n[[pattern]]\nname = 'c'\nregex = 'x{5000}{5000}'\nscore = 2.0\n";
        let mistakes = Patterns::compile(&[file(text), file("[[pattern]]\nnmae = 'x'\n")]).err().unwrap();
        let lines: Vec<usize> = mistakes.iter().map(|mistake| mistake.line).collect();
        assert_eq!(lines, [2, 3, 6, 8, 10, 9, 2], "{mistakes:?}");
        assert!(mistakes[6].message.contains("expected one of"), "says what is allowed");
        assert_eq!(&text[mistakes[1].span.clone()], "'('");
    }

    /// Otherwise one curly quote in a text costs a hundred times as long.
    #[test]
    fn no_pattern_asks_for_a_word_boundary_by_unicode() {
        let hir = ascii_boundaries(&syntax::parse(r"\b(a|\Bb)+\b{start}").unwrap());
        assert!(!hir.properties().look_set().contains_word_unicode());
        assert!(hir.properties().look_set().contains_word_ascii());
        let patterns = patterns(&[r"\bab\b"]);
        assert_eq!(found(&patterns, "’ab’ éab").len(), 2, "a letter that is not ASCII ends a word");
    }

    #[test]
    fn patterns_that_need_a_digit() {
        for (regex, needs) in [
            (r"\b[0-9]{3}", true),
            (r"\d+x", true),
            (r"(a1|b2)", true),
            (r"(a1|b)", false),
            (r"[0-9]*x", false),
            (r"a.c", false),
            (r"[0-9a]", false),
        ] {
            assert_eq!(needs_digit(&syntax::parse(regex).unwrap()), needs, "{regex}");
        }
    }

    proptest! {
        #[test]
        fn looking_near_digits_only_loses_nothing(text in "[ab1 \u{2019}]{0,80}") {
            let patterns = patterns(&[r"a1", r"\bb{1,3}1\b", r"1[ab ]{0,4}a", r"ab"]);
            let mut expected = Vec::new();
            for own in &patterns.own {
                expected.extend(own.regex.find_iter(&text).map(|hit| (own.detector.name.to_string(), text[hit.range()].to_string())));
            }
            prop_assert_eq!(found(&patterns, &text), expected);
        }
    }
}
