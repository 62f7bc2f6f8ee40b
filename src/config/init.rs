//! What `outgate init DIR` writes: a first configuration, in watch mode, and the master key.
//!
//! In: options, and answers from the terminal for those that were not given. Out: a folder with which `outgate serve` runs.
//! Never: an overwritten file.

use super::{
    key_file::{self, KeyFileError},
    written::{domain, host_and_port, socket, url},
};
use crate::mail::Address;
use std::{
    fs::{self, OpenOptions},
    io::{self, BufRead, Read, Write},
    net::SocketAddr,
    os::unix::fs::{MetadataExt, OpenOptionsExt, chown},
    path::{Path, PathBuf},
};

/// Longer than any answer.
const LONGEST_ANSWER: u64 = 1024;

/// The options of `outgate init`, as given. What is missing is asked for.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The organisation's own domain.
    pub domain: Option<String>,
    /// `smtp`, the address of the SMTP door, or `milter`.
    pub door: Option<String>,
    /// Who reads held mail.
    pub reviewer: Option<String>,
    pub console_url: Option<String>,
    /// The mail server that carries mail on. Not asked for: 127.0.0.1:10036, as in the how-tos.
    pub next_hop: Option<String>,
}

/// What a configuration is made from, checked.
#[derive(Clone, Debug)]
pub struct Answers {
    domain: String,
    door: Door,
    reviewer: Address,
    console_url: String,
    next_hop: String,
}

#[derive(Debug, thiserror::Error)]
pub enum InitError {
    #[error("{what}: {why}; allowed: {allowed}")]
    Answer { what: &'static str, why: String, allowed: &'static str },
    #[error("{what} is missing: give {option}")]
    Missing { what: &'static str, option: &'static str },
    #[error("{0} is already there; nothing was changed")]
    Exists(PathBuf),
    #[error("{path}: {source}")]
    Write { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Key(#[from] KeyFileError),
    #[error("the terminal cannot be read: {0}")]
    Terminal(io::Error),
}

/// One question: what is asked for, by which option, what is allowed, and what Enter alone means.
struct Question {
    what: &'static str,
    option: &'static str,
    allowed: &'static str,
    default: Option<String>,
}

impl Answers {
    /// Takes what the options give, and asks for the rest. `terminal` is none when nobody can be asked.
    pub fn gather<R: BufRead, W: Write>(
        options: &Options,
        mut terminal: Option<(&mut R, &mut W)>,
    ) -> Result<Self, InitError> {
        let mut answer = |given: &Option<String>, question: Question| ask(given, question, &mut terminal);
        let question = |what, option, allowed, default| Question { what, option, allowed, default };
        let own = question("your organisation's mail domain", "--domain", "a domain, such as ours.example", None);
        let own = answer(&options.domain, own)?.parse(domain)?;
        let allowed = "milter, smtp, or the address at which the SMTP door listens, such as 127.0.0.1:10035";
        let by = question("the door by which mail comes in", "--door", allowed, Some("smtp".into()));
        let by = answer(&options.door, by)?.parse(door)?;
        let allowed = "an address, such as dpo@ours.example";
        let reviewer = question("the address of the person who reads held mail", "--reviewer", allowed, None);
        let reviewer = answer(&options.reviewer, reviewer)?.parse(Address::parse)?;
        let default = Some(format!("https://gate.{own}:8443"));
        let allowed = "https://host or https://host:port; http only for this machine itself";
        let console = question("the console's URL, as people will open it", "--console-url", allowed, default);
        let console_url = answer(&options.console_url, console)?.parse(url)?;
        let allowed = "a host and its port, such as 127.0.0.1:10036";
        let hop = question("the next hop", "--next-hop", allowed, None);
        let next_hop = Answer { question: hop, text: options.next_hop.clone().unwrap_or("127.0.0.1:10036".into()) };
        let next_hop = next_hop.parse(|text| host_and_port(text).map(|_| text.trim().to_string()))?;
        Ok(Self { domain: own, door: by, reviewer, console_url, next_hop })
    }
}

struct Answer {
    question: Question,
    text: String,
}

impl Answer {
    fn parse<T, E: std::fmt::Display>(self, parse: impl Fn(&str) -> Result<T, E>) -> Result<T, InitError> {
        parse(self.text.trim()).map_err(|why| InitError::Answer {
            what: self.question.option,
            why: why.to_string(),
            allowed: self.question.allowed,
        })
    }
}

fn ask<R: BufRead, W: Write>(
    given: &Option<String>,
    question: Question,
    terminal: &mut Option<(&mut R, &mut W)>,
) -> Result<Answer, InitError> {
    if let Some(text) = given {
        return Ok(Answer { question, text: text.clone() });
    }
    let Some((input, output)) = terminal else {
        return match question.default.clone() {
            Some(text) => Ok(Answer { question, text }),
            None => Err(InitError::Missing { what: question.what, option: question.option }),
        };
    };
    let offer = question.default.as_ref().map(|default| format!(" [{default}]")).unwrap_or_default();
    write!(output, "{}{offer}: ", capital(question.what)).and_then(|()| output.flush()).map_err(InitError::Terminal)?;
    let mut line = String::new();
    input.take(LONGEST_ANSWER).read_line(&mut line).map_err(InitError::Terminal)?;
    let text = match (line.trim(), &question.default) {
        ("", Some(default)) => default.clone(),
        ("", None) => return Err(InitError::Missing { what: question.what, option: question.option }),
        (text, _) => text.to_string(),
    };
    Ok(Answer { question, text })
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

/// The door that mail comes in by.
#[derive(Clone, Debug, PartialEq)]
enum Door {
    Smtp(SocketAddr),
    Milter,
}

fn door(text: &str) -> Result<Door, &'static str> {
    match text {
        "smtp" => socket(super::check::default::SMTP_LISTEN).map(Door::Smtp),
        "milter" => Ok(Door::Milter),
        address => socket(address).and_then(|address| match address.ip().is_loopback() {
            true => Ok(Door::Smtp(address)),
            false => {
                Err("others reach this address: begin on this machine, then write [[smtp.peer]] with their networks")
            }
        }),
    }
}

/// Writes the configuration and makes the key. Returns what was written.
pub fn init(folder: &Path, answers: &Answers) -> Result<Vec<PathBuf>, InitError> {
    let (settings, key) = (folder.join("outgate.toml"), folder.join("store.key"));
    for path in [&settings, &key] {
        if path.symlink_metadata().is_ok() {
            return Err(InitError::Exists(path.clone()));
        }
    }
    let local = folder.join("local");
    fs::create_dir_all(&local).map_err(|source| InitError::Write { path: local.clone(), source })?;
    key_file::make(&key)?;
    let text = settings_text(answers, folder);
    // It names people: not for everyone on this machine.
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o640)
        .open(&settings)
        .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()));
    written.map_err(|source| InitError::Write { path: settings.clone(), source })?;
    if rustix::process::geteuid().is_root() {
        give_to_service(&folder.join(data_dir(folder)), &settings, &key)?;
    }
    Ok(vec![settings, key, local])
}

