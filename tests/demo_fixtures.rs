//! The messages of the demo are what their names say.

use outgate::mail::{Message, Protection, check};
use std::collections::BTreeMap;

fn fixtures() -> BTreeMap<String, Message> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/demo");
    let entries = std::fs::read_dir(folder).expect("the folder of the demo");
    let read = |path: std::path::PathBuf| {
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        (name, Message::parse(std::fs::read(&path).expect("readable")))
    };
    entries.map(|entry| read(entry.expect("an entry").path())).collect()
}

#[test]
fn each_is_wire_ready_and_read_alike_by_an_independent_parser() {
    let fixtures = fixtures();
    assert!(fixtures.len() >= 24);
    for (name, message) in &fixtures {
        let bytes = message.read(0..message.len());
        let bare = bytes.iter().enumerate().any(|(at, &byte)| match byte {
            b'\n' => at == 0 || bytes[at - 1] != b'\r',
            b'\r' => bytes.get(at + 1) != Some(&b'\n'),
            byte => byte == 0,
        });
        assert!(!bare, "{name}: a bare CR, LF or NUL");
        assert!(bytes.split(|&byte| byte == b'\n').all(|line| line.len() <= 999), "{name}: RFC 5322 2.1.1");
        assert_eq!(message.ambiguous().is_empty(), !name.ends_with("ambiguous"), "{name}: {:?}", message.ambiguous());
        assert!(message.unread().is_empty(), "{name}");
        if message.ambiguous().is_empty() {
            let leaves = |tree: Vec<check::Seen>| {
                tree.into_iter().filter(check::Seen::is_leaf).map(|seen| seen.body).collect::<Vec<_>>()
            };
            assert_eq!(Some(leaves(check::own_tree(message))), check::independent_tree(message).map(leaves), "{name}");
        }
        assert_eq!(message.mailboxes("From").len(), 1, "{name}");
    }
}

#[test]
fn texts_are_shown_as_their_readers_see_them() {
    let fixtures = fixtures();
    let text = |name: &str, part: &str| {
        let message = &fixtures[name];
        let part = message.parts().iter().find(|found| found.id.as_str() == part).expect("that part");
        message.text(part).text
    };
    assert!(text("05-quoted-printable", "1").contains("café opens at ten – please bring the £5"));
    assert!(text("05-quoted-printable", "1").contains("so that it has to be folded."));
    assert!(text("06-base64", "1").contains("first of June – everyone"));
    assert!(text("07-8bit-utf8", "1").contains("Dŷ Gwyn"));
    assert!(text("08-latin1", "1").contains("résumé of the talk costs £2"));
    assert!(text("13-nino-in-html", "2").contains("NI\u{a0}number\tQQ\u{a0}12\u{a0}34\u{a0}56\u{a0}C"));
    assert!(text("02-html", "1").starts_with("Dear Rosa,\nthe summer programme is here: walks, talks & tea.\n"));
    assert_eq!(fixtures["05-quoted-printable"].header("subject").as_deref(), Some("Café on Friday – see you there"));
    assert_eq!(fixtures["08-latin1"].header("subject").as_deref(), Some("Résumé"));
}

#[test]
fn kinds_of_mail() {
    let fixtures = fixtures();
    let protections = |name: &str| fixtures[name].parts().iter().filter_map(|part| part.protection).next();
    assert_eq!(protections("20-smime-encrypted"), Some(Protection::SmimeEncrypted));
    assert_eq!(protections("21-pgp-encrypted"), Some(Protection::PgpEncrypted));
    assert_eq!(protections("22-smime-signed"), Some(Protection::SmimeSigned));
    let automatic: Vec<_> =
        fixtures.iter().filter(|(_, message)| message.is_automatic()).map(|(name, _)| name).collect();
    assert_eq!(automatic, ["23-out-of-office", "24-delivery-report"]);
    let replies: Vec<_> =
        fixtures.iter().filter(|(_, message)| message.is_auto_reply()).map(|(name, _)| name).collect();
    assert_eq!(replies, ["23-out-of-office"]);
    assert_eq!(fixtures["10-many-in-to"].mailboxes("To").len(), 25);
    assert_eq!(fixtures["11-many-in-bcc"].mailboxes("Bcc").len(), 30);
}

#[test]
fn a_quotation_is_not_the_authors_own() {
    let fixtures = fixtures();
    let message = &fixtures["27-reply-quoting-abuse"];
    let text = message.text(message.root());
    let zone_of = |words: &str| text.zone(text.text.find(words).expect("those words")).to_owned();
    assert_eq!(zone_of("Kind regards"), outgate::mail::Zone::Own);
    assert_eq!(zone_of("On Mon"), outgate::mail::Zone::Quoted);
    assert_eq!(zone_of("You are late"), outgate::mail::Zone::Quoted);
    let plain = &fixtures["01-plain"];
    let text = plain.text(plain.root());
    assert_eq!(text.zone(text.text.find("01632").expect("a number")), outgate::mail::Zone::Signature);
}
