//! One connection of a mail server: its commands in, our replies out.
//!
//! A server uses a connection for one of its clients (Sendmail for several, one behind the other), and hands in as many
//! messages as that client sends.

use super::{
    changes,
    listen::Door,
    transaction::{Told, Transaction, recipient, sender},
};
use crate::{
    intake::{
        Answer, Corridor, Onward, Reservation, RetryKey, Submission,
        passage::{Arrived, Stopped},
        unfit::Unfit,
    },
    mail::{
        Certainty, Door as Which, Origin, SubmissionId, User,
        edit::{Applied, Changes},
        wire::{
            self,
            milter::{
                Agreed, BODY_CHUNK, Command, CommandError, Family, Macros, Packet, PacketError, Reply, Stage, Wanted,
                action, step,
            },
        },
    },
    sensitive::Sensitive,
};
use std::{
    collections::HashMap,
    io,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    sync::watch,
    time::{Instant, MissedTickBehavior, interval_at, timeout},
};

/// What we would like of a server. No reply is wanted where we have nothing to say.
const WANTED: Wanted<'static> = Wanted {
    actions: action::ADD_HEADERS | action::CHANGE_HEADERS | action::CHANGE_BODY | action::SET_MACROS,
    steps: step::NO_UNKNOWN
        | step::NO_DATA
        | step::NO_REPLY_CONNECT
        | step::NO_REPLY_HELO
        | step::NO_REPLY_HEADERS
        | step::NO_REPLY_END_OF_HEADER
        | step::NO_REPLY_BODY
        | step::LEADING_SPACE,
    macros: &[
        (Stage::Connect, "j {client_addr} {daemon_name}"),
        (Stage::Helo, "{tls_version} {cipher}"),
        (Stage::Mail, "i r {auth_authen} {auth_type} {client_addr} {tls_version} {cipher}"),
        (Stage::EndOfHeader, "i"),
        (Stage::EndOfBody, "i"),
    ],
};

/// Macros that we read; others are not kept.
const KEPT: [&str; 6] = ["i", "r", "auth_authen", "client_addr", "tls_version", "cipher"];
const LONGEST_MACRO: usize = 1_024;

/// Replies with a new body leave in stretches of this size, so that a large body is not in memory twice.
const STRETCH: usize = 1 << 20;
/// A connection that waits keeps no more room than this.
const IDLE_ROOM: usize = 16 << 10;

pub(super) struct Session<C: Corridor, S> {
    door: Arc<Door<C>>,
    stream: S,
    stop: watch::Receiver<bool>,
    input: Vec<u8>,
    output: Vec<u8>,
    agreed: Option<Agreed>,
    client: Client,
    /// Macros of the message in hand.
    macros: HashMap<&'static str, String>,
    /// They were told for the message that begins next.
    introduced: bool,
    open: Option<Box<Transaction>>,
    /// The last answer, while the server's client may not have heard it.
    unheard: Option<RetryKey>,
}

/// Whom the server is talking to.
#[derive(Default)]
struct Client {
    address: Option<IpAddr>,
    helo: String,
    macros: HashMap<&'static str, String>,
}

