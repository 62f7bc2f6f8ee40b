//! What the law wants a letter to say of who sends it: the particulars of `[legal]`, each a line that is added where the
//! author's own text does not say it.
//!
//! Companies: SI 2015/17 reg. 24 (registered name) and 25 (part of the UK, number, registered office; that a company exempt
//! from "limited" in its name, or a community interest company, is a limited company). Charitable companies: Charities Act
//! 2011 s. 194. Charitable incorporated organisations: s. 211. Registered charities: s. 39.

use crate::{
    diagnostic::Table,
    mail::edit::{Notice, Placement},
};
use std::{collections::BTreeMap, sync::Arc};

/// The notice that `[legal]` makes.
pub const LEGAL_IDENTITY: &str = "legal-identity";

/// The organisation as it is registered. What is not given is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Legal {
    pub name: String,
    pub kind: Option<Kind>,
    pub registered_in: Option<Part>,
    pub number: String,
    pub office: String,
    pub charity_number: String,
    /// A registered charity, whatever its number.
    pub charity: bool,
    pub contact: String,
    /// Keys that stand there with nothing in them: the document demands them, and does not give them.
    empty: Vec<&'static str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    LimitedCompany,
    /// Companies Act 2006 s. 60.
    ExemptFromLimited,
    CommunityInterestCompany,
    CharitableIncorporatedOrganisation,
    Charity,
}

const KINDS: [(&str, Kind); 5] = [
    ("limited-company", Kind::LimitedCompany),
    ("exempt-from-limited", Kind::ExemptFromLimited),
    ("community-interest-company", Kind::CommunityInterestCompany),
    ("charitable-incorporated-organisation", Kind::CharitableIncorporatedOrganisation),
    ("charity", Kind::Charity),
];

impl Kind {
    fn is_company(self) -> bool {
        !matches!(self, Kind::CharitableIncorporatedOrganisation | Kind::Charity)
    }
}

/// The part of the United Kingdom in which a company is registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    EnglandAndWales,
    Wales,
    Scotland,
    NorthernIreland,
}

const PARTS: [(&str, Part); 4] = [
    ("England and Wales", Part::EnglandAndWales),
    ("Wales", Part::Wales),
    ("Scotland", Part::Scotland),
    ("Northern Ireland", Part::NorthernIreland),
];

impl Part {
    pub fn as_str(self) -> &'static str {
        PARTS.iter().find(|(_, part)| *part == self).map_or("", |(name, _)| name)
    }
}

/// Reads `[legal]`.
pub fn read(table: &Table<'_>) -> Legal {
    let mut empty = Vec::new();
    let mut text = |key: &'static str, allowed: &str, is_right: fn(&str) -> bool| {
        let parse = |text: &str| {
            let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
            let one_line = text.chars().count() <= 300 && !text.chars().any(char::is_control);
            if text.is_empty() || (one_line && is_right(&text)) { Ok(text) } else { Err("not what stands here") }
        };
        let value = table.parsed(key, allowed, parse).map(|text| text.value);
        if value.as_ref().is_some_and(String::is_empty) {
            empty.push(key);
        }
        value.unwrap_or_default()
    };
    const LINE: &str = "one line of at most 300 characters";
    let name = text("name", LINE, |_| true);
    let number = text("number", "a company number of 8 characters, such as 01234567 or SC123456", is_company_number);
    let office = text("office", LINE, |_| true);
    let charity_number =
        text("charity-number", "a charity's number, such as 1234567, SC012345 or NIC100000", is_charity_number);
    let contact = text("contact", LINE, |_| true);
    Legal {
        name,
        kind: table.choice("kind", &KINDS).map(|kind| kind.value),
        registered_in: table.choice("registered-in", &PARTS).map(|part| part.value),
        number,
        office,
        charity_number,
        charity: table.flag("charity", false),
        contact,
        empty,
    }
}

