//! `outgate reader`: what the gateway starts to read attachments. Of no use by hand.

use super::Failure;
use crate::gateway::readers;

pub fn run() -> Result<u8, Failure> {
    readers::serve().map_err(|error| Failure::said(format!("this is started by the gateway itself: {error}")))?;
    Ok(0)
}
