//! The outbox on a real store: what we stand for arrives, or its failure is told.

use super::*;
use outgate::{
    audit::{Event, What},
    delivery::{
        outbox::{Outbox, Schedule, Signer},
        report::Reporter,
    },
    intake::{RetryKey, Seals},
    keys::Keys,
    mail::SubmissionId,
    policy::{Category, Disposition},
    quarantine::{CaseHead, CaseStore, Face, FacedGround, ItemKind, NewCase, OutboxItem, State},
    store::Store,
};
use std::sync::Arc;
use time::OffsetDateTime;
use tokio::{
    net::TcpListener,
    sync::{Notify, watch},
    task::JoinHandle,
};

struct Unsigned;

impl Signer for Unsigned {
    fn sign(&self, _: &[u8], _: OffsetDateTime) -> Vec<u8> {
        Vec::new()
    }
}

struct Bench {
    folder: tempfile::TempDir,
    store: Store,
}

struct Worker {
    wake: Arc<Notify>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

fn keys() -> Keys {
    Keys::new(&[7; 32])
}

impl Bench {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("data"), &keys()).await.unwrap();
        Self { folder, store }
    }

    /// A case of a message to two people, released, with its item in the outbox.
    async fn release(&self, parameters: &[&str]) -> SubmissionId {
        let mut envelope = envelope(&["bob@else.example", "cat@else.example"]);
        for recipient in &mut envelope.recipients {
            recipient.parameters = parameters.iter().map(|written| Parameter::new(*written)).collect();
        }
        let id = SubmissionId::fresh();
        let now = OffsetDateTime::now_utc();
        let text = |text: &str| text.to_string().into();
        let head = CaseHead {
            id,
            state: State::Waiting,
            category: Category::PersonalData,
            rules: vec!["a-rule".into()],
            bytes: 0,
            received: now,
            expires: now + time::Duration::DAY,
            epoch: 0,
        };
        let ground = FacedGround {
            tells_hidden: false,
            rule: "a-rule".into(),
            title: "A rule".into(),
            clauses: Vec::new(),
            disposition: Disposition::Hold,
            advice: String::new(),
            evidence: Vec::new(),
        };
        let face = Face {
            envelope: envelope.clone(),
            author: text("Ann"),
            subject: text("x"),
            message_id: text("<x@ours.example>"),
            user: None,
            grounds: vec![ground],
            edits: Vec::new(),
            trace: text(""),
            automatic: false,
            tell_sender: true,
            undelivered: Vec::new(),
            content: None,
        };
        let case = NewCase { head, face, message: MESSAGE.into(), tell_later: false, split: None, addressed: None };
        self.store.hold(case, Vec::new(), Vec::new(), RetryKey([1; 32])).await.unwrap();
        let kind = ItemKind::Release;
        let item = OutboxItem { id: SubmissionId::fresh(), case: id, kind, envelope, content: MESSAGE.to_vec() };
        let what = What::Decided { decision: "release".into(), by: "test".into(), note: None };
        let event = Event { at: now, submission: Some(id), what };
        self.store.transition(id, 0, State::Released, vec![item], vec![event]).await.unwrap();
        id
    }

    fn work(&self, address: &str, change: impl FnOnce(&mut Schedule)) -> Worker {
        let mut schedule = Schedule { poll: Duration::from_millis(50), ..Schedule::default() };
        schedule.first = vec![Duration::from_millis(100); 50];
        schedule.ask_hop = Duration::from_millis(100);
        change(&mut schedule);
        let (stop, stopped) = watch::channel(false);
        let wake = Arc::new(Notify::new());
        let relay = Relay::new(settings(address, TlsMode::None)).unwrap();
        let from = Address::parse("outgate@ours.example").unwrap();
        let reporter = Reporter { from, hostname: "gate.example".into() };
        let outbox =
            Outbox::new(self.store.clone(), relay, (Seals::new(&keys()), Arc::new(Unsigned)), reporter, wake.clone());
        Worker { wake, stop, task: tokio::spawn(outbox.with_schedule(schedule).run(stopped)) }
    }

    async fn becomes(&self, id: SubmissionId, state: State) {
        for _ in 0..200 {
            if self.store.open(id).await.unwrap().head.state == state {
                return;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("the case never became {state:?}");
    }
}

impl Worker {
    async fn end(self) {
        self.stop.send(true).unwrap();
        tokio::time::timeout(Duration::from_secs(5), self.task).await.unwrap().unwrap();
    }
}

const BOTH: &str = "C MAIL FROM:<ann@ours.example>
    c RCPT TO:<bob@else.example>
    c RCPT TO:<cat@else.example>
    S 250 ok";

#[tokio::test]
async fn a_release_arrives_with_our_pass_and_the_case_is_delivered() {
    let bench = Bench::new().await;
    let hop = Hop::start(&[&script(&[GREETING, BOTH, "S 250 ok\nS 250 ok", DATA])]).await;
    let id = bench.release(&[]).await;
    let worker = bench.work(&hop.address, |_| {});
    bench.becomes(id, State::Delivered).await;
    worker.end().await;
    let body = hop.bodies().await.remove(0);
    let text = String::from_utf8(body).unwrap();
    let (pass, rest) = text.split_once("\r\n").unwrap();
    assert_eq!(rest.as_bytes(), b"Subject: x\r\n\r\n..hello\r\n.\r\n");
    let arrived = format!("{pass}\r\nSubject: x\r\n\r\n.hello\r\n");
    let trace = Seals::new(&keys()).examine(arrived.as_bytes(), OffsetDateTime::now_utc());
    assert_eq!(trace.pass.map(|pass| pass.case), Some(id));
}

#[tokio::test]
async fn a_release_waits_for_a_hop_that_is_down() {
    let bench = Bench::new().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let id = bench.release(&[]).await;
    let worker = bench.work(&address, |_| {});
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(bench.store.open(id).await.unwrap().head.state, State::Released);
    let listener = TcpListener::bind(&address).await.unwrap();
    let hop = Hop::on(listener, &[&script(&[GREETING, BOTH, "S 250 ok\nS 250 ok", DATA])], None);
    bench.becomes(id, State::Delivered).await;
    worker.end().await;
    assert_eq!(hop.bodies().await.len(), 1);
}

#[tokio::test]
async fn a_refusal_reopens_the_case_and_is_reported_and_the_deferred_are_tried_alone() {
    let bench = Bench::new().await;
    // One refused for good, one for now; then the report and the second attempt come, in either order.
    let first = script(&[GREETING, BOTH, "S 550 5.1.1 unknown\nS 450 4.2.0 later", "C RSET"]);
    let report = "c MAIL FROM:<>
        c RCPT TO:<ann@ours.example>
        S 250 ok\nS 250 ok\nS 250 ok";
    let again = "C MAIL FROM:<ann@ours.example>
        c RCPT TO:<cat@else.example>
        S 250 ok\nS 250 ok";
    let hop = Hop::start(&[&script(&[&first, report, DATA, again, DATA])]).await;
    let id = bench.release(&[]).await;
    let worker = bench.work(&hop.address, |schedule| {
        schedule.first = vec![Duration::from_millis(600); 9];
        schedule.at_once = 1;
    });
    bench.becomes(id, State::DeliveryFailed).await;
    let bodies = hop.bodies().await;
    worker.end().await;
    let report = String::from_utf8(bodies[0].clone()).unwrap();
    for wanted in ["Outgate-Pass: ", "Action: failed", "Status: 5.1.1", "bob@else.example", "auto-replied"] {
        assert!(report.contains(wanted), "{wanted} is not in {report}");
    }
    assert!(!report.contains("cat@") && !report.contains("hello"));
    assert_eq!(bodies.len(), 2);
    assert_eq!(bench.store.open(id).await.unwrap().head.state, State::DeliveryFailed, "it stays failed");
}

#[tokio::test]
async fn what_cannot_be_delivered_for_days_has_failed() {
    let bench = Bench::new().await;
    let id = bench.release(&["NOTIFY=NEVER"]).await;
    let worker = bench.work("127.0.0.1:1", |schedule| {
        (schedule.give_up, schedule.least_attempts) = (Duration::ZERO, 1);
    });
    bench.becomes(id, State::DeliveryFailed).await;
    worker.end().await;
}

#[tokio::test]
async fn items_of_another_process_are_seen_and_ours_at_once() {
    let bench = Bench::new().await;
    let whole = script(&[BOTH, "S 250 ok\nS 250 ok", DATA]);
    let hop = Hop::start(&[&script(&[GREETING, &whole, &whole])]).await;
    let worker = bench.work(&hop.address, |schedule| schedule.poll = Duration::from_millis(300));
    tokio::time::sleep(Duration::from_millis(50)).await;
    let store = Store::open(&bench.folder.path().join("data"), &keys()).await.unwrap();
    let other = Bench { folder: tempfile::tempdir().unwrap(), store };
    let id = other.release(&[]).await;
    bench.becomes(id, State::Delivered).await;
    let id = bench.release(&[]).await;
    worker.wake.notify_one();
    bench.becomes(id, State::Delivered).await;
    worker.end().await;
    hop.bodies().await;
}
