//! The SMTP codec: chunks never matter, and what is written is read back as it was.

use super::chunks;
use outgate::mail::wire::{
    Blemishes, Command, DataDecoder, LineEndings, LineSplitter, ReplyError, ReplyParser, Split, WireBody, milter,
};

/// Command lines, from bytes in any chunks.
pub fn command(data: &[u8]) {
    let whole = lines(std::iter::once(data));
    assert_eq!(whole, lines(chunks(data)), "chunks matter");
    for line in whole.iter().filter_map(|line| line.as_ref().ok()) {
        match Command::parse(line) {
            Ok(Command::Mail(path)) => {
                let address = path.address.as_ref().map_or("", |address| address.as_str());
                let parameters: Vec<_> = path.parameters.iter().map(|parameter| parameter.as_written()).collect();
                let written = clean(format!("MAIL FROM:<{address}> {}", parameters.join(" ")));
                assert_eq!(Command::parse(written.as_bytes()), Ok(Command::Mail(path.clone())), "{written:?}");
            }
            Ok(Command::Rcpt(path)) => {
                let parameters: Vec<_> = path.parameters.iter().map(|parameter| parameter.as_written()).collect();
                let written = clean(format!("RCPT TO:<{}> {}", path.address.as_str(), parameters.join(" ")));
                assert_eq!(Command::parse(written.as_bytes()), Ok(Command::Rcpt(path.clone())), "{written:?}");
            }
            Ok(Command::Ehlo(name) | Command::Helo(name)) => drop(clean(name)),
            Ok(command) => drop(command.verb()),
            Err(error) => assert!(error.reply().is_permanent()),
        }
    }
}

/// What goes into a header or on to the next hop has no line break in it.
fn clean(text: String) -> String {
    assert!(!text.chars().any(char::is_control), "a control in {text:?}");
    text
}

#[derive(Debug, PartialEq)]
enum NoLine {
    TooLong,
    Malformed,
}

fn lines<'a>(chunks: impl Iterator<Item = &'a [u8]>) -> Vec<Result<Vec<u8>, NoLine>> {
    let mut splitter = LineSplitter::new(LineSplitter::COMMAND);
    let (mut buffer, mut found) = (Vec::new(), Vec::new());
    for chunk in chunks {
        buffer.extend_from_slice(chunk);
        let mut from = 0;
        loop {
            let (line, consumed) = match splitter.split(&buffer[from..]) {
                Split::Line { line, consumed } => (Ok(line.to_vec()), consumed),
                Split::TooLong { consumed } => (Err(NoLine::TooLong), consumed),
                Split::Malformed { consumed } => (Err(NoLine::Malformed), consumed),
                Split::More { consumed } => {
                    from += consumed;
                    break;
                }
            };
            found.push(line);
            from += consumed;
        }
        buffer.drain(..from);
        assert!(buffer.len() < LineSplitter::COMMAND, "more is kept than a line may be long");
    }
    found
}

/// The DATA stream. A reader that follows RFC 5321 4.5.2 to the letter sees the same, and what may go out comes back.
pub fn data_stream(data: &[u8]) {
    let (out, consumed, ended, blemishes) = decoded(std::iter::once(data), LineEndings::Strict);
    let chunked = decoded(chunks(data), LineEndings::Strict);
    assert_eq!((&out, consumed, ended, blemishes), (&chunked.0, chunked.1, chunked.2, chunked.3), "chunks matter");
    let (plain, plain_consumed, plain_ended) = by_the_letter(data);
    assert_eq!((consumed, ended), (plain_consumed, plain_ended), "another end");
    // What may still become a line end is not given out before it is one.
    assert!(plain == out || (!ended && plain.starts_with(&out) && plain.len() - out.len() <= 2), "other bytes");
    assert!(out.len() <= 2 * data.len() + 2);

    let normalised = decoded(std::iter::once(data), LineEndings::Normalise);
    assert_eq!(normalised, decoded(chunks(data), LineEndings::Normalise));
    assert_eq!((consumed, ended, blemishes), (normalised.1, normalised.2, normalised.3), "line ends move the end");
    if ended && !blemishes.nul {
        let segments = [&normalised.0[..]];
        assert!(WireBody::new(&segments).is_ok(), "a normalised message with a bare line end");
    }
    if ended {
        sent_and_read_back(&out, blemishes);
    }
}

fn sent_and_read_back(message: &[u8], blemishes: Blemishes) {
    let segments: Vec<&[u8]> = chunks(message).collect();
    let Ok(body) = WireBody::new(&segments) else {
        assert!(blemishes.any(), "a clean message cannot go out");
        return;
    };
    assert!(!blemishes.any(), "what is not clean can go out");
    let wire: Vec<u8> = body.pieces().flatten().copied().collect();
    assert!(wire.len() <= body.wire_length());
    let (back, consumed, ended) = by_the_letter(&wire);
    assert!(ended && consumed == wire.len(), "the dot stands before the end");
    assert_eq!(back, message);
}

