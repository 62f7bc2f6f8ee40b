//! Attachments through real readers: what is in them is found with its path, and whatever a hostile file does to a reader, the
//! message is judged.

use base64::{Engine, engine::general_purpose::STANDARD};
use outgate::{
    detect::{
        DetectorSources, Detectors, Scan,
        inside::{AttachmentReader, Item},
    },
    gateway::readers::Readers,
    mail::{Message, UnreadReason},
};
use std::{
    fs,
    io::{Cursor, Read, Write},
    os::unix::{fs::PermissionsExt, net::UnixStream, process::ExitStatusExt},
    path::Path,
    process::{Command, Stdio},
    sync::LazyLock,
    thread,
    time::{Duration, Instant},
};
use zip::{ZipWriter, write::SimpleFileOptions};

const PROGRAM: &str = env!("CARGO_BIN_EXE_outgate");

static DETECTORS: LazyLock<Detectors> =
    LazyLock::new(|| Detectors::compile(&DetectorSources::embedded()).expect("the shipped lists"));

fn zipped(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in members {
        writer.start_file(*name, SimpleFileOptions::default()).expect("a test can do that");
        writer.write_all(content).expect("a test can do that");
    }
    writer.finish().expect("a test can do that").into_inner()
}

fn attached(content: &[u8]) -> Message {
    let lines: Vec<u8> =
        STANDARD.encode(content).as_bytes().chunks(76).flat_map(|line| [line, b"\r\n"].concat()).collect();
    let head = b"From: a@ours.example\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nHello\r\n--b\r\n\
        Content-Type: application/octet-stream\r\nContent-Disposition: attachment; filename=x\r\n\
        Content-Transfer-Encoding: base64\r\n\r\n";
    Message::parse([head, &lines[..], b"\r\n--b--\r\n"].concat())
}

fn scan(content: &[u8], reader: &dyn AttachmentReader) -> Scan {
    DETECTORS.scan_with(&attached(content), reader)
}

fn unread(scan: &Scan) -> Vec<(&str, UnreadReason)> {
    scan.unread.iter().map(|unread| (unread.part.as_str(), unread.reason)).collect()
}

fn found<'s>(scan: &'s Scan, detector: &str) -> Vec<&'s str> {
    scan.findings.iter().filter(|finding| &*finding.detector == detector).map(|finding| finding.part.as_str()).collect()
}

const SEED: &str = "Her NI number is AB 12 34 56 C";

#[test]
fn personal_data_is_found_with_its_path() {
    let document = zipped(&[
        ("[Content_Types].xml", b"<Types/>"),
        ("word/document.xml", format!("<w:p><w:t>{SEED}</w:t></w:p>").as_bytes()),
    ]);
    let archive = zipped(&[("in/b.zip", &zipped(&[("notes.docx", &document)])), ("AB123456C NI number.txt", b"x")]);
    let scan = scan(&archive, &Readers::new(PROGRAM));
    assert_eq!(unread(&scan), []);
    let places = found(&scan, "personal.uk-nino");
    assert!(places.contains(&"2/in/b.zip/notes.docx/word/document.xml"), "{places:?}");
    assert!(places.contains(&"2/AB123456C NI number.txt"), "the name of a member: {places:?}");
    assert_eq!(unread(&DETECTORS.scan(&attached(&archive))), [("2", UnreadReason::UnknownFormat)], "without a reader");
}

#[test]
fn what_is_attached_besides_text_is_a_finding() {
    let archive = zipped(&[("run.exe", b"MZ\x90\0\x03\0\0\0"), ("a.png", b"\x89PNG\r\n\x1A\n\0")]);
    let scan = scan(&archive, &Readers::new(PROGRAM));
    assert_eq!(found(&scan, "attachment.executable"), ["2/run.exe"]);
    assert_eq!(found(&scan, "attachment.image"), ["2/a.png"]);
    assert!(DETECTORS.names().contains(&"attachment.macro"));
}

