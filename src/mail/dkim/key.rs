//! Keys, and the DNS records that publish them.

use base64::{Engine, engine::general_purpose::STANDARD};
use ring::{
    digest,
    rand::SystemRandom,
    signature::{Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair},
};
use std::{fmt, sync::Arc};
use tokio_rustls::rustls::pki_types::{PrivatePkcs8KeyDer, pem::PemObject};

/// A private key and the selector under which its public half is published. `Debug` shows the selector alone.
#[derive(Clone)]
pub struct Key {
    selector: String,
    pair: Arc<Pair>,
}

enum Pair {
    Rsa(RsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

/// Why a key is none. Says nothing of what is in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    #[error("not a private key in PEM (PKCS #8: BEGIN PRIVATE KEY)")]
    Pem,
    #[error("not an RSA key of 2048 to 4096 bits, nor an Ed25519 key")]
    Kind,
    #[error("a selector is one or more labels of letters, digits and hyphens")]
    Selector,
    #[error("the machine gives no random numbers")]
    Random,
}

/// What is to be published at `SELECTOR._domainkey.DOMAIN`, as a TXT record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub name: String,
    pub value: String,
}

impl Key {
    /// `pem`: a key in PKCS #8.
    pub fn read(selector: &str, pem: &[u8]) -> Result<Self, KeyError> {
        let labels = selector.split('.').all(|label| {
            let inside = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
            (1..=63).contains(&label.len()) && label.bytes().all(inside)
        });
        if !labels {
            return Err(KeyError::Selector);
        }
        let der = PrivatePkcs8KeyDer::from_pem_slice(pem).map_err(|_| KeyError::Pem)?;
        let der = der.secret_pkcs8_der();
        let rsa = RsaKeyPair::from_pkcs8(der).map(Pair::Rsa);
        // OpenSSL writes Ed25519 keys without their public half.
        let pair = rsa.or_else(|_| Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).map(Pair::Ed25519));
        let pair = Arc::new(pair.map_err(|_| KeyError::Kind)?);
        Ok(Self { selector: selector.to_owned(), pair })
    }

    /// A fresh key, and its PEM.
    pub fn generate_ed25519(selector: &str) -> Result<(Self, String), KeyError> {
        let der = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).map_err(|_| KeyError::Random)?;
        let text = STANDARD.encode(der.as_ref());
        let lines: Vec<&str> = (0..text.len()).step_by(64).map(|at| &text[at..text.len().min(at + 64)]).collect();
        let pem = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", lines.join("\n"));
        Ok((Self::read(selector, pem.as_bytes())?, pem))
    }

    pub fn selector(&self) -> &str {
        &self.selector
    }

    /// As `a=` names it (RFC 6376 3.3, RFC 8463).
    pub(super) fn algorithm(&self) -> &'static str {
        match &*self.pair {
            Pair::Rsa(_) => "rsa-sha256",
            Pair::Ed25519(_) => "ed25519-sha256",
        }
    }

    /// In base64.
    pub(super) fn sign(&self, covered: &[u8]) -> String {
        match &*self.pair {
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), covered, &mut signature)
                    .expect("the buffer is as long as the modulus, and RSA takes a digest of any message");
                STANDARD.encode(signature)
            }
            // RFC 8463 3: Ed25519 signs the hash.
            Pair::Ed25519(pair) => STANDARD.encode(pair.sign(digest::digest(&digest::SHA256, covered).as_ref())),
        }
    }

    pub fn record(&self, domain: &str) -> Record {
        let (kind, public) = match &*self.pair {
            Pair::Rsa(pair) => ("rsa", STANDARD.encode(public_key_info(pair.public_key().as_ref()))),
            Pair::Ed25519(pair) => ("ed25519", STANDARD.encode(pair.public_key().as_ref())),
        };
        Record {
            name: format!("{}._domainkey.{domain}", self.selector),
            value: format!("v=DKIM1; k={kind}; p={public}"),
        }
    }
}

impl Record {
    /// As it stands in a zone file: strings of 255 bytes at most (RFC 1035 3.3.14).
    pub fn in_zone(&self) -> String {
        let strings = self.value.as_bytes().chunks(255).map(|chunk| format!("\"{}\"", String::from_utf8_lossy(chunk)));
        format!("{}. IN TXT ( {} )", self.name, strings.collect::<Vec<_>>().join(" "))
    }
}

/// SubjectPublicKeyInfo around an RSAPublicKey (RFC 5280 4.1.2.7, RFC 3279 2.3.1).
fn public_key_info(key: &[u8]) -> Vec<u8> {
    const RSA_ENCRYPTION: [u8; 15] =
        [0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00];
    let bits = der(0x03, &[&[0], key].concat());
    der(0x30, &[&RSA_ENCRYPTION[..], &bits].concat())
}

fn der(kind: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len().to_be_bytes();
    let length = &length[length.iter().take_while(|byte| **byte == 0).count()..];
    let mut out = vec![kind];
    if content.len() >= 0x80 {
        out.push(0x80 | length.len() as u8);
    }
    out.extend_from_slice(length);
    out.extend_from_slice(content);
    out
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.selector == other.selector && self.record("") == other.record("")
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.selector)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generated_key_is_read_back_and_its_record_fits() {
        let (key, pem) = Key::generate_ed25519("gate").unwrap();
        assert_eq!(Key::read("gate", pem.as_bytes()).unwrap(), key);
        let record = key.record("ours.example");
        assert_eq!(record.name, "gate._domainkey.ours.example");
        assert!(record.value.starts_with("v=DKIM1; k=ed25519; p=") && record.value.len() == 22 + 44);
        let long = Record { name: "a.example".into(), value: "x".repeat(300) };
        let expected = format!("a.example. IN TXT ( \"{}\" \"{}\" )", "x".repeat(255), "x".repeat(45));
        assert_eq!(long.in_zone(), expected);
    }

    #[test]
    fn what_is_no_key() {
        let (_, pem) = Key::generate_ed25519("gate").unwrap();
        for selector in ["", "a..b", "a b", "-", &"x".repeat(64)] {
            let expected = if selector == "-" { None } else { Some(KeyError::Selector) };
            assert_eq!(Key::read(selector, pem.as_bytes()).err(), expected, "{selector}");
        }
        assert_eq!(Key::read("s", b"nothing").err(), Some(KeyError::Pem));
        let cut = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
        assert_eq!(Key::read("s", cut.as_bytes()).err(), Some(KeyError::Kind));
    }
}
