//! The checked set: the rules that some clause of an active policy names, with the figures and texts that hold.

use super::{
    Category, Clause, Mode, PlannedEdit, Verdict,
    action::{Action, Replies},
    authorship::MaySendAs,
    clause::{self, Group, Policy},
    domains::KnownDomains,
    figures,
    legal::{LEGAL_IDENTITY, Legal},
    rule::{self, Rule},
    seen::{House, Seen},
    sensitive::SensitiveLists,
    wording::{NoticeText, Organisation, Wording},
};
use crate::{
    diagnostic::{Diagnostic, Diagnostics, Source},
    mail::{
        Edit, Envelope,
        edit::{Notice, NoticeDigest},
    },
};
use sha2::{Digest as _, Sha256};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    sync::Arc,
    time::Duration,
};

/// A held message that no rule gives a time to.
const EXPIRES: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// All that a set is made of, as text. Reading folders is not this room's work.
#[derive(Clone, Debug)]
pub struct RulesetInputs {
    /// The active policies.
    pub policies: Vec<PolicyInput>,
    /// All rule files; which of them are active, the policies say. Of two with one name the later wins.
    pub rules: Vec<Source>,
    /// Texts for notices that no policy gives.
    pub notices: BTreeMap<String, NoticeText>,
    /// Of outgate.toml; a policy's own takes its place.
    pub legal: Legal,
    /// The names of all detectors.
    pub detectors: Vec<String>,
    /// Says which detectors and word lists these are; part of the digest.
    pub detectors_digest: String,
    /// Of outgate.toml; those that the policies name come to them.
    pub own_domains: Vec<String>,
    /// Of outgate.toml.
    pub may_send_as: MaySendAs,
    /// `Watch`: every rule records and changes nothing.
    pub mode: Mode,
}

/// One policy file.
#[derive(Clone, Debug)]
pub struct PolicyInput {
    /// The folder's name: `aukcap`.
    pub name: String,
    pub source: Source,
}

/// A checked set. Immutable; a reload makes a new one.
#[derive(Clone, Debug)]
pub struct Ruleset {
    active: Vec<ActiveRule>,
    rules: Vec<Rule>,
    policies: Vec<Policy>,
    groups: Vec<Group>,
    own_domains: Vec<String>,
    may_send_as: MaySendAs,
    domains: KnownDomains,
    sensitive: SensitiveLists,
    shared_notices: BTreeMap<String, NoticeText>,
    shared_legal: Legal,
    mode: Mode,
    digest: Arc<str>,
}

/// A rule that some clause names.
#[derive(Clone, Debug)]
pub struct ActiveRule {
    /// With the figures and the mode that hold here.
    pub rule: Rule,
    /// Of all policies that name it.
    pub clauses: Vec<Arc<Clause>>,
    /// For `append-notice`: the texts, one for each policy that has its own.
    pub texts: Vec<Wording>,
}

impl ActiveRule {
    /// The notices as this message would get them.
    pub fn notices(&self, seen: &Seen<'_>) -> Vec<Arc<Notice>> {
        let mut notices: Vec<Arc<Notice>> = Vec::new();
        for notice in self.texts.iter().flat_map(|text| text.notices(seen)) {
            if !notices.iter().any(|other| other.plain == notice.plain) {
                notices.push(notice);
            }
        }
        notices
    }
}

impl Ruleset {
    /// Every mistake of every file at once.
    pub fn build(inputs: RulesetInputs) -> Result<Self, Diagnostics> {
        let mut diagnostics = Diagnostics::default();
        let digest = digest(&inputs);
        let mut rules: Vec<Rule> = Vec::new();
        for source in &inputs.rules {
            if let Some(rule) = rule::parse(source, &mut diagnostics) {
                rules.retain(|other| other.name != rule.name);
                rules.push(rule);
            }
        }
        rules.sort_by(|a, b| a.name.cmp(&b.name));
        let parsed = inputs.policies.iter();
        let policies: Vec<Policy> =
            parsed.filter_map(|policy| clause::parse(&policy.name, &policy.source, &mut diagnostics)).collect();
        // A rule whose file has mistakes is known by name: no second mistake where a clause names it.
        let known: Vec<&str> = inputs.rules.iter().map(|source| stem(&source.path)).collect();
        check_detectors(&rules, &inputs.detectors, &mut diagnostics);
        for policy in &policies {
            check_policy(policy, &rules, &known, &mut diagnostics);
        }
        let groups = groups(&policies, &mut diagnostics);
        check_group_names(rules.iter().filter(|rule| is_cited(rule, &policies)), &groups, &mut diagnostics);
        let mut own_domains: BTreeSet<String> = policies.iter().flat_map(|policy| policy.own_domains.clone()).collect();
        own_domains.extend(inputs.own_domains.iter().map(|domain| domain.to_lowercase()));
        let mut sensitive = SensitiveLists::default();
        policies.iter().for_each(|policy| sensitive.extend(&policy.sensitive));
        let active = rules.iter().filter_map(|rule| activate(rule, &policies, &inputs)).collect();
        diagnostics.into_result(Self {
            active,
            rules,
            policies,
            groups,
            own_domains: own_domains.into_iter().collect(),
            may_send_as: inputs.may_send_as,
            domains: KnownDomains::default(),
            sensitive,
            shared_notices: inputs.notices,
            shared_legal: inputs.legal,
            mode: inputs.mode,
            digest,
        })
    }

