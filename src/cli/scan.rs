//! `outgate scan`: the detectors alone, on a message, on plain text, or on many texts in JSON lines.

use super::{
    Failure,
    arguments::{Arguments, Scan},
    opening,
};
use crate::{
    config,
    detect::{DetectorSources, Detectors, scan_message_json, scan_text_json},
    gateway::readers,
    mail::Message,
};
use serde::Deserialize;
use serde_json::Value;
use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read, Write},
    path::Path,
    sync::Arc,
};

/// Larger inputs are refused: as at the door.
const LARGEST: u64 = 64 << 20;

/// One line of `--jsonl`.
#[derive(Deserialize)]
struct Line {
    id: Value,
    text: String,
    content_type: Option<String>,
}

impl Line {
    /// As it is called; without a name, a text that begins as a document of HTML does.
    fn is_html(&self) -> bool {
        let begins =
            |text: &str, word: &str| text.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word));
        match &self.content_type {
            Some(kind) => begins(kind, "text/html"),
            None => ["<!doctype html", "<html"].iter().any(|word| begins(self.text.trim_start(), word)),
        }
    }
}

pub fn run(arguments: &Arguments, options: &Scan) -> Result<u8, Failure> {
    let detectors = detectors(arguments)?;
    let input = open(options.file.as_deref())?;
    let mut out = io::BufWriter::new(io::stdout().lock());
    if options.jsonl {
        lines(&detectors, input, &mut out)?;
    } else {
        let mut bytes = Vec::new();
        input.take(LARGEST + 1).read_to_end(&mut bytes).map_err(failed)?;
        if bytes.len() as u64 > LARGEST {
            return Err(Failure::said("the input is larger than any message that a door takes"));
        }
        let found = if options.text {
            scan_text_json(&detectors, &String::from_utf8_lossy(&bytes), false)
        } else {
            scan_message_json(&detectors, &Message::parse(bytes), readers::readers())
        };
        writeln!(out, "{found}").map_err(failed)?;
    }
    out.flush().map_err(failed)?;
    Ok(0)
}

/// Those of the configuration; where there is none, those that are shipped.
fn detectors(arguments: &Arguments) -> Result<Arc<Detectors>, Failure> {
    match opening::file(arguments) {
        Ok(file) => Ok(config::load(&file).map_err(Failure::Configuration)?.detectors.clone()),
        Err(_) => match Detectors::compile(&DetectorSources::embedded()) {
            Ok(detectors) => Ok(Arc::new(detectors)),
            Err(mistakes) => Err(Failure::said(format!("{} mistakes in the shipped lists", mistakes.len()))),
        },
    }
}

fn open(file: Option<&Path>) -> Result<Box<dyn Read>, Failure> {
    match file {
        None => Ok(Box::new(io::stdin())),
        Some(path) => match File::open(path) {
            Ok(file) => Ok(Box::new(file)),
            Err(error) => Err(Failure::said(format!("{}: {error}", path.display()))),
        },
    }
}

fn lines(detectors: &Detectors, input: Box<dyn Read>, out: &mut impl Write) -> Result<(), Failure> {
    let mut input = BufReader::new(input);
    let mut number = 0;
    loop {
        let mut line = Vec::new();
        let read = input.by_ref().take(LARGEST).read_until(b'\n', &mut line).map_err(failed)?;
        if read == 0 {
            return Ok(());
        }
        number += 1;
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        // The parser's own words would quote the input.
        let line: Line = serde_json::from_slice(&line)
            .map_err(|_| Failure::said(format!("line {number}: not an object with \"id\" and \"text\"")))?;
        let mut found = scan_text_json(detectors, &line.text, line.is_html());
        found["id"] = line.id;
        writeln!(out, "{found}").map_err(failed)?;
    }
}

fn failed(error: io::Error) -> Failure {
    Failure::said(error.to_string())
}
