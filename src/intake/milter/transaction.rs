//! One message as a mail server tells it, piece by piece.

use crate::{
    intake::{Reservation, memory::make_room, unfit::Unfit},
    mail::{
        Envelope, ForwardPath, ReversePath,
        wire::{Blemishes, Command, LineEndings, Reply, milter::Agreed, milter::step},
    },
};

/// A message on its way in.
pub(super) struct Transaction {
    pub envelope: Envelope,
    pub reservation: Reservation,
    content: Vec<u8>,
    /// Where the header ends, once it has.
    body: Option<usize>,
    unfit: Option<Unfit>,
    most: u64,
}

/// A message that was told to its end.
pub(super) struct Told {
    pub envelope: Envelope,
    pub reservation: Reservation,
    pub content: Vec<u8>,
    /// The header's fields as the server knows them.
    pub header: Vec<u8>,
}

impl Transaction {
    pub fn new(sender: ReversePath, reservation: Reservation, most: u64) -> Self {
        let envelope = Envelope { sender, recipients: Vec::new() };
        Self { envelope, reservation, content: Vec::new(), body: None, unfit: None, most }
    }

    /// Folds come with LF alone; the space behind the colon only if it was agreed.
    pub fn header(&mut self, agreed: Agreed, name: &[u8], value: &[u8]) {
        let folds = memchr::memchr_iter(b'\n', value).count();
        if !self.has_room(name.len() + value.len() + folds + ":  \r\n".len()) {
            return;
        }
        self.content.extend_from_slice(name);
        self.content.push(b':');
        if !agreed.has_step(step::LEADING_SPACE) && !value.is_empty() {
            self.content.push(b' ');
        }
        for (index, line) in value.split(|byte| *byte == b'\n').enumerate() {
            if index > 0 {
                self.content.extend_from_slice(b"\r\n");
            }
            self.content.extend_from_slice(line.strip_suffix(b"\r").unwrap_or(line));
        }
        self.content.extend_from_slice(b"\r\n");
    }

    pub fn end_of_header(&mut self) {
        if self.body.is_none() {
            self.body = Some(self.content.len());
            if self.has_room(2) {
                self.content.extend_from_slice(b"\r\n");
            }
        }
    }

    pub fn body(&mut self, chunk: &[u8]) {
        // A server that leaves the step out goes on with the body.
        self.end_of_header();
        if self.has_room(chunk.len()) {
            self.content.extend_from_slice(chunk);
        }
    }

    /// The whole message, or why it is not taken.
    pub fn finish(mut self) -> Result<Told, Unfit> {
        self.end_of_header();
        let header = self.content[..self.body.unwrap_or_default().min(self.content.len())].to_vec();
        let room = self.content.capacity() + header.len();
        if self.unfit.is_none() && !self.reservation.grow_to(room as u64) {
            self.unfit = Some(Unfit::NoMemory);
        }
        match self.unfit.or_else(|| Unfit::of(Blemishes::of(&self.content), LineEndings::Strict)) {
            Some(unfit) => Err(unfit),
            None => {
                let Self { envelope, reservation, content, .. } = self;
                Ok(Told { envelope, reservation, content, header })
            }
        }
    }

    fn has_room(&mut self, coming: usize) -> bool {
        if self.unfit.is_none() {
            let room = make_room(&mut self.content, coming, self.most, &mut self.reservation);
            let large = (self.content.len() + coming) as u64 > self.most;
            self.unfit = room.err().or(large.then_some(Unfit::TooLarge));
            if self.unfit.is_some() {
                // Read to its end, and thrown away.
                self.content = Vec::new();
                self.reservation.release();
            }
        }
        self.unfit.is_none()
    }
}

/// The argument of MAIL as the server passes it on, by the same parser as at the other door.
pub(super) fn sender(path: &[u8], parameters: &[&[u8]]) -> Result<ReversePath, Reply> {
    match command(b"MAIL FROM:", path, parameters)? {
        Command::Mail(sender) => Ok(sender),
        _ => Err(Reply::new(501, (5, 5, 4), "Syntax error")),
    }
}

