//! What keeps an edit out of a message, and what a rule wants to happen instead.

use super::Notice;
use crate::mail::{Part, Protection};
use serde::{Deserialize, Serialize};

/// How a message is sealed. Nothing may be changed inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Seal {
    /// multipart/signed with S/MIME (RFC 8551 3.5.3), and with any protocol but OpenPGP.
    SmimeSigned,
    /// Text and signature in one application/pkcs7-mime (RFC 8551 3.5.2).
    SmimeOpaque,
    /// multipart/signed with OpenPGP (RFC 3156 5).
    PgpSigned,
    /// A clear-signed text (RFC 9580 7).
    PgpInline,
    /// S/MIME, OpenPGP, or an armoured message in a text.
    Encrypted,
    /// message.rpmsg.
    RightsManaged,
}

/// What is done to a sealed message instead of adding the notice to its text; of two the later counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Instead {
    /// It leaves as it came.
    Leave,
    /// The message becomes the first part of a new one, and the notice the second.
    Wrap,
    /// The notice, and behind it the message as an enclosed message (message/rfc822).
    CoveringNote,
    Return,
    Hold,
}

/// How the message becomes a part of a new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Around {
    Wrap,
    CoveringNote,
    /// The notice in front, for a message of files alone.
    InFront,
}

impl Seal {
    pub const ALL: [Self; 6] =
        [Self::SmimeSigned, Self::SmimeOpaque, Self::PgpSigned, Self::PgpInline, Self::Encrypted, Self::RightsManaged];

    /// As rules write it.
    pub fn name(self) -> &'static str {
        match self {
            Seal::SmimeSigned => "smime-signed",
            Seal::SmimeOpaque => "smime-opaque",
            Seal::PgpSigned => "pgp-signed",
            Seal::PgpInline => "pgp-inline",
            Seal::Encrypted => "encrypted",
            Seal::RightsManaged => "rights-managed",
        }
    }

    pub(super) fn of(part: &Part) -> Option<Self> {
        Some(match part.protection? {
            Protection::SmimeSigned if part.is_multipart() => Seal::SmimeSigned,
            Protection::SmimeSigned => Seal::SmimeOpaque,
            Protection::PgpSigned => Seal::PgpSigned,
            Protection::PgpInlineSigned => Seal::PgpInline,
            Protection::SmimeEncrypted | Protection::PgpEncrypted | Protection::PgpInlineEncrypted => Seal::Encrypted,
            Protection::RightsManaged => Seal::RightsManaged,
        })
    }
}

impl Instead {
    fn around(self) -> Option<Around> {
        match self {
            Instead::Wrap => Some(Around::Wrap),
            Instead::CoveringNote => Some(Around::CoveringNote),
            Instead::Leave | Instead::Hold | Instead::Return => None,
        }
    }

    /// Whether the message gets the notice all the same.
    pub fn adds(self) -> bool {
        self.around().is_some()
    }
}

/// What is put around a message for all these notices; none where one of them wants something else.
pub(super) fn around(notices: &[&Notice], seal: Seal) -> Option<Around> {
    let all: Option<Vec<Around>> = notices.iter().map(|notice| notice.sealed.get(&seal)?.around()).collect();
    all?.into_iter().max()
}
