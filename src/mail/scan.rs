//! The parts of a message, found in one pass (RFC 2045, RFC 2046).
//!
//! In: the bytes. Out: parts by range, what passed a limit, what could be read in two ways. Never: a decoded body, a
//! second look at a byte that depends on nesting, recursion.

use super::{
    Ambiguity, ContentType, Part, PartId, TransferEncoding, Unread, UnreadReason, doubt,
    header::{self, Block, End},
    part_header::{self, Declared},
    transfer,
};
use memchr::memmem::Finder;
use std::sync::LazyLock;

const MOST_PARTS: usize = 1_000;
const MOST_MULTIPART_DEPTH: usize = 32;
const MOST_MESSAGE_DEPTH: usize = 10;

static LINE_WITH_DASHES: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\n--"));

/// What was found.
pub(super) struct Found {
    pub parts: Vec<Part>,
    pub unread: Vec<Unread>,
    pub ambiguous: Vec<Ambiguity>,
}

/// Finds all parts.
pub(super) fn scan(bytes: &[u8]) -> Found {
    let mut scan = Scan {
        bytes,
        found: Found { parts: Vec::with_capacity(4), unread: Vec::new(), ambiguous: Vec::new() },
        open: Vec::with_capacity(4),
        frames: Vec::new(),
    };
    scan.run();
    inline_protection(bytes, &mut scan.found.parts);
    doubt::of_bodies(bytes, &mut scan.found);
    scan.found
}

/// A multipart whose parts are being read.
struct Frame {
    /// Its index in the parts.
    part: usize,
    boundary: Box<[u8]>,
    /// In front of the numbers of its parts: `2.`.
    prefix: String,
    children: usize,
    /// How many parts are open, itself included.
    open: usize,
    digest: bool,
    /// Where its preamble begins.
    body: usize,
}

/// A line that begins with two dashes, as seen by the open multiparts.
struct Delimiter {
    frame: usize,
    closes: bool,
    /// Behind the line.
    next: usize,
    /// Blanks are all that may follow the boundary (RFC 2046 5.1.1).
    clean: bool,
}

struct Scan<'a> {
    bytes: &'a [u8],
    found: Found,
    /// The part being read and those around it, outermost first.
    open: Vec<usize>,
    frames: Vec<Frame>,
}

