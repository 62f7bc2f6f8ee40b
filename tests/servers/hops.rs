//! The three servers as next hops: each hands on what it takes to the sink.

use super::{
    group::{Group, folder, free_port, run, server},
    postfix::Postfix,
};
use std::{
    fs::{self, Permissions},
    os::unix::fs::{PermissionsExt, chown},
    process::Command,
};

#[derive(Clone, Copy, Debug)]
pub enum Kind {
    Postfix,
    Exim,
    OpenSmtpd,
}

impl Kind {
    pub const ALL: [Self; 3] = [Self::Postfix, Self::Exim, Self::OpenSmtpd];
}

/// A running next hop; it ends when this is dropped.
pub struct Hop {
    pub port: u16,
    _running: Running,
}

#[expect(dead_code, reason = "held for their Drop")]
enum Running {
    Postfix(Postfix),
    Other(Group, tempfile::TempDir),
}

impl Hop {
    pub fn start(kind: Kind, onwards: u16) -> Self {
        match kind {
            Kind::Postfix => Self::postfix(Postfix::relaying_to(onwards)),
            Kind::Exim => Self::exim(onwards),
            Kind::OpenSmtpd => Self::open_smtpd(onwards),
        }
    }

    pub fn postfix(postfix: Postfix) -> Self {
        Self { port: postfix.port, _running: Running::Postfix(postfix) }
    }

    fn exim(onwards: u16) -> Self {
        let exim = server("target/servers/exim/usr/sbin/exim4");
        let (folder, port) = (folder("exim"), free_port());
        let at = folder.path().display();
        let spool = folder.path().join("spool");
        fs::create_dir(&spool).unwrap();
        let id = |which: &str| run(Command::new("id").args([which, "Debian-exim"])).1.trim().parse().ok();
        chown(&spool, id("-u"), id("-g")).unwrap();
        let settings = folder.path().join("exim.conf");
        let text = format!(
            "exim_path = {}\nspool_directory = {at}/spool\nlog_file_path = {at}/spool/%slog\npid_file_path = {at}/spool/pid\n\
             primary_hostname = hop.elsewhere.example\ndaemon_smtp_ports = {port}\nlocal_interfaces = 127.0.0.1\n\
             tls_advertise_hosts =\nhost_lookup =\nrfc1413_query_timeout = 0s\ndsn_advertise_hosts = *\n\
             acl_smtp_rcpt = accept\nacl_smtp_data = accept\n\
             begin routers\nout:\n  driver = manualroute\n  transport = out\n  route_list = * 127.0.0.1::{onwards} byname\n\
             \x20 self = send\n\
             begin transports\nout:\n  driver = smtp\n  allow_localhost\n\
             begin retry\n* * F,1h,1s\n",
            exim.display()
        );
        fs::write(&settings, text).unwrap();
        let command = [exim.to_str().unwrap(), "-C", settings.to_str().unwrap(), "-bdf", "-q1s"];
        let group = Group::start(&command, &[], &folder.path().join("log"));
        group.wait_for_port(port);
        Self { port, _running: Running::Other(group, folder) }
    }

    fn open_smtpd(onwards: u16) -> Self {
        let smtpd = server("target/servers/opensmtpd/usr/sbin/smtpd");
        let (folder, port) = (folder("opensmtpd"), free_port());
        let spool = folder.path().join("spool");
        fs::create_dir(&spool).unwrap();
        fs::set_permissions(&spool, Permissions::from_mode(0o711)).unwrap();
        let settings = folder.path().join("smtpd.conf");
        let text = format!(
            "listen on 127.0.0.1 port {port}\naction \"out\" relay host smtp://127.0.0.1:{onwards}\n\
             match from any for any action \"out\"\n"
        );
        fs::write(&settings, text).unwrap();
        // It has its spool's place compiled in; in a mount namespace of its own that place is ours.
        let script = format!(
            "mount --bind {} /var/spool/smtpd && exec {} -d -f {}",
            spool.display(),
            smtpd.display(),
            settings.display()
        );
        let group = Group::start(&["unshare", "--mount", "--", "sh", "-c", &script], &[], &folder.path().join("log"));
        group.wait_for_port(port);
        Self { port, _running: Running::Other(group, folder) }
    }
}
