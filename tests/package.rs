//! The Debian package and the tarball: made by `scripts/package`, looked at with Debian's own tools, unpacked and run.
//!
//! What needs a whole system (installing, upgrading, purging) is `scripts/bare-debian`, by hand.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test that cannot go on fails, and prints its figure")]

use std::{
    collections::HashSet,
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::OnceLock,
};

/// Made once, for all tests here.
struct Made {
    folder: tempfile::TempDir,
    package: PathBuf,
    tarball: PathBuf,
}

impl Made {
    fn once() -> &'static Made {
        static MADE: OnceLock<Made> = OnceLock::new();
        MADE.get_or_init(|| {
            let folder = tempfile::Builder::new().prefix("outgate-package-").tempdir().unwrap();
            let (package, tarball) = make(&folder.path().join("made"));
            run(Command::new("dpkg-deb").arg("-R").arg(&package).arg(folder.path().join("tree")));
            Made { folder, package, tarball }
        })
    }

    fn tree(&self) -> PathBuf {
        self.folder.path().join("tree")
    }

    fn text(&self, path: &str) -> String {
        fs::read_to_string(self.tree().join(path)).unwrap()
    }
}

fn make(to: &Path) -> (PathBuf, PathBuf) {
    let mut script = Command::new("scripts/package");
    script.args(["--quick", "--binary", env!("CARGO_BIN_EXE_outgate"), "--to"]).arg(to);
    let said = text(&run(&mut script).stdout);
    let mut paths = said.lines().map(PathBuf::from);
    (paths.next().unwrap(), paths.next().unwrap())
}

fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}; run scripts/test-servers"));
    assert!(output.status.success(), "{command:?}: {}\n{}", output.status, text(&output.stderr));
    output
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Each entry with its mode and owner, as `tar -tv` shows them.
fn entries(listing: &str) -> Vec<(String, String, String)> {
    let entry = |line: &str| {
        let mut words = line.split_whitespace();
        let (mode, owner) = (words.next()?.to_string(), words.next()?.to_string());
        let path = words.nth(3)?.trim_start_matches("./").to_string();
        Some((path, mode, owner))
    };
    listing.lines().filter_map(entry).collect()
}

#[test]
fn both_hold_the_same_files_with_plain_modes() {
    let made = Made::once();
    let package = entries(&text(&run(Command::new("dpkg-deb").arg("-c").arg(&made.package)).stdout));
    let tarball = entries(&text(&run(Command::new("tar").arg("-tvzf").arg(&made.tarball)).stdout));
    let files = |entries: &[(String, String, String)]| -> Vec<String> {
        let mut files: Vec<_> = entries.iter().filter(|entry| entry.1.starts_with('-')).map(|e| e.0.clone()).collect();
        files.sort();
        files
    };
    assert_eq!(files(&package), files(&tarball));
    for (path, mode, owner) in &package {
        let expected = match (mode.starts_with('d'), path.as_str()) {
            (true, _) => "drwxr-xr-x",
            (false, "usr/bin/outgate") => "-rwxr-xr-x",
            (false, _) => "-rw-r--r--",
        };
        assert_eq!((mode.as_str(), owner.as_str()), (expected, "root/root"), "{path}");
    }
    for path in [
        "usr/bin/outgate",
        "usr/lib/systemd/system/outgate.service",
        "usr/lib/sysusers.d/outgate.conf",
        "usr/lib/tmpfiles.d/outgate.conf",
        "usr/share/man/man1/outgate.1.gz",
        "usr/share/man/man5/outgate.toml.5.gz",
        "usr/share/doc/outgate/copyright",
        "usr/share/doc/outgate/licences-of-libraries.gz",
        "usr/share/doc/outgate/how-to/install.md",
        "usr/share/doc/outgate/examples/outgate.toml",
        "usr/share/doc/outgate/examples/policies/baseline/policy.toml",
    ] {
        assert!(files(&package).iter().any(|file| file == path), "{path}");
    }
    // Settings are the administrator's own file: the package ships none, so that no upgrade can ask about it.
    assert!(!package.iter().any(|entry| entry.0.starts_with("etc/outgate/") && entry.1.starts_with('-')));
    assert_eq!(made.text("DEBIAN/conffiles"), "/etc/default/outgate\n");
    println!("package: {} files, {} KiB", files(&package).len(), fs::metadata(&made.package).unwrap().len() / 1024);
}

