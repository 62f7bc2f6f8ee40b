//! Stories of the whole house on loopback: a client before it, a next hop behind it.

mod hop;
mod housekeeping;
mod pulse;

use super::*;
use crate::{
    config,
    delivery::relay::{Outgoing, RelaySettings, TlsMode},
    keys::Keys,
    mail::{Address, Envelope, ForwardPath, ReversePath, wire::Reply},
    supervisor::Supervisor,
};
use hop::Hop;
use std::time::Duration;
use tempfile::TempDir;

pub(super) const SENDER: &str = "sam@ours.example";

/// A running house in a folder of its own.
pub(super) struct Bench {
    folder: TempDir,
    hop: Hop,
    pub house: House,
}

impl Bench {
    pub async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let hop = Hop::listen().await;
        let text = format!(
            "policy = [\"policies/baseline\"]\nhostname = \"gate.ours.example\"\ndata-dir = \"data\"\n[smtp]\nlisten = \
             [\"127.0.0.1:0\"]\n[[smtp.peer]]\nnetworks = [\"127.0.0.0/8\"]\n[next-hop]\naddress = \"{}\"\ntls = \"none\"\n",
            hop.address
        );
        std::fs::write(folder.path().join("outgate.toml"), text).unwrap();
        let house = open(&folder).await;
        Self { folder, hop, house }
    }

    /// Ends the house in order and opens it again.
    pub async fn reopen(self) -> Self {
        let Self { folder, hop, house } = self;
        house.close().await;
        // The store's last clone goes with the tasks that end by themselves.
        let mut patience = 100;
        let house = loop {
            match try_open(&folder).await {
                Ok(house) => break house,
                Err(error) => assert!(patience > 0, "{error}"),
            }
            patience -= 1;
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        Self { folder, hop, house }
    }

    pub fn gateway(&self) -> &Gateway {
        self.house.gateway()
    }

    /// Hands a message in that the baseline policy holds.
    pub async fn hold(&self, subject: &str) -> Reply {
        let text = format!(
            "From: {SENDER}\r\nTo: client@elsewhere.example\r\nSubject: {subject}\r\nMessage-ID: <{subject}@ours.example>\r\n\
             Date: Sun, 22 Nov 2026 10:00:00 +0000\r\n\r\nHer National Insurance number is QQ 12 34 56 C.\r\n"
        );
        self.hand_in(text, &["client@elsewhere.example"]).await
    }

    /// Hands a message in whose recipients the baseline policy hides: a list of its own, of 21.
    pub async fn hide(&self, subject: &str) -> Reply {
        let to: Vec<String> = (0..21).map(|n| format!("{subject}-{n}@elsewhere.example")).collect();
        let text = format!(
            "From: {SENDER}\r\nTo: {}\r\nSubject: {subject}\r\nMessage-ID: <{subject}@ours.example>\r\n\
             Date: Sun, 22 Nov 2026 10:00:00 +0000\r\n\r\nHello.\r\n",
            to.join(",\r\n ")
        );
        self.hand_in(text, &to.iter().map(String::as_str).collect::<Vec<_>>()).await
    }

    async fn hand_in(&self, text: String, to: &[&str]) -> Reply {
        let path = |text| ForwardPath { address: Address::parse(text).unwrap(), parameters: Vec::new() };
        let sender = ReversePath { address: Address::parse(SENDER).ok(), parameters: Vec::new() };
        let envelope = Envelope { sender, recipients: to.iter().copied().map(path).collect() };
        let door = self.house.smtp_addresses()[0].to_string();
        let client = Relay::new(RelaySettings::new(door, TlsMode::None, "client.ours.example")).unwrap();
        let outgoing = Outgoing::bytes(Vec::new().into(), text.into_bytes());
        let outcomes = client.deliver(&envelope, outgoing, Instant::now() + Duration::from_secs(30)).await.unwrap();
        client.close().await;
        outcomes[0].reply.clone()
    }
}

async fn try_open(folder: &TempDir) -> Result<House, NotStarted> {
    let loaded = config::load(&folder.path().join("outgate.toml")).unwrap();
    House::open(loaded, &Keys::new(&[7; 32]), &Supervisor::default()).await
}

async fn open(folder: &TempDir) -> House {
    try_open(folder).await.unwrap()
}
