//! SMTP commands (RFC 5321 4.1): one line in, a command or the reply that it deserves out.

use super::Reply;
use crate::{
    mail::{Address, AddressError, ForwardPath, Parameter, ReversePath},
    sensitive::Sensitive,
};

/// A command that we carry out. Paths and parameters are spelled as they came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// With what the client calls itself.
    Ehlo(String),
    Helo(String),
    Mail(ReversePath),
    Rcpt(ForwardPath),
    Data,
    Rset,
    Noop,
    Quit,
    Vrfy,
    Help,
    StartTls,
    /// With the first answer, if it came along (RFC 4954 4).
    Auth(Mechanism, Option<Sensitive<String>>),
    XClient(Vec<Attribute>),
    XForward(Vec<Attribute>),
}

/// What a server says of its client, as XCLIENT and XFORWARD have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attribute {
    /// In capitals.
    pub name: String,
    /// None: it does not know.
    pub value: Option<Sensitive<String>>,
}

/// How a client logs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mechanism {
    Plain,
    Login,
    Other,
}

/// A command without its arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    Ehlo,
    Helo,
    Mail,
    Rcpt,
    Data,
    Rset,
    Noop,
    Quit,
    Vrfy,
    Help,
    StartTls,
    Auth,
    XClient,
    XForward,
}

/// Why a line is not a command of ours. The client's fault in every case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    #[error("no command of SMTP")]
    Unknown,
    #[error("a command that is not offered")]
    NotOffered,
    #[error("the name of the client is missing or malformed")]
    Name,
    #[error("the path is not of the form <local-part@domain>")]
    Path,
    #[error("the path is too long")]
    PathTooLong,
    #[error("the path has a source route")]
    SourceRoute,
    #[error("a recipient without a domain")]
    NoDomain,
    #[error("a parameter is malformed or given twice")]
    Parameter,
    #[error("an argument where none belongs")]
    Argument,
    /// Another protocol speaks to us, most likely with words that someone else put into its mouth: hang up.
    #[error("a request of HTTP")]
    CrossProtocol,
}

impl CommandError {
    pub fn reply(self) -> Reply {
        match self {
            Self::Unknown => Reply::new(500, (5, 5, 2), "Command not recognised"),
            Self::NotOffered => Reply::new(502, (5, 5, 1), "Command not implemented"),
            Self::Name => Reply::new(501, (5, 5, 4), "Name your host: EHLO host.example"),
            Self::Path => Reply::new(501, (5, 5, 4), "Write the address as <local-part@domain>"),
            Self::PathTooLong => Reply::new(501, (5, 1, 3), "Address too long"),
            Self::SourceRoute => Reply::new(501, (5, 1, 3), "Source routes are not accepted"),
            Self::NoDomain => Reply::new(501, (5, 1, 3), "Name the domain of the recipient"),
            Self::Parameter => Reply::new(501, (5, 5, 4), "Parameter malformed or given twice"),
            Self::Argument => Reply::new(501, (5, 5, 4), "This command takes no argument"),
            Self::CrossProtocol => Reply::new(554, (5, 5, 0), "This is a mail server"),
        }
    }
}

impl Command {
    /// Reads one line without its CR LF.
    pub fn parse(line: &[u8]) -> Result<Self, CommandError> {
        let end = line.iter().position(|byte| *byte == b' ').unwrap_or(line.len());
        let (word, rest) = (&line[..end], line[end..].trim_ascii());
        let is = |name: &str| word.eq_ignore_ascii_case(name.as_bytes());
        let alone = |command: Command| if rest.is_empty() { Ok(command) } else { Err(CommandError::Argument) };
        if is("MAIL") {
            return mail(rest).map(Command::Mail);
        }
        if is("RCPT") {
            return rcpt(rest).map(Command::Rcpt);
        }
        match () {
            () if is("DATA") => alone(Command::Data),
            () if is("RSET") => alone(Command::Rset),
            () if is("EHLO") => host(rest).map(Command::Ehlo),
            () if is("HELO") => host(rest).map(Command::Helo),
            () if is("QUIT") => alone(Command::Quit),
            // These may have an argument (RFC 5321 4.1.1.6, 4.1.1.8, 4.1.1.9).
            () if is("NOOP") => Ok(Command::Noop),
            () if is("VRFY") => Ok(Command::Vrfy),
            () if is("HELP") => Ok(Command::Help),
            () if is("STARTTLS") => alone(Command::StartTls),
            () if is("AUTH") => auth(rest),
            () if is("XCLIENT") => attributes(rest).map(Command::XClient),
            () if is("XFORWARD") => attributes(rest).map(Command::XForward),
            () if NOT_OFFERED.iter().any(|name| is(name)) => Err(CommandError::NotOffered),
            () if HTTP.iter().any(|name| is(name)) => Err(CommandError::CrossProtocol),
            () => Err(CommandError::Unknown),
        }
    }

