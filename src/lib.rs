//! outgate: an outbound email gateway filter. The map, in the order in which a message walks:
//!
//! `intake -> mail (parse once) -> detect (scan once) -> policy (judge once) -> delivery -> answer`

pub mod gateway; // the corridor: one submission from door to door; wires the rooms

pub mod archive; //    7  what was sent
pub mod audit; //      5  the book: what happened, chained, never rewritten
pub mod console; //    9  the reviewers' desk
pub mod delivery; //   8  carrying the verdict out: relay, outbox, notices, delivery reports
pub mod detect; //     3  Message -> Scan of Findings
pub mod intake; //     2  two doors: bytes -> Submission, and an Answer back
pub mod mail; //       1  the words all rooms speak: Origin, Envelope, Message, Part, Zone, Edit; mail::wire, the SMTP codec
pub mod policy; //     4  clauses, rules, conditions, facts, judge -> Verdict
pub mod quarantine; // 6  cases waiting for a person

pub mod cli; //        the commands
pub mod config; //     reads and checks settings
pub mod store; //      the cellar: sqlite, blobs

pub mod diagnostic; // a mistake in a config file: path, line, caret, allowed words
pub mod keys; //       the master key and what is derived from it
pub mod sensitive; //  Sensitive<T>: prints as [withheld]
pub mod supervisor; // whoever started us: sockets that it kept for us, and what it is told
