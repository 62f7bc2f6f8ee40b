//! Address lists (RFC 5322 3.4), read leniently and in linear time.

use super::Address;

const LONGEST_LITERAL: usize = 64;

/// All mailboxes of one field's value, in order; groups entered; what is not a mailbox is left out.
pub(super) fn read(value: &[u8], into: &mut Vec<Address>) {
    let mut item = Item::default();
    let mut at = 0;
    while at < value.len() {
        let byte = value[at];
        match byte {
            b'(' => at = behind_comment(value, at),
            b'"' => at = behind_quoted(value, at, &mut item.text),
            b'[' => at = copy_until(value, at, b']', &mut item.text),
            b'<' => at = item.enter_angle(value, at),
            b',' | b';' => {
                item.finish(into);
                at += 1;
            }
            // The name of a group ends; its members follow (RFC 5322 3.4).
            b':' => {
                item = Item::default();
                at += 1;
            }
            _ => {
                item.text.push(byte);
                at += 1;
            }
        }
    }
    item.finish(into);
}

/// What stands between two commas.
#[derive(Default)]
struct Item {
    text: Vec<u8>,
    angle: Option<Vec<u8>>,
}

impl Item {
    /// Takes the address between angle brackets; gives the position behind it.
    fn enter_angle(&mut self, value: &[u8], at: usize) -> usize {
        let mut at = at + 1;
        let mut address = Vec::new();
        while at < value.len() {
            match value[at] {
                b'>' => {
                    at += 1;
                    break;
                }
                b'(' => at = behind_comment(value, at),
                b'"' => at = behind_quoted(value, at, &mut address),
                b'[' => at = copy_until(value, at, b']', &mut address),
                // A source route (RFC 5322 4.4) ends with a colon.
                b':' => {
                    address.clear();
                    at += 1;
                }
                // Brackets that were never closed: the next item begins.
                b',' if address.first().is_none_or(|&first| first != b'@') => break,
                byte => {
                    address.push(byte);
                    at += 1;
                }
            }
        }
        self.angle.get_or_insert(address);
        at
    }

    fn finish(&mut self, into: &mut Vec<Address>) {
        let item = std::mem::take(self);
        if let Some(angle) = item.angle {
            into.extend(mailbox(&angle));
        } else if let Some(address) = mailbox(&item.text) {
            into.push(address);
        } else {
            // `Ada ada@example.org`, without the brackets.
            let words = item.text.split(|byte| byte.is_ascii_whitespace());
            into.extend(words.filter(|word| word.contains(&b'@')).filter_map(mailbox));
        }
    }
}

/// A mailbox with the white space that obsolete syntax allows around dots and the at sign removed.
fn mailbox(text: &[u8]) -> Option<Address> {
    if text.len() > 1_024 || !text.contains(&b'@') {
        return None;
    }
    let text = std::str::from_utf8(text).ok()?.trim();
    if let Ok(address) = Address::parse(text) {
        return Some(address);
    }
    let mut squeezed = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(char::is_whitespace) {
        let before = &rest[..start];
        let after = rest[start..].trim_start();
        squeezed.push_str(before);
        // White space between two words is not part of any address.
        let joins = |c: char| c == '.' || c == '@';
        if !(squeezed.ends_with(joins) || after.starts_with(joins)) {
            return None;
        }
        rest = after;
    }
    squeezed.push_str(rest);
    Address::parse(&squeezed).ok()
}

fn behind_comment(value: &[u8], mut at: usize) -> usize {
    let (mut depth, mut escaped) = (0usize, false);
    while at < value.len() {
        let byte = value[at];
        at += 1;
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'(' => depth += 1,
            b')' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    at
}

/// Copies a quoted string with its quotes: it may be a local part.
fn behind_quoted(value: &[u8], mut at: usize, into: &mut Vec<u8>) -> usize {
    into.push(b'"');
    at += 1;
    let mut escaped = false;
    while at < value.len() {
        let byte = value[at];
        at += 1;
        if byte == b'\r' || byte == b'\n' {
            continue;
        }
        into.push(byte);
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => break,
            _ => {}
        }
    }
    at
}

/// Copies a domain literal. One that does not end where it must is copied as it stands.
fn copy_until(value: &[u8], at: usize, end: u8, into: &mut Vec<u8>) -> usize {
    let window = &value[at..value.len().min(at + LONGEST_LITERAL)];
    let length = match memchr::memchr2(end, b',', window) {
        Some(found) if window[found] == end => found + 1,
        Some(found) => found.max(1),
        None => window.len(),
    };
    into.extend_from_slice(&window[..length]);
    at + length
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists() {
        for (value, expected) in [
            ("a@b.example", vec!["a@b.example"]),
            (" Ada <a@b.example>,\r\n \"B, C\" <c@d.example> ", vec!["a@b.example", "c@d.example"]),
            ("Friends: a@b.example, C <c@d.example>;, e@f.example", vec!["a@b.example", "c@d.example", "e@f.example"]),
            ("undisclosed-recipients:;", vec![]),
            ("a@b.example (a comment, with (more) <x@y.example>)", vec!["a@b.example"]),
            ("<@route.example,@two.example:a@b.example>", vec!["a@b.example"]),
            ("\"odd , local\"@b.example", vec!["\"odd , local\"@b.example"]),
            ("\"a@b.example\" <c@d.example>", vec!["c@d.example"]),
            ("=?utf-8?q?A=2C_B?= <a@b.example>", vec!["a@b.example"]),
            ("Ada a@b.example", vec!["a@b.example"]),
            ("a @ b . example", vec!["a@b.example"]),
            ("a@[IPv6:2001:db8::1], c@[192.0.2.1]", vec!["a@[IPv6:2001:db8::1]", "c@[192.0.2.1]"]),
            ("a@b.example;c@d.example", vec!["a@b.example", "c@d.example"]),
            ("Ada <a@b.example", vec!["a@b.example"]),
            ("Ada <a@b.example, C <c@d.example>", vec!["a@b.example", "c@d.example"]),
            ("(open comment a@b.example", vec![]),
            ("no mailbox, @, <>, ,,", vec![]),
        ] {
            let mut found = Vec::new();
            read(value.as_bytes(), &mut found);
            assert_eq!(found.iter().map(Address::as_str).collect::<Vec<_>>(), expected, "{value}");
        }
    }
}