    /// The set with the domains that are known. `digest` says which they are, and becomes part of the set's own.
    pub fn with_domains(mut self, domains: KnownDomains, digest: &str) -> Self {
        self.domains = domains;
        self.digest = short_hex(Sha256::new().chain_update(self.digest.as_bytes()).chain_update(digest));
        self
    }

    /// The active rules, by name.
    pub fn active(&self) -> &[ActiveRule] {
        &self.active
    }

    /// All rules that there are, active or not, with their own figures.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    pub fn policies(&self) -> &[Policy] {
        &self.policies
    }

    /// Lower case, sorted.
    pub fn own_domains(&self) -> &[String] {
        &self.own_domains
    }

    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// Names the set in every verdict: SHA-256 over all inputs, the first 16 hex digits.
    pub fn digest(&self) -> &Arc<str> {
        &self.digest
    }

    pub fn house(&self) -> House<'_> {
        House {
            own_domains: &self.own_domains,
            groups: &self.groups,
            may_send_as: &self.may_send_as,
            domains: &self.domains,
            sensitive: &self.sensitive,
        }
    }

    /// How the rule acts here: nothing changes while the installation watches.
    pub fn mode_of(&self, rule: &Rule) -> Mode {
        if self.mode == Mode::Watch { Mode::Watch } else { rule.mode }
    }

    /// Whether some active rule asks for messages that were stopped before.
    pub fn asks_for_stopped(&self) -> bool {
        let conditions = self.active.iter().flat_map(|active| &active.rule.conditions);
        conditions.into_iter().any(|(_, condition)| matches!(condition, super::Condition::FollowsStopped(_)))
    }

    /// Whether some active rule asks for the thread's history, so that it must be looked up.
    pub fn asks_for_threads(&self) -> bool {
        let conditions = self.active.iter().flat_map(|active| &active.rule.conditions);
        conditions.into_iter().any(|(_, condition)| matches!(condition, super::Condition::ThreadAlreadyShares(_)))
    }

    /// Of the planned notices those that go once into a thread.
    pub fn once_per_thread<'p>(&self, planned: impl IntoIterator<Item = &'p PlannedEdit>) -> Vec<NoticeDigest> {
        let once = |rule: &str| {
            let mut active = self.active.iter();
            active.any(|active| {
                *active.rule.name == *rule && active.rule.action.replies() == Some(Replies::OncePerThread)
            })
        };
        let planned = planned.into_iter().filter(|planned| once(&planned.rule));
        let notices = planned.filter_map(|planned| match &planned.edit {
            Edit::AppendNotice { notice } => Some(notice.digest()),
            _ => None,
        });
        notices.collect()
    }

    /// After which time a message held by this verdict expires: the shortest that its rules say.
    pub fn expires(&self, verdict: &Verdict) -> Duration {
        let held = self.active.iter().filter(|active| {
            verdict.grounds.iter().any(|ground| ground.rule == active.rule.name && ground.mode == Mode::Enforce)
        });
        held.filter_map(|active| active.rule.action.expires()).min().unwrap_or(EXPIRES)
    }

    /// The groups among the recipients that their managers watch over.
    pub fn approval_groups(&self, envelope: &Envelope) -> impl Iterator<Item = &Group> {
        self.groups.iter().filter(|group| {
            group.approval && envelope.recipients.iter().any(|recipient| group.is(&recipient.address.folded()))
        })
    }

    /// The roles that read held mail of this category, of all policies.
    pub fn reviewers(&self, category: Category) -> Vec<&str> {
        let lists = self.policies.iter().filter_map(|policy| policy.reviewers.get(category.as_str()));
        let roles: BTreeSet<&str> = lists.flatten().map(String::as_str).collect();
        roles.into_iter().collect()
    }

    /// Whether a policy has a text for a notice, its own or the shared one.
    pub(super) fn gives_notice(&self, policy: &Policy, name: &str) -> bool {
        if name == LEGAL_IDENTITY {
            return self.legal_of(policy).missing().is_empty();
        }
        policy.notices.get(name).or_else(|| self.shared_notices.get(name)).is_some_and(|text| !text.is_empty())
    }

    /// How the organisation is registered.
    fn legal_of<'r>(&'r self, policy: &'r Policy) -> &'r Legal {
        policy.legal.as_ref().map_or(&self.shared_legal, |legal| &legal.value)
    }

    /// A set of one rule with its own figures, in the world of the rules' tests.
    pub(super) fn alone(rule: &Rule, group: Group, may_send_as: MaySendAs, domains: KnownDomains) -> Self {
        let notices = rule.action.appended_notice().map(|name| {
            Arc::new(Notice {
                name: name.into(),
                plain: "A notice.\n".into(),
                html: "<p>A notice.</p>".into(),
                ..Notice::default()
            })
        });
        Self {
            active: vec![ActiveRule {
                rule: rule.clone(),
                clauses: Vec::new(),
                texts: notices.map(|notice| Wording::Lines(vec![notice])).into_iter().collect(),
            }],
            rules: Vec::new(),
            policies: Vec::new(),
            groups: vec![group],
            own_domains: vec!["ours.example".into()],
            may_send_as,
            domains,
            sensitive: SensitiveLists::default(),
            shared_notices: BTreeMap::new(),
            shared_legal: Legal::default(),
            mode: Mode::Enforce,
            digest: "test".into(),
        }
    }
}

