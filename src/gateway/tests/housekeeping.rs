//! What happens by the clock.

use super::{super::housekeeping::Housekeeping, Bench};
use crate::{
    intake::RetryKey,
    mail::SubmissionId,
    policy::Category,
    quarantine::{CaseFilter, CaseStore, NewCase, State},
};
use std::collections::HashMap;
use time::{Duration, OffsetDateTime};

async fn round(bench: &Bench, now: OffsetDateTime) {
    Housekeeping::default().round(bench.gateway(), now).await.unwrap();
}

/// The cases by subject.
async fn cases(bench: &Bench) -> HashMap<String, SubmissionId> {
    let cases = bench.gateway().store().list(CaseFilter::default()).await.unwrap();
    cases.iter().map(|case| (case.face.as_ref().unwrap().subject.expose().clone(), case.head.id)).collect()
}

async fn state(bench: &Bench, id: SubmissionId) -> State {
    bench.gateway().store().open(id).await.unwrap().head.state
}

/// The text part of a notice, decoded.
fn text(notice: &str) -> String {
    let message = mail_parser::MessageParser::default().parse(notice.as_bytes()).unwrap();
    format!("{}\n{}", message.subject().unwrap_or_default(), message.body_text(0).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn above_five_an_hour_the_rest_is_told_in_one_notice() {
    let bench = Bench::new().await;
    for number in 0..9 {
        let reply = bench.hold(&format!("subject-{number}")).await;
        assert_eq!(reply.code(), 250, "{number}");
    }
    let told = bench.hop.take(5).await;
    assert!(told.iter().all(|notice| text(notice).contains("Waiting for review: subject-")));
    let now = OffsetDateTime::now_utc();
    round(&bench, now).await;
    let ids = cases(&bench).await;
    let store = bench.gateway().store();
    store.transition(ids["subject-6"], 1, State::Refused, Vec::new(), Vec::new()).await.unwrap();
    store.erase(ids["subject-7"], Vec::new()).await.unwrap();

    let bench = bench.reopen().await;
    assert!(bench.hop.take(0).await.is_empty(), "the hour has no room yet, and five were told");
    round(&bench, now + Duration::minutes(61)).await;
    round(&bench, now + Duration::minutes(62)).await;
    let joined = bench.hop.take(1).await;
    assert_eq!(joined.len(), 1);
    let joined = text(&joined[0]);
    assert!(joined.contains("Waiting for review: 2 messages"), "{joined}");
    for (subject, id) in &ids {
        let expected = ["subject-5", "subject-8"].contains(&subject.as_str());
        let named = joined.contains(subject) && joined.contains(&id.to_string());
        assert_eq!(named, expected, "{subject} in {joined}");
    }
    assert!(!joined.contains("QQ 12 34 56 C"), "evidence is masked");
    bench.hold("subject-9").await;
    round(&bench, now + Duration::minutes(130)).await;
    assert!(text(&bench.hop.take(1).await[0]).contains("Waiting for review: subject-9"), "one alone is told as usual");
    bench.house.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hidden_recipients_are_told_with_the_same_measure() {
    let bench = Bench::new().await;
    for number in 0..3 {
        assert_eq!(bench.hold(&format!("held-{number}")).await.code(), 250);
    }
    bench.hop.take(3).await;
    for number in 0..5 {
        assert_eq!(bench.hide(&format!("hidden-{number}")).await.code(), 250);
    }
    let (mut letters, mut messages) = (Vec::new(), 0);
    while messages < 5 || letters.len() < 2 {
        for arrived in bench.hop.take(1).await {
            match arrived.contains("Outgate-Submission") {
                true => letters.push(text(&arrived)),
                false => messages += 1,
            }
        }
    }
    let subject = |letter: &String| letter.lines().next().unwrap_or_default().to_string();
    assert_eq!(
        letters.iter().map(subject).collect::<Vec<_>>(),
        ["Recipients hidden: hidden-0", "Recipients hidden: hidden-1"]
    );
    assert!(letters[0].contains("21 addresses") && letters[0].contains("Next time put"), "{}", letters[0]);

    let bench = bench.reopen().await;
    let now = OffsetDateTime::now_utc();
    round(&bench, now).await;
    assert!(bench.hop.take(0).await.is_empty(), "five were told in this hour");
    round(&bench, now + Duration::minutes(61)).await;
    round(&bench, now + Duration::minutes(62)).await;
    let joined = bench.hop.take(1).await;
    assert_eq!(joined.len(), 1);
    let joined = text(&joined[0]);
    assert_eq!(subject(&joined), "Recipients hidden: 3 messages");
    for number in 2..5 {
        assert!(joined.contains(&format!("Subject: hidden-{number}")), "{joined}");
    }
    bench.house.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_expired_case_goes_back_with_a_notice_save_where_it_may_not() {
    let bench = Bench::new().await;
    bench.hold("undecided").await;
    bench.hop.take(1).await;
    let store = bench.gateway().store();
    let undecided = cases(&bench).await["undecided"];
    let face = store.open(undecided).await.unwrap().face.unwrap();
    let head = store.open(undecided).await.unwrap().head;
    let mut staying = Vec::new();
    for (category, tell_sender, automatic) in
        [(Category::Safeguarding, true, false), (Category::Language, false, false), (Category::Technical, true, true)]
    {
        let mut case = NewCase {
            head: crate::quarantine::CaseHead { id: SubmissionId::fresh(), category, ..head.clone() },
            face: face.clone(),
            message: b"Subject: x\r\n\r\nx\r\n".to_vec(),
            tell_later: false,
            split: None,
            addressed: None,
        };
        (case.face.tell_sender, case.face.automatic) = (tell_sender, automatic);
        staying.push(case.head.id);
        store.hold(case, Vec::new(), Vec::new(), RetryKey(rand())).await.unwrap();
    }
    round(&bench, head.expires - Duration::minutes(1)).await;
    assert_eq!(state(&bench, undecided).await, State::Waiting);
    let mut housekeeping = Housekeeping::default();
    housekeeping.round(bench.gateway(), head.expires).await.unwrap();
    housekeeping.round(bench.gateway(), head.expires + Duration::minutes(1)).await.unwrap();
    assert_eq!(state(&bench, undecided).await, State::Returned);
    let notices = bench.hop.take(1).await;
    assert_eq!(notices.len(), 1);
    let notice = text(&notices[0]);
    assert!(notice.contains("Not sent: undecided") && notice.contains("nobody has decided"), "{notice}");
    for id in staying {
        assert_eq!(state(&bench, id).await, State::Waiting, "nothing held ends in silence");
    }
    bench.house.close().await;
}

fn rand() -> [u8; 32] {
    let mut key = [0; 32];
    key[..16].copy_from_slice(SubmissionId::fresh().as_bytes());
    key
}