/// Eight characters: digits, or two letters and six digits.
fn is_company_number(text: &str) -> bool {
    let letters = text.chars().take_while(char::is_ascii_uppercase).count();
    text.len() == 8 && matches!(letters, 0 | 2) && text[letters..].chars().all(|c| c.is_ascii_digit())
}

fn is_charity_number(text: &str) -> bool {
    let digits = |text: &str, length: std::ops::RangeInclusive<usize>| {
        length.contains(&text.len()) && text.chars().all(|c| c.is_ascii_digit())
    };
    let (number, linked) = text.split_once('-').unwrap_or((text, "1"));
    match (text.strip_prefix("SC"), text.strip_prefix("NIC")) {
        (Some(rest), _) | (_, Some(rest)) => digits(rest, 6..=6),
        _ => digits(number, 6..=7) && digits(linked, 1..=3),
    }
}

impl Legal {
    /// Keys whose particulars the law or the organisation's document wants and that are not given.
    pub fn missing(&self) -> Vec<&'static str> {
        let Some(kind) = self.kind else { return [&["kind"][..], &self.empty].concat() };
        let company = kind.is_company();
        let no_charity = !company && self.charity_number.is_empty() && !self.charity;
        let wanted = [
            ("name", self.name.is_empty()),
            ("registered-in", company && self.registered_in.is_none()),
            ("number", company && self.number.is_empty()),
            ("office", company && self.office.is_empty()),
            ("charity-number", no_charity),
        ];
        let mut missing: Vec<&str> = wanted.iter().filter(|(_, missing)| *missing).map(|(key, _)| *key).collect();
        missing.extend(self.empty.iter().filter(|key| !wanted.iter().any(|(known, _)| known == *key)));
        missing
    }

    /// A line for each particular that is given, with the words by which it is recognised in a text.
    pub fn lines(&self, at: Placement) -> Vec<Arc<Notice>> {
        let mut lines: Vec<(String, Vec<String>)> = Vec::new();
        let mut line = |given: bool, text: String, known_by: &[&str]| {
            if given {
                lines.push((text, known_by.iter().map(|words| words.to_string()).collect()));
            }
        };
        line(!self.name.is_empty(), self.name.clone(), &[&self.name]);
        match self.kind {
            Some(Kind::ExemptFromLimited | Kind::CommunityInterestCompany) => {
                let known = ["limited company", "limited by guarantee", "limited by shares"];
                line(true, "A limited company".into(), &known);
            }
            Some(Kind::CharitableIncorporatedOrganisation) => {
                let known = ["charitable incorporated organisation", "CIO", "sefydliad corfforedig elusennol"];
                line(true, "A charitable incorporated organisation".into(), &known);
            }
            _ => {}
        }
        if let Some(part) = self.registered_in.map(Part::as_str) {
            let registered = format!("registered in {part}");
            let known = [&*registered, &format!("incorporated in {part}"), &registered.replace(" and ", " ")];
            let short = part.split(' ').next().filter(|_| part.starts_with("England"));
            let short = short.map(|short| format!("registered in {short}"));
            let known: Vec<&str> = known.into_iter().chain(short.as_deref()).collect();
            line(true, format!("Registered in {part}"), &known);
        }
        let bare = self.number.trim_start_matches('0');
        line(!self.number.is_empty(), format!("Company number {}", self.number), &[&self.number, bare]);
        line(!self.office.is_empty(), format!("Registered office: {}", self.office), &[&self.office]);
        let number = &self.charity_number;
        line(!number.is_empty(), format!("Registered charity number {number}"), &[number]);
        let known = ["registered charity", "charity registered", "elusen gofrestredig"];
        line(self.charity && number.is_empty(), "A registered charity".into(), &known);
        line(!self.contact.is_empty(), self.contact.clone(), &[&self.contact]);
        let notice = |(index, (plain, known_by)): (usize, (String, Vec<String>))| {
            let (name, continues) = (LEGAL_IDENTITY.into(), index > 0);
            Arc::new(Notice { name, plain, html: String::new(), at, known_by, continues, sealed: BTreeMap::new() })
        };
        lines.into_iter().enumerate().map(notice).collect()
    }
}
