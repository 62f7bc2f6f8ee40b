//! What differs between two sets, in sentences: for the person who is about to activate one of them.

use super::{
    Mode,
    clause::{Policy, PolicyClause},
    rule::{Rule, Section},
    ruleset::{ActiveRule, Ruleset},
};
use std::{collections::BTreeSet, fmt};

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// `rule hide-recipients`, `policy aukcap`, `all rules`.
    pub about: String,
    /// `visible-recipients-over 20 becomes 10`.
    pub change: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.about, self.change)
    }
}

/// How `to` differs from `from`: policies first, then the rules that are active in either.
pub fn difference(from: &Ruleset, to: &Ruleset) -> Vec<Difference> {
    let mut told = Told::default();
    if from.mode() != to.mode() {
        told.say("all rules", format!("mode {} becomes {}", word(from.mode()), word(to.mode())));
    }
    let (own, own_to) = (from.own_domains(), to.own_domains());
    told.sets("all rules", "own domain", own.iter().cloned(), own_to.iter().cloned());
    let (old, new) = (from.policies(), to.policies());
    for (old, new) in pairs(old, new, |policy| policy.name.to_string()) {
        match (old, new) {
            (Some(old), Some(new)) => told.policy(old, new),
            (None, Some(new)) => told.say(&about_policy(new), "is new"),
            (Some(old), None) => told.say(&about_policy(old), "is no longer active"),
            (None, None) => {}
        }
    }
    for (old, new) in pairs(from.active(), to.active(), |active| active.rule.name.to_string()) {
        match (old, new) {
            (Some(old), Some(new)) => told.rule((from, old), (to, new)),
            (None, Some(new)) => {
                let clauses: Vec<String> = served(new).collect();
                told.say(
                    &about_rule(&new.rule),
                    format!("is new, {}: {}", word(to.mode_of(&new.rule)), new.rule.title),
                );
                told.say(&about_rule(&new.rule), format!("serves {}", clauses.join(", ")));
            }
            (Some(old), None) => told.say(&about_rule(&old.rule), "is no longer active"),
            (None, None) => {}
        }
    }
    told.all
}

fn word(mode: Mode) -> &'static str {
    match mode {
        Mode::Watch => "watch",
        Mode::Enforce => "enforce",
    }
}

fn about_policy(policy: &Policy) -> String {
    format!("policy {}", policy.name)
}

fn about_rule(rule: &Rule) -> String {
    format!("rule {}", rule.name)
}

fn served(active: &ActiveRule) -> impl Iterator<Item = String> {
    active.clauses.iter().map(|clause| format!("{} {}", clause.policy, clause.id))
}

/// Those of the same name side by side, by name.
fn pairs<'s, T>(from: &'s [T], to: &'s [T], name: impl Fn(&T) -> String) -> Vec<(Option<&'s T>, Option<&'s T>)> {
    let names: BTreeSet<String> = from.iter().chain(to).map(&name).collect();
    let find = |all: &'s [T], wanted: &str| all.iter().find(|one| name(one) == wanted);
    names.iter().map(|wanted| (find(from, wanted), find(to, wanted))).collect()
}

#[derive(Default)]
struct Told {
    all: Vec<Difference>,
}

impl Told {
    fn say(&mut self, about: &str, change: impl Into<String>) {
        self.all.push(Difference { about: about.into(), change: change.into() });
    }

    /// What is in one and not in the other.
    fn sets(&mut self, about: &str, what: &str, from: impl Iterator<Item = String>, to: impl Iterator<Item = String>) {
        let (from, to): (BTreeSet<String>, BTreeSet<String>) = (from.collect(), to.collect());
        to.difference(&from).for_each(|new| self.say(about, format!("new {what}: {new}")));
        from.difference(&to).for_each(|gone| self.say(about, format!("no longer {what}: {gone}")));
    }

