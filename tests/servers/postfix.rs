//! Postfix in a folder of its own, with its default settings but for where things lie and what it listens to.

use super::group::{Group, eventually, folder, free_port, run, server};
use std::{
    fs,
    os::unix::fs::chown,
    path::{Path, PathBuf},
    process::Command,
};

const SERVICES: &str = "\
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
local unix - n n - - local
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
";

pub struct Postfix {
    group: Option<Group>,
    pub port: u16,
    folder: tempfile::TempDir,
    starts: usize,
}

impl Postfix {
    /// A server that hands everything to 127.0.0.1:`onwards`.
    pub fn relaying_to(onwards: u16) -> Self {
        Self::with(&format!("relayhost = [127.0.0.1]:{onwards}\n"), "")
    }

    /// With these lines at the end of main.cf and master.cf. Options (`    -o …`) at the very beginning of the latter
    /// belong to the public listener.
    pub fn with(main: &str, master: &str) -> Self {
        server("/usr/lib/postfix/sbin/master");
        let folder = folder("postfix");
        let port = free_port();
        let at = folder.path();
        for part in ["etc", "queue", "data", "log"] {
            fs::create_dir(at.join(part)).unwrap();
        }
        let (_, owner) = run(Command::new("id").args(["-u", "postfix"]));
        chown(at.join("data"), owner.trim().parse().ok(), None).unwrap();
        fs::write(at.join("etc/main.cf"), Self::main_cf(at) + main).unwrap();
        fs::write(at.join("etc/master.cf"), format!("127.0.0.1:{port} inet n - n - 100 smtpd\n{master}\n{SERVICES}"))
            .unwrap();
        // Makes the queue's folders.
        run(Command::new("/usr/sbin/postfix").arg("-c").arg(at.join("etc")).arg("check"));
        let mut postfix = Self { group: None, port, folder, starts: 0 };
        postfix.start();
        postfix
    }

    pub fn start(&mut self) {
        self.starts += 1;
        let etc = self.etc();
        let etc = etc.to_str().unwrap();
        let command = ["/usr/lib/postfix/sbin/master", "-d", "-c", etc];
        let group = Group::start(&command, &[("MAIL_CONFIG", etc)], &self.folder.path().join("log/master"));
        // Its log daemon waits for itself for ever when more than ten lines stand before it at its start: nobody logs before it runs.
        eventually("Postfix writes its log", 30, || self.log().matches("daemon started").count() == self.starts);
        group.wait_for_port(self.port);
        self.group = Some(group);
    }

    /// Takes lines out of main.cf, puts others in, and reloads, as the administrator would. With `requeue` all that is
    /// queued goes through cleanup once more before the reload.
    pub fn reconfigure(&self, without: &str, with: &str, requeue: bool) {
        let file = self.etc().join("main.cf");
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.contains(without), "main.cf does not have: {without}");
        fs::write(&file, text.replace(without, "") + with).unwrap();
        let command = |program: &str, arguments: &[&str]| {
            let (good, said) = run(Command::new(program).arg("-c").arg(self.etc()).args(arguments));
            assert!(good, "{program}: {said}");
        };
        if requeue {
            command("/usr/sbin/postsuper", &["-r", "ALL"]);
        }
        command("/usr/sbin/postfix", &["reload"]);
    }

    /// Lets this account log in, with AUTH PLAIN and LOGIN.
    pub fn admit(&self, account: &str, password: &str) {
        let (name, domain) = account.split_once('@').unwrap();
        let database = self.folder.path().join("sasldb2");
        let script = "printf %s \"$1\" | saslpasswd2 -p -c -f \"$2\" -u \"$3\" \"$4\"";
        let mut command = Command::new("sh");
        let (good, said) = run(command.args(["-c", script, "sh", password]).arg(&database).args([domain, name]));
        assert!(good, "saslpasswd2: {said}");
        let (_, owner) = run(Command::new("id").args(["-u", "postfix"]));
        chown(&database, owner.trim().parse().ok(), None).unwrap();
        // Debian looks there, whatever cyrus_sasl_config_path says.
        let sasl = format!(
            "pwcheck_method: auxprop\nauxprop_plugin: sasldb\nmech_list: PLAIN LOGIN\nsasldb_path: {}\n",
            database.display()
        );
        self.write("sasl/smtpd.conf", &sasl);
        self.reconfigure("", "", false);
    }

    /// A file in its configuration's folder.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.etc().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    /// As a power cut would.
    pub fn kill(&mut self) {
        self.group = None;
    }

    fn main_cf(at: &Path) -> String {
        let at = at.display();
        format!(
            "compatibility_level = 3.6\n\
             queue_directory = {at}/queue\ndata_directory = {at}/data\n\
             command_directory = /usr/sbin\ndaemon_directory = /usr/lib/postfix/sbin\n\
             mail_owner = postfix\nsetgid_group = postdrop\n\
             maillog_file = {at}/log/mail\nmaillog_file_prefixes = {at}\n\
             myhostname = mail.corp.example\nmydestination =\nmynetworks = 127.0.0.0/8\n\
             inet_interfaces = 127.0.0.1\ninet_protocols = ipv4\n\
             alias_maps =\nalias_database =\nlocal_recipient_maps =\nsmtp_host_lookup = native\n\
             message_size_limit = 52428800\nmailbox_size_limit = 0\n\
             queue_run_delay = 1s\nminimal_backoff_time = 1s\nmaximal_backoff_time = 2s\n"
        )
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log/mail")).unwrap_or_default()
    }

    /// The messages in the queue, as `postqueue -j` tells them.
    pub fn queued(&self) -> usize {
        let etc = self.etc();
        let (_, text) = run(Command::new("/usr/sbin/postqueue").arg("-c").arg(etc).arg("-j"));
        text.lines().filter(|line| line.starts_with('{')).count()
    }

    /// Tries what waits in the queue now.
    pub fn flush(&self) {
        run(Command::new("/usr/sbin/postqueue").arg("-c").arg(self.etc()).arg("-f"));
    }

    fn etc(&self) -> PathBuf {
        self.folder.path().join("etc")
    }
}
