//! Our edits as the changes that a mail server makes for a filter.
//!
//! In: the header as the server told it and as it is to leave. Out: replies. They go from the last field to the first, so
//! that every number counts fields that still stand as the server told them.

use crate::{
    intake::trace::fields,
    mail::wire::milter::{Agreed, Reply, step},
};
use std::collections::{HashMap, VecDeque};

/// One field: its name as written, and what stands behind the colon, without the line end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Field<'a> {
    whole: &'a [u8],
    name: &'a [u8],
    value: &'a [u8],
}

impl<'a> Field<'a> {
    fn all_of(header: &'a [u8]) -> Vec<Self> {
        fields(header).map(|range| Self::of(&header[range])).collect()
    }

    fn of(whole: &'a [u8]) -> Self {
        let line = whole.strip_suffix(b"\n").map_or(whole, |line| line.strip_suffix(b"\r").unwrap_or(line));
        let colon = memchr::memchr(b':', line).unwrap_or(line.len());
        Self { whole, name: &line[..colon], value: line.get(colon + 1..).unwrap_or_default() }
    }

    fn has_the_name_of(&self, other: &Self) -> bool {
        self.name.trim_ascii_end().eq_ignore_ascii_case(other.name.trim_ascii_end())
    }

    /// As it goes on the wire: line breaks are LF alone, and the space behind the colon is sent if it was agreed.
    fn value(&self, agreed: Agreed) -> Vec<u8> {
        let mut value: Vec<u8> = self.value.iter().copied().filter(|byte| *byte != b'\r').collect();
        if !agreed.has_step(step::LEADING_SPACE) && value.first() == Some(&b' ') {
            value.remove(0);
        }
        // Nothing at all would take the field away.
        if value.is_empty() { vec![b' '] } else { value }
    }
}

