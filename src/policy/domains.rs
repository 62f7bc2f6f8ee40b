//! Whose addresses those of a domain are: private people's or an organisation's. From the lists `domains/webmail.txt` and
//! `domains/organisations.txt`.

use super::clause::domain;
use crate::diagnostic::{Diagnostic, Diagnostics, Source};
use std::collections::HashSet;

/// Domains that are known. What is on no list is unknown, and counts as private.
#[derive(Clone, Debug, Default)]
pub struct KnownDomains {
    webmail: HashSet<String>,
    organisations: HashSet<String>,
    /// `*` in the list: every other domain is an organisation's.
    others_are_organisations: bool,
}

impl KnownDomains {
    /// One domain a line; `#` begins a comment.
    pub fn parse(webmail: &[Source], organisations: &[Source], diagnostics: &mut Diagnostics) -> Self {
        let mut known = Self::default();
        for source in webmail {
            known.webmail.extend(entries(source, diagnostics));
        }
        for source in organisations {
            known.organisations.extend(entries(source, diagnostics));
        }
        known.others_are_organisations = known.organisations.remove("*");
        if known.webmail.remove("*") {
            let source = webmail.last().expect("an entry has its list");
            let mistake =
                Diagnostic::new(source, source.text.find('*').map_or(0..0, |at| at..at + 1), "`*` in webmail");
            diagnostics.push(mistake.with_allowed("unknown domains count as private without it"));
        }
        known
    }

    /// Every domain on a list.
    pub fn all(&self) -> impl Iterator<Item = &str> {
        self.webmail.iter().chain(&self.organisations).map(String::as_str)
    }

    /// Whether anybody gets an address there.
    pub fn is_webmail(&self, name: &str) -> bool {
        listed(&self.webmail, &name.to_lowercase())
    }

    /// Whether an address there is somebody's at work. A webmail domain is nobody's, whatever list it is on besides.
    pub fn is_organisation(&self, name: &str) -> bool {
        let name = name.to_lowercase();
        !listed(&self.webmail, &name) && (self.others_are_organisations || listed(&self.organisations, &name))
    }
}

/// The domain itself or one above it.
fn listed(list: &HashSet<String>, name: &str) -> bool {
    let parents = name.match_indices('.').map(|(at, _)| &name[at + 1..]);
    std::iter::once(name).chain(parents).any(|domain| list.contains(domain))
}

fn entries(source: &Source, diagnostics: &mut Diagnostics) -> Vec<String> {
    let mut found = Vec::new();
    let mut start = 0;
    for line in source.text.split_inclusive('\n') {
        let entry = line.split('#').next().unwrap_or_default().trim();
        match domain(entry) {
            _ if entry.is_empty() => {}
            _ if entry == "*" => found.push(entry.into()),
            Ok(domain) => found.push(domain),
            Err(_) => {
                let at = start + line.find(entry).unwrap_or(0);
                let mistake = Diagnostic::new(source, at..at + entry.len(), "not a domain");
                diagnostics.push(mistake.with_allowed("allowed: one domain a line, such as council.example"));
            }
        }
        start += line.len();
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(webmail: &str, organisations: &str) -> (KnownDomains, String) {
        let mut diagnostics = Diagnostics::default();
        let [webmail, organisations] = [("webmail.txt", webmail), ("organisations.txt", organisations)]
            .map(|(name, text)| [Source::new(name, text)]);
        let known = KnownDomains::parse(&webmail, &organisations, &mut diagnostics);
        (known, diagnostics.to_string())
    }

    #[test]
    fn webmail_is_private_whatever_else_it_is_and_unknown_is_private_unless_told() {
        let lists = ("# private\nmail.example\n", "agency.example # a partner\nexample.gov\nhome.mail.example\n");
        let (known_domains, mistakes) = known(lists.0, lists.1);
        assert_eq!(mistakes, "");
        for (domain, is) in [
            ("agency.example", true),
            ("North.Agency.Example", true),
            ("notagency.example", false),
            ("mail.example", false),
            ("home.mail.example", false),
            ("unknown.example", false),
            ("deep.below.example.gov", true),
        ] {
            assert_eq!(known_domains.is_organisation(domain), is, "{domain}");
        }
        let (all, _) = known(lists.0, "*\n");
        assert!(all.is_organisation("unknown.example") && !all.is_organisation("x.mail.example"));
    }

    #[test]
    fn what_is_no_domain_is_a_mistake_with_its_line() {
        let (_, mistakes) = known("*\n", "good.example\nnot a domain\n");
        assert_eq!(
            mistakes,
            "organisations.txt:2:1: not a domain (allowed: one domain a line, such as council.example)\n\
             webmail.txt:1:1: `*` in webmail (unknown domains count as private without it)"
        );
    }
}
