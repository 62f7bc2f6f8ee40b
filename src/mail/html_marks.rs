//! What the markup of HTML says of whose words a text is: the elements that mail programs write around what they
//! quote, forward and sign with.

use super::html_tag::attribute;
use std::ops::Range;

/// What an element says of the text in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sign {
    /// Mail programs write it around what they quote.
    Quotation,
    /// A block quotation without any sign of a mail program: editors indent and set off with it too.
    Block,
    /// `On … wrote:`, in whatever language.
    Attribution,
    Forward,
    Signature,
}

/// Offsets are those of the rendered text; everything is sorted.
#[derive(Debug, Default)]
pub(super) struct Marks {
    /// Without overlap.
    pub stretches: Vec<(Range<usize>, Sign)>,
    /// Elements around a copied message and what was written into it: a copy that begins in one ends with it.
    pub frames: Vec<Range<usize>>,
    /// Where the head of a copied message begins.
    pub heads: Vec<Head>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub at: usize,
    /// The element alone says so; else only together with lines that read as a head.
    pub certain: bool,
}

/// Follows the elements while they are rendered.
#[derive(Default)]
pub(super) struct Marker {
    marks: Marks,
    /// How many of them are open: `div`, `blockquote`, `span`.
    depths: [usize; 3],
    region: Option<Region>,
    frame: Option<Frame>,
    /// Where Outlook said that a copied message follows, behind a rule.
    announced: Option<usize>,
}

struct Region {
    element: usize,
    depth: usize,
    start: usize,
    sign: Sign,
}

struct Frame {
    depth: usize,
    start: usize,
}

const DIV: usize = 0;
const QUOTE: usize = 1;
const SPAN: usize = 2;

impl Marker {
    /// A start tag; the rendered text ends at `at`.
    pub fn open(&mut self, name: &str, attributes: &str, at: usize) {
        match name {
            "div" => {
                self.depths[DIV] += 1;
                self.open_division(attributes, at);
            }
            "blockquote" => {
                self.depths[QUOTE] += 1;
                let sign = sign_of_block_quotation(attributes);
                let sign = sign.map(|sign| if self.frame.is_some() { Sign::Quotation } else { sign });
                if let Some(sign) = sign {
                    self.enter(QUOTE, at, sign);
                }
            }
            "span" => {
                self.depths[SPAN] += 1;
                if memchr::memmem::find(attributes.as_bytes(), b"OLK_SRC_BODY_SECTION").is_some() {
                    self.enter(SPAN, at, Sign::Quotation);
                }
            }
            "hr" => {
                let zimbra = names(attributes).any(|name| name == "zwchr");
                let announced = self.announced.take().is_some_and(|then| then + 2 >= at);
                if zimbra || announced {
                    self.head(at, true);
                }
            }
            _ => {}
        }
    }

    pub fn close(&mut self, name: &str, at: usize) {
        let element = match name {
            "div" => DIV,
            "blockquote" => QUOTE,
            "span" => SPAN,
            _ => return,
        };
        let depth = self.depths[element];
        if let Some(region) = self.region.take_if(|region| region.element == element && region.depth == depth) {
            self.mark(region, at);
        }
        if element == DIV
            && let Some(frame) = self.frame.take_if(|frame| frame.depth == depth)
        {
            self.close_frame(frame, at);
        }
        self.depths[element] = depth.saturating_sub(1);
    }

    pub fn finish(mut self, at: usize) -> Marks {
        if let Some(region) = self.region.take() {
            self.mark(region, at);
        }
        if let Some(frame) = self.frame.take() {
            self.close_frame(frame, at);
        }
        self.marks
    }

    fn open_division(&mut self, attributes: &str, at: usize) {
        if attributes.is_empty() {
            return;
        }
        match names(attributes).find_map(division) {
            Some(Division::Is(sign)) => self.enter(DIV, at, sign),
            Some(Division::Frame) if self.region.is_none() && self.frame.is_none() => {
                self.frame = Some(Frame { depth: self.depths[DIV], start: at });
            }
            Some(Division::Frame) => {}
            Some(Division::Head) => self.head(at, true),
            Some(Division::Announcement) => self.announced = Some(at),
            None if is_quote_of_webmail(attributes) => self.enter(DIV, at, Sign::Quotation),
            None if is_ruled_above(attributes) => self.head(at, false),
            None => {}
        }
    }

