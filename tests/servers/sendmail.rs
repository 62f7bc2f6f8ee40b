//! Sendmail in a folder of its own (from its private root); its .cf is made with m4, as an administrator makes it.

use super::group::{Group, folder, free_port, server};
use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    process::Command,
};

const ROOT: &str = "target/servers/sendmail";

pub struct Sendmail {
    group: Option<Group>,
    pub port: u16,
    folder: tempfile::TempDir,
}

impl Sendmail {
    /// A server that hands everything to 127.0.0.1:`onwards`.
    pub fn relaying_to(onwards: u16) -> Self {
        Self::with(&Self::smarthost(onwards))
    }

    /// Lines of sendmail.mc for a server that hands everything to 127.0.0.1:`onwards`.
    pub fn smarthost(onwards: u16) -> String {
        format!("define(`SMART_HOST', `relay:[127.0.0.1]')\ndefine(`RELAY_MAILER_ARGS', `TCP $h {onwards}')\n")
    }

    /// With these lines in sendmail.mc.
    pub fn with(lines: &str) -> Self {
        let folder = folder("sendmail");
        let at = folder.path();
        fs::create_dir(at.join("queue")).unwrap();
        fs::set_permissions(at.join("queue"), Permissions::from_mode(0o700)).unwrap();
        fs::write(at.join("switch"), "hosts files\naliases files\n").unwrap();
        // It looks for its own name, asks the name server for it, and waits a minute where the name has no dot.
        fs::write(at.join("hosts"), "127.0.0.1 mail.ours.example localhost\n").unwrap();
        let names = fs::read_to_string("/etc/nsswitch.conf").unwrap_or_default();
        let names = names.lines().filter(|line| !line.starts_with("hosts:")).collect::<Vec<_>>().join("\n");
        fs::write(at.join("nsswitch.conf"), names + "\nhosts: files\n").unwrap();
        let mut sendmail = Self { group: None, port: free_port(), folder };
        sendmail.configure(lines);
        sendmail.start();
        sendmail
    }

    /// Makes its .cf; it reads it when it starts.
    pub fn configure(&self, lines: &str) {
        let at = self.folder.path();
        let here = at.display();
        let text = format!(
            "divert(0)dnl\nOSTYPE(`linux')dnl\ndefine(`confDOMAIN_NAME', `mail.ours.example')dnl\n\
             define(`QUEUE_DIR', `{here}/queue')dnl\ndefine(`STATUS_FILE', `{here}/statistics')dnl\n\
             define(`HELP_FILE', `{here}/help')dnl\ndefine(`confPID_FILE', `{here}/pid')dnl\n\
             define(`confSERVICE_SWITCH_FILE', `{here}/switch')dnl\nundefine(`ALIAS_FILE')dnl\n\
             define(`confDONT_BLAME_SENDMAIL', `GroupWritableDirPathSafe')dnl\ndefine(`confTO_IDENT', `0s')dnl\n\
             define(`confMIN_QUEUE_AGE', `0')dnl\ndefine(`confPRIVACY_FLAGS', `noexpn,novrfy')dnl\n\
             FEATURE(`no_default_msa')dnl\nFEATURE(`nocanonify')dnl\nFEATURE(`accept_unresolvable_domains')dnl\n\
             DAEMON_OPTIONS(`Port={}, Addr=127.0.0.1, Name=MTA')dnl\n{lines}\nMAILER(`smtp')dnl\n",
            self.port
        );
        fs::write(at.join("sendmail.mc"), text).unwrap();
        let library = server(ROOT).join("usr/share/sendmail/cf");
        let mut m4 = Command::new("m4");
        m4.arg(format!("-D_CF_DIR_={}/", library.display())).arg(library.join("m4/cf.m4")).arg(at.join("sendmail.mc"));
        let output = m4.output().expect("m4 is missing: run scripts/test-servers first (it needs root on Debian)");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.is_empty(), "m4: {said}");
        fs::write(at.join("sendmail.cf"), output.stdout).unwrap();
    }

    pub fn start(&mut self) {
        let script = format!(
            "cd {0} && mount --bind nsswitch.conf /etc/nsswitch.conf && mount --bind hosts /etc/hosts && \
             echo mail.ours.example >/proc/sys/kernel/hostname && exec {1} -C {0}/sendmail.cf -bD -q1s",
            self.folder.path().display(),
            server(ROOT).join("usr/libexec/sendmail/sendmail").display(),
        );
        let command = ["unshare", "--mount", "--uts", "--", "sh", "-c", &script];
        let group = Group::start(&command, &[], &self.folder.path().join("log"));
        group.wait_for_port(self.port);
        self.group = Some(group);
    }

    pub fn kill(&mut self) {
        self.group = None;
    }

    /// The messages in the queue.
    pub fn queued(&self) -> usize {
        let entries = fs::read_dir(self.folder.path().join("queue")).unwrap().flatten();
        entries.filter(|entry| entry.file_name().to_string_lossy().starts_with("qf")).count()
    }
}
