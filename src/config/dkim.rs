//! `[[dkim]]`: what becomes of a domain's signatures, and the keys that it signs with.

use super::{
    named_files::{self, Secrecy},
    written::{DOMAIN, domain, path},
};
use crate::{
    diagnostic::{Diagnostic, Diagnostics, Located, Source, Table},
    mail::dkim::{Dkim, Domain, Key, Policy},
};
use std::{ops::Range, path::Path, sync::Arc};

const POLICIES: [(&str, Policy); 3] =
    [("preserve", Policy::Preserve), ("strip", Policy::Strip), ("sign", Policy::Sign)];

#[derive(Debug)]
pub(super) struct Written {
    at: Range<usize>,
    domain: Option<Located<String>>,
    policy: Option<Located<Policy>>,
    keys: Vec<WrittenKey>,
}

#[derive(Debug)]
struct WrittenKey {
    at: Range<usize>,
    selector: Option<Located<String>>,
    file: Option<Located<String>>,
}

pub(super) fn read(table: &Table<'_>) -> Vec<Written> {
    let one = |table: &Table<'_>| {
        let written = Written {
            at: table.at(),
            domain: table.required("domain").and_then(|value| value.parsed(DOMAIN, domain)),
            policy: table.choice("policy", &POLICIES),
            keys: table.tables("key").iter().map(key).collect(),
        };
        table.finish();
        written
    };
    table.tables("dkim").iter().map(one).collect()
}

fn key(table: &Table<'_>) -> WrittenKey {
    table.required("selector");
    table.required("key-file");
    let key = WrittenKey { at: table.at(), selector: table.text("selector"), file: path(table, "key-file") };
    table.finish();
    key
}

/// With the keys read. A mistake is noted, and what it is in left out.
pub(super) fn check(source: &Source, folder: &Path, written: &[Written], diagnostics: &mut Diagnostics) -> Arc<Dkim> {
    let mut domains: Vec<Domain> = Vec::new();
    for one in written {
        let Some(name) = &one.domain else { continue };
        let policy = one.policy.as_ref().map(|policy| policy.value).unwrap_or_default();
        let mut mistake = |at: &Range<usize>, message: String, allowed: &str| {
            diagnostics.push(Diagnostic::new(source, at.clone(), message).with_allowed(allowed));
        };
        if domains.iter().any(|other| other.name == name.value.to_lowercase()) {
            mistake(
                &name.at,
                format!("{} stands in another [[dkim]] already", name.value),
                "one table for each domain",
            );
        }
        match (policy, one.keys.first()) {
            (Policy::Sign, None) => {
                mistake(
                    &one.at,
                    "nothing to sign with".into(),
                    "write [[dkim.key]]; `outgate dkim keygen` makes a key",
                );
            }
            (Policy::Preserve | Policy::Strip, Some(key)) => {
                mistake(&key.at, "a key that signs nothing".into(), "write policy = \"sign\", or leave the key out");
            }
            _ => {}
        }
        let keys = one.keys.iter().filter_map(|key| read_key(source, folder, key, diagnostics)).collect();
        domains.push(Domain { name: name.value.to_lowercase(), policy, keys });
    }
    Arc::new(Dkim::new(domains))
}

fn read_key(source: &Source, folder: &Path, key: &WrittenKey, diagnostics: &mut Diagnostics) -> Option<Key> {
    let (selector, file) = key.selector.as_ref().zip(key.file.as_ref())?;
    let pem = named_files::read(source, folder, file, Secrecy::Group, diagnostics)?;
    match Key::read(&selector.value, &pem) {
        Ok(key) => Some(key),
        Err(error) => {
            let at = if error == crate::mail::dkim::KeyError::Selector { &selector.at } else { &file.at };
            diagnostics.push(Diagnostic::new(source, at.clone(), error.to_string()));
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, os::unix::fs::PermissionsExt};

    fn mistakes(folder: &Path, text: &str) -> Vec<String> {
        let source = Source::new("outgate.toml", text);
        let mut diagnostics = Diagnostics::default();
        let written = crate::diagnostic::read(&source, &mut diagnostics, |table| Some(read(table)));
        check(&source, folder, &written.unwrap_or_default(), &mut diagnostics);
        diagnostics.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_goes_together_and_what_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key.pem");
        fs::write(&file, Key::generate_ed25519("s").unwrap().1).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(folder.path().join("open.pem"), "").unwrap();
        fs::set_permissions(folder.path().join("open.pem"), fs::Permissions::from_mode(0o644)).unwrap();
        let sign = "[[dkim]]\ndomain = 'ours.example'\npolicy = 'sign'\n";
        let key = "[[dkim.key]]\nselector = 's'\nkey-file = 'key.pem'\n";
        for (text, expected) in [
            (format!("{sign}{key}"), ""),
            (sign.replace("sign", "strip"), ""),
            (sign.to_string(), "nothing to sign with"),
            (format!("{}{key}", sign.replace("sign", "strip")), "a key that signs nothing"),
            (format!("{sign}{key}{sign}{key}"), "stands in another [[dkim]] already"),
            (format!("{sign}{}", key.replace("'s'", "'a b'")), "a selector is"),
            (format!("{sign}{}", key.replace("key.pem", "none.pem")), "none.pem"),
            (format!("{sign}{}", key.replace("key.pem", "open.pem")), "others can read"),
            (sign.replace("sign", "sine"), "is not allowed for `dkim.policy`"),
            (format!("{sign}[[dkim.key]]\nselector = 's'\n"), "`key-file` is missing"),
        ] {
            let found = mistakes(folder.path(), &text);
            match expected {
                "" => assert!(found.is_empty(), "{text}: {found:?}"),
                expected => assert!(found.iter().any(|mistake| mistake.contains(expected)), "{text}: {found:?}"),
            }
        }
    }
}