pub(super) fn recipient(path: &[u8], parameters: &[&[u8]]) -> Result<ForwardPath, Reply> {
    match command(b"RCPT TO:", path, parameters)? {
        Command::Rcpt(recipient) => Ok(recipient),
        _ => Err(Reply::new(501, (5, 5, 4), "Syntax error")),
    }
}

fn command(verb: &[u8], path: &[u8], parameters: &[&[u8]]) -> Result<Command, Reply> {
    let mut line = verb.to_vec();
    // Sendmail passes on what its client wrote, Exim's filters and old servers without brackets.
    let bare = !path.starts_with(b"<");
    line.extend_from_slice(if bare { b"<" } else { b"" });
    line.extend_from_slice(path);
    line.extend_from_slice(if bare { b">" } else { b"" });
    for parameter in parameters {
        line.push(b' ');
        line.extend_from_slice(parameter);
    }
    Command::parse(&line).map_err(|error| error.reply())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::intake::Budget;

    fn transaction(most: u64) -> Transaction {
        Transaction::new(ReversePath::default(), Budget::new(1 << 20).reserve(0).unwrap(), most)
    }

    const SPACED: Agreed = Agreed { version: 6, actions: 0, steps: step::LEADING_SPACE };

    #[test]
    fn pieces_become_the_message() {
        let mut open = transaction(10_000);
        open.header(SPACED, b"Subject", b"  a\n\tb");
        open.header(SPACED, b"X", b"y");
        open.header(SPACED, b"Empty", b"");
        open.end_of_header();
        open.body(b"one\r\n");
        open.body(b"two\r\n");
        let told = open.finish().unwrap();
        assert_eq!(told.content, b"Subject:  a\r\n\tb\r\nX:y\r\nEmpty:\r\n\r\none\r\ntwo\r\n");
        assert_eq!(told.header, b"Subject:  a\r\n\tb\r\nX:y\r\nEmpty:\r\n");
    }

    #[test]
    fn an_old_server_keeps_one_space_to_itself() {
        let mut open = transaction(10_000);
        let old = Agreed { version: 2, ..Agreed::default() };
        open.header(old, b"Subject", b"a");
        open.header(old, b"Empty", b"");
        assert_eq!(open.finish().unwrap().content, b"Subject: a\r\nEmpty:\r\n\r\n");
    }

    #[test]
    fn what_is_not_taken() {
        let told = |most, body: &[u8]| {
            let mut open = transaction(most);
            open.header(SPACED, b"A", b" b");
            open.body(body);
            open.finish().err().map(Unfit::reason)
        };
        assert_eq!(told(100, b"fine\r\n"), None);
        assert_eq!(told(12, b"too large\r\n"), Some("too-large"));
        assert_eq!(told(100, b"a\0b\r\n"), Some("nul"));
        assert_eq!(told(100, b"a\nb\r\n"), Some("bare-lf"));
        assert_eq!(told(100, b"a\rb\r\n"), Some("bare-cr"));
        assert_eq!(told(4 << 20, &vec![b'x'; 2 << 20]), Some("memory"));
    }

    #[test]
    fn addresses_as_servers_pass_them_on() {
        let address = |path: &[u8]| sender(path, &[b"SIZE=5", b"BODY=8BITMIME"]).map(|sender| sender.size());
        assert_eq!(address(b"<a@b.example>"), Ok(Some(5)));
        assert_eq!(address(b"a@b.example"), Ok(Some(5)));
        assert!(sender(b"<>", &[]).unwrap().is_null());
        assert_eq!(recipient(b"<a b@c>", &[]).unwrap_err().code(), 501);
        assert_eq!(recipient(b"<c@d.example>", &[b"NOTIFY=NEVER"]).unwrap().parameters.len(), 1);
    }
}
