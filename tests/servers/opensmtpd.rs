//! OpenSMTPD in a folder of its own (from its private root).

use super::group::{Group, folder, free_port, run, server};
use std::{
    fs::{self, Permissions},
    os::unix::fs::{PermissionsExt, chown},
    path::Path,
    process::Command,
};

pub struct OpenSmtpd {
    group: Option<Group>,
    pub port: u16,
    folder: tempfile::TempDir,
}

impl OpenSmtpd {
    /// A server that hands everything to 127.0.0.1:`onwards`.
    pub fn relaying_to(onwards: u16) -> Self {
        let rules =
            format!("action \"out\" relay host smtp://127.0.0.1:{onwards}\nmatch from any for any action \"out\"\n");
        Self::with(&rules)
    }

    /// With one listener, and these rules.
    pub fn with(rules: &str) -> Self {
        let (folder, port) = (folder("opensmtpd"), free_port());
        let spool = folder.path().join("spool");
        fs::create_dir(&spool).unwrap();
        fs::create_dir(folder.path().join("run")).unwrap();
        fs::set_permissions(&spool, Permissions::from_mode(0o711)).unwrap();
        let mut smtpd = Self { group: None, port, folder };
        smtpd.configure(rules);
        smtpd.start();
        smtpd
    }

    /// Writes its settings; it reads them when it starts.
    pub fn configure(&self, rules: &str) {
        fs::write(self.settings(), format!("listen on 127.0.0.1 port {}\n{rules}", self.port)).unwrap();
    }

    pub fn start(&mut self) {
        // It has the places of its spool and its control socket compiled in; in a mount namespace of its own they are ours.
        let script = format!(
            "mount --bind {0}/spool /var/spool/smtpd && mount --bind {0}/run /run && \
             echo mail.ours.example >/proc/sys/kernel/hostname && exec {1} -d -f {2}",
            self.folder.path().display(),
            server("target/servers/opensmtpd/usr/sbin/smtpd").display(),
            self.settings(),
        );
        let command = ["unshare", "--mount", "--uts", "--", "sh", "-c", &script];
        let group = Group::start(&command, &[], &self.folder.path().join("log"));
        group.wait_for_port(self.port);
        self.group = Some(group);
    }

    pub fn kill(&mut self) {
        self.group = None;
    }

    /// The envelopes in the queue: one for each message and recipient.
    pub fn queued(&self) -> usize {
        walk(&self.folder.path().join("spool/queue"))
    }

    /// Tries what waits in the queue now.
    pub fn flush(&self) {
        // It insists on its group, which a package gives and an unpacked one does not.
        let smtpctl = self.folder.path().join("smtpctl");
        fs::copy(server("target/servers/opensmtpd/usr/sbin/smtpctl"), &smtpctl).unwrap();
        let (_, entry) = run(Command::new("getent").args(["group", "opensmtpq"]));
        chown(&smtpctl, None, entry.split(':').nth(2).and_then(|id| id.parse().ok())).unwrap();
        fs::set_permissions(&smtpctl, Permissions::from_mode(0o2755)).unwrap();
        let run_it =
            format!("mount --bind {0}/run /run && exec {0}/smtpctl schedule all", self.folder.path().display());
        run(Command::new("unshare").args(["--mount", "--", "sh", "-c", &run_it]));
    }

    fn settings(&self) -> String {
        self.folder.path().join("smtpd.conf").display().to_string()
    }
}

/// Files below a folder that are not the messages themselves.
fn walk(folder: &Path) -> usize {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.file_type() {
            Ok(kind) if kind.is_dir() => walk(&entry.path()),
            _ => usize::from(entry.file_name() != "message"),
        })
        .sum()
}
