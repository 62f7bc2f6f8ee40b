//! Both doors judge and change a message alike: what the SMTP door hands on of M' is what a mail server with the milter hands
//! on of M, below the trace headers, where M' is M as that server passes it on with no filter.
//!
//! Over every fixture, and with `OUTGATE_CORPORA=DIR` over every message in `DIR/mail`.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test that cannot go on fails, and prints its figure")]

mod support;

#[path = "golden/letters.rs"]
#[allow(dead_code, reason = "what the letters are looked at for is another test's")]
mod letters;

use letters::{Becomes, NOTICE, of_charsets, of_clients};
use std::{env, path::Path};
use support::{
    Client, Gateway, Hop, Mta, Outcome, Setup, below_trace, corpora, fixture, fixtures, letter, passed_on, with_crlf,
};

const BEN: &str = "ben.okafor@ours.example";
const ADA: &str = "ada.fenwick@ours.example";
const CLAIMS: &[&str] = &["claims@agency.example"];

fn both_doors(hop: &Hop) -> Gateway {
    Gateway::with(hop.address(), Setup { milter: true, ..Setup::default() })
}

/// What became of the message at the SMTP door, in the words of the other one.
fn by_smtp(gateway: &Gateway, hop: &Hop, client: &mut Client, from: &str, to: &[&str], message: &[u8]) -> Outcome {
    // Letters about holds come there too.
    let arrived = || hop.arrived().into_iter().filter(|arrived| arrived.sender == from).collect::<Vec<_>>();
    let before = arrived().len();
    let reply = client.send(from, to, message).expect("an answer");
    match arrived().get(before) {
        Some(arrived) => Outcome::Accepted(below_trace(&arrived.bytes).to_vec()),
        None if reply.starts_with("250") => Outcome::Discarded,
        None => Outcome::Refused(without_id(&reply)),
    }
    .or_log(gateway)
}

fn by_milter(mta: &mut Mta, from: &str, to: &[&str], message: &[u8]) -> Outcome {
    match mta.hand_in(from, to, message).expect("an answer") {
        Outcome::Accepted(bytes) => Outcome::Accepted(below_trace(&bytes).to_vec()),
        Outcome::Refused(reply) => Outcome::Refused(without_id(&reply)),
        Outcome::Discarded => Outcome::Discarded,
    }
}

/// A refusal's last line names the submission.
fn without_id(reply: &str) -> String {
    let lines = reply.lines().filter(|line| !line.contains("Submission "));
    lines.map(|line| line.replacen(['-', ' '], " ", 1) + "\n").collect()
}

trait OrLog {
    fn or_log(self, gateway: &Gateway) -> Self;
}

impl OrLog for Outcome {
    fn or_log(self, gateway: &Gateway) -> Self {
        if let Outcome::Refused(reply) = &self {
            assert!(!reply.starts_with("451"), "{reply}\n{}", gateway.log());
        }
        self
    }
}

#[test]
fn over_every_message() {
    let hop = Hop::start();
    let gateway = both_doors(&hop);
    let mut messages = fixtures();
    if let Some(folder) = env::var_os("OUTGATE_CORPORA") {
        corpora(&Path::new(&folder).join("mail"), &mut messages);
    }
    let mut client = Client::connect(gateway.door()).unwrap();
    let mut mta = Mta::connect(gateway.milter()).unwrap();
    let (mut kinds, mut differ) = ([0; 3], Vec::new());
    for (name, message) in &messages {
        let left = passed_on(message);
        let smtp = by_smtp(&gateway, &hop, &mut client, BEN, CLAIMS, &left);
        let milter = by_milter(&mut mta, BEN, CLAIMS, message);
        kinds[match smtp {
            Outcome::Accepted(_) => 0,
            Outcome::Discarded => 1,
            Outcome::Refused(_) => 2,
        }] += 1;
        if smtp != milter {
            differ.push(name);
        }
    }
    let [accepted, held, refused] = kinds;
    println!(
        "doors agree: {} of {} differ ({accepted} handed on, {held} held, {refused} refused)",
        differ.len(),
        messages.len()
    );
    assert!(accepted > 0 && held > 0 && refused > 0, "every disposition is among them");
    assert!(differ.is_empty(), "{differ:?}");
}

