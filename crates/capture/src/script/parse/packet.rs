//! Packet lines and shorthands.

use std::net::{IpAddr, Ipv4Addr};

use palisade_wire::{Family, tcp::flags};

use super::Parser;
use super::cursor::{Cursor, Parsed, hex, mac, number, unknown};
use super::end::{Ends, ends, wants_v6};
use super::expect::reference;
use super::list::{extensions, list, ranges};
use super::tcp::{sequence_number, tcp_flags, tcp_options};
use crate::script::MAX_PAYLOAD;
use crate::script::diagnostic::ScriptDiagnostic;
use crate::script::lex::{Kind, Token};
use crate::script::link::{FrameKind, Link, Way};
use crate::script::model::{
    Answered, Counted, Cut, Damage, Fragments, IcmpRest, IcmpSpec, IpFields, Number, Payload,
    Quote, Reference, Send, TcpOption, TcpSpec, What,
};
use crate::script::names;

/// Words that any packet line may have.
const COMMON: &[&str] = &[
    "ttl",
    "tos",
    "ipid",
    "df",
    "ipopt",
    "ext",
    "badsum",
    "badipsum",
    "truncate",
    "in",
    "out",
    "mac",
    "pkttype",
    "uid",
    "gid",
    "lost",
    "fragments",
    "pieces",
    "fragment-at",
    "order",
    "len",
    "ip4",
    "ip6",
];

/// Highest number of a user or group: the one above means nobody.
const MAX_ID: u64 = u32::MAX as u64 - 1;

const PROTOCOLS: &[&str] = &["tcp", "udp", "sctp", "icmp", "icmp6", "proto"];

