//! SYNPROXY: the firewall answers a SYN itself, with a cookie for a sequence number, and opens the connection to the
//! server only when the client proves by its ACK that it got the cookie (kernel `nf_synproxy_core.c`).
//!
//! Nothing is kept of a SYN: the cookie is a hash of its addresses, ports and sequence number with a secret of
//! this engine's, a minute's number and the segment size that the client asked for (kernel `syncookies.c`).
//! It holds for two minutes. Numbers of the server differ from the cookie, so that later segments are shifted.

use std::collections::VecDeque;
use std::hash::Hasher;
use std::net::IpAddr;

use palisade_conntrack::nat::seqadj;
use palisade_conntrack::{Direction, TcpState, Template, Track};
use palisade_rules::Family;
use palisade_rules::targets::synproxy::Synproxy;
use palisade_wire::{Packet, Timestamp, build, proto, tcp::Tcp, tcp::flags};
use siphasher::sip::SipHasher13;

use crate::Engine;
use crate::linear::{RawState, Verdict};
use crate::outcome::{Ended, Path, Reply};
use crate::path::{Journey, Step, Stop};
use crate::socket::Sender;

/// Segment sizes that a cookie can tell.
const SIZES_V4: [u16; 4] = [536, 1300, 1440, 1460];
const SIZES_V6: [u16; 4] = [1220, 1420, 1440, 8940];

/// Minutes that a cookie holds (kernel `MAX_SYNCOOKIE_AGE`).
const AGE: u32 = 2;

/// Cookies of another subject that are remembered at most.
const MOST_TOLD: usize = 4096;

/// The highest window scale (RFC 7323 §2.3).
const MOST_SCALE: u8 = 14;

/// What a segment says by its options.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Options {
    size: Option<u16>,
    scale: Option<u8>,
    /// Value and echo.
    stamps: Option<(u32, u32)>,
    sack: bool,
    ecn: bool,
}

impl Options {
    /// Kernel `synproxy_parse_options`; `None` when they are cut short.
    fn of(tcp: &Tcp<'_>, transport: &[u8]) -> Option<Options> {
        let length = tcp.data_offset().checked_sub(20)?;
        let mut rest = transport.get(20..20 + length)?;
        let mut options = Options::default();
        while let Some(&kind) = rest.first() {
            let size = match kind {
                0 => break,
                1 => 1,
                _ => match rest.get(1) {
                    Some(&size) if size >= 2 && usize::from(size) <= rest.len() => {
                        usize::from(size)
                    }
                    _ => break,
                },
            };
            match (kind, rest.get(2..size).unwrap_or_default()) {
                (2, &[a, b]) => options.size = Some(u16::from_be_bytes([a, b])),
                (3, &[scale]) => options.scale = Some(scale.min(MOST_SCALE)),
                (4, []) => options.sack = true,
                (8, &[a, b, c, d, e, f, g, h]) => {
                    options.stamps = Some((
                        u32::from_be_bytes([a, b, c, d]),
                        u32::from_be_bytes([e, f, g, h]),
                    ));
                }
                _ => {}
            }
            rest = rest.get(size..).unwrap_or_default();
        }
        Some(options)
    }

    /// Kernel `synproxy_build_options`.
    fn bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(24);
        if let Some(size) = self.size {
            out.extend([2, 4]);
            out.extend(size.to_be_bytes());
        }
        if let Some((value, echo)) = self.stamps {
            out.extend(if self.sack { [4, 2] } else { [1, 1] });
            out.extend([8, 10]);
            out.extend(value.to_be_bytes());
            out.extend(echo.to_be_bytes());
        } else if self.sack {
            out.extend([1, 1, 4, 2]);
        }
        if let Some(scale) = self.scale {
            out.extend([1, 3, 3, scale]);
        }
        out
    }

    /// What the time stamp of a cookie told the client, echoed (kernel `synproxy_check_timestamp_cookie`).
    fn recall(&mut self) {
        if let Some((_, echo)) = self.stamps {
            let scale = (echo & 0xf) as u8;
            if scale != 0xf {
                self.scale = Some(scale);
            }
            self.sack |= echo & 1 << 4 != 0;
            self.ecn |= echo & 1 << 5 != 0;
        }
    }
}

/// Both ends of a connection, the client first.
type Pair = ((IpAddr, u16), (IpAddr, u16));

/// Makes and recognizes cookies.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cookies {
    key: (u64, u64),
    /// What another subject chose for the next cookie: sequence number and time stamp.
    pub(crate) preferred: Option<(u32, Option<u32>)>,
    /// Cookies that were chosen so: ends, the client's number, the cookie, which size.
    told: VecDeque<(Pair, u32, u32, usize)>,
}

