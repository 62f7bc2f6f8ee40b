//! One connection: obeys its commands in groups (RFC 2920).
//!
//! All commands that are here are handled before a reply leaves; recipients that follow each other are offered to the
//! next hop together; the replies of a group go out in one write.

use super::{
    client::{Client, Forwarded},
    connection::{Connection, Heard},
    hand_in::{Answered, Complete, hand_in, passed_on, try_later},
    identity::{XCLIENT, XFORWARD},
    listen::{Active, Door, stopped},
    offer::Offer,
    receive::{Received, first_room, receive},
    settings::{Auth, Limits, Peer, Senders},
    stage::{Stage, out_of_turn},
};
use crate::{
    intake::{Corridor, NextHop, Reservation, RetryKey, Transaction, passage::caught, unfit::Unfit},
    mail::{
        Door as Which, Envelope, ForwardPath, Origin, ReversePath, Via,
        wire::{Command, CommandError, Reply, Verb},
    },
};
use std::{pin::pin, sync::Arc, time::Duration};
use tokio::{
    sync::watch,
    time::{Instant, sleep_until, timeout, timeout_at},
};

/// How many times the recipients of one message a client may name without a message: lists have dead addresses.
const OFFERS: usize = 10;

pub(super) struct Session<C: Corridor> {
    pub(super) door: Arc<Door<C>>,
    pub(super) active: Arc<Active>,
    pub(super) connection: Connection,
    pub(super) client: Client,
    stop: watch::Receiver<bool>,
    crowded: watch::Receiver<bool>,
    /// What EHLO offered, or would have.
    offer: Offer,
    /// What the client called itself, and whether by EHLO.
    pub(super) name: Option<(String, bool)>,
    open: Option<Box<Open<C>>>,
    unheard: Option<Unheard<C>>,
    /// MAIL was refused, or its transaction broke: what its client had already sent behind it is no error of the client's (RFC 2920 3.1).
    refused: bool,
    errors: u32,
    idle_commands: u32,
    /// Whose message comes next, by a peer's word.
    pub(super) forwarded: Option<Forwarded>,
    /// RCPT commands since the last message.
    offered: usize,
    messages: u32,
}

/// A transaction.
struct Open<C: Corridor> {
    /// As whose mail it was let in.
    peer: Arc<Peer>,
    began: Instant,
    sender: ReversePath,
    upstream: <C::NextHop as NextHop>::Transaction,
    /// Recipients of the group that is being read, not yet offered to the next hop.
    waiting: Vec<ForwardPath>,
    accepted: Vec<ForwardPath>,
    most: u64,
    reservation: Reservation,
}

/// Why a session ends.
pub(super) enum End {
    /// The client has gone, or does not read what we say.
    Gone,
    /// We hang up, with a last word.
    HangUp {
        reply: Reply,
        reason: &'static str,
    },
    Quit,
}

impl End {
    pub fn hang_up(code: u16, enhanced: (u8, u16, u16), text: &str, reason: &'static str) -> Self {
        Self::HangUp { reply: Reply::new(code, enhanced, text), reason }
    }

    pub fn too_slow() -> Self {
        Self::hang_up(421, (4, 4, 2), "Waited too long", "slow")
    }

    pub fn line_ends() -> Self {
        Self::hang_up(500, (5, 5, 2), "End every line with CR LF, and no other use of them", "line-ends")
    }

    pub fn early() -> Self {
        Self::hang_up(554, (5, 5, 0), "You spoke before it was your turn", "early-talk")
    }
}

/// A final answer that the client may not have heard. The retry record stays open unless it is settled.
struct Unheard<C: Corridor> {
    corridor: Arc<C>,
    key: Option<RetryKey>,
    /// The client had sent more before our answer left: its next command proves nothing, what it sends in answer to
    /// our next 354 does.
    pipelined: bool,
}

impl<C: Corridor> Unheard<C> {
    fn heard(mut self) {
        if let Some(key) = self.key.take() {
            self.corridor.confirmed(key);
        }
    }
}

impl<C: Corridor> Drop for Unheard<C> {
    fn drop(&mut self) {
        if let Some(key) = self.key.take() {
            self.corridor.unconfirmed(key);
        }
    }
}