/// Why a session ends.
#[derive(Debug, thiserror::Error)]
enum End {
    #[error("the server is done")]
    Quit,
    #[error("the server went away")]
    Gone,
    #[error("we are stopping")]
    Stopping,
    #[error("the server said nothing for too long, or did not read our answer")]
    TooSlow,
    #[error("{0}")]
    Packet(#[from] PacketError),
    #[error("{0}")]
    Command(#[from] CommandError),
    #[error("a protocol version that we do not speak")]
    Version,
    #[error("a command before the negotiation")]
    OutOfTurn,
}

/// Comes back when `stop` is true; never, when nobody can set it any more.
pub(super) async fn stopped(stop: &mut watch::Receiver<bool>) {
    if stop.wait_for(|stop| *stop).await.is_err() {
        std::future::pending::<()>().await;
    }
}

impl<C, S> Session<C, S>
where
    C: Corridor,
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    pub fn new(door: Arc<Door<C>>, stream: S, stop: watch::Receiver<bool>) -> Self {
        Self {
            door,
            stream,
            stop,
            input: Vec::new(),
            output: Vec::new(),
            agreed: None,
            client: Client::default(),
            macros: HashMap::new(),
            introduced: false,
            open: None,
            unheard: None,
        }
    }

    pub async fn run(mut self) {
        let end = match self.converse().await {
            Ok(never) => match never {},
            Err(end) => end,
        };
        match end {
            End::Quit | End::Gone | End::Stopping => tracing::debug!(%end, "a mail server's connection ended"),
            End::TooSlow => tracing::info!(%end, "ended a mail server's connection"),
            End::Packet(_) | End::Command(_) | End::Version | End::OutOfTurn => {
                tracing::warn!(%end, "ended a connection that does not speak the milter protocol as we do");
                self.door.refused("protocol");
            }
        }
        self.lose_sight();
        let _ = self.stream.shutdown().await;
    }

    async fn converse(&mut self) -> Result<std::convert::Infallible, End> {
        loop {
            self.wait().await?;
            let input = std::mem::take(&mut self.input);
            let mut at = 0;
            while let Some(packet) = Packet::first(&input[at..])? {
                at += packet.consumed;
                let heard = self.hear(Command::read(&packet)?).await;
                self.flush().await?;
                heard?;
            }
            self.input = input;
            self.input.drain(..at);
            if self.input.is_empty() {
                self.input.shrink_to(IDLE_ROOM);
            }
        }
    }

    /// Waits for more of the server.
    async fn wait(&mut self) -> Result<(), End> {
        let patience = self.door.settings.limits.command_wait;
        loop {
            let stopping = *self.stop.borrow();
            if stopping && self.open.is_none() {
                return Err(End::Stopping);
            }
            tokio::select! {
                biased;
                read = timeout(patience, self.stream.read_buf(&mut self.input)) => return match read {
                    Err(_) => Err(End::TooSlow),
                    Ok(Err(_) | Ok(0)) => Err(End::Gone),
                    Ok(Ok(_)) => Ok(()),
                },
                () = stopped(&mut self.stop), if !stopping => {}
            }
        }
    }

    async fn flush(&mut self) -> Result<(), End> {
        if self.output.is_empty() {
            return Ok(());
        }
        let wait = self.door.settings.limits.write_wait;
        let written = timeout(wait, self.stream.write_all(&self.output)).await;
        self.output.clear();
        self.output.shrink_to(IDLE_ROOM);
        match written {
            Err(_) => Err(End::TooSlow),
            Ok(written) => written.map_err(|_: io::Error| End::Gone),
        }
    }

    async fn hear(&mut self, command: Command<'_>) -> Result<(), End> {
        let Some(agreed) = self.agreed else {
            return match command {
                Command::Negotiate(offer) => {
                    let agreed = offer.agree(&WANTED).ok_or(End::Version)?;
                    agreed.write_to(&WANTED, &mut self.output);
                    self.agreed = Some(agreed);
                    Ok(())
                }
                Command::Quit => Err(End::Quit),
                _ => Err(End::OutOfTurn),
            };
        };
        match command {
            Command::Negotiate(_) => return Err(End::OutOfTurn),
            Command::Macros { stage, macros } => self.note(stage, macros),
            Command::Connect { family, address, .. } => {
                self.forget_client();
                self.client.address = address_of(family, address);
                self.go_on(step::NO_REPLY_CONNECT);
            }
            Command::Helo(name) => {
                self.client.helo = String::from_utf8_lossy(name).into_owned();
                self.go_on(step::NO_REPLY_HELO);
            }
            Command::Mail { path, parameters } => self.mail(path, &parameters),
            Command::Rcpt { path, parameters } => self.rcpt(path, &parameters),
            Command::Data => self.say(Reply::Continue),
            Command::Header { name, value } => {
                if let Some(open) = &mut self.open {
                    open.header(agreed, name, value);
                }
                self.go_on(step::NO_REPLY_HEADERS);
            }
            Command::EndOfHeader => {
                if let Some(open) = &mut self.open {
                    open.end_of_header();
                }
                self.go_on(step::NO_REPLY_END_OF_HEADER);
            }
            Command::Body(chunk) => {
                if let Some(open) = &mut self.open {
                    open.body(chunk);
                }
                self.go_on(step::NO_REPLY_BODY);
            }
            Command::EndOfBody(chunk) => self.end_of_body(agreed, chunk).await?,
            Command::Abort => self.open = None,
            Command::Quit => return Err(End::Quit),
            Command::QuitNewConnection => self.forget_client(),
            Command::Unknown(_) => self.go_on(step::NO_REPLY_UNKNOWN),
        }
        Ok(())
    }

    fn say(&mut self, reply: Reply<'_>) {
        reply.write_to(&mut self.output);
    }

    /// Nothing against it, unless the server does not wait for that.
    fn go_on(&mut self, without_reply: u32) {
        if !self.agreed.unwrap_or_default().has_step(without_reply) {
            self.say(Reply::Continue);
        }
    }

    /// The server says goodbye alike whether its client has heard our answer or has gone before.
    fn lose_sight(&mut self) {
        if let Some(key) = self.unheard.take() {
            self.door.passage.corridor.unconfirmed(key);
        }
    }

    fn forget_client(&mut self) {
        // Another client's next message says nothing of what this one has heard.
        self.lose_sight();
        self.open = None;
        self.client = Client::default();
        self.macros.clear();
    }

    fn note(&mut self, stage: u8, macros: Macros<'_>) {
        // Those of a new message replace those of the last one.
        if stage == b'M' {
            self.macros.clear();
            self.introduced = true;
        }
        let kept = if matches!(stage, b'C' | b'H') { &mut self.client.macros } else { &mut self.macros };
        for (name, value) in macros.pairs() {
            let known = KEPT.iter().find(|kept| kept.as_bytes() == name);
            if let (Some(name), true) = (known, value.len() <= LONGEST_MACRO) {
                kept.insert(name, String::from_utf8_lossy(value).into_owned());
            }
        }
    }

    /// What the server says of the message in hand, else of its client.
    fn value(&self, name: &str) -> Option<&str> {
        let value = self.macros.get(name).or_else(|| self.client.macros.get(name));
        value.map(String::as_str).filter(|value| !value.is_empty())
    }

    fn mail(&mut self, path: &[u8], parameters: &[&[u8]]) {
        // Its client goes on, so it has heard what became of the last message.
        if let Some(key) = self.unheard.take() {
            self.door.passage.corridor.confirmed(key);
        }
        self.open = None;
        // Who logged in for the last message has not sent this one, unless the server says so again.
        if !std::mem::take(&mut self.introduced) {
            self.macros.clear();
        }
        let sender = match sender(path, parameters) {
            Ok(sender) => sender,
            Err(reply) => return self.refuse(&reply, "sender"),
        };
        let limits = &self.door.settings.limits;
        if sender.size().is_some_and(|size| size > limits.message_size) {
            return self.refuse(&Unfit::TooLarge.reply(), "too-large");
        }
        if let Some(shortage) = self.door.passage.corridor.shortage() {
            return self.refuse(&shortage.reply(), shortage.reason());
        }
        let Some(reservation) = self.door.budget.reserve(0) else {
            return self.refuse(&Unfit::NoMemory.reply(), "memory");
        };
        self.open = Some(Box::new(Transaction::new(sender, reservation, limits.message_size)));
        self.go_on(step::NO_REPLY_MAIL);
    }

    fn rcpt(&mut self, path: &[u8], parameters: &[&[u8]]) {
        let most = self.door.settings.limits.recipients;
        let Some(open) = &mut self.open else { return self.refuse(&try_later(), "out-of-turn") };
        match recipient(path, parameters) {
            Err(reply) => self.refuse(&reply, "recipient"),
            Ok(_) if open.envelope.recipients.len() >= most => {
                self.refuse(&wire::Reply::new(452, (4, 5, 3), "Too many recipients"), "recipients");
            }
            Ok(recipient) => {
                open.envelope.recipients.push(recipient);
                self.go_on(step::NO_REPLY_RCPT);
            }
        }
    }

    fn refuse(&mut self, reply: &wire::Reply, reason: &'static str) {
        self.door.refused(reason);
        self.say(Reply::Code(reply));
    }

    async fn end_of_body(&mut self, agreed: Agreed, chunk: &[u8]) -> Result<(), End> {
        // Without a recipient it would count as mail to our own people alone, and pass unseen.
        let Some(mut open) = self.open.take().filter(|open| !open.envelope.recipients.is_empty()) else {
            self.refuse(&try_later(), "out-of-turn");
            return Ok(());
        };
        if !chunk.is_empty() {
            open.body(chunk);
        }
        let told = match open.finish() {
            Ok(told) => told,
            Err(unfit) => {
                let reply = unfit.reply();
                tracing::info!(reason = unfit.reason(), code = reply.code(), "refused a message");
                self.refuse(&reply, unfit.reason());
                return Ok(());
            }
        };
        let node_id = self.value("i").map(str::to_owned);
        let walked = self.walk(agreed, told, node_id.clone()).await;
        self.answer(agreed, walked, node_id.as_deref()).await
    }

    /// The walk, while the server is told that we are at work.
    async fn walk(&mut self, agreed: Agreed, told: Told, node_id: Option<String>) -> Result<Walked, Stopped> {
        let Told { envelope, reservation, content, header } = told;
        let limits = &self.door.settings.limits;
        let (answer_within, every) = (limits.answer_within, limits.progress_every);
        let arrived =
            Arrived { origin: self.origin(), envelope, content, answer_within, peer: "milter".into(), node_id };
        let door = Arc::clone(&self.door);
        let walking = async move {
            let submission = door.passage.read(arrived).await?;
            let Submission { id, retry_key: key, .. } = submission;
            let left = submission.message.clone();
            let onward = Onward::Server(taken(agreed));
            let (answer, mut reservation) = door.passage.walk(submission, onward, reservation).await?;
            if let Answer::PassOn { applied: Some(applied), .. } = &answer
                && !reservation.grow_to(reservation.bytes() + applied.edited.added() as u64)
            {
                return Err(Stopped::NoMemory);
            }
            let left = left.read(left.root().header.clone()).into_owned();
            Ok(Walked { id, key, answer, told: header, left, _reservation: reservation })
        };
        // On the heap: its state is large, and idle sessions must be small.
        let mut walking = Box::pin(walking);
        let mut progress = interval_at(Instant::now() + every, every);
        progress.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                walked = &mut walking => return walked,
                _ = progress.tick() => {
                    self.say(Reply::Progress);
                    // A server that is gone takes no answer; the walk comes to its end all the same, for its record.
                    if self.flush().await.is_err() {
                        return walking.await;
                    }
                }
            }
        }
    }

    fn origin(&self) -> Origin {
        let tls = self.value("tls_version").map(|version| match self.value("cipher") {
            Some(cipher) => format!("{version} {cipher}"),
            None => version.to_owned(),
        });
        let user = self
            .value("auth_authen")
            .map(|name| User { name: Sensitive::new(name.to_owned()), certainty: Certainty::Authenticated });
        let told = self
            .value("client_addr")
            .and_then(|address| address.strip_prefix("IPv6:").unwrap_or(address).parse::<IpAddr>().ok());
        Origin {
            address: self.client.address.or(told).unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)).to_canonical(),
            helo: helo(&self.client.helo),
            esmtp: self.value("r").is_none_or(|protocol| !protocol.eq_ignore_ascii_case("SMTP")),
            tls,
            user,
            door: Which::Milter,
            via: None,
        }
    }

    async fn answer(&mut self, agreed: Agreed, walked: Result<Walked, Stopped>, node: Option<&str>) -> Result<(), End> {
        let walked = match walked {
            Ok(walked) => walked,
            Err(stopped) => {
                let reply = match stopped {
                    Stopped::Loop => wire::Reply::new(554, (5, 4, 6), "This message goes in a loop"),
                    Stopped::Fault | Stopped::Late | Stopped::NoMemory => try_later(),
                };
                self.refuse(&reply, stopped.as_str());
                return Ok(());
            }
        };
        let id = walked.id;
        match &walked.answer {
            Answer::PassOn { top, applied } => {
                self.changes(agreed, &walked, top, applied.as_ref()).await?;
                self.say(Reply::Accept);
            }
            Answer::Taken { case } => {
                tracing::info!(submission = %id, %case, queue_id = node, "held: the mail server is told to discard its copy");
                self.unheard = Some(walked.key);
                self.say(Reply::Discard);
            }
            // A record at this door is one of a hold.
            Answer::Relayed(reply) if reply.is_positive() => {
                tracing::info!(submission = %id, queue_id = node, "sent again and held already: discarded by the mail server");
                self.unheard = Some(walked.key);
                self.say(Reply::Discard);
            }
            Answer::Relayed(reply) => self.say(Reply::Code(reply)),
            Answer::Refused { text } => self.say(Reply::Code(&wire::Reply::new(550, (5, 7, 1), text))),
            Answer::TryLater => self.say(Reply::Code(&try_later())),
        }
        self.flush().await
    }

    /// What the server changes in its copy.
    async fn changes(
        &mut self,
        agreed: Agreed,
        walked: &Walked,
        top: &[u8],
        applied: Option<&Applied>,
    ) -> Result<(), End> {
        let edited = applied.map(|applied| &applied.edited);
        let header = edited.map_or_else(|| walked.left.clone(), crate::mail::edit::Edited::header);
        if agreed.has_action(action::CHANGE_HEADERS | action::ADD_HEADERS) {
            changes::write_header(agreed, &walked.told, &header, &mut self.output);
            changes::write_top(agreed, top, &mut self.output);
        }
        for piece in edited.and_then(|edited| edited.body()).into_iter().flatten() {
            for chunk in piece.chunks(BODY_CHUNK) {
                self.say(Reply::ReplaceBody(chunk));
                if self.output.len() >= STRETCH {
                    self.flush().await?;
                }
            }
        }
        Ok(())
    }
}