fn stem(path: &str) -> &str {
    let file = path.rsplit(['/', '\\']).next().unwrap_or(path);
    file.strip_suffix(".toml").unwrap_or(file)
}

fn check_detectors(rules: &[Rule], detectors: &[String], diagnostics: &mut Diagnostics) {
    for rule in rules {
        for asked in &rule.asked {
            if !detectors.contains(&asked.value) {
                let wrong = Diagnostic::new(&rule.source, asked.at.clone(), format!("no detector `{}`", asked.value));
                diagnostics.push(wrong.with_words(&asked.value, detectors));
            }
        }
    }
}

fn check_policy(policy: &Policy, rules: &[Rule], known: &[&str], diagnostics: &mut Diagnostics) {
    for named in policy.clauses.iter().flat_map(|clause| &clause.enforced_by) {
        if !known.contains(&named.value.as_str()) {
            let wrong =
                Diagnostic::new(&policy.source, named.at.clone(), format!("there is no rule `{}`", named.value));
            diagnostics.push(wrong.with_words(&named.value, known));
        }
    }
    figures::check(policy, rules, known, diagnostics);
    let asked: Vec<&str> = rules.iter().filter_map(|rule| rule.action.appended_notice()).collect();
    for (name, text) in &policy.notices {
        // An empty one waits for a rule as for its words.
        if !text.is_empty() && !asked.contains(&name.as_str()) {
            let at = policy.notice_places.get(name).cloned().unwrap_or(0..0);
            let wrong = Diagnostic::new(&policy.source, at, format!("no rule asks for the notice `{name}`"));
            diagnostics.push(wrong.with_words(name, &asked));
        }
    }
}

/// All groups of all policies; one address is one group.
fn groups(policies: &[Policy], diagnostics: &mut Diagnostics) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for policy in policies {
        for group in &policy.groups {
            match groups.iter_mut().find(|other| other.is(group.folded())) {
                None => groups.push(group.clone()),
                Some(other) if other.name == group.name => {
                    other.members = other.members.max(group.members);
                    other.approval |= group.approval;
                    other.manager = other.manager.take().or_else(|| group.manager.clone());
                    other.deputies.extend(group.deputies.iter().cloned());
                }
                Some(other) => {
                    let message = format!("the groups `{}` and `{}` have the same address", other.name, group.name);
                    diagnostics.push(Diagnostic::new(&policy.source, 0..0, message));
                }
            }
        }
    }
    groups
}

