//! `outgate doctor` beside a running gateway: its test messages are judged and reach nobody, what is wrong is named.

use crate::support::{Client, Gateway, Hop, Setup, wait_for};
use serde_json::Value;
use std::{fs, os::unix::fs::PermissionsExt, time::Duration};

/// What it found, and its exit code. On a machine whose Postfix is somebody else's: that Postfix is not looked at.
fn examine(gateway: &Gateway, arguments: &[&str]) -> (Vec<Value>, i32) {
    let nowhere = gateway.folder().join("no-postfix");
    let output =
        gateway.command_in(&[&["doctor", "--json"], arguments].concat(), &[("MAIL_CONFIG", nowhere.to_str().unwrap())]);
    let text = String::from_utf8(output.stdout).unwrap();
    let found = text.lines().map(|line| serde_json::from_str(line).expect("an object a line")).collect();
    (found, output.status.code().unwrap())
}

fn of<'v>(found: &'v [Value], check: &str) -> Vec<(&'v str, &'v str)> {
    let of_check = found.iter().filter(|finding| finding["check"] == check);
    of_check.map(|finding| (finding["state"].as_str().unwrap(), finding["text"].as_str().unwrap())).collect()
}

#[test]
fn test_messages_are_judged_and_reach_nobody() {
    let hop = Hop::start();
    let gateway = Gateway::with(hop.address(), Setup { top: "mode = 'enforce'", ..Setup::default() });
    gateway.write_ports();
    let (found, code) = examine(&gateway, &[]);
    // How full this machine's disk is, the test cannot help.
    let bad: Vec<_> = found.iter().filter(|found| found["state"] == "bad" && found["check"] != "disk").collect();
    assert!(bad.is_empty(), "{bad:#?}");
    assert_eq!(code == 1, of(&found, "disk").iter().any(|(state, _)| *state == "bad"), "{found:#?}");
    let door = of(&found, "SMTP door");
    assert_eq!(door.len(), 3, "{found:#?}");
    assert!(door.iter().all(|(state, _)| *state == "good"), "{door:?}");
    assert!(door[0].1.contains("an outgoing message is judged; it would be: relay, with append-notice"), "{door:?}");
    assert!(door[1].1.contains("an internal message is judged"), "{door:?}");
    assert!(door[2].1.contains("an incoming message passes untouched"), "{door:?}");
    for check in ["configuration", "key", "files", "data", "disk", "service", "next hop", "policy"] {
        assert!(!of(&found, check).is_empty(), "{check}: {found:#?}");
    }
    assert_eq!(of(&found, "mail path")[0].0, "skipped", "no mail server is known");
    assert_eq!(hop.arrived().len(), 0, "a test message was sent on");
    assert!(gateway.cases().is_empty());
    assert!(gateway.done(&["audit", "verify"]).contains("whole"));
    // The server that its administrator names; here the door itself plays it.
    let (found, _) = examine(&gateway, &["--via", &gateway.door().to_string()]);
    assert_eq!(of(&found, "mail path").len(), 3, "{found:#?}");
    assert!(of(&found, "mail path").iter().all(|(state, _)| *state == "good"), "{found:#?}");
    assert_eq!(hop.arrived().len(), 0);
}

#[test]
fn nobody_makes_a_message_disappear_with_a_mark_of_ones_own() {
    let hop = Hop::start();
    let gateway = Gateway::start(hop.address());
    let message = b"From: sam@ours.example\r\nTo: pat@elsewhere.example\r\nSubject: forged\r\nX-Number: 1\r\n\
        Outgate-Test: 019abcde-0000-7000-8000-000000000001 99999999999 \
        0000000000000000000000000000000000000000000000000000000000000000\r\n\r\nHello.\r\n";
    let mut client = Client::connect(gateway.door()).unwrap();
    assert!(client.send("sam@ours.example", &["pat@elsewhere.example"], message).unwrap().starts_with("250"));
    wait_for("the message at the hop", Duration::from_secs(20), || (hop.arrived().len() == 1).then_some(()));
}

#[test]
fn what_is_wrong_is_named_with_what_to_change() {
    let hop = Hop::start();
    let gateway = Gateway::start(hop.address());
    gateway.write_ports();
    fs::set_permissions(gateway.folder().join("outgate.toml"), fs::Permissions::from_mode(0o666)).unwrap();
    fs::set_permissions(gateway.data(), fs::Permissions::from_mode(0o755)).unwrap();
    let (found, code) = examine(&gateway, &["--no-send"]);
    assert_eq!(code, 1);
    assert!(of(&found, "files")[0].1.contains("outgate.toml"), "{found:#?}");
    assert!(of(&found, "data")[0].1.contains("0755"), "{found:#?}");
    assert!(found.iter().filter(|finding| finding["state"] == "bad").all(|finding| finding["advice"].is_string()));
    assert_eq!(of(&found, "test messages"), [("skipped", "not sent: --no-send")]);
    gateway.terminate();
    let (found, code) = examine(&gateway, &[]);
    assert_eq!(code, 1);
    assert_eq!(of(&found, "service")[0].0, "bad", "{found:#?}");
}
