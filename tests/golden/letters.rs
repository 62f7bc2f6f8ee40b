//! The golden set: letters as clients write them, from `fixtures/golden`, and one for each charset, transfer encoding and kind of
//! text, written here.

use base64::{Engine, engine::general_purpose::STANDARD};
use outgate::mail::{Edit, edit::Notice};
use std::{fs, path::PathBuf, sync::Arc};

/// What becomes of a letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Becomes {
    /// The notice, once in each text that a reader may choose.
    Noticed,
    /// A text part with the notice, in a letter of files alone.
    Added,
    Left(String),
    Fails(String),
}

#[derive(Clone, Debug)]
pub struct Letter {
    pub name: String,
    pub bytes: Vec<u8>,
    /// As the index says it.
    pub what: String,
    /// The author's words that stand before the notice, and the quotation's behind it; empty: none.
    pub behind: String,
    pub front: String,
}

impl Letter {
    pub fn becomes(&self) -> Becomes {
        match self.what.split_once(": ") {
            None if self.what == "notice" => Becomes::Noticed,
            None if self.what == "added" => Becomes::Added,
            Some(("left", reason)) => Becomes::Left(reason.into()),
            Some(("fails", reason)) => Becomes::Fails(reason.into()),
            _ => panic!("{}: {}", self.name, self.what),
        }
    }

    /// As a mail server that writes LF hands it over.
    pub fn with_lf(&self) -> Self {
        let bytes = String::from_utf8_lossy(&self.bytes).len();
        let mut lf = Vec::with_capacity(bytes);
        for (at, byte) in self.bytes.iter().enumerate() {
            if *byte != b'\r' || self.bytes.get(at + 1) != Some(&b'\n') {
                lf.push(*byte);
            }
        }
        Self { name: format!("{} (LF)", self.name), bytes: lf, ..self.clone() }
    }
}

pub fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures/golden")
}

/// Those that a client writes.
pub fn of_clients() -> Vec<Letter> {
    let index = fs::read_to_string(folder().join("index.tsv")).expect("the index");
    let rows = index.lines().filter(|line| !line.starts_with('#'));
    rows.map(|row| {
        let mut cells = row.split('\t').map(str::to_owned);
        let mut cell = || cells.next().unwrap_or_default();
        let name = cell();
        let bytes = fs::read(folder().join(format!("{name}.eml"))).unwrap_or_else(|error| panic!("{name}: {error}"));
        Letter { name, bytes, what: cell(), behind: cell(), front: cell() }
    })
    .collect()
}

pub const NOTICE: &str = "This message may be confidential. If it is not for you, please tell us and delete it.\n\n\
    Meadow Trust – registered charity 0000000";

pub fn notice(plain: &str) -> Edit {
    Edit::AppendNotice { notice: Arc::new(Notice { name: "golden".into(), plain: plain.into(), ..Notice::default() }) }
}

/// Charset, and words that it can write.
const SETS: [(&str, &str); 40] = [
    ("us-ascii", "The coach leaves at nine"),
    ("utf-8", "The café – 九時"),
    ("ibm866", "Автобус в девять"),
    ("iso-8859-1", "Der Bus fährt um neun"),
    ("iso-8859-2", "Autobus odjeżdża o dziewiątej"),
    ("iso-8859-3", "Ĝis la naŭa"),
    ("iso-8859-4", "Buss väljub kell üheksa"),
    ("iso-8859-5", "Автобус в девять"),
    ("iso-8859-6", "الحافلة"),
    ("iso-8859-7", "Το λεωφορείο"),
    ("iso-8859-8", "האוטובוס"),
    ("iso-8859-8-i", "האוטובוס"),
    ("iso-8859-9", "Otobüs saat dokuzda, şimdi"),
    ("iso-8859-10", "Bussen går klockan nio"),
    ("iso-8859-13", "Autobuss atiet deviņos"),
    ("iso-8859-14", "Mae dŵr yn y tŷ"),
    ("iso-8859-15", "Le car coûte 5 €"),
    ("iso-8859-16", "Autobuzul pleacă"),
    ("koi8-r", "Автобус в девять"),
    ("koi8-u", "Автобус о дев'ятій, їдемо"),
    ("macintosh", "Der Bus fährt um neun"),
    ("windows-874", "รถบัสออกเก้าโมง"),
    ("windows-1250", "Autobus odjeżdża"),
    ("windows-1251", "Автобус в девять"),
    ("windows-1252", "The coach – “nine”"),
    ("windows-1253", "Το λεωφορείο"),
    ("windows-1254", "Otobüs şimdi"),
    ("windows-1255", "האוטובוס"),
    ("windows-1256", "الحافلة"),
    ("windows-1257", "Autobuss deviņos"),
    ("windows-1258", "Xe lúc 9"),
    ("x-mac-cyrillic", "Автобус в девять"),
    ("gbk", "九点出发"),
    ("gb18030", "九点出发"),
    ("big5", "九點出發"),
    ("euc-jp", "九時です"),
    ("iso-2022-jp", "九時です"),
    ("shift_jis", "九時です"),
    ("euc-kr", "아홉 시"),
    ("utf-16le", "The café – 九時"),
];