impl Cookies {
    pub(crate) fn new(key: (u64, u64)) -> Self {
        Cookies {
            key,
            ..Cookies::default()
        }
    }

    fn hash(&self, (client, server): Pair, count: u32, which: u8) -> u32 {
        let mut hasher = SipHasher13::new_with_keys(self.key.0 ^ u64::from(which), self.key.1);
        for (address, port) in [client, server] {
            match address {
                IpAddr::V4(a) => hasher.write(&a.octets()),
                IpAddr::V6(a) => hasher.write(&a.octets()),
            }
            hasher.write(&port.to_be_bytes());
        }
        hasher.write(&count.to_be_bytes());
        hasher.finish() as u32
    }

    /// Kernel `secure_tcp_syn_cookie`.
    fn make(&mut self, pair: Pair, isn: u32, size: usize, now: Timestamp) -> u32 {
        if let Some((cookie, _)) = self.preferred {
            if self.told.len() >= MOST_TOLD {
                self.told.pop_front();
            }
            self.told.push_back((pair, isn, cookie, size));
            return cookie;
        }
        let count = minute(now);
        self.hash(pair, 0, 0)
            .wrapping_add(isn)
            .wrapping_add(count << 24)
            .wrapping_add(self.hash(pair, count, 1).wrapping_add(size as u32) & 0xff_ffff)
    }

    /// Which size a cookie tells, if it is one (kernel `check_tcp_syn_cookie`).
    fn check(&self, pair: Pair, isn: u32, cookie: u32, now: Timestamp) -> Option<usize> {
        // The size stands in the lowest bits, so that a neighbour of a cookie is the cookie of another size.
        if let Some((_, first, told, size)) = self.told.iter().rev().find(|t| t.0 == pair) {
            let apart = cookie
                .wrapping_sub(*told)
                .wrapping_sub(isn.wrapping_sub(*first));
            return (*size).checked_add_signed(apart as i32 as isize);
        }
        let count = minute(now);
        let rest = cookie.wrapping_sub(self.hash(pair, 0, 0)).wrapping_sub(isn);
        let age = count.wrapping_sub(rest >> 24) & 0xff;
        if age >= AGE {
            return None;
        }
        let own = self.hash(pair, count.wrapping_sub(age), 1);
        Some((rest.wrapping_sub(own) & 0xff_ffff) as usize)
    }
}

fn minute(now: Timestamp) -> u32 {
    (now.0 / 60_000_000_000) as u32
}

/// A packet that SYNPROXY makes at a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Made {
    pub(crate) bytes: Vec<u8>,
    /// An answer to the client; else a SYN to the server.
    pub(crate) answer: bool,
}

/// A segment with the header that the kernel puts before it (`synproxy_build_ip`).
fn segment(source: IpAddr, destination: IpAddr, header: &build::Tcp) -> Vec<u8> {
    let mut ip = build::Ip::new(source, destination);
    ip.dont_fragment = source.is_ipv4();
    build::tcp(&ip, header, b"")
}

fn pair(packet: &Packet<'_>, tcp: &Tcp<'_>) -> Pair {
    (
        (packet.source(), tcp.source_port()),
        (packet.destination(), tcp.destination_port()),
    )
}

/// Kernel `synproxy_tg4`, `synproxy_tg6`; `None`: the rule lets the packet go on.
pub(crate) fn target(
    rule: &Synproxy,
    packet: &Packet<'_>,
    unfinished: bool,
    cookies: &mut Cookies,
    now: Timestamp,
) -> Option<Verdict> {
    if !unfinished && !packet.is_truncated() && !packet.transport_checksum_ok(proto::TCP) {
        return Some(Verdict::Drop);
    }
    let Some(tcp) = Tcp::new(packet.transport()) else {
        return Some(Verdict::Drop);
    };
    let Some(mut options) = Options::of(&tcp, packet.transport()) else {
        return Some(Verdict::Drop);
    };
    let kind = tcp.flags() & (flags::SYN | flags::ACK | flags::FIN | flags::RST);
    if kind == flags::SYN {
        let bytes = syn_ack(rule, packet, &tcp, options, cookies, now);
        return Some(Verdict::Proxied(Made {
            bytes,
            answer: true,
        }));
    }
    if kind == flags::ACK {
        let made = client_ack(packet, &tcp, &mut options, tcp.seq().0, cookies, now);
        return Some(match made {
            Some(bytes) => Verdict::Proxied(Made {
                bytes,
                answer: false,
            }),
            None => Verdict::Drop,
        });
    }
    None
}

