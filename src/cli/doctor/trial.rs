//! Test messages: one that leaves, one between colleagues, one that comes in. Each bears a mark that only this
//! installation can make, and outgate keeps it from going on. Should one not come to outgate, it is addressed to nobody: a domain that
//! cannot exist (RFC 2606), or outgate's own address, without a delivery report (NOTIFY=NEVER, RFC 3461).

use super::{Failure, Finding, machine, postfix, seen};
use crate::{
    audit::What,
    cli::arguments::Doctor,
    config::Loaded,
    delivery::relay::{Outgoing, Relay, RelaySettings, TlsMode},
    gateway::notices,
    intake::Seals,
    keys::Keys,
    mail::{Address, Envelope, ForwardPath, Parameter, ReversePath, SubmissionId, wire::Reply},
    store::Store,
};
use std::{fmt, time::Duration};
use time::{OffsetDateTime, format_description::well_known::Rfc2822};
use tokio::time::{Instant, sleep};

/// Nobody can have it.
const NOWHERE: &str = "outgate-test.invalid";

/// How long a mark is good.
const GOOD_FOR: Duration = Duration::from_secs(15 * 60);

/// How long our own door may take.
const PATIENCE: Duration = Duration::from_secs(60);

const TEXT: &str = "This is a test message of `outgate doctor`. It bears a mark by which outgate knows it and keeps it\r\nfrom being \
                    sent on. If you read it, it did not pass outgate: tell your mail server's administrator.\r\n";

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Outgoing,
    Internal,
    Incoming,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Outgoing => "outgoing",
            Kind::Internal => "internal",
            Kind::Incoming => "incoming",
        })
    }
}

pub(super) struct Trials<'d> {
    loaded: &'d Loaded,
    store: &'d Store,
    seals: Seals,
    options: &'d Doctor,
    /// Outgate's own address.
    own: Address,
    nowhere: Address,
}

/// What the book says of a test message.
struct Tried {
    incoming: bool,
    outcome: String,
    edits: Vec<String>,
}

impl<'d> Trials<'d> {
    pub fn new(loaded: &'d Loaded, store: &'d Store, keys: &Keys, options: &'d Doctor) -> Result<Self, Failure> {
        let own = notices(&loaded.settings, loaded.own_domains()).map_err(Failure::said)?.from;
        let nowhere = Address::parse(&format!("doctor@{NOWHERE}")).map_err(|error| Failure::said(error.to_string()))?;
        Ok(Self { loaded, store, seals: Seals::new(keys), options, own, nowhere })
    }

    /// All three at our own SMTP door, as a mail server hands them in.
    pub async fn at_the_door(&self) -> Vec<Finding> {
        const CHECK: &str = "SMTP door";
        let Some(listen) = self.loaded.settings.smtp.as_ref().and_then(|door| door.listen.first()) else {
            return vec![Finding::skipped(
                CHECK,
                "there is none without TLS from the first byte: nothing was sent to it",
            )];
        };
        let door = machine::here(*listen);
        let peers = self.loaded.settings.smtp.iter().flat_map(|door| &door.peers).flat_map(|peer| &peer.networks);
        if !peers.into_iter().any(|network| network.contains(door.ip())) {
            return vec![Finding::skipped(CHECK, "this machine is in no [[smtp.peer]]: nothing was sent to it")];
        }
        let mut findings = Vec::new();
        for kind in [Kind::Outgoing, Kind::Internal, Kind::Incoming] {
            findings.push(self.try_one(CHECK, &door.to_string(), kind, PATIENCE).await);
        }
        findings
    }

    /// By the way of your people's mail. With whether internal mail was seen to pass.
    pub async fn through_the_server(&self, path: Option<&postfix::Path>) -> (Vec<Finding>, bool) {
        const CHECK: &str = "mail path";
        let unknown = postfix::Path::of_named_server();
        let by_login;
        let (server, path) = match (&self.options.via, path) {
            (Some(via), Some(path)) if postfix::is_here(via) => {
                by_login = path.by_login();
                (via.clone(), &by_login)
            }
            (Some(via), _) => (via.clone(), &unknown),
            (None, Some(postfix::Path { server: Some(server), .. })) => (server.clone(), path.unwrap_or(&unknown)),
            (None, _) => {
                let text = "not tried: no server is known that hands everybody's mail to outgate; name yours with --via HOST:PORT";
                return (vec![Finding::skipped(CHECK, text)], false);
            }
        };
        let wait = Duration::from_secs(self.options.wait);
        let mut findings = Vec::new();
        let mut internal = false;
        for (kind, passes) in
            [(Kind::Outgoing, path.outgoing), (Kind::Internal, path.internal), (Kind::Incoming, path.incoming)]
        {
            findings.push(match (kind, passes) {
                (_, true) => {
                    let finding = self.try_one(CHECK, &server, kind, wait).await;
                    internal |= kind == Kind::Internal && finding.state == super::State::Good;
                    finding
                }
                (Kind::Outgoing, false) => Finding::bad(
                    CHECK,
                    format!("{server} does not hand over what leaves"),
                    "see the how-to of your mail server in /usr/share/doc/outgate/how-to",
                ),
                (Kind::Internal, false) => Finding::skipped(
                    CHECK,
                    "mail between colleagues does not pass outgate by the server's settings: not sent, clauses about it are idle",
                ),
                (Kind::Incoming, false) => {
                    Finding::good(CHECK, "incoming mail does not pass outgate by the server's settings: nothing changes it")
                }
            });
        }
        (findings, internal)
    }

