//! A policy file: the organisation's own document, clause by clause, with its own figures, reviewers, groups and texts.

use super::{
    Category, Clause, Mode, NoticeText,
    legal::{self, LEGAL_IDENTITY, Legal},
    rule::is_name,
    sensitive::SensitiveLists,
};
use crate::{
    diagnostic::{self, Diagnostic, Diagnostics, Located, Source, Table, Value},
    mail::Address,
};
use std::{collections::BTreeMap, ops::Range, sync::Arc};

/// One policy as written and checked by itself. Whether the rules that it names exist is the ruleset's to check.
#[derive(Clone, Debug)]
pub struct Policy {
    /// The folder's name: `aukcap`.
    pub name: Arc<str>,
    pub source: Source,
    pub organisation: String,
    /// The title of the organisation's own document.
    pub document: String,
    /// Lower case.
    pub own_domains: Vec<String>,
    pub clauses: Vec<PolicyClause>,
    pub groups: Vec<Group>,
    /// Who gets this says something of them.
    pub sensitive: SensitiveLists,
    /// Which roles read held mail of a category.
    pub reviewers: BTreeMap<&'static str, Vec<String>>,
    /// The organisation's own figures, by rule.
    pub figures: Vec<OwnFigures>,
    /// `[legal]`, in place of that of outgate.toml.
    pub legal: Option<Located<Legal>>,
    pub notices: BTreeMap<String, NoticeText>,
    /// Where each notice is named, for messages.
    pub notice_places: BTreeMap<String, Range<usize>>,
}

/// A clause and what serves it.
#[derive(Clone, Debug)]
pub struct PolicyClause {
    pub clause: Arc<Clause>,
    pub duty: Duty,
    /// Names of rules.
    pub enforced_by: Vec<Located<String>>,
    /// What outgate does without a rule.
    pub served_by: Vec<&'static str>,
    pub needs: Option<Needs>,
    pub not_yet: Option<String>,
    pub excused: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Duty {
    Must,
    May,
}

/// Mail that must pass here before a clause can work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    InternalMail,
    Journal,
}

/// An address that stands for many people.
#[derive(Clone, Debug)]
pub struct Group {
    pub name: String,
    pub address: Address,
    folded: String,
    /// How many people it reaches.
    pub members: usize,
    /// Mail to it waits for its manager.
    pub approval: bool,
    pub manager: Option<Address>,
    pub deputies: Vec<Address>,
}

impl Group {
    pub fn new(name: &str, address: Address, members: usize) -> Self {
        let folded = address.folded();
        Self { name: name.into(), address, folded, members, approval: false, manager: None, deputies: Vec::new() }
    }

    /// The address, case folded.
    pub fn folded(&self) -> &str {
        &self.folded
    }

    /// Whether this folded address is the group's.
    pub fn is(&self, folded: &str) -> bool {
        self.folded == folded
    }
}

/// `[rules.NAME]`: one organisation's figures for one rule.
#[derive(Clone, Debug)]
pub struct OwnFigures {
    pub rule: Located<String>,
    pub figures: Vec<(Located<String>, f64)>,
    pub mode: Option<Mode>,
}

/// What outgate does for every message, whatever the rules.
const FEATURES: [(&str, &str); 2] = [("book", "book"), ("cases", "cases")];

pub const CATEGORIES: [(&str, Category); 7] = [
    ("personal-data", Category::PersonalData),
    ("language", Category::Language),
    ("safeguarding", Category::Safeguarding),
    ("recipients", Category::Recipients),
    ("approval", Category::Approval),
    ("confirmation", Category::Confirmation),
    ("technical", Category::Technical),
];

pub const MODES: [(&str, Mode); 2] = [("enforce", Mode::Enforce), ("watch", Mode::Watch)];

/// Reads one policy. None when so much is wrong that nothing can be said of it.
pub fn parse(name: &str, source: &Source, diagnostics: &mut Diagnostics) -> Option<Policy> {
    let name: Arc<str> = name.into();
    diagnostic::read(source, diagnostics, |file| {
        let organisation = file.required_text("organisation");
        let document = file.text("document").map(|text| text.value).unwrap_or_default();
        let own_domains = file.parsed_list("own-domains", "a domain such as ours.example", domain);
        let clauses = clauses(file, &name);
        let groups = file.tables("group").iter().filter_map(group).collect::<Vec<_>>();
        let sensitive = file.table("sensitive-list").map(|table| SensitiveLists::read(&table)).unwrap_or_default();
        let reviewers = file.table("reviewers").map(|table| reviewers(&table)).unwrap_or_default();
        let figures = file.table("rules").map(|rules| figures(&rules)).unwrap_or_default();
        let mut notices = BTreeMap::new();
        let mut notice_places = BTreeMap::new();
        if let Some(table) = file.table("notices") {
            for (notice, text) in table.entries() {
                if notice.value == LEGAL_IDENTITY {
                    let message = "this notice is made of [legal]";
                    table.mistake_at(notice.at, message);
                    continue;
                }
                notices.extend(NoticeText::of_value(&table, &text).map(|text| (notice.value.clone(), text)));
                notice_places.insert(notice.value, notice.at);
            }
        }
        let legal = file.table("legal").map(|table| {
            let legal = legal::read(&table);
            table.finish();
            Located::new(legal, table.at())
        });
        Some(Policy {
            name: name.clone(),
            legal,
            source: source.clone(),
            organisation: organisation?.value,
            document,
            own_domains: own_domains.into_iter().map(|domain| domain.value).collect(),
            clauses,
            groups,
            sensitive,
            reviewers,
            figures,
            notices,
            notice_places,
        })
    })
}

