//! A corridor and a next hop that answer by the names of senders and recipients.

use outgate::{
    intake::{
        Account, AccountName, Accounts, Answer, Corridor, Credentials, Extensions, NextHop, Onward, PasswordHash,
        RetryKey, StoreDown, Submission, Transaction,
    },
    mail::{ForwardPath, ReversePath, wire::Reply},
};
use std::{
    sync::{
        LazyLock, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

pub const PASSWORD: &str = "correct horse battery staple";

pub struct Fake {
    pub hop: Hop,
    pub handed: Mutex<Vec<Submission>>,
    pub confirmed: AtomicUsize,
    pub unconfirmed: AtomicUsize,
    /// As whom each transaction was begun.
    pub identities: Mutex<Vec<Option<String>>>,
}

pub struct Hop {
    pub extensions: Mutex<Extensions>,
    /// What the hop turns out to offer when it is first reached.
    pub learned: Mutex<Option<Extensions>>,
    pub batches: std::sync::Arc<Mutex<Vec<usize>>>,
    /// How often a transaction gave back what it kept.
    pub rested: AtomicUsize,
}

pub struct Open {
    hop: std::sync::Arc<Fake>,
}

/// The corridor is shared with its transactions.
pub struct Shared(pub std::sync::Arc<Fake>);

pub fn everything() -> Extensions {
    Extensions { eight_bit_mime: true, smtputf8: true, dsn: true, size: 0 }
}

impl Fake {
    pub fn new() -> std::sync::Arc<Self> {
        let hop = Hop {
            extensions: Mutex::new(everything()),
            learned: Mutex::new(None),
            batches: std::sync::Arc::default(),
            rested: AtomicUsize::new(0),
        };
        std::sync::Arc::new(Self {
            hop,
            handed: Mutex::default(),
            confirmed: AtomicUsize::new(0),
            unconfirmed: AtomicUsize::new(0),
            identities: Mutex::default(),
        })
    }
}

impl NextHop for Shared {
    type Transaction = Open;

    fn extensions(&self) -> Extensions {
        self.0.hop.extensions.lock().unwrap().clone()
    }

    async fn authenticate(&self, credentials: &Credentials) -> Result<(), Reply> {
        match credentials.password.expose().as_str() {
            PASSWORD => Ok(()),
            _ => Err(Reply::new(535, (5, 7, 8), "Login refused")),
        }
    }

    fn begin(&self, _: ReversePath, identity: Option<std::sync::Arc<Credentials>>) -> Open {
        self.0.identities.lock().unwrap().push(identity.map(|login| login.user.expose().clone()));
        Open { hop: std::sync::Arc::clone(&self.0) }
    }
}

impl Transaction for Open {
    async fn recipients(&mut self, batch: &[ForwardPath]) -> Vec<Reply> {
        self.hop.hop.batches.lock().unwrap().push(batch.len());
        if let Some(learned) = self.hop.hop.learned.lock().unwrap().take() {
            *self.hop.hop.extensions.lock().unwrap() = learned;
        }
        batch
            .iter()
            .map(|recipient| match recipient.address.local() {
                "nobody" => Reply::new(550, (5, 1, 1), "No such user"),
                "later" => Reply::new(450, (4, 2, 0), "Busy"),
                "lost" => Reply::new(421, (4, 3, 2), "Going down"),
                "panic" => panic!("the next hop's client has a fault"),
                _ => Reply::new(250, (2, 1, 5), "Recipient OK"),
            })
            .collect()
    }

    fn is_blind(&self) -> bool {
        false
    }

    fn rest(&mut self) {
        self.hop.hop.rested.fetch_add(1, Ordering::Relaxed);
    }
}

/// `ann@ours.example` may log in, `gone@ours.example` no more; `down` finds the store down.
impl Accounts for Shared {
    async fn account(&self, name: &AccountName) -> Result<Option<Account>, StoreDown> {
        static HASH: LazyLock<PasswordHash> =
            LazyLock::new(|| PasswordHash::of(&PASSWORD.to_string().into()).expect("a fit password"));
        let at = time::OffsetDateTime::UNIX_EPOCH;
        let account =
            |disabled| Account { name: name.clone(), password: HASH.clone(), disabled, created: at, changed: at };
        match name.expose() {
            "ann@ours.example" => Ok(Some(account(false))),
            "gone@ours.example" => Ok(Some(account(true))),
            "down" => Err(StoreDown),
            _ => Ok(None),
        }
    }
}

impl Corridor for Shared {
    type NextHop = Shared;

    fn next_hop(&self) -> &Shared {
        self
    }

    async fn walk(&self, submission: Submission, _: Onward<Open>) -> Answer {
        let sender = submission.envelope.sender.address.as_ref().map_or("", |address| address.local()).to_owned();
        let case = submission.id;
        let trace = std::sync::Arc::clone(&submission.trace);
        self.0.handed.lock().unwrap().push(submission);
        match sender.as_str() {
            "returned" => Answer::Refused { text: "Clause 4: no chain letters".into() },
            "held" => Answer::Taken { case },
            "later" => Answer::TryLater,
            "panic" => panic!("the corridor has a fault"),
            "slow" => {
                tokio::time::sleep(Duration::from_secs(5)).await;
                Answer::Taken { case }
            }
            "waits" => {
                tokio::time::sleep(Duration::from_millis(300)).await;
                Answer::Taken { case }
            }
            "milter" => Answer::PassOn { top: trace, applied: None },
            "hop-down" => Answer::Relayed(Reply::new(421, (4, 3, 2), "Going down")),
            "hop-refuses" => Answer::Relayed(Reply::new(554, (5, 6, 0), "Not this one")),
            "hop-asks" => Answer::Relayed(Reply::plain(354, "Go on")),
            _ => Answer::Relayed(Reply::new(250, (2, 0, 0), "Queued")),
        }
    }

    fn confirmed(&self, _: RetryKey) {
        self.0.confirmed.fetch_add(1, Ordering::SeqCst);
    }

    fn unconfirmed(&self, _: RetryKey) {
        self.0.unconfirmed.fetch_add(1, Ordering::SeqCst);
    }
}
