//! One whole set: settings, detectors and rules that belong together and have passed the rules' own tests.

use super::{
    Settings,
    folders::{self, ConfigFile, Files, Folder},
    notices,
};
use crate::{
    detect::{Country, DetectorSources, Detectors, SourceFile},
    diagnostic::{Diagnostic, Diagnostics, Located, Source},
    policy::{
        Connected, Coverage, KnownDomains, Mode, PolicyInput, Ruleset, RulesetInputs, Who, coverage,
        prove::{self, Detecting, Proof},
        rule,
    },
};
use sha2::{Digest as _, Sha256};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
};

/// A set that is fit to judge by. Replaced as a whole at a reload: each message is judged by exactly one.
pub struct Loaded {
    pub settings: Settings,
    pub detectors: Arc<Detectors>,
    pub ruleset: Arc<Ruleset>,
    /// What the detectors were compiled from.
    pub sources: DetectorSources,
    /// What is not wrong but should be known, one sentence each.
    pub remarks: Vec<String>,
}

impl Loaded {
    /// Those of `outgate.toml` and of all active policies, folded.
    pub fn own_domains(&self) -> &[String] {
        self.ruleset.own_domains()
    }

    /// Each clause and what serves it, with what is connected to this installation.
    pub fn coverage(&self) -> Coverage {
        // Neither internal mail nor a journal can be seen before the doors for them are built.
        coverage(&self.ruleset, Connected::default())
    }

    /// The rules' own tests, run again.
    pub fn proofs(&self) -> Vec<Proof> {
        prove::prove(&self.ruleset, Detecting { detectors: &self.detectors, sources: &self.sources })
    }

    /// Reads everything again from the same place. A set with any mistake is not taken: this one stays.
    pub fn reload(&self) -> Result<Loaded, Diagnostics> {
        let mut next = load(&self.settings.file)?;
        next.remarks.extend(needs_restart(&self.settings, &next.settings));
        Ok(next)
    }
}

/// Reads `outgate.toml` and what lies beside it: a set that holds, or every mistake of every file. A set with a failing
/// test of a rule is not taken.
pub fn load(file: &Path) -> Result<Loaded, Diagnostics> {
    let loaded = load_unproven(file)?;
    let detecting = Detecting { detectors: &loaded.detectors, sources: &loaded.sources };
    prove::failures(&loaded.ruleset, detecting).into_result(loaded)
}

/// As `load`, without the rules' own tests: for the command that runs and shows them.
pub fn load_unproven(file: &Path) -> Result<Loaded, Diagnostics> {
    let mut diagnostics = Diagnostics::default();
    let home = file.parent().unwrap_or(Path::new(""));
    let read = super::settings_of(file, &mut diagnostics);
    folders::check_local(home, &mut diagnostics);
    let countries = read.settings.as_ref().map(|settings| settings.countries.clone()).unwrap_or_default();
    let (sources, digest) = detector_sources(home, countries, &mut diagnostics);
    let detectors = compile(&sources, &mut diagnostics);
    let rules: Vec<Source> = winning(home, Folder::Rules, &mut diagnostics);
    let names = match &detectors {
        Some(detectors) => detectors.names().into_iter().map(String::from).collect(),
        None => asked_by(&rules),
    };
    let inputs = RulesetInputs {
        policies: policies(home, &read.source, &read.policies, &mut diagnostics),
        rules,
        notices: notices::read(home, &mut diagnostics),
        legal: read.settings.as_ref().map(|settings| settings.legal.clone()).unwrap_or_default(),
        detectors: names,
        detectors_digest: digest,
        own_domains: read.settings.as_ref().map(|settings| settings.own_domains.clone()).unwrap_or_default(),
        may_send_as: read.settings.as_ref().map(|settings| settings.may_send_as.clone()).unwrap_or_default(),
        mode: read.settings.as_ref().map_or(Mode::Enforce, |settings| settings.mode),
    };
    let (domains, domains_digest) = domains(home, &mut diagnostics);
    let with_domains = |ruleset: Ruleset| ruleset.with_domains(domains, &domains_digest);
    let ruleset = Ruleset::build(inputs).map(with_domains).map_err(|mistakes| diagnostics.extend(mistakes)).ok();
    let whole = (read.settings, detectors, ruleset);
    if !diagnostics.is_empty() {
        diagnostics.sort();
        return Err(diagnostics);
    }
    let (Some(settings), Some(detectors), Some(ruleset)) = whole else {
        // Whoever gives none has said why.
        return Err(Diagnostic::of_file(file.display().to_string(), "cannot be used").into());
    };
    let mut remarks = read.remarks;
    remarks.extend(nobody_reads(&settings, &ruleset));
    remarks.extend(not_our_authors(&settings, &ruleset));
    Ok(Loaded { settings, detectors: Arc::new(detectors), ruleset: Arc::new(ruleset), sources, remarks })
}