/// The golden set, by a rule that does nothing but append the notice.
#[test]
fn the_golden_letters_leave_both_doors_as_expected() {
    let hop = Hop::start();
    let rule = "title = 'notice'\npurpose = 'a story'\nmode = 'enforce'\n[when]\noutside = true\n[then.append-notice]\nnotice = \
                'confidential'\nreplies = 'always'\nfallback = 'relay'\n[[test]]\nname = 'outside'\nexpect = 'match'\nto = \
                ['x@elsewhere.example']\n[[test]]\nname = 'inside'\nexpect = 'no match'\nto = ['x@ours.example']\n";
    let policy = format!(
        "organisation = 'Test'\nown-domains = ['ours.example']\n[[clause]]\nid = '1'\ntext = 'Notices.'\nenforced-by = ['confidential']\n\
         [notices.confidential]\nplain = \"\"\"\n{NOTICE}\n\"\"\"\nhtml = \"\"\"\n<p>{}</p>\n\"\"\"\n",
        NOTICE.replace("\n\n", "</p>\n<p>")
    );
    let files = vec![("local/rules/confidential.toml", rule.to_string()), ("local/policies/own/policy.toml", policy)];
    let setup = Setup { policies: &["policies/own"], files, milter: true, ..Setup::default() };
    let gateway = Gateway::with(hop.address(), setup);
    let mut client = Client::connect(gateway.door()).unwrap();
    let mut mta = Mta::connect(gateway.milter()).unwrap();
    let (mut noticed, mut wrong) = (0, Vec::new());
    let letters: Vec<_> = of_clients().into_iter().chain(of_charsets()).collect();
    for letter in &letters {
        let message = with_crlf(&letter.bytes);
        let left = passed_on(&message);
        let smtp = by_smtp(&gateway, &hop, &mut client, ADA, CLAIMS, &left);
        let milter = by_milter(&mut mta, ADA, CLAIMS, &message);
        let changed = matches!(letter.becomes(), Becomes::Noticed | Becomes::Added);
        noticed += usize::from(changed);
        match &smtp {
            _ if smtp != milter => wrong.push(format!("{}: the doors differ", letter.name)),
            Outcome::Accepted(bytes) if (bytes == &left) == changed => {
                wrong.push(format!("{}: not {}", letter.name, letter.what));
            }
            Outcome::Accepted(bytes) => {
                let expected = std::fs::read(letters::folder().join(format!("expected/{}.eml", letter.name)));
                // A field's name that a mail server writes anew is another than in the file.
                if left == message && expected.is_ok_and(|expected| with_crlf(&expected) != *bytes) {
                    wrong.push(format!("{}: not as in expected/", letter.name));
                }
            }
            other => wrong.push(format!("{}: {other:?}", letter.name)),
        }
    }
    println!("golden: {} letters through both doors, {noticed} with the notice, {} wrong", letters.len(), wrong.len());
    assert!(noticed >= 150 && wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn servers_of_all_versions_get_the_same_message() {
    let hop = Hop::start();
    let gateway = both_doors(&hop);
    let message = letter("versions", "A letter to a client.");
    let outcome = |mut mta: Mta| by_milter(&mut mta, BEN, CLAIMS, &message);
    let newest = outcome(Mta::connect(gateway.milter()).unwrap());
    assert!(matches!(&newest, Outcome::Accepted(bytes) if bytes.len() > message.len()), "with the notice: {newest:?}");
    for (version, actions, steps) in
        [(2, 0x3f, 0x7f), (3, 0x3f, 0x1ff), (4, 0x3f, 0x3ff), (5, 0x3f, 0x3ff), (6, 0x1ff, 0)]
    {
        let mta = Mta::speaking(gateway.milter(), version, actions, steps).unwrap();
        assert_eq!(outcome(mta), newest, "version {version}");
    }
}

#[test]
fn a_server_that_takes_no_changes_never_passes_on_what_needed_some() {
    let hop = Hop::start();
    let gateway = both_doors(&hop);
    // Only new headers: the many recipients cannot be hidden, and the rule's fallback is to hold.
    let mut mta = Mta::speaking(gateway.milter(), 6, 0x01, 0x1f_ffff).unwrap();
    assert_eq!(mta.hand_in(BEN, CLAIMS, &fixture("10-many-in-to")).unwrap(), Outcome::Discarded);
}

#[test]
fn incoming_mail_is_not_touched_and_a_login_is_believed() {
    let hop = Hop::start();
    let gateway = both_doors(&hop);
    let mut mta = Mta::connect(gateway.milter()).unwrap();
    let message = letter("incoming", "Her National Insurance number is QQ 12 34 56 C.");
    let foreign = String::from_utf8(message).unwrap().replace(BEN, "client@agency.example").into_bytes();
    let outcome = mta.hand_in("client@agency.example", &["office@ours.example"], &foreign).unwrap();
    assert_eq!(outcome, Outcome::Accepted(foreign.clone()), "not even a trace");
    // The same by someone who is logged in is our own people's mail.
    let outcome = mta.hand_in_as("client@agency.example", &["office@ours.example"], &foreign, Some("ben")).unwrap();
    assert_ne!(outcome, Outcome::Accepted(foreign));
}

#[test]
fn a_held_message_is_discarded_once_and_a_retry_joins_it() {
    let hop = Hop::start();
    let gateway = both_doors(&hop);
    let message = letter("held", "Her National Insurance number is QQ 12 34 56 C.");
    for _ in 0..3 {
        // The server's client may never have heard the answer.
        let mut mta = Mta::connect(gateway.milter()).unwrap();
        assert_eq!(mta.hand_in(BEN, CLAIMS, &message).unwrap(), Outcome::Discarded);
        mta.quit().unwrap();
    }
    assert_eq!(gateway.cases().len(), 1);
    let log = gateway.log();
    let id = gateway.cases()[0]["id"].as_str().unwrap().to_string();
    let line = log.lines().find(|line| line.contains("told to discard")).expect("the log says so");
    assert!(line.contains("4QUEUE1D") && line.contains(&id), "{line}");
    // It leaves by the next hop, and what comes back to the door with our pass is not judged again.
    gateway.done(&["case", "release", &id, "--reason", "checked"]);
    let released = support::wait_for("the release", std::time::Duration::from_secs(20), || {
        hop.arrived().into_iter().find(|arrived| arrived.recipients == CLAIMS)
    });
    let mut mta = Mta::connect(gateway.milter()).unwrap();
    let Outcome::Accepted(bytes) = mta.hand_in(BEN, CLAIMS, &released.bytes).unwrap() else { panic!("it passes") };
    assert!(!String::from_utf8_lossy(&bytes).contains("Outgate-Pass"), "the pass is taken off");
}

#[test]
fn what_is_no_milter_protocol_ends_the_connection_and_nothing_else() {
    let hop = Hop::start();
    let gateway = both_doors(&hop);
    for babble in
        [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0xff; 64], b"\0\0\0\x01M", b"\0\0\0\x0dO\0\0\0\x01\0\0\0\0\0\0\0\0"]
    {
        let mut stream = std::net::TcpStream::connect(gateway.milter()).unwrap();
        stream.set_read_timeout(Some(std::time::Duration::from_secs(20))).unwrap();
        std::io::Write::write_all(&mut stream, babble).unwrap();
        let mut answer = Vec::new();
        // Ended, in order or by a reset.
        let _ = std::io::Read::read_to_end(&mut stream, &mut answer);
        assert!(answer.is_empty(), "{answer:?}");
    }
    // A message told half, and the server gone: nothing is left of it.
    let mut mta = Mta::connect(gateway.milter()).unwrap();
    mta.send(b'M', format!("<{BEN}>\0").as_bytes()).unwrap();
    drop(mta);
    let mut mta = Mta::connect(gateway.milter()).unwrap();
    let outcome = mta.hand_in(BEN, CLAIMS, &letter("after", "A letter.")).unwrap();
    assert!(matches!(outcome, Outcome::Accepted(_)), "{outcome:?}");
    assert!(gateway.health("/readyz").starts_with("HTTP/1.1 200"));
}

/// A server that splits a message may use both doors for it; the log names the case for the queue id.
#[test]
fn the_transactions_of_one_message_are_one_case_at_both_doors() {
    let hop = Hop::start();
    let gateway = both_doors(&hop);
    let message = letter("split", "Her National Insurance number is QQ 12 34 56 C.");
    let mut mta = Mta::connect(gateway.milter()).unwrap();
    assert_eq!(mta.hand_in(BEN, CLAIMS, &message).unwrap(), Outcome::Discarded);
    let id = gateway.cases()[0]["id"].as_str().unwrap().to_string();
    assert_eq!(mta.hand_in(BEN, &["b@agency.example"], &message).unwrap(), Outcome::Discarded);
    let answer = support::hand_in(gateway.door(), BEN, &["c@agency.example"], &message);
    assert_eq!(answer, format!("250 2.0.0 Taken as {id}"));
    let cases = gateway.cases();
    assert_eq!((cases.len(), cases[0]["to"].as_array().unwrap().len()), (1, 3));
    let log = gateway.log();
    let named = |line: &&str| line.contains("told to discard") && line.contains(&format!("case={id}"));
    assert_eq!(log.lines().filter(named).count(), 2, "{log}");
}
