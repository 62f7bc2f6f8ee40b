//! Real clients before the door. `scripts/test` installs them.

use crate::house::{House, settings};
use std::{
    io::Write,
    process::{Command, Stdio},
    sync::atomic::Ordering,
};

/// Dots at the start of lines, 8-bit text, a long line.
fn message() -> Vec<u8> {
    let long = "x".repeat(900);
    format!(
        "From: <a@ours.example>\r\nTo: <b@there.example>\r\nSubject: dots\r\nDate: Thu, 01 Jan 1970 00:00:00 +0000\r\n\
             Message-ID: <1@ours.example>\r\n\r\n.one\r\n..two\r\n.\u{20ac}\r\n{long}\r\nend\r\n"
    )
    .into_bytes()
}

/// Runs a client with the message on its standard input, and says whether it was content.
fn run(program: &str, arguments: &[&str], input: &[u8]) {
    let child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = child.unwrap_or_else(|error| panic!("{program} is not here ({error}): see scripts/test"));
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&said));
}

const SMTPLIB: &str = "import smtplib, sys
session = smtplib.SMTP('127.0.0.1', int(sys.argv[1]))
message = sys.stdin.buffer.read()
for _ in range(2):
    session.sendmail('a@ours.example', ['b@there.example', 'c@there.example'], message, ['BODY=8BITMIME'])
session.quit()
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn real_clients_are_understood_and_their_bytes_kept() {
    let house = House::open(settings()).await;
    let port = house.address.port().to_string();
    let (server, url) = (format!("127.0.0.1:{port}"), format!("smtp://127.0.0.1:{port}/client.example"));
    let (msmtp_port, crlf) = (format!("--port={port}"), message());
    let lf = String::from_utf8(crlf.clone()).unwrap().replace("\r\n", "\n").into_bytes();
    let clients: [(&str, Vec<&str>, &[u8], usize); 4] = [
        ("python3", vec!["-c", SMTPLIB, &port], &crlf, 2),
        (
            "curl",
            vec!["-sS", "--url", &url, "--mail-from", "a@ours.example", "--mail-rcpt", "b@there.example", "-T", "-"],
            &crlf,
            1,
        ),
        (
            "swaks",
            vec![
                "--server",
                &server,
                "--from",
                "a@ours.example",
                "--to",
                "b@there.example",
                "--data",
                "-",
                "--pipeline",
            ],
            &lf,
            1,
        ),
        ("msmtp", vec!["--host=127.0.0.1", &msmtp_port, "--from=a@ours.example", "b@there.example"], &lf, 1),
    ];
    for (program, arguments, input, messages) in clients {
        tokio::task::block_in_place(|| run(program, &arguments, input));
        let bodies = std::mem::take(&mut *house.fake.handed.lock().unwrap());
        assert_eq!(bodies.len(), messages, "{program}");
        for submission in bodies {
            let body = submission.message.read(0..submission.message.len()).into_owned();
            // swaks ends its message with an empty line.
            let (body, sent) = (body.trim_ascii_end(), crlf.trim_ascii_end());
            assert_eq!(body.escape_ascii().to_string(), sent.escape_ascii().to_string(), "{program}");
        }
    }
    let answered = 5;
    house.until("all were heard", |house| house.fake.confirmed.load(Ordering::SeqCst) == answered).await;
    assert_eq!(house.fake.unconfirmed.load(Ordering::SeqCst), 0);
}
