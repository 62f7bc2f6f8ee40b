//! `outgate diff`: what would be changed in the fixtures of the demo, as an administrator sees it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{path::Path, process::Command};

/// Exit code and output.
fn diff(arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_outgate"));
    command.current_dir(Path::new(env!("CARGO_MANIFEST_DIR"))).arg("diff").args(arguments);
    let output = command.output().unwrap();
    (output.status.code(), String::from_utf8(output.stdout).unwrap())
}

const NOTICE: &str =
    "This message may be confidential. If it was not meant for you, please tell the sender and delete it.";

#[test]
fn what_is_changed_is_shown_where_it_stands() {
    let (code, told) = diff(&["fixtures/demo/03-alternative.eml"]);
    let expected = format!(
        "fixtures/demo/03-alternative.eml: relay\npart 1 (text/plain)\n    …\n\n    Ada\n  +\n  + {NOTICE}\npart 2 (text/html, as \
         displayed)\n    …\n    the minutes are agreed. Next time we meet in March.\n    Ada\n  + {NOTICE}\nbyte for byte as it \
         came: the header\n"
    );
    assert_eq!((code, told.replace("  \n", "\n")), (Some(0), expected));
}

#[test]
fn exit_codes_and_reasons() {
    for (name, code, reason) in [
        ("12-nino-in-text", 10, "+ This message may be confidential."),
        ("10-many-in-to", 0, "  25 addresses are no longer seen by the recipients\n"),
        (
            "22-smime-signed",
            0,
            "could not be changed: append-notice: the message is signed or encrypted (smime-signed) (rule",
        ),
        ("24-delivery-report", 0, "left alone: no rule that holds for this message asks for a change\n"),
        ("25-incoming", 0, "left alone: incoming mail passes untouched\n"),
        ("28-calendar-invitation", 0, "left alone: append-notice: a calendar invitation\n"),
        ("29-notice-already-there", 0, "left alone: append-notice: already there\n"),
    ] {
        let (found, told) = diff(&[&format!("fixtures/demo/{name}.eml")]);
        assert_eq!(found, Some(code), "{name}: {told}");
        assert!(told.contains(reason), "{name}: {told}");
    }
    assert_eq!(diff(&["fixtures/demo/no-such-file.eml"]).0, Some(2));
}

#[test]
fn as_json() {
    let (code, line) = diff(&["--json", "fixtures/demo/10-many-in-to.eml"]);
    let object: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!((code, &object["disposition"], &object["hidden"]), (Some(0), &"relay".into(), &25.into()));
    assert_eq!(object["header"][1], serde_json::json!({"op": "+", "text": "To: undisclosed-recipients:;"}));
    let text = object["parts"][0]["text"].as_array().unwrap();
    assert_eq!(text.last().unwrap()["text"], NOTICE);
}

#[test]
fn a_signature_that_the_change_breaks_is_shown_going_and_the_new_one_coming() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_string();
    let outgate = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_outgate")).args(arguments).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let keygen = ["--domain", "ours.example", "--selector", "gate", "--out", &path("gate.pem")];
    outgate(&[&["dkim", "keygen"][..], &keygen].concat());
    let configuration = format!(
        "policy = [\"policies/baseline\"]\n[smtp]\nlisten = [\"127.0.0.1:0\"]\n[next-hop]\naddress = \"127.0.0.1:25\"\n[[dkim]]\ndomain = \
         \"ours.example\"\npolicy = \"sign\"\n[[dkim.key]]\nselector = \"gate\"\nkey-file = \"{}\"\n",
        path("gate.pem")
    );
    std::fs::write(path("outgate.toml"), configuration).unwrap();
    let signature = "DKIM-Signature: v=1; a=rsa-sha256; d=ours.example; s=old; h=from:subject; bh=AAAA; b=AAAA";
    let text = format!(
        "{signature}\r\nFrom: ann@ours.example\r\nTo: ben@elsewhere.example\r\nSubject: Outing\r\nDate: Mon, 02 Nov 2026 10:00:00 \
         +0000\r\n\r\nAt nine.\r\n"
    );
    std::fs::write(path("letter.eml"), &text).unwrap();
    let with = ["--config", &path("outgate.toml")];
    let told = outgate(&[&with[..], &["diff", "--from", "ann@ours.example", &path("letter.eml")]].concat());
    assert!(told.contains(&format!("  - {signature}\n")), "{told}");
    assert!(
        told.contains("  + DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=ours.example; s=gate"),
        "{told}"
    );
    let check = ["check", "--from", "ann@ours.example", "--output", &path("left.eml"), &path("letter.eml")];
    outgate(&[&with[..], &check].concat());
    let left = std::fs::read_to_string(path("left.eml")).unwrap();
    assert!(left.starts_with("DKIM-Signature: ") && !left.contains("s=old") && left.contains(NOTICE), "{left}");
}
