//! What of Postfix's settings is good for outgate, and what is to be changed.

use super::{Doors, Path, Postfix, Service, entries, is_public, place};
use crate::{cli::doctor::Finding, config::Loaded, mail::Address};
use std::net::IpAddr;

const CHECK: &str = "Postfix";

/// Ports at which signers of DKIM are usually found.
const SIGNERS: [&str; 4] = [":8891", ":12301", ":12345", "dkim"];

/// Below it a message to many comes in pieces.
const RECIPIENTS: u32 = 1_000;

impl Postfix {
    pub fn judge(&self, path: &Path, loaded: &Loaded) -> Vec<Finding> {
        let doors = Doors::of(&loaded.settings);
        let mut findings = vec![self.found(path)];
        if path.outgoing {
            findings.extend(self.default_action(path, &doors));
            findings.extend(self.way_back(path, &doors, loaded));
            findings.extend(self.signing(path, &doors));
            findings.extend(self.recipient_limit(path));
            findings.extend(self.proxy(path));
            findings.extend(self.local_programs(path, &doors));
        }
        findings.push(self.line_ends());
        findings.extend(self.own_domains(loaded));
        findings
    }

    fn found(&self, path: &Path) -> Finding {
        let ways = [
            (path.ways.relayhost, "relayhost"),
            (path.ways.content_filter, "content_filter"),
            (path.ways.proxy, "smtpd_proxy_filter"),
            (path.ways.milter, "smtpd_milters"),
        ];
        let ways: Vec<&str> = ways.iter().filter(|(used, _)| *used).map(|(_, name)| *name).collect();
        let version = self.value("mail_version");
        if !path.outgoing {
            let text = format!("Postfix {version} is here, and none of its settings names a door of outgate");
            let advice = "see /usr/share/doc/outgate/how-to/postfix.md and postfix-milter.md (a transport map cannot be seen here)";
            return Finding::warning(CHECK, text, advice);
        }
        let whose = match (path.incoming, path.login) {
            (true, _) => "all mail by SMTP",
            (false, true) => "what people send who log in",
            (false, false) => "what leaves",
        };
        Finding::good(CHECK, format!("Postfix {version} hands over {whose}, by {}", ways.join(" and ")))
    }

    /// What Postfix does when outgate does not answer.
    fn default_action(&self, path: &Path, doors: &Doors) -> Option<Finding> {
        if !path.ways.milter {
            return None;
        }
        let of_entry = |service: &Service| {
            let entry = entries(self.of(service, "smtpd_milters")).find(|entry| doors.milter(entry))?;
            let own = entry.split([',', '{', '}', ' ']).find_map(|word| word.trim().strip_prefix("default_action="));
            Some(own.unwrap_or_else(|| self.of(service, "milter_default_action")).to_string())
        };
        let actions: Vec<(String, String)> =
            self.servers().filter_map(|service| Some((service.name.clone(), of_entry(service)?))).collect();
        let wrong = actions.iter().find(|(_, action)| !matches!(action.as_str(), "tempfail" | "quarantine"));
        Some(match wrong {
            Some((service, action)) if action == "accept" => Finding::bad(
                CHECK,
                format!(
                    "{service}: milter_default_action = accept: mail leaves unseen whenever outgate does not answer"
                ),
                "milter_default_action = tempfail",
            ),
            Some((service, action)) => Finding::warning(
                CHECK,
                format!("{service}: milter_default_action = {action}: mail is refused while outgate does not answer"),
                "milter_default_action = tempfail",
            ),
            None => Finding::good(CHECK, "without an answer of outgate's no mail goes on (milter_default_action)"),
        })
    }

    /// The next hop on this machine must not send everything to outgate again.
    fn way_back(&self, path: &Path, doors: &Doors, loaded: &Loaded) -> Vec<Finding> {
        let addresses = loaded.settings.next_hop.routes.iter().flat_map(|route| &route.addresses);
        let here = addresses.filter_map(|address| {
            let (host, port) = place(address)?;
            let local = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
            local.then_some((address, port))
        });
        let judge = |(address, port): (&String, u16)| {
            let Some(service) = self.servers().find(|service| listens_at(&service.name, port)) else {
                let text = format!("the next hop {address} is on this machine and no service of master.cf");
                return Finding::warning(
                    CHECK,
                    text,
                    "if it is Postfix's, write the listener of the how-to in master.cf",
                );
            };
            let asks = [
                ("content_filter", doors.smtp(self.of(service, "content_filter"))),
                ("smtpd_proxy_filter", doors.smtp(self.of(service, "smtpd_proxy_filter"))),
                ("smtpd_milters", entries(self.of(service, "smtpd_milters")).any(|entry| doors.milter(entry))),
            ];
            let again = asks.iter().find(|(_, again)| *again).map(|(name, _)| *name);
            match (path.ways.relayhost, again) {
                (true, _) => Finding::bad(
                    CHECK,
                    format!(
                        "a loop: outgate hands on to {address}, and that Postfix sends everything to outgate (relayhost)"
                    ),
                    "name the server in [next-hop] that stood in relayhost before",
                ),
                (false, Some(name)) => Finding::bad(
                    CHECK,
                    format!("a loop: what outgate hands on to {address} is given to outgate again ({name})"),
                    format!("below {} in master.cf: -o {name}=", service.name),
                ),
                (false, None) => Finding::good(CHECK, format!("what outgate hands on to {address} does not come back")),
            }
        };
        here.map(judge).collect()
    }

