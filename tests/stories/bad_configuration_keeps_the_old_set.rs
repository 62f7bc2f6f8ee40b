//! SIGHUP: a bad configuration leaves the old set in force and says where the mistake is; a good one takes over.

use crate::support::{Gateway, Hop, Setup, hand_in, letter};

const BEN: &str = "ben.okafor@ours.example";
const CLAIMS: &[&str] = &["claims@agency.example"];
const NINO: &str = "Her National Insurance number is QQ 12 34 56 C.";

/// Whether such a message is held now.
fn is_held(gateway: &Gateway, hop: &Hop, number: &str) -> bool {
    assert!(hand_in(gateway.door(), BEN, CLAIMS, &letter(number, NINO)).starts_with("250"));
    hop.with_number(number).is_empty()
}

#[test]
fn a_reload_takes_a_good_set_and_no_other() {
    let hop = Hop::start();
    let gateway = Gateway::start(hop.address());
    assert!(is_held(&gateway, &hop, "first"));

    gateway.configure(hop.address(), &Setup { top: "mode = \"wach\"", ..Setup::default() });
    let log = gateway.reload();
    for wanted in ["The new configuration is bad; the old one stays active", "outgate.toml:2:", "enforce", "watch"] {
        assert!(log.contains(wanted), "{wanted} is not in\n{log}");
    }
    assert!(is_held(&gateway, &hop, "a mistake in a value"));

    gateway.configure(hop.address(), &Setup::default());
    let rule = "title = \"Mine\"\npurpose = \"x\"\nmode = \"watch\"\n\n[when]\nsubjct = \"x\"\n\n[then.hold]\ncategory = \"language\"\n";
    gateway.write("local/rules/personal-data-outside.toml", rule);
    let log = gateway.reload();
    assert!(log.contains("local/rules/personal-data-outside.toml:6:"), "{log}");
    assert!(is_held(&gateway, &hop, "a mistake in a rule"));

    std::fs::remove_file(gateway.folder().join("local/rules/personal-data-outside.toml")).unwrap();
    gateway.configure(hop.address(), &Setup { top: "mode = \"watch\"", ..Setup::default() });
    let log = gateway.reload();
    assert!(log.contains("The configuration was read again and is active"), "{log}");
    assert!(!is_held(&gateway, &hop, "watching"), "the new set is in force");
    gateway.configure(hop.address(), &Setup::default());
    gateway.reload();
    assert!(is_held(&gateway, &hop, "enforcing again"));

    let other = Hop::start();
    gateway.configure(other.address(), &Setup { top: "mode = \"watch\"", ..Setup::default() });
    let log = gateway.reload();
    assert!(log.contains("The configuration was read again and is active"), "{log}");
    assert!(!is_held(&gateway, &other, "watching again"), "the new next hop is in force with the rest");
    assert!(hop.with_number("watching again").is_empty(), "and the old one gets nothing more");
    println!(
        "SIGHUP: 2 of 2 bad sets refused with file and line, 3 of 3 good ones taken, the last with another next hop"
    );
}
