//! MAIL and RCPT: the lines, in one write where the hop allows it (RFC 2920), and the answers.

use super::{
    connection::Connection,
    failure::{Failure, Lost, Step},
    offers::Offers,
};
use crate::mail::{
    ForwardPath, Parameter, ReversePath,
    wire::{Reply, ReplyError},
};
use std::io::ErrorKind;
use tokio::time::Instant;

/// Recipients in one write. Their answers must fit the socket's buffers while nobody reads (RFC 2920 3.1).
const GROUP: usize = 100;

/// What our edits may add to a message: SIZE is told with this on top.
const ROOM_FOR_EDITS: u64 = 64 << 10;

/// What the hop said to a group.
#[derive(Debug, Default)]
pub(super) struct Offered {
    /// The answer to MAIL, where it was part of the group.
    pub mail: Option<Reply>,
    /// The answers to the recipients, as far as they came. None when MAIL was refused.
    pub recipients: Vec<Reply>,
    pub end: Option<End>,
}

/// The connection is of no more use.
#[derive(Debug)]
pub(super) enum End {
    Lost(Lost),
    /// 421.
    Closing(Reply),
}

impl From<Lost> for End {
    fn from(lost: Lost) -> Self {
        End::Lost(lost)
    }
}

impl Offered {
    /// The hop had closed the connection before it saw the transaction, or closes it instead of an answer.
    pub fn found_closed(&self) -> bool {
        self.mail.is_none() && matches!(self.end, Some(End::Lost(Lost::Closed(_)) | End::Closing(_)))
    }
}

impl Offered {
    /// The hop was lost before it answered any recipient: as good as not reached.
    pub fn says_nothing(&self) -> Option<Failure> {
        let refused = self.mail.as_ref().is_some_and(|mail| !mail.is_positive());
        match &self.end {
            Some(End::Lost(Lost::Closed(kind))) if self.recipients.is_empty() && !refused => {
                Some(Failure::Unreachable { step: Step::Mail, kind: *kind })
            }
            Some(End::Lost(Lost::Silent)) if self.recipients.is_empty() && !refused => {
                Some(Failure::Unreachable { step: Step::Mail, kind: ErrorKind::TimedOut })
            }
            Some(End::Closing(reply)) if self.recipients.is_empty() && !refused => {
                Some(Failure::Refused { step: Step::Mail, code: reply.code() })
            }
            _ => None,
        }
    }
}

impl Connection {
    /// Offers recipients, with MAIL in front when there is a sender.
    pub async fn offer(&mut self, sender: Option<&ReversePath>, batch: &[ForwardPath], until: Instant) -> Offered {
        let mut offered = Offered::default();
        let offering = self.offer_into(&mut offered, sender, batch, until).await;
        offered.end = offering.err();
        offered
    }

    async fn offer_into(
        &mut self,
        offered: &mut Offered,
        sender: Option<&ReversePath>,
        batch: &[ForwardPath],
        until: Instant,
    ) -> Result<(), End> {
        let offers = self.offers;
        if let Some(sender) = sender {
            if self.owes_reset {
                self.out().extend_from_slice(b"RSET\r\n");
                if !offers.pipelining {
                    self.flush(until).await?;
                    self.reset_done(until).await?;
                }
            }
            write_mail(self.out(), sender, &offers);
            if !offers.pipelining {
                self.flush(until).await?;
                if !self.mail_accepted(offered, until).await? {
                    return Ok(());
                }
            }
        }
        let mut mail_due = sender.is_some() && offers.pipelining;
        for group in batch.chunks(if offers.pipelining { GROUP } else { 1 }) {
            for recipient in group {
                write_rcpt(self.out(), recipient, &offers);
            }
            self.flush(until).await?;
            let mut wanted = true;
            if std::mem::take(&mut mail_due) {
                if self.owes_reset {
                    self.reset_done(until).await?;
                }
                wanted = self.mail_accepted(offered, until).await?;
            }
            for _ in group {
                let reply = self.sensible_reply(until).await?;
                // After a refused MAIL each RCPT is refused for that alone.
                if wanted {
                    offered.recipients.push(reply);
                }
            }
            if !wanted {
                return Ok(());
            }
        }
        Ok(())
    }

    async fn reset_done(&mut self, until: Instant) -> Result<(), End> {
        let reply = self.sensible_reply(until).await?;
        if !reply.is_positive() {
            return Err(End::Lost(Lost::Closed(ErrorKind::ConnectionAborted)));
        }
        self.owes_reset = false;
        Ok(())
    }

    async fn mail_accepted(&mut self, offered: &mut Offered, until: Instant) -> Result<bool, End> {
        let reply = self.sensible_reply(until).await?;
        let accepted = reply.is_positive();
        offered.mail = Some(reply);
        Ok(accepted)
    }

    /// A reply that MAIL, RCPT or RSET can have.
    async fn sensible_reply(&mut self, until: Instant) -> Result<Reply, End> {
        let reply = self.reply(until).await?;
        match reply.code() {
            421 => Err(End::Closing(reply)),
            300..=399 => Err(End::Lost(Lost::Garbled(ReplyError::Syntax))),
            _ => Ok(reply),
        }
    }
}

