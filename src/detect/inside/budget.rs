//! How much may be unpacked: bytes that really came out are counted, never those that a header promises.

use crate::mail::UnreadReason;
use std::{
    cell::Cell,
    io::{self, Read},
    rc::Rc,
    time::{Duration, Instant},
};

/// By the clock on the wall, for one attachment. A second later the gateway ends the process, and nothing that it still has to say
/// is heard.
const TIME: Duration = Duration::from_secs(4);

/// Of one attachment, all members together.
const MOST_BYTES: u64 = 256 << 20;
const MOST_MEMBERS: u32 = 2_000;
const MOST_TEXT: usize = 32 << 20;
/// Once more than the second came out, it may be at most the first times what went in.
const MOST_RATIO: u64 = 200;
const RATIO_FROM: u64 = 10 << 20;
/// Members that are entered lie in memory, with those around them.
const MOST_HELD: usize = 40 << 20;

pub(super) struct Budget {
    until: Instant,
    bytes: Cell<u64>,
    members: Cell<u32>,
    text: Cell<usize>,
    held: Cell<usize>,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            until: Instant::now() + TIME,
            bytes: Cell::default(),
            members: Cell::default(),
            text: Cell::default(),
            held: Cell::default(),
        }
    }
}

impl Budget {
    pub fn is_late(&self) -> bool {
        Instant::now() >= self.until
    }

    pub fn take_member(&self) -> bool {
        self.members.set(self.members.get().saturating_add(1));
        self.members.get() <= MOST_MEMBERS
    }

    pub fn take_text(&self, length: usize) -> bool {
        self.text.set(self.text.get().saturating_add(length));
        self.text.get() <= MOST_TEXT
    }

    fn take_bytes(&self, length: u64) -> bool {
        self.bytes.set(self.bytes.get().saturating_add(length));
        self.bytes.get() <= MOST_BYTES
    }
}

/// A stream that is unpacked from `packed` bytes. Past the budget it ends with an error.
pub(super) struct Counted<R> {
    inner: R,
    packed: u64,
    unpacked: u64,
    budget: Rc<Budget>,
}

impl<R: Read> Counted<R> {
    pub fn new(inner: R, packed: u64, budget: &Rc<Budget>) -> Self {
        Self { inner, packed, unpacked: 0, budget: budget.clone() }
    }
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.budget.is_late() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let length = self.inner.read(buffer)?;
        self.unpacked += length as u64;
        let within_ratio = self.unpacked <= RATIO_FROM || self.unpacked / MOST_RATIO <= self.packed;
        // Nobody gets what would still come.
        let is_told = self.budget.text.get() > MOST_TEXT;
        if !self.budget.take_bytes(length as u64) || !within_ratio || is_told {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        Ok(length)
    }
}

/// Why a stream could not be read to its end.
pub(super) fn reason(error: &io::Error) -> UnreadReason {
    match error.kind() {
        io::ErrorKind::FileTooLarge => UnreadReason::TooLarge,
        io::ErrorKind::TimedOut => UnreadReason::Time,
        _ => UnreadReason::Damaged,
    }
}

/// A member in memory, as long as it is read.
pub(super) struct Held {
    pub bytes: Vec<u8>,
    budget: Rc<Budget>,
    /// What came before it broke off.
    pub broken: Option<UnreadReason>,
}

impl Held {
    pub fn read(mut stream: impl Read, budget: &Rc<Budget>) -> Self {
        let room = MOST_HELD.saturating_sub(budget.held.get());
        let mut bytes = Vec::new();
        let mut broken = None;
        let mut piece = vec![0; 64 << 10];
        loop {
            match stream.read(&mut piece) {
                Ok(0) => break,
                Ok(length) if bytes.len() + length > room => {
                    broken = Some(UnreadReason::TooLarge);
                    bytes = Vec::new();
                    break;
                }
                Ok(length) => bytes.extend_from_slice(&piece[..length]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    broken = Some(reason(&error));
                    break;
                }
            }
        }
        budget.held.set(budget.held.get() + bytes.len());
        Self { bytes, budget: budget.clone(), broken }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.budget.held.set(self.budget.held.get() - self.bytes.len());
    }
}
