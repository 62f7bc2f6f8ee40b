//! Fields of the sender come from the directory, the text from who they are and where it goes, and of the legal identity only what
//! the author does not say themselves. A reload takes the new directory; a bad one changes nothing.

use crate::support::{Gateway, Hop, Setup, below_trace, hand_in};

const CLAIMS: &str = "claims@agency.example";

const RULE: &str = "title = 'Footer'\npurpose = 'a story'\nmode = 'enforce'\n[when]\ndirection = ['outbound', 'internal']\n\
    [then.append-notice]\nnotice = 'footer'\n[[test]]\nname = 'outside'\nexpect = 'match'\nto = ['x@elsewhere.example']\n[[test]]\n\
    name = 'foreign'\nexpect = 'no match'\nfrom = 'x@elsewhere.example'\nto = ['y@elsewhere.example']\n";

const POLICY: &str = r#"
organisation = "Example Trust"
own-domains  = ["ours.example"]

[[clause]]
id          = "1"
text        = "Who we are."
enforced-by = ["footer", "legal-identity"]

[legal]
name           = "Example Trust"
kind           = "charitable-incorporated-organisation"
charity-number = "1234567"
contact        = ""

[notices.footer]
html = """
<p><b>{{sender.name}}</b><br>
{{sender.title}}<br>
Tel. <a href="tel:{{sender.phone}}">{{sender.phone}}</a></p>
"""

[[notices.footer.when]]
direction = "internal"
plain     = "{{sender.name | sender.address}}, {{organisation.name}}"

[[notices.footer.when]]
group = "advice@ours.example"
plain = "The advice team\n{{sender.phone}}"
"#;

const PEOPLE: &str = "address,name,job title,phone,groups\n\
    ann@ours.example,Ann <b>Example</b> & co,Advocate,020 7946 0000,\nbob@ours.example,Bob Example,,,\n\
    cy@ours.example,Cy Example,,020 7946 0001,advice@ours.example\n";

/// The body as the next hop gets it.
fn sent(gateway: &Gateway, hop: &Hop, from: &str, to: &str, text: &str) -> String {
    let before = hop.arrived().len();
    let head = format!("From: {from}\r\nTo: {to}\r\nSubject: Parcels\r\nMessage-ID: <{before}@ours.example>\r\n");
    let message =
        format!("{head}MIME-Version: 1.0\r\nContent-Type: text/plain\r\n\r\n{}\r\n", text.replace('\n', "\r\n"));
    let answer = hand_in(gateway.door(), from, &[to], message.as_bytes());
    assert!(answer.starts_with("250"), "{answer}\n{}", gateway.log());
    let arrived = hop.arrived()[before].bytes.clone();
    let bytes = String::from_utf8(below_trace(&arrived).to_vec()).unwrap();
    bytes.split_once("\r\n\r\n").unwrap().1.replace("\r\n", "\n")
}

#[test]
fn everybody_has_their_own_notice() {
    const LEGAL: &str = "Example Trust\nA charitable incorporated organisation\nRegistered charity number 1234567\n";
    let hop = Hop::start();
    let files = vec![
        ("local/policies/own/policy.toml", POLICY.to_string()),
        ("local/rules/footer.toml", RULE.to_string()),
        ("people.csv", PEOPLE.to_string()),
    ];
    let smtp = "[directory]\nfile = \"people.csv\"\n";
    let gateway = Gateway::with(hop.address(), Setup { policies: &["policies/own"], smtp, files, ..Setup::default() });
    let send = |from: &str, to: &str, text: &str| sent(&gateway, &hop, from, to, text);

    let ann = send("ann@ours.example", CLAIMS, "Hello.");
    assert_eq!(ann, format!("Hello.\n\nAnn <b>Example</b> & co\nAdvocate\nTel. 020 7946 0000\n\n{LEGAL}"));
    let bob = send("bob@ours.example", CLAIMS, "Hello.");
    assert_eq!(bob, format!("Hello.\n\nBob Example\n\n{LEGAL}"), "what is not known of him is left out");
    let cy = send("cy@ours.example", CLAIMS, "Hello.");
    assert_eq!(cy, format!("Hello.\n\nThe advice team\n020 7946 0001\n\n{LEGAL}"), "the group's text");
    let nobody = send("new@ours.example", CLAIMS, "Hello.");
    assert_eq!(nobody, format!("Hello.\n\n{LEGAL}"), "nothing is known of them, and no placeholder stays");
    let inside = send("new@ours.example", "bob@ours.example", "Hello.\n-- \nExample Trust, charity no. 1234567");
    assert_eq!(
        inside,
        "Hello.\n-- \nExample Trust, charity no. 1234567\n\nnew@ours.example, Example Trust\n\nA charitable incorporated organisation\n",
        "only what is missing"
    );

    gateway.write("people.csv", "address,name\nnew@ours.example,New Example\nnobody,Nobody Example\n");
    gateway.reload();
    assert_eq!(send("bob@ours.example", CLAIMS, "Hello."), bob, "a bad directory changes nothing");
    gateway.write("people.csv", "address,name\nnew@ours.example,New Example\n");
    gateway.reload();
    assert_eq!(send("new@ours.example", CLAIMS, "Hello."), format!("Hello.\n\nNew Example\n\n{LEGAL}"));
    let log = gateway.log();
    for name in ["Ann", "Bob", "New Example", "Nobody", "7946"] {
        assert!(!log.contains(name), "{name} is in the log:\n{log}");
    }
    println!("own notices: 7 of 7 as they should be, 0 names in the log");
}
