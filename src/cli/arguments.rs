//! The command line, as `--help` shows it.

use clap::{Args, Parser, Subcommand};
use std::{net::IpAddr, path::PathBuf};

/// Outbound email gateway filter: enforces your organisation's own mail policy, and never loses a message.
#[derive(Debug, Parser)]
#[command(version, propagate_version = true, max_term_width = 100)]
pub struct Arguments {
    /// The configuration. Without it: config/outgate.toml, then /etc/outgate/outgate.toml.
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Machine-readable output: JSON, one object a line.
    #[arg(long, global = true)]
    pub json: bool,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// See the whole product work: sends fixture messages through a gateway in a temporary folder and prints a table.
    Demo(Demo),
    /// Write a configuration in watch mode and make the keys.
    Init(Init),
    /// Run the service.
    Serve,
    /// Judge messages without sending them. Exit 0 relay, 11 return, 10 hold, 12 try later.
    Check(Check),
    /// Show what would be changed in a message, and why the rest is left alone. Exit codes as for check.
    Diff(Diff),
    /// Run the detectors alone on a message or on plain text.
    Scan(Scan),
    /// Test, list and explain the rules.
    Rules(Rules),
    /// What each clause of the policy is enforced by.
    Policy(Policy),
    /// Everything that is wrong with the configuration, each mistake with its line.
    Config(Config),
    /// The reviewers' desk without a browser.
    Case(Case),
    /// Mail is not judged for a while: it leaves as it comes, the reviewers are told, and the book says so.
    Bypass(Bypass),
    /// The book: what happened, chained.
    Audit(Audit),
    /// Look whether all is as it should be: files, disk, service, the mail server's settings, and test messages through the real
    /// path. Exit 1 when something must be changed.
    Doctor(Doctor),
    /// Accounts of people who hand in mail with a password.
    User(User),
    /// Keys for DKIM signatures.
    Dkim(Dkim),
    /// Write the manual pages into a folder.
    #[command(hide = true)]
    Manual(Manual),
    /// Reads attachments for the gateway, on a socket that it was started with.
    #[command(hide = true)]
    Reader,
}

#[derive(Debug, Args)]
pub struct Demo {
    /// End after the table, instead of serving the console.
    #[arg(long)]
    pub once: bool,
}

#[derive(Debug, Args)]
pub struct Init {
    /// The folder to write; it must not hold a configuration yet.
    pub folder: PathBuf,
    /// Your mail domain. Asked for when left out.
    #[arg(long)]
    pub domain: Option<String>,
    /// How mail comes in: smtp or milter.
    #[arg(long, value_parser = ["smtp", "milter"])]
    pub door: Option<String>,
    /// Where the reviewer reads mail.
    #[arg(long)]
    pub reviewer: Option<String>,
    /// The address of the reviewers' console.
    #[arg(long)]
    pub console_url: Option<String>,
    /// The server that takes the mail that leaves, HOST:PORT.
    #[arg(long)]
    pub next_hop: Option<String>,
}

/// Beside its sender, how a message is taken to be handed in.
#[derive(Debug, Args)]
pub struct HandedIn {
    /// An envelope recipient; several may be given. Without any: the addresses in To, Cc and Bcc.
    #[arg(long, value_name = "ADDRESS")]
    pub to: Vec<String>,
    /// The account that hands it in.
    #[arg(long)]
    pub user: Option<String>,
    /// The client's address.
    #[arg(long, value_name = "IP")]
    pub client: Option<IpAddr>,
    /// Judge as if it were this time (RFC 3339).
    #[arg(long, value_name = "TIME")]
    pub now: Option<String>,
}

#[derive(Debug, Args)]
pub struct Check {
    /// The envelope sender; `<>` for the null sender.
    #[arg(long, value_name = "ADDRESS")]
    pub from: String,
    #[command(flatten)]
    pub handed_in: HandedIn,
    /// Write the bytes that would leave.
    #[arg(long, value_name = "OUT.eml")]
    pub output: Option<PathBuf>,
    /// Messages, in files.
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
}

#[derive(Debug, Args)]
pub struct Diff {
    /// The envelope sender; `<>` for the null sender. Without it: the address in From.
    #[arg(long, value_name = "ADDRESS")]
    pub from: Option<String>,
    #[command(flatten)]
    pub handed_in: HandedIn,
    /// A message, in a file.
    #[arg(value_name = "MESSAGE")]
    pub file: PathBuf,
}