    /// What is signed before outgate changes it is broken.
    fn signing(&self, path: &Path, doors: &Doors) -> Vec<Finding> {
        let mut findings = Vec::new();
        for service in self.servers() {
            let milters: Vec<&str> = entries(self.of(service, "smtpd_milters")).collect();
            let Some(signer) = milters.iter().position(|entry| signs(entry)) else { continue };
            let us = milters.iter().position(|entry| doors.milter(entry));
            let filtered =
                doors.smtp(self.of(service, "content_filter")) || doors.smtp(self.of(service, "smtpd_proxy_filter"));
            let early = us.is_some_and(|us| signer < us) || filtered || (path.ways.relayhost && us.is_none());
            let name = &service.name;
            findings.push(match early {
                true => Finding::bad(
                    CHECK,
                    format!(
                        "{name}: {} signs (DKIM) before outgate has made its changes, which break the signature",
                        milters[signer]
                    ),
                    "let it sign behind outgate: after it in smtpd_milters, or at the listener that takes mail back",
                ),
                false => Finding::good(CHECK, format!("{name}: {} signs behind outgate", milters[signer])),
            });
        }
        findings
    }

    /// Rules that count recipients count each piece.
    fn recipient_limit(&self, path: &Path) -> Option<Finding> {
        let name = match (path.ways.relayhost, path.ways.content_filter) {
            (true, _) => "smtp_destination_recipient_limit".to_string(),
            (false, true) => {
                let filter = self
                    .servers()
                    .map(|service| self.of(service, "content_filter"))
                    .find(|filter| !filter.is_empty())?;
                format!("{}_destination_recipient_limit", filter.split(':').next()?)
            }
            (false, false) => return None,
        };
        let known = self.main.get(&name).cloned().or_else(|| Self::ask_one(&name));
        let written = known.as_deref().unwrap_or_default();
        let written = if written.starts_with('$') || written.is_empty() {
            self.value("default_destination_recipient_limit")
        } else {
            written
        };
        let limit: u32 = written.parse().ok()?;
        Some(match limit == 0 || limit >= RECIPIENTS {
            true => Finding::good(CHECK, format!("a message to many comes whole ({name})")),
            false => Finding::warning(
                CHECK,
                format!("a message to more than {limit} people comes in pieces, and rules count each"),
                format!("{name} = {RECIPIENTS}"),
            ),
        })
    }

    fn proxy(&self, path: &Path) -> Option<Finding> {
        let hasty = self.servers().any(|service| self.of(service, "smtpd_proxy_options").contains("speed_adjust"));
        (path.ways.proxy && hasty).then(|| {
            let text =
                "smtpd_proxy_options = speed_adjust: Postfix answers for recipients before outgate has seen them";
            Finding::bad(CHECK, text, "smtpd_proxy_options =")
        })
    }

    fn local_programs(&self, path: &Path, doors: &Doors) -> Option<Finding> {
        let only_milter = path.ways.milter && !path.ways.relayhost && !doors.smtp(self.value("content_filter"));
        let unasked = !entries(self.value("non_smtpd_milters")).any(|entry| doors.milter(entry));
        (only_milter && unasked).then(|| {
            let text = "programs of this machine that use the sendmail command (cron, web sites) send without outgate";
            Finding::warning(CHECK, text, "non_smtpd_milters with outgate's milter, if their mail is to be judged")
        })
    }

