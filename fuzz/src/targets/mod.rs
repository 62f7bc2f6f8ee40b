//! What is fuzzed, and what must hold for any input. Each target takes bytes and panics where something does not hold, so
//! that the tests of the gateway run the same functions over the seeds and over every input that once broke one.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a broken promise ends the run")]

mod configuration;
mod editing;
mod reading;
mod wire;

pub use configuration::rule_file;
pub use editing::edit;
pub use reading::{header, mime};
pub use wire::{command, data_stream, milter_packet, reply};

type Target = fn(&[u8]);

/// Every target by name.
#[allow(dead_code, reason = "the fuzzer has one program for each")]
pub const ALL: &[(&str, Target)] = &[
    ("command", command),
    ("data_stream", data_stream),
    ("reply", reply),
    ("milter_packet", milter_packet),
    ("header", header),
    ("mime", mime),
    ("edit", edit),
    ("rule_file", rule_file),
];

/// The input in pieces whose sizes depend on the input alone.
fn chunks(input: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut state = input
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3));
    let mut rest = input;
    std::iter::from_fn(move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let length = 1 + (state % [1, 3, 17, 600][(state >> 60) as usize % 4]) as usize;
        let (chunk, behind) = rest.split_at(length.min(rest.len()));
        rest = behind;
        (!chunk.is_empty()).then_some(chunk)
    })
}
