//! Recipients that look like a slip: a domain that is nearly one that is known, and the sender's own mailbox at home.

use super::seen::Seen;
use crate::mail::Address;
use std::collections::BTreeSet;

/// A shorter name is near too many others.
const SHORTEST: usize = 4;

/// Distinct outside domains of the recipients that are nearly, and not quite, one of ours, a webmail provider's or a known
/// organisation's.
pub fn look_alikes(seen: &Seen<'_>) -> usize {
    let known = || {
        let own = seen.house.own_domains.iter().map(String::as_str);
        own.chain(seen.house.domains.all())
    };
    let is_known = |domain: &str| known().any(|known| super::seen::is_within(domain, known));
    let domains: BTreeSet<String> = outside(seen).map(|address| address.domain().to_lowercase()).collect();
    domains.iter().filter(|domain| !is_known(domain) && known().any(|known| is_alike(domain, known))).count()
}

/// Recipients at a webmail provider whose name there is the sender's.
pub fn own_mailboxes(seen: &Seen<'_>) -> usize {
    let sender = seen.submission.envelope.sender.address.as_ref();
    let names: Vec<Vec<String>> = seen.authors().iter().chain(sender).map(|address| words(address.local())).collect();
    let is_theirs = |address: &Address| {
        let local: String = letters(address.local());
        seen.house.domains.is_webmail(address.domain()) && names.iter().any(|name| is_named(&local, name))
    };
    outside(seen).filter(|address| is_theirs(address)).map(Address::folded).collect::<BTreeSet<_>>().len()
}

fn outside<'a>(seen: &'a Seen<'_>) -> impl Iterator<Item = &'a Address> {
    let recipients = seen.submission.envelope.recipients.iter().map(|recipient| &recipient.address);
    recipients.filter(|address| !seen.house.owns(address))
}

/// One is the other with one slip of the finger, with letters that look alike, or under another top-level domain.
fn is_alike(domain: &str, known: &str) -> bool {
    let name = |domain: &str| domain.split('.').next().unwrap_or_default().to_owned();
    if name(known).len() < SHORTEST {
        return false;
    }
    (is_elsewhere(domain, known) && name(domain) == name(known))
        || shape(domain) == shape(known)
        || is_one_slip(domain, known)
}

/// Under another top-level domain, or two. A short name before these is many people's: `mail`, `post`.
fn is_elsewhere(domain: &str, known: &str) -> bool {
    let above = |domain: &str| domain.split('.').count() - 1;
    known.split('.').next().is_some_and(|name| name.len() > SHORTEST) && above(domain) <= 2 && above(known) <= 2
}

/// Letters and digits that are read for one another, as UTS 39 has them for ASCII.
fn shape(domain: &str) -> String {
    domain.replace("rn", "m").replace("vv", "w").replace("cl", "d").replace('0', "o").replace(['1', 'i'], "l")
}

/// One letter more, less or another, or two next to each other in the other order.
fn is_one_slip(one: &str, other: &str) -> bool {
    let (one, other): (Vec<char>, Vec<char>) = (one.chars().collect(), other.chars().collect());
    let (short, long) = if one.len() <= other.len() { (one, other) } else { (other, one) };
    let same = short.iter().zip(&long).take_while(|(a, b)| a == b).count();
    match long.len() - short.len() {
        0 => {
            let (a, b) = (&short[same..], &long[same..]);
            let another = !a.is_empty() && a[1..] == b[1..];
            let turned = a.len() > 1 && a[0] == b[1] && a[1] == b[0] && a[2..] == b[2..];
            another || turned
        }
        1 => short[same..] == long[same + 1..],
        _ => false,
    }
}

/// `Ben.Okafor2` is `ben` and `okafor`.
fn words(local: &str) -> Vec<String> {
    let words = local.split(|c: char| !c.is_alphabetic()).filter(|word| !word.is_empty());
    words.map(str::to_lowercase).collect()
}

fn letters(local: &str) -> String {
    words(local).concat()
}

/// Both names, or the family name with the initial: what people call their mailbox at home.
fn is_named(local: &str, name: &[String]) -> bool {
    let [first, .., last] = name else { return false };
    let initial = first.chars().next().map_or(String::new(), String::from);
    let rest = local.strip_prefix(initial.as_str()).or(local.strip_suffix(initial.as_str()));
    last.chars().count() >= 3
        && ((first.len() > 1 && local.contains(last.as_str()) && local.contains(first.as_str()))
            || rest == Some(last.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearly_is_not_quite() {
        for (domain, known, alike) in [
            ("gmial.com", "gmail.com", true),
            ("gmai.com", "gmail.com", true),
            ("gmaill.com", "gmail.com", true),
            ("gmail.con", "gmail.com", true),
            ("gmail.co.uk", "gmail.com", true),
            ("hotmai1.co.uk", "hotmail.co.uk", true),
            ("agericy.example", "agency.example", false),
            ("agencv.example", "agency.example", true),
            ("rneadow.example", "meadow.example", true),
            ("ageukcap.org", "ageukcap.org.uk", true),
            ("council.gov.uk", "counsel.gov.uk", false),
            ("nhs.net", "nhs.uk", false),
            ("aol.co", "aol.com", false),
            ("mail.school.example", "mail.com", false),
            ("gmail.mail.school.example", "gmail.com", false),
            ("meadows-school.example", "meadow.example", false),
        ] {
            assert_eq!(is_alike(domain, known), alike, "{domain} {known}");
        }
    }

    #[test]
    fn a_mailbox_at_home_has_the_senders_names() {
        for (local, sender, theirs) in [
            ("ben.okafor", "ben.okafor", true),
            ("BenOkafor82", "Ben.Okafor", true),
            ("okafor.ben", "ben.okafor", true),
            ("bokafor", "ben.okafor", true),
            ("okafor_b", "ben.okafor", true),
            ("ann.okafor", "ben.okafor", false),
            ("okafor", "ben.okafor", false),
            ("ben", "ben.okafor", false),
            ("office", "office", false),
            ("b.okafor", "b.okafor", true),
            ("a.li", "a.li", false),
        ] {
            assert_eq!(is_named(&letters(local), &words(sender)), theirs, "{local} {sender}");
        }
    }
}
