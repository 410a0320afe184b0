//! Packet lines into bytes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use palisade_wire::tcp::flags;
use palisade_wire::{Family, Packet, build, proto};

use super::diagnostic::ScriptDiagnostic;
use super::flow::{Flows, Socket, apply};
use super::known::Known;
use super::model::{
    Cut, Damage, Endpoint, IcmpRest, IcmpSpec, Number, Quote, SctpSpec, Send, TcpOption, TcpSpec,
    What,
};
use super::play::address_in_round;

/// Bytes an ICMPv4 error has in all at most, its IP header included (RFC 1812 §4.3.2.3).
const ICMP4_ERROR: usize = 576;
/// The same for ICMPv6: the minimal MTU (RFC 4443 §2.4 (c)).
const ICMP6_ERROR: usize = 1280;
/// Port that a `dns` line asks from unless it says another.
const DNS_CLIENT_PORT: u16 = 33_000;
/// Largest IP packet.
const MAX_PACKET: usize = 65_535;

/// How many packets a shorthand sends; `None` for a line of one packet.
pub(super) fn parts(what: &What) -> Option<u32> {
    match what {
        What::Handshake { .. } | What::Close => Some(3),
        What::Ping { .. } | What::Dns { .. } => Some(2),
        _ => None,
    }
}

/// Whether packet `index` (from 1) of a line goes from its receiver to its sender.
pub(super) fn turned(what: &What, index: u32) -> bool {
    let answers = matches!(
        what,
        What::Handshake { .. } | What::Close | What::Ping { .. } | What::Dns { .. }
    );
    answers && index == 2
}

/// Which packet of which line is to be built.
#[derive(Clone, Copy)]
pub(super) struct Place {
    /// Round of the innermost `repeat`, from 0.
    pub round: u32,
    /// IP identification unless the line says another.
    pub id: u32,
    /// Which packet of a shorthand, from 1.
    pub index: u32,
}

/// A packet of a line, or its pieces if it is cut.
pub(super) fn packets(
    send: &Send,
    place: Place,
    flows: &mut Flows,
    known: &Known,
) -> Result<Vec<Vec<u8>>, ScriptDiagnostic> {
    let Place { round, id, index } = place;
    let turned = turned(&send.what, index);
    let answered = match &send.answers {
        Some(answers) => known.answered(&answers.packet),
        None if turned => known.asked(),
        None => None,
    };
    let mut line = Line {
        send,
        round,
        id,
        flows,
        answered: answered.and_then(Wire::answering),
    };
    let mut built = match &send.what {
        What::Tcp(spec) => vec![line.tcp(spec, false)],
        What::Udp {
            payload,
            no_checksum,
        } => {
            let mut packet = line.udp(&payload.in_round(round), false);
            if *no_checksum {
                put_u16(&mut packet, line.transport() + 6, |_| 0);
            }
            vec![packet]
        }
        What::Sctp(spec) => vec![line.sctp(spec)],
        What::Icmp(spec) => vec![line.icmp(spec, known)?],
        What::Raw { protocol, payload } => {
            vec![build::raw(
                &line.ip(false),
                *protocol,
                &payload.in_round(round),
            )]
        }
        What::Handshake { options, window } => {
            let (bits, options) = match index {
                1 => (flags::SYN, options.clone()),
                2 => (flags::SYN | flags::ACK, options.clone()),
                _ => (flags::ACK, Vec::new()),
            };
            let segment = TcpSpec {
                flags: bits,
                window: *window,
                options: vec![TcpOption::Bytes(options)],
                ..TcpSpec::default()
            };
            vec![line.tcp(&segment, turned)]
        }
        What::Close => {
            let segment = TcpSpec {
                flags: match index {
                    1 | 2 => flags::FIN | flags::ACK,
                    _ => flags::ACK,
                },
                window: 64_240,
                ..TcpSpec::default()
            };
            vec![line.tcp(&segment, turned)]
        }
        What::Ping { id, sequence } => {
            let rest = query(id.at(round), sequence.at(round));
            let rest = line.answered.map_or(rest, |a| a.rest);
            let kind = match (line.family(), turned) {
                (Family::V4, false) => 8,
                (Family::V4, true) => 0,
                (Family::V6, false) => 128,
                (Family::V6, true) => 129,
            };
            vec![build::icmp(&line.ip(turned), kind, 0, rest, b"ping")]
        }
        What::Dns {
            name,
            record,
            answer,
        } => {
            let (ask, tell) = dns(id as u16, name, *record, *answer);
            vec![line.udp(if turned { &tell } else { &ask }, turned)]
        }
    };
    for packet in &mut built {
        if packet.len() > MAX_PACKET {
            return Err(ScriptDiagnostic::new(
                "too-long",
                send.from_span,
                format!("a packet of {} bytes: 65535 are the most", packet.len()),
            ));
        }
        damage(packet, &send.damage, line.transport(), &send.what);
    }
    match (&send.fragments, built.as_slice()) {
        (Some(fragments), [packet]) => {
            let id = send.ip.id.map_or(id, |id| id.at(round));
            cut(packet, &fragments.cut, line.transport(), send, id)
        }
        _ => Ok(built),
    }
}

