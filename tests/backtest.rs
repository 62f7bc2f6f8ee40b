//! `outgate rules diff` and `outgate rules backtest`: what another set changes, before it does.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Two sets: the baseline, and the same with other figures, a rule of its own and one only watched.
struct Sets {
    folder: tempfile::TempDir,
}

const PEOPLE: &str = "address,name,groups\nben.okafor@ours.example,Ben Okafor,care@ours.example\n";

const OWN_RULE: &str = "title = 'No minibus by mail'\npurpose = 'a story'\nmode = 'enforce'\n[when]\nsubject-contains = ['minibus']\n\
    outside = true\n[then.return-to-sender]\n[[test]]\nname = 'one'\nexpect = 'match'\nsubject = 'The minibus'\nto = ['x@elsewhere.example']\n\
    [[test]]\nname = 'two'\nexpect = 'no match'\nsubject = 'The train'\nto = ['x@elsewhere.example']\n";

impl Sets {
    fn new() -> Self {
        let sets = Self { folder: tempfile::tempdir().unwrap() };
        let settings = "policy = [\"policies/baseline\"]\n[smtp]\nlisten = [\"127.0.0.1:0\"]\n[next-hop]\naddress = \"127.0.0.1:25\"\n\
                        [directory]\nfile = \"people.csv\"\n";
        let shipped = fs::read_to_string(shipped("config/policies/baseline/policy.toml")).unwrap();
        for set in ["now", "candidate"] {
            sets.write(&format!("{set}/outgate.toml"), settings);
            sets.write(&format!("{set}/people.csv"), PEOPLE);
        }
        let with_own = shipped.replacen("enforced-by = [", "enforced-by = [\"no-minibus\", ", 1);
        let own = format!(
            "{with_own}\n[rules.hide-recipients]\nvisible-recipients-over = 2\n[rules.personal-data-outside]\nmode = \"watch\"\n"
        );
        assert_ne!(with_own, shipped);
        sets.write("candidate/local/policies/baseline/policy.toml", &own);
        sets.write("candidate/local/rules/no-minibus.toml", OWN_RULE);
        sets
    }

    fn path(&self, below: &str) -> PathBuf {
        self.folder.path().join(below)
    }

