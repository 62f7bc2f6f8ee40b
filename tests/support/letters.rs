//! Messages to send, and what to look at in those that arrived.

/// A plain letter from one of our people to a client outside, with a number by which it is known again.
pub fn letter(number: impl std::fmt::Display, text: &str) -> Vec<u8> {
    format!(
        "X-Number: {number}\r\nFrom: Ben Okafor <ben.okafor@ours.example>\r\nTo: claims@agency.example\r\n\
         Subject: number {number}\r\nMessage-ID: <{number}@ours.example>\r\nDate: Thu, 04 Jun 2026 21:00:00 +0100\r\n\
         MIME-Version: 1.0\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n{text}\r\n"
    )
    .into_bytes()
}

/// The number in a message's own header.
pub fn number(message: &[u8]) -> Option<String> {
    let header = String::from_utf8_lossy(message);
    let header = header.split("\r\n\r\n").next()?;
    header.lines().find_map(|line| line.strip_prefix("X-Number: ")).map(str::to_string)
}

/// The message below the header that the gateway put on top.
pub fn below_trace(arrived: &[u8]) -> &[u8] {
    assert!(arrived.starts_with(b"Received: from "), "no trace header: {}", String::from_utf8_lossy(&arrived[..40]));
    let mut at = 0;
    loop {
        at += arrived[at..].iter().position(|&byte| byte == b'\n').expect("the header ends") + 1;
        if !matches!(arrived.get(at), Some(b' ' | b'\t')) {
            return &arrived[at..];
        }
    }
}
