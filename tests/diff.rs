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