#[test]
fn the_same_sources_give_the_same_bytes() {
    let made = Made::once();
    let again = tempfile::tempdir().unwrap();
    let (package, tarball) = make(again.path());
    assert!(fs::read(package).unwrap() == fs::read(&made.package).unwrap(), "the package differs");
    assert!(fs::read(tarball).unwrap() == fs::read(&made.tarball).unwrap(), "the tarball differs");
}

#[test]
fn it_depends_on_what_it_is_linked_with() {
    let made = Made::once();
    let control = made.text("DEBIAN/control");
    assert_eq!(control.matches('@').count(), 1, "the maintainer's address alone; no place is left empty:\n{control}");
    let libc = control.split_once("libc6 (>= ").unwrap().1.split(')').next().unwrap();
    let symbols = text(&run(Command::new("objdump").arg("-T").arg(made.tree().join("usr/bin/outgate"))).stdout);
    let newest = symbols
        .split("GLIBC_2.")
        .skip(1)
        .filter_map(|rest| rest.split(|c: char| !c.is_ascii_digit()).next().unwrap().parse::<u32>().ok());
    assert_eq!(libc, format!("2.{}", newest.max().unwrap()));
    let needed = text(&run(Command::new("objdump").arg("-p").arg(made.tree().join("usr/bin/outgate"))).stdout);
    for line in needed.lines().filter(|line| line.trim_start().starts_with("NEEDED")) {
        let library = line.split_whitespace().nth(1).unwrap();
        let known = ["libc.so.6", "libm.so.6", "libgcc_s.so.1", "ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1"];
        assert!(known.contains(&library), "{library} is in no Depends");
    }
    for script in ["config", "postinst", "prerm", "postrm"] {
        run(Command::new("sh").arg("-n").arg(made.tree().join("DEBIAN").join(script)));
    }
}

#[test]
fn what_was_unpacked_works() {
    let made = Made::once();
    let program = made.tree().join("usr/bin/outgate");
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("outgate");
    run(Command::new(&program).arg("init").arg(&folder).args([
        "--domain",
        "ours.example",
        "--door",
        "smtp",
        "--reviewer",
        "dpo@ours.example",
        "--console-url",
        "https://gate.ours.example:8443",
    ]));
    let settings = folder.join("outgate.toml");
    run(Command::new(&program).args(["config", "check", "--config"]).arg(&settings));
    let message = home.path().join("first.eml");
    fs::write(&message, "From: sam@ours.example\nTo: pat@elsewhere.example\nSubject: First\n\nQQ 12 34 56 C\n")
        .unwrap();
    let mut check = Command::new(&program);
    check.args(["check", "--json", "--from", "sam@ours.example", "--config"]).arg(&settings).arg(&message);
    assert!(text(&run(&mut check).stdout).contains("\"disposition\":\"relay\""), "it begins in watch mode");
    run(Command::new(&program).args(["demo", "--once"]).current_dir(home.path()));
}

#[test]
fn the_unit_is_whole_and_shut() {
    let made = Made::once();
    let unit = made.text("usr/lib/systemd/system/outgate.service");
    let home = tempfile::tempdir().unwrap();
    let here = home.path().join("outgate.service");
    // The program is looked for where it lies now.
    let program = made.tree().join("usr/bin/outgate");
    fs::write(&here, unit.replace("/usr/bin/outgate", program.to_str().unwrap())).unwrap();
    let mut verify = Command::new("systemd-analyze");
    let output = run(verify.args(["verify", "--man=no"]).arg(&here));
    assert_eq!(text(&output.stderr), "", "systemd-analyze verify has remarks");
    let mut security = Command::new("systemd-analyze");
    // Of 100.
    run(security.args(["security", "--no-pager", "--offline=yes", "--threshold=15"]).arg(&here));
}

/// All system calls that the unit allows, its groups written out by systemd itself; what follows a tilde is taken away.
fn allowed(unit: &str) -> HashSet<String> {
    let group = |name: &str| -> Vec<String> {
        let output = run(Command::new("systemd-analyze").args(["syscall-filter", "--no-pager", name]));
        let lines = text(&output.stdout);
        lines.lines().skip(1).map(|line| line.trim().to_string()).filter(|line| !line.starts_with('#')).collect()
    };
    let mut all = HashSet::new();
    for line in unit.lines().filter_map(|line| line.strip_prefix("SystemCallFilter=")) {
        let (names, take_away) = line.strip_prefix('~').map_or((line, false), |names| (names, true));
        let mut waiting: Vec<String> = names.split_whitespace().map(String::from).collect();
        while let Some(name) = waiting.pop() {
            if name.starts_with('@') {
                waiting.extend(group(&name));
            } else if take_away {
                all.remove(&name);
            } else {
                all.insert(name);
            }
        }
    }
    all
}