fn is_cited(rule: &Rule, policies: &[Policy]) -> bool {
    let mut clauses = policies.iter().flat_map(|policy| &policy.clauses);
    clauses.any(|clause| clause.enforced_by.iter().any(|named| *named.value == *rule.name))
}

fn check_group_names<'r>(rules: impl Iterator<Item = &'r Rule>, groups: &[Group], diagnostics: &mut Diagnostics) {
    for rule in rules {
        for (_, condition) in &rule.conditions {
            let super::Condition::RecipientGroup(names) = condition else { continue };
            for name in names.iter().filter(|name| !groups.iter().any(|group| group.name == **name)) {
                let known: Vec<&str> = groups.iter().map(|group| group.name.as_str()).collect();
                let at = rule.source.text.find(name.as_str()).map_or(0..0, |at| at..at + name.len());
                let wrong = Diagnostic::new(&rule.source, at, format!("no active policy has the group `{name}`"));
                diagnostics.push(wrong.with_words(name, &known));
            }
        }
    }
}

/// The rule as it is active, if some clause names it.
fn activate(rule: &Rule, policies: &[Policy], inputs: &RulesetInputs) -> Option<ActiveRule> {
    let names = |clause: &&clause::PolicyClause| clause.enforced_by.iter().any(|named| *named.value == *rule.name);
    let citing: Vec<&Policy> = policies.iter().filter(|policy| policy.clauses.iter().any(|c| names(&c))).collect();
    if citing.is_empty() {
        return None;
    }
    let clauses = citing.iter().flat_map(|policy| policy.clauses.iter().filter(names));
    let clauses = clauses.map(|clause| clause.clause.clone()).collect();
    let mut texts: Vec<Wording> = Vec::new();
    for wording in citing.iter().filter_map(|policy| wording(rule, policy, inputs)) {
        if !texts.iter().any(|other| other.is_same(&wording)) {
            texts.push(wording);
        }
    }
    Some(ActiveRule { rule: figures::applied(rule, &citing), clauses, texts })
}

/// The text that a policy gives to a rule.
fn wording(rule: &Rule, policy: &Policy, inputs: &RulesetInputs) -> Option<Wording> {
    let Action::AppendNotice { notice: name, at, .. } = &rule.action else { return None };
    let legal = policy.legal.as_ref().map_or(&inputs.legal, |legal| &legal.value);
    if name == LEGAL_IDENTITY {
        return Some(legal.lines(*at)).filter(|lines| !lines.is_empty()).map(Wording::Lines);
    }
    let text = policy.notices.get(name).or_else(|| inputs.notices.get(name)).filter(|text| !text.is_empty())?;
    let organisation = Organisation { name: policy.organisation.clone(), legal: legal.clone() };
    Some(Wording::new(name, *at, text, Arc::new(organisation)))
}

/// Each input with its length in front, so that no two sets give the same bytes.
fn digest(inputs: &RulesetInputs) -> Arc<str> {
    let mut hash = Sha256::new();
    let mut add = |text: &str| {
        hash.update((text.len() as u64).to_be_bytes());
        hash.update(text.as_bytes());
    };
    add("outgate ruleset 1");
    for policy in &inputs.policies {
        ["policy", &policy.name, &policy.source.text].into_iter().for_each(&mut add);
    }
    for rule in &inputs.rules {
        ["rule", stem(&rule.path), &rule.text].into_iter().for_each(&mut add);
    }
    for (name, text) in &inputs.notices {
        ["notice", name, text.written()].into_iter().for_each(&mut add);
    }
    ["legal", &format!("{:?}", inputs.legal)].into_iter().for_each(&mut add);
    for name in &inputs.detectors {
        ["detector", name].into_iter().for_each(&mut add);
    }
    for domain in &inputs.own_domains {
        ["own", domain].into_iter().for_each(&mut add);
    }
    for (author, allowed) in &inputs.may_send_as.entries {
        std::iter::once(author).chain(allowed).for_each(|who| add(&who.written()));
        add("may send as");
    }
    let mode = if inputs.mode == Mode::Watch { "watch" } else { "enforce" };
    [&*inputs.detectors_digest, mode].into_iter().for_each(&mut add);
    short_hex(hash)
}

fn short_hex(hash: Sha256) -> Arc<str> {
    let digest = hash.finalize();
    digest[..8]
        .iter()
        .fold(String::new(), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        })
        .into()
}