impl Scan<'_> {
    fn run(&mut self) {
        let mut at = self.enter(0, None, "1".to_string(), String::new());
        let mut outside_since = None;
        while !self.frames.is_empty() {
            let Some(line) = self.next_dashes(at) else { break };
            let Some(delimiter) = self.delimiter(line) else {
                at = line + 2;
                continue;
            };
            self.close_to(delimiter.frame, line, outside_since.take());
            let frame = &mut self.frames[delimiter.frame];
            if !delimiter.clean {
                let part = frame.part;
                self.doubt(part, doubt::BOUNDARY_WITH_TEXT);
            } else if frame.children == 0 && !delimiter.closes && line > frame.body {
                let (part, preamble) = (frame.part, frame.body..line);
                if doubt::looks_like_a_part(&self.bytes[preamble]) {
                    self.doubt(part, doubt::PART_IN_PREAMBLE);
                }
            }
            if delimiter.closes {
                self.frames.truncate(delimiter.frame);
                outside_since = Some(delimiter.next);
                at = delimiter.next;
                continue;
            }
            if self.found.parts.len() >= MOST_PARTS {
                let part = self.frames[delimiter.frame].part;
                self.unread(part, UnreadReason::TooMany);
                self.frames.clear();
                break;
            }
            at = self.next_part(delimiter);
        }
        self.finish(outside_since);
    }

    /// `From ` in front of the header of a message, as mbox files and old mail programs have it.
    fn behind_mbox_line(&self, at: usize) -> usize {
        let rest = &self.bytes[at..];
        if rest.starts_with(b"From ") || rest.starts_with(b">From ") { header::line(self.bytes, at).1 } else { at }
    }

    /// The next line at or behind `at` that begins with two dashes.
    fn next_dashes(&self, at: usize) -> Option<usize> {
        if at == 0 && self.bytes.starts_with(b"--") {
            return Some(0);
        }
        let from = at.saturating_sub(1);
        LINE_WITH_DASHES.find(self.bytes.get(from..)?).map(|found| from + found + 1)
    }

    /// Whether the line at `at` is a boundary line of an open multipart. Whole matches of inner ones come first; one
    /// boundary may be the beginning of another.
    fn delimiter(&self, at: usize) -> Option<Delimiter> {
        let mut partial = None;
        for (index, frame) in self.frames.iter().enumerate().rev() {
            let Some(rest) = self.bytes[at + 2..].strip_prefix(&*frame.boundary) else { continue };
            let behind = self.bytes.len() - rest.len();
            let (line_end, next) = header::line(self.bytes, behind);
            let rest = &self.bytes[behind..line_end];
            let blank = |rest: &[u8]| rest.iter().all(|&byte| header::is_blank(byte));
            if blank(rest) {
                return Some(Delimiter { frame: index, closes: false, next, clean: true });
            }
            if let Some(rest) = rest.strip_prefix(b"--") {
                let clean = blank(rest);
                let closing = Delimiter { frame: index, closes: true, next, clean };
                if clean {
                    return Some(closing);
                }
                partial.get_or_insert(closing);
            } else {
                // Some readers take the beginning of a line for enough, as RFC 2046 5.1.1 says.
                partial.get_or_insert(Delimiter { frame: index, closes: false, next, clean: false });
            }
        }
        partial
    }

    /// Ends all that is open inside frame `index`, up to the boundary line at `line`.
    fn close_to(&mut self, index: usize, line: usize, outside_since: Option<usize>) {
        if let Some(since) = outside_since {
            // The epilogue belongs to the innermost part that is still open.
            self.look_at_epilogue(since, line);
        }
        // The line end in front of a boundary belongs to it (RFC 2046 5.1.1).
        let end = match &self.bytes[..line] {
            [.., b'\r', b'\n'] => line - 2,
            [.., b'\n'] => line - 1,
            _ => line,
        };
        while self.frames.len() > index + 1 {
            let frame = self.frames.pop().expect("longer than index");
            self.doubt(frame.part, doubt::NO_LAST_BOUNDARY);
        }
        let keep = self.frames[index].open;
        // An empty body begins at the boundary line; what is around it reaches as far.
        let mut end = end;
        for &part in self.open[keep..].iter().rev() {
            let body = &mut self.found.parts[part].body;
            body.end = end.max(body.start);
            end = body.end;
        }
        self.open.truncate(keep);
    }

    fn look_at_epilogue(&mut self, since: usize, until: usize) {
        if doubt::looks_like_a_part(&self.bytes[since.min(until)..until]) {
            let part = self.open.last().copied().unwrap_or(0);
            self.doubt(part, doubt::PART_IN_EPILOGUE);
        }
    }

    fn next_part(&mut self, delimiter: Delimiter) -> usize {
        let frame = &mut self.frames[delimiter.frame];
        frame.children += 1;
        let (parent, id, digest) = (frame.part, format!("{}{}", frame.prefix, frame.children), frame.digest);
        let prefix = format!("{id}.");
        self.enter_with(delimiter.next, Some(parent), id, prefix, digest)
    }

    fn enter(&mut self, start: usize, parent: Option<usize>, id: String, prefix: String) -> usize {
        self.enter_with(start, parent, id, prefix, false)
    }

    /// Reads the part whose header begins at `start`, and what it encloses at once. Gives the place from which to
    /// look for the next boundary line.
    fn enter_with(
        &mut self,
        start: usize,
        parent: Option<usize>,
        id: String,
        prefix: String,
        in_digest: bool,
    ) -> usize {
        let (mut start, mut parent, mut id, mut prefix, mut in_digest) = (start, parent, id, prefix, in_digest);
        let mut heads_message = parent.is_none();
        loop {
            if heads_message {
                start = self.behind_mbox_line(start);
            }
            let block =
                header::read_block(self.bytes, start, |at| self.delimiter(at).is_some_and(|delimiter| delimiter.clean));
            let declared = part_header::read(self.bytes, &block.fields, in_digest);
            // The body of a multipart message has no number of its own (RFC 9051 6.4.5.1).
            if heads_message && declared.content_type.media == "multipart" {
                id = format!("{prefix}TEXT");
            }
            let body = block.body;
            let index = self.add(block, declared, parent, &id, heads_message);
            self.open.push(index);
            let part = &self.found.parts[index];
            let (is_multipart, is_message) = (part.is_multipart(), encloses_message(part));
            if is_multipart {
                self.open_frame(index, prefix, body);
                return body;
            }
            if !is_message || body >= self.bytes.len() {
                return body;
            }
            if self.found.parts.len() >= MOST_PARTS {
                self.unread(index, UnreadReason::TooMany);
                return body;
            }
            if self.message_depth(index) >= MOST_MESSAGE_DEPTH {
                self.unread(index, UnreadReason::TooDeep);
                return body;
            }
            prefix = format!("{id}.");
            id = format!("{id}.1");
            (start, parent, in_digest, heads_message) = (body, Some(index), false, true);
        }
    }

    fn open_frame(&mut self, index: usize, prefix: String, body: usize) {
        if self.frames.len() >= MOST_MULTIPART_DEPTH {
            self.unread(index, UnreadReason::TooDeep);
            return;
        }
        let part = &self.found.parts[index];
        let boundary = part.boundary.clone().unwrap_or_default();
        let digest = part.content_type.subtype == "digest";
        if self.frames.iter().any(|frame| frame.boundary == boundary) {
            self.doubt(index, doubt::BOUNDARY_IN_USE);
        }
        self.frames.push(Frame { part: index, boundary, prefix, children: 0, open: self.open.len(), digest, body });
    }

    fn add(&mut self, block: Block, declared: Declared, parent: Option<usize>, id: &str, heads_message: bool) -> usize {
        let index = self.found.parts.len();
        let (enclosed, depth, inherited) = parent.map_or((false, 0, None), |parent| {
            let around = &self.found.parts[parent];
            (around.enclosed || encloses_message(around), around.depth + 1, around.protection)
        });
        let Block { fields, header, body, .. } = block;
        self.found.parts.push(Part {
            id: PartId::new(id),
            parent,
            depth,
            header,
            fields,
            body: body..self.bytes.len(),
            content_type: declared.content_type,
            encoding: declared.encoding,
            disposition: declared.disposition,
            file_name: declared.file_name.map(Into::into),
            boundary: declared.boundary,
            enclosed,
            protection: declared.protection.or(inherited),
        });
        if block.too_large {
            self.unread(index, UnreadReason::TooLarge);
        }
        if block.too_many || declared.too_many {
            self.unread(index, UnreadReason::TooMany);
        }
        for (seen, class) in [
            (block.stray_control, doubt::STRAY_CONTROL),
            (block.odd_name, doubt::ODD_FIELD_NAME),
            (block.blank_continuation, doubt::BLANK_CONTINUATION),
            (block.leading_blank, doubt::LEADING_BLANK),
            (block.mixed_line_ends, doubt::MIXED_LINE_ENDS),
            (self.lacks_empty_line(index, block.end, heads_message), doubt::NO_EMPTY_LINE),
        ] {
            if seen {
                self.doubt(index, class);
            }
        }
        for class in declared.doubts {
            self.doubt(index, class);
        }
        index
    }

    /// A header that runs into the body or a boundary. One that ends with the data has no body that could be misread.
    fn lacks_empty_line(&self, index: usize, end: End, heads_message: bool) -> bool {
        match end {
            End::EmptyLine => false,
            End::Nothing => heads_message && index > 0 && !self.frames.is_empty(),
            End::NoField | End::Boundary => true,
        }
    }

    fn message_depth(&self, index: usize) -> usize {
        let around = std::iter::successors(self.found.parts[index].parent, |&part| self.found.parts[part].parent);
        around.filter(|&part| encloses_message(&self.found.parts[part])).count()
    }

    fn finish(&mut self, outside_since: Option<usize>) {
        if let Some(since) = outside_since {
            self.look_at_epilogue(since, self.bytes.len());
        }
        for frame in std::mem::take(&mut self.frames) {
            let class = if frame.children == 0 { doubt::BOUNDARY_NOT_FOUND } else { doubt::NO_LAST_BOUNDARY };
            self.doubt(frame.part, class);
        }
    }

    fn unread(&mut self, part: usize, reason: UnreadReason) {
        let unread = Unread { part: self.found.parts[part].id.clone(), reason };
        if self.found.unread.last() != Some(&unread) {
            self.found.unread.push(unread);
        }
    }

    fn doubt(&mut self, part: usize, class: &'static str) {
        self.found.doubt(part, class);
    }
}

