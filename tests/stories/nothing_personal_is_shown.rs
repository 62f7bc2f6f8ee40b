//! Readiness, metrics and log serve the operator: no address, subject or word of a message is in any of them, nor on the
//! disk, at the most talkative level that is of use.

use crate::support::{Client, Gateway, Hop, Setup, found_in, hand_in};

/// Sender, recipients, subject, text, file name, message id, HELO, a word that a rule finds, and a stranger.
const CANARIES: &[&str] = &[
    "quillfeather",
    "brambleotter",
    "velvetheron",
    "marzipandragon",
    "lanternfish",
    "teacosy-plan",
    "snowglobe77",
    "QQ 12 34 56 C",
    "QQ123456C",
    "pepperpilgrim",
];

fn message(text: &str) -> Vec<u8> {
    format!(
        "From: Q <quillfeather@ours.example>\r\nTo: brambleotter@agency.example\r\nSubject: marzipandragon\r\n\
         Message-ID: <snowglobe77@ours.example>\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n\
         --b\r\n\r\nThe lanternfish swims. {text}\r\n--b\r\nContent-Disposition: attachment; \
         filename=teacosy-plan.txt\r\n\r\nx\r\n--b--\r\n"
    )
    .into_bytes()
}

#[test]
fn no_word_of_a_message_is_in_log_metrics_or_data() {
    let hop = Hop::start();
    let log = "debug,sqlx=info,hyper=info";
    let gateway = Gateway::with(hop.address(), Setup { log, ..Setup::default() });
    assert!(gateway.health("/healthz").starts_with("HTTP/1.1 200"));
    assert!(gateway.health("/readyz").starts_with("HTTP/1.1 200"));
    let (door, from, to) = (gateway.door(), "quillfeather@ours.example", &["brambleotter@agency.example"][..]);
    let plain = message("Hello.");

    assert!(hand_in(door, from, to, &plain).starts_with("250"), "relayed");
    assert!(
        hand_in(door, from, to, &message("Her National Insurance number is QQ 12 34 56 C.")).starts_with("250"),
        "held"
    );
    let chain = "Forward this to everyone you know. Do not break the chain, or you will have bad luck!";
    assert!(hand_in(door, from, to, &message(chain)).starts_with("550"), "returned");
    assert!(hand_in(door, "pepperpilgrim@client.example", &[from], &plain).starts_with("250"), "not incoming: ours");
    // Refused by the hop in words that name a person, at RCPT and at the dot.
    hop.change(|manner| {
        manner
            .refused
            .insert("velvetheron@agency.example".into(), "550 5.1.1 <velvetheron@agency.example> unknown".into());
    });
    let refused = hand_in(door, from, &["velvetheron@agency.example"], &plain);
    assert!(refused.contains("velvetheron"), "the client hears it: {refused}");
    hop.change(|manner| manner.dot = Some("554 5.7.1 brambleotter does not want marzipandragon".into()));
    assert!(hand_in(door, from, to, &plain).starts_with("554"));
    hop.change(|manner| manner.dot = None);
    // Talk that makes no sense, a client that goes away, line ends that are none.
    let mut client = Client::connect(door).unwrap();
    client.say("quillfeather brambleotter").unwrap();
    client.say("MAIL FROM:<quillfeather@@ours.example>").unwrap();
    client.say("RCPT TO:<brambleotter>").unwrap();
    client.send_and_drop(from, to, &[&plain[..], b"lanternfish\rmarzipandragon\r\n"].concat());

    let id = gateway.case("marzipandragon")["id"].as_str().unwrap().to_string();
    gateway.done(&["case", "release", &id, "--reason", "pepperpilgrim"]);
    gateway.becomes(&id, "delivered");
    hop.down();
    assert!(hand_in(door, from, to, &plain).starts_with("451"));
    let ready = gateway.health("/readyz");
    assert!(ready.starts_with("HTTP/1.1 200"), "the hop's trouble is not ours");
    assert!(ready.contains("next hop default: cannot be used"), "{ready}");

    let metrics = gateway.health("/metrics");
    for wanted in [
        r#"outgate_next_hop_up{route="default",hop="1"} 0"#,
        r#"outgate_messages_total{disposition="relay",door="smtp"}"#,
        r#"outgate_messages_total{disposition="hold",door="smtp"} 1"#,
        r#"outgate_messages_total{disposition="return",door="smtp"} 1"#,
        "outgate_scan_seconds_bucket",
        "outgate_relay_seconds_count",
        "outgate_holds",
        "outgate_ready 1",
    ] {
        assert!(metrics.contains(wanted), "{wanted} is not in\n{metrics}");
    }
    let (status, _) = gateway.terminate();
    assert!(status.success());
    let log = gateway.log();
    assert!(log.contains("DEBUG") && log.contains("held"), "the log says something");
    for (place, text) in [("log", &log), ("metrics", &metrics)] {
        let text = text.to_lowercase();
        for canary in CANARIES {
            assert!(!text.contains(&canary.to_lowercase()), "{canary} is in the {place}:\n{text}");
        }
        assert!(!text.contains("@"), "an address in the {place}:\n{text}");
    }
    let found = found_in(&gateway.data(), CANARIES);
    assert!(found.is_empty(), "{found:?}");
    println!("privacy: 0 of {} canaries in {} bytes of log, in metrics, in the data folder", CANARIES.len(), log.len());
}