/// A packet line or a shorthand, without its label.
pub(super) fn parse(parser: &Parser, label: Option<String>, tokens: &[Token<'_>]) -> Parsed<Send> {
    let mut cursor = Cursor::new(tokens);
    let shorthand = ["handshake", "close", "ping", "dns"]
        .into_iter()
        .find(|word| cursor.takes(word));
    let answers = match shorthand {
        None if is_answer(tokens) => Some(answered(parser, &mut cursor)?),
        _ => None,
    };
    let Ends {
        from,
        to,
        from_span,
        to_span,
    } = match &answers {
        Some((ends, _)) => *ends,
        None => ends(parser, &mut cursor, wants_v6(tokens))?,
    };
    let mut send = Send {
        label,
        from,
        to,
        answers: answers.map(|(_, answered)| answered),
        what: What::Close,
        ip: IpFields::default(),
        link: Link::default(),
        damage: Damage::default(),
        lost: false,
        fragments: None,
        from_span,
        to_span,
    };
    let mut line = Line {
        parser,
        cursor,
        send: &mut send,
        payload: Payload::default(),
    };
    let what = match shorthand {
        Some(word) => line.shorthand(word)?,
        None => {
            let protocol = line
                .cursor
                .word("a protocol: tcp, udp, sctp, icmp or proto")?;
            match protocol.text {
                "tcp" => line.tcp()?,
                "udp" => line.udp()?,
                "sctp" => line.sctp()?,
                "icmp" | "icmp6" => line.icmp()?,
                "proto" => line.raw()?,
                _ => return Err(unknown("protocol", protocol, PROTOCOLS.iter().copied())),
            }
        }
    };
    let has_ports = matches!(
        what,
        What::Tcp(_) | What::Udp { .. } | What::Sctp(_) | What::Handshake { .. } | What::Close
    );
    let dns = matches!(what, What::Dns { .. });
    send.what = what;
    if send.answers.is_some() && !has_ports {
        // An error about a segment has no ports of its own.
        (send.from.port, send.to.port) = (None, None);
    }
    for (end, span) in [(&send.from, from_span), (&send.to, to_span)] {
        match end.port {
            None if has_ports && send.answers.is_some() => {
                return Err(ScriptDiagnostic::new(
                    "no-port",
                    span,
                    "the packet that is answered has no ports",
                ));
            }
            None if has_ports => {
                return Err(ScriptDiagnostic::new("no-port", span, "a port is missing")
                    .help("as in `client:40000`"));
            }
            Some(_) if !has_ports && !dns => {
                return Err(ScriptDiagnostic::new(
                    "no-port",
                    span,
                    "this protocol has no ports",
                ));
            }
            _ => {}
        }
    }
    if send.fragments.is_some() && matches!(send.what, What::Handshake { .. } | What::Close) {
        return Err(ScriptDiagnostic::new(
            "wrong-word",
            from_span,
            "a shorthand cannot be cut into fragments",
        ));
    }
    Ok(send)
}

/// Whether the line begins with `answer LABEL` where others have their ends.
pub(super) fn is_answer(tokens: &[Token<'_>]) -> bool {
    tokens.first().is_some_and(|t| t.text == "answer")
        && !tokens.iter().any(|t| t.kind == Kind::Arrow)
}

/// `answer LABEL`: the ends of that line as written, turned round, and the reference.
fn answered(parser: &Parser, cursor: &mut Cursor<'_, '_>) -> Parsed<(Ends, Answered)> {
    cursor.next();
    let span = cursor.peek().map_or_else(|| cursor.behind(), |t| t.span);
    let packet = reference(parser, cursor)?;
    let ends = match &packet {
        Reference::Label(label, _) => parser.ends.get(label).copied(),
        _ => None,
    };
    let Some((from, to)) = ends else {
        return Err(ScriptDiagnostic::new(
            "no-packet",
            span,
            "only a packet with a label can be answered",
        )
        .help("give it one: `asked: client:5000 > server:53 udp`"));
    };
    let ends = Ends {
        from: to,
        to: from,
        from_span: span,
        to_span: span,
    };
    Ok((ends, Answered { packet, span }))
}

/// A packet line while its words are read.
pub(super) struct Line<'a, 't, 'p> {
    parser: &'p Parser,
    pub(super) cursor: Cursor<'a, 't>,
    send: &'p mut Send,
    pub(super) payload: Payload,
}

impl<'a, 't> Line<'a, 't, '_> {
    fn family(&self) -> Family {
        match self.send.from.address {
            IpAddr::V4(_) => Family::V4,
            IpAddr::V6(_) => Family::V6,
        }
    }

    /// The next token that is not one of the words every line may have.
    pub(super) fn own(&mut self) -> Parsed<Option<&'a Token<'t>>> {
        while let Some(token) = self.cursor.next() {
            if !self.common(token)? {
                return Ok(Some(token));
            }
        }
        Ok(None)
    }

    pub(super) fn unknown(&self, token: &Token<'_>, own: &[&'static str]) -> ScriptDiagnostic {
        if token.kind != Kind::Word {
            return ScriptDiagnostic::new(
                "unexpected-word",
                token.span,
                format!("`{}` is not expected here", token.text),
            );
        }
        unknown(
            "word on a packet line",
            token,
            own.iter().chain(COMMON).copied(),
        )
    }

    /// Takes a word that every line may have.
    fn common(&mut self, token: &Token<'_>) -> Parsed<bool> {
        if let Kind::Text(bytes) = &token.kind {
            self.payload.bytes.extend_from_slice(bytes);
            return Ok(true);
        }
        if let Some(digits) = token.text.strip_prefix("hex:") {
            self.payload.bytes.extend(hex(digits, token.span)?);
            return Ok(true);
        }
        let cursor = &mut self.cursor;
        let send = &mut *self.send;
        match token.text {
            "ip4" | "ip6" => {}
            "ttl" => send.ip.ttl = Some(cursor.number("a TTL", 255)? as u8),
            "tos" => send.ip.tos = Some(cursor.number("a type of service", 255)? as u8),
            "ipid" => send.ip.id = Some(cursor.counted("an identification", u32::MAX)?),
            "df" => send.ip.dont_fragment = true,
            "ipopt" => {
                let word = cursor.word("IP options in hex")?;
                let bytes = hex(word.text, word.span)?;
                if send.from.address.is_ipv6() || bytes.len() > 40 {
                    return Err(ScriptDiagnostic::new(
                        "wrong-word",
                        word.span,
                        "options are IPv4's, and at most 40 bytes",
                    ));
                }
                send.ip.options = bytes;
            }
            "ext" => {
                let word = cursor.word("extension headers, as hop,dst")?;
                if send.from.address.is_ipv4() {
                    return Err(ScriptDiagnostic::new(
                        "wrong-word",
                        word.span,
                        "extension headers are IPv6's",
                    ));
                }
                send.ip.extensions = extensions(word)?;
            }
            "badsum" => send.damage.bad_checksum = true,
            "badipsum" if send.from.address.is_ipv6() => {
                return Err(ScriptDiagnostic::new(
                    "wrong-word",
                    token.span,
                    "IPv6 headers have no checksum",
                ));
            }
            "badipsum" => send.damage.bad_header_checksum = true,
            "truncate" => {
                send.damage.truncate = Some(cursor.number("a number of bytes", 65_535)? as u16);
            }
            "in" => send.link.way = Way::In(interface(self.parser, cursor)?),
            "out" => send.link.way = Way::Out(interface(self.parser, cursor)?),
            "mac" => {
                let word = cursor.word("a hardware address")?;
                send.link.source_mac = Some(mac(word.text, word.span)?);
            }
            "pkttype" => {
                let word = cursor.word("host, broadcast or multicast")?;
                send.link.kind = match word.text {
                    "host" | "unicast" => FrameKind::Host,
                    "broadcast" => FrameKind::Broadcast,
                    "multicast" => FrameKind::Multicast,
                    _ => {
                        let known = ["host", "broadcast", "multicast"];
                        return Err(unknown("packet type", word, known));
                    }
                };
            }
            "uid" => send.link.owner.0 = cursor.number("a user's number", MAX_ID)? as u32,
            "gid" => send.link.owner.1 = cursor.number("a group's number", MAX_ID)? as u32,
            "lost" => send.lost = true,
            "len" => {
                self.payload.length = Some(cursor.counted("a payload's length", MAX_PAYLOAD)?);
            }
            "fragments" => {
                let pieces = cursor.number("a number of pieces", 1000)?.max(1) as u32;
                set_cut(send, Cut::Pieces(pieces));
            }
            "fragment-at" => {
                let word = cursor.word("offsets, as 8,16")?;
                set_cut(send, Cut::At(list(word, "an offset", 65_535)?));
            }
            "pieces" => {
                let word = cursor.word("parts, as 0..16,16..")?;
                set_cut(send, Cut::Ranges(ranges(word)?));
            }
            "order" => {
                let word = cursor.word("pieces, as 2,1")?;
                let order = list(word, "a piece's number", 1000)?;
                match &mut send.fragments {
                    Some(f) if !order.contains(&0) => f.order = order,
                    Some(_) => {
                        return Err(ScriptDiagnostic::new(
                            "bad-number",
                            word.span,
                            "pieces count from 1",
                        ));
                    }
                    None => {
                        return Err(ScriptDiagnostic::new(
                            "wrong-word",
                            token.span,
                            "`order` is about fragments",
                        )
                        .help("write `fragments N` before it"));
                    }
                }
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn tcp(&mut self) -> Parsed<What> {
        const OWN: &[&str] = &["seq", "ack", "win", "urg", "opt"];
        let mut spec = TcpSpec {
            window: 64_240,
            ..TcpSpec::default()
        };
        let mut given = None;
        while let Some(token) = self.own()? {
            match token.text {
                "seq" => spec.seq = self.sequence_number()?,
                "ack" => spec.ack = self.sequence_number()?,
                "win" => spec.window = self.cursor.number("a window", 65_535)? as u16,
                "urg" => spec.urgent = self.cursor.number("an urgent pointer", 65_535)? as u16,
                "opt" => {
                    let word = self.cursor.word("TCP options")?;
                    spec.options.extend(tcp_options(word)?);
                }
                text if given.is_none() => match tcp_flags(text) {
                    Some(flags) => given = Some(flags),
                    None => return Err(self.unknown(token, OWN)),
                },
                _ => return Err(self.unknown(token, OWN)),
            }
        }
        spec.payload = std::mem::take(&mut self.payload);
        spec.flags = given.unwrap_or(if spec.payload.is_empty() {
            flags::ACK
        } else {
            flags::PSH | flags::ACK
        });
        Ok(What::Tcp(spec))
    }

    pub(super) fn sequence_number(&mut self) -> Parsed<Number> {
        sequence_number(self.cursor.word("a sequence number")?)
    }

    fn udp(&mut self) -> Parsed<What> {
        let mut no_checksum = false;
        while let Some(token) = self.own()? {
            match token.text {
                "nosum" => no_checksum = true,
                _ => return Err(self.unknown(token, &["nosum"])),
            }
        }
        Ok(What::Udp {
            payload: std::mem::take(&mut self.payload),
            no_checksum,
        })
    }

    fn raw(&mut self) -> Parsed<What> {
        let word = self.cursor.word("a protocol's number or name")?;
        let protocol = match names::protocol(word.text) {
            Some(p) => p,
            None => number(word.text, word.span, "a protocol", 255)? as u8,
        };
        if let Some(token) = self.own()? {
            return Err(self.unknown(token, &[]));
        }
        Ok(What::Raw {
            protocol,
            payload: std::mem::take(&mut self.payload),
        })
    }

    fn icmp(&mut self) -> Parsed<What> {
        const OWN: &[&str] = &[
            "id", "seq", "code", "mtu", "gateway", "rest", "quoting", "left", "bytes",
        ];
        let family = self.family();
        let word = self.cursor.word("an ICMP type")?;
        let (kind, code) = if word.text == "type" {
            (self.cursor.number("an ICMP type", 255)? as u8, 0)
        } else {
            names::icmp(word.text, family)
                .ok_or_else(|| unknown("ICMP type", word, names::icmp_names(family)))?
        };
        let query = match family {
            Family::V4 => matches!(kind, 0 | 8 | 13..=18),
            Family::V6 => matches!(kind, 128 | 129),
        };
        let (mut id, mut sequence) = (Counted::fixed(1), Counted::fixed(1));
        let mut spec = IcmpSpec {
            kind,
            code,
            rest: IcmpRest::Bytes([0; 4]),
            quote: None,
            payload: Payload::default(),
        };
        let mut as_query = false;
        while let Some(token) = self.own()? {
            match token.text {
                "id" => {
                    id = self.cursor.counted("an identifier", 65_535)?;
                    as_query = true;
                }
                "seq" => {
                    sequence = self.cursor.counted("a sequence number", 65_535)?;
                    as_query = true;
                }
                "code" => spec.code = self.cursor.number("a code", 255)? as u8,
                "mtu" => {
                    let mtu = self.cursor.number("an MTU", u64::from(u32::MAX))? as u32;
                    spec.rest = IcmpRest::Bytes(mtu.to_be_bytes());
                }
                "gateway" => {
                    let word = self.cursor.word("an IPv4 address")?;
                    let address: Ipv4Addr = word.text.parse().map_err(|_| {
                        ScriptDiagnostic::new("bad-address", word.span, "not an IPv4 address")
                    })?;
                    spec.rest = IcmpRest::Bytes(address.octets());
                }
                "rest" => {
                    let word = self.cursor.word("four bytes in hex")?;
                    let bytes = hex(word.text, word.span)?;
                    spec.rest = IcmpRest::Bytes(bytes.try_into().map_err(|_| {
                        ScriptDiagnostic::new("bad-hex", word.span, "four bytes are needed here")
                    })?);
                }
                "quoting" => {
                    let left = !self.parser.labels.iter().any(|l| l == "left")
                        && self.cursor.takes("left");
                    let span = self.cursor.peek().map_or(token.span, |t| t.span);
                    let packet = reference(self.parser, &mut self.cursor)?;
                    spec.quote = Some(Quote {
                        packet,
                        left,
                        bytes: None,
                        span,
                    });
                }
                "bytes" => {
                    let bytes = self.cursor.number("a number of bytes", 65_535)? as u16;
                    match &mut spec.quote {
                        Some(quote) => quote.bytes = Some(bytes),
                        None => {
                            return Err(ScriptDiagnostic::new(
                                "wrong-word",
                                token.span,
                                "`bytes` says how much of a packet is quoted",
                            )
                            .help("write `quoting PACKET` before it"));
                        }
                    }
                }
                _ => return Err(self.unknown(token, OWN)),
            }
        }
        if as_query || query {
            spec.rest = match (as_query, self.send.answers.is_some()) {
                (false, true) => IcmpRest::Answered,
                _ => IcmpRest::Query { id, sequence },
            };
        }
        spec.payload = std::mem::take(&mut self.payload);
        Ok(What::Icmp(spec))
    }

    fn shorthand(&mut self, word: &str) -> Parsed<What> {
        let what = match word {
            "handshake" => {
                let (mut options, mut window) = (Vec::new(), 64_240);
                while let Some(token) = self.own()? {
                    match token.text {
                        "win" => window = self.cursor.number("a window", 65_535)? as u16,
                        "opt" => {
                            let word = self.cursor.word("TCP options")?;
                            for option in tcp_options(word)? {
                                match option {
                                    TcpOption::Bytes(bytes) => options.extend(bytes),
                                    TcpOption::Sack(_) | TcpOption::Echo(..) => {
                                        return Err(ScriptDiagnostic::new(
                                            "wrong-word",
                                            word.span,
                                            "a handshake has nothing to acknowledge selectively",
                                        ));
                                    }
                                }
                            }
                        }
                        _ => return Err(self.unknown(token, &["win", "opt"])),
                    }
                }
                What::Handshake { options, window }
            }
            "ping" => {
                let (mut id, mut sequence) = (Counted::fixed(1), Counted::fixed(1));
                while let Some(token) = self.own()? {
                    match token.text {
                        "id" => id = self.cursor.counted("an identifier", 65_535)?,
                        "seq" => sequence = self.cursor.counted("a sequence number", 65_535)?,
                        _ => return Err(self.unknown(token, &["id", "seq"])),
                    }
                }
                What::Ping { id, sequence }
            }
            "dns" => {
                let name = self.cursor.text("the name asked for")?;
                if name.len() > 250 || name.split('.').any(|l| l.len() > 63) {
                    return Err(ScriptDiagnostic::new(
                        "bad-name",
                        self.cursor.behind(),
                        "a domain name's labels have at most 63 bytes, the name 250",
                    ));
                }
                let (mut record, mut answer) = (1, None);
                while let Some(token) = self.own()? {
                    match token.text {
                        "A" => record = 1,
                        "AAAA" => record = 28,
                        "answer" => {
                            let word = self.cursor.word("the answer's address")?;
                            let address = word.text.parse().map_err(|_| {
                                ScriptDiagnostic::new("bad-address", word.span, "not an address")
                            })?;
                            record = if matches!(address, IpAddr::V6(_)) {
                                28
                            } else {
                                1
                            };
                            answer = Some(address);
                        }
                        _ => return Err(self.unknown(token, &["A", "AAAA", "answer"])),
                    }
                }
                What::Dns {
                    name,
                    record,
                    answer,
                }
            }
            _ => {
                if let Some(token) = self.own()? {
                    return Err(self.unknown(token, &[]));
                }
                What::Close
            }
        };
        if !self.payload.is_empty() {
            return Err(ScriptDiagnostic::new(
                "wrong-word",
                self.cursor.behind(),
                format!("`{word}` has its own payload"),
            ));
        }
        Ok(what)
    }
}

/// An interface of the firewall.
fn interface(parser: &Parser, cursor: &mut Cursor<'_, '_>) -> Parsed<String> {
    let word = cursor.word("an interface")?;
    let known = || parser.script.firewall.interfaces.iter();
    if word.text != "lo" && !known().any(|i| i.name == word.text) {
        return Err(unknown("interface", word, known().map(|i| i.name.as_str())));
    }
    Ok(word.text.to_owned())
}

fn set_cut(send: &mut Send, cut: Cut) {
    let order = send.fragments.take().map(|f| f.order).unwrap_or_default();
    send.fragments = Some(Fragments { cut, order });
}
