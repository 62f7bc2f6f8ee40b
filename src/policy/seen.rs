//! What conditions look at: one submission with all that is derived from it once, however many rules there are.

use super::{
    Directory, Facts, Reached,
    authorship::{self, Claim, MaySendAs},
    clause::Group,
    domains::KnownDomains,
    sensitive::SensitiveLists,
};
use crate::{
    detect::Scan,
    intake::Submission,
    mail::{Address, Envelope, ForwardPath, Message, PartId, ReversePath, UnreadReason},
};
use std::{cell::OnceCell, collections::HashSet};

/// Whose domains are ours, and which addresses stand for many people.
#[derive(Clone, Copy, Debug)]
pub struct House<'a> {
    /// Lower case.
    pub own_domains: &'a [String],
    pub groups: &'a [Group],
    pub may_send_as: &'a MaySendAs,
    pub domains: &'a KnownDomains,
    /// Those that the policies name.
    pub sensitive: &'a SensitiveLists,
}

impl House<'_> {
    /// Whether mail to this address stays with us. One that names another mailbox may be sent on by the server behind us.
    pub fn receives(&self, recipient: &Address) -> bool {
        self.owns(recipient) && !recipient.is_routed()
    }

    pub fn owns(&self, address: &Address) -> bool {
        self.own_domains.iter().any(|domain| is_within(address.domain(), domain))
    }

    /// The distinct recipients; a group is followed by those whom it reaches and who are not there otherwise.
    pub fn reached(&self, envelope: &Envelope, directory: &Directory) -> Vec<Reached> {
        let addresses = envelope.recipients.iter().map(|recipient| &recipient.address);
        let mut reached: Vec<Reached> = Vec::with_capacity(envelope.recipients.len());
        let mut seen = HashSet::new();
        for address in addresses.clone() {
            let folded = address.folded();
            if seen.insert(folded.clone()) {
                reached.push(Reached { folded, people: 1, outside: !self.receives(address) });
            }
        }
        for address in addresses {
            let group = self.groups.iter().find(|group| group.is(&address.folded()));
            let members = directory.members(address);
            if group.is_none() && members.is_none() {
                continue;
            }
            let known = members.map_or(0, <[Address]>::len);
            for member in members.unwrap_or_default() {
                let folded = member.folded();
                if seen.insert(folded.clone()) {
                    reached.push(Reached { folded, people: 1, outside: !self.receives(member) });
                }
            }
            // The policy may know of more people than the directory names: they count, nameless.
            let nameless = group.map_or(0, |group| group.members).saturating_sub(known);
            if let Some(own) = reached.iter_mut().find(|own| own.folded == address.folded()) {
                own.people = nameless;
            }
        }
        reached
    }
}

/// Whether `domain` is `parent` (lower case) or below it.
pub fn is_within(domain: &str, parent: &str) -> bool {
    let lowered;
    let domain = if domain.is_ascii() {
        domain
    } else {
        lowered = domain.to_lowercase();
        &lowered
    };
    let Some(at) = domain.len().checked_sub(parent.len()) else { return false };
    domain.is_char_boundary(at) && domain[at..].eq_ignore_ascii_case(parent) && (at == 0 || domain[..at].ends_with('.'))
}

/// One submission as the conditions see it.
pub struct Seen<'a> {
    pub submission: &'a Submission,
    pub scan: &'a Scan,
    pub facts: &'a Facts,
    pub house: House<'a>,
    recipients: OnceCell<Recipients>,
    visible: OnceCell<Visible>,
    authors: OnceCell<Vec<Address>>,
    out_of_office: OnceCell<bool>,
    machine: OnceCell<bool>,
    subject: OnceCell<String>,
    claims: OnceCell<Vec<Claim>>,
}

/// The distinct envelope recipients, counted.
#[derive(Default)]
pub struct Recipients {
    /// Case folded.
    folded: HashSet<String>,
    /// A group is counted as the people that it reaches.
    pub people: usize,
    pub outside: usize,
    pub domains: usize,
    pub outside_domains: usize,
}