    /// SMTP smuggling (CVE-2023-51764): whose bare newlines are let through.
    fn line_ends(&self) -> Finding {
        let advice = "smtpd_forbid_bare_newline = normalize, and smtpd_forbid_bare_newline_exclusions = (empty)";
        let excluded = self.value("smtpd_forbid_bare_newline_exclusions");
        match (self.value("smtpd_forbid_bare_newline"), excluded) {
            ("", _) => Finding::bad(
                CHECK,
                "this version cannot refuse bare newlines: one message of a client can become two (SMTP smuggling)",
                "at least Postfix 3.5.24, 3.6.14, 3.7.10 or 3.8.5; then smtpd_forbid_bare_newline = normalize",
            ),
            ("no", _) => Finding::bad(
                CHECK,
                "smtpd_forbid_bare_newline = no: one message of a client can become two (SMTP smuggling)",
                advice,
            ),
            (_, "") => Finding::good(CHECK, "no client may end lines as it likes (SMTP smuggling)"),
            (_, excluded) => {
                let whom = if excluded == "$mynetworks" { self.value("mynetworks") } else { excluded };
                let text = format!(
                    "{excluded} ({whom}) may still send bare newlines: one message can become two (SMTP smuggling)"
                );
                Finding::warning(
                    CHECK,
                    text,
                    "smtpd_forbid_bare_newline_exclusions = (empty), but for what really cannot send CR LF",
                )
            }
        }
    }

    /// Domains that Postfix takes for its own and outgate does not.
    fn own_domains(&self, loaded: &Loaded) -> Option<Finding> {
        let names = ["mydestination", "virtual_alias_domains", "virtual_mailbox_domains", "relay_domains"];
        let listed = names.iter().flat_map(|name| self.value(name).split([',', ' ', '\t']));
        let plain = listed.map(|word| word.trim().to_lowercase()).filter(|word| {
            // No map, no variable, no name of the machine itself.
            word.contains('.') && !word.contains([':', '/', '$', '!', '[']) && !word.starts_with("localhost")
        });
        let host = self.value("myhostname").to_lowercase();
        let house = loaded.ruleset.house();
        let own =
            |domain: &str| Address::parse(&format!("postmaster@{domain}")).is_ok_and(|address| house.owns(&address));
        let mut missing: Vec<String> = plain.filter(|domain| *domain != host && !own(domain)).collect();
        missing.sort();
        missing.dedup();
        (!missing.is_empty()).then(|| {
            let text = format!("Postfix takes mail for {}, which is in no own-domains", missing.join(", "));
            Finding::warning(
                "own-domains",
                text,
                "if your people send from there, write it in own-domains: else they get no notice",
            )
        })
    }

    /// A parameter whose name depends on another.
    fn ask_one(name: &str) -> Option<String> {
        let output = std::process::Command::new("postconf").arg("-h").arg(name).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_string())
    }
}

fn signs(entry: &str) -> bool {
    let entry = entry.to_lowercase();
    SIGNERS.iter().any(|mark| entry.contains(mark))
}

