use super::*;

fn message(text: &str) -> Message {
    Message::parse(text.replace('\n', "\r\n").into_bytes())
}

fn told(before: &str, after: &str) -> String {
    let told = Told::of_change(&message(before), &message(after));
    told.in_words(Path::new("m"), Fate::Judged(crate::policy::Disposition::Relay))
}

const MIXED: &str = "Subject: s\nContent-Type: multipart/mixed; boundary=b\n\n--b\n";
const FILE: &str = "\n--b\nContent-Type: application/pdf\n\nx\n--b--\n";

#[test]
fn a_part_that_is_written_otherwise_shows_its_header_too() {
    let before = format!("{MIXED}\nOne\nTwo{FILE}");
    let after = format!("{MIXED}Content-Transfer-Encoding: quoted-printable\n\nOne\nTwo=\nCosts =A35{FILE}");
    assert_eq!(
        told(&before, &after.replace("Two=\n", "Two\n")),
        "m: relay\npart 1 (text/plain)\n  + Content-Transfer-Encoding: quoted-printable\n    One\n    Two\n  + Costs £5\n\
         byte for byte as it came: the header and 1 part"
    );
}

#[test]
fn markup_that_nobody_sees_is_shown_as_it_is_written() {
    let head = "Content-Type: text/html\n\n<p>Hi</p>\n";
    let told = told(head, &format!("{head}<img src=\"cid:mark\" alt=\"\">\n"));
    assert!(told.contains("\n    <p>Hi</p>\n  + <img src=\"cid:mark\" alt=\"\">"), "{told}");
}

#[test]
fn a_message_that_becomes_a_part_of_another() {
    let before = format!("{MIXED}\nOne{FILE}");
    let after = format!(
        "Subject: s\nContent-Type: multipart/mixed; boundary=o\n\n--o\n\nA notice\n--o\nContent-Type: multipart/mixed; \
         boundary=b\n\n--b\n\nOne{FILE}--o--\n"
    );
    let told = told(&before, &after);
    assert!(told.contains("part 1 is new (text/plain)\n  + A notice\n"), "{told}");
    assert!(told.ends_with("byte for byte as it came: 2 parts"), "{told}");
}

#[test]
fn text_of_others_does_not_move_the_cursor() {
    let told = told("Subject: a\n\nx\n", "Subject: =?utf-8?q?=1B[2J=E2=80=AEb?=\n\n\u{1b}[31mx\n");
    assert!(told.contains("+ Subject: \u{fffd}[2J\u{fffd}b") && !told.contains('\u{1b}'), "{told:?}");
}

#[test]
fn addresses_that_the_recipients_see_no_more_are_counted_once() {
    let before = "To: A <a@x.example>, b@x.example\nCc: a@x.example\n\nx\n";
    let told = told(before, "To: undisclosed-recipients:;\n\nx\n");
    assert!(told.contains("\n  2 addresses are no longer seen by the recipients"), "{told}");
}
