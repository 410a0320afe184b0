//! Headers of a SIP message: where they are, and the addresses and numbers in them.
//!
//! Everything here works on one message (the slice) and answers with places in it. A header begins a line,
//! in its long or its one-letter form; its value goes on in lines that begin with a blank. The peculiarities
//! are the kernel's, and said where they are.

use std::net::IpAddr;
use std::ops::Range;

use palisade_wire::{Family, proto};

use super::address::{self, Brackets};

/// Port of an address that names none.
const DEFAULT_PORT: u16 = 5060;

/// Headers that are read (kernel `enum sip_header_types`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Cseq,
    From,
    To,
    Contact,
    ViaUdp,
    ViaTcp,
    Expires,
    ContentLength,
}

/// What is looked for in a header's value.
enum Value {
    Digits,
    /// An address with its port.
    Address,
    /// The same, perhaps behind a user and `@`.
    UserAddress,
}

impl Kind {
    /// Name, one-letter name, and what stands before the value within the header (kernel `ct_sip_hdrs`).
    fn spelling(self) -> (&'static [u8], Option<u8>, Option<&'static [u8]>) {
        match self {
            Kind::Cseq => (b"CSeq", None, None),
            Kind::From => (b"From", Some(b'f'), Some(b"sip:")),
            Kind::To => (b"To", Some(b't'), Some(b"sip:")),
            Kind::Contact => (b"Contact", Some(b'm'), Some(b"sip:")),
            Kind::ViaUdp => (b"Via", Some(b'v'), Some(b"UDP ")),
            Kind::ViaTcp => (b"Via", Some(b'v'), Some(b"TCP ")),
            Kind::Expires => (b"Expires", None, None),
            Kind::ContentLength => (b"Content-Length", Some(b'l'), None),
        }
    }

    fn value(self) -> Value {
        match self {
            Kind::Cseq | Kind::Expires | Kind::ContentLength => Value::Digits,
            Kind::ViaUdp | Kind::ViaTcp => Value::Address,
            Kind::From | Kind::To | Kind::Contact => Value::UserAddress,
        }
    }

    /// The value that begins at `at`, if it is one.
    fn measure(self, text: &[u8], family: Family, at: usize) -> Option<Range<usize>> {
        let rest = text.get(at..)?;
        match self.value() {
            Value::Digits => {
                let length = rest.iter().take_while(|b| b.is_ascii_digit()).count();
                (length > 0).then(|| at..at + length)
            }
            Value::Address => uri(rest, family).map(|(_, length)| at..at + length),
            Value::UserAddress => {
                let at = at + behind_user(rest);
                uri(text.get(at..)?, family).map(|(_, length)| at..at + length)
            }
        }
    }
}

/// What a search found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// No such header (or one that only begins with its name).
    No,
    /// The header, and its value is no good. A further search goes on from here.
    Garbled(usize),
    /// Where the value stands.
    At(Range<usize>),
}

impl Found {
    /// The place of a good value.
    pub(super) fn place(self) -> Option<Range<usize>> {
        match self {
            Found::At(place) => Some(place),
            Found::No | Found::Garbled(_) => None,
        }
    }
}

/// An address with its port, and where both stand.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Uri {
    pub(super) at: Range<usize>,
    pub(super) address: IpAddr,
    pub(super) port: u16,
}

/// Kernel `isalpha`, which takes the letters of Latin-1 for letters.
pub(super) fn is_letter(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte >= 0xc0 && byte != 0xd7 && byte != 0xf7
}