/// Why the hop cannot be offered this, before anything is sent: nothing is ever recoded (RFC 6152 3, RFC 6531 3.6).
pub(super) fn unsuitable(sender: &ReversePath, batch: &[ForwardPath], offers: &Offers) -> Option<Reply> {
    let parameters = || sender.parameters.iter().chain(batch.iter().flat_map(|recipient| &recipient.parameters));
    if parameters().any(|parameter| parameter.as_written().chars().any(|c| c.is_control() || c == ' ')) {
        return Some(Reply::new(501, (5, 5, 4), "A parameter has characters that no parameter may have"));
    }
    let body = sender.parameter("BODY").and_then(Parameter::value).unwrap_or("7BIT");
    let binary = body.eq_ignore_ascii_case("BINARYMIME");
    if binary || (!offers.eight_bit_mime && !body.eq_ignore_ascii_case("7BIT")) {
        let text = "The next mail server does not take 8BITMIME; send the message in 7 bits";
        return Some(Reply::new(550, (5, 6, 3), text));
    }
    if sender.smtputf8() && !offers.smtputf8 {
        let text = "The next mail server does not take SMTPUTF8; use plain addresses and headers";
        return Some(Reply::new(550, (5, 6, 7), text));
    }
    None
}

/// MAIL with its parameters as written, but for SIZE, and without those that the hop does not know. A hop without
/// DSN gets no DSN parameters: its own failure reports go to the sender as ever (RFC 3461 5.2.2), and our door does
/// not offer DSN in front of such a hop.
fn write_mail(out: &mut Vec<u8>, sender: &ReversePath, offers: &Offers) {
    out.extend_from_slice(b"MAIL FROM:<");
    out.extend_from_slice(sender.address.as_ref().map_or("", |address| address.as_str()).as_bytes());
    out.push(b'>');
    for parameter in &sender.parameters {
        if parameter.is("SIZE") {
            if let (Some(_), Some(declared)) = (offers.size, sender.size()) {
                out.extend_from_slice(format!(" SIZE={}", declared.saturating_add(ROOM_FOR_EDITS)).as_bytes());
            }
            continue;
        }
        let known = match parameter.keyword().to_ascii_uppercase().as_str() {
            "BODY" => offers.eight_bit_mime,
            "RET" | "ENVID" => offers.dsn,
            "AUTH" => offers.auth,
            _ => true,
        };
        write_parameter(out, parameter, known);
    }
    out.extend_from_slice(b"\r\n");
}

fn write_rcpt(out: &mut Vec<u8>, recipient: &ForwardPath, offers: &Offers) {
    out.extend_from_slice(b"RCPT TO:<");
    out.extend_from_slice(recipient.address.as_str().as_bytes());
    out.push(b'>');
    for parameter in &recipient.parameters {
        let known = offers.dsn || !(parameter.is("NOTIFY") || parameter.is("ORCPT"));
        write_parameter(out, parameter, known);
    }
    out.extend_from_slice(b"\r\n");
}

fn write_parameter(out: &mut Vec<u8>, parameter: &Parameter, known: bool) {
    if known {
        out.push(b' ');
        out.extend_from_slice(parameter.as_written().as_bytes());
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod tests {
    use super::*;
    use crate::mail::Address;

    fn sender(parameters: &[&str]) -> ReversePath {
        let parameters = parameters.iter().map(|written| Parameter::new(*written)).collect();
        ReversePath { address: Some(Address::parse("ann@ours.example").unwrap()), parameters }
    }

    const ALL: Offers = Offers {
        pipelining: true,
        eight_bit_mime: true,
        smtputf8: true,
        dsn: true,
        auth: true,
        plain: true,
        login: true,
        start_tls: false,
        size: Some(0),
    };

    #[test]
    fn parameters_go_as_written_to_a_hop_that_knows_them() {
        let as_written = ["size=1000", "Body=8BITMIME", "SMTPUTF8", "RET=HDRS", "ENVID=x+2By", "AUTH=<>", "X-A=1"];
        let mail = |offers: &Offers| {
            let mut out = Vec::new();
            write_mail(&mut out, &sender(&as_written), offers);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(
            mail(&ALL),
            "MAIL FROM:<ann@ours.example> SIZE=66536 Body=8BITMIME SMTPUTF8 RET=HDRS ENVID=x+2By AUTH=<> X-A=1\r\n"
        );
        assert_eq!(mail(&Offers::default()), "MAIL FROM:<ann@ours.example> SMTPUTF8 X-A=1\r\n");
        let mut out = Vec::new();
        write_mail(&mut out, &ReversePath::default(), &ALL);
        assert_eq!(out, b"MAIL FROM:<>\r\n");

        let parameters = vec![Parameter::new("NOTIFY=NEVER"), Parameter::new("ORCPT=rfc822;b@c.example")];
        let recipient = ForwardPath { address: Address::parse("b@c.example").unwrap(), parameters };
        for (offers, line) in [
            (ALL, &b"RCPT TO:<b@c.example> NOTIFY=NEVER ORCPT=rfc822;b@c.example\r\n"[..]),
            (Offers::default(), b"RCPT TO:<b@c.example>\r\n"),
        ] {
            let mut out = Vec::new();
            write_rcpt(&mut out, &recipient, &offers);
            assert_eq!(out, line);
        }
    }

    #[test]
    fn what_a_hop_cannot_take_is_refused_before() {
        let none = Offers::default();
        for (parameters, offers, refusal) in [
            (&["BODY=8BITMIME"][..], none, Some((550, (5, 6, 3)))),
            (&["BODY=7BIT"], none, None),
            (&["BODY=BINARYMIME"], ALL, Some((550, (5, 6, 3)))),
            (&["SMTPUTF8"], none, Some((550, (5, 6, 7)))),
            (&["BODY=8BITMIME", "SMTPUTF8"], ALL, None),
            (&["X=1\r\nRCPT TO:<x@y.example>"], ALL, Some((501, (5, 5, 4)))),
        ] {
            let found = unsuitable(&sender(parameters), &[], &offers);
            assert_eq!(found.map(|reply| (reply.code(), reply.enhanced().unwrap())), refusal, "{parameters:?}");
        }
    }
}
