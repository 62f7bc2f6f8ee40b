//! Networks from which every customer of a shared mail service sends. An address in them proves nothing about who sent:
//! admitting them without a tenant check lets every tenant in the world send as us.

use crate::intake::Network;

/// A mail service with many customers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cloud {
    Microsoft365,
    GoogleWorkspace,
}

impl Cloud {
    pub fn name(self) -> &'static str {
        match self {
            Cloud::Microsoft365 => "Microsoft 365",
            Cloud::GoogleWorkspace => "Google Workspace",
        }
    }

    /// Whether the service itself says in each message which customer sent it.
    pub fn writes_tenant(self) -> bool {
        self == Cloud::Microsoft365
    }
}

/// The senders' ranges of the SPF records `spf.protection.outlook.com` and `_spf.google.com`.
const SHARED: [(Cloud, &[&str]); 2] = [
    (
        Cloud::Microsoft365,
        &[
            "40.92.0.0/15",
            "40.107.0.0/16",
            "52.100.0.0/15",
            "52.102.0.0/16",
            "52.103.0.0/17",
            "104.47.0.0/17",
            "2a01:111:f400::/48",
            "2a01:111:f403::/48",
        ],
    ),
    (
        Cloud::GoogleWorkspace,
        &[
            "35.190.247.0/24",
            "64.233.160.0/19",
            "66.102.0.0/20",
            "66.249.80.0/20",
            "72.14.192.0/18",
            "74.125.0.0/16",
            "108.177.8.0/21",
            "173.194.0.0/16",
            "209.85.128.0/17",
            "216.58.192.0/19",
            "216.239.32.0/19",
            "2001:4860:4000::/36",
            "2404:6800:4000::/36",
            "2607:f8b0:4000::/36",
            "2800:3f0:4000::/36",
            "2a00:1450:4000::/36",
            "2c0f:fb50:4000::/36",
        ],
    ),
];

/// Domains of the hosts whose certificates those services show for every customer.
const NAMES: [(Cloud, &[&str]); 2] = [
    (Cloud::Microsoft365, &["outlook.com", "office365.com", "office.com", "microsoft.com"]),
    (Cloud::GoogleWorkspace, &["google.com", "gmail.com", "googlemail.com"]),
];

/// The service whose customers all come with this name in their certificate.
pub(super) fn shared_name(name: &str) -> Option<Cloud> {
    let below = |domain: &&str| name.strip_suffix(*domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
    NAMES.iter().find(|(_, domains)| domains.iter().any(&below)).map(|(cloud, _)| *cloud)
}

/// The service whose customers share some of these addresses.
pub(super) fn shared(network: &Network) -> Option<Cloud> {
    let shares = |block: &&str| {
        let overlap = |block: Network| block.contains(network.address()) || network.contains(block.address());
        block.parse().is_ok_and(overlap)
    };
    SHARED.iter().find(|(_, blocks)| blocks.iter().any(&shares)).map(|(name, _)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_block_is_a_network_and_is_known() {
        for (name, blocks) in SHARED {
            for block in blocks {
                assert_eq!(shared(&block.parse().unwrap()), Some(name), "{block}");
            }
        }
        assert_eq!(shared(&"40.92.7.7".parse().unwrap()), Some(Cloud::Microsoft365));
        assert_eq!(shared(&"192.0.2.0/24".parse().unwrap()), None);
        assert_eq!(shared_name("mail.protection.outlook.com"), Some(Cloud::Microsoft365));
        assert_eq!(shared_name("smtp.gmail.com"), Some(Cloud::GoogleWorkspace));
        assert_eq!((shared_name("notoutlook.com"), shared_name("mail.ours.example")), (None, None));
    }
}
