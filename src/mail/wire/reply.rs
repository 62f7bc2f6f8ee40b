//! SMTP replies (RFC 5321 4.2, RFC 2034).

use std::fmt;

/// An enhanced status code (RFC 3463).
pub type EnhancedCode = (u8, u16, u16);

/// One reply: code, enhanced code, text lines. Text is printable ASCII, at most 5 lines of 400 bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct Reply {
    code: u16,
    enhanced: Option<EnhancedCode>,
    lines: Vec<String>,
}

impl Reply {
    /// A reply of ours. Control and non-ASCII characters in `text` are replaced; LF separates lines.
    pub fn new(code: u16, enhanced: EnhancedCode, text: &str) -> Self {
        Self::cleaned(code, Some(enhanced), text.lines())
    }

    /// A reply without an enhanced code: greeting, HELO, 354.
    pub fn plain(code: u16, text: &str) -> Self {
        Self::cleaned(code, None, text.lines())
    }

    /// Cuts to 5 lines of 400 ASCII bytes without controls.
    pub(crate) fn cleaned<'a>(code: u16, enhanced: Option<EnhancedCode>, lines: impl Iterator<Item = &'a str>) -> Self {
        debug_assert!((200..600).contains(&code));
        let clean = |line: &str| -> String {
            line.chars().take(400).map(|c| if c.is_ascii_graphic() || c == ' ' { c } else { '?' }).collect()
        };
        let mut lines: Vec<String> = lines.take(5).map(clean).collect();
        if lines.is_empty() {
            lines.push(String::new());
        }
        Self { code, enhanced, lines }
    }

    /// A reply as the parser read it: its text is clean and within the parser's bounds.
    pub(super) fn read(code: u16, enhanced: Option<EnhancedCode>, mut lines: Vec<String>) -> Self {
        if lines.is_empty() {
            lines.push(String::new());
        }
        Self { code, enhanced, lines }
    }

    pub fn code(&self) -> u16 {
        self.code
    }

    pub fn enhanced(&self) -> Option<EnhancedCode> {
        self.enhanced
    }

    /// The text lines without codes.
    pub fn lines(&self) -> &[String] {
        &self.lines
    }

    pub fn is_positive(&self) -> bool {
        self.code < 400
    }

    /// 4xx: try again later.
    pub fn is_transient(&self) -> bool {
        (400..500).contains(&self.code)
    }

    /// 5xx: final.
    pub fn is_permanent(&self) -> bool {
        self.code >= 500
    }

    /// Appends the reply as it goes on the wire.
    pub fn write_to(&self, out: &mut Vec<u8>) {
        for (index, line) in self.lines.iter().enumerate() {
            let separator = if index + 1 == self.lines.len() { ' ' } else { '-' };
            out.extend_from_slice(format!("{}{separator}", self.code).as_bytes());
            if let Some((class, subject, detail)) = self.enhanced {
                out.extend_from_slice(format!("{class}.{subject}.{detail} ").as_bytes());
            }
            out.extend_from_slice(line.as_bytes());
            out.extend_from_slice(b"\r\n");
        }
    }
}

/// Code and enhanced code only: a next hop's text may carry addresses.
impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.code)?;
        match self.enhanced {
            Some((class, subject, detail)) => write!(f, " {class}.{subject}.{detail}"),
            None => Ok(()),
        }
    }
}