/// Whoever the data folder belongs to is the service: it alone reads the key, and it may read the settings that root
/// writes. Without such a folder (no package was installed) all stays root's.
fn give_to_service(data: &Path, settings: &Path, key: &Path) -> Result<(), InitError> {
    let Ok(owner) = fs::metadata(data) else { return Ok(()) };
    let give = |path: &Path, user| {
        chown(path, user, Some(owner.gid())).map_err(|source| InitError::Write { path: path.into(), source })
    };
    give(key, Some(owner.uid()))?;
    give(settings, None)
}

/// A system's configuration keeps its data where the system keeps such data.
fn data_dir(folder: &Path) -> &'static str {
    if folder.starts_with("/etc") { super::check::default::DATA_DIR } else { "data" }
}

fn settings_text(answers: &Answers, folder: &Path) -> String {
    let data = data_dir(folder);
    let quoted = |text: &str| toml::Value::String(text.into()).to_string();
    let Answers { domain, door, reviewer, console_url, next_hop } = answers;
    let host = console_url.split_once("://").map_or("", |(_, rest)| rest);
    let host = host.split(['/', ':']).next().unwrap_or_default();
    let hostname = if host.contains('.') && !host.starts_with("127.") { host.into() } else { format!("gate.{domain}") };
    format!(
        r#"# outgate's settings. Relative paths begin at this file's folder. `outgate config check` says what is wrong, and where.
#
# All rules begin in watch mode: they record what they would do and change nothing. When the records look right, write
# mode = "enforce".

mode        = "watch"
policy      = ["policies/baseline"]   # or your own: local/policies/NAME/policy.toml, as "policies/NAME"; several: the stricter wins
own-domains = [{domain}]
hostname    = {hostname}
data-dir    = {data}

{door}
[next-hop]                            # the mail server that carries mail on
address = {next_hop}
tls     = "opportunistic"             # none | opportunistic | required | implicit (port 465)

[console]
listen = "127.0.0.1:8443"
url    = {console_url}

[notices]
from = {from}

[reviewers]                           # who is told of held mail: a policy gives each category its roles
dpo = [{reviewer}]
# hr, safeguarding, it, managers …

[metrics]
listen = "127.0.0.1:9797"             # /metrics /healthz /readyz

[store]
key-file = "store.key"                # held messages cannot be opened without it: back it up, apart from the data
"#,
        domain = quoted(domain),
        hostname = quoted(&hostname),
        data = quoted(data),
        door = door_text(door),
        next_hop = quoted(next_hop),
        console_url = quoted(console_url),
        from = quoted(&format!("outgate@{domain}")),
        reviewer = quoted(reviewer.as_str()),
    )
}

