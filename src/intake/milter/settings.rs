//! The door's settings, checked.

use crate::intake::Network;
use std::{fmt, net::SocketAddr, path::PathBuf, time::Duration};

/// What the door must know.
#[derive(Clone, Debug)]
pub struct Settings {
    pub listen: Vec<Listen>,
    /// Of a socket in the file system.
    pub socket_mode: u32,
    /// Who may speak to us over TCP.
    pub networks: Vec<Network>,
    /// What we call ourselves in Received.
    pub hostname: String,
    pub limits: Limits,
}

/// Where mail servers reach us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Listen::Tcp(address) => write!(f, "{address}"),
            Listen::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// What one server, and all together, may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The largest message.
    pub message_size: u64,
    pub recipients: usize,
    /// A mail server opens one for each client that it serves.
    pub connections: usize,
    /// A server's client may take its time between two messages; libmilter waits as long.
    pub command_wait: Duration,
    /// A server that does not read our answer.
    pub write_wait: Duration,
    /// From the end of the body. Postfix and Sendmail give 300 s by default (`milter_content_timeout`, `E`).
    pub answer_within: Duration,
    pub progress_every: Duration,
    pub received_fields: usize,
    /// How long the walk may pass `answer_within` before we answer without it.
    pub answer_margin: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message_size: 50 << 20,
            recipients: 1_000,
            connections: 1_000,
            command_wait: Duration::from_secs(7_210),
            write_wait: Duration::from_secs(60),
            answer_within: Duration::from_secs(235),
            progress_every: Duration::from_secs(10),
            received_fields: 50,
            answer_margin: Duration::from_secs(3),
        }
    }
}