    async fn try_one(&self, check: &'static str, server: &str, kind: Kind, wait: Duration) -> Finding {
        let trial = SubmissionId::fresh();
        let Ok(before) = self.store.newest_link().await else {
            return Finding::skipped(check, "the store does not answer");
        };
        let reply = match self.hand_in(server, kind, trial).await {
            Ok(reply) => reply,
            Err(why) => return Finding::bad(check, format!("{server} cannot be reached: {why}"), "does it run?"),
        };
        if !reply.is_positive() {
            let said = format!("{} {}", reply.code(), reply.lines().join(" "));
            let text = format!("the {kind} test message was refused at {server}: {said}");
            let advice = "what refuses it stands before outgate, or is the next hop; nothing was sent";
            return Finding::warning(check, text, advice);
        }
        match self.outcome(trial, before, wait).await {
            Some(tried) => judged(check, server, kind, &tried),
            None => Finding::bad(
                check,
                format!(
                    "{server} took the {kind} test message, and it did not come to outgate within {} s",
                    wait.as_secs()
                ),
                "it may wait in the server's queue (postqueue -p); or this mail does not pass outgate",
            ),
        }
    }

    async fn hand_in(&self, server: &str, kind: Kind, trial: SubmissionId) -> Result<Reply, String> {
        let (from, to) = match kind {
            Kind::Outgoing => (&self.own, &self.nowhere),
            Kind::Internal => (&self.own, &self.own),
            Kind::Incoming => (&self.nowhere, &self.own),
        };
        let never = vec![Parameter::new("NOTIFY=NEVER")];
        let envelope = Envelope {
            sender: ReversePath { address: Some(from.clone()), parameters: Vec::new() },
            recipients: vec![ForwardPath { address: to.clone(), parameters: never }],
        };
        let now = OffsetDateTime::now_utc();
        let mark = self.seals.trial_header(trial, now + GOOD_FOR, TEXT.as_bytes());
        let date = now.format(&Rfc2822).map_err(|error| error.to_string())?;
        let message = format!(
            "Date: {date}\r\nFrom: {from}\r\nTo: {to}\r\nSubject: outgate doctor: {kind} test\r\nMessage-ID: <{trial}@{NOWHERE}>\r\n\
             MIME-Version: 1.0\r\nContent-Type: text/plain; charset=us-ascii\r\n{mark}\r\n{TEXT}",
            from = from.as_str(),
            to = to.as_str(),
        );
        let hostname = self.loaded.settings.hostname.clone();
        let client = Relay::new(RelaySettings::new(server, TlsMode::Opportunistic, hostname));
        let client = client.map_err(|error| error.to_string())?;
        let outgoing = Outgoing::bytes(Vec::new().into(), message.into_bytes());
        let outcomes = client.deliver(&envelope, outgoing, Instant::now() + PATIENCE).await;
        client.close().await;
        let outcome = outcomes.map_err(|_| "no session can be opened".to_string())?.into_iter().next();
        outcome.map(|outcome| outcome.reply).ok_or_else(|| "no reply".into())
    }

    /// What the book says of it, as soon as it does.
    async fn outcome(&self, trial: SubmissionId, mut after: u64, wait: Duration) -> Option<Tried> {
        let until = Instant::now() + wait;
        loop {
            let links = self.store.links(after).await.unwrap_or_default();
            after = links.last().map_or(after, |link| link.number);
            for event in links.iter().flat_map(|link| seen::events(&link.events)) {
                match event.what {
                    What::Tried { trial: id, incoming, outcome, edits, .. } if id == trial => {
                        return Some(Tried { incoming, outcome, edits });
                    }
                    _ => {}
                }
            }
            if Instant::now() > until {
                return None;
            }
            sleep(Duration::from_millis(100)).await;
        }
    }
}

fn judged(check: &'static str, server: &str, kind: Kind, tried: &Tried) -> Finding {
    let changes = if tried.edits.is_empty() { "unchanged".into() } else { format!("with {}", tried.edits.join(", ")) };
    match (kind, tried.incoming) {
        (Kind::Incoming, true) if tried.edits.is_empty() => {
            Finding::good(check, format!("{server}: an incoming message passes untouched"))
        }
        (Kind::Incoming, _) => Finding::bad(
            check,
            format!("{server}: an incoming message was judged ({}, {changes})", tried.outcome),
            "the server hands incoming mail over as one of yours: look at the login or peer that it comes by",
        ),
        (_, true) => Finding::bad(
            check,
            format!("{server}: an {kind} message was taken for incoming, and passes without being judged"),
            "write the domain of [notices] from in own-domains",
        ),
        (_, false) => Finding::good(
            check,
            format!("{server}: an {kind} message is judged; it would be: {}, {changes}", tried.outcome),
        ),
    }
}
