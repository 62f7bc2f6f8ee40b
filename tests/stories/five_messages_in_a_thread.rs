//! Two people write to each other five times. Each notice stands in those of our messages that its rule says, once, whatever
//! is quoted, through either door, whether or not the gateway was killed in between; and what went through twice is as it was.

use crate::support::{Gateway, Hop, Mta, Outcome, Setup, below_trace, hand_in};

const BEN: &str = "ben.okafor@ours.example";
const CLAIMS: &str = "claims@agency.example";

/// Notice and rule.
const RULES: [(&str, &str, &str); 3] = [
    ("each", "always", "Each letter of ours says this."),
    ("first", "once-per-thread", "The first letter of ours says this."),
    ("opening", "never", "Only what answers nothing says this."),
];

fn files() -> Vec<(&'static str, String)> {
    let rules = ["local/rules/each.toml", "local/rules/first.toml", "local/rules/opening.toml"];
    let rules = RULES.iter().zip(rules).map(|((name, replies, _), path)| {
        let rule = format!(
            "title = '{name}'\npurpose = 'a story'\nmode = 'enforce'\n[when]\noutside = true\n[then.append-notice]\nnotice = '{name}'\n\
             replies = '{replies}'\n[[test]]\nname = 'outside'\nexpect = 'match'\nto = ['x@elsewhere.example']\n[[test]]\n\
             name = 'inside'\nexpect = 'no match'\nto = ['x@ours.example']\n"
        );
        (path, rule)
    });
    let notices: String = RULES.iter().map(|(name, _, text)| format!("[notices.{name}]\nplain = '{text}'\n")).collect();
    let policy = format!(
        "organisation = 'Test'\nown-domains = ['ours.example']\n[[clause]]\nid = '1'\ntext = 'Notices.'\n\
         enforced-by = ['each', 'first', 'opening']\n{notices}"
    );
    rules.chain([("local/policies/own/policy.toml", policy)]).collect()
}

fn gateway(hop: &Hop) -> Gateway {
    let setup = Setup { policies: &["policies/own"], files: files(), milter: true, ..Setup::default() };
    Gateway::with(hop.address(), setup)
}

/// The `n`th message of the thread, which answers `before`, the bytes that the other one got.
fn message(thread: &str, n: usize, ours: bool, before: Option<&[u8]>) -> Vec<u8> {
    let (from, to) = if ours { (BEN, CLAIMS) } else { (CLAIMS, BEN) };
    let id = |n: usize| format!("<{thread}.{n}@mail.example>");
    let thread_of = match n {
        1 => String::new(),
        _ => {
            let references: Vec<String> = (1..n).map(id).collect();
            format!("In-Reply-To: {}\r\nReferences: {}\r\n", id(n - 1), references.join("\r\n "))
        }
    };
    let quoted: String = before.map_or(String::new(), |before| {
        let text = String::from_utf8(before.to_vec()).unwrap();
        let (_, body) = text.split_once("\r\n\r\n").unwrap();
        let lines: String = body.lines().map(|line| format!("> {line}\r\n")).collect();
        format!("\r\nOn Thu, 4 Jun 2026 at 21:0{n}, the other <{to}> wrote:\r\n{lines}")
    });
    let subject = if n == 1 { "The parcels" } else { "Re: The parcels" };
    format!(
        "From: {from}\r\nTo: {to}\r\nSubject: {subject}\r\nMessage-ID: {}\r\nDate: Thu, 04 Jun 2026 21:0{n}:00 +0100\r\n{thread_of}\
         MIME-Version: 1.0\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\nLetter {n}.\r\n{quoted}",
        id(n)
    )
    .into_bytes()
}

/// Which notices stand in it, outside of all quotations; each at most once, in front of the quotation.
fn notices(bytes: &[u8]) -> Vec<&'static str> {
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    let own: Vec<&str> = text.lines().filter(|line| !line.starts_with('>')).collect();
    let quote = text.lines().position(|line| line.starts_with('>')).unwrap_or(usize::MAX);
    let stands = RULES.iter().filter(|(name, _, notice)| {
        let times = own.iter().filter(|line| line.contains(notice)).count();
        assert!(times <= 1, "{name} stands there {times} times:\n{text}");
        let at = text.lines().position(|line| line == *notice);
        assert!(at.is_none_or(|at| at < quote), "{name} stands behind the quotation:\n{text}");
        times == 1
    });
    stands.map(|(name, ..)| *name).collect()
}

/// What the next hop gets, below the trace.
fn through(gateway: &Gateway, hop: &Hop, milter: bool, from: &str, to: &str, message: &[u8]) -> Vec<u8> {
    if milter {
        let mut mta = Mta::connect(gateway.milter()).unwrap();
        let Outcome::Accepted(bytes) = mta.hand_in(from, &[to], message).unwrap() else { panic!("not accepted") };
        // A message that passes untouched gets no trace of ours at this door.
        return if bytes.starts_with(b"Received:") { below_trace(&bytes).to_vec() } else { bytes };
    }
    let before = hop.arrived().len();
    let answer = hand_in(gateway.door(), from, &[to], message);
    assert!(answer.starts_with("250"), "{answer}\n{}", gateway.log());
    below_trace(&hop.arrived()[before].bytes).to_vec()
}

fn five(gateway: &Gateway, hop: &Hop, thread: &str, milter: bool, we_begin: bool) -> Vec<Vec<&'static str>> {
    let mut found = Vec::new();
    let mut last: Option<Vec<u8>> = None;
    for n in 1..=5 {
        let ours = (n % 2 == 1) == we_begin;
        let written = message(thread, n, ours, last.as_deref());
        let (from, to) = if ours { (BEN, CLAIMS) } else { (CLAIMS, BEN) };
        let arrived = through(gateway, hop, milter, from, to, &written);
        if ours {
            found.push(notices(&arrived));
            let again = through(gateway, hop, milter, from, to, &arrived);
            assert!(again == arrived, "{thread} {n}: changed on its second way through");
        } else {
            assert!(arrived == written, "{thread} {n}: incoming mail was changed");
        }
        if n == 3 {
            gateway.kill();
            gateway.launch();
        }
        last = Some(arrived);
    }
    found
}

#[test]
fn each_notice_stands_where_its_rule_says() {
    let hop = Hop::start();
    let gateway = gateway(&hop);
    for milter in [false, true] {
        let first = vec!["each", "first", "opening"];
        let later = vec!["each"];
        assert_eq!(
            five(&gateway, &hop, &format!("ours-{milter}"), milter, true),
            [first.clone(), later.clone(), later.clone()]
        );
        // They began: our first answer has what goes once into the thread, and not what only openings have.
        assert_eq!(five(&gateway, &hop, &format!("theirs-{milter}"), milter, false), [vec!["each", "first"], later]);
    }
    gateway.done(&["audit", "verify"]);
    println!("threads: 4 of five messages, 10 of ours, each notice where its rule says");
}