impl<C: Corridor> Session<C> {
    pub fn new(
        door: Arc<Door<C>>,
        active: Arc<Active>,
        connection: Connection,
        client: Client,
        stop: watch::Receiver<bool>,
    ) -> Self {
        let offer = Offer::new(&active.settings.limits, &door.passage.corridor.next_hop().extensions());
        let crowded = door.crowded();
        Self {
            door,
            active,
            connection,
            client,
            stop,
            crowded,
            offer,
            name: None,
            open: None,
            unheard: None,
            refused: false,
            errors: 0,
            idle_commands: 0,
            forwarded: None,
            offered: 0,
            messages: 0,
        }
    }

    pub async fn run(mut self) {
        let Err(end) = self.converse().await;
        // Whatever was open at the next hop is reset now, not after a client that takes its time to hang up.
        self.open = None;
        let client = self.client.address;
        match end {
            End::Gone => return tracing::debug!(%client, messages = self.messages, "the client went without QUIT"),
            End::HangUp { reply, reason } => {
                tracing::info!(%client, reason, code = reply.code(), messages = self.messages, "hung up on a client");
                self.door.refused(reason);
                self.connection.reply(&reply);
            }
            End::Quit => tracing::debug!(%client, messages = self.messages, "the client is done"),
        }
        // A client that closed its side in order has read all (else its kernel would reset the connection).
        if self.connection.close().await
            && let Some(unheard) = self.unheard.take()
        {
            unheard.heard();
        }
    }

    async fn converse(&mut self) -> Result<std::convert::Infallible, End> {
        if self.connection.has_more() {
            return Err(End::early());
        }
        let greeting = Reply::plain(220, &format!("{} ESMTP", self.active.settings.hostname));
        self.connection.reply(&greeting);
        loop {
            self.connection.flush().await.map_err(|_| End::Gone)?;
            self.connection.shrink();
            let asked = Instant::now();
            // Until a whole line is here: a client that sends it byte by byte gets no more time for it.
            let first = loop {
                self.wait(asked).await?;
                if let Some(heard) = self.connection.next_command() {
                    break heard;
                }
            };
            self.hear(first).await?;
            while let Some(heard) = self.connection.next_command() {
                self.hear(heard).await?;
            }
            self.offer_recipients().await;
        }
    }

    /// Waits for more of the client, whose turn it has been since `asked`.
    pub(super) async fn wait(&mut self, asked: Instant) -> Result<(), End> {
        let active = Arc::clone(&self.active);
        let limits = &active.settings.limits;
        let whole = self.open.as_ref().map(|open| open.began + limits.envelope_wait);
        let mut keeps_hop = self.open.is_some();
        loop {
            let stopping = *self.stop.borrow();
            let hurried = self.is_hurried();
            if stopping && self.open.is_none() {
                return Err(End::hang_up(421, (4, 3, 2), "Closing, try again later", "stopping"));
            }
            let patience = match (stopping, hurried) {
                (true, _) => limits.stopping_wait,
                (false, true) => limits.crowded_wait,
                (false, false) => limits.command_wait,
            };
            let until = (asked + patience).min(whole.unwrap_or(asked + patience));
            tokio::select! {
                biased;
                filled = timeout_at(until, self.connection.fill()) => return match filled {
                    Err(_) => Err(End::too_slow()),
                    Ok(Err(_) | Ok(0)) => Err(End::Gone),
                    Ok(Ok(_)) => Ok(()),
                },
                () = stopped(&mut self.stop), if !stopping => {}
                () = sleep_until(asked + limits.hop_wait), if keeps_hop => {
                    keeps_hop = false;
                    self.open.iter_mut().for_each(|open| open.upstream.rest());
                }
                // The door outlives its sessions, so this comes back with a change.
                _ = self.crowded.changed() => {}
            }
        }
    }

    /// Many wait for what this client keeps.
    fn is_hurried(&mut self) -> bool {
        *self.crowded.borrow_and_update() || self.door.budget.is_scarce()
    }

    async fn hear(&mut self, heard: Heard) -> Result<(), End> {
        if self.unheard.as_ref().is_some_and(|unheard| !unheard.pipelined) {
            self.heard();
        }
        match heard {
            Heard::Command(Command::Rcpt(recipient)) => self.rcpt(recipient).await,
            Heard::Command(command) => {
                self.offer_recipients().await;
                self.obey(command).await
            }
            Heard::Wrong(error @ CommandError::CrossProtocol) => {
                Err(End::HangUp { reply: error.reply(), reason: "cross-protocol" })
            }
            Heard::Wrong(error) => self.fault(error.reply()).await,
            Heard::TooLong => self.fault(Reply::new(500, (5, 5, 6), "Line too long")).await,
            Heard::Malformed => Err(End::line_ends()),
        }
    }

