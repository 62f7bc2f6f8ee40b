//! `outgate demo`: the whole product on embedded defaults in a temporary folder, with a next hop of its own. Each fixture
//! message goes through the real SMTP door; the table shows what came of it, and says so where that is not what the
//! rules had said.

mod hop;
mod messages;

use super::{
    Failure,
    arguments::{Arguments, Demo},
    exit,
    judging::{self, Circumstances, Judged},
};
use crate::{
    config::{self, Loaded, key_file},
    console,
    delivery::relay::{Outgoing, Relay, RelaySettings, TlsMode},
    gateway::House,
    mail::{Envelope, ForwardPath, ReversePath, wire::Reply},
    policy::Disposition,
    quarantine::{CaseFilter, CaseStore},
    supervisor::Supervisor,
};
use hop::Hop;
use messages::MESSAGES;
use serde_json::json;
use std::{fs, io::Write, net::SocketAddr, path::Path, time::Duration};
use tokio::{net::TcpListener, time::Instant};

/// How long one message may take through the door: generous, since nothing else is waiting.
const PATIENCE: Duration = Duration::from_secs(60);

pub fn run(arguments: &Arguments, options: &Demo) -> Result<u8, Failure> {
    let said = |error: &dyn std::fmt::Display| Failure::said(error.to_string());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(|error| said(&error))?;
    let folder = tempfile::Builder::new().prefix("outgate-demo-").tempdir().map_err(|error| said(&error))?;
    runtime.block_on(async {
        let (hop, hop_address) = Hop::listen().await.map_err(|error| said(&error))?;
        let file = configure(folder.path(), hop_address).map_err(|error| said(&error))?;
        let loaded = config::load(&file).map_err(Failure::Configuration)?;
        let judging = config::load(&file).map_err(Failure::Configuration)?;
        let settings = &loaded.settings;
        let keys =
            key_file::open_or_make(&settings.store.key_file, &settings.data_dir).map_err(|error| said(&error))?;
        let house = House::open(loaded, &keys, &Supervisor::default()).await.map_err(|error| said(&error))?;
        let door = *house.smtp_addresses().first().ok_or_else(|| Failure::said("the SMTP door is not open"))?;
        let agreed = table(arguments.json, folder.path(), &judging, &house, &hop, door).await?;
        if !options.once {
            wait(&file, door, &house).await?;
        }
        house.close().await;
        Ok(if agreed { 0 } else { exit::NO })
    })
}

/// The demo's configuration: the baseline policy, our own ports.
fn configure(folder: &Path, hop: SocketAddr) -> std::io::Result<std::path::PathBuf> {
    let file = folder.join("outgate.toml");
    let text = format!(
        "policy = [\"policies/baseline\"]\nhostname = \"gate.ours.example\"\ndata-dir = \"data\"\n\n[smtp]\nlisten = \
         [\"127.0.0.1:0\"]\n\n[[smtp.peer]]\nnetworks = [\"127.0.0.0/8\"]\n\n[next-hop]\naddress = \"{hop}\"\ntls = \"none\"\n"
    );
    fs::write(&file, text)?;
    Ok(file)
}

async fn table(
    as_json: bool,
    folder: &Path,
    loaded: &Loaded,
    house: &House,
    hop: &Hop,
    door: SocketAddr,
) -> Result<bool, Failure> {
    let said = |error: &dyn std::fmt::Display| Failure::said(error.to_string());
    let client = Relay::new(RelaySettings::new(door.to_string(), TlsMode::None, "client.ours.example"));
    let client = client.map_err(|error| said(&error))?;
    let mut out = std::io::stdout();
    if !as_json {
        writeln!(out, "{:<28} {:<8} {:<14} what changed", "message", "verdict", "clauses")
            .map_err(|error| said(&error))?;
    }
    let mut agreed = true;
    for (name, bytes) in MESSAGES {
        let path = folder.join(format!("{name}.eml"));
        let bytes = &with_words(bytes, loaded);
        fs::write(&path, bytes).map_err(|error| said(&error))?;
        let from = if name.contains("delivery-report") { Some("<>") } else { None };
        let judged = judging::judge(loaded, &path, &Circumstances { from, ..Circumstances::default() })?;
        let reply = hand_in(&client, &judged, bytes).await?;
        let held = is_held(house, &judged).await?;
        let fate = match (reply.is_positive(), held) {
            (true, true) => Disposition::Hold,
            (true, false) => Disposition::Relay,
            (false, _) => Disposition::Return,
        };
        let arrived = hop.take();
        let expected = judged.verdict.disposition();
        let as_said = fate == expected && (fate == Disposition::Relay) != of_message(&arrived, &judged).is_empty();
        agreed &= as_said;
        let line = if as_json { object(name, fate, &judged, as_said) } else { row(name, fate, &judged, as_said) };
        writeln!(out, "{line}").map_err(|error| said(&error))?;
    }
    Ok(agreed)
}

