//! A rule: one TOML file, written once and used by every policy.

use super::{
    Mode, Tell,
    action::{self, Action},
    clause::MODES,
    condition::Condition,
    example::{self, Example},
    seen::Seen,
    when::{self, Asked},
};
use crate::{
    detect::Finding,
    diagnostic::{self, Diagnostic, Diagnostics, Located, Source},
};
use std::sync::Arc;

/// One rule as written and checked by itself.
#[derive(Clone, Debug)]
pub struct Rule {
    /// The file's name without its ending: `hide-recipients`.
    pub name: Arc<str>,
    pub title: Arc<str>,
    pub purpose: String,
    pub mode: Mode,
    /// What the sender can do instead.
    pub advice: Arc<str>,
    /// All of `[when]`, none of `[unless]`, and what the action itself asks for.
    pub conditions: Vec<(Section, Condition)>,
    pub action: Action,
    pub examples: Vec<Example>,
    /// Detectors that the conditions name, to be checked against those that there are.
    pub asked: Asked,
    pub source: Source,
}

/// Where a condition stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    /// Not in the file: what every rule with this action asks for.
    Always,
    When,
    Unless,
}

impl Section {
    pub fn as_str(self) -> &'static str {
        match self {
            Section::Always => "always",
            Section::When => "when",
            Section::Unless => "unless",
        }
    }

    /// What a condition in this section must answer for the rule to match.
    pub fn meets(self, told: Tell) -> Tell {
        match (self, told) {
            (Section::Unless, Tell::Yes) => Tell::No,
            (Section::Unless, Tell::No) => Tell::Yes,
            (_, told) => told,
        }
    }
}

/// Whether a rule matches one submission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Match,
    /// By how many conditions; the index of the first one.
    NoMatch {
        missing: usize,
        first: usize,
    },
    CannotTell(&'static str),
}

impl Rule {
    /// Asks the conditions. One that fails settles it, whatever others cannot tell.
    pub fn weigh(&self, seen: &Seen<'_>) -> Outcome {
        let (mut missing, mut first, mut cannot_tell) = (0, 0, None);
        for (index, (section, condition)) in self.conditions.iter().enumerate() {
            match section.meets(condition.tell(seen)) {
                Tell::Yes => {}
                Tell::No if missing == 0 => (missing, first) = (1, index),
                // A second one: no match, and not almost one either.
                Tell::No => return Outcome::NoMatch { missing: 2, first },
                Tell::CannotTell(why) => cannot_tell = Some(why),
            }
        }
        match (missing, cannot_tell) {
            (0, None) => Outcome::Match,
            (0, Some(why)) => Outcome::CannotTell(why),
            (missing, _) => Outcome::NoMatch { missing, first },
        }
    }

    /// The findings that the conditions of `[when]` look for.
    pub fn evidence(&self, seen: &Seen<'_>) -> Vec<Finding> {
        // A message full of numbers need not be told in full.
        const ENOUGH: usize = 1000;
        let finds = self.conditions.iter().filter_map(|(section, condition)| match (section, condition) {
            (Section::When, Condition::Finds(finds)) => Some(finds),
            _ => None,
        });
        let found = finds.flat_map(|finds| finds.of(seen.scan)).cloned();
        found.chain(self.claims(seen)).take(ENOUGH).collect()
    }

    /// The authors that `author-is-not-sender` looks for.
    fn claims(&self, seen: &Seen<'_>) -> Vec<Finding> {
        let kinds = self.conditions.iter().find_map(|(section, condition)| match (section, condition) {
            (Section::When, Condition::AuthorIsNotSender(kinds)) => Some(kinds),
            _ => None,
        });
        let Some(kinds) = kinds else { return Vec::new() };
        let claims = seen.claims().iter().filter(|claim| kinds.contains(&claim.kind));
        claims.enumerate().map(|(number, claim)| claim.finding(number)).collect()
    }

    /// The figures of `[when]`, and of the action, that an organisation may set, with the rule's own.
    pub fn figures(&self) -> Vec<(&'static str, f64)> {
        let when = self.conditions.iter().filter(|(section, _)| *section == Section::When);
        when.flat_map(|(_, condition)| condition.figures()).chain(self.action.figure()).collect()
    }