/// A domain in lower case.
pub fn domain(text: &str) -> Result<String, &'static str> {
    match Address::parse(&format!("x@{text}")) {
        Ok(address) if !text.contains(['@', '[']) => Ok(address.domain().to_lowercase()),
        _ => Err("not a domain"),
    }
}

fn clauses(file: &Table<'_>, policy: &Arc<str>) -> Vec<PolicyClause> {
    let mut clauses: Vec<PolicyClause> = Vec::new();
    for table in file.tables("clause") {
        let id = table.required_text("id");
        // Empty where the document's own words are not at hand: reported by coverage, never invented.
        let text = table.required("text").and_then(|text| text.text());
        let duty = table.choice("duty", &[("must", Duty::Must), ("may", Duty::May)]);
        let enforced_by = table.texts("enforced-by");
        let served_by = table.value("served-by").map(|value| words(&value, &FEATURES)).unwrap_or_default();
        let needs = table.choice("needs", &[("internal-mail", Needs::InternalMail), ("journal", Needs::Journal)]);
        let not_yet = table.filled_text("not-yet").map(|text| text.value);
        let excused = table.filled_text("excused").map(|text| text.value);
        table.finish();
        let (Some(id), Some(text)) = (id, text) else { continue };
        if clauses.iter().any(|other| *other.clause.id == *id.value) {
            table.mistake_at(id.at, format!("there are two clauses `{}`", id.value));
        }
        let folded = text.value.split_whitespace().collect::<Vec<_>>().join(" ");
        clauses.push(PolicyClause {
            clause: Arc::new(Clause { id: id.value.into(), text: folded.into(), policy: policy.clone() }),
            duty: duty.map_or(Duty::Must, |duty| duty.value),
            enforced_by,
            served_by,
            needs: needs.map(|needs| needs.value),
            not_yet,
            excused,
        });
    }
    clauses
}

fn words<T: Clone>(value: &Value<'_>, allowed: &[(&str, T)]) -> Vec<T> {
    let words = value.elements().into_iter().filter_map(|word| word.choice(allowed));
    words.map(|word| word.value).collect()
}

fn group(table: &Table<'_>) -> Option<Group> {
    const MAILBOX: &str = "an address such as office@ours.example";
    let name = table.required_text("name");
    let address = table.required("address").and_then(|value| value.parsed(MAILBOX, Address::parse));
    let members = table.integer("members", 1..=1_000_000);
    let approval = table.flag("approval", false);
    let manager = table.parsed("manager", MAILBOX, Address::parse);
    let deputies = table.parsed_list("deputies", MAILBOX, Address::parse);
    table.finish();
    if approval && !table.has("manager") {
        table.mistake_at(table.at(), "a group with `approval = true` needs a `manager`");
    }
    let mut group = Group::new(&name?.value, address?.value, 1);
    group.members = members.map_or(1, |members| usize::try_from(members.value).unwrap_or(1));
    group.approval = approval;
    group.manager = manager.map(|manager| manager.value);
    group.deputies = deputies.into_iter().map(|deputy| deputy.value).collect();
    Some(group)
}

fn reviewers(table: &Table<'_>) -> BTreeMap<&'static str, Vec<String>> {
    let mut reviewers = BTreeMap::new();
    for (_, category) in CATEGORIES {
        let roles = table.texts(category.as_str());
        for role in &roles {
            if !is_name(&role.value) {
                let wrong = Diagnostic::new(table.source(), role.at.clone(), format!("`{}` is no role", role.value));
                table.mistake(wrong.with_allowed("allowed: small letters, digits and hyphens, such as dpo"));
            }
        }
        if !roles.is_empty() {
            reviewers.insert(category.as_str(), roles.into_iter().map(|role| role.value).collect());
        }
    }
    table.finish();
    reviewers
}

fn figures(rules: &Table<'_>) -> Vec<OwnFigures> {
    let mut all = Vec::new();
    for (rule, value) in rules.entries() {
        let Some(table) = value.table() else { continue };
        let mode = table.choice("mode", &MODES).map(|mode| mode.value);
        let mut figures = Vec::new();
        for (key, value) in table.entries() {
            if key.value != "mode" {
                // The ruleset knows which figures the rule has, and which of them are whole numbers.
                figures.extend(value.number(0.0..=1_000_000.0).map(|figure| (key, figure.value)));
            }
        }
        all.push(OwnFigures { rule, figures, mode });
    }
    all
}