    fn head(&mut self, at: usize, certain: bool) {
        if self.region.is_none() {
            self.marks.heads.push(Head { at, certain });
        }
    }

    fn enter(&mut self, element: usize, at: usize, sign: Sign) {
        let depth = self.depths[element];
        let region = Region { element, depth, start: at, sign };
        match &self.region {
            None => self.region = Some(region),
            // A quotation below a signature, as Outlook on the web nests them.
            Some(outer)
                if matches!(outer.sign, Sign::Signature | Sign::Block)
                    && matches!(sign, Sign::Quotation | Sign::Forward) =>
            {
                if let Some(outer) = self.region.replace(region) {
                    self.mark(outer, at);
                }
            }
            Some(_) => {}
        }
    }

    fn mark(&mut self, region: Region, at: usize) {
        if region.start < at {
            self.marks.stretches.push((region.start..at, region.sign));
        }
    }

    /// Without any quotation in it, the whole of it is one.
    fn close_frame(&mut self, frame: Frame, at: usize) {
        let first = self.marks.stretches.partition_point(|(range, _)| range.start < frame.start);
        let inside = &self.marks.stretches[first..];
        if inside.iter().all(|(_, sign)| *sign == Sign::Signature) && self.region.is_none() {
            self.marks.stretches.truncate(first);
            self.mark(Region { element: DIV, depth: 0, start: frame.start, sign: Sign::Quotation }, at);
        }
        self.marks.frames.push(frame.start..at);
    }
}

/// What a division by which mail programs wrap quotations and signatures is.
enum Division {
    Is(Sign),
    Frame,
    Head,
    Announcement,
}

/// By a class or an id. Programs put `x_` in front of those in what they quote.
fn division(name: &str) -> Option<Division> {
    let name = name.trim_start_matches("x_");
    Some(match name {
        "gmail_quote" | "gmail_quote_container" => Division::Frame,
        "gmail_attr" | "moz-cite-prefix" => Division::Is(Sign::Attribution),
        "yahoo_quoted"
        | "protonmail_quote"
        | "OLK_SRC_BODY_SECTION"
        | "ms-outlook-mobile-reference-message"
        | "mail-editor-reference-message-container"
        | "zmail_extra" => Division::Is(Sign::Quotation),
        "moz-forward-container" => Division::Is(Sign::Forward),
        "gmail_signature"
        | "moz-signature"
        | "Signature"
        | "ms-outlook-mobile-signature"
        | "AppleMailSignature"
        | "composer_signature"
        | "ymail_android_signature"
        | "protonmail_signature_block" => Division::Is(Sign::Signature),
        "divRplyFwdMsg" => Division::Head,
        "appendonsend" => Division::Announcement,
        _ if name.starts_with("yahoo_quoted_") => Division::Is(Sign::Quotation),
        _ => return None,
    })
}

/// The words of `class` and `id`.
fn names(attributes: &str) -> impl Iterator<Item = &str> {
    ["class", "id"]
        .into_iter()
        .flat_map(|name| attribute(attributes, name).into_iter().flat_map(str::split_ascii_whitespace))
}

/// GMX and WEB.DE write `<div name="quote" style="… border-left: …">`.
fn is_quote_of_webmail(attributes: &str) -> bool {
    attribute(attributes, "name").is_some_and(|name| name == "quote")
}

/// Outlook draws a line above the head of what it copies.
fn is_ruled_above(attributes: &str) -> bool {
    attribute(attributes, "style").is_some_and(|style| squeezed(style).contains("border-top:solid"))
}

/// None: it only indents the author's own text, as editors write it.
fn sign_of_block_quotation(attributes: &str) -> Option<Sign> {
    if attribute(attributes, "type").is_some_and(|kind| kind.eq_ignore_ascii_case("cite"))
        || attribute(attributes, "class").is_some_and(|class| class.contains("quote"))
        || attribute(attributes, "cite").is_some()
    {
        return Some(Sign::Quotation);
    }
    let style = squeezed(attribute(attributes, "style").unwrap_or_default());
    if style.contains("border-left:") {
        return Some(Sign::Quotation);
    }
    let bare = |rule: &str| matches!(rule, "border:none" | "border:0" | "border:mediumnone" | "border:nonenone");
    (!style.split(';').any(bare)).then_some(Sign::Block)
}

fn squeezed(style: &str) -> String {
    style.chars().filter(|c| !c.is_whitespace()).collect::<String>().to_ascii_lowercase()
}
