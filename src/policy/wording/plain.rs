//! Plain text with fields. A line with a field that is not known is left out.

use super::{
    Reading, Values,
    field::{Piece, pieces},
};

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plain {
    pub lines: Vec<Vec<Piece>>,
}

impl Plain {
    pub fn read(reading: &mut Reading<'_>) -> Self {
        let text = reading.text().to_owned();
        if let Some(at) = text.find(|c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t')) {
            reading.mistake(at..at + 1, "a control character in a notice", "allowed: text, with line ends and tabs");
        }
        let mut lines = Vec::new();
        let mut at = 0;
        for line in text.split_inclusive('\n') {
            let end = at + line.trim_end().len();
            lines.push(pieces(reading, at..end, Piece::Slot));
            at += line.len();
        }
        Self { lines }
    }

    pub fn is_empty(&self) -> bool {
        self.lines.iter().all(Vec::is_empty)
    }

    pub fn is_fixed(&self) -> bool {
        self.lines.iter().flatten().all(|piece| matches!(piece, Piece::Text(_)))
    }

    /// Ends in one line break; empty when nothing is left.
    pub fn fill(&self, values: &Values<'_>) -> String {
        let mut out: Vec<String> = Vec::new();
        let mut left_out = false;
        for line in &self.lines {
            match filled(line, values) {
                None => left_out = true,
                // Of the empty lines around what was left out one stays.
                Some(line) if line.is_empty() && left_out && out.last().is_none_or(String::is_empty) => {}
                Some(line) => {
                    left_out &= line.is_empty();
                    out.push(line);
                }
            }
        }
        let text = out.join("\n");
        if text.trim().is_empty() { String::new() } else { format!("{}\n", text.trim_matches(['\n', '\r'])) }
    }
}

fn filled(line: &[Piece], values: &Values<'_>) -> Option<String> {
    line.iter().try_fold(String::new(), |mut out, piece| {
        match piece {
            Piece::Text(text) => out.push_str(text),
            Piece::Slot(slot) | Piece::Link(slot) => out.push_str(&slot.fill(values)?),
        }
        Some(out)
    })
}