/// With the digest of all of them.
fn detector_sources(home: &Path, countries: Vec<Country>, diagnostics: &mut Diagnostics) -> (DetectorSources, String) {
    let lists = folders::read(home, Folder::Wordlists, diagnostics);
    let own = folders::read(home, Folder::Detectors, diagnostics);
    let mut sources = DetectorSources::default();
    let mut hash = Sha256::new();
    let mut add = |file: &ConfigFile| {
        for text in [file.name.as_str(), &*file.source.text] {
            hash.update((text.len() as u64).to_be_bytes());
            hash.update(text.as_bytes());
        }
        SourceFile { path: file.source.path.to_string(), text: file.source.text.to_string() }
    };
    // A local list extends the shipped one of its name, so both are handed on, the local one last.
    let Files { shipped, local } = lists;
    for file in shipped.iter().chain(&local) {
        let list = match file.name.split('/').next() {
            Some("innocent") => &mut sources.innocent,
            Some("speech") => &mut sources.speech,
            _ => &mut sources.word_lists,
        };
        list.push(add(file));
    }
    sources.patterns = own.winning().iter().map(add).collect();
    countries.iter().for_each(|country| hash.update(country.name()));
    sources.countries = countries;
    let digest = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    (sources, digest)
}

/// Which domains are webmail, and which other organisations': shipped and local lists together, with their digest.
fn domains(home: &Path, diagnostics: &mut Diagnostics) -> (KnownDomains, String) {
    let Files { shipped, local } = folders::read(home, Folder::Domains, diagnostics);
    let (mut webmail, mut organisations, mut hash) = (Vec::new(), Vec::new(), Sha256::new());
    for file in shipped.into_iter().chain(local) {
        hash.update((file.source.text.len() as u64).to_be_bytes());
        hash.update(file.source.text.as_bytes());
        match file.name.as_str() {
            "webmail.txt" => webmail.push(file.source),
            "organisations.txt" => organisations.push(file.source),
            _ => {
                let mistake = Diagnostic::of_file(file.source.path.to_string(), "a file in domains/ that is not read");
                diagnostics.push(mistake.with_allowed("allowed: webmail.txt, organisations.txt"));
            }
        }
    }
    let digest = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    (KnownDomains::parse(&webmail, &organisations, diagnostics), digest)
}

fn compile(sources: &DetectorSources, diagnostics: &mut Diagnostics) -> Option<Detectors> {
    let mistakes = match Detectors::compile(sources) {
        Ok(detectors) => return Some(detectors),
        Err(mistakes) => mistakes,
    };
    for mistake in mistakes {
        let all = sources.word_lists.iter().chain(&sources.innocent).chain(&sources.speech).chain(&sources.patterns);
        let text = all.into_iter().find(|file| file.path == mistake.file).map_or("", |file| file.text.as_str());
        diagnostics.push(Diagnostic::new(&Source::new(mistake.file, text), mistake.span, mistake.message));
    }
    None
}

/// Without detectors none of their names can be checked: what the rules ask for is taken as given.
fn asked_by(rules: &[Source]) -> Vec<String> {
    let mut unheard = Diagnostics::default();
    let parsed = rules.iter().filter_map(|source| rule::parse(source, &mut unheard));
    parsed.flat_map(|rule| rule.asked.into_iter().map(|asked| asked.value)).collect()
}

fn winning(home: &Path, folder: Folder, diagnostics: &mut Diagnostics) -> Vec<Source> {
    let files = folders::read(home, folder, diagnostics).winning();
    files.into_iter().map(|file| file.source).collect()
}