    async fn obey(&mut self, command: Command) -> Result<(), End> {
        if let Some(reply) = out_of_turn(self.stage(), command.verb()) {
            // Behind a MAIL or RCPT that was refused, in the same group, that is no error.
            let excused = self.refused || self.open.is_some();
            return if excused { self.idle(reply) } else { self.fault(reply).await };
        }
        match command {
            Command::Ehlo(name) => self.ehlo(name),
            Command::Helo(name) => self.helo(name),
            Command::Mail(sender) => self.mail(sender).await,
            Command::Rcpt(recipient) => self.rcpt(recipient).await,
            Command::Data => self.data().await,
            Command::Rset => {
                self.open = None;
                self.refused = false;
                self.idle(Reply::new(250, (2, 0, 0), "Reset"))
            }
            Command::Noop => self.idle(Reply::new(250, (2, 0, 0), "OK")),
            // RFC 5321 7.3: who is behind an address is nobody's business.
            Command::Vrfy => self.idle(Reply::new(252, (2, 5, 0), "Send some mail and see")),
            Command::Help => self.idle(Reply::new(214, (2, 0, 0), "See RFC 5321")),
            Command::StartTls => self.start_tls().await,
            // On the heap: logins are rare, and idle sessions must be small.
            Command::XClient(attributes) => self.xclient(attributes).await,
            Command::XForward(attributes) => self.xforward(attributes).await,
            Command::Auth(mechanism, initial) => Box::pin(self.auth(mechanism, initial)).await,
            Command::Quit => {
                self.connection.reply(&Reply::new(221, (2, 0, 0), "Goodbye"));
                Err(End::Quit)
            }
        }
    }

    fn limits(&self) -> &Limits {
        &self.active.settings.limits
    }

    fn stage(&self) -> Stage {
        match (&self.name, &self.open) {
            (None, _) => Stage::Unnamed,
            (_, None) => Stage::Named,
            (_, Some(open)) if open.accepted.is_empty() => Stage::Sender,
            _ => Stage::Recipients,
        }
    }

    fn ehlo(&mut self, name: String) -> Result<(), End> {
        self.greet(name, true)?;
        self.offer = Offer::new(self.limits(), &self.door.passage.corridor.next_hop().extensions());
        let mut also = Vec::new();
        match &self.client.tls {
            None if self.active.tls.is_some() => also.push("STARTTLS"),
            Some(_) if self.active.settings.auth != Auth::None => also.push("AUTH PLAIN LOGIN"),
            _ => {}
        }
        if self.client.may_hand_over(&self.active.settings) {
            also.push(XCLIENT);
        }
        if self.client.may_forward(&self.active.settings) {
            also.push(XFORWARD);
        }
        self.offer.write_to(&self.active.settings.hostname, &also, self.connection.output());
        Ok(())
    }

    fn helo(&mut self, name: String) -> Result<(), End> {
        self.greet(name, false)?;
        self.connection.reply(&Reply::plain(250, &self.active.settings.hostname));
        Ok(())
    }

    /// EHLO resets (RFC 5321 4.1.4), and nothing may follow it in its group: the client does not know yet what it may
    /// send (RFC 2920 3.1).
    fn greet(&mut self, name: String, extended: bool) -> Result<(), End> {
        if !self.connection.waiting().is_empty() {
            return Err(End::early());
        }
        self.begin_anew();
        self.name = Some((name, extended));
        self.count_idle()
    }

    /// As before EHLO.
    pub(super) fn begin_anew(&mut self) {
        self.open = None;
        self.name = None;
        self.refused = false;
        self.forwarded = None;
    }

    async fn mail(&mut self, sender: ReversePath) -> Result<(), End> {
        let Some(peer) = self.client.peer.clone() else {
            return self.refuse_sender(&Reply::new(530, (5, 7, 0), "Authentication required"), "stranger");
        };
        if let Some(shortage) = self.door.passage.corridor.shortage() {
            return self.refuse_sender(&shortage.reply(), shortage.reason());
        }
        let hop = self.door.passage.corridor.next_hop();
        let fresh = Offer::new(self.limits(), &hop.extensions());
        let against = self.offer.against_sender(&sender).or_else(|| fresh.against_declared(&sender));
        if let Some(reply) = against.or_else(|| self.against_foreign(&peer, &sender)) {
            return self.refuse_sender(&reply, "sender");
        }
        if !self.door.paces.allow(&self.client, self.limits()) {
            let reply = Reply::new(451, (4, 7, 1), "Too many messages, try again later");
            return self.refuse_sender(&reply, "pace");
        }
        let Some(reservation) = self.door.budget.reserve(first_room(sender.size())) else {
            return self.refuse_sender(&Unfit::NoMemory.reply(), "memory");
        };
        self.refused = false;
        let upstream = hop.begin(sender.clone(), self.client.identity.clone());
        let most = self.offer.size.min(fresh.size);
        let (waiting, accepted) = (Vec::new(), Vec::new());
        let began = Instant::now();
        self.open = Some(Box::new(Open { peer, began, sender, upstream, waiting, accepted, most, reservation }));
        self.connection.reply(&Reply::new(250, (2, 1, 0), "Sender OK"));
        Ok(())
    }