    pub fn verb(&self) -> Verb {
        match self {
            Self::Ehlo(_) => Verb::Ehlo,
            Self::Helo(_) => Verb::Helo,
            Self::Mail(_) => Verb::Mail,
            Self::Rcpt(_) => Verb::Rcpt,
            Self::Data => Verb::Data,
            Self::Rset => Verb::Rset,
            Self::Noop => Verb::Noop,
            Self::Quit => Verb::Quit,
            Self::Vrfy => Verb::Vrfy,
            Self::Help => Verb::Help,
            Self::StartTls => Verb::StartTls,
            Self::Auth(..) => Verb::Auth,
            Self::XClient(_) => Verb::XClient,
            Self::XForward(_) => Verb::XForward,
        }
    }
}

/// Known, and not for us: 502 and not 500 (RFC 5321 4.2.4).
const NOT_OFFERED: &[&str] = &["BDAT", "BURL", "EXPN", "TURN", "ETRN", "ATRN", "SEND", "SOML", "SAML", "LHLO"];

/// First words of HTTP, its headers included.
const HTTP: &[&str] =
    &["GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "CONNECT", "TRACE", "PATCH", "PRI", "Host:", "User-Agent:"];

/// What a client calls itself: domain or address literal. Many clients write what is neither, so any visible ASCII is
/// taken, but nothing that could end a header or a comment when it is written into Received.
fn host(rest: &[u8]) -> Result<String, CommandError> {
    let fits = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._:[]".contains(byte);
    match std::str::from_utf8(rest) {
        Ok(name) if !name.is_empty() && name.len() <= 255 && rest.iter().all(fits) => Ok(name.to_owned()),
        _ => Err(CommandError::Name),
    }
}

fn auth(rest: &[u8]) -> Result<Command, CommandError> {
    let text = std::str::from_utf8(rest).map_err(|_| CommandError::Parameter)?;
    let mut words = text.split(' ');
    let mechanism = match words.next().unwrap_or_default().to_ascii_uppercase().as_str() {
        "" => return Err(CommandError::Parameter),
        "PLAIN" => Mechanism::Plain,
        "LOGIN" => Mechanism::Login,
        _ => Mechanism::Other,
    };
    let initial = words.next().map(|word| Sensitive::new(word.to_owned()));
    if words.next().is_some() { Err(CommandError::Parameter) } else { Ok(Command::Auth(mechanism, initial)) }
}

/// `NAME=value` each, the value in xtext (RFC 3461 4), none of them twice.
fn attributes(rest: &[u8]) -> Result<Vec<Attribute>, CommandError> {
    let text = std::str::from_utf8(rest).map_err(|_| CommandError::Parameter)?;
    let mut found: Vec<Attribute> = Vec::new();
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        let (name, value) = word.split_once('=').ok_or(CommandError::Parameter)?;
        let unknown = ["[UNAVAILABLE]", "[TEMPUNAVAIL]"].iter().any(|unknown| value.eq_ignore_ascii_case(unknown));
        let value = if unknown { None } else { Some(from_xtext(value).ok_or(CommandError::Parameter)?.into()) };
        let name = name.to_ascii_uppercase();
        if found.iter().any(|earlier| earlier.name == name) {
            return Err(CommandError::Parameter);
        }
        found.push(Attribute { name, value });
    }
    Ok(found)
}

/// None also where it holds a control character: it would end a line elsewhere.
fn from_xtext(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'+' {
            out.push(byte);
            continue;
        }
        let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
        let (high, low) = (digit(bytes.next())?, digit(bytes.next())?);
        out.push(u8::try_from(16 * high + low).ok()?);
    }
    String::from_utf8(out).ok().filter(|text| !text.contains(char::is_control))
}

fn mail(rest: &[u8]) -> Result<ReversePath, CommandError> {
    let (path, rest) = path(rest, "FROM:")?;
    let address = if path.is_empty() { None } else { Some(address(path)?) };
    Ok(ReversePath { address, parameters: parameters(rest)? })
}