/// One for each charset, transfer encoding and kind of text.
pub fn of_charsets() -> Vec<Letter> {
    let mut letters = Vec::new();
    for (charset, words) in SETS.into_iter().chain([("utf-16be", "The café – 九時")]) {
        let encodings: &[&str] = match charset {
            "us-ascii" | "iso-2022-jp" => &["7bit", "quoted-printable", "base64"],
            // A zero byte cannot be sent as it is, nor a line break of one byte in two be told from another.
            "utf-16le" | "utf-16be" => &["base64"],
            _ => &["8bit", "quoted-printable", "base64"],
        };
        for encoding in encodings {
            for html in [false, true] {
                letters.push(written(charset, words, encoding, html));
            }
        }
    }
    letters
}

fn written(charset: &str, words: &str, encoding: &str, html: bool) -> Letter {
    let text = match html {
        true => format!("<html><head></head><body>\r\n<p>{words}</p>\r\n<p>Ada Fenwick</p>\r\n</body></html>\r\n"),
        false => format!("{words}\r\n\r\nAda Fenwick\r\n"),
    };
    let kind = if html { "html" } else { "plain" };
    let mut bytes = format!(
        "From: Ada Fenwick <ada.fenwick@ours.example>\r\nTo: Ben Sample <ben.sample@partner.example>\r\nSubject: Outing\r\n\
         Date: Mon, 02 Nov 2026 10:00:00 +0000\r\nMessage-ID: <set@ours.example>\r\nMIME-Version: 1.0\r\n\
         Content-Type: text/{kind}; charset={charset}\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n"
    )
    .into_bytes();
    bytes.extend(encoded(&in_charset(&text, charset), encoding));
    Letter {
        name: format!("{charset} {encoding} {kind}"),
        bytes,
        what: "notice".into(),
        behind: "Ada Fenwick".into(),
        front: String::new(),
    }
}

fn in_charset(text: &str, charset: &str) -> Vec<u8> {
    match charset {
        "utf-16le" => text.encode_utf16().flat_map(u16::to_le_bytes).collect(),
        "utf-16be" => text.encode_utf16().flat_map(u16::to_be_bytes).collect(),
        "us-ascii" => text.as_bytes().to_vec(),
        _ => {
            let encoding = encoding_rs::Encoding::for_label(charset.as_bytes()).expect("a known label");
            let (bytes, _, unmappable) = encoding.encode(text);
            assert!(!unmappable, "{charset} cannot write {text}");
            bytes.into_owned()
        }
    }
}

fn encoded(content: &[u8], encoding: &str) -> Vec<u8> {
    match encoding {
        "base64" => {
            let text = STANDARD.encode(content);
            let lines = text.as_bytes().chunks(76).map(|line| [line, b"\r\n"].concat());
            lines.flatten().collect()
        }
        "quoted-printable" => {
            let mut out = Vec::new();
            let mut column = 0;
            for byte in content {
                if column > 70 && *byte != b'\r' && *byte != b'\n' {
                    out.extend(b"=\r\n");
                    column = 0;
                }
                if matches!(byte, b'\r' | b'\n') || (byte.is_ascii_graphic() && *byte != b'=') || *byte == b' ' {
                    out.push(*byte);
                } else {
                    out.extend(format!("={byte:02X}").bytes());
                    column += 2;
                }
                column = if *byte == b'\n' { 0 } else { column + 1 };
            }
            out
        }
        _ => content.to_vec(),
    }
}