    fn write(&self, below: &str, text: &str) {
        let path = self.path(below);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Exit code, output and errors.
    fn outgate(&self, arguments: &[&str]) -> (i32, String, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_outgate"));
        command.current_dir(self.folder.path()).args(["--config", "now/outgate.toml"]).args(arguments);
        let output = command.output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
    }
}

fn shipped(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn letter(subject: &str, to: &str, body: &str) -> String {
    format!(
        "From: Ben Okafor <ben.okafor@ours.example>\nTo: {to}\nSubject: {subject}\nDate: Mon, 02 Nov 2026 10:00:00 +0000\nMessage-ID: \
         <{}@ours.example>\n\n{body}\n",
        subject.len()
    )
}

#[test]
fn what_differs_is_said_in_words() {
    let sets = Sets::new();
    let (code, told, errors) = sets.outgate(&["rules", "diff", "candidate/outgate.toml"]);
    assert_eq!(code, 1, "{errors}");
    for line in [
        "rule hide-recipients: [when] visible-recipients-over 20 becomes visible-recipients-over 2",
        "rule no-minibus: is new, enforce: No minibus by mail",
        "rule personal-data-outside: mode enforce becomes watch",
    ] {
        assert!(told.lines().any(|one| one == line), "{line}\nnot in\n{told}");
    }
    assert_eq!(told.lines().count(), 4, "with the clause that the new rule serves, and nothing else: {told}");
    assert_eq!(sets.outgate(&["rules", "diff", "now/outgate.toml"]), (0, String::new(), String::new()));

    let list = "language: en\ncategory: chain-letter\nexcerpt: clear\ntype: CHAIN_LETTER\nsource: own\nlicence: own\n---\n[category: \
                chain-letter]\npass this on to nine cousins\n";
    sets.write("now/local/wordlists/en/cousins.txt", list);
    sets.write("candidate/local/wordlists/en/cousins.txt", &list.replace("nine", "ten").replace("own", "house"));
    let (_, told, _) = sets.outgate(&["rules", "diff", "candidate/outgate.toml"]);
    assert!(told.ends_with("\nlist cousins.txt: 3 lines are new, 3 go\n") && !told.contains("cousins\n"), "{told}");
    let (code, _, errors) = sets.outgate(&["rules", "diff", "no-such-file.toml"]);
    assert!(code == 2 && errors.contains("no-such-file.toml"), "{errors}");
}

#[test]
fn past_messages_are_counted_by_both_sets() {
    let sets = Sets::new();
    let nino = "Her number is QQ 12 34 56 C, and his national insurance number is AB 12 34 56 C.";
    sets.write("past/one.eml", &letter("Minibus", "claims@agency.example", "At nine."));
    sets.write("past/cur/1783000000.M1.host:2,S", &letter("Case", "claims@agency.example", nino));
    let many = "amy@north.example, bob@south.example, cleo@west.example";
    let two = ["Outing", "Again"].map(|subject| {
        format!("From ben@ours.example Mon Nov  2 10:00:00 2026\n{}\n", letter(subject, many, "Hello."))
    });
    sets.write("past/old.mbox", &two.concat());
    sets.write(
        "past/incoming.eml",
        &letter("Hi", "ben.okafor@ours.example", "Hello.")
            .replace("Ben Okafor <ben.okafor@ours.example>", "x@else.example"),
    );
    sets.write("past/nobody.eml", "From: ben.okafor@ours.example\nSubject: x\n\nHello.\n");

    let (code, line, errors) =
        sets.outgate(&["--json", "rules", "backtest", "--against", "past", "--candidate", "candidate/outgate.toml"]);
    assert_eq!((code, &*errors), (0, ""));
    let object: Value = serde_json::from_str(&line).unwrap();
    assert_eq!((&object["messages"], &object["incoming"]), (&5.into(), &1.into()), "{line}");
    assert_eq!(object["not_judged"]["no-recipient"], 1, "{line}");
    assert_eq!(object["now"], serde_json::json!({"relay": 4, "return": 0, "hold": 1, "try-later": 0}), "{line}");
    assert_eq!(object["candidate"], serde_json::json!({"relay": 4, "return": 1, "hold": 0, "try-later": 0}), "{line}");
    let changed = serde_json::json!({"new_holds": 0, "vanished_holds": 1, "new_returns": 1, "vanished_returns": 0});
    assert_eq!((&object["changed"], &object["groups"]["care@ours.example"]), (&changed, &changed), "{line}");
    let rule =
        |name: &str| object["rules"].as_array().unwrap().iter().find(|rule| rule["rule"] == name).unwrap().clone();
    let hide = serde_json::json!({"rule": "hide-recipients", "mode": "enforce", "now": 0, "candidate": 2, "gained": 2, "lost": 0});
    assert_eq!(rule("hide-recipients"), hide);
    // A rule that only watches still matches.
    assert_eq!(
        (rule("personal-data-outside")["mode"].as_str(), rule("personal-data-outside")["lost"].as_u64()),
        (Some("watch"), Some(0))
    );

    let (_, told, _) =
        sets.outgate(&["rules", "backtest", "--against", "past", "--candidate", "candidate/outgate.toml"]);
    for part in [
        "5 messages judged, 1 of them incoming",
        "1 not judged: no recipient",
        "new returns 1",
        "(+2, -0)",
        "care@ours.example: new holds 0, vanished holds 1",
    ] {
        assert!(told.contains(part), "{part}\nnot in\n{told}");
    }
    // Nothing of what is in the messages, nor who wrote them.
    for word in ["Minibus", "QQ 12", "ben.okafor", "agency", "Okafor"] {
        assert!(!told.contains(word) && !line.contains(word), "{word}");
    }
    let (_, alone, _) = sets.outgate(&["rules", "backtest", "--against", "past"]);
    assert!(alone.contains("hold ") && !alone.contains("candidate"), "{alone}");
    let (code, _, errors) = sets.outgate(&["rules", "backtest", "--against", "nowhere"]);
    assert!(code == 2 && errors.starts_with("nowhere: "), "{errors}");
}