/// Kernel `synproxy_send_client_synack`.
fn syn_ack(
    rule: &Synproxy,
    packet: &Packet<'_>,
    tcp: &Tcp<'_>,
    asked: Options,
    cookies: &mut Cookies,
    now: Timestamp,
) -> Vec<u8> {
    let sizes = sizes(packet.family());
    let wanted = asked.size.unwrap_or(0);
    let at = sizes.iter().rposition(|size| wanted >= *size).unwrap_or(0);
    let cookie = cookies.make(pair(packet, tcp), tcp.seq().0, at, now);
    let mut told = Options {
        size: rule.segment.filter(|_| asked.size.is_some()),
        ..Options::default()
    };
    let mut ecn = false;
    if let Some((value, _)) = asked.stamps.filter(|_| rule.timestamp) {
        let clock = match cookies.preferred {
            Some((_, Some(stamp))) => stamp,
            _ => (now.0 / 1_000_000) as u32,
        };
        let scale = asked.scale.filter(|_| rule.window_scale.is_some());
        told.scale = scale.and(rule.window_scale);
        told.sack = asked.sack && rule.sack;
        ecn = rule.ecn && tcp.has(flags::ECE) && tcp.has(flags::CWR);
        let stamp = clock & !0x3f
            | u32::from(scale.unwrap_or(0xf))
            | u32::from(told.sack) << 4
            | u32::from(ecn) << 5;
        told.stamps = Some((stamp, value));
    }
    let header = build::Tcp {
        source_port: tcp.destination_port(),
        destination_port: tcp.source_port(),
        seq: cookie,
        ack: tcp.seq().0.wrapping_add(1),
        flags: flags::SYN | flags::ACK | if ecn { flags::ECE } else { 0 },
        options: told.bytes(),
        ..build::Tcp::default()
    };
    segment(packet.destination(), packet.source(), &header)
}

/// The SYN to the server, if the ACK proves that its sender got the cookie (kernel `synproxy_recv_client_ack`,
/// `synproxy_send_server_syn`). Its acknowledgement field holds the number that the client was told.
fn client_ack(
    packet: &Packet<'_>,
    tcp: &Tcp<'_>,
    options: &mut Options,
    seq: u32,
    cookies: &Cookies,
    now: Timestamp,
) -> Option<Vec<u8>> {
    let cookie = tcp.ack().0.wrapping_sub(1);
    let isn = tcp.seq().0.wrapping_sub(1);
    let at = cookies.check(pair(packet, tcp), isn, cookie, now)?;
    options.size = Some(*sizes(packet.family()).get(at)?);
    options.recall();
    let header = build::Tcp {
        source_port: tcp.source_port(),
        destination_port: tcp.destination_port(),
        seq: seq.wrapping_sub(1),
        ack: cookie,
        flags: flags::SYN
            | if options.ecn {
                flags::ECE | flags::CWR
            } else {
                0
            },
        window: tcp.window(),
        options: options.bytes(),
        ..build::Tcp::default()
    };
    Some(segment(packet.source(), packet.destination(), &header))
}

fn sizes(family: Family) -> &'static [u16; 4] {
    match family {
        Family::V4 => &SIZES_V4,
        Family::V6 => &SIZES_V6,
    }
}

impl Engine {
    /// Sends what SYNPROXY made at a rule: an answer belongs to the packet's connection, if it has one; a SYN opens a
    /// connection that SYNPROXY minds.
    pub(crate) fn send_made(&mut self, made: Made, journey: &Journey<'_>, now: Timestamp) -> Reply {
        if !made.answer {
            return self.send_syn(made.bytes, journey, now);
        }
        let track = journey.track.as_ref().and_then(|t| self.replying(t));
        self.answer(
            made.bytes,
            (Sender::Nobody, track, RawState::default()),
            journey,
            now,
        )
    }

    fn send_syn(&mut self, bytes: Vec<u8>, journey: &Journey<'_>, now: Timestamp) -> Reply {
        let raw = RawState {
            template: Some(Template {
                proxied: true,
                ..Template::default()
            }),
            locked: true,
            ..RawState::default()
        };
        self.answer(bytes, (Sender::Nobody, None, raw), journey, now)
    }

    /// A reply within the connection of a packet.
    fn replying(&self, track: &Track) -> Option<Track> {
        let mut track = self.conntrack.attach(track)?;
        track.state = palisade_conntrack::State::Established;
        track.direction = Direction::Reply;
        Some(track)
    }

