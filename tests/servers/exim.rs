//! Exim in a folder of its own (from its private root), with as few settings as it starts with.

use super::group::{Group, folder, free_port, run, server};
use std::{fs, os::unix::fs::chown, process::Command};

pub struct Exim {
    group: Option<Group>,
    pub port: u16,
    folder: tempfile::TempDir,
}

impl Exim {
    /// A server that hands everything to 127.0.0.1:`onwards`.
    pub fn relaying_to(onwards: u16) -> Self {
        Self::with(free_port(), onwards, "", "", "")
    }

    /// With these lines at the end of the main section, and before its own router and transport.
    pub fn with(port: u16, onwards: u16, main: &str, routers: &str, transports: &str) -> Self {
        let folder = folder("exim");
        let spool = folder.path().join("spool");
        fs::create_dir(&spool).unwrap();
        let id = |which: &str| run(Command::new("id").args([which, "Debian-exim"])).1.trim().parse().ok();
        chown(&spool, id("-u"), id("-g")).unwrap();
        let mut exim = Self { group: None, port, folder };
        exim.configure(onwards, main, routers, transports);
        exim.start();
        exim
    }

    /// Writes its settings; it reads them when it starts.
    pub fn configure(&self, onwards: u16, main: &str, routers: &str, transports: &str) {
        let (at, port) = (self.folder.path().display(), self.port);
        let text = format!(
            "exim_path = {}\nspool_directory = {at}/spool\nlog_file_path = {at}/spool/%slog\npid_file_path = {at}/spool/pid\n\
             primary_hostname = mail.ours.example\n\
             tls_advertise_hosts =\nhost_lookup =\nrfc1413_query_timeout = 0s\ndsn_advertise_hosts = *\n\
             domainlist local_domains = mail.ours.example\n\
             acl_smtp_rcpt = accept\nacl_smtp_data = accept\n{}\n\
             begin routers\n{routers}\n\
             out:\n  driver = manualroute\n  transport = out\n  route_list = * 127.0.0.1::{onwards} byname\n  self = send\n\
             begin transports\n{transports}\n\
             out:\n  driver = smtp\n  allow_localhost\n\
             begin retry\n* * F,1h,1s\n",
            Self::program(),
            if main.is_empty() { format!("local_interfaces = 127.0.0.1.{port}") } else { main.to_string() },
        );
        fs::write(self.settings(), text).unwrap();
    }

    pub fn start(&mut self) {
        let (program, settings) = (Self::program(), self.settings());
        let command = [&program, "-C", &settings, "-bdf", "-q1s"];
        let group = Group::start(&command, &[], &self.folder.path().join("log"));
        group.wait_for_port(self.port);
        self.group = Some(group);
    }

    pub fn kill(&mut self) {
        self.group = None;
    }

    /// The messages in the queue.
    pub fn queued(&self) -> usize {
        let (good, text) = run(Command::new(Self::program()).args(["-C", &self.settings(), "-bpc"]));
        assert!(good, "{text}");
        text.trim().parse().unwrap()
    }

    fn program() -> String {
        server("target/servers/exim/usr/sbin/exim4").display().to_string()
    }

    fn settings(&self) -> String {
        self.folder.path().join("exim.conf").display().to_string()
    }
}
