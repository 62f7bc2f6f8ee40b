//! The window on loopback, asked by hand, with a store in memory.

use super::*;
use crate::{
    intake::{RetryKey, SplitKey, StoreDown},
    mail::{Address, Edit, Envelope, ForwardPath, ReversePath},
    policy::{Category, Disposition, Fallback, PlannedEdit},
    quarantine::{Case, CaseHead, Erasure, Face, FacedGround, NewCase, OutboxItem, State as CaseState},
};
use std::sync::Mutex;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::oneshot,
};

const HOSTILE: &str =
    "</title><script>alert(1)</script>\" onload=x '<img src=//x.example>& \u{202e}txt.exe\r\nSet-Cookie: a=b";

#[derive(Clone, Default)]
struct Shelf {
    cases: Arc<Vec<Case>>,
    viewed: Arc<Mutex<Vec<Event>>>,
}

impl CaseStore for Shelf {
    async fn hold(&self, _: NewCase, _: Vec<OutboxItem>, _: Vec<Event>, _: RetryKey) -> Result<(), StoreDown> {
        unreachable!("the console changes nothing")
    }

    async fn join(
        &self,
        _: Case,
        _: Vec<OutboxItem>,
        _: Vec<Event>,
        _: RetryKey,
        _: Option<SplitKey>,
    ) -> Result<(), CaseError> {
        unreachable!("the console changes nothing")
    }

    async fn list(&self, filter: CaseFilter) -> Result<Vec<Case>, StoreDown> {
        Ok(self.cases.iter().take(filter.limit).cloned().collect())
    }

    async fn open(&self, id: SubmissionId) -> Result<Case, CaseError> {
        self.cases.iter().find(|case| case.head.id == id).cloned().ok_or(CaseError::Unknown)
    }

    async fn message(&self, _: SubmissionId) -> Result<Vec<u8>, CaseError> {
        unreachable!("the console shows no message yet")
    }

    async fn transition(
        &self,
        _: SubmissionId,
        _: u64,
        _: CaseState,
        _: Vec<OutboxItem>,
        _: Vec<Event>,
    ) -> Result<(), CaseError> {
        unreachable!("the console changes nothing")
    }

    async fn erase(&self, _: SubmissionId, _: Vec<Event>) -> Result<Erasure, CaseError> {
        unreachable!("the console changes nothing")
    }
}

impl Book for Shelf {
    async fn append(&self, events: Vec<Event>) -> Result<(), StoreDown> {
        self.viewed.lock().unwrap().extend(events);
        Ok(())
    }
}

fn hostile_case() -> Case {
    let address = |text: &str| Address::parse(text).unwrap();
    let ground = FacedGround {
        tells_hidden: false,
        rule: "personal-data-outside".into(),
        title: format!("Title {HOSTILE}"),
        clauses: vec![("C-1".into(), format!("Clause {HOSTILE}"))],
        disposition: Disposition::Hold,
        advice: format!("Advice {HOSTILE}"),
        evidence: vec![(HOSTILE.into(), HOSTILE.into(), format!("Found {HOSTILE}").into())],
    };
    let edit = Edit::SetHeader { name: "X-Policy".into(), value: HOSTILE.into() };
    let recipients = (0..60).map(|n| address(&format!("\"<b>{n}\"@elsewhere.example")));
    let now = OffsetDateTime::now_utc();
    Case {
        head: CaseHead {
            id: SubmissionId::fresh(),
            state: CaseState::Waiting,
            category: Category::PersonalData,
            rules: Vec::new(),
            bytes: 100,
            received: now,
            expires: now + time::Duration::hours(73),
            epoch: 1,
        },
        face: Some(Face {
            envelope: Envelope {
                sender: ReversePath { address: Some(address("\"<i>\"@ours.example")), parameters: Vec::new() },
                recipients: recipients.map(|address| ForwardPath { address, parameters: Vec::new() }).collect(),
            },
            author: format!("Author {HOSTILE}").into(),
            subject: format!("Subject {HOSTILE}").into(),
            message_id: HOSTILE.to_string().into(),
            user: Some(HOSTILE.to_string().into()),
            grounds: vec![ground],
            edits: vec![PlannedEdit { edit, rule: "tagging".into(), fallback: Fallback::Relay }],
            trace: String::new().into(),
            automatic: false,
            tell_sender: true,
            undelivered: Vec::new(),
            content: None,
        }),
    }
}

struct Window {
    name: String,
    shelf: Shelf,
    _stop: oneshot::Sender<()>,
}

impl Window {
    async fn open(cases: Vec<Case>) -> Self {
        let shelf = Shelf { cases: Arc::new(cases), ..Shelf::default() };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let name = listener.local_addr().unwrap().to_string();
        let (stop, stopped) = oneshot::channel::<()>();
        tokio::spawn(serve(listener, shelf.clone(), async { drop(stopped.await) }));
        Self { name, shelf, _stop: stop }
    }

    /// The answer to a whole request, headers and body.
    #[expect(clippy::disallowed_methods, reason = "the only peer is our own console")]
    async fn ask(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(&self.name).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        let reading = stream.read_to_string(&mut answer);
        tokio::time::timeout(std::time::Duration::from_secs(10), reading).await.unwrap().unwrap();
        answer
    }

