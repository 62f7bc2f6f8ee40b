//! outgate as it is shipped: the binary, with the baseline policy, in a folder of its own.

use super::{
    group::{Group, eventually, folder, free_port, run},
    how_to::snippet,
};
use serde_json::Value;
use std::{fs, path::PathBuf, process::Command};

/// Words of the baseline's notice.
pub const NOTICE: &str = "This message may be confidential.";
/// A text that the baseline holds, and one that it returns.
pub const HELD: &str = "Her National Insurance number is QQ 12 34 56 C.";
pub const RETURNED: &str = "Forward this to everyone you know. Do not break the chain, or you will have bad luck!";

pub struct Gate {
    group: Option<Group>,
    pub port: u16,
    folder: tempfile::TempDir,
}

impl Gate {
    pub fn before(next_hop: u16) -> Self {
        Self::with(
            &snippet("postfix", "smarthost outgate.toml")
                .replace("smarthost.example.net:25", &format!("127.0.0.1:{next_hop}")),
        )
    }

    /// With settings from the document: its door is moved to a free port.
    pub fn with(settings: &str) -> Self {
        Self::with_policy(settings, None)
    }

    /// And with a policy of its own, `policies/own`.
    pub fn with_policy(settings: &str, policy: Option<&str>) -> Self {
        let folder = folder("gate");
        if let Some(policy) = policy {
            let own = folder.path().join("local/policies/own");
            fs::create_dir_all(&own).unwrap();
            fs::write(own.join("policy.toml"), policy).unwrap();
        }
        let port = free_port();
        let settings = settings
            .replace("10035", &port.to_string())
            .replace("8897", &port.to_string())
            .replace("/var/lib/outgate", "data");
        let settings = format!(
            "{settings}\n[console]\nlisten = \"127.0.0.1:0\"\n[metrics]\nlisten = \"127.0.0.1:0\"\n\
             [reviewers]\ndpo = [\"dpo@ours.example\"]\n"
        );
        fs::write(folder.path().join("outgate.toml"), settings).unwrap();
        let mut gate = Self { group: None, port, folder };
        gate.start();
        gate
    }

    pub fn start(&mut self) {
        let settings = self.settings();
        let settings = settings.to_str().unwrap();
        let log = self.folder.path().join("log");
        let group = Group::start(&[env!("CARGO_BIN_EXE_outgate"), "--config", settings, "serve"], &[], &log);
        group.wait_for_port(self.port);
        let open = format!("address=127.0.0.1:{}", self.port);
        eventually("outgate opens its door, and nobody else this port", 10, || self.log().contains(&open));
        self.group = Some(group);
    }

    /// As a power cut would.
    pub fn kill(&mut self) {
        self.group = None;
    }

    /// As `systemctl reload` does; waits until the new set is in force.
    pub fn reload(&self) {
        let before = self.log().matches("was read again").count();
        self.group.as_ref().expect("it runs").signal(rustix::process::Signal::HUP);
        eventually("the configuration is read again", 20, || self.log().matches("was read again").count() > before);
    }

    /// `case list --json`.
    pub fn cases(&self) -> Vec<Value> {
        let text = self.outgate(&["--json", "case", "list"]);
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// Runs a command on this gateway's configuration; it must succeed.
    pub fn outgate(&self, arguments: &[&str]) -> String {
        let mut command = Command::new(env!("CARGO_BIN_EXE_outgate"));
        let (good, text) = run(command.arg("--config").arg(self.settings()).args(arguments));
        assert!(good, "outgate {arguments:?}: {text}");
        text
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    fn settings(&self) -> PathBuf {
        self.folder.path().join("outgate.toml")
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("outgate's log:\n{}", self.log());
        }
    }
}