/// A process that reads attachments starts under the unit's walls and puts up its own.
#[test]
fn the_unit_lets_readers_shut_themselves_off() {
    let unit = fs::read_to_string("packaging/outgate.service").unwrap();
    let allowed = allowed(&unit);
    assert!(allowed.contains("read") && !allowed.contains("mount") && !allowed.contains("setuid"));
    for needed in [
        "seccomp",
        "prctl",
        "landlock_create_ruleset",
        "landlock_add_rule",
        "landlock_restrict_self",
        "prlimit64",
        "socketpair",
        "vfork",
        "clone3",
        "execve",
        "kill",
        "wait4",
    ] {
        assert!(allowed.contains(needed), "{needed} is not allowed");
    }
}

#[test]
fn user_and_folders_are_made() {
    let made = Made::once();
    let root = tempfile::tempdir().unwrap();
    for folder in ["sysusers", "tmpfiles"] {
        let to = root.path().join(format!("usr/lib/{folder}.d"));
        fs::create_dir_all(&to).unwrap();
        fs::copy(made.tree().join(format!("usr/lib/{folder}.d/outgate.conf")), to.join("outgate.conf")).unwrap();
    }
    fs::create_dir_all(root.path().join("etc")).unwrap();
    let of_root = |program: &str| {
        let mut command = Command::new(program);
        command.arg(format!("--root={}", root.path().display()));
        command
    };
    run(of_root("systemd-sysusers").arg("outgate.conf"));
    let users = fs::read_to_string(root.path().join("etc/passwd")).unwrap();
    let user = users.lines().find(|line| line.starts_with("outgate:")).unwrap();
    assert!(user.ends_with(":/var/lib/outgate:/usr/sbin/nologin"), "{user}");
    let fields: Vec<&str> = user.split(':').collect();
    let (uid, gid): (u32, u32) = (fields[2].parse().unwrap(), fields[3].parse().unwrap());
    assert!(uid > 0 && uid < 1000, "a system's user");
    run(of_root("systemd-tmpfiles").args(["--create", "outgate.conf"]));
    for (path, owner, mode) in [("var/lib/outgate", (uid, gid), 0o700), ("etc/outgate", (0, gid), 0o750)] {
        let metadata = fs::metadata(root.path().join(path)).unwrap();
        assert_eq!(((metadata.uid(), metadata.gid()), metadata.mode() & 0o7777), (owner, mode), "{path}");
    }
}

#[test]
fn the_manual_pages_have_no_mistakes() {
    let made = Made::once();
    let mut pages = 0;
    for section in ["man1", "man5"] {
        for page in fs::read_dir(made.tree().join("usr/share/man").join(section)).unwrap() {
            let mut man = Command::new("man");
            man.args(["--warnings", "-E", "UTF-8", "-l"]).arg(page.unwrap().path());
            let output = run(man.env("MANROFFSEQ", "").env("MANWIDTH", "100").env("LC_ALL", "C.UTF-8"));
            assert_eq!(text(&output.stderr), "", "{man:?}");
            pages += 1;
        }
    }
    println!("manual: {pages} pages");
    assert!(pages > 10);
}

/// Debian's own judge of packages, where it is installed.
#[test]
fn lintian_has_no_complaint() {
    if Command::new("lintian").arg("--version").output().is_err() {
        println!("lintian is not installed: not run");
        return;
    }
    let mut lintian = Command::new("lintian");
    // What is made for these tests is not compressed.
    let uncompressed = "uses-no-compression-for-control-tarball,uses-no-compression-for-data-tarball";
    let output = run(lintian.args(["--allow-root", "--suppress-tags", uncompressed]).arg(&Made::once().package));
    let said = text(&output.stdout);
    let complaints: Vec<&str> = said.lines().filter(|line| line.starts_with(['E', 'W'])).collect();
    assert!(complaints.is_empty(), "{said}");
}
