//! No word and no address of a message lies in the data folder in clear: not while it is held, not after it was erased,
//! while the service runs and after it ended. An erased case shows nothing any more, and its sealed file is gone.

use crate::support::{Dice, Gateway, Hop, found_in, hand_in, wait_for};
use std::{fs, path::Path, time::Duration};

const SENDER: &str = "quillfeather@ours.example";
const CANARIES: &[&str] =
    &["quillfeather", "marzipandragon", "brambleotter", "snowglobe77", "lanternfish", "QQ 12 34 56 C"];

fn message() -> Vec<u8> {
    // Long enough, however well it is packed, for an outbox item in a file of its own.
    let mut dice = Dice::new(7);
    let line = |_| format!("The lanternfish swims {:x}. Her NI number is QQ 12 34 56 C.\r\n", dice.below(u64::MAX));
    let text: String = (0..5_000).map(line).collect();
    format!(
        "From: Q <{SENDER}>\r\nTo: brambleotter@agency.example\r\nSubject: marzipandragon\r\n\
         Message-ID: <snowglobe77@ours.example>\r\n\r\n{text}"
    )
    .into_bytes()
}

fn files(folder: &Path) -> usize {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.map(|path| if path.is_dir() { files(&path) } else { 1 }).sum()
}

fn assert_clean(gateway: &Gateway, when: &str) {
    let found = found_in(&gateway.data(), CANARIES);
    assert!(found.is_empty(), "{when}: {found:?}");
}

#[test]
fn the_words_and_addresses_of_an_erased_case_are_in_no_file() {
    let hop = Hop::start();
    let gateway = Gateway::start(hop.address());
    let to = &["brambleotter@agency.example"];
    let door = gateway.door();
    assert!(hand_in(door, SENDER, to, &message()).starts_with("250"));
    assert_clean(&gateway, "held");
    let id = gateway.case("marzipandragon")["id"].as_str().unwrap().to_string();
    hop.wait_for("the notice", |arrived| arrived.recipients == [SENDER]);

    // One is erased while its release waits in the outbox, with the service running.
    hop.down();
    gateway.done(&["case", "release", &id, "--reason", "marzipandragon asked for it"]);
    assert_clean(&gateway, "released");
    assert!(files(&gateway.data().join("blobs")) >= 2, "the message and its release are files");
    let said = gateway.command(&["case", "erase", &id, "--reason", "brambleotter asked for it"]);
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    assert_clean(&gateway, "erased, running");
    wait_for("the sealed files to go", Duration::from_secs(20), || {
        (files(&gateway.data().join("blobs")) == 0).then_some(())
    });
    let case = gateway.cases().remove(0);
    assert_eq!(case["state"], "erased");
    assert!(case["from"].is_null() && case["subject"].is_null() && case["to"] == serde_json::json!([]), "{case}");
    assert!(!gateway.command(&["case", "release", &id]).status.success(), "there is nothing to release");

    hop.up();
    std::thread::sleep(Duration::from_secs(6));
    assert!(hop.arrived().iter().all(|arrived| arrived.sender.is_empty()), "the release went with its case");
    gateway.restart();
    assert_clean(&gateway, "erased, started again");
    let (status, _) = gateway.terminate();
    assert!(status.success());
    assert_clean(&gateway, "erased, stopped");
    gateway.done(&["audit", "verify"]);
    println!("case erase: {} canaries in 0 files, before, after and while it runs; book whole", CANARIES.len());
}