/// What becomes of the server's fields, in their order.
#[derive(Debug, PartialEq, Eq)]
enum Step<'a> {
    Keep,
    Change(Field<'a>),
    Delete,
    /// Before the server's next field; behind the last there is none.
    Insert(Field<'a>),
}

/// Appends what turns the header `told` into `wanted`. The server has a Received field of its own above what it told: it
/// counts where a field is inserted, and not where one is changed.
pub(super) fn write_header(agreed: Agreed, told: &[u8], wanted: &[u8], out: &mut Vec<u8>) {
    let (told, wanted) = (Field::all_of(told), Field::all_of(wanted));
    let mut steps = steps(&told, &wanted);
    let last = steps.iter().rposition(|step| !matches!(step, Step::Insert(_))).map_or(0, |last| last + 1);
    for step in steps.drain(last..) {
        if let Step::Insert(field) = step {
            Reply::AddHeader { name: field.name, value: &field.value(agreed) }.write_to(out);
        }
    }
    let mut behind = told.len();
    for step in steps.iter().rev() {
        match step {
            Step::Keep => behind -= 1,
            Step::Change(field) => {
                behind -= 1;
                change(&told, behind, &field.value(agreed), out);
            }
            Step::Delete => {
                behind -= 1;
                change(&told, behind, b"", out);
            }
            Step::Insert(field) => insert(agreed, behind as u32 + 1, field, out),
        }
    }
}

/// Appends our own trace and signatures, above everything.
pub(super) fn write_top(agreed: Agreed, top: &[u8], out: &mut Vec<u8>) {
    for field in Field::all_of(top).iter().rev() {
        insert(agreed, 0, field, out);
    }
}

fn insert(agreed: Agreed, place: u32, field: &Field<'_>, out: &mut Vec<u8>) {
    Reply::InsertHeader { place, name: field.name, value: &field.value(agreed) }.write_to(out);
}

fn change(told: &[Field<'_>], place: usize, value: &[u8], out: &mut Vec<u8>) {
    let field = &told[place];
    let number = told[..=place].iter().filter(|other| other.has_the_name_of(field)).count() as u32;
    Reply::ChangeHeader { number, name: field.name.trim_ascii_end(), value }.write_to(out);
}

/// A field that is still there stays; one that is not makes room for the next wanted one of its name, or goes.
fn steps<'a>(told: &[Field<'a>], wanted: &[Field<'a>]) -> Vec<Step<'a>> {
    let mut places: HashMap<&[u8], VecDeque<usize>> = HashMap::new();
    for (place, field) in wanted.iter().enumerate() {
        places.entry(field.whole).or_default().push_back(place);
    }
    let mut left: HashMap<&[u8], usize> = HashMap::new();
    for field in told {
        *left.entry(field.whole).or_default() += 1;
    }
    let mut steps = Vec::with_capacity(told.len());
    let mut next = 0;
    for field in told {
        left.entry(field.whole).and_modify(|left| *left -= 1);
        let place = places.get_mut(field.whole).and_then(|places| {
            while places.front().is_some_and(|place| *place < next) {
                places.pop_front();
            }
            places.pop_front()
        });
        if let Some(place) = place {
            steps.extend(wanted[next..place].iter().map(|new| Step::Insert(*new)));
            steps.push(Step::Keep);
            next = place + 1;
            continue;
        }
        // One that the server tells of further down is not new.
        let new = wanted.get(next).filter(|new| left.get(new.whole).copied().unwrap_or(0) == 0);
        match new.filter(|new| new.has_the_name_of(field)) {
            Some(new) => {
                steps.push(Step::Change(*new));
                next += 1;
            }
            None => steps.push(Step::Delete),
        }
    }
    steps.extend(wanted[next..].iter().map(|new| Step::Insert(*new)));
    steps
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::wire::milter::Packet;
    use proptest::prelude::*;

    const AGREED: Agreed = Agreed { version: 6, actions: 0x1ff, steps: step::LEADING_SPACE };

    fn written(told: &str, wanted: &str) -> Vec<u8> {
        let mut out = Vec::new();
        write_header(AGREED, told.as_bytes(), wanted.as_bytes(), &mut out);
        out
    }

    /// A mail server: makes the changes as Postfix and Sendmail do, its own Received first.
    fn obey(told: &str, changes: &[u8]) -> String {
        let mut header: Vec<(String, String)> = vec![("Received".into(), " by mx".into())];
        header.extend(Field::all_of(told.as_bytes()).iter().map(|field| {
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
            (text(field.name), text(field.value).replace('\r', ""))
        }));
        let mut at = 0;
        while let Some(packet) = Packet::first(&changes[at..]).unwrap() {
            at += packet.consumed;
            let (number, strings) = match packet.letter {
                b'h' => (usize::MAX, packet.data),
                _ => (u32::from_be_bytes(packet.data[..4].try_into().unwrap()) as usize, &packet.data[4..]),
            };
            let mut strings = strings.split(|byte| *byte == 0).map(|text| String::from_utf8(text.to_vec()).unwrap());
            let (name, value) = (strings.next().unwrap(), strings.next().unwrap());
            match packet.letter {
                b'h' | b'i' => header.insert(number.min(header.len()), (name, value)),
                b'm' => {
                    let named =
                        header.iter().enumerate().skip(1).filter(|(_, (other, _))| other.eq_ignore_ascii_case(&name));
                    let place = named.map(|(place, _)| place).nth(number - 1).expect("there is such a field");
                    if value.is_empty() {
                        header.remove(place);
                    } else {
                        header[place].1 = value;
                    }
                }
                letter => panic!("{letter}"),
            }
        }
        assert_eq!(header.remove(0).0, "Received", "its own stays first");
        header.into_iter().map(|(name, value)| format!("{name}:{}\r\n", value.replace('\n', "\r\n"))).collect()
    }

    #[test]
    fn edits_become_changes() {
        let told = "Received: from a\r\n\tby b\r\nTo: a@b.example,\r\n c@d.example\r\nSubject: x\r\nCc: e@f.example\r\nX: 1\r\n";
        for (wanted, letters) in [
            (told.to_string(), ""),
            (told.replace("Subject: x", "Subject: [private] x"), "m"),
            (told.replace("Cc: e@f.example\r\n", ""), "m"),
            (told.replace("Cc: e@f.example\r\n", "").replace("a@b.example,\r\n c@d.example", "u:;"), "mm"),
            (format!("{told}Y: 2\r\nZ: 3\r\n"), "hh"),
            (told.replace("Subject", "MIME-Version: 1.0\r\nSubject"), "i"),
            (format!("A: 1\r\nB: 2\r\n{told}"), "ii"),
            (told.replace("X: 1", "X:"), "m"),
            (String::new(), "mmmmm"),
        ] {
            let changes = written(told, &wanted);
            let mut at = 0;
            let mut seen = String::new();
            while let Some(packet) = Packet::first(&changes[at..]).unwrap() {
                at += packet.consumed;
                seen.push(packet.letter as char);
            }
            assert_eq!(seen, letters, "{wanted}");
            assert_eq!(obey(told, &changes), wanted.replace("X:\r\n", "X: \r\n"), "{letters}");
        }
    }

    #[test]
    fn our_trace_stands_above_all() {
        let mut out = Vec::new();
        write_top(AGREED, b"Received: from a\r\n\tby b; now\r\n", &mut out);
        assert_eq!(out, b"\0\0\0\x21i\0\0\0\0Received\0 from a\n\tby b; now\0");
    }

    #[test]
    fn without_leading_space_one_is_left_to_the_server() {
        let mut out = Vec::new();
        let plain = Agreed { steps: 0, ..AGREED };
        write_header(plain, b"A: x\r\n", b"A: y\r\nB:z\r\nC:  w\r\n", &mut out);
        let values: Vec<&[u8]> =
            out.split(|byte| *byte == 0).filter(|piece| [&b"y"[..], b"z", b" w"].contains(piece)).collect();
        assert_eq!(values.len(), 3);
    }

    proptest! {
        /// Whatever the edit: a server that obeys has the header that was wanted.
        #[test]
        fn any_header_becomes_any_other(told in "([A-C]: [xy]\r\n){0,8}", wanted in "([A-C]: [xy]\r\n){0,8}") {
            prop_assert_eq!(obey(&told, &written(&told, &wanted)), wanted);
        }
    }
}
