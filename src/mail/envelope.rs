//! The envelope: sender and recipients with their ESMTP parameters, spelled as they came
//! (RFC 5321 2.3.1). What is passed on is passed on as written.

use super::Address;
use std::fmt;

/// Sender and accepted recipients of one transaction.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Envelope {
    pub sender: ReversePath,
    pub recipients: Vec<ForwardPath>,
}

/// The argument of MAIL FROM. No address is the null sender `<>` (RFC 5321 4.5.5).
#[derive(Clone, Debug, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub struct ReversePath {
    pub address: Option<Address>,
    pub parameters: Vec<Parameter>,
}

/// The argument of RCPT TO.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ForwardPath {
    pub address: Address,
    pub parameters: Vec<Parameter>,
}

/// One ESMTP parameter as written: `NOTIFY=SUCCESS,FAILURE`, `SMTPUTF8`. Its `Debug` withholds the
/// value, since ORCPT and AUTH carry addresses.
#[derive(Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Parameter(Box<str>);

impl Parameter {
    pub fn new(written: impl Into<Box<str>>) -> Self {
        Self(written.into())
    }

    pub fn as_written(&self) -> &str {
        &self.0
    }

    pub fn keyword(&self) -> &str {
        self.0.split('=').next().unwrap_or_default()
    }

    pub fn value(&self) -> Option<&str> {
        self.0.split_once('=').map(|(_, value)| value)
    }

    pub fn is(&self, keyword: &str) -> bool {
        self.keyword().eq_ignore_ascii_case(keyword)
    }
}

impl fmt::Debug for Parameter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.keyword())
    }
}

impl ReversePath {
    pub fn is_null(&self) -> bool {
        self.address.is_none()
    }

    pub fn parameter(&self, keyword: &str) -> Option<&Parameter> {
        self.parameters.iter().find(|parameter| parameter.is(keyword))
    }

    /// SMTPUTF8 was declared (RFC 6531).
    pub fn smtputf8(&self) -> bool {
        self.parameter("SMTPUTF8").is_some()
    }

    /// BODY=8BITMIME was declared (RFC 6152).
    pub fn eight_bit(&self) -> bool {
        self.parameter("BODY").and_then(Parameter::value).is_some_and(|body| body.eq_ignore_ascii_case("8BITMIME"))
    }

    /// The declared size in bytes (RFC 1870).
    pub fn size(&self) -> Option<u64> {
        self.parameter("SIZE")?.value()?.parse().ok()
    }
}

impl ForwardPath {
    pub fn parameter(&self, keyword: &str) -> Option<&Parameter> {
        self.parameters.iter().find(|parameter| parameter.is(keyword))
    }
}