/// A reader that says it is confined, and then does as it is told.
fn faulty(folder: &Path, then: &str) -> Readers {
    let script = folder.join("reader");
    fs::write(&script, format!("#!/bin/sh\nprintf 's\\002\\0\\0\\0\\0\\0' >&0\n{then}\n")).expect("a test can do that");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("a test can do that");
    Readers::new(script)
}

#[test]
fn a_reader_that_fails_costs_the_part_and_never_the_message() {
    let archive = zipped(&[("a.txt", SEED.as_bytes())]);
    let item = "printf 'T\\015\\0\\0\\0\\002\\0a1NI number' >&0";
    for (then, reason) in [
        ("exit 0", UnreadReason::Crashed),
        ("kill -SEGV $$", UnreadReason::Crashed),
        ("kill -XCPU $$", UnreadReason::Time),
        ("printf 'Q\\377\\377\\377\\377' >&0; sleep 5", UnreadReason::Crashed),
        (&*format!("{item}; {item}; kill -KILL $$"), UnreadReason::Crashed),
    ] {
        let folder = tempfile::tempdir().expect("a test can do that");
        let reader = faulty(folder.path(), then);
        for _ in 0..3 {
            let scan = scan(&archive, &reader);
            assert_eq!(unread(&scan), [("2", reason)], "{then}");
        }
    }
}

#[test]
fn a_reader_that_hangs_is_ended_by_the_clock() {
    let folder = tempfile::tempdir().expect("a test can do that");
    let reader = faulty(folder.path(), "exec sleep 60");
    let started = Instant::now();
    let result = reader.read(b"PK\x03\x04", started + Duration::from_millis(300), &mut |_| {});
    assert_eq!(result, Err(UnreadReason::Time));
    assert!(started.elapsed() < Duration::from_secs(3));
}

#[test]
fn without_walls_nothing_is_read() {
    let archive = zipped(&[("a.txt", SEED.as_bytes())]);
    for program in ["/bin/false", "/nowhere/outgate"] {
        let reader = Readers::new(program);
        for _ in 0..2 {
            assert_eq!(unread(&scan(&archive, &reader)), [("2", UnreadReason::UnknownFormat)], "{program}");
        }
        assert!(reader.trial().is_err());
    }
    // A reader that cannot shut itself off says so.
    let folder = tempfile::tempdir().expect("a test can do that");
    let script = folder.path().join("reader");
    fs::write(&script, "#!/bin/sh\nprintf 'n\\002\\0\\0\\0\\0\\0' >&0\n").expect("a test can do that");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("a test can do that");
    assert_eq!(Readers::new(script).trial(), Err("the kernel has no seccomp"));
}

#[test]
fn a_reader_is_shut_off() {
    let (mut ours, theirs) = UnixStream::pair().expect("a test can do that");
    let mut command = Command::new(PROGRAM);
    command.arg("reader").stdin(Stdio::from(std::os::fd::OwnedFd::from(theirs)));
    let mut child = command.spawn().expect("a test can do that");
    drop(command);
    let mut hello = [0; 7];
    ours.read_exact(&mut hello).expect("a test can do that");
    let has_landlock =
        fs::read_to_string("/proc/kallsyms").is_ok_and(|symbols| symbols.contains("landlock_restrict_self"));
    assert!(hello[0] == b'c' || hello[0] == b's' && !has_landlock, "confined");
    let about = |file: &str| fs::read_to_string(format!("/proc/{}/{file}", child.id())).expect("a test can do that");
    let status = about("status");
    for line in ["NoNewPrivs:\t1", "Seccomp:\t2", "Threads:\t1"] {
        assert!(status.contains(line), "{line}\n{status}");
    }
    let limits = about("limits");
    let limit = |name: &str| {
        let line = limits.lines().find(|line| line.starts_with(name)).expect("a test can do that");
        line[name.len()..].split_whitespace().next().expect("a test can do that").to_string()
    };
    assert!(limit("Max address space").parse::<u64>().is_ok(), "{limits}");
    for none in ["Max core file size", "Max file size", "Max processes", "Max open files"] {
        assert_eq!(limit(none), "0", "{none}");
    }
    drop(ours);
    let status = child.wait().expect("a test can do that");
    assert_eq!((status.code(), status.signal()), (Some(0), None), "it ends with whoever started it");
}