/// `{words.abuse}` in a fixture stands for an entry of that list: ugly words stand in the lists alone.
fn with_words(fixture: &[u8], loaded: &Loaded) -> Vec<u8> {
    const MARK: &[u8] = b"{words.abuse}";
    let Some(at) = memchr::memmem::find(fixture, MARK) else { return fixture.to_vec() };
    let word = loaded.sources.sample("words.abuse").unwrap_or_default();
    [&fixture[..at], word.as_bytes(), &fixture[at + MARK.len()..]].concat()
}

/// Through the door, as a mail server would.
async fn hand_in(client: &Relay, judged: &Judged, bytes: &[u8]) -> Result<Reply, Failure> {
    let envelope = Envelope {
        sender: ReversePath { address: judged.submission.envelope.sender.address.clone(), parameters: body(bytes) },
        recipients: judged.submission.envelope.recipients.iter().map(bare).collect(),
    };
    let outgoing = Outgoing::bytes(Vec::new().into(), bytes.to_vec());
    let outcomes = client.deliver(&envelope, outgoing, Instant::now() + PATIENCE).await;
    let outcomes = outcomes.map_err(|error| Failure::said(error.to_string()))?;
    outcomes
        .into_iter()
        .next()
        .map(|outcome| outcome.reply)
        .ok_or_else(|| Failure::said("a message without a recipient"))
}

fn bare(path: &ForwardPath) -> ForwardPath {
    ForwardPath { address: path.address.clone(), parameters: Vec::new() }
}

/// BODY=8BITMIME for a message that needs it.
fn body(bytes: &[u8]) -> Vec<crate::mail::Parameter> {
    if bytes.is_ascii() { Vec::new() } else { vec![crate::mail::Parameter::new("BODY=8BITMIME")] }
}

/// Whether a case with this message's id waits.
async fn is_held(house: &House, judged: &Judged) -> Result<bool, Failure> {
    let filter = CaseFilter { limit: MESSAGES.len(), ..CaseFilter::default() };
    let cases = house.gateway().store().list(filter).await.map_err(|error| Failure::said(error.to_string()))?;
    let id = judged.submission.message.header("Message-ID").unwrap_or_default();
    Ok(cases.iter().filter_map(|case| case.face.as_ref()).any(|face| *face.message_id.expose() == id))
}

/// Of what arrived (notices to senders arrive too), the message itself.
fn of_message<'a>(arrived: &'a [hop::Arrived], judged: &Judged) -> Vec<&'a hop::Arrived> {
    let id = judged.submission.message.header("Message-ID").unwrap_or_default();
    let is_it = |arrived: &&hop::Arrived| {
        let message = crate::mail::Message::parse((*arrived).clone());
        message.header("Message-ID").unwrap_or_default() == id
    };
    arrived.iter().filter(is_it).collect()
}

fn clauses(judged: &Judged) -> Vec<String> {
    let all = judged.verdict.grounds.iter().flat_map(|ground| &ground.clauses);
    let mut ids: Vec<String> = all.map(|clause| clause.id.to_string()).collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

fn changes(fate: Disposition, judged: &Judged) -> Vec<String> {
    let made = judged.made.applied.iter().flat_map(|applied| &applied.changes);
    let made = made.filter(|_| fate != Disposition::Return);
    made.map(|change| format!("{} in {}", change.kind, change.part)).collect()
}

fn row(name: &str, fate: Disposition, judged: &Judged, as_said: bool) -> String {
    let changes = changes(fate, judged);
    let changes = match (changes.is_empty(), fate) {
        (true, _) => "nothing".to_string(),
        (false, Disposition::Hold) => format!("on release: {}", changes.join(", ")),
        (false, _) => changes.join(", "),
    };
    let doubt = if as_said { "" } else { "  <- NOT WHAT THE RULES SAID" };
    let clauses = clauses(judged);
    let clauses = if clauses.is_empty() { "-".to_string() } else { clauses.join(" ") };
    format!("{name:<28} {:<8} {clauses:<14} {changes}{doubt}", fate.as_str())
}

fn object(name: &str, fate: Disposition, judged: &Judged, as_said: bool) -> String {
    let object = json!({"message": name, "disposition": fate, "clauses": clauses(judged),
                        "changes": changes(fate, judged), "as_judged": as_said});
    object.to_string()
}

/// Serves the console until Ctrl-C.
async fn wait(file: &Path, door: SocketAddr, house: &House) -> Result<(), Failure> {
    let said = |error: std::io::Error| Failure::said(format!("the console cannot be served: {error}"));
    let listener = TcpListener::bind("127.0.0.1:0").await.map_err(said)?;
    let address = listener.local_addr().map_err(said)?;
    eprintln!(
        "\nThe gateway goes on. See what is held, and why, at\n  http://{address}/\n(read only, for anyone on this machine), or \
         decide with\n  outgate --config {} case list\nHand mail in at {door}. End it with Ctrl-C: the folder goes with it.",
        file.display()
    );
    let console = console::serve(listener, house.gateway().store().clone(), std::future::pending());
    tokio::select! {
        served = console => served.map_err(said),
        // An error here means that the signal cannot be waited for: then the demo ends. A browser's idle connections
        // are not waited for.
        _ = tokio::signal::ctrl_c() => Ok(()),
    }
}