fn decoded<'a>(chunks: impl Iterator<Item = &'a [u8]>, endings: LineEndings) -> (Vec<u8>, usize, bool, Blemishes) {
    let mut decoder = DataDecoder::new(endings);
    let (mut out, mut consumed) = (Vec::new(), 0);
    for chunk in chunks {
        let step = decoder.decode(chunk, &mut out);
        consumed += step.consumed;
        if step.ended {
            return (out, consumed, true, decoder.blemishes());
        }
        assert_eq!(step.consumed, chunk.len());
    }
    (out, consumed, false, decoder.blemishes())
}

fn by_the_letter(stream: &[u8]) -> (Vec<u8>, usize, bool) {
    let whole = [b"\r\n", stream].concat();
    let end = whole.windows(5).position(|window| window == b"\r\n.\r\n");
    let content = &whole[..end.map_or(whole.len(), |end| end + 2)];
    let stuffed = |at: usize| content[at] == b'.' && at >= 2 && &content[at - 2..at] == b"\r\n";
    let out = (2..content.len()).filter(|at| !stuffed(*at)).map(|at| content[at]).collect();
    (out, end.map_or(stream.len(), |end| end + 3), end.is_some())
}

/// Replies of a next hop, in any chunks.
pub fn reply(data: &[u8]) {
    for parser in [ReplyParser::new, ReplyParser::for_ehlo] {
        let whole = replies(parser(), std::iter::once(data));
        assert_eq!(whole, replies(parser(), chunks(data)), "chunks matter");
        for written in whole.0 {
            let (code, lines) = (written.0, written.1);
            assert!((200..600).contains(&code) && !lines.is_empty());
            assert!(
                lines.iter().all(|line| line.len() <= 512 && line.bytes().all(|byte| (b' '..=b'~').contains(&byte)))
            );
            let (consumed, again) = ReplyParser::for_ehlo().push(&written.2).unwrap();
            let again = again.expect("what we write is a reply");
            assert_eq!((consumed, again.code(), again.lines().len()), (written.2.len(), code, lines.len()));
        }
    }
}

type Replies = (Vec<(u16, Vec<String>, Vec<u8>)>, Option<ReplyError>);

fn replies<'a>(mut parser: ReplyParser, chunks: impl Iterator<Item = &'a [u8]>) -> Replies {
    let mut found = Vec::new();
    for mut chunk in chunks {
        while !chunk.is_empty() {
            match parser.push(chunk) {
                Ok((used, reply)) => {
                    assert!(used == chunk.len() || reply.is_some());
                    chunk = &chunk[used..];
                    found.extend(reply.map(|reply| {
                        let mut wire = Vec::new();
                        reply.write_to(&mut wire);
                        (reply.code(), reply.lines().to_vec(), wire)
                    }));
                }
                Err(error) => return (found, Some(error)),
            }
        }
    }
    (found, None)
}

/// What a mail server tells its milter: packets in any chunks, commands, and the negotiation.
pub fn milter_packet(data: &[u8]) {
    let whole = packets(std::iter::once(data));
    assert_eq!(whole, packets(chunks(data)), "chunks matter");
    for (letter, content) in whole.0 {
        let packet = milter::Packet { letter, data: &content, consumed: 0 };
        match milter::Command::read(&packet) {
            Ok(milter::Command::Macros { macros, .. }) => {
                for (name, value) in macros.pairs() {
                    assert!(name.len() + value.len() <= content.len() && !value.contains(&0));
                }
            }
            Ok(milter::Command::Negotiate(offer)) => agreement(offer),
            Ok(milter::Command::Header { name, value }) => {
                assert!(!name.is_empty() && !name.contains(&0) && !value.contains(&0));
            }
            Ok(_) | Err(_) => {}
        }
    }
}

fn agreement(offer: milter::Offer) {
    let macros = [(milter::Stage::EndOfBody, "i")];
    let wanted = milter::Wanted { actions: 0x1ff, steps: 0x1f_ffff, macros: &macros };
    let Some(agreed) = offer.agree(&wanted) else {
        assert!(offer.version < 2);
        return;
    };
    assert!((2..=6).contains(&agreed.version));
    assert!(offer.actions == 0 || agreed.actions & !offer.actions == 0, "an action that was not offered");
    assert!(offer.steps == 0 || agreed.steps & !offer.steps == 0, "a step that was not offered");
    let mut out = Vec::new();
    agreed.write_to(&wanted, &mut out);
    let packet = milter::Packet::first(&out).unwrap().unwrap();
    assert_eq!((packet.letter, packet.consumed), (b'O', out.len()));
}

type Packets = (Vec<(u8, Vec<u8>)>, Option<milter::PacketError>);

fn packets<'a>(chunks: impl Iterator<Item = &'a [u8]>) -> Packets {
    let (mut buffer, mut found) = (Vec::new(), Vec::new());
    for chunk in chunks {
        buffer.extend_from_slice(chunk);
        loop {
            match milter::Packet::first(&buffer) {
                Ok(Some(packet)) => {
                    found.push((packet.letter, packet.data.to_vec()));
                    let consumed = packet.consumed;
                    buffer.drain(..consumed);
                }
                Ok(None) => break,
                Err(error) => return (found, Some(error)),
            }
        }
        assert!(buffer.len() <= milter::Packet::MOST + 4);
    }
    (found, None)
}