fn rcpt(rest: &[u8]) -> Result<ForwardPath, CommandError> {
    let (path, rest) = path(rest, "TO:")?;
    // `<Postmaster>` (RFC 5321 4.5.1) is local mail; here all mail goes on, so a domain is needed.
    if !path.is_empty() && !path.contains('@') {
        return Err(CommandError::NoDomain);
    }
    Ok(ForwardPath { address: address(path)?, parameters: parameters(rest)? })
}

fn address(path: &str) -> Result<Address, CommandError> {
    Address::parse(path).map_err(|error| match error {
        AddressError::Syntax => CommandError::Path,
        AddressError::TooLong => CommandError::PathTooLong,
        AddressError::SourceRoute => CommandError::SourceRoute,
    })
}

/// What stands between the angle brackets behind `keyword`, and the rest of the line. A space behind the colon is wrong
/// (RFC 5321 3.3) and common.
fn path<'a>(rest: &'a [u8], keyword: &str) -> Result<(&'a str, &'a str), CommandError> {
    let text = std::str::from_utf8(rest).map_err(|_| CommandError::Path)?;
    match text.get(..keyword.len()) {
        Some(start) if start.eq_ignore_ascii_case(keyword) => {}
        _ => return Err(CommandError::Path),
    }
    let text = text[keyword.len()..].trim_start_matches(' ').strip_prefix('<').ok_or(CommandError::Path)?;
    let end = closing_bracket(text).ok_or(CommandError::Path)?;
    let rest = &text[end + 1..];
    if !rest.is_empty() && !rest.starts_with(' ') {
        return Err(CommandError::Path);
    }
    Ok((&text[..end], rest))
}

/// The first `>` outside a quoted string.
fn closing_bracket(text: &str) -> Option<usize> {
    let (mut quoted, mut escaped) = (false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'>' if !quoted => return Some(at),
            _ => {}
        }
    }
    None
}