    pub fn set_figure(&mut self, name: &str, figure: f64) {
        for (section, condition) in &mut self.conditions {
            if *section == Section::When {
                condition.set_figure(name, figure);
            }
        }
        self.action.set_figure(name, figure);
    }

    /// How many conditions the file itself has.
    pub fn written_conditions(&self) -> usize {
        self.conditions.iter().filter(|(section, _)| *section != Section::Always).count()
    }

    /// The limit that `limit + 1` in a test means: the first count of recipients in `[when]`.
    pub fn recipient_limit(&self) -> Option<usize> {
        let limit = self.figures().into_iter().find(|(name, _)| name.ends_with("-over"));
        limit.map(|(_, figure)| figure as usize)
    }
}

/// Reads one rule file. None when it has no action or no condition to stand on.
pub fn parse(source: &Source, diagnostics: &mut Diagnostics) -> Option<Rule> {
    let name = rule_name(source, diagnostics)?;
    diagnostic::read(source, diagnostics, |file| {
        let title = file.required_text("title");
        let purpose = file.required_text("purpose");
        let mode = file.required("mode").and_then(|mode| mode.choice(&MODES));
        let advice = file.text("advice").map(|advice| advice.value).unwrap_or_default();
        let mut asked = Asked::new();
        let when = file.required("when").and_then(|when| when.table());
        if let Some(when) = when.as_ref().filter(|when| when.is_empty()) {
            file.mistake_at(when.at(), "[when] has no condition: the rule would match every message");
        }
        let when = when.map(|when| when::conditions(&when, &mut asked));
        let unless = file.table("unless").map(|unless| when::conditions(&unless, &mut asked)).unwrap_or_default();
        let action = action::action(file);
        let has_limit = |conditions: &[Condition]| {
            conditions.iter().any(|c| c.figures().iter().any(|(name, _)| name.ends_with("-over")))
        };
        let limited = when.as_ref().is_some_and(|conditions| has_limit(conditions));
        let examples: Vec<Example> =
            file.tables("test").iter().filter_map(|test| example::parse(test, limited)).collect();
        if let Some(mode) = &mode
            && mode.value == Mode::Enforce
        {
            prove_both(file, mode, &examples);
        }
        let (action, when) = (action?, when?);
        let mut conditions = Vec::new();
        if action.is_ours_alone() {
            conditions.push((Section::Always, Condition::AuthorIsOurs));
            conditions.push((Section::Always, Condition::NotMachine));
        }
        conditions.extend(when.into_iter().map(|condition| (Section::When, condition)));
        conditions.extend(unless.into_iter().map(|condition| (Section::Unless, condition)));
        Some(Rule {
            name,
            title: title?.value.into(),
            purpose: purpose?.value,
            mode: mode?.value,
            advice: advice.trim().into(),
            conditions,
            action,
            examples,
            asked,
            source: source.clone(),
        })
    })
}

/// A rule that enforces is proven both ways.
fn prove_both(file: &diagnostic::Table<'_>, mode: &Located<Mode>, examples: &[Example]) {
    for (expect, word) in [(true, "match"), (false, "no match")] {
        if !examples.iter().any(|example| example.expect == expect) {
            let message = format!("a rule that enforces needs a [[test]] with `expect = \"{word}\"`");
            let diagnostic = Diagnostic::new(file.source(), mode.at.clone(), message);
            file.mistake(diagnostic.with_allowed("allowed: mode = \"watch\" without tests"));
        }
    }
}

/// `rules/hide-recipients.toml` is `hide-recipients`.
fn rule_name(source: &Source, diagnostics: &mut Diagnostics) -> Option<Arc<str>> {
    let file = source.path.rsplit(['/', '\\']).next().unwrap_or_default();
    let name = file.strip_suffix(".toml").unwrap_or(file);
    if !is_name(name) {
        let wrong = Diagnostic::new(source, 0..0, format!("`{name}` is no name for a rule"));
        diagnostics.push(wrong.with_allowed("allowed: small letters, digits and hyphens, such as chain-letter.toml"));
        return None;
    }
    Some(name.into())
}

/// Small letters, digits and hyphens.
pub fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 64
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}
