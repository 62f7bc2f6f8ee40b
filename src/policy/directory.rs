//! The organisation's people as its directory names them: who a sender is, and who is in a group. Read before judging,
//! handed in with the facts.

use crate::mail::Address;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt,
    time::Duration,
};
use time::OffsetDateTime;

/// All people and groups. Empty where no directory is connected.
#[derive(Default)]
pub struct Directory {
    people: HashMap<String, Person>,
    /// By folded address: the people that a group reaches, groups within it resolved, each once.
    groups: HashMap<String, Vec<Address>>,
    written: Option<Written>,
}

/// How old the directory is, and may get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    pub at: OffsetDateTime,
    pub stale_after: Duration,
}

/// One person. What the directory does not say is empty.
#[derive(Clone)]
pub struct Person {
    pub address: Address,
    pub name: String,
    pub title: String,
    pub team: String,
    pub phone: String,
    pub manager: Option<Address>,
    /// Addresses of groups that name this person as a member.
    pub groups: Vec<Address>,
}

impl Directory {
    /// `people` have distinct addresses. A group is whatever some of them name as theirs; one that is a member of another
    /// stands for its own members there.
    pub fn new(people: Vec<Person>, written: Written) -> Self {
        let mut named: BTreeMap<String, Vec<Address>> = BTreeMap::new();
        for person in &people {
            for group in &person.groups {
                named.entry(group.folded()).or_default().push(person.address.clone());
            }
        }
        let groups = named.keys().map(|group| (group.clone(), reached(group, &named))).collect();
        let people = people.into_iter().map(|person| (person.address.folded(), person)).collect();
        Self { people, groups, written: Some(written) }
    }

    pub fn person(&self, address: &Address) -> Option<&Person> {
        self.people.get(&address.folded())
    }

    /// The people whom mail to this address reaches, each once. None: the directory knows no such group.
    pub fn members(&self, group: &Address) -> Option<&[Address]> {
        self.groups.get(&group.folded()).map(Vec::as_slice)
    }

    /// None: no directory is connected.
    pub fn written(&self) -> Option<Written> {
        self.written
    }

    /// Older than it may get, so that what it says of people may no longer be true.
    pub fn is_stale(&self, now: OffsetDateTime) -> bool {
        self.written.is_some_and(|written| now - written.at > written.stale_after)
    }

    pub fn people(&self) -> usize {
        self.people.len()
    }

    pub fn groups(&self) -> usize {
        self.groups.len()
    }
}

/// The people below a group. One that contains itself ends there.
fn reached(group: &str, named: &BTreeMap<String, Vec<Address>>) -> Vec<Address> {
    let (mut people, mut seen, mut open) =
        (BTreeMap::new(), BTreeSet::from([group.to_owned()]), vec![group.to_owned()]);
    while let Some(group) = open.pop() {
        for member in &named[&group] {
            let folded = member.folded();
            if !named.contains_key(&folded) {
                people.insert(folded, member.clone());
            } else if seen.insert(folded.clone()) {
                open.push(folded);
            }
        }
    }
    people.into_values().collect()
}

/// Counts alone.
impl fmt::Debug for Directory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (people, groups) = (self.people(), self.groups());
        f.debug_struct("Directory").field("people", &people).field("groups", &groups).finish_non_exhaustive()
    }
}

impl fmt::Debug for Person {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[withheld]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Address {
        Address::parse(text).expect("an address")
    }

    fn person(of: &str, groups: &[&str]) -> Person {
        let [name, title, team, phone] = ["Ada Example", "Advocate", "Advice", "020 7946 0000"].map(String::from);
        let groups = groups.iter().map(|group| address(group)).collect();
        Person { address: address(of), name, title, team, phone, manager: None, groups }
    }

    fn directory(people: &[(&str, &[&str])]) -> Directory {
        let people = people.iter().map(|(of, groups)| person(of, groups)).collect();
        let written = Written { at: OffsetDateTime::UNIX_EPOCH, stale_after: Duration::from_secs(60) };
        Directory::new(people, written)
    }

    fn members(directory: &Directory, group: &str) -> Option<Vec<String>> {
        directory.members(&address(group)).map(|people| people.iter().map(Address::folded).collect())
    }

    #[test]
    fn people_and_groups_are_found_whatever_the_case() {
        let directory = directory(&[("Ada@Ours.example", &["Staff@ours.example"]), ("bob@ours.example", &[])]);
        assert_eq!(directory.person(&address("ADA@ours.example")).map(|ada| ada.name.as_str()), Some("Ada Example"));
        assert!(directory.person(&address("eve@ours.example")).is_none());
        assert_eq!(members(&directory, "STAFF@ours.example"), Some(vec!["ada@ours.example".into()]));
        assert_eq!(members(&directory, "bob@ours.example"), None);
        assert_eq!((directory.people(), directory.groups()), (2, 1));
    }

    #[test]
    fn groups_within_groups_reach_each_person_once_and_end() {
        let directory = directory(&[
            ("ada@ours.example", &["advice@ours.example", "all@ours.example"]),
            ("bob@ours.example", &["advice@ours.example"]),
            ("cy@ours.example", &["all@ours.example"]),
            ("advice@ours.example", &["all@ours.example"]),
            ("all@ours.example", &["advice@ours.example"]),
        ]);
        let all = ["ada@ours.example", "bob@ours.example", "cy@ours.example"].map(String::from).to_vec();
        assert_eq!(members(&directory, "all@ours.example"), Some(all.clone()));
        assert_eq!(members(&directory, "advice@ours.example"), Some(all));
    }

    #[test]
    fn it_grows_old_and_prints_nobody() {
        let directory = directory(&[("ada@ours.example", &["staff@ours.example"])]);
        let after = |seconds| OffsetDateTime::UNIX_EPOCH + Duration::from_secs(seconds);
        assert!(!directory.is_stale(after(60)) && directory.is_stale(after(61)));
        assert!(!Directory::default().is_stale(after(61)));
        let printed = format!("{directory:?} {:?}", directory.person(&address("ada@ours.example")));
        assert_eq!(printed, "Directory { people: 1, groups: 1, .. } Some([withheld])");
    }
}