    /// What becomes of a packet of a connection that SYNPROXY opened, right before it leaves (kernel
    /// `ipv4_synproxy_hook`, `ipv6_synproxy_hook`).
    pub(crate) fn proxied(&mut self, journey: &mut Journey<'_>, now: Timestamp) -> Step {
        let Some(track) = journey.track.clone() else {
            return Ok(());
        };
        let looped = journey.path == Path::Loopback && journey.in_interface.is_some();
        let packet = journey.buffer.packet();
        let Some(id) = track.connection else {
            return Ok(());
        };
        let Some(connection) = self.conntrack.connection(id) else {
            return Ok(());
        };
        let (Some(minded), false) = (connection.proxied(), looped) else {
            return Ok(());
        };
        let Some(state) = connection.tcp() else {
            return Ok(());
        };
        if packet.protocol() != proto::TCP {
            return Ok(());
        }
        let dropped = || {
            let ended = Ended::Proxied("it is no segment for the server");
            Err(Stop(crate::outcome::Verdict::Drop, ended, None))
        };
        let Some(tcp) = Tcp::new(packet.transport()) else {
            return dropped();
        };
        let original = track.direction == Direction::Original;
        let mut ahead = minded.ahead;
        let opened = match state.state {
            TcpState::Close if tcp.has(flags::RST) && !original => {
                let by = minded.isn.wrapping_sub(tcp.seq().0).wrapping_add(1);
                if let Some(connection) = self.conntrack.connection_mut(id) {
                    connection.shift(track.direction, by as i32);
                }
                false
            }
            TcpState::Close if tcp.has(flags::SYN) && !tcp.has(flags::ACK) && original => {
                // Opened again: time stamps are right until the server has answered.
                ahead = 0;
                true
            }
            TcpState::SynSent => true,
            _ => false,
        };
        if opened {
            let Some(mut options) = Options::of(&tcp, packet.transport()) else {
                return dropped();
            };
            if !tcp.has(flags::SYN) && tcp.has(flags::ACK) && original {
                // The client asks whether somebody is there: the server's SYN once more.
                let seq = tcp.seq().0.wrapping_add(1);
                let cookies = &self.states.cookies;
                let Some(bytes) = client_ack(&packet, &tcp, &mut options, seq, cookies, now) else {
                    return dropped();
                };
                let reply = self.send_syn(bytes, journey, now);
                return Err(taken("the server is asked once more", reply));
            }
            let (isn, echo) = (tcp.ack().0, options.stamps.map(|(_, echo)| echo));
            if let Some(minded) = self.minded(id) {
                minded.isn = isn;
                minded.ahead = ahead;
                minded.stamp = echo.unwrap_or(minded.stamp);
            }
        } else if state.state == TcpState::SynRecv && tcp.has(flags::SYN) && tcp.has(flags::ACK) {
            let Some(mut options) = Options::of(&tcp, packet.transport()) else {
                return dropped();
            };
            if let (Some((value, _)), Some(minded)) = (options.stamps, self.minded(id)) {
                minded.ahead = value.wrapping_sub(minded.stamp);
            }
            let scale = options.scale.unwrap_or(0);
            (options.size, options.scale, options.sack) = (None, None, false);
            let (source, destination) = (packet.source(), packet.destination());
            let to_client = build::Tcp {
                source_port: tcp.source_port(),
                destination_port: tcp.destination_port(),
                seq: tcp.seq().0.wrapping_add(1),
                ack: tcp.ack().0,
                flags: flags::ACK,
                window: tcp.window() >> scale,
                options: options.bytes(),
                ..build::Tcp::default()
            };
            options.stamps = options.stamps.map(|(value, echo)| (echo, value));
            let to_server = build::Tcp {
                source_port: tcp.destination_port(),
                destination_port: tcp.source_port(),
                seq: tcp.ack().0,
                ack: tcp.seq().0.wrapping_add(1),
                flags: flags::ACK,
                // As the kernel cuts it.
                window: state.peers[Direction::Original.index()].maxwin as u16,
                options: options.bytes(),
                ..build::Tcp::default()
            };
            let (isn, seq) = (minded.isn, tcp.seq().0);
            let bytes = segment(destination, source, &to_server);
            let own = (Sender::Nobody, None, RawState::default());
            let first = self.answer(bytes, own, journey, now);
            if let Some(connection) = self.conntrack.connection_mut(id) {
                connection.shift(track.direction, isn.wrapping_sub(seq) as i32);
            }
            let reply = self.replying(&track);
            let bytes = segment(source, destination, &to_client);
            let own = (Sender::Nobody, reply, RawState::default());
            journey.further = Some(Box::new(self.answer(bytes, own, journey, now)));
            return Err(taken("the server answered, and both sides are told", first));
        }
        seqadj::adjust_stamps(&mut journey.buffer, ahead, track.direction);
        Ok(())
    }

    fn minded(
        &mut self,
        id: palisade_conntrack::ConnId,
    ) -> Option<&mut palisade_conntrack::connection::Proxied> {
        self.conntrack.connection_mut(id)?.proxied_mut()
    }
}

fn taken(what: &'static str, reply: Reply) -> Stop {
    Stop(
        crate::outcome::Verdict::Stolen,
        Ended::Proxied(what),
        Some(Box::new(reply)),
    )
}