    fn against_foreign(&self, peer: &Peer, sender: &ReversePath) -> Option<Reply> {
        let address = sender.address.as_ref()?;
        let own = self.active.settings.own_domains.iter().any(|domain| address.is_within(domain));
        (peer.senders == Senders::OwnDomains && !own)
            .then(|| Reply::new(550, (5, 7, 1), "This sender may not send through here"))
    }

    /// Puts a recipient into the group, or refuses it in its turn.
    async fn rcpt(&mut self, recipient: ForwardPath) -> Result<(), End> {
        let most = self.limits().recipients;
        self.offered += 1;
        if self.offered > OFFERS * most {
            return Err(End::hang_up(421, (4, 7, 0), "Too many recipients without a message", "recipients"));
        }
        let Some(open) = &mut self.open else {
            let reply = out_of_turn(self.stage(), Verb::Rcpt).unwrap_or_else(try_later);
            if !self.refused {
                return self.fault(reply).await;
            }
            self.connection.reply(&reply);
            return Ok(());
        };
        let against = match open.accepted.len() + open.waiting.len() {
            recipients if recipients >= most => Some(Reply::new(452, (4, 5, 3), "Too many recipients")),
            _ => self.offer.against_recipient(&recipient, &open.sender),
        };
        let Some(reply) = against else {
            open.waiting.push(recipient);
            return Ok(());
        };
        self.offer_recipients().await;
        self.refuse(&reply, "recipient");
        Ok(())
    }

    /// Offers the group's recipients to the next hop, and passes its answers on.
    async fn offer_recipients(&mut self) {
        let Some(open) = self.open.as_mut().filter(|open| !open.waiting.is_empty()) else { return };
        let batch = std::mem::take(&mut open.waiting);
        let first = open.accepted.is_empty();
        let Ok(answers) = caught(open.upstream.recipients(&batch)).await else {
            tracing::error!("a fault of ours at the next hop; the client will try again");
            self.door.refused("fault");
            batch.iter().for_each(|_| self.connection.reply(&try_later()));
            // Its answers are not to be trusted any more, those given before included.
            self.open = None;
            self.refused = true;
            return;
        };
        // What the hop offers was perhaps learned only now.
        let hop = self.door.passage.corridor.next_hop();
        let lacking = (first && !open.upstream.is_blind())
            .then(|| Offer::new(&self.active.settings.limits, &hop.extensions()).against_declared(&open.sender))
            .flatten();
        let mut answers = answers.into_iter();
        for recipient in batch {
            let answer = answers.next().map_or_else(try_later, passed_on);
            let answer = lacking.clone().unwrap_or(answer);
            self.connection.reply(&answer);
            if answer.is_positive() {
                open.accepted.push(recipient);
            }
        }
    }

    async fn data(&mut self) -> Result<(), End> {
        // What stands behind DATA was sent without our consent: message or command, we cannot know (RFC 2920 3.1).
        if self.connection.has_more() {
            return Err(End::early());
        }
        let Some(open) = self.open.take() else { return Ok(()) };
        self.connection.reply(&Reply::plain(354, "End data with <CR><LF>.<CR><LF>"));
        self.connection.flush().await.map_err(|_| End::Gone)?;
        let Open { peer, sender, mut upstream, accepted, most, reservation, .. } = *open;
        let hop_wait = self.limits().hop_wait;
        let receiving = async {
            self.await_content().await?;
            let hurried = self.is_hurried();
            let limits = &self.active.settings.limits;
            receive(&mut self.connection, &peer, limits, most, hurried, reservation).await
        };
        let (received, reservation) = unhurried(hop_wait, &mut upstream, receiving).await?;
        let Answered { reply, key } = match received {
            Received::Unfit { reply, reason } => {
                // Given back before the answer is.
                drop((upstream, reservation));
                tracing::info!(client = %self.client.address, reason, code = reply.code(), "refused a message");
                self.door.refused(reason);
                Answered { reply, key: None }
            }
            Received::Whole { content, normalised } => {
                if normalised {
                    tracing::info!(client = %self.client.address, "made the line ends of a message CR LF");
                    metrics::counter!("outgate_smtp_normalised_total").increment(1);
                }
                let envelope = Envelope { sender, recipients: accepted };
                let node_id = self.forwarded.as_ref().and_then(|forwarded| forwarded.ident.clone());
                let complete = Complete { origin: self.origin(), envelope, upstream, content, reservation, node_id };
                let door = Arc::clone(&self.door);
                // On the heap: its state is large, and idle sessions must be small.
                Box::pin(async move { hand_in(&door, &peer, complete).await }).await
            }
        };
        self.answer(reply, key).await
    }

