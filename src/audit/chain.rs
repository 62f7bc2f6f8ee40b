//! The chain of the book: one link for each committed batch of events.
//!
//! In: events, and the link before. Out: a link whose MAC covers its node, its number, the MAC before it and its
//! events' exact bytes; a report on a whole chain. Never: I/O; a claim about what stood behind the last link.

use super::Event;
use crate::keys::KeyedHash;
use std::fmt;

/// The MAC that stands as `previous` in the first link.
pub const BEGINNING: [u8; 32] = [0; 32];

/// The first field under every MAC: names the format, so that a later one cannot be taken for this.
const FORMAT: &[u8] = b"outgate link 1";

/// How many faults a report lists; all are counted.
const LISTED: usize = 100;

/// One event in the canonical form: compact JSON, fields in the order of their declaration.
pub fn canonical(event: &Event) -> Vec<u8> {
    serde_json::to_vec(event).expect("an event holds only strings, numbers and times, which JSON can carry")
}

/// The newest link that a writer builds upon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    pub number: u64,
    pub mac: [u8; 32],
}

impl Head {
    /// Before the first link.
    pub const EMPTY: Head = Head { number: 0, mac: BEGINNING };
}

/// One committed batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Which writer's chain this is: 16 random bytes, chosen when its store was made.
    pub node: Vec<u8>,
    /// 1, 2, 3 … without a gap.
    pub number: u64,
    pub previous: Vec<u8>,
    /// A JSON array of events, byte for byte as the MAC saw it.
    pub events: Vec<u8>,
    pub mac: Vec<u8>,
}

impl Link {
    /// The link behind `head`. `key` is the keyed hash for `Purpose::Book`.
    pub fn forge(key: &KeyedHash, node: &[u8; 16], head: Head, events: Vec<u8>) -> Self {
        let number = head.number + 1;
        let mac = mac_of(key, node, number, &head.mac, &events);
        Self { node: node.to_vec(), number, previous: head.mac.to_vec(), events, mac: mac.to_vec() }
    }

    /// As what the next link builds upon. None for a link that was read with a MAC of another length.
    pub fn as_head(&self) -> Option<Head> {
        Some(Head { number: self.number, mac: self.mac.as_slice().try_into().ok()? })
    }

    pub fn events(&self) -> Result<Vec<Event>, serde_json::Error> {
        serde_json::from_slice(&self.events)
    }
}

fn mac_of(key: &KeyedHash, node: &[u8], number: u64, previous: &[u8], events: &[u8]) -> [u8; 32] {
    key.mac(&[FORMAT, node, &number.to_be_bytes(), previous, events])
}

/// What is wrong at one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Flaw {
    /// Its bytes are not those that were written.
    Changed,
    /// Links before this one are not there.
    Missing,
    /// It does not continue the link before it.
    Unconnected,
    /// A second link with this or an older number.
    Forked,
    /// It belongs to another node's chain.
    Foreign,
    /// Its MAC is right, but its events are no longer understood.
    Unreadable,
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Flaw::Changed => "was changed after it was written",
            Flaw::Missing => "comes after a gap: links before it were removed or renumbered",
            Flaw::Unconnected => "does not continue the link before it",
            Flaw::Forked => "stands in the chain a second time",
            Flaw::Foreign => "belongs to another node's chain",
            Flaw::Unreadable => "is genuine, but its events cannot be read by this version",
        })
    }
}

/// Walks a chain from its first link on.
pub struct Verifier {
    key: KeyedHash,
    node: [u8; 16],
    at: Head,
    report: BookReport,
}

impl Verifier {
    pub fn new(key: KeyedHash, node: [u8; 16]) -> Self {
        Self::behind(key, node, Head::EMPTY)
    }

    /// Begins in the middle, trusting `head`: for the quick look at a start, not for a proof.
    pub fn behind(key: KeyedHash, node: [u8; 16], head: Head) -> Self {
        Self { key, node, at: head, report: BookReport::default() }
    }

    /// The next link, in the order of their numbers.
    pub fn see(&mut self, link: &Link) {
        let genuine = link.mac.len() == 32 && {
            let number = link.number.to_be_bytes();
            self.key.verify(&[FORMAT, &link.node, &number, &link.previous, &link.events], &link.mac)
        };
        if !genuine {
            self.note(link.number, Flaw::Changed);
        }
        if link.node != self.node {
            self.note(link.number, Flaw::Foreign);
        }
        if link.number <= self.at.number {
            self.note(link.number, Flaw::Forked);
        } else if link.number != self.at.number + 1 {
            self.note(link.number, Flaw::Missing);
        } else if link.previous != self.at.mac {
            self.note(link.number, Flaw::Unconnected);
        }
        match link.events() {
            Ok(events) => self.report.events += events.len() as u64,
            Err(_) if genuine => self.note(link.number, Flaw::Unreadable),
            Err(_) => {}
        }
        self.report.links += 1;
        let mut mac = BEGINNING;
        if link.mac.len() == mac.len() {
            mac.copy_from_slice(&link.mac);
        }
        self.at = Head { number: link.number, mac };
    }

    /// A row that is no link at all.
    pub fn see_unreadable(&mut self, number: u64) {
        self.report.links += 1;
        self.note(number, Flaw::Changed);
        self.at = Head { number, mac: BEGINNING };
    }

    pub fn finish(mut self) -> BookReport {
        self.report.head = (self.at.number > 0).then_some(self.at);
        self.report.node = self.node;
        self.report
    }

    fn note(&mut self, number: u64, flaw: Flaw) {
        self.report.flaws += 1;
        if self.report.listed.len() < LISTED {
            self.report.listed.push((number, flaw));
        }
    }
}