/// `keyword[=value]`, separated by spaces (RFC 5321 4.1.2; UTF-8 in values by RFC 6531 3.3), none of them twice.
fn parameters(rest: &str) -> Result<Vec<Parameter>, CommandError> {
    let mut seen: Vec<Parameter> = Vec::new();
    for word in rest.split(' ').filter(|word| !word.is_empty()) {
        let parameter = Parameter::new(word);
        let keyword = parameter.keyword();
        let named = keyword.starts_with(|c: char| c.is_ascii_alphanumeric())
            && keyword.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        let valued = parameter
            .value()
            .is_none_or(|value| !value.is_empty() && value.chars().all(|c| c != '=' && !c.is_control()));
        if !named || !valued || seen.iter().any(|earlier| earlier.is(keyword)) {
            return Err(CommandError::Parameter);
        }
        seen.push(parameter);
    }
    Ok(seen)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sender(line: &str) -> (Option<String>, Vec<String>) {
        match Command::parse(line.as_bytes()) {
            Ok(Command::Mail(path)) => (
                path.address.map(|address| address.as_str().to_owned()),
                path.parameters.iter().map(|parameter| parameter.as_written().to_owned()).collect(),
            ),
            other => panic!("{line}: {other:?}"),
        }
    }

    fn recipient(line: &str) -> String {
        match Command::parse(line.as_bytes()) {
            Ok(Command::Rcpt(path)) => path.address.as_str().to_owned(),
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn paths_and_parameters_stay_as_written() {
        assert_eq!(sender("MAIL FROM:<>"), (None, vec![]));
        assert_eq!(sender("mail from: <A.b@C.example>  Size=12 body=8bitmime"), {
            (Some("A.b@C.example".into()), vec!["Size=12".into(), "body=8bitmime".into()])
        });
        assert_eq!(sender("MAIL FROM:<\"a>b\"@c.example> RET=HDRS ENVID=QQ+3D314159").0.unwrap(), "\"a>b\"@c.example");
        assert_eq!(sender("MAIL FROM:<grün@bücher.example> SMTPUTF8").0.unwrap(), "grün@bücher.example");
        assert_eq!(recipient("RCPT TO:<\"a b\"@c.example> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;a+20b@c.example"), {
            "\"a b\"@c.example"
        });
        assert_eq!(recipient("rcpt to:<postmaster@[192.0.2.1]>"), "postmaster@[192.0.2.1]");
    }

    #[test]
    fn words_and_their_arguments() {
        assert_eq!(Command::parse(b"ehlo gate.example "), Ok(Command::Ehlo("gate.example".into())));
        assert_eq!(Command::parse(b"EHLO [IPv6:::1]"), Ok(Command::Ehlo("[IPv6:::1]".into())));
        assert_eq!(Command::parse(b"HELO a_b"), Ok(Command::Helo("a_b".into())));
        for (line, command) in [
            ("DATA", Command::Data),
            ("data ", Command::Data),
            ("Rset", Command::Rset),
            ("NOOP", Command::Noop),
            ("NOOP anything", Command::Noop),
            ("VRFY someone", Command::Vrfy),
            ("HELP MAIL", Command::Help),
            ("QUIT", Command::Quit),
            ("STARTTLS", Command::StartTls),
            ("auth plain", Command::Auth(Mechanism::Plain, None)),
            ("AUTH LOGIN YW5u", Command::Auth(Mechanism::Login, Some("YW5u".to_string().into()))),
            ("xclient addr=192.0.2.1 LOGIN=a+40b Name=[unavailable]", {
                let known =
                    |name: &str, value: &str| Attribute { name: name.into(), value: Some(value.to_string().into()) };
                let name = Attribute { name: "NAME".into(), value: None };
                Command::XClient(vec![known("ADDR", "192.0.2.1"), known("LOGIN", "a@b"), name])
            }),
            ("XFORWARD", Command::XForward(vec![])),
            ("AUTH CRAM-MD5", Command::Auth(Mechanism::Other, None)),
        ] {
            assert_eq!(Command::parse(line.as_bytes()), Ok(command), "{line}");
        }
    }

    #[test]
    fn what_is_refused_and_how() {
        use CommandError::*;
        let long = format!("RCPT TO:<{}@b.example>", "a".repeat(65));
        for (line, error, code) in [
            ("", Unknown, 500),
            ("BLAH", Unknown, 500),
            ("MAILFROM:<a@b.example>", Unknown, 500),
            ("AUTH", Parameter, 501),
            ("XCLIENT ADDR", Parameter, 501),
            ("XCLIENT ADDR=a addr=b", Parameter, 501),
            ("XCLIENT LOGIN=a+0Db", Parameter, 501),
            ("XCLIENT LOGIN=a+4", Parameter, 501),
            ("AUTH PLAIN a b", Parameter, 501),
            ("ETRN x", NotOffered, 502),
            ("BDAT 5 LAST", NotOffered, 502),
            ("EHLO", Name, 501),
            ("EHLO a(b", Name, 501),
            ("EHLO grün", Name, 501),
            ("DATA now", Argument, 501),
            ("QUIT please", Argument, 501),
            ("MAIL a@b.example", Path, 501),
            ("MAIL FROM:a@b.example", Path, 501),
            ("MAIL FROM:<a@b.example", Path, 501),
            ("MAIL FROM:<a@b.example>SIZE=1", Path, 501),
            ("MAIL FROM:<a@b.example> SIZE=1 size=2", Parameter, 501),
            ("MAIL FROM:<a@b.example> SIZE=", Parameter, 501),
            ("MAIL FROM:<a@b.example> =1", Parameter, 501),
            ("MAIL FROM:<a@b.example> A=b=c", Parameter, 501),
            ("RCPT TO:<>", Path, 501),
            ("RCPT TO:<Postmaster>", NoDomain, 501),
            ("RCPT TO:<@a.example:b@c.example>", SourceRoute, 501),
            (&long, PathTooLong, 501),
            ("GET / HTTP/1.1", CrossProtocol, 554),
            ("POST / HTTP/1.1", CrossProtocol, 554),
            ("Host: gate.example", CrossProtocol, 554),
        ] {
            assert_eq!(Command::parse(line.as_bytes()), Err(error), "{line}");
            assert_eq!(error.reply().code(), code, "{line}");
        }
        assert_eq!(Command::parse(b"MAIL FROM:<\xff@b.example>"), Err(Path));
    }

    proptest! {
        #[test]
        fn no_line_panics_and_no_path_has_a_control(line in proptest::collection::vec(any::<u8>(), 0..80),
                                                     verb in "(MAIL FROM:<|RCPT TO:<|EHLO |)") {
            let line = [verb.as_bytes(), &line].concat();
            let spelled = match Command::parse(&line) {
                Ok(Command::Mail(path)) => path.address.map(|address| address.as_str().to_owned()),
                Ok(Command::Rcpt(path)) => Some(path.address.as_str().to_owned()),
                Ok(Command::Ehlo(name)) => Some(name),
                _ => None,
            };
            prop_assert!(spelled.is_none_or(|text| !text.chars().any(char::is_control)));
        }
    }
}
