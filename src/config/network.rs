//! A block of addresses: `127.0.0.0/8`, `2001:db8::/32`, or one address.

use std::{fmt, net::IpAddr};

/// A block of addresses, in CIDR notation (RFC 4632, RFC 4291 2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Network {
    base: IpAddr,
    prefix: u8,
}

/// Why a text is not a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NetworkError {
    #[error("not an address with a prefix length")]
    Syntax,
    #[error("the prefix is longer than the address")]
    TooLong,
    /// `10.1.2.3/8` is a slip of the pen more often than a wish.
    #[error("the address has bits set beyond its prefix")]
    BitsBeyond,
}

impl Network {
    pub fn parse(text: &str) -> Result<Self, NetworkError> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let base: IpAddr = address.trim().parse().map_err(|_| NetworkError::Syntax)?;
        let width = width(base);
        let prefix = match prefix {
            None => width,
            Some(digits) if !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit()) => {
                digits.parse().map_err(|_| NetworkError::TooLong)?
            }
            Some(_) => return Err(NetworkError::Syntax),
        };
        if prefix > width {
            return Err(NetworkError::TooLong);
        }
        if bits(base) & !mask(prefix, width) != 0 {
            return Err(NetworkError::BitsBeyond);
        }
        Ok(Self { base, prefix })
    }

    /// An IPv4 address in its IPv6 form counts as the IPv4 address (RFC 4291 2.5.5.2): a dual-stack listener gives it so.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.base.is_ipv4()
            && bits(address) & mask(self.prefix, width(self.base)) == bits(self.base)
    }

    /// Whether any address is in both.
    pub fn overlaps(&self, other: &Network) -> bool {
        self.contains(other.base) || other.contains(self.base)
    }

    /// Only this machine.
    pub fn is_loopback(&self) -> bool {
        match self.base {
            IpAddr::V4(base) => base.is_loopback() && self.prefix >= 8,
            IpAddr::V6(base) => base.is_loopback() && self.prefix == 128,
        }
    }

    /// The whole Internet, or as good as: wider than any organisation's own block.
    pub fn is_everybody(&self) -> bool {
        self.prefix < if self.base.is_ipv4() { 8 } else { 16 }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.base, self.prefix)
    }
}

fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_bits().into(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

fn mask(prefix: u8, width: u8) -> u128 {
    let ones = if width == 32 { u128::from(u32::MAX) } else { u128::MAX };
    ones & !ones.checked_shr(prefix.into()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_of_addresses() {
        for (block, inside, outside) in [
            ("127.0.0.0/8", "127.9.9.9", "128.0.0.1"),
            ("127.0.0.0/8", "::ffff:127.0.0.1", "::1"),
            ("192.0.2.128/25", "192.0.2.200", "192.0.2.127"),
            ("192.0.2.1", "192.0.2.1", "192.0.2.2"),
            ("0.0.0.0/0", "203.0.113.9", "2001:db8::1"),
            ("::1/128", "::1", "::2"),
            ("2001:db8::/32", "2001:db8:ffff::9", "2001:db9::"),
            ("::/0", "2001:db8::1", "192.0.2.1"),
        ] {
            let network = Network::parse(block).unwrap();
            assert!(network.contains(inside.parse().unwrap()), "{inside} in {block}");
            assert!(!network.contains(outside.parse().unwrap()), "{outside} in {block}");
        }
        for (text, why) in [
            ("", NetworkError::Syntax),
            ("localhost", NetworkError::Syntax),
            ("10.0.0.0/", NetworkError::Syntax),
            ("10.0.0.0/+8", NetworkError::Syntax),
            ("10.0.0.0/33", NetworkError::TooLong),
            ("::/129", NetworkError::TooLong),
            ("10.0.0.0/999", NetworkError::TooLong),
            ("10.1.2.3/8", NetworkError::BitsBeyond),
        ] {
            assert_eq!(Network::parse(text), Err(why), "{text}");
        }
    }

    #[test]
    fn overlap_goes_both_ways() {
        let (wide, narrow) = (Network::parse("40.92.0.0/15").unwrap(), Network::parse("40.92.7.0/24").unwrap());
        assert!(wide.overlaps(&narrow) && narrow.overlaps(&wide));
        assert!(!wide.overlaps(&Network::parse("127.0.0.0/8").unwrap()));
    }
}