fn door_text(door: &Door) -> String {
    match door {
        Door::Smtp(listen) => format!(
            r#"[smtp]
listen = ["{listen}"]

[[smtp.peer]]                         # who may hand in mail: this machine's mail server
networks      = ["127.0.0.0/8", "::1/128"]
answer-within = "90 s"                # 540 s for a plain relay; Postfix's proxy filter waits 100 s
"#
        ),
        Door::Milter => format!(
            r#"[milter]                              # this machine's mail server asks here about each message
listen = ["{}"]             # or a socket: "unix:/run/outgate/milter.sock"
"#,
            super::milter::DEFAULT_LISTEN
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Mode;

    const NOBODY: Option<(&mut io::Empty, &mut io::Sink)> = None;

    fn options() -> Options {
        Options {
            domain: Some("Ours.example".into()),
            door: Some("127.0.0.1:2525".into()),
            reviewer: Some("\"data protection\"@ours.example".into()),
            console_url: Some("https://desk.ours.example/".into()),
            next_hop: None,
        }
    }

    #[test]
    fn the_milter_is_a_door_too() {
        let folder = tempfile::tempdir().unwrap();
        let options = Options { door: Some("milter".into()), ..options() };
        init(folder.path(), &Answers::gather(&options, NOBODY).unwrap()).unwrap();
        let settings = crate::config::load(&folder.path().join("outgate.toml")).unwrap().settings;
        assert!(settings.smtp.is_none());
        assert_eq!(settings.milter.unwrap().listen[0].to_string(), super::super::milter::DEFAULT_LISTEN);
    }

    #[test]
    fn what_it_writes_is_read_again_in_watch_mode() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("outgate");
        let written = init(&folder, &Answers::gather(&options(), NOBODY).unwrap()).unwrap();
        assert_eq!(fs::metadata(&written[1]).unwrap().mode() & 0o7777, 0o600);
        let (settings, remarks) = super::super::read_settings(&written[0]).unwrap();
        assert_eq!(settings.mode, Mode::Watch);
        assert_eq!(settings.own_domains, ["ours.example"]);
        assert_eq!(settings.hostname, "desk.ours.example");
        assert_eq!(settings.console.url, "https://desk.ours.example");
        assert_eq!(settings.smtp.as_ref().unwrap().listen, ["127.0.0.1:2525".parse().unwrap()]);
        assert_eq!(settings.reviewers["dpo"][0].as_str(), "\"data protection\"@ours.example");
        assert_eq!(settings.data_dir, folder.join("data"));
        assert!(key_file::open(&settings.store.key_file).is_ok());
        assert!(remarks.is_empty());
    }

    #[test]
    fn what_the_service_reads_belongs_to_it() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        fs::create_dir(&data).unwrap();
        chown(&data, Some(64_123), Some(64_124)).unwrap();
        let written = init(folder.path(), &Answers::gather(&options(), NOBODY).unwrap()).unwrap();
        let of = |path: &Path| {
            let metadata = fs::metadata(path).unwrap();
            (metadata.uid(), metadata.gid(), metadata.mode() & 0o7777)
        };
        assert_eq!(of(&written[0]), (0, 64_124, 0o640), "the settings: root writes, the service reads");
        assert_eq!(of(&written[1]), (64_123, 64_124, 0o600), "the key is the service's alone");
    }

    #[test]
    fn nothing_is_overwritten() {
        let answers = Answers::gather(&options(), NOBODY).unwrap();
        for name in ["outgate.toml", "store.key"] {
            let home = tempfile::tempdir().unwrap();
            fs::write(home.path().join(name), "precious").unwrap();
            assert!(matches!(init(home.path(), &answers), Err(InitError::Exists(path)) if path.ends_with(name)));
            assert_eq!(fs::read(home.path().join(name)).unwrap(), b"precious");
            assert_eq!(fs::read_dir(home.path()).unwrap().count(), 1, "nothing else was written");
        }
    }

    #[test]
    fn what_is_not_given_is_asked_for() {
        let mut said = Vec::new();
        let mut typed = io::Cursor::new("ours.example\n\ndpo@ours.example\n\n");
        let answers = Answers::gather(&Options::default(), Some((&mut typed, &mut said))).unwrap();
        assert_eq!(answers.console_url, "https://gate.ours.example:8443");
        assert_eq!(answers.door, Door::Smtp("127.0.0.1:10035".parse().unwrap()));
        let said = String::from_utf8(said).unwrap();
        assert!(
            said.starts_with("Your organisation's mail domain: The door by which mail comes in [smtp]: "),
            "{said}"
        );
        let missing = Answers::gather(&Options::default(), NOBODY).unwrap_err().to_string();
        assert_eq!(missing, "your organisation's mail domain is missing: give --domain");
    }

    #[test]
    fn a_wrong_answer_says_what_is_allowed() {
        for (change, expected) in [
            (Options { domain: Some("a b".into()), ..options() }, "--domain: not a domain"),
            (Options { door: Some("0.0.0.0:25".into()), ..options() }, "--door: others reach this address"),
            (Options { reviewer: Some("dpo".into()), ..options() }, "--reviewer: not a mailbox"),
            (Options { console_url: Some("http://x.example".into()), ..options() }, "--console-url: people's sessions"),
            (Options { next_hop: Some("mail".into()), ..options() }, "--next-hop: the port is missing"),
        ] {
            let error = Answers::gather(&change, NOBODY).unwrap_err().to_string();
            assert!(error.starts_with(expected) && error.contains("; allowed: "), "{error}");
        }
    }
}