    /// The first bytes of the message are there: the client has read our 354, and with it all that we said before.
    async fn await_content(&mut self) -> Result<(), End> {
        if self.unheard.is_none() {
            return Ok(());
        }
        let waited = timeout(self.limits().data_wait, self.connection.fill()).await;
        match waited {
            Err(_) => Err(End::too_slow()),
            Ok(Err(_) | Ok(0)) => Err(End::Gone),
            Ok(Ok(_)) => {
                self.heard();
                Ok(())
            }
        }
    }

    /// The reply to the final dot leaves at once, not with the group that may follow.
    async fn answer(&mut self, reply: Reply, key: Option<RetryKey>) -> Result<(), End> {
        let pipelined = self.connection.has_more();
        self.unheard = Some(Unheard { corridor: Arc::clone(&self.door.passage.corridor), key, pipelined });
        // It was said of that message alone.
        self.forwarded = None;
        self.messages += 1;
        self.idle_commands = 0;
        self.offered = 0;
        self.connection.reply(&reply);
        self.connection.flush().await.map_err(|_| End::Gone)
    }

    fn heard(&mut self) {
        if let Some(unheard) = self.unheard.take() {
            unheard.heard();
        }
    }

    fn origin(&self) -> Origin {
        let (helo, esmtp) = self.name.clone().unwrap_or_default();
        let Client { address, tls, user, .. } = &self.client;
        let (tls, user) = (tls.as_ref().map(|tls| tls.label.clone()), user.clone());
        let origin = Origin { address: *address, helo, esmtp, tls, user, door: Which::Smtp, via: None };
        let Some(Forwarded { address, helo, .. }) = &self.forwarded else { return origin };
        let via = Some(Via { address: origin.address, helo: origin.helo.clone() });
        let helo = helo.clone().unwrap_or_else(|| "unknown".into());
        Origin { address: address.unwrap_or(origin.address), helo, via, ..origin }
    }

    /// Refuses what is well-formed.
    fn refuse(&mut self, reply: &Reply, reason: &'static str) {
        self.door.refused(reason);
        self.connection.reply(reply);
    }

    fn refuse_sender(&mut self, reply: &Reply, reason: &'static str) -> Result<(), End> {
        self.refuse(reply, reason);
        self.refused = true;
        self.count_idle()
    }

    /// Answers a faulty command. Too many, and whoever it is does not speak SMTP.
    pub(super) async fn fault(&mut self, reply: Reply) -> Result<(), End> {
        self.offer_recipients().await;
        self.connection.reply(&reply);
        self.errors += 1;
        if self.errors >= self.limits().errors {
            return Err(End::hang_up(421, (4, 7, 0), "Too many errors", "errors"));
        }
        Ok(())
    }

    /// Answers a command that leads to nothing.
    pub(super) fn idle(&mut self, reply: Reply) -> Result<(), End> {
        self.connection.reply(&reply);
        self.count_idle()
    }

    pub(super) fn count_idle(&mut self) -> Result<(), End> {
        self.idle_commands += 1;
        if self.idle_commands > self.limits().idle_commands {
            return Err(End::hang_up(421, (4, 7, 0), "Too many commands without a message", "idle-commands"));
        }
        Ok(())
    }
}

/// Waits for the client; when that takes long, no connection to the next hop waits with us.
async fn unhurried<F: Future>(hop_wait: Duration, upstream: &mut impl Transaction, waiting: F) -> F::Output {
    let mut waiting = pin!(waiting);
    match timeout(hop_wait, &mut waiting).await {
        Ok(done) => done,
        Err(_) => {
            upstream.rest();
            waiting.await
        }
    }
}