struct Line<'a> {
    send: &'a Send,
    round: u32,
    id: u32,
    flows: &'a mut Flows,
    /// The ends that this packet really has, when it answers one.
    answered: Option<Wire>,
}

/// The ends of a packet that answers another, as that one was seen.
#[derive(Clone, Copy)]
struct Wire {
    from: IpAddr,
    to: IpAddr,
    ports: Option<(u16, u16)>,
    /// Bytes 4 to 7 of an ICMP message.
    rest: [u8; 4],
}

impl Wire {
    fn answering(bytes: &[u8]) -> Option<Wire> {
        let packet = Packet::parse_truncated(bytes).ok()?;
        let transport = packet.transport();
        let word = |at: usize| {
            transport
                .get(at..)?
                .first_chunk()
                .map(|b| u16::from_be_bytes(*b))
        };
        let has_ports = matches!(
            packet.protocol(),
            proto::TCP | proto::UDP | proto::SCTP | proto::UDPLITE
        );
        Some(Wire {
            from: packet.destination(),
            to: packet.source(),
            ports: word(2).zip(word(0)).filter(|_| has_ports),
            rest: transport
                .get(4..)
                .and_then(|t| t.first_chunk::<4>())
                .copied()
                .unwrap_or_default(),
        })
    }
}

