//! Accounts of our own: people who hand in mail with a password.

use super::StoreDown;
use crate::sensitive::Sensitive;
use argon2::{
    Argon2,
    password_hash::{PasswordHasher, PasswordVerifier, phc},
};
use std::{fmt, future::Future, sync::LazyLock};
use time::OffsetDateTime;

/// Longer names are nobody's: addresses have at most 254 bytes (RFC 5321 4.5.3.1.3).
const LONGEST_NAME: usize = 254;

/// Hashing takes longer for what nobody types.
const LONGEST_PASSWORD: usize = 1_024;

/// The shortest password that we make an account with (NIST SP 800-63B 3.1.1.2 where nothing else is asked for).
pub const SHORTEST_PASSWORD: usize = 15;

#[derive(Clone, Debug)]
pub struct Account {
    pub name: AccountName,
    pub password: PasswordHash,
    pub disabled: bool,
    pub created: OffsetDateTime,
    pub changed: OffsetDateTime,
}

/// What a person logs in as, folded: case tells nobody apart.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AccountName(Sensitive<String>);

/// Why a text names no account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an account's name has 1 to 254 bytes without spaces and control characters, such as ann@ours.example")]
pub struct NoName;

impl AccountName {
    pub fn parse(text: &str) -> Result<Self, NoName> {
        let odd = |c: char| c.is_whitespace() || c.is_control();
        if text.is_empty() || text.len() > LONGEST_NAME || text.contains(odd) {
            return Err(NoName);
        }
        Ok(Self(text.to_lowercase().into()))
    }

    pub fn expose(&self) -> &str {
        self.0.expose()
    }
}

/// A password as it is kept: argon2id with a salt of its own, as PHC string.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(String);

/// A password that no account can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnfitPassword {
    #[error("a password has at least {SHORTEST_PASSWORD} characters: several words are easy to remember")]
    TooShort,
    #[error("a password has at most {LONGEST_PASSWORD} bytes and no control characters")]
    Odd,
    #[error("the password cannot be hashed")]
    Hashing,
}

impl PasswordHash {
    pub fn of(password: &Sensitive<String>) -> Result<Self, UnfitPassword> {
        let password = password.expose();
        if password.len() > LONGEST_PASSWORD || password.contains(char::is_control) {
            return Err(UnfitPassword::Odd);
        }
        if password.chars().count() < SHORTEST_PASSWORD {
            return Err(UnfitPassword::TooShort);
        }
        let hash: Result<phc::PasswordHash, _> = Argon2::default().hash_password(password.as_bytes());
        hash.map(|hash| Self(hash.to_string())).map_err(|_| UnfitPassword::Hashing)
    }

    /// From the store.
    pub fn kept(phc: String) -> Self {
        Self(phc)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Some tens of milliseconds of work.
    pub fn fits(&self, password: &Sensitive<String>) -> bool {
        let password = password.expose().as_bytes();
        let Ok(hash) = phc::PasswordHash::new(&self.0) else { return false };
        password.len() <= LONGEST_PASSWORD && Argon2::default().verify_password(password, &hash).is_ok()
    }

    /// Fits nobody, and takes as long as any other to find out: how long an answer takes does not tell who has an account.
    pub fn of_nobody() -> &'static Self {
        static NOBODY: LazyLock<PasswordHash> = LazyLock::new(|| {
            let mut password = [0; 32];
            getrandom::fill(&mut password)
                .expect("the kernel's random source does not fail once the machine has started");
            let hash: phc::PasswordHash =
                Argon2::default().hash_password(&password).expect("32 bytes can be hashed with the default settings");
            PasswordHash(hash.to_string())
        });
        &NOBODY
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[withheld]")
    }
}

/// Where accounts are kept.
pub trait Accounts: Send + Sync + 'static {
    /// None: there is no such account. A disabled one is there.
    fn account(&self, name: &AccountName) -> impl Future<Output = Result<Option<Account>, StoreDown>> + Send;
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod tests {
    use super::*;

    #[test]
    fn a_password_fits_its_own_hash_alone() {
        let password = |text: &str| Sensitive::new(text.to_string());
        let hash = PasswordHash::of(&password("correct horse battery")).unwrap();
        assert!(hash.as_str().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "OWASP's least setting");
        assert!(hash.fits(&password("correct horse battery")) && !hash.fits(&password("correct horse batterY")));
        assert_ne!(hash, PasswordHash::of(&password("correct horse battery")).unwrap(), "a salt of its own");
        assert!(!PasswordHash::of_nobody().fits(&password("")) && !PasswordHash::kept("x".into()).fits(&password("x")));
        assert_eq!(PasswordHash::of(&password("fourteen chars")), Err(UnfitPassword::TooShort));
        assert_eq!(PasswordHash::of(&password("two\nlines of a password")), Err(UnfitPassword::Odd));
        assert_eq!(PasswordHash::of(&password(&"x".repeat(1_025))), Err(UnfitPassword::Odd));
        assert_eq!(format!("{hash:?}"), "[withheld]");
    }

    #[test]
    fn names() {
        assert_eq!(AccountName::parse("Ann@Ours.example").unwrap().expose(), "ann@ours.example");
        for bad in ["", "a b", "a\0b", "a\r\nb", &"a".repeat(255)] {
            assert_eq!(AccountName::parse(bad), Err(NoName), "{bad:?}");
        }
        assert_eq!(format!("{:?}", AccountName::parse("ann").unwrap()), "AccountName([withheld])");
    }
}