/// The files of the active policies: `policies/NAME` by the rules of the folders, any other path as it stands.
fn policies(
    home: &Path,
    settings: &Source,
    named: &[Located<String>],
    diagnostics: &mut Diagnostics,
) -> Vec<PolicyInput> {
    let files: BTreeMap<String, Source> = folders::read(home, Folder::Policies, diagnostics)
        .winning()
        .into_iter()
        .filter_map(|file| Some((file.name.strip_suffix("/policy.toml")?.to_string(), file.source)))
        .collect();
    let mut inputs: Vec<PolicyInput> = Vec::new();
    for Located { value, at } in named {
        let path = value.trim().trim_end_matches('/');
        let below = path.strip_prefix("policies/").or_else(|| path.strip_prefix("local/policies/"));
        let name = path.rsplit('/').next().unwrap_or(path).to_string();
        let source = match below.and_then(|below| files.get(below)) {
            Some(source) => Some(source.clone()),
            None if below.is_none() && home.join(path).is_dir() => {
                let file = home.join(path).join("policy.toml");
                folders::read_file(&file).map_err(|mistake| diagnostics.push(*mistake)).ok()
            }
            None => {
                let known: Vec<_> = files.keys().map(|name| format!("policies/{name}")).collect();
                let mistake = Diagnostic::new(settings, at.clone(), format!("there is no policy `{path}`"));
                diagnostics.push(mistake.with_words(path, &known));
                None
            }
        };
        let Some(source) = source else { continue };
        if inputs.iter().any(|input| input.name == name) {
            diagnostics.push(Diagnostic::new(settings, at.clone(), format!("the policy `{name}` is named twice")));
            continue;
        }
        inputs.push(PolicyInput { name, source });
    }
    inputs
}

/// Roles to which a policy gives held mail and that `[reviewers]` gives to nobody.
fn nobody_reads(settings: &Settings, ruleset: &Ruleset) -> Option<String> {
    let all = ruleset.policies().iter().flat_map(|policy| policy.reviewers.values()).flatten();
    let named = |role: &&String| settings.reviewers.get(*role).is_some_and(|people| !people.is_empty());
    let unnamed: BTreeSet<&str> = all.filter(|role| !named(role)).map(String::as_str).collect();
    let unnamed: Vec<&str> = unnamed.into_iter().collect();
    (!unnamed.is_empty()).then(|| {
        let those = unnamed.join(", ");
        format!(
            "[reviewers] gives no address to {those}, whom the policies name for held mail: nobody there is told of it"
        )
    })
}

/// Authors of `[may-send-as]` that are in none of our domains: as a rule a slip of the pen.
fn not_our_authors(settings: &Settings, ruleset: &Ruleset) -> Option<String> {
    let authors = settings.may_send_as.entries.iter().map(|(author, _)| author);
    let foreign: Vec<String> =
        authors.filter(|author| !author.is_within(ruleset.own_domains())).map(Who::written).collect();
    (!foreign.is_empty())
        .then(|| format!("[may-send-as] names authors in none of the own domains: {}", foreign.join(", ")))
}

/// Settings that a running service holds on to.
fn needs_restart(now: &Settings, next: &Settings) -> Option<String> {
    let listens =
        |settings: &Settings| settings.smtp.as_ref().map(|smtp| [smtp.listen.clone(), smtp.listen_tls.clone()]);
    let changed = [
        ("[milter]", now.milter != next.milter),
        ("[smtp] listen", listens(now) != listens(next)),
        ("hostname", now.hostname != next.hostname),
        ("data-dir", now.data_dir != next.data_dir),
        ("key-file", now.store.key_file != next.store.key_file),
        ("[console] listen", now.console.listen != next.console.listen),
        ("[metrics]", now.metrics.listen != next.metrics.listen),
        ("[notices] from", now.notices.from != next.notices.from),
    ];
    let changed: Vec<&str> = changed.iter().filter(|(_, changed)| *changed).map(|(name, _)| *name).collect();
    (!changed.is_empty()).then(|| format!("changed, and in force only after a restart: {}", changed.join(", ")))
}
