//! The four servers as next hops: each hands on what it takes to the sink.

use super::{exim::Exim, opensmtpd::OpenSmtpd, postfix::Postfix, sendmail::Sendmail};
use std::any::Any;

#[derive(Clone, Copy, Debug)]
pub enum Kind {
    Postfix,
    Exim,
    OpenSmtpd,
    Sendmail,
}

impl Kind {
    pub const ALL: [Self; 4] = [Self::Postfix, Self::Exim, Self::OpenSmtpd, Self::Sendmail];
}

/// A running next hop; it ends when this is dropped.
pub struct Hop {
    pub port: u16,
    _running: Box<dyn Any>,
}

impl Hop {
    pub fn start(kind: Kind, onwards: u16) -> Self {
        match kind {
            Kind::Postfix => Self::postfix(Postfix::relaying_to(onwards)),
            Kind::Exim => {
                let exim = Exim::relaying_to(onwards);
                Self { port: exim.port, _running: Box::new(exim) }
            }
            Kind::OpenSmtpd => {
                let smtpd = OpenSmtpd::relaying_to(onwards);
                Self { port: smtpd.port, _running: Box::new(smtpd) }
            }
            Kind::Sendmail => {
                let sendmail = Sendmail::relaying_to(onwards);
                Self { port: sendmail.port, _running: Box::new(sendmail) }
            }
        }
    }

    pub fn postfix(postfix: Postfix) -> Self {
        Self { port: postfix.port, _running: Box::new(postfix) }
    }
}