impl Found {
    /// Notes an ambiguity, once for each part and class.
    pub fn doubt(&mut self, part: usize, class: &'static str) {
        let part = &self.parts[part].id;
        let known = |known: &Ambiguity| known.class == class && known.part == *part;
        if !self.ambiguous.iter().rev().take(8).any(known) {
            self.ambiguous.push(Ambiguity { part: part.clone(), class });
        }
    }
}

/// Inline OpenPGP is known by the first bytes of a text, whatever its encoding.
fn inline_protection(bytes: &[u8], parts: &mut [Part]) {
    for part in parts.iter_mut().filter(|part| part.is_text() && part.protection.is_none()) {
        let body = &bytes[part.body.clone()];
        let start = &body[..body.len().min(256)];
        part.protection = match part.encoding {
            TransferEncoding::Base64 => part_header::inline_protection(&transfer::base64(start, 128).0),
            _ => part_header::inline_protection(start),
        };
    }
}

/// A message/rfc822 whose bytes stand in the message as they are. An encoded one is a leaf (RFC 2046 5.2.1 forbids it).
pub(super) fn encloses_message(part: &Part) -> bool {
    is_message_type(&part.content_type) && part_header::is_identity(part.encoding)
}

pub(super) fn is_message_type(content_type: &ContentType) -> bool {
    content_type.media == "message" && matches!(content_type.subtype.as_str(), "rfc822" | "global" | "news")
}