impl Line<'_> {
    fn family(&self) -> Family {
        match self.send.from.address {
            IpAddr::V4(_) => Family::V4,
            IpAddr::V6(_) => Family::V6,
        }
    }

    /// Offset of the transport header: options are padded.
    fn transport(&self) -> usize {
        match self.family() {
            Family::V4 => 20 + self.send.ip.options.len().next_multiple_of(4).min(40),
            Family::V6 => {
                40 + self
                    .send
                    .ip
                    .extensions
                    .iter()
                    .map(|(_, h)| h.len())
                    .sum::<usize>()
            }
        }
    }

    fn ends(&self, turned: bool) -> (&Endpoint, &Endpoint) {
        if turned {
            (&self.send.to, &self.send.from)
        } else {
            (&self.send.from, &self.send.to)
        }
    }

    fn ip(&self, turned: bool) -> build::Ip {
        let (from, to) = self.ends(turned);
        let mut ip = match &self.answered {
            Some(wire) => build::Ip::new(wire.from, wire.to),
            None => build::Ip::new(
                address_in_round(from, self.round),
                address_in_round(to, self.round),
            ),
        };
        let fields = &self.send.ip;
        if let Some(ttl) = fields.ttl {
            ip.ttl = ttl;
        }
        if let Some(tos) = fields.tos {
            ip.tos = tos;
        }
        ip.id = fields.id.map_or(self.id, |id| id.at(self.round)) as u16;
        ip.dont_fragment = fields.dont_fragment;
        ip.options = fields.options.clone();
        ip.extensions = fields.extensions.clone();
        ip
    }

    fn socket(&self, end: &Endpoint, default: u16) -> Socket {
        let port = end.port.map_or(default, |p| p.at(self.round) as u16);
        (address_in_round(end, self.round), port)
    }

    /// The ports on the wire, where the line's own are these.
    fn ports(&self, from: u16, to: u16) -> (u16, u16) {
        self.answered
            .and_then(|wire| wire.ports)
            .unwrap_or((from, to))
    }

    fn tcp(&mut self, spec: &TcpSpec, turned: bool) -> Vec<u8> {
        let payload = spec.payload.in_round(self.round);
        let (from, to) = self.ends(turned);
        let (from, to) = (self.socket(from, 0), self.socket(to, 0));
        let numbers = self
            .flows
            .segment(from, to, spec.flags, spec.seq, spec.ack, payload.len());
        let mut options = Vec::new();
        for option in &spec.options {
            match option {
                TcpOption::Bytes(bytes) => options.extend_from_slice(bytes),
                TcpOption::Echo(value, by) => {
                    options.extend([8, 10]);
                    options.extend(value.to_be_bytes());
                    let echo = numbers.stamp.wrapping_add_signed(*by);
                    options.extend(echo.to_be_bytes());
                }
                TcpOption::Sack(blocks) => {
                    // At most four blocks fit; more would be cut by the header's length.
                    let length = 2 + 8 * blocks.len().min(4);
                    options.extend([5, length as u8]);
                    for (left, right) in blocks.iter().take(4) {
                        for edge in [left, right] {
                            let edge = match edge {
                                Number::Exactly(n) => *n,
                                edge => apply(*edge, numbers.expected).0,
                            };
                            options.extend(edge.to_be_bytes());
                        }
                    }
                }
            }
        }
        options.truncate(40);
        while options.len() % 4 != 0 {
            options.push(1);
        }
        let (source_port, destination_port) = self.ports(from.1, to.1);
        let header = build::Tcp {
            source_port,
            destination_port,
            seq: numbers.seq.0,
            ack: numbers.ack.0,
            flags: spec.flags,
            window: spec.window,
            urgent: spec.urgent,
            options,
        };
        build::tcp(&self.ip(turned), &header, &payload)
    }

    fn udp(&self, payload: &[u8], turned: bool) -> Vec<u8> {
        let client = self.socket(&self.send.from, DNS_CLIENT_PORT).1;
        let server = self.socket(&self.send.to, 53).1;
        let (source, destination) = if turned {
            (server, client)
        } else {
            (client, server)
        };
        let (source, destination) = self.ports(source, destination);
        build::udp(&self.ip(turned), source, destination, payload)
    }

    fn sctp(&mut self, spec: &SctpSpec) -> Vec<u8> {
        let from = self.socket(&self.send.from, 0);
        let to = self.socket(&self.send.to, 0);
        let (tag, chunks) = self.flows.associations.packet(from, to, spec, self.round);
        let (source, destination) = self.ports(from.1, to.1);
        build::sctp(&self.ip(false), source, destination, tag, &chunks)
    }

    fn icmp(&self, spec: &IcmpSpec, known: &Known) -> Result<Vec<u8>, ScriptDiagnostic> {
        let rest = match spec.rest {
            IcmpRest::Query { id, sequence } => query(id.at(self.round), sequence.at(self.round)),
            IcmpRest::Bytes(bytes) => bytes,
            IcmpRest::Answered => self.answered.map_or([0, 1, 0, 1], |wire| wire.rest),
        };
        let mut body = match &spec.quote {
            Some(quote) => self.quoted(quote, known)?,
            None => Vec::new(),
        };
        body.extend(spec.payload.in_round(self.round));
        Ok(build::icmp(
            &self.ip(false),
            spec.kind,
            spec.code,
            rest,
            &body,
        ))
    }

    fn quoted(&self, quote: &Quote, known: &Known) -> Result<Vec<u8>, ScriptDiagnostic> {
        let Some(packet) = known.quoted(quote) else {
            return Err(ScriptDiagnostic::new(
                "no-packet",
                quote.span,
                "no such packet was sent before this one",
            )
            .help(
                "numbers count the packets of the test from 1, those marked `lost` not counted",
            ));
        };
        let most = match self.family() {
            Family::V4 => ICMP4_ERROR - 28,
            Family::V6 => ICMP6_ERROR - 48,
        };
        let most = quote.bytes.map_or(most, usize::from);
        Ok(packet.get(..most).unwrap_or(packet).to_vec())
    }
}