/// Nested archives that come to more than anybody can unpack, and what else is small outside and large inside.
fn bombs() -> Vec<(&'static str, Vec<u8>)> {
    let zeros = vec![b' '; 64 << 20];
    let bottom = zipped(&[("0", &zeros)]);
    let sixteen = |inner: &[u8]| {
        let names: Vec<String> = (0..16).map(|number| number.to_string()).collect();
        let members: Vec<(&str, &[u8])> = names.iter().map(|name| (&**name, inner)).collect();
        zipped(&members)
    };
    let nested = (0..3).fold(bottom.clone(), |inner, _| sixteen(&inner));
    let mut laughs = String::from("<?xml version=\"1.0\"?><!DOCTYPE l [<!ENTITY a0 \"ha\">");
    for level in 1..10 {
        laughs.push_str(&format!("<!ENTITY a{level} \"{}\">", format!("&a{};", level - 1).repeat(10)));
    }
    laughs.push_str("]><l>&a9;</l>");
    let document = |body: &[u8]| zipped(&[("[Content_Types].xml", b"<Types/>"), ("word/document.xml", body)]);
    let sheet = |rows: &str| {
        zipped(&[
            ("[Content_Types].xml", b"<Types/>"),
            ("xl/workbook.xml", b"<w/>"),
            ("xl/worksheets/a.xml", rows.as_bytes()),
        ])
    };
    let mut tar = b"x".to_vec();
    for _ in 0..100 {
        let mut builder = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(tar.len() as u64);
        header.set_cksum();
        builder.append_data(&mut header, "a.tar", &tar[..]).expect("a test can do that");
        tar = builder.into_inner().expect("a test can do that");
    }
    vec![
        ("flat", bottom),
        ("42", nested),
        ("laughs", laughs.clone().into_bytes()),
        ("laughs in a document", document(laughs.as_bytes())),
        ("one text", document(&[&b"<w:t>"[..], &zeros].concat())),
        ("one tag", document(&[&b"<w:t a='"[..], &zeros].concat())),
        ("deep xml", document("<a>".repeat(1 << 20).as_bytes())),
        ("wide sheet", sheet(&"<row><c r='XFD1'><v>1</v></c></row>".repeat(1 << 20))),
        ("deep tar", tar),
        ("deep rtf", [&b"{\\rtf1"[..], &vec![b'{'; 1 << 20]].concat()),
    ]
}