/// The distinct addresses that readers see, counted.
#[derive(Default)]
pub struct Visible {
    pub all: usize,
    /// Our people: a group is as many as it reaches.
    pub internal: usize,
    pub private: usize,
    pub organisations: usize,
    pub domains: usize,
    pub outside_domains: usize,
    /// Our groups among them.
    pub groups: usize,
}

impl<'a> Seen<'a> {
    pub fn new(submission: &'a Submission, scan: &'a Scan, facts: &'a Facts, house: House<'a>) -> Self {
        Self {
            submission,
            scan,
            facts,
            house,
            recipients: OnceCell::new(),
            visible: OnceCell::new(),
            authors: OnceCell::new(),
            out_of_office: OnceCell::new(),
            machine: OnceCell::new(),
            subject: OnceCell::new(),
            claims: OnceCell::new(),
        }
    }

    pub fn message(&self) -> &'a Message {
        &self.submission.message
    }

    /// The mailboxes of From.
    pub fn authors(&self) -> &[Address] {
        self.authors.get_or_init(|| self.message().mailboxes("From"))
    }

    /// Every author is one of ours: only then do notices and Bcc changes speak in our name.
    pub fn author_is_ours(&self) -> bool {
        !self.authors().is_empty() && self.authors().iter().all(|author| self.house.owns(author))
    }

    /// The authors whom the sender may not write as.
    pub fn claims(&self) -> &[Claim] {
        self.claims.get_or_init(|| authorship::claims(self.submission, self.house))
    }

    /// Sender or author is ours, so the message speaks for us.
    pub fn is_from_us(&self) -> bool {
        let sender = self.submission.envelope.sender.address.as_ref();
        sender.is_some_and(|sender| self.house.owns(sender)) || self.authors().iter().any(|a| self.house.owns(a))
    }

    /// What readers see of the recipients.
    pub fn visible(&self) -> &Visible {
        self.visible.get_or_init(|| {
            let shown: Vec<Address> =
                self.message().shown_recipients().iter().filter_map(|text| Address::parse(text).ok()).collect();
            let (mut domains, mut outside) = (HashSet::new(), HashSet::new());
            let mut visible = Visible { all: shown.len(), ..Visible::default() };
            let mut ours = Envelope { sender: ReversePath::default(), recipients: Vec::new() };
            for address in shown {
                domains.insert(address.domain().to_lowercase());
                if self.house.receives(&address) {
                    visible.groups += usize::from(self.is_group(&address));
                    ours.recipients.push(ForwardPath { address, parameters: Vec::new() });
                    continue;
                }
                match self.house.domains.is_organisation(address.domain()) {
                    true => visible.organisations += 1,
                    false => visible.private += 1,
                }
                outside.insert(address.domain().to_lowercase());
            }
            let reached = self.house.reached(&ours, &self.facts.directory);
            visible.internal = reached.iter().map(|reached| reached.people).sum();
            (visible.domains, visible.outside_domains) = (domains.len(), outside.len());
            visible
        })
    }

    /// Distinct addresses of Cc.
    pub fn copied(&self) -> usize {
        self.message().mailboxes("Cc").iter().map(Address::folded).collect::<HashSet<_>>().len()
    }

    fn is_group(&self, address: &Address) -> bool {
        let folded = address.folded();
        self.house.groups.iter().any(|group| group.is(&folded)) || self.facts.directory.members(address).is_some()
    }

    /// Whether this folded address is a recipient of the envelope, or reached through a group.
    pub fn is_recipient(&self, folded: &str) -> bool {
        self.reached().folded.contains(folded)
    }

    /// Distinct addresses of the envelope that are not ours.
    pub fn outside_recipients(&self) -> usize {
        self.reached().outside
    }

    /// The recipients of the envelope.
    pub fn reached(&self) -> &Recipients {
        self.recipients.get_or_init(|| {
            let mut counted = Recipients::default();
            let (mut domains, mut outside_domains) = (HashSet::new(), HashSet::new());
            for recipient in &self.submission.envelope.recipients {
                let domain = recipient.address.domain().to_lowercase();
                if !self.house.receives(&recipient.address) {
                    outside_domains.insert(domain.clone());
                }
                domains.insert(domain);
            }
            for Reached { folded, people, outside } in
                self.house.reached(&self.submission.envelope, &self.facts.directory)
            {
                counted.people += people;
                counted.outside += usize::from(outside);
                counted.folded.insert(folded);
            }
            (counted.domains, counted.outside_domains) = (domains.len(), outside_domains.len());
            counted
        })
    }

    /// The groups that are recipients of the envelope.
    pub fn groups(&self) -> impl Iterator<Item = &'a Group> {
        let folded = &self.reached().folded;
        self.house.groups.iter().filter(move |group| folded.contains(group.folded()))
    }

    /// An automatic reply of one of our people, not a report: it speaks in our name.
    pub fn is_out_of_office(&self) -> bool {
        *self.out_of_office.get_or_init(|| self.message().is_auto_reply() && self.author_is_ours())
    }

    /// Machine mail: scanned, never changed by notices or Bcc, never answered.
    pub fn is_machine(&self) -> bool {
        *self.machine.get_or_init(|| {
            let sender = &self.submission.envelope.sender;
            (sender.is_null() || self.message().is_automatic()) && !self.is_out_of_office()
        })
    }

    /// Nobody would read an answer: a 550 would be silent loss.
    pub fn is_unanswerable(&self) -> bool {
        self.submission.envelope.sender.is_null() || self.is_machine()
    }

    /// The subject in lower case.
    pub fn subject(&self) -> &str {
        self.subject.get_or_init(|| self.message().header("Subject").unwrap_or_default().to_lowercase())
    }

    /// Of the parts that hold content (not multiparts, not another's message below message/rfc822): how many there
    /// are and how many of them nobody but the recipient can read.
    pub fn encrypted_parts(&self) -> (usize, usize) {
        let parts = self.message().parts();
        let is_encrypted = |id: &PartId, header: Option<crate::mail::Protection>| {
            header.is_some_and(|protection| protection.is_encrypted())
                || self.scan.protected.iter().any(|(part, protected)| part == id && protected.is_encrypted())
        };
        let (mut content, mut encrypted) = (0, 0);
        for part in parts.iter().filter(|part| !part.is_multipart() && !part.enclosed) {
            content += 1;
            let mut above = Some(part);
            while let Some(at) = above {
                if is_encrypted(&at.id, at.protection) {
                    encrypted += 1;
                    break;
                }
                above = at.parent.and_then(|index| parts.get(index));
            }
        }
        // What detectors found encrypted below an attachment (a member of an archive) is a part of its own.
        let members = self
            .scan
            .protected
            .iter()
            .filter(|(id, protected)| protected.is_encrypted() && !parts.iter().any(|part| part.id == *id));
        let members = members.count();
        (content + members, encrypted + members)
    }

    /// Why parts could not be read, by whomever it was tried.
    pub fn unread(&self) -> impl Iterator<Item = UnreadReason> {
        self.scan.unread.iter().chain(self.message().unread()).map(|unread| unread.reason)
    }

    /// How many parts could not be read; one may be so for several reasons.
    pub fn unread_parts(&self) -> u32 {
        let parts: HashSet<&PartId> =
            self.scan.unread.iter().chain(self.message().unread()).map(|unread| &unread.part).collect();
        u32::try_from(parts.len()).unwrap_or(u32::MAX)
    }

    pub fn is_ambiguous(&self) -> bool {
        !self.scan.ambiguous.is_empty() || !self.message().ambiguous().is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::is_within;

    #[test]
    fn a_domain_and_what_is_below_it() {
        for (domain, within) in [
            ("ours.example", true),
            ("Ours.Example", true),
            ("mail.ours.example", true),
            ("notours.example", false),
            ("ours.example.evil.example", false),
            ("example", false),
            ("é.ours.example", true),
            ("éours.example", false),
        ] {
            assert_eq!(is_within(domain, "ours.example"), within, "{domain}");
        }
        assert!(is_within("BÜCHER.example", "bücher.example"));
    }
}