fn query(id: u32, sequence: u32) -> [u8; 4] {
    let [a, b] = (id as u16).to_be_bytes();
    let [c, d] = (sequence as u16).to_be_bytes();
    [a, b, c, d]
}

/// Changes two bytes at `at`, if they are there.
fn put_u16(packet: &mut [u8], at: usize, change: impl FnOnce(u16) -> u16) {
    if let Some([a, b]) = packet.get_mut(at..).and_then(|p| p.first_chunk_mut::<2>()) {
        [*a, *b] = change(u16::from_be_bytes([*a, *b])).to_be_bytes();
    }
}

fn damage(packet: &mut [u8], damage: &Damage, transport: usize, what: &What) {
    if damage.bad_checksum {
        let field = match what {
            What::Tcp(_) | What::Handshake { .. } | What::Close => Some(16),
            What::Udp { .. } | What::Dns { .. } => Some(6),
            What::Sctp(_) => Some(8),
            What::Icmp(_) | What::Ping { .. } => Some(2),
            What::Raw { .. } => None,
        };
        if let Some(field) = field {
            // Neither right nor zero, which in UDP means "none".
            put_u16(packet, transport + field, |sum| match sum ^ 0x5a5a {
                0 => 0x1234,
                wrong => wrong,
            });
        }
    }
    if damage.bad_header_checksum {
        put_u16(packet, 10, |sum| sum ^ 0x5a5a);
    }
}

/// The pieces of a packet, as the script cuts it.
fn cut(
    packet: &[u8],
    cut: &Cut,
    transport: usize,
    send: &Send,
    id: u32,
) -> Result<Vec<Vec<u8>>, ScriptDiagnostic> {
    let wrong = |message: String| ScriptDiagnostic::new("bad-cut", send.from_span, message);
    let length = packet.len().saturating_sub(transport);
    let ranges: Vec<(usize, usize)> = match cut {
        Cut::Pieces(pieces) => {
            let pieces = (*pieces).max(1) as usize;
            // Every piece but the last is a multiple of 8 bytes.
            let size = length.div_ceil(pieces).next_multiple_of(8).max(8);
            if (pieces - 1) * size >= length {
                return Err(wrong(format!(
                    "{length} bytes behind the IP header are too few for {pieces} pieces"
                )));
            }
            let range = |i: usize| (i * size, ((i + 1) * size).min(length));
            (0..pieces).map(range).collect()
        }
        Cut::At(offsets) => {
            let rising = offsets.windows(2).all(|w| w.first() < w.last());
            if !rising || offsets.first() == Some(&0) {
                return Err(wrong("offsets must rise, from above 0".to_owned()));
            }
            let starts = std::iter::once(0).chain(offsets.iter().map(|o| *o as usize));
            let ends = offsets.iter().map(|o| *o as usize).chain([length]);
            starts.zip(ends).collect()
        }
        Cut::Ranges(ranges) => {
            let end = |e: u32| if e == u32::MAX { length } else { e as usize };
            ranges.iter().map(|(s, e)| (*s as usize, end(*e))).collect()
        }
    };
    let (header, payload) = packet
        .split_at_checked(transport)
        .ok_or_else(|| wrong("this packet cannot be cut".to_owned()))?;
    let piece = |&(start, end): &(usize, usize)| {
        if !start.is_multiple_of(8) {
            return Err(wrong(format!(
                "{start} is no multiple of 8, which fragments begin at"
            )));
        }
        let more = end < length;
        payload
            .get(start..end)
            .filter(|part| !part.is_empty())
            .and_then(|part| {
                if send.from.address.is_ipv4() {
                    fragment4(header, start, part, more)
                } else {
                    // Where the header that is followed by the fragment names what follows it.
                    let place = match send.ip.extensions.split_last() {
                        Some(((_, last), _)) => header.len().saturating_sub(last.len()),
                        None => 6,
                    };
                    fragment6(header, place, start, part, more, id)
                }
            })
            .ok_or_else(|| {
                wrong(format!(
                    "{start}..{end} does not lie within the {length} bytes behind the IP header"
                ))
            })
    };
    ranges.iter().map(piece).collect()
}