    fn rule(&mut self, (from, old): (&Ruleset, &ActiveRule), (to, new): (&Ruleset, &ActiveRule)) {
        let about = about_rule(&new.rule);
        let before = self.all.len();
        let (old_mode, new_mode) = (from.mode_of(&old.rule), to.mode_of(&new.rule));
        // Of an installation that only watches it is said once.
        if old_mode != new_mode && from.mode() == to.mode() {
            self.say(&about, format!("mode {} becomes {}", word(old_mode), word(new_mode)));
        }
        for section in [Section::When, Section::Unless] {
            self.conditions(&about, section, &old.rule, &new.rule);
        }
        let (old_action, new_action) = (old.rule.action.name(), new.rule.action.name());
        if old_action != new_action {
            self.say(&about, format!("does {new_action}, no longer {old_action}"));
        }
        match (old.rule.action.figure(), new.rule.action.figure()) {
            (Some((name, old)), Some((_, new))) if old != new => {
                self.say(&about, format!("{name} {old} becomes {new}"))
            }
            _ => {}
        }
        self.sets(&about, "serving", served(old), served(new));
        if before == self.all.len() && old.rule.source.text != new.rule.source.text {
            self.say(&about, "its text differs: its words, its tests, or how its action is made");
        }
    }

    /// One of the same kind that says something else becomes the other.
    fn conditions(&mut self, about: &str, section: Section, old: &Rule, new: &Rule) {
        let written = |rule: &Rule| -> Vec<String> {
            let of_section = rule.conditions.iter().filter(|(found, _)| *found == section);
            of_section.map(|(_, condition)| condition.wanted()).collect()
        };
        let kind = |wanted: &str| wanted.split(' ').next().unwrap_or_default().to_owned();
        let (old, new) = (written(old), written(new));
        let mut gone: Vec<&String> = old.iter().filter(|wanted| !new.contains(wanted)).collect();
        for wanted in new.iter().filter(|wanted| !old.contains(wanted)) {
            let before = gone.iter().position(|gone| kind(gone) == kind(wanted));
            match before.map(|at| gone.remove(at)) {
                Some(before) => self.say(about, format!("[{}] {before} becomes {wanted}", section.as_str())),
                None => self.say(about, format!("[{}] also {wanted}", section.as_str())),
            }
        }
        gone.iter().for_each(|gone| self.say(about, format!("[{}] no longer {gone}", section.as_str())));
    }

    fn policy(&mut self, old: &Policy, new: &Policy) {
        let about = about_policy(new);
        let clauses = |policy: &Policy| policy.clauses.iter().map(|one| one.clause.id.to_string()).collect::<Vec<_>>();
        self.sets(&about, "clause", clauses(old).into_iter(), clauses(new).into_iter());
        let id = |one: &PolicyClause| one.clause.id.to_string();
        for (old, new) in pairs(&old.clauses, &new.clauses, id) {
            let (Some(old), Some(new)) = (old, new) else { continue };
            if old.clause.text != new.clause.text {
                self.say(&about, format!("the text of clause {} differs", new.clause.id));
            }
        }
        let roles: BTreeSet<&str> = old.reviewers.keys().chain(new.reviewers.keys()).copied().collect();
        for category in roles {
            let who =
                |policy: &Policy| policy.reviewers.get(category).map_or("nobody".into(), |roles| roles.join(", "));
            if who(old) != who(new) {
                self.say(&about, format!("{category} is read by {}, no longer by {}", who(new), who(old)));
            }
        }
        let groups = |policy: &Policy| policy.groups.iter().map(|group| group.name.clone()).collect::<Vec<_>>();
        self.sets(&about, "group", groups(old).into_iter(), groups(new).into_iter());
        for name in old.notices.keys().chain(new.notices.keys()).collect::<BTreeSet<_>>() {
            if old.notices.get(name) != new.notices.get(name) {
                self.say(&about, format!("the notice {name} differs"));
            }
        }
    }
}