/// A message that came to its answer.
struct Walked {
    id: SubmissionId,
    key: RetryKey,
    answer: Answer,
    /// The header as the server knows it, and without our pass.
    told: Vec<u8>,
    left: Vec<u8>,
    /// Until the answer is written: it holds the message.
    _reservation: Reservation,
}

/// What of a message the server changes for us.
fn taken(agreed: Agreed) -> Changes {
    Changes {
        header: agreed.has_action(action::CHANGE_HEADERS | action::ADD_HEADERS),
        body: agreed.has_action(action::CHANGE_BODY),
    }
}

fn try_later() -> wire::Reply {
    wire::Reply::new(451, (4, 3, 0), "Try again later")
}

fn address_of(family: Family, address: &[u8]) -> Option<IpAddr> {
    match family {
        // On this machine, whoever it is.
        Family::Unix => Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        Family::Unknown => None,
        Family::V4 | Family::V6 => {
            let address = std::str::from_utf8(address).ok()?;
            address.strip_prefix("IPv6:").unwrap_or(address).parse().ok()
        }
    }
}

/// As it may stand in a Received field (RFC 5321 4.4): one word, or the unknown.
fn helo(name: &str) -> String {
    let word = !name.is_empty() && name.len() <= 255 && name.bytes().all(|byte| byte.is_ascii_graphic());
    let safe = word && !name.contains(['(', ')', ';', '<', '>', '"', '\\']);
    if safe { name.to_owned() } else { "unknown".to_owned() }
}
