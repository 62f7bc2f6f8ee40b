//! `outgate dkim`.

use super::{Failure, arguments::DkimCommand};
use crate::mail::dkim::Key;
use std::{
    fs::OpenOptions,
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::Path,
    process::{Command, Stdio},
};

pub fn run(command: &DkimCommand, json: bool) -> Result<u8, Failure> {
    let DkimCommand::Keygen { domain, selector, kind, out } = command;
    // A selector that is none must not leave a key behind.
    Key::generate_ed25519(selector).map_err(|error| Failure::said(format!("--selector: {error}")))?;
    let pem = match kind.as_str() {
        "ed25519" => Key::generate_ed25519(selector).map_err(|error| Failure::said(error.to_string()))?.1,
        _ => rsa()?,
    };
    let key = Key::read(selector, pem.as_bytes()).map_err(|error| Failure::said(error.to_string()))?;
    write(out, &pem).map_err(|error| Failure::said(format!("{}: {error}", out.display())))?;
    let record = key.record(&domain.to_lowercase());
    if json {
        let line = serde_json::json!({ "name": record.name, "value": record.value, "key_file": out });
        print(&line.to_string())?;
        return Ok(0);
    }
    print(&record.in_zone())?;
    eprintln!(
        "The private key is in {}: back it up, and let nobody but outgate read it.\n\
         1. Publish the record above in the DNS of {domain}.\n\
         2. When it can be seen (dig TXT {}), write into outgate.toml:\n\n\
         [[dkim]]\ndomain = \"{domain}\"\npolicy = \"sign\"\n\n[[dkim.key]]\nselector = \"{selector}\"\nkey-file = \"{}\"\n\n\
         3. Reload outgate.",
        out.display(),
        record.name,
        out.display()
    );
    Ok(0)
}

fn print(line: &str) -> Result<(), Failure> {
    writeln!(std::io::stdout(), "{line}").map_err(|error| Failure::said(error.to_string()))
}

/// By OpenSSL, which mail servers have: no library that we link makes RSA keys and has no advisory.
fn rsa() -> Result<String, Failure> {
    let mut command = Command::new("openssl");
    command.args(["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"]).stdin(Stdio::null());
    let output = command
        .output()
        .map_err(|error| Failure::said(format!("an RSA key is made by openssl, which does not start: {error}")))?;
    if !output.status.success() {
        return Err(Failure::said(format!("openssl could not make an RSA key: {}", output.status)));
    }
    String::from_utf8(output.stdout).map_err(|_| Failure::said("openssl wrote no key in PEM"))
}

fn write(path: &Path, pem: &str) -> std::io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(pem.as_bytes())?;
    file.sync_all()
}