/// An IPv4 fragment: header with length, offset and checksum of its own (RFC 791 §3.2).
fn fragment4(header: &[u8], start: usize, part: &[u8], more: bool) -> Option<Vec<u8>> {
    let mut out = header.to_vec();
    let length = u16::try_from(header.len() + part.len()).ok()?;
    put_u16(&mut out, 2, |_| length);
    let units = u16::try_from(start / 8).ok()?;
    // DF stays: a script may well send what no host would.
    put_u16(&mut out, 6, |old| {
        old & 0x4000 | u16::from(more) << 13 | units & 0x1fff
    });
    put_u16(&mut out, 10, |_| 0);
    let sum = palisade_wire::checksum::of(&out);
    put_u16(&mut out, 10, |_| sum);
    out.extend_from_slice(part);
    Some(out)
}

/// An IPv6 fragment: a Fragment header between the headers and the part (RFC 8200 §4.5); the byte at
/// `place` names it.
fn fragment6(
    header: &[u8],
    place: usize,
    start: usize,
    part: &[u8],
    more: bool,
    id: u32,
) -> Option<Vec<u8>> {
    let mut out = header.to_vec();
    let length = u16::try_from(header.len().checked_sub(40)? + part.len() + 8).ok()?;
    put_u16(&mut out, 4, |_| length);
    let next = std::mem::replace(out.get_mut(place)?, proto::FRAGMENT);
    let offset = u16::try_from(start).ok()? & 0xfff8 | u16::from(more);
    out.extend([next, 0]);
    out.extend(offset.to_be_bytes());
    out.extend(id.to_be_bytes());
    out.extend_from_slice(part);
    Some(out)
}

/// A query and its answer (RFC 1035 §4.1).
fn dns(id: u16, name: &str, record: u16, answer: Option<IpAddr>) -> (Vec<u8>, Vec<u8>) {
    let mut question = Vec::new();
    for label in name.split('.').filter(|l| !l.is_empty()) {
        // The parser holds labels to 63 bytes.
        question.push(label.len() as u8);
        question.extend_from_slice(label.as_bytes());
    }
    question.push(0);
    question.extend(record.to_be_bytes());
    question.extend([0, 1]);
    let message = |flag_bits: u16, answers: u16| {
        let mut out = Vec::new();
        for field in [id, flag_bits, 1, answers, 0, 0] {
            out.extend(field.to_be_bytes());
        }
        out.extend_from_slice(&question);
        out
    };
    let ask = message(0x0100, 0);
    let mut tell = message(0x8180, 1);
    let address = answer.unwrap_or(match record {
        28 => IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)),
        _ => IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
    });
    let data = match address {
        IpAddr::V4(a) => a.octets().to_vec(),
        IpAddr::V6(a) => a.octets().to_vec(),
    };
    // The name by a pointer to the question, class IN, an hour.
    tell.extend([0xc0, 12]);
    tell.extend(record.to_be_bytes());
    tell.extend([0, 1, 0, 0, 0x0e, 0x10, 0, data.len() as u8]);
    tell.extend(data);
    (ask, tell)
}
