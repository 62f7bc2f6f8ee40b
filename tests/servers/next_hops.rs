//! Next hops as they are met: TLS that is checked both ways, logins, one by domain, one for another. Real Postfix and Exim.

use super::{
    client::{Client, Reply, letter},
    gate::Gate,
    group::{Group, eventually, folder, free_port, run, server},
    postfix::Postfix,
    sink::Sink,
};
use std::{
    fs,
    os::unix::fs::{PermissionsExt, chown},
    path::Path,
    process::Command,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

const USER: &str = "gate@ours.example";
const PASSWORD: &str = "quite a long password";

/// Certificates by openssl: an authority, what it signed for localhost and for us, and one of our own making.
struct Certificates(tempfile::TempDir);

impl Certificates {
    fn make() -> Self {
        let folder = folder("certificates");
        let at = folder.path();
        let openssl = |arguments: &[&str]| {
            let (good, said) = run(Command::new("openssl").current_dir(at).args(arguments));
            assert!(good, "openssl {arguments:?}: {said}");
        };
        let curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
        let own = |name: &str, subject: &str, file: &str| {
            let (key, pem) = (format!("{file}.key"), format!("{file}.pem"));
            let mut arguments = vec!["req", "-x509", "-days", "30", "-subj", subject, "-keyout", &key, "-out", &pem];
            arguments.extend(curve);
            arguments.extend(["-addext", name]);
            openssl(&arguments);
        };
        own("keyUsage=critical,keyCertSign", "/CN=Test authority", "authority");
        own("subjectAltName=DNS:gate.ours.example", "/CN=gate.ours.example", "stranger");
        for (file, name) in [("localhost", "localhost"), ("gate", "gate.ours.example")] {
            let (key, request, pem) = (format!("{file}.key"), format!("{file}.csr"), format!("{file}.pem"));
            let (subject, names) = (format!("/CN={name}"), format!("subjectAltName=DNS:{name}"));
            let mut arguments = vec!["req", "-subj", &subject, "-keyout", &key, "-out", &request, "-addext", &names];
            arguments.extend(curve);
            openssl(&arguments);
            openssl(&[
                "x509",
                "-req",
                "-in",
                &request,
                "-CA",
                "authority.pem",
                "-CAkey",
                "authority.key",
                "-days",
                "30",
                "-copy_extensions",
                "copy",
                "-out",
                &pem,
            ]);
        }
        fs::write(at.join("password"), format!("{PASSWORD}\n")).unwrap();
        fs::write(at.join("wrong-password"), "not this one\n").unwrap();
        for secret in ["password", "wrong-password", "gate.key", "stranger.key"] {
            fs::set_permissions(at.join(secret), fs::Permissions::from_mode(0o600)).unwrap();
        }
        Self(folder)
    }

    fn at(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }
}

/// A gateway with these lines as its `[next-hop]`.
fn gate(next_hop: &str) -> Gate {
    Gate::with(&format!(
        "policy = [\"policies/baseline\"]\nhostname = \"gate.ours.example\"\ndata-dir = \"/var/lib/outgate\"\n\
         [smtp]\nlisten = [\"127.0.0.1:10035\"]\n[[smtp.peer]]\nnetworks = [\"127.0.0.0/8\"]\n[next-hop]\n{next_hop}\n"
    ))
}

fn hand_in(gate: &Gate, mark: &str, to: &str) -> Reply {
    let (mut client, _) = Client::greet(gate.port);
    client.hand_in("<ann@ours.example>", &[&format!("<{to}>")], &letter(mark, "The parcel is here."))
}

/// Postfix that takes mail only under TLS, from those with a certificate of the authority and a login of its sasldb.
fn strict_postfix(certificates: &Certificates, onwards: u16) -> Postfix {
    let at = |name: &str| certificates.at(name);
    let postfix = Postfix::with(
        &format!(
            "relayhost = [127.0.0.1]:{onwards}\n\
             smtpd_tls_security_level = encrypt\nsmtpd_tls_auth_only = yes\n\
             smtpd_tls_cert_file = {}\nsmtpd_tls_key_file = {}\nsmtpd_tls_CAfile = {}\nsmtpd_tls_req_ccert = yes\n\
             smtpd_sasl_auth_enable = yes\nsmtpd_sasl_type = cyrus\nsmtpd_sasl_local_domain =\n\
             smtpd_relay_restrictions = permit_sasl_authenticated, reject\nmynetworks =\n",
            at("localhost.pem"),
            at("localhost.key"),
            at("authority.pem"),
        ),
        "",
    );
    postfix.admit(USER, PASSWORD);
    postfix
}

#[test]
fn postfix_with_tls_a_client_certificate_and_a_login() {
    let certificates = Certificates::make();
    let sink = Sink::listen();
    let postfix = strict_postfix(&certificates, sink.port);
    let at = |name: &str| certificates.at(name);
    let settings = |authority: &str, ours: &str, password: &str| {
        format!(
            "address = \"localhost:{}\"\ntls = \"required\"\ncertificate-authority-file = \"{}\"\ncertificate-file = \"{}\"\n\
             key-file = \"{}\"\nuser = \"{USER}\"\npassword-file = \"{}\"",
            postfix.port,
            at(authority),
            at(&format!("{ours}.pem")),
            at(&format!("{ours}.key")),
            at(password),
        )
    };
    for (mark, authority, ours, password, said) in [
        ("unknown-authority", "stranger.pem", "gate", "password", "TLS failed"),
        ("unknown-to-postfix", "authority.pem", "stranger", "password", ""),
        ("wrong-password", "authority.pem", "gate", "wrong-password", "the login was refused with 535"),
    ] {
        let gate = gate(&settings(authority, ours, password));
        let reply = hand_in(&gate, mark, "client@elsewhere.example");
        assert_eq!(reply.code, 451, "{mark}: {reply:?}\n{}\n{}", gate.log(), postfix.log());
        assert!(gate.log().contains(said), "{mark}: {}\n{}", gate.log(), postfix.log());
        assert!(!gate.log().contains(PASSWORD) && !gate.log().contains("not this one"));
        assert!(!postfix.log().contains("from=<ann@ours.example>, size"), "{mark}: Postfix took it");
    }

    let gate = gate(&settings("authority.pem", "gate", "password"));
    let reply = hand_in(&gate, "all-is-right", "client@elsewhere.example");
    assert_eq!(reply.code, 250, "{reply:?}\n{}\n{}", gate.log(), postfix.log());
    sink.expect("all-is-right", 20);
    let log = postfix.log();
    assert!(log.contains("sasl_method=PLAIN, sasl_username=gate@ours.example"), "{log}");

    // The password changes there and here: a reload is enough, in both directions.
    fs::write(at("password"), "not this one\n").unwrap();
    gate.reload();
    assert_eq!(hand_in(&gate, "changed-too-early", "client@elsewhere.example").code, 451);
    fs::write(at("password"), PASSWORD).unwrap();
    gate.reload();
    assert_eq!(hand_in(&gate, "changed-back", "client@elsewhere.example").code, 250);
    sink.expect("changed-back", 20);
    assert!(sink.with("changed-too-early").is_empty());
    println!(
        "Postfix, TLS required: unknown authority, unknown client, wrong password 451 and 0 taken; all right 1/1; reload 1/1"
    );
}

/// Exim with TLS from the first byte, and AUTH LOGIN alone.
#[test]
fn exim_with_implicit_tls_and_auth_login() {
    let certificates = Certificates::make();
    let sink = Sink::listen();
    let exim = server("target/servers/exim/usr/sbin/exim4");
    let (folder, port) = (folder("exim"), free_port());
    let at = folder.path().display();
    let spool = folder.path().join("spool");
    fs::create_dir(&spool).unwrap();
    let id = |which: &str| run(Command::new("id").args([which, "Debian-exim"])).1.trim().parse().ok();
    chown(&spool, id("-u"), id("-g")).unwrap();
    let key = certificates.at("localhost.key");
    chown(Path::new(&key), id("-u"), id("-g")).unwrap();
    let settings = folder.path().join("exim.conf");
    let text = format!(
        "exim_path = {}\nspool_directory = {at}/spool\nlog_file_path = {at}/spool/%slog\npid_file_path = {at}/spool/pid\n\
         primary_hostname = hop.elsewhere.example\ndaemon_smtp_ports = {port}\ntls_on_connect_ports = {port}\n\
         local_interfaces = 127.0.0.1\ntls_advertise_hosts = *\ntls_certificate = {}\ntls_privatekey = {key}\n\
         host_lookup =\nrfc1413_query_timeout = 0s\nlog_selector = +received_recipients\n\
         acl_smtp_rcpt = check\nacl_smtp_data = accept\nbegin acl\ncheck:\n  require authenticated = *\n  accept\n\
         begin authenticators\nlogin:\n  driver = plaintext\n  public_name = LOGIN\n  server_prompts = Username:: : Password::\n\
         \x20 server_condition = ${{if and{{{{eq{{$auth1}}{{{USER}}}}}{{eq{{$auth2}}{{{PASSWORD}}}}}}}}}\n  server_set_id = $auth1\n\
         begin routers\nout:\n  driver = manualroute\n  transport = out\n  route_list = * 127.0.0.1::{} byname\n  self = send\n\
         begin transports\nout:\n  driver = smtp\n  allow_localhost\nbegin retry\n* * F,1h,1s\n",
        exim.display(),
        certificates.at("localhost.pem"),
        sink.port
    );
    fs::write(&settings, text).unwrap();
    let command = [exim.to_str().unwrap(), "-C", settings.to_str().unwrap(), "-bdf", "-q1s"];
    let group = Group::start(&command, &[], &folder.path().join("log"));
    group.wait_for_port(port);
    let log = || fs::read_to_string(spool.join("mainlog")).unwrap_or_default();
    for (password, code) in [("wrong-password", 451), ("password", 250)] {
        let gate = gate(&format!(
            "address = \"127.0.0.1:{port}\"\ntls = \"implicit\"\ntls-name = \"localhost\"\ncertificate-authority-file = \"{}\"\n\
             user = \"{USER}\"\npassword-file = \"{}\"",
            certificates.at("authority.pem"),
            certificates.at(password)
        ));
        let reply = hand_in(&gate, &format!("exim-{password}"), "client@elsewhere.example");
        assert_eq!(reply.code, code, "{reply:?}\n{}\n{}", gate.log(), log());
    }
    sink.expect("exim-password", 20);
    assert!(log().contains("A=login:gate@ours.example"), "{}", log());
    println!("Exim, implicit TLS and AUTH LOGIN: wrong password 451, right 1/1");
}

#[test]
fn two_postfix_hops_by_domain() {
    let (world, partners) = (Sink::listen(), Sink::listen());
    let (default, partner) = (Postfix::relaying_to(world.port), Postfix::relaying_to(partners.port));
    let gate = gate(&format!(
        "address = \"127.0.0.1:{}\"\ntls = \"none\"\n[[next-hop.route]]\ndomains = [\"partner.example\", \"*.partner.example\"]\n\
         address = \"127.0.0.1:{}\"\ntls = \"none\"",
        default.port, partner.port
    ));
    let (mut client, offers) = Client::greet(gate.port);
    assert!(offers.contains("SIZE"));
    assert_eq!(client.command("MAIL FROM:<ann@ours.example>").code, 250);
    for (recipient, code) in [
        ("c@elsewhere.example", 250),
        ("a@partner.example", 452),
        ("b@eu.partner.example", 452),
        ("d@elsewhere.example", 250),
    ] {
        assert_eq!(client.command(&format!("RCPT TO:<{recipient}>")).code, code, "{recipient}");
    }
    assert_eq!(client.command("DATA").code, 354);
    client.send(&letter("both-ways", "The parcel is here."));
    client.send(b".\r\n");
    assert_eq!(client.reply().code, 250);
    let second = client.hand_in(
        "<ann@ours.example>",
        &["<a@partner.example>", "<b@eu.partner.example>"],
        &letter("both-ways", "The parcel is here."),
    );
    assert_eq!(second.code, 250);
    assert_eq!(world.expect("both-ways", 20).recipients.len(), 2);
    assert_eq!(partners.expect("both-ways", 20).recipients.len(), 2);

    // A Postfix in front does that by itself.
    let mut front = Postfix::relaying_to(gate.port);
    let (mut client, _) = Client::greet(front.port);
    let asked = Instant::now();
    let reply = client.hand_in(
        "<ann@ours.example>",
        &["<c@elsewhere.example>", "<a@partner.example>"],
        &letter("by-postfix", "The parcel is here."),
    );
    assert_eq!(reply.code, 250);
    world.expect("by-postfix", 30);
    partners.expect("by-postfix", 30);
    let took = asked.elapsed();
    assert_eq!((world.with("by-postfix").len(), partners.with("by-postfix").len()), (1, 1), "{}", front.log());
    front.kill();
    println!(
        "two hops by domain: 452 4.5.3 for the other, each 1 copy; Postfix in front brought the second after {took:?}"
    );
}

#[test]
fn the_second_postfix_takes_over_in_mid_run_and_hands_back() {
    const CLIENTS: usize = 4;
    const EACH: usize = 30;
    let sink = Sink::listen();
    let (mut first, second) = (Postfix::relaying_to(sink.port), Postfix::relaying_to(sink.port));
    let gate =
        gate(&format!("address = [\"127.0.0.1:{}\", \"127.0.0.1:{}\"]\ntls = \"none\"", first.port, second.port));
    let (taken, put_off) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let port = gate.port;
    thread::scope(|scope| {
        for client in 0..CLIENTS {
            let (taken, put_off) = (&taken, &put_off);
            scope.spawn(move || {
                let (mut session, _) = Client::greet(port);
                for number in 0..EACH {
                    let text = letter(&format!("over-{client}-{number}-"), "The parcel is here.");
                    loop {
                        let reply = session.hand_in("<ann@ours.example>", &["<c@elsewhere.example>"], &text);
                        match reply.code {
                            250 => break,
                            451 => put_off.fetch_add(1, Ordering::SeqCst),
                            _ => panic!("{reply:?}"),
                        };
                        thread::sleep(Duration::from_millis(50));
                    }
                    taken.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        let until = Instant::now() + Duration::from_secs(60);
        while taken.load(Ordering::SeqCst) < CLIENTS * EACH / 3 && Instant::now() < until {
            thread::sleep(Duration::from_millis(5));
        }
        first.kill();
    });
    assert!(!second.log().is_empty());
    // What the first had accepted before it was killed lies in its queue.
    first.start();
    first.flush();
    let (mut lost, mut double) = (0, 0);
    for client in 0..CLIENTS {
        for number in 0..EACH {
            let mark = format!("over-{client}-{number}-");
            eventually(&format!("{mark} arrives"), 40, || !sink.with(&mark).is_empty());
            match sink.with(&mark).len() {
                0 => lost += 1,
                copies => double += copies - 1,
            }
        }
    }
    eventually("mail goes to the first again", 40, || {
        let before = first.log().matches("client=").count();
        assert_eq!(hand_in(&gate, "handed-back", "c@elsewhere.example").code, 250);
        thread::sleep(Duration::from_millis(500));
        first.log().matches("client=").count() > before
    });
    let put_off = put_off.load(Ordering::SeqCst);
    println!(
        "failover: {} messages, first hop killed in mid-run: lost {lost}, twice {double}, put off {put_off}",
        CLIENTS * EACH
    );
    assert_eq!(lost, 0);
    // Only those whose reply was lost with the killed server, which had them.
    assert!(double <= put_off, "{double} twice, {put_off} put off");
}
