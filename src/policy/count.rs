//! Counts of recipients, each with its limit: `visible-recipients-over = 20`.

use super::seen::Seen;

/// What is counted, each address once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// People of the envelope, a group as many as it reaches; with those whom earlier transactions brought the message to.
    Recipients,
    /// Those of them who are not ours.
    Outside,
    /// Those who are.
    Internal,
    /// Domains of the envelope's addresses.
    Domains,
    /// Those that are not ours.
    OutsideDomains,
    /// Addresses that every reader sees: To and Cc, and wherever else the header shows them.
    Visible,
    /// Those that are not ours.
    VisibleOutside,
    /// Of these, private people's: webmail and unknown domains.
    VisiblePrivate,
    /// And those of known organisations.
    VisibleOrganisations,
    /// Our people in To and Cc, a group as many as it reaches: who hears of an answer to all.
    VisibleInternal,
    /// Domains of the visible addresses.
    VisibleDomains,
    VisibleOutsideDomains,
    /// Distinct addresses of Cc.
    Copied,
    /// The message as it came, in whole MiB.
    Size,
    /// So many MiB once for each of the people whom it reaches.
    SizeTimesRecipients,
}

/// As rules and policies write them.
pub const COUNTS: [(&str, Count); 15] = [
    ("recipients-over", Count::Recipients),
    ("visible-recipients-over", Count::Visible),
    ("outside-recipients-over", Count::Outside),
    ("internal-recipients-over", Count::Internal),
    ("domains-over", Count::Domains),
    ("outside-domains-over", Count::OutsideDomains),
    ("visible-outside-over", Count::VisibleOutside),
    ("visible-private-over", Count::VisiblePrivate),
    ("visible-organisations-over", Count::VisibleOrganisations),
    ("visible-internal-over", Count::VisibleInternal),
    ("visible-domains-over", Count::VisibleDomains),
    ("visible-outside-domains-over", Count::VisibleOutsideDomains),
    ("copied-over", Count::Copied),
    ("size-mib-over", Count::Size),
    ("size-mib-times-recipients-over", Count::SizeTimesRecipients),
];

fn mebibytes(bytes: usize, times: usize) -> usize {
    bytes.saturating_mul(times) >> 20
}

impl Count {
    pub fn name(self) -> &'static str {
        COUNTS.iter().find(|(_, count)| *count == self).map_or("", |(name, _)| name)
    }

    pub fn of(self, seen: &Seen<'_>) -> usize {
        let reached = || seen.reached();
        let visible = || seen.visible();
        match self {
            Count::Recipients => reached().people + seen.facts.earlier.people,
            Count::Outside => reached().outside + seen.facts.earlier.outside,
            Count::Internal => {
                let earlier = seen.facts.earlier.people.saturating_sub(seen.facts.earlier.outside);
                reached().people - reached().outside + earlier
            }
            Count::Domains => reached().domains,
            Count::OutsideDomains => reached().outside_domains,
            Count::Visible => visible().all,
            Count::VisibleOutside => visible().private + visible().organisations,
            Count::VisiblePrivate => visible().private,
            Count::VisibleOrganisations => visible().organisations,
            Count::VisibleInternal => visible().internal,
            Count::VisibleDomains => visible().domains,
            Count::VisibleOutsideDomains => visible().outside_domains,
            Count::Copied => seen.copied(),
            Count::Size => mebibytes(seen.message().len(), 1),
            Count::SizeTimesRecipients => mebibytes(seen.message().len(), Count::Recipients.of(seen)),
        }
    }
}
