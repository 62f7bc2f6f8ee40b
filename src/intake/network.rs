//! A network in CIDR notation (RFC 4632, RFC 4291 2.3).

use std::{fmt, net::IpAddr, str::FromStr};

/// An address and how many of its leading bits count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

/// Why a text is not a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NetworkError {
    #[error("not an IP address or network such as 192.0.2.0/24 or 2001:db8::/32")]
    Syntax,
    #[error("the prefix is longer than the address")]
    Prefix,
    #[error("bits are set behind the prefix: is the address or the prefix wrong?")]
    HostBits,
}

impl Network {
    pub fn new(address: IpAddr, prefix: u8) -> Result<Self, NetworkError> {
        if u32::from(prefix) > width(address) {
            return Err(NetworkError::Prefix);
        }
        if masked(address, prefix) != bits(address) {
            return Err(NetworkError::HostBits);
        }
        Ok(Self { address, prefix })
    }

    /// The network of that many bits in which `address` lies.
    pub fn around(address: IpAddr, prefix: u8) -> Self {
        let prefix = prefix.min(width(address) as u8);
        let address = match address {
            IpAddr::V4(_) => IpAddr::V4(((masked(address, prefix) as u32).to_be_bytes()).into()),
            IpAddr::V6(_) => IpAddr::V6(masked(address, prefix).to_be_bytes().into()),
        };
        Self { address, prefix }
    }

    pub fn address(&self) -> IpAddr {
        self.address
    }

    pub fn prefix(&self) -> u8 {
        self.prefix
    }

    /// An IPv4 client on an IPv6 socket (`::ffff:192.0.2.1`) is an IPv4 client.
    pub fn contains(&self, client: IpAddr) -> bool {
        let client = client.to_canonical();
        client.is_ipv4() == self.address.is_ipv4() && masked(client, self.prefix) == bits(self.address)
    }
}

fn width(address: IpAddr) -> u32 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(address.to_bits()),
        IpAddr::V6(address) => address.to_bits(),
    }
}

fn masked(address: IpAddr, prefix: u8) -> u128 {
    let behind = width(address) - u32::from(prefix);
    bits(address).checked_shr(behind).unwrap_or(0).checked_shl(behind).unwrap_or(0)
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix.parse().map_err(|_| NetworkError::Syntax)?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| NetworkError::Syntax)?;
        Self::new(address, prefix.unwrap_or(width(address) as u8))
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_and_who_is_in_them() {
        for (network, client, inside) in [
            ("127.0.0.0/8", "127.3.2.1", true),
            ("127.0.0.0/8", "128.0.0.1", false),
            ("127.0.0.0/8", "::ffff:127.0.0.1", true),
            ("192.0.2.7", "192.0.2.7", true),
            ("192.0.2.7", "192.0.2.8", false),
            ("0.0.0.0/0", "203.0.113.9", true),
            ("0.0.0.0/0", "2001:db8::1", false),
            ("::/0", "2001:db8::1", true),
            ("::/0", "203.0.113.9", false),
            ("2001:db8::/32", "2001:db8:1::1", true),
            ("2001:db8::/32", "2001:db9::1", false),
            ("::1/128", "::1", true),
        ] {
            let parsed: Network = network.parse().unwrap();
            assert_eq!(parsed.contains(client.parse().unwrap()), inside, "{client} in {network}");
        }
        for (text, error) in [
            ("", NetworkError::Syntax),
            ("ours.example", NetworkError::Syntax),
            ("192.0.2.0/", NetworkError::Syntax),
            ("192.0.2.0/33", NetworkError::Prefix),
            ("192.0.2.1/24", NetworkError::HostBits),
        ] {
            assert_eq!(text.parse::<Network>(), Err(error), "{text}");
        }
        assert_eq!(Network::around("192.0.2.77".parse().unwrap(), 24).to_string(), "192.0.2.0/24");
        assert_eq!(Network::around("2001:db8::1:2:3:4".parse().unwrap(), 64).to_string(), "2001:db8::/64");
    }
}
