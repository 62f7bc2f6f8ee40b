//! Packets: length, letter, data.

/// One packet at the front of the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    pub letter: u8,
    pub data: &'a [u8],
    /// How much of the input it took.
    pub consumed: usize,
}

/// Why the input cannot be read on: where the next packet begins is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PacketError {
    #[error("a packet without a letter")]
    Empty,
    #[error("a packet larger than any mail server sends")]
    TooLarge,
}

impl<'a> Packet<'a> {
    /// The most that a packet may have behind its length. Body chunks have 64 KiB; one header field with all its folds
    /// comes in one packet, and a header has 1 MiB at most.
    pub const MOST: usize = (1 << 20) + (64 << 10);

    /// The packet at the front of `input`; none when it is not yet whole.
    pub fn first(input: &'a [u8]) -> Result<Option<Self>, PacketError> {
        let Some((length, rest)) = input.split_first_chunk::<4>() else { return Ok(None) };
        let length = u32::from_be_bytes(*length) as usize;
        match length {
            0 => return Err(PacketError::Empty),
            _ if length > Self::MOST => return Err(PacketError::TooLarge),
            _ => {}
        }
        let Some((letter, data)) = rest.get(..length).and_then(<[u8]>::split_first) else { return Ok(None) };
        Ok(Some(Self { letter: *letter, data, consumed: 4 + length }))
    }
}

/// Appends a packet whose data `write` makes.
pub(super) fn append(out: &mut Vec<u8>, letter: u8, write: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0, 0, 0, 0, letter]);
    write(out);
    // No packet of ours has more than a body chunk or a header.
    let length = (out.len() - start - 4) as u32;
    out[start..start + 4].copy_from_slice(&length.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bytes(letter: u8, data: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        append(&mut out, letter, |out| out.extend_from_slice(data));
        out
    }

    #[test]
    fn a_packet_is_there_when_it_is_whole() {
        let wire = bytes(b'L', b"Subject\0 x\0");
        for end in 0..wire.len() {
            assert_eq!(Packet::first(&wire[..end]), Ok(None), "{end}");
        }
        let more = [&wire[..], b"\0\0\0\x01Q"].concat();
        let packet = Packet::first(&more).unwrap().unwrap();
        assert_eq!((packet.letter, packet.data, packet.consumed), (b'L', &b"Subject\0 x\0"[..], wire.len()));
        let last = Packet::first(&more[packet.consumed..]).unwrap().unwrap();
        assert_eq!((last.letter, last.data), (b'Q', &b""[..]));
    }

    #[test]
    fn lengths_that_nobody_sends() {
        assert_eq!(Packet::first(&[0, 0, 0, 0, b'Q']), Err(PacketError::Empty));
        assert_eq!(Packet::first(b"GET / HTTP/1.1\r\n"), Err(PacketError::TooLarge));
        let most = u32::try_from(Packet::MOST).unwrap();
        assert_eq!(Packet::first(&most.to_be_bytes()), Ok(None), "not refused before it is here");
        assert_eq!(Packet::first(&(most + 1).to_be_bytes()), Err(PacketError::TooLarge));
        assert_eq!(Packet::first(&[0xff; 8]), Err(PacketError::TooLarge));
    }

    proptest! {
        #[test]
        fn any_packets_are_read_back(packets in prop::collection::vec((any::<u8>(), prop::collection::vec(any::<u8>(), 0..40)), 0..8)) {
            let wire: Vec<u8> = packets.iter().flat_map(|(letter, data)| bytes(*letter, data)).collect();
            let (mut at, mut seen) = (0, Vec::new());
            while let Some(packet) = Packet::first(&wire[at..]).unwrap() {
                seen.push((packet.letter, packet.data.to_vec()));
                at += packet.consumed;
            }
            prop_assert_eq!(at, wire.len());
            prop_assert_eq!(seen, packets);
        }

        #[test]
        fn garbage_never_panics(input in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = Packet::first(&input);
        }
    }
}