/// What `audit verify` says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BookReport {
    pub node: [u8; 16],
    pub links: u64,
    pub events: u64,
    /// How many flaws there are; the first hundred are in `listed`, by link number.
    pub flaws: u64,
    pub listed: Vec<(u64, Flaw)>,
    /// None when the book is empty. Write it down outside: only so can a cut tail be found.
    pub head: Option<Head>,
}

impl BookReport {
    pub fn is_whole(&self) -> bool {
        self.flaws == 0
    }

    /// The node as people read it.
    pub fn node_hex(&self) -> String {
        hex(&self.node)
    }

    /// The head's MAC as people read it.
    pub fn head_hex(&self) -> Option<String> {
        self.head.map(|head| hex(&head.mac))
    }
}

impl fmt::Display for BookReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, flaw) in &self.listed {
            writeln!(f, "link {number} {flaw}")?;
        }
        if self.flaws > self.listed.len() as u64 {
            writeln!(f, "and {} flaws more", self.flaws - self.listed.len() as u64)?;
        }
        let verdict = if self.is_whole() { "The chain is whole" } else { "The chain is NOT whole" };
        writeln!(f, "{verdict}: node {}, {} links, {} events.", self.node_hex(), self.links, self.events)?;
        match self.head {
            Some(head) => writeln!(f, "Its head is link {}, MAC {}.", head.number, hex(&head.mac))?,
            None => writeln!(f, "It has no link yet.")?,
        }
        f.write_str(
            "Links cut off at the end cannot be found from the book alone: compare the head with one that was \
             written down outside this machine.",
        )
    }
}

/// Lower case, two digits a byte.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        audit::What,
        keys::{Keys, Purpose},
        mail::SubmissionId,
    };
    use time::macros::datetime;

    const NODE: [u8; 16] = [9; 16];

    fn key() -> KeyedHash {
        Keys::new(&[3; 32]).hasher(Purpose::Book)
    }

    fn chain(length: u64) -> Vec<Link> {
        let mut head = Head::EMPTY;
        (0..length)
            .map(|_| {
                let event = Event { at: datetime!(2026-01-02 03:04:05 UTC), submission: None, what: What::Stopped };
                let events = [b"[".as_slice(), &canonical(&event), b"]"].concat();
                let link = Link::forge(&key(), &NODE, head, events);
                head = Head { number: link.number, mac: link.mac.clone().try_into().unwrap() };
                link
            })
            .collect()
    }

    fn report(links: &[Link]) -> BookReport {
        let mut verifier = Verifier::new(key(), NODE);
        links.iter().for_each(|link| verifier.see(link));
        verifier.finish()
    }

    #[test]
    fn an_events_canonical_form_never_changes() {
        let event = Event {
            at: datetime!(2026-01-02 03:04:05.006 UTC),
            submission: Some(SubmissionId::from_bytes([1; 16])),
            what: What::Returned,
        };
        let golden = r#"{"at":"2026-01-02T03:04:05.006Z","submission":"01010101-0101-0101-0101-010101010101","event":"returned"}"#;
        assert_eq!(String::from_utf8(canonical(&event)).unwrap(), golden);
        assert_eq!(serde_json::from_str::<Event>(golden).unwrap(), event);
    }

    #[test]
    fn a_links_mac_never_changes() {
        let link = &chain(1)[0];
        // Made with Python's hmac and hashlib from the description in docs/reference/disk.md.
        assert_eq!(hex(&link.mac), "de778f6840fe068bd83a006e2114730ec0c8855b2afd9235fe7f2cd17ae9a3ef");
    }

    #[test]
    fn a_whole_chain_is_whole_and_names_its_head() {
        let links = chain(5);
        let report = report(&links);
        assert!(report.is_whole(), "{report}");
        assert_eq!((report.links, report.events), (5, 5));
        assert_eq!(report.head.unwrap().number, 5);
        assert!(report.to_string().contains("cannot be found"));
    }

    #[test]
    fn every_kind_of_tampering_is_named() {
        let whole = chain(6);
        let with = |change: &dyn Fn(&mut Vec<Link>)| {
            let mut links = whole.clone();
            change(&mut links);
            report(&links).listed
        };
        assert_eq!(with(&|links| links[2].events[3] ^= 1), [(3, Flaw::Changed)]);
        assert!(with(&|links| links[2].mac[0] ^= 1).contains(&(4, Flaw::Unconnected)));
        assert_eq!(with(&|links| drop(links.remove(0))), [(2, Flaw::Missing)]);
        assert_eq!(with(&|links| drop(links.remove(3))), [(5, Flaw::Missing)]);
        assert!(with(&|links| links.swap(1, 2)).contains(&(2, Flaw::Forked)));
        assert_eq!(with(&|links| links.insert(2, links[1].clone())), [(2, Flaw::Forked)]);
        assert!(with(&|links| links[4].node[0] ^= 1).contains(&(5, Flaw::Foreign)));
        assert!(with(&|links| links[4].number = 9).contains(&(9, Flaw::Missing)));
        assert!(with(&|links| links[4].mac.clear()).contains(&(5, Flaw::Changed)));
        // Removed and closed up: the number fits, the MAC does not.
        let closed = with(&|links| {
            links.remove(2);
            links[2..].iter_mut().for_each(|link| link.number -= 1);
        });
        assert!(closed.contains(&(3, Flaw::Changed)) && closed.contains(&(3, Flaw::Unconnected)), "{closed:?}");
        // A cut tail is not found: this is said in the report instead.
        assert_eq!(with(&|links| links.truncate(4)), []);
    }
}