#[test]
fn commands_read_what_the_service_reads() {
    let folder = tempfile::tempdir().expect("a test can do that");
    let file = folder.path().join("a.eml");
    let archive = zipped(&[("a.txt", SEED.as_bytes()), ("b.bin", b"\x01\x02\x03\x04")]);
    let message = attached(&archive);
    fs::write(&file, message.read(0..message.len())).expect("a test can do that");
    let said = |arguments: &[&str]| {
        let output = Command::new(PROGRAM).args(arguments).arg(&file).output().expect("a test can do that");
        String::from_utf8(output.stdout).expect("a test can do that")
    };
    let config = ["--config", "config/outgate.toml"];
    let check =
        said(&[&["check", "--json", "--from", "a@ours.example", "--to", "b@else.example"][..], &config].concat());
    let unread = r#"{"part":"2/b.bin","reason":"unknown-format"}"#;
    assert!(check.contains(r#""part":"2/a.txt""#) && check.contains(unread), "{check}");
    let scan = said(&[&["scan"][..], &config].concat());
    assert!(scan.contains("UK_NINO") && scan.contains(r#""part":"2/a.txt""#) && scan.contains(unread), "{scan}");
}

/// The real reader, killed while it reads.
#[test]
fn a_reader_that_is_killed_costs_the_part_alone() {
    let folder = tempfile::tempdir().expect("a test can do that");
    let (script, place) = (folder.path().join("reader"), folder.path().join("pid"));
    fs::write(&script, format!("#!/bin/sh\necho $$ >{}\nexec {PROGRAM} \"$@\"\n", place.display()))
        .expect("a test can do that");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("a test can do that");
    let reader = Readers::new(script);
    assert!(reader.trial().is_ok());
    let pid = fs::read_to_string(&place).expect("a test can do that");
    let (_, long) = bombs().into_iter().find(|(name, _)| *name == "wide sheet").expect("it is there");
    let killed = thread::scope(|scope| {
        let killer = scope.spawn(|| {
            thread::sleep(Duration::from_millis(200));
            Command::new("kill").args(["-KILL", pid.trim()]).status().expect("a test can do that")
        });
        let killed = scan(&long, &reader);
        assert!(killer.join().expect("it ends").success());
        killed
    });
    assert!(unread(&killed).contains(&("2", UnreadReason::Crashed)), "{:?}", killed.unread);
    let next = scan(&zipped(&[("a.txt", SEED.as_bytes())]), &reader);
    assert_eq!((unread(&next), found(&next, "personal.uk-nino")), (vec![], vec!["2/a.txt"]));
}

/// The most that a process has had in memory, in KiB.
fn peak(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or("0");
    line.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// User and system time (proc_pid_stat(5), 14 and 15).
fn processor_seconds(pid: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let behind_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks: u32 =
        behind_name.split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse::<u32>().ok()).sum();
    f64::from(ticks) / f64::from(u32::try_from(rustix::param::clock_ticks_per_second()).expect("a test can do that"))
}

#[test]
fn bombs_end_soon_in_little_memory_and_are_not_taken_for_clean() {
    for (name, bomb) in bombs() {
        let (mut ours, theirs) = UnixStream::pair().expect("a test can do that");
        let mut command = Command::new(PROGRAM);
        command.arg("reader").stdin(Stdio::from(std::os::fd::OwnedFd::from(theirs)));
        let mut child = command.spawn().expect("a test can do that");
        drop(command);
        let mut frame = [0; 7];
        ours.read_exact(&mut frame).expect("a test can do that");
        let baseline = peak(child.id());
        let started = Instant::now();
        ours.write_all(b"C").expect("a test can do that");
        ours.write_all(&u32::try_from(bomb.len()).expect("a test can do that").to_le_bytes())
            .expect("a test can do that");
        ours.write_all(&bomb).expect("a test can do that");
        let (mut unread, mut most, mut spent) = (0, 0, 0.0);
        loop {
            let mut head = [0; 5];
            if ours.read_exact(&mut head).is_err() {
                unread += 1;
                break;
            }
            let mut rest = vec![0; u32::from_le_bytes(head[1..].try_into().expect("a test can do that")) as usize];
            most = most.max(peak(child.id()));
            spent = processor_seconds(child.id()).max(spent);
            ours.read_exact(&mut rest).expect("a test can do that");
            match head[0] {
                b'U' => unread += 1,
                b'E' | b'X' => break,
                _ => {}
            }
        }
        let (took, above) = (started.elapsed(), most.saturating_sub(baseline) >> 10);
        println!(
            "{name}: {} bytes, {took:.1?}, {spent:.1} s of processor time, {above} MiB above baseline, unread {unread}",
            bomb.len()
        );
        child.kill().expect("a test can do that");
        child.wait().expect("a test can do that");
        assert!(unread > 0, "{name} was taken for clean");
        assert!(spent <= 5.0 && took <= Duration::from_secs(5), "{name} took {took:?}, {spent} s of processor time");
        assert!(above <= 64, "{name} took {above} MiB");
    }
}

#[test]
fn many_at_once_share_the_readers() {
    let reader = Readers::new(PROGRAM);
    let archive = zipped(&[("a.txt", SEED.as_bytes())]);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..20 {
                    let mut texts = 0;
                    let until = Instant::now() + Duration::from_secs(30);
                    reader
                        .read(&archive, until, &mut |item| texts += usize::from(matches!(item, Item::Text { .. })))
                        .expect("a test can do that");
                    assert_eq!(texts, 1);
                }
            });
        }
    });
}