    async fn get(&self, path: &str) -> String {
        self.ask(&format!("GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.name)).await
    }
}

fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap()
}

#[tokio::test]
async fn hostile_text_is_escaped_on_every_page() {
    let case = hostile_case();
    let window = Window::open(vec![case.clone()]).await;
    for path in ["/".to_string(), format!("/case/{}", case.head.id)] {
        let answer = window.get(&path).await;
        assert_eq!(status(&answer), "200", "{answer}");
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(!head.to_lowercase().contains("set-cookie"), "{head}");
        assert!(body.contains("Subject &#60;/title&#62;&#60;script&#62;"), "{body}");
        for forbidden in ["<script", "<img", "<b>", "<i>", "\u{202e}", "\" onload"] {
            assert!(!body.contains(forbidden), "{forbidden} in {body}");
        }
    }
    let page = window.get(&format!("/case/{}", case.head.id)).await;
    for wanted in [
        "Author ",
        "Clause ",
        "Advice ",
        "Found ",
        "because clause C-1 of the policy says",
        "X-Policy",
        "and 10 more",
        "3 days left",
    ] {
        assert!(page.contains(wanted), "{wanted} is not in {page}");
    }
}

#[tokio::test]
async fn every_answer_carries_the_headers() {
    let case = hostile_case();
    let window = Window::open(vec![case.clone()]).await;
    let paths = ["/", "/style.css", "/nothing", "/case/x", &format!("/case/{}", case.head.id)].map(str::to_string);
    let mut answers = Vec::new();
    for path in &paths {
        answers.push(window.get(path).await);
    }
    answers.push(window.ask("GET / HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n").await);
    for answer in answers {
        let head = answer.split("\r\n\r\n").next().unwrap();
        for wanted in [
            "content-security-policy: default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
            "x-content-type-options: nosniff",
            "cache-control: no-store",
            "referrer-policy: no-referrer",
            "x-frame-options: DENY",
        ] {
            assert!(head.contains(wanted), "{wanted} is not in {head}");
        }
    }
}

#[tokio::test]
async fn another_name_than_ours_is_refused() {
    let window = Window::open(vec![hostile_case()]).await;
    let port = window.name.rsplit(':').next().unwrap().to_string();
    let own = &window.name;
    let table = [
        (format!("GET / HTTP/1.1\r\nHost: {own}\r\n"), "200"),
        (format!("GET / HTTP/1.1\r\nHost: LOCALHOST:{port}\r\n"), "200"),
        ("GET / HTTP/1.1\r\nHost: evil.example\r\n".into(), "421"),
        (format!("GET / HTTP/1.1\r\nHost: evil.example:{port}\r\n"), "421"),
        ("GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n".into(), "421"),
        ("GET / HTTP/1.1\r\nHost: 127.0.0.1:1\r\n".into(), "421"),
        (format!("GET / HTTP/1.1\r\nHost: {own}.evil.example\r\n"), "421"),
        (format!("GET / HTTP/1.1\r\nHost: {own}\r\nHost: evil.example\r\n"), "421"),
        (format!("GET http://evil.example/ HTTP/1.1\r\nHost: {own}\r\n"), "421"),
        ("GET / HTTP/1.1\r\n".into(), "421"),
    ];
    for (request, wanted) in table {
        let answer = window.ask(&format!("{request}Connection: close\r\n\r\n")).await;
        assert_eq!(status(&answer), wanted, "{request}");
        assert_eq!(answer.contains("Subject"), wanted == "200", "{request}");
    }
}

#[tokio::test]
async fn it_can_only_be_read() {
    let case = hostile_case();
    let window = Window::open(vec![case.clone()]).await;
    for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD", "TRACE", "RELEASE"] {
        let path = format!("/case/{}", case.head.id);
        let host = &window.name;
        let request =
            format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        let answer = window.ask(&request).await;
        assert_eq!(status(&answer), "405", "{method}");
        assert!(answer.contains("allow: GET"), "{answer}");
    }
    assert!(window.shelf.viewed.lock().unwrap().is_empty());
    window.get(&format!("/case/{}", case.head.id)).await;
    let viewed = window.shelf.viewed.lock().unwrap().clone();
    assert!(
        matches!(&viewed[..], [Event { submission: Some(id), what: What::Viewed { .. }, .. }] if *id == case.head.id)
    );
}

#[tokio::test]
async fn erased_and_unknown_cases_are_said() {
    let mut erased = hostile_case();
    erased.face = None;
    erased.head.state = CaseState::Erased;
    let window = Window::open(vec![erased.clone()]).await;
    assert!(window.get("/").await.contains("(erased)"));
    assert!(window.get(&format!("/case/{}", erased.head.id)).await.contains("were erased"));
    for path in [format!("/case/{}", SubmissionId::fresh()), "/case/%3Cscript%3E".into(), "/case/%ff".into()] {
        let answer = window.get(&path).await;
        assert!(["404", "400"].contains(&status(&answer)) && !answer.contains("<script"), "{answer}");
    }
}

#[tokio::test]
async fn other_machines_are_not_served() {
    let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let refused = serve(listener, Shelf::default(), std::future::pending()).await;
    assert!(refused.unwrap_err().to_string().contains("loopback"));
}
