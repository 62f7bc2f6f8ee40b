//! T24, more clients: two mail programs, an asynchronous library, and two servers that do nothing but send (dma, nullmailer).

use super::{
    clients::{Job, all_kinds},
    group::{Group, eventually, folder, installed, run, server},
};
use std::{
    fs::{self, File, Permissions},
    os::unix::fs::{PermissionsExt, chown},
    path::Path,
    process::Command,
};

#[test]
fn aiosmtplib() {
    let script = installed("tests/servers/compose_async.py");
    all_kinds("aiosmtplib", &[], |job, port| {
        run(Command::new("/usr/bin/python3").arg(&script).arg(port.to_string()).arg(&job.described))
    });
}

/// A command that reads the text of the message from a file.
fn with_text(mut command: Command, job: &Job) -> (bool, String) {
    let text = job.raw.with_extension("txt");
    fs::write(&text, format!("{}\n", job.text)).unwrap();
    run(command.env("LC_ALL", "C.UTF-8").stdin(File::open(text).unwrap()))
}

#[test]
fn s_nail() {
    // It refuses such addresses itself.
    all_kinds("s-nail", &[("smtputf8", "contains invalid byte")], |job, port| {
        let mut command = Command::new("s-nail");
        command.args([
            "-:/",
            "-S",
            "v15-compat",
            "-S",
            "smtp-auth=none",
            "-S",
            "sendwait",
            "-S",
            "DEAD=/dev/null",
            "-S",
            "hostname=ours.example",
        ]);
        command.args(["-S", &format!("mta=smtp://127.0.0.1:{port}"), "-S", &format!("from={}", job.from)]);
        if let Some(path) = &job.attachment {
            let named = path.with_file_name("figures.bin");
            fs::copy(path, &named).unwrap();
            command.arg("-a").arg(named);
        }
        command.args(["-s", &job.mark]).args(&job.to);
        with_text(command, job)
    });
}

#[test]
fn mutt() {
    all_kinds("mutt", &[], |job, port| {
        let mut command = Command::new("mutt");
        command.args(["-n", "-F", "/dev/null", "-e", &format!("set smtp_url=smtp://127.0.0.1:{port}")]);
        command
            .args(["-e", &format!("set from={} use_envelope_from ssl_force_tls=no ssl_starttls=no copy=no", job.from)]);
        command.args(["-e", "set hostname=ours.example", "-s", &job.mark]);
        if let Some(path) = &job.attachment {
            let named = path.with_file_name("figures.bin");
            fs::copy(path, &named).unwrap();
            command.arg("-a").arg(named);
        }
        command.arg("--").args(&job.to);
        with_text(command, job)
    });
}

/// The message as a local program writes it to a sendmail command: lines end in LF.
fn local(job: &Job) -> File {
    let path = job.raw.with_extension("local");
    let text = fs::read(&job.raw).unwrap();
    fs::write(&path, text.into_iter().filter(|byte| *byte != b'\r').collect::<Vec<u8>>()).unwrap();
    File::open(path).unwrap()
}

/// Makes a folder for the account under which both run.
fn mail_s_own(folder: &Path) {
    fs::create_dir(folder).unwrap();
    let id = |which: &str| run(Command::new("id").args([which, "mail"])).1.trim().parse().ok();
    chown(folder, id("-u"), id("-g")).unwrap();
    fs::set_permissions(folder, Permissions::from_mode(0o2775)).unwrap();
}

/// How many files were in it.
fn emptied(folder: &Path) -> usize {
    fs::read_dir(folder).unwrap().flatten().map(|entry| fs::remove_file(entry.path()).unwrap()).count()
}

#[test]
fn dma() {
    let dma = server("target/servers/dma/usr/sbin/dma");
    let home = folder("dma");
    for part in ["etc", "spool"] {
        mail_s_own(&home.path().join(part));
    }
    // Why a message failed it tells the system's log alone.
    all_kinds("dma", &[("smtputf8", "")], |job, port| {
        let settings = format!("SMARTHOST 127.0.0.1\nPORT {port}\nMAILNAME client.ours.example\n");
        fs::write(home.path().join("etc/dma.conf"), settings).unwrap();
        // It has its places compiled in; in a mount namespace of its own they are ours.
        let script = format!(
            "mount --bind {0}/etc /etc/dma && mount --bind {0}/spool /var/spool/dma && exec {1} \"$@\"",
            home.path().display(),
            dma.display()
        );
        let mut command = Command::new("unshare");
        command.args(["--mount", "--", "sh", "-c", &script, "dma", "-D", "-f", job.from]).args(&job.to);
        let (good, said) = run(command.stdin(local(job)));
        let left = emptied(&home.path().join("spool"));
        (good && left == 0, said)
    });
}

#[test]
fn nullmailer() {
    let root = server("target/servers/nullmailer");
    let home = folder("nullmailer");
    let at = |path: &str| home.path().join(path);
    for part in ["etc", "spool", "spool/queue", "spool/tmp", "spool/failed"] {
        mail_s_own(&at(part));
    }
    run(Command::new("mkfifo").arg(at("spool/trigger")));
    let places = format!(
        "mount --bind {0}/etc /etc/nullmailer && mount --bind {0}/spool /var/spool/nullmailer && \
         mount --bind {1}/usr/lib/nullmailer /usr/lib/nullmailer",
        home.path().display(),
        root.display()
    );
    all_kinds("nullmailer", &[("smtputf8", "553 5.6.7")], |job, port| {
        fs::write(at("etc/remotes"), format!("127.0.0.1 smtp --port={port}\n")).unwrap();
        let _ = fs::remove_file(at("log"));
        let inject = format!("{places} && exec {}/usr/bin/nullmailer-inject -f \"$@\"", root.display());
        let mut command = Command::new("unshare");
        command.args(["--mount", "--", "sh", "-c", &inject, "inject", job.from]).args(&job.to);
        command.env("NULLMAILER_QUEUE", root.join("usr/sbin/nullmailer-queue"));
        let (good, said) = run(command.stdin(local(job)));
        assert!(good, "nullmailer-inject: {said}");
        let send = format!("{places} && exec {}/usr/sbin/nullmailer-send", root.display());
        let group = Group::start(&["unshare", "--mount", "--", "sh", "-c", &send], &[], &at("log"));
        eventually("the queue is empty", 30, || fs::read_dir(at("spool/queue")).unwrap().count() == 0);
        drop(group);
        let failed = emptied(&at("spool/failed"));
        (failed == 0, fs::read_to_string(at("log")).unwrap())
    });
}