fn listens_at(service: &str, port: u16) -> bool {
    let name = service.rsplit(':').next().unwrap_or(service);
    let known = match name {
        "smtp" => Some(25),
        "submission" => Some(587),
        "smtps" | "submissions" => Some(465),
        other => other.parse().ok(),
    };
    known == Some(port) || (port == 25 && is_public(service))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{cli::doctor::State, config};

    const OURS: &str = "policy = 'policies/baseline'\nown-domains = ['ours.example']\n[smtp]\n[next-hop]\naddress = '127.0.0.1:10036'\n";
    const MILTER: &str = "policy = 'policies/baseline'\nown-domains = ['ours.example']\n[milter]\n[next-hop]\naddress = '127.0.0.1:10036'\n";
    const SERVICES: &str = "smtp       inet  n - y - - smtpd\nsubmission inet n - y - - smtpd -o x=y\n127.0.0.1:10036 inet n - n - - smtpd\n\
                            pickup unix n - y 60 1 pickup\n";

    fn judged(outgate: &str, main: &str, options: &str) -> (Path, Vec<Finding>) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("outgate.toml");
        std::fs::write(&file, outgate).unwrap();
        let loaded = config::load(&file).unwrap();
        let main = format!("mail_version = 3.7.11\ndefault_destination_recipient_limit = 50\n{main}");
        let postfix = Postfix::read(&main, SERVICES, options);
        let path = postfix.path(&loaded.settings);
        let findings = postfix.judge(&path, &loaded);
        (path, findings)
    }

    /// The state of the finding that says this.
    fn state(findings: &[Finding], text: &str) -> State {
        let found: Vec<_> = findings.iter().filter(|finding| finding.text.contains(text)).collect();
        assert_eq!(found.len(), 1, "{text}: {findings:#?}");
        found[0].state
    }

    #[test]
    fn a_content_filter_as_the_how_to_has_it_is_good() {
        let main = "content_filter = outgate:[127.0.0.1]:10035\noutgate_destination_recipient_limit = 1000\n\
                    smtpd_forbid_bare_newline = normalize\nsmtpd_forbid_bare_newline_exclusions =\nmydestination = ours.example, localhost\n";
        let (path, findings) = judged(OURS, main, "127.0.0.1:10036/inet/content_filter =\n");
        assert!(path.outgoing && path.internal && path.incoming);
        assert_eq!(path.server.as_deref(), Some("127.0.0.1:25"));
        assert!(findings.iter().all(|finding| finding.state == State::Good), "{findings:#?}");
        assert_eq!(state(&findings, "does not come back"), State::Good);
        assert_eq!(state(&findings, "comes whole"), State::Good);
    }

    #[test]
    fn a_listener_that_asks_again_is_a_loop() {
        let (_, findings) = judged(OURS, "content_filter = outgate:[127.0.0.1]:10035\n", "");
        assert_eq!(state(&findings, "a loop"), State::Bad);
        let (_, findings) = judged(OURS, "relayhost = [127.0.0.1]:10035\n", "");
        assert_eq!(state(&findings, "(relayhost)"), State::Bad);
        let milters = "submission/inet/smtpd_milters = inet:127.0.0.1:8897\n127.0.0.1:10036/inet/smtpd_milters = inet:localhost:8897\n";
        let (_, findings) = judged(MILTER, "milter_default_action = tempfail\n", milters);
        assert_eq!(state(&findings, "given to outgate again (smtpd_milters)"), State::Bad);
    }

    #[test]
    fn what_milters_do_without_an_answer() {
        let milters =
            "submission/inet/smtpd_milters = inet:127.0.0.1:8891, { inet:127.0.0.1:8897, default_action=accept }\n";
        let (path, findings) = judged(MILTER, "milter_default_action = tempfail\n", milters);
        assert!(path.outgoing && path.login && !path.incoming && path.server.is_none());
        assert_eq!(state(&findings, "mail leaves unseen"), State::Bad);
        assert_eq!(state(&findings, "signs (DKIM) before outgate"), State::Bad);
        assert_eq!(state(&findings, "the sendmail command"), State::Warning);
        let milters = "submission/inet/smtpd_milters = inet:127.0.0.1:8897, inet:127.0.0.1:8891\n";
        let (_, findings) = judged(MILTER, "milter_default_action = tempfail\n", milters);
        assert_eq!(state(&findings, "no mail goes on"), State::Good);
        assert_eq!(state(&findings, "signs behind outgate"), State::Good);
        let (_, findings) = judged(MILTER, "milter_default_action = reject\n", milters);
        assert_eq!(state(&findings, "is refused while"), State::Warning);
    }

    #[test]
    fn signers_before_a_filter_and_pieces_and_haste() {
        let main = "relayhost = [127.0.0.1]:10035\nsmtpd_milters = unix:/run/opendkim/opendkim.sock\n\
                    smtp_destination_recipient_limit = $default_destination_recipient_limit\n";
        let (path, findings) = judged(OURS, main, "");
        assert!(path.outgoing && !path.internal && !path.incoming);
        assert!(findings.iter().any(|found| found.state == State::Bad && found.text.contains("signs (DKIM) before")));
        assert_eq!(state(&findings, "more than 50 people"), State::Warning);
        let options = "submission/inet/smtpd_proxy_filter = 127.0.0.1:10035\nsubmission/inet/smtpd_proxy_options = speed_adjust\n";
        let (_, findings) = judged(OURS, "", options);
        assert_eq!(state(&findings, "speed_adjust"), State::Bad);
    }

    #[test]
    fn line_ends_and_domains() {
        for (main, text, expected) in [
            ("", "cannot refuse bare newlines", State::Bad),
            ("smtpd_forbid_bare_newline = no\n", "= no: one message", State::Bad),
            (
                "smtpd_forbid_bare_newline = normalize\nsmtpd_forbid_bare_newline_exclusions = $mynetworks\nmynetworks = 10.0.0.0/8\n",
                "$mynetworks (10.0.0.0/8) may still",
                State::Warning,
            ),
            (
                "smtpd_forbid_bare_newline = yes\nsmtpd_forbid_bare_newline_exclusions =\n",
                "no client may end lines",
                State::Good,
            ),
            ("mydestination = ours.example, other.example, localhost.localdomain\n", "other.example", State::Warning),
            ("", "none of its settings names a door", State::Warning),
        ] {
            assert_eq!(state(&judged(OURS, main, "").1, text), expected, "{main}");
        }
        let (_, findings) = judged(OURS, "virtual_alias_domains = hash:/etc/x, mail.ours.example, $mydomain\n", "");
        assert!(!findings.iter().any(|finding| finding.check == "own-domains"), "{findings:#?}");
    }
}