fn is_newline(byte: u8) -> bool {
    matches!(byte, b'\r' | b'\n')
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// Whether `text` begins with `word`, in whatever case.
pub(super) fn begins(text: &[u8], word: &[u8]) -> bool {
    text.get(..word.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(word))
}

/// A decimal number and how many digits it has; 0 and 0 when there is none or it needs more than 32 bits or
/// eleven digits (kernel `sip_strtouint`).
pub(super) fn number(text: &[u8]) -> (u32, usize) {
    /// Digits beyond which even zeros are refused.
    const DIGITS: usize = 11;
    let digits = text.iter().take_while(|b| b.is_ascii_digit());
    let mut value = 0u32;
    let mut count = 0;
    for digit in digits {
        let next = value
            .checked_mul(10)
            .and_then(|v| v.checked_add(u32::from(digit - b'0')));
        match next {
            Some(next) if count < DIGITS => value = next,
            _ => return (0, 0),
        }
        count += 1;
    }
    (value, count)
}

/// The place behind a line's end (`\r`, `\n` or both, beginning at `at`) and the next one's leading blanks;
/// `None` when the next line has none and so is another header (kernel `sip_follow_continuation`).
fn follow(text: &[u8], at: usize) -> Option<usize> {
    let mut at = at + 1;
    if text.get(at)? == &b'\n' && text.get(at - 1) == Some(&b'\r') {
        at += 1;
    }
    if !is_blank(*text.get(at)?) {
        return None;
    }
    let blanks = text.get(at..)?.iter().take_while(|b| is_blank(**b)).count();
    Some(at + blanks)
}

/// Behind blanks and at most one line's end (kernel `sip_skip_whitespace`).
fn skip_blanks(text: &[u8], at: usize) -> Option<usize> {
    let blanks = text.get(at..)?.iter().take_while(|b| is_blank(**b)).count();
    let mut at = at + blanks;
    if is_newline(*text.get(at)?) {
        at = follow(text, at)?;
    }
    (at < text.len()).then_some(at)
}

/// The place of `needle` within a header's value (kernel `ct_sip_header_search`). A byte must follow it, and
/// it is not found as the very first thing in a continued line.
fn search(text: &[u8], from: usize, needle: &[u8]) -> Option<usize> {
    let text_before = text.get(..text.len().checked_sub(needle.len())?)?;
    let mut at = from;
    while let Some(&byte) = text_before.get(at) {
        if is_newline(byte) {
            at = follow(text_before, at)?;
        } else if begins(&text[at..], needle) {
            return Some(at);
        }
        at += 1;
    }
    None
}

/// The first place behind the next line's end at or behind `at`, if anything stands there.
pub(super) fn next_line(text: &[u8], at: usize) -> Option<usize> {
    let newline = text.get(at..)?.iter().position(|b| is_newline(*b))?;
    let mut at = at + newline + 1;
    if text.get(at)? == &b'\n' && text.get(at - 1) == Some(&b'\r') {
        at += 1;
    }
    (at < text.len()).then_some(at)
}

/// The first header of a kind in the lines behind `from` (kernel `ct_sip_get_header`). A header whose name
/// only begins like it ends the search.
pub(super) fn find(text: &[u8], family: Family, from: usize, kind: Kind) -> Found {
    let (name, letter, before) = kind.spelling();
    let mut at = from;
    while let Some(line) = next_line(text, at) {
        at = line;
        let rest = &text[line..];
        let long = begins(rest, name);
        let short = letter.is_some_and(|letter| {
            rest.first()
                .is_some_and(|b| b.eq_ignore_ascii_case(&letter))
                && rest.get(1).is_some_and(|b| !is_letter(*b))
        });
        if !long && !short {
            // The kernel takes the next byte for looked at, so that an empty line's end is not seen.
            at += 1;
            continue;
        }
        let name_end = line + if long { name.len() } else { 1 };
        let colon = skip_blanks(text, name_end).filter(|at| text.get(*at) == Some(&b':'));
        let Some(start) = colon.and_then(|at| skip_blanks(text, at + 1)) else {
            return Found::No;
        };
        let value = match before {
            Some(needle) => search(text, start, needle).map(|at| at + needle.len()),
            None => Some(start),
        };
        return match value.and_then(|at| kind.measure(text, family, at)) {
            Some(place) => Found::At(place),
            None => Found::Garbled(start),
        };
    }
    Found::No
}

/// The next value behind a comma in the same header (kernel `ct_sip_next_header`).
fn find_next(text: &[u8], family: Family, from: usize, kind: Kind) -> Found {
    let (.., before) = kind.spelling();
    let needle = before.unwrap_or_default();
    let start = search(text, from, b",").and_then(|comma| search(text, comma, needle));
    let Some(start) = start.map(|at| at + needle.len()) else {
        return Found::No;
    };
    match kind.measure(text, family, start) {
        Some(place) => Found::At(place),
        None => Found::Garbled(start),
    }
}

/// Goes through all addresses of one kind of header (kernel `ct_sip_walk_headers` and
/// `ct_sip_parse_header_uri`); values that are no addresses (names, mostly) are passed over.
#[derive(Debug)]
pub(super) struct Uris {
    kind: Kind,
    family: Family,
    /// Where the next search begins. Whoever changes the text before it moves it.
    pub(super) from: usize,
    in_header: bool,
}

impl Uris {
    pub(super) fn new(kind: Kind, family: Family) -> Self {
        Uris {
            kind,
            family,
            from: 0,
            in_header: false,
        }
    }

    pub(super) fn next(&mut self, text: &[u8]) -> Option<Uri> {
        let mut from = self.from;
        while self.in_header {
            match find_next(text, self.family, from, self.kind) {
                Found::At(place) => return self.found(text, place),
                Found::Garbled(at) => from = at,
                Found::No => self.in_header = false,
            }
        }
        loop {
            match find(text, self.family, from, self.kind) {
                Found::At(place) => {
                    self.in_header = true;
                    return self.found(text, place);
                }
                Found::Garbled(at) => from = at,
                Found::No => return None,
            }
        }
    }

    fn found(&mut self, text: &[u8], at: Range<usize>) -> Option<Uri> {
        let ((address, port), _) = uri(text.get(at.start..)?, self.family)?;
        self.from = at.end;
        Some(Uri { at, address, port })
    }
}

/// The first address of one kind of header.
pub(super) fn first_uri(text: &[u8], family: Family, kind: Kind) -> Option<Uri> {
    Uris::new(kind, family).next(text)
}

/// How much of a URI is a user and the `@` behind it (kernel `skp_epaddr_len`).
fn behind_user(text: &[u8]) -> usize {
    let end = text.iter().position(|b| *b == b'@' || is_newline(*b));
    match end {
        Some(at) if text.get(at) == Some(&b'@') => at + 1,
        _ => 0,
    }
}

/// Address and port at the start of `text`, and their length (kernel `sip_parse_addr` and
/// `sip_parse_port`).
fn uri(text: &[u8], family: Family) -> Option<((IpAddr, u16), usize)> {
    let (address, length) = address::parse(text, family, Brackets::Needed)?;
    let (port, digits) = port(text.get(length..)?)?;
    Some(((address, port), length + digits))
}

/// A colon and a port from 1024 on, or neither; something must follow (kernel `sip_parse_port`).
fn port(text: &[u8]) -> Option<(u16, usize)> {
    let (first, rest) = text.split_first()?;
    if *first != b':' {
        return Some((DEFAULT_PORT, 0));
    }
    let digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
    if !(1..=5).contains(&digits) || digits == rest.len() {
        return None;
    }
    let (value, _) = number(rest);
    let port = u16::try_from(value).ok().filter(|p| *p >= 1024)?;
    Some((port, 1 + digits))
}

/// Address and port of a request's URI (kernel `ct_sip_parse_request`).
pub(super) fn request_uri(text: &[u8], family: Family) -> Option<Uri> {
    const SCHEME: &[u8] = b"sip:";
    let method = text.iter().take_while(|b| is_letter(**b)).count();
    if method == 0 {
        return None;
    }
    let last = text.len().checked_sub(SCHEME.len())?;
    let mut at = method + 1;
    while at < last {
        if is_newline(*text.get(at)?) {
            return None;
        }
        if begins(&text[at..], SCHEME) {
            at += SCHEME.len();
            break;
        }
        at += 1;
    }
    let rest = text.get(at..)?;
    let start = at + behind_user(rest);
    let ((address, port), length) = uri(text.get(start..)?, family)?;
    Some(Uri {
        at: start..start + length,
        address,
        port,
    })
}

/// Where a parameter's value begins, and where the value that it belongs to ends: at a comma or with the
/// message.
fn parameter(text: &[u8], from: usize, name: &[u8]) -> Option<(usize, usize)> {
    let limit = search(text, from, b",").unwrap_or(text.len());
    let start = search(text.get(..limit)?, from, name)?;
    Some((start + name.len(), limit))
}

/// An address as a parameter (kernel `ct_sip_parse_address_param`).
pub(super) fn address_parameter(
    text: &[u8],
    family: Family,
    from: usize,
    name: &[u8],
    brackets: Brackets,
) -> Option<(Range<usize>, IpAddr)> {
    let (start, limit) = parameter(text, from, name)?;
    let (address, length) = address::parse(text.get(start..limit)?, family, brackets)?;
    Some((start..start + length, address))
}

/// A number as a parameter: `Some(None)` when it is there and no number (kernel
/// `ct_sip_parse_numerical_param`).
pub(super) fn number_parameter(
    text: &[u8],
    from: usize,
    name: &[u8],
) -> Option<Option<(Range<usize>, u32)>> {
    let (start, limit) = parameter(text, from, name)?;
    let (value, digits) = number(text.get(start..limit)?);
    Some((digits > 0).then(|| (start..start + digits, value)))
}

/// Whether a URI asks for the protocol of this connection, or for none (kernel
/// `ct_sip_parse_transport`).
pub(super) fn same_transport(text: &[u8], from: usize, protocol: u8) -> bool {
    let Some((start, _)) = parameter(text, from, b"transport=") else {
        return true;
    };
    let rest = text.get(start..).unwrap_or_default();
    begins(rest, b"TCP") && protocol == proto::TCP || begins(rest, b"UDP") && protocol == proto::UDP
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The found text, "-" when there is none, "?" when it is garbled.
    fn found(text: &str, kind: Kind) -> &str {
        match find(text.as_bytes(), Family::V4, 0, kind) {
            Found::At(place) => &text[place],
            Found::Garbled(_) => "?",
            Found::No => "-",
        }
    }

    #[test]
    fn headers_are_found_in_all_their_forms() {
        for (text, kind, value) in [
            ("X\r\nCSeq: 17 INVITE\r\n", Kind::Cseq, "17"),
            ("X\r\ncseq\t :\r\n  17 INVITE\r\n", Kind::Cseq, "17"),
            ("X\nCSEQ:17", Kind::Cseq, "17"),
            ("X\rCSeq:17", Kind::Cseq, "17"),
            ("X\r\nl:3\r\n", Kind::ContentLength, "3"),
            ("X\r\nlength:3\r\n", Kind::ContentLength, "-"),
            ("X\r\nCSeq: x\r\n", Kind::Cseq, "?"),
            ("X\r\nCSeq\r\n: 1\r\n", Kind::Cseq, "-"),
            ("X\r\nCSeq:\r\n \r\n 1\r\n", Kind::Cseq, "?"),
            ("X\r\nCSeq:", Kind::Cseq, "-"),
            ("CSeq: 1\r\n", Kind::Cseq, "-"),
            // A name that only begins like it ends the search.
            ("X\r\nCSequence: 1\r\nCSeq: 2\r\n", Kind::Cseq, "-"),
            // A line is not seen behind the second of two equal newlines, but behind an empty line of two bytes.
            ("X\n\nCSeq: 1\n", Kind::Cseq, "-"),
            ("X\r\n\r\nCSeq: 1\r\n", Kind::Cseq, "1"),
            ("X\r\n CSeq: 1\r\n", Kind::Cseq, "-"),
            (
                "X\r\nVia: SIP/2.0/UDP 10.0.0.2:5060;x\r\n",
                Kind::ViaUdp,
                "10.0.0.2:5060",
            ),
            (
                "X\r\nv: SIP/2.0/udp 10.0.0.2;x\r\n",
                Kind::ViaUdp,
                "10.0.0.2",
            ),
            ("X\r\nVia: SIP/2.0/UDP  10.0.0.2\r\n", Kind::ViaUdp, "?"),
            ("X\r\nVia: SIP/2.0/UDP me@10.0.0.2\r\n", Kind::ViaUdp, "?"),
            ("X\r\nVia: SIP/2.0/UDP 10.0.0.2\r\n", Kind::ViaTcp, "?"),
            (
                "X\r\nContact: <sip:a@10.0.0.2>\r\n",
                Kind::Contact,
                "10.0.0.2",
            ),
            ("X\r\nm: sip:10.0.0.2:7060;x=a@b\r\n", Kind::Contact, "?"),
            (
                "X\r\nm: sip:10.0.0.2:7060;x=b\r\n",
                Kind::Contact,
                "10.0.0.2:7060",
            ),
            // Something must follow what is searched for, and a port.
            ("X\r\nm: sip:10.0.0.2", Kind::Contact, "?"),
            ("X\r\nm: sip:10.0.0.2:7060", Kind::Contact, "?"),
            (
                "X\r\nm: \"A\"\r\n <sip:10.0.0.2>",
                Kind::Contact,
                "10.0.0.2",
            ),
            ("X\r\nm: \"A\"\r\n sip:10.0.0.2>", Kind::Contact, "?"),
        ] {
            assert_eq!(found(text, kind), value, "{text:?}");
        }
    }

    #[test]
    fn ports_are_from_1024_on_and_followed_by_something() {
        for (text, expect) in [
            (";", Some((5060, 0))),
            (":5061;", Some((5061, 5))),
            (":05061;", Some((5061, 6))),
            (":1024>", Some((1024, 5))),
            (":1023>", None),
            (":65535>", Some((65_535, 6))),
            (":65536>", None),
            (":005061>", None),
            (":>", None),
            (":5061", None),
            ("", None),
        ] {
            assert_eq!(port(text.as_bytes()), expect, "{text}");
        }
    }

    #[test]
    fn numbers_have_32_bits_and_eleven_digits() {
        for (text, expect) in [
            ("17;", (17, 2)),
            ("4294967295", (u32::MAX, 10)),
            ("4294967296", (0, 0)),
            ("04294967295", (u32::MAX, 11)),
            ("004294967295", (0, 0)),
            ("000000000000", (0, 0)),
            ("x", (0, 0)),
            ("", (0, 0)),
        ] {
            assert_eq!(number(text.as_bytes()), expect, "{text}");
        }
    }

    #[test]
    fn all_addresses_of_a_kind_of_header_in_their_order() {
        let text = "X\r\nContact: <sip:a@10.0.0.1>;q=1, <sip:b@name>,\r\n <sip:c@10.0.0.2:7000>\r\n\
                    To: x\r\nm: <sip:d@name>, <sip:e@10.0.0.3>\r\nm: sip:10.0.0.4\r\n\r\n";
        let mut uris = Uris::new(Kind::Contact, Family::V4);
        let mut all = Vec::new();
        while let Some(uri) = uris.next(text.as_bytes()) {
            all.push((uri.address.to_string(), uri.port));
        }
        // The one behind a name is found only when the header began with an address.
        let expect = [("10.0.0.1", 5060), ("10.0.0.2", 7000), ("10.0.0.4", 5060)];
        assert_eq!(all, expect.map(|(a, p)| (a.to_string(), p)));
    }

    #[test]
    fn parameters_end_with_their_value() {
        let text = b"10.0.0.2;Expires=60;rport=5060;received=10.0.0.9, 10.0.0.3;maddr=10.0.0.8\r\n";
        assert_eq!(
            number_parameter(text, 0, b"expires="),
            Some(Some((17..19, 60)))
        );
        assert_eq!(
            number_parameter(text, 0, b"received="),
            Some(Some((40..42, 10)))
        );
        assert_eq!(number_parameter(text, 0, b"maddr="), None);
        let found = address_parameter(text, Family::V4, 0, b"received=", Brackets::Optional);
        assert_eq!(found.map(|(at, _)| at), Some(40..48));
        // Up to the comma, or to the end when nothing but the value is left.
        assert_eq!(
            number_parameter(b"a;expires=x;", 0, b"expires="),
            Some(None)
        );
        assert_eq!(number_parameter(b"a;expires=", 0, b"expires="), None);
        for (text, protocol, same) in [
            (b"a>\r\n".as_slice(), proto::UDP, true),
            (b"a;transport=udp>\r\n", proto::UDP, true),
            (b"a;transport=udp>\r\n", proto::TCP, false),
            (b"a;transport=TCPx\r\n", proto::TCP, true),
            (b"a;transport=tls\r\n", proto::TCP, false),
        ] {
            assert_eq!(same_transport(text, 0, protocol), same);
        }
    }

    #[test]
    fn the_address_of_a_request() {
        for (text, expect) in [
            (
                "INVITE sip:bob@10.0.0.2:5070 SIP/2.0\r\n",
                Some("10.0.0.2:5070"),
            ),
            ("X SIP:10.0.0.2 SIP/2.0\r\n", Some("10.0.0.2")),
            ("X <sip:10.0.0.2> SIP/2.0\r\n", Some("10.0.0.2")),
            ("X sip:bob@name SIP/2.0\r\n", None),
            ("X \r\nsip:10.0.0.2 SIP/2.0\r\n", None),
            ("X sips:10.0.0.2 SIP/2.0\r\n", None),
            (" sip:10.0.0.2 SIP/2.0\r\n", None),
            ("X", None),
            ("X ", None),
            ("INVITE", None),
        ] {
            let found = request_uri(text.as_bytes(), Family::V4);
            assert_eq!(found.map(|uri| &text[uri.at]), expect, "{text}");
        }
    }
}
