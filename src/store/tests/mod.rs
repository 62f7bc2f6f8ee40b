//! Stories of the store, each in its own folder.

mod accounts;
mod book;
mod cases;
mod erase;
mod faults;
mod joining;
mod measure;
mod outbox;
mod retry;
mod split;
mod threads;

use super::*;
use crate::{
    audit,
    mail::{Address, Envelope, ForwardPath, Parameter, ReversePath},
    policy::{Category, Disposition},
    quarantine::{Case, CaseHead, CaseStore, Face, FacedGround, ItemKind, NewCase, OutboxItem, State},
    sensitive::Sensitive,
};
use sqlx::ConnectOptions;
use time::{Duration, OffsetDateTime};

pub(super) struct Bench {
    pub folder: tempfile::TempDir,
    pub store: Store,
}

pub(super) fn keys() -> Keys {
    Keys::new(&[42; 32])
}

impl Bench {
    pub async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("data"), &keys()).await.unwrap();
        Self { folder, store }
    }

    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Ends this run as a process would end, and begins the next.
    pub async fn reopen(self) -> Self {
        let Bench { folder, store } = self;
        let records = Arc::downgrade(&store.inner.records);
        drop(store);
        // The writer lets go of the records when it has ended.
        for _ in 0..500 {
            if records.strong_count() == 0 {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        let store = Store::open(&folder.path().join("data"), &keys()).await.unwrap();
        Self { folder, store }
    }

    /// A connection of an intruder or of a test, beside the store's.
    pub async fn raw(&self) -> SqliteConnection {
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(self.data().join(schema::FILE));
        options.busy_timeout(std::time::Duration::from_secs(5)).foreign_keys(false).connect().await.unwrap()
    }

    pub async fn count(&self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql).fetch_one(&self.store.inner.readers).await.unwrap()
    }
}

pub(super) fn event() -> Event {
    let what = audit::What::Judged {
        disposition: Disposition::Relay,
        rules: vec!["hide-recipients".into()],
        watched: Vec::new(),
        ruleset: "0123456789abcdef".into(),
        unread: 0,
    };
    Event { at: OffsetDateTime::now_utc(), submission: Some(SubmissionId::fresh()), what }
}

pub(super) fn address(text: &str) -> Address {
    Address::parse(text).unwrap()
}

pub(super) fn envelope() -> Envelope {
    let path = |text| ForwardPath { address: address(text), parameters: vec![Parameter::new("NOTIFY=FAILURE")] };
    Envelope {
        sender: ReversePath { address: Some(address("Canary-Sender@ours.example")), parameters: Vec::new() },
        recipients: vec![path("canary-one@theirs.example"), path("canary-two@theirs.example")],
    }
}

pub(super) const BODY: &str = "Subject: canary-subject\r\n\r\nThe canary-body sings.\r\n";

pub(super) fn new_case() -> NewCase {
    let received = OffsetDateTime::from_unix_timestamp(OffsetDateTime::now_utc().unix_timestamp()).unwrap();
    NewCase {
        head: CaseHead {
            id: SubmissionId::fresh(),
            state: State::Waiting,
            category: Category::PersonalData,
            rules: vec!["nino-outside".into()],
            bytes: 0,
            received,
            expires: received + Duration::days(30),
            epoch: 0,
        },
        face: Face {
            envelope: envelope(),
            author: Sensitive::new("Canary Author <canary-author@ours.example>".into()),
            subject: Sensitive::new("canary-subject".into()),
            message_id: Sensitive::new("<canary-id@ours.example>".into()),
            user: Some(Sensitive::new("canary-user".into())),
            grounds: vec![FacedGround {
                tells_hidden: false,
                rule: "nino-outside".into(),
                title: "National Insurance numbers stay inside".into(),
                clauses: vec![("C-1".into(), "words of the clause".into())],
                disposition: Disposition::Hold,
                advice: "encrypt it".into(),
                evidence: vec![("personal.uk-nino".into(), "1".into(), Sensitive::new("canary-excerpt".into()))],
            }],
            edits: Vec::new(),
            trace: Sensitive::new("Received: from canary-host\r\n".into()),
            automatic: false,
            tell_sender: true,
            undelivered: Vec::new(),
            content: None,
        },
        message: BODY.into(),
        tell_later: false,
        split: None,
        addressed: None,
    }
}

pub(super) fn item(case: SubmissionId, kind: ItemKind, content: &[u8]) -> OutboxItem {
    OutboxItem { id: SubmissionId::fresh(), case, kind, envelope: envelope(), content: content.to_vec() }
}

pub(super) fn held() -> Event {
    Event {
        at: OffsetDateTime::now_utc(),
        submission: None,
        what: audit::What::Held { category: Category::PersonalData },
    }
}

/// Holds a case with a notice, and gives its number.
pub(super) async fn hold(store: &Store) -> SubmissionId {
    let case = new_case();
    let id = case.head.id;
    let notice = item(id, ItemKind::Notice, b"canary-notice");
    store.hold(case, vec![notice], vec![held()], RetryKey(seal::random())).await.unwrap();
    id
}

pub(super) async fn open(store: &Store, id: SubmissionId) -> Case {
    CaseStore::open(store, id).await.unwrap()
}