#[derive(Debug, Args)]
pub struct Scan {
    /// The input is plain text, not a message.
    #[arg(long)]
    pub text: bool,
    /// The input is one {"id","text"} a line; so is the output.
    #[arg(long, conflicts_with = "text")]
    pub jsonl: bool,
    /// Without a file: standard input.
    pub file: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct Rules {
    #[command(subcommand)]
    pub command: RulesCommand,
}

#[derive(Debug, Subcommand)]
pub enum RulesCommand {
    /// Run the rules' own tests.
    Test,
    /// The rules that are active, with the clauses that name them.
    List,
    /// What the set would have done with past messages, and with --candidate what another set would do otherwise. Counts only.
    Backtest {
        /// A folder of past messages: .eml, maildir or mbox files, at any depth.
        #[arg(long, value_name = "DIR")]
        against: PathBuf,
        /// The configuration file of the other set.
        #[arg(long, value_name = "FILE")]
        candidate: Option<PathBuf>,
    },
    /// What another set changes, in words. Exit 1 if they differ.
    Diff {
        /// The configuration file of the other set.
        #[arg(value_name = "FILE")]
        candidate: PathBuf,
    },
    /// Why a message was or was not matched, condition by condition.
    Explain {
        /// The envelope sender. Without it: the address in From.
        #[arg(long, value_name = "ADDRESS")]
        from: Option<String>,
        /// An envelope recipient; several may be given. Without any: the addresses in To, Cc and Bcc.
        #[arg(long, value_name = "ADDRESS")]
        to: Vec<String>,
        /// Only this rule.
        #[arg(long)]
        rule: Option<String>,
        file: PathBuf,
    },
}

#[derive(Debug, Args)]
pub struct Policy {
    #[command(subcommand)]
    pub command: PolicyCommand,
}

#[derive(Debug, Subcommand)]
pub enum PolicyCommand {
    /// Each clause and what enforces it; exit 1 if a must clause is neither enforced nor excused.
    Coverage,
}

#[derive(Debug, Args)]
pub struct Config {
    #[command(subcommand)]
    pub command: ConfigCommand,
}

#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Every mistake in every file.
    Check,
}

#[derive(Debug, Args)]
pub struct Bypass {
    /// How long mail is not judged: 30min, 1h; 24h at most. Without it, and without --end: whether it is judged now.
    #[arg(long = "for", value_name = "TIME", requires = "reason")]
    pub span: Option<String>,
    /// Judge mail again, now.
    #[arg(long, conflicts_with = "span")]
    pub end: bool,
    /// Why. It goes to the reviewers, and sealed into the book.
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
}

#[derive(Debug, Args)]
pub struct Case {
    #[command(subcommand)]
    pub command: CaseCommand,
}

#[derive(Debug, Subcommand)]
pub enum CaseCommand {
    /// Cases, the newest first.
    List {
        /// Only cases in this state.
        #[arg(long)]
        state: Option<String>,
        /// Only cases of this category.
        #[arg(long)]
        category: Option<String>,
        /// At most this many.
        #[arg(long, default_value_t = 100)]
        limit: usize,
    },
    /// One case: why, the evidence (masked), who and what.
    Show {
        id: String,
        /// Write the message as it came into this file (recorded in the book).
        #[arg(long, value_name = "OUT.eml")]
        message: Option<PathBuf>,
    },
    /// Send the message, with the edits that its policy asks for.
    Release {
        id: String,
        #[arg(long)]
        reason: Option<String>,
    },
    /// Do not send the message; tell its sender.
    Return {
        id: String,
        #[arg(long)]
        reason: Option<String>,
    },
    /// Destroy the message and all that names a person in the case.
    Erase {
        id: String,
        #[arg(long)]
        reason: String,
    },
}

#[derive(Debug, Args)]
pub struct Audit {
    #[command(subcommand)]
    pub command: AuditCommand,
}

#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Check the whole chain of the book.
    Verify,
}

#[derive(Debug, Args)]
pub struct User {
    #[command(subcommand)]
    pub command: UserCommand,
}

#[derive(Debug, Subcommand)]
pub enum UserCommand {
    /// Make an account. The password is asked for, or is the first line of standard input.
    Add {
        /// What the person logs in as, such as ann@ours.example.
        name: String,
    },
    /// All accounts.
    List,
    /// Give an account a new password; a disabled one stays disabled.
    Password { name: String },
    /// Logins of this account are refused from now on.
    Disable { name: String },
    /// The account may log in again.
    Enable { name: String },
}

#[derive(Debug, Args)]
pub struct Manual {
    pub folder: PathBuf,
}

#[derive(Debug, Args)]
pub struct Doctor {
    /// The mail server that test messages are handed to, as your people's mail is. Without it: Postfix on this machine, where its
    /// settings show that outgate keeps them from going further.
    #[arg(long, value_name = "HOST:PORT")]
    pub via: Option<String>,
    /// Send no test message.
    #[arg(long, conflicts_with = "via")]
    pub no_send: bool,
    /// How many seconds a test message may take through the mail server.
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    pub wait: u64,
}

#[derive(Debug, Args)]
pub struct Dkim {
    #[command(subcommand)]
    pub command: DkimCommand,
}

#[derive(Debug, Subcommand)]
pub enum DkimCommand {
    /// Make a key, and print the DNS record to publish. Nothing is signed until `[[dkim]]` names it.
    Keygen {
        /// The domain that signs: yours, as it stands behind the @.
        #[arg(long)]
        domain: String,
        /// The name under which the key is published, such as gate2026.
        #[arg(long)]
        selector: String,
        /// rsa: 2048 bits, which every receiver understands (made by openssl). ed25519: beside it, for those that do.
        #[arg(long = "type", value_parser = ["rsa", "ed25519"], default_value = "rsa")]
        kind: String,
        /// Where the private key goes; it must not be there yet. Made with mode 0600.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
}
