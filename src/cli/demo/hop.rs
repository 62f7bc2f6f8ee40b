//! The demo's own next hop: takes every message, keeps it in memory.

use crate::{
    intake::smtp::{Command, DataDecoder, LineEndings, LineSplitter, Split},
    mail::wire,
};
