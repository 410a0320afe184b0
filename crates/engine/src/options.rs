//! IPv4 options, which the IP layer reads behind PREROUTING (kernel `ip_options_compile`, `ip_rcv_options`),
//! finishes behind FORWARD (`ip_forward_options`) and echoes in ICMP errors (`__ip_options_echo`).

use std::net::{IpAddr, Ipv4Addr};

use palisade_wire::{Buffer, Family, Packet, Timestamp, build};

use crate::host::{AddressKind, Host};

const END: u8 = 0;
const NOTHING: u8 = 1;
const RECORD_ROUTE: u8 = 7;
const TIMESTAMP: u8 = 68;
const LOOSE_ROUTE: u8 = 131;
const SECURITY_LABEL: u8 = 134;
const STRICT_ROUTE: u8 = 137;
const ROUTER_ALERT: u8 = 148;

/// Length of a header without options.
const FIXED: usize = 20;

/// What the IP layer remembers of the options that it read in a packet (kernel `struct ip_options`). Places count
/// from the beginning of the header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    /// A recorded route.
    route: Option<u8>,
    /// An address was written into it, and room for it is taken in an answer too.
    route_written: bool,
    /// Timestamps.
    times: Option<u8>,
    /// An address was written in front of a time.
    address_written: bool,
    /// A time was written.
    time_written: bool,
    /// The header's checksum is not that of the header any more.
    changed: bool,
}

/// Whether a packet has options.
#[inline]
pub(crate) fn any(packet: &Packet<'_>) -> bool {
    packet.family() == Family::V4 && packet.header_len() > FIXED
}

/// Reads a packet's options, clears what stands behind their end, and writes `own` and the time into a
/// recorded route and timestamps, as the kernel does. The header's checksum stays as it is. `None`:
/// they are malformed, or prescribe the route or carry a security label, which no host takes unless told to (sysctl
/// `accept_source_route`, NetLabel); the packet is to be dropped.
pub(crate) fn compile(
    buffer: &mut Buffer<'_>,
    own: Option<IpAddr>,
    host: &Host,
    now: Timestamp,
) -> Option<Options> {
    let packet = buffer.packet();
    if !any(&packet) {
        return Some(Options::default());
    }
    let header = packet.header_len();
    let options = packet.bytes().get(FIXED..header).unwrap_or_default();
    let found = read(options)?;
    let behind = FIXED + found.end..header;
    let dirty = packet
        .bytes()
        .get(behind.clone())
        .unwrap_or_default()
        .iter()
        .any(|b| *b != 0);
    let place = |at: usize| (FIXED + at) as u8;
    let mut said = Options {
        route: found.route.map(|route| place(route.at)),
        times: found.times.map(|times| place(times.at)),
        ..Options::default()
    };
    let room = found.route.is_some_and(|route| route.room);
    if !dirty && !room && found.times.is_none() {
        return Some(said);
    }
    let own = match own {
        Some(IpAddr::V4(own)) => own,
        _ => Ipv4Addr::UNSPECIFIED,
    };
    let bytes = buffer.edit();
    if dirty && let Some(behind) = bytes.get_mut(behind) {
        behind.fill(0);
        said.changed = true;
    }
    if let Some(route) = found.route.filter(|route| route.room) {
        let option = bytes.get_mut(FIXED + route.at..)?;
        put(option, pointer(option), own.octets());
        advance(option, 4);
        (said.route_written, said.changed) = (true, true);
    }
    if let Some(times) = found.times {
        let option = bytes.get_mut(FIXED + times.at..)?;
        let stamped = stamp(option, times.room, (own, host, now), &mut said);
        said.changed |= stamped;
    }
    Some(said)
}

/// Writes a timestamp, or counts one that finds no room in the upper half of the byte behind the pointer. Whether
/// anything changed.
fn stamp(
    option: &mut [u8],
    room: bool,
    (own, host, now): (Ipv4Addr, &Host, Timestamp),
    said: &mut Options,
) -> bool {
    if !room {
        if let Some(count) = option.get_mut(3) {
            *count = count.wrapping_add(0x10);
        }
        return true;
    }
    let at = pointer(option);
    match option.get(3).map(|flags| flags & 15) {
        Some(times::ALONE) => {
            put(option, at, time_of_day(now));
            advance(option, 4);
        }
        Some(times::WITH_ADDRESSES) => {
            put(option, at, own.octets());
            put(option, at + 4, time_of_day(now));
            advance(option, 8);
            said.address_written = true;
        }
        Some(times::OF_THESE) => {
            if elsewhere(option, at, host) {
                return false;
            }
            put(option, at + 4, time_of_day(now));
            advance(option, 8);
        }
        _ => return false,
    }
    said.time_written = true;
    true
}

/// Ends FORWARD's hooks: the recorded route gets the address that the packet leaves by in the place of the one that
/// rules have seen, and the header its checksum. Who receives a packet does without both.
pub(crate) fn forwarded(buffer: &mut Buffer<'_>, said: Options, leaving: Option<IpAddr>) {
    if !said.changed {
        return;
    }
    let bytes = buffer.edit();
    if said.route_written
        && let Some(IpAddr::V4(leaving)) = leaving
        && let Some(option) = bytes.get_mut(said.route.map_or(0, usize::from)..)
    {
        put(option, pointer(option).saturating_sub(4), leaving.octets());
    }
    build::finish_v4_header(bytes);
}

/// The options of an ICMP error that `source` sends about a packet (kernel `__ip_options_echo`,
/// `ip_options_build`).
///
/// # Errors
/// There is less room than one address or time needs, and no error is sent.
pub(crate) fn echo(
    packet: &Packet<'_>,
    said: Options,
    (source, host, now): (IpAddr, &Host, Timestamp),
) -> Result<Vec<u8>, &'static str> {
    const NO_ROOM: &str = "its options leave no room for the answer's address";
    let mut echoed = Vec::new();
    let of = |at: u8| {
        let option = packet.bytes().get(usize::from(at)..)?;
        option.get(..usize::from(*option.get(1)?))
    };
    let source = match source {
        IpAddr::V4(source) => source,
        IpAddr::V6(_) => Ipv4Addr::UNSPECIFIED,
    };
    if let Some(option) = said.route.and_then(of) {
        let mut option = option.to_vec();
        let at = pointer(&option);
        if said.route_written && at < option.len() {
            if at + 4 > option.len() {
                return Err(NO_ROOM);
            }
            put(&mut option, at, source.octets());
            advance(&mut option, 4);
        }
        echoed.extend(option);
    }
    if let Some(option) = said.times.and_then(of) {
        let mut option = option.to_vec();
        let mut at = pointer(&option);
        if at < option.len() {
            if said.address_written {
                if at + 4 > option.len() {
                    return Err(NO_ROOM);
                }
                put(&mut option, at, source.octets());
                at += 4;
            }
            if said.time_written {
                if at + 4 > option.len() {
                    return Err(NO_ROOM);
                }
                let of_these = option.get(3).is_some_and(|f| f & 15 == times::OF_THESE);
                if !of_these {
                    put(&mut option, at, time_of_day(now));
                    at += 4;
                } else if at + 8 <= option.len() && !elsewhere(&option, at, host) {
                    put(&mut option, at + 4, time_of_day(now));
                    at += 8;
                }
            }
            if let Some(pointer) = option.get_mut(2) {
                *pointer = (at + 1) as u8;
            }
        }
        echoed.extend(option);
    }
    echoed.resize(echoed.len().next_multiple_of(4), END);
    Ok(echoed)
}

/// Where an option's next entry goes. The pointer counts from 1, at the option's first byte.
fn pointer(option: &[u8]) -> usize {
    usize::from(option.get(2).copied().unwrap_or(0)).saturating_sub(1)
}

fn advance(option: &mut [u8], by: u8) {
    if let Some(pointer) = option.get_mut(2) {
        *pointer = pointer.wrapping_add(by);
    }
}

fn put(option: &mut [u8], at: usize, value: [u8; 4]) {
    if let Some(field) = option.get_mut(at..at + 4) {
        field.copy_from_slice(&value);
    }
}

/// Whether the address whose time is asked for is another host's.
fn elsewhere(option: &[u8], at: usize, host: &Host) -> bool {
    let octets: Option<&[u8; 4]> = option.get(at..).and_then(|o| o.first_chunk());
    octets.is_some_and(|octets| {
        host.kind(IpAddr::V4(Ipv4Addr::from(*octets))) == AddressKind::Unicast
    })
}

/// Milliseconds since midnight, universal time (kernel `inet_current_timestamp`).
fn time_of_day(now: Timestamp) -> [u8; 4] {
    const DAY: u64 = 86_400_000;
    ((now.0 / 1_000_000 % DAY) as u32).to_be_bytes()
}

/// What timestamps are to be recorded (RFC 791).
mod times {
    pub(super) const ALONE: u8 = 0;
    pub(super) const WITH_ADDRESSES: u8 = 1;
    pub(super) const OF_THESE: u8 = 3;
    pub(super) const KNOWN: [u8; 3] = [ALONE, WITH_ADDRESSES, OF_THESE];
}

/// An option that is written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Record {
    /// Where it begins.
    at: usize,
    /// Whether there is room for another entry.
    room: bool,
}

/// What options say.
#[derive(Debug, PartialEq, Eq)]
struct Found {
    /// Where they end.
    end: usize,
    /// A recorded route.
    route: Option<Record>,
    /// Timestamps.
    times: Option<Record>,
}

/// `None` when options are not to be taken.
fn read(options: &[u8]) -> Option<Found> {
    let mut at = 0;
    let (mut route, mut times) = (None, None);
    while let Some(&kind) = options.get(at) {
        match kind {
            END => {
                return Some(Found {
                    end: at,
                    route,
                    times,
                });
            }
            NOTHING => {
                at += 1;
                continue;
            }
            _ => {}
        }
        let length = usize::from(*options.get(at + 1)?);
        let option = options.get(at..at + length)?;
        let byte = |i: usize| option.get(i).copied();
        match kind {
            _ if length < 2 => return None,
            LOOSE_ROUTE | STRICT_ROUTE | SECURITY_LABEL => return None,
            RECORD_ROUTE => {
                let pointer = usize::from(byte(2)?);
                let room = pointer > length || pointer + 3 <= length;
                if route.is_some() || pointer < 4 || !room {
                    return None;
                }
                route = Some(Record {
                    at,
                    room: pointer <= length,
                });
            }
            TIMESTAMP => {
                let (pointer, flags) = (usize::from(byte(2)?), byte(3)?);
                if times.is_some() || pointer < 5 {
                    return None;
                }
                let room = pointer <= length;
                let needed = match flags & 15 {
                    times::WITH_ADDRESSES | times::OF_THESE => 7,
                    _ => 3,
                };
                if room && pointer + needed > length || !room && flags >> 4 == 15 {
                    return None;
                }
                // Of other kinds nothing is known but that they are full.
                if !room || times::KNOWN.contains(&(flags & 15)) {
                    times = Some(Record { at, room });
                }
            }
            ROUTER_ALERT if length < 4 => return None,
            _ => {}
        }
        at += length;
    }
    Some(Found {
        end: at,
        route,
        times,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recorded_route_gets_our_address_while_there_is_room() {
        let own: IpAddr = "203.0.113.1".parse().unwrap();
        let host = Host::default();
        for (pointer, written) in [(4, true), (8, false)] {
            let mut ip = build::Ip::new("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
            ip.options = vec![7, 7, pointer, 0, 0, 0, 0, 0];
            let bytes = build::udp(&ip, 1, 2, b"");
            let packet = Packet::parse(&bytes).unwrap();
            let mut buffer = Buffer::new(packet, Vec::new());
            let said = compile(&mut buffer, Some(own), &host, Timestamp::default()).unwrap();
            assert_eq!(buffer.changed(), written);
            assert_eq!(buffer.packet().header_checksum_ok(), !written);
            if written {
                assert_eq!(&buffer.bytes()[20..28], [7, 7, 8, 203, 0, 113, 1, 0]);
            }
            forwarded(&mut buffer, said, Some("203.0.113.9".parse().unwrap()));
            assert!(buffer.packet().header_checksum_ok());
            if written {
                assert_eq!(&buffer.bytes()[20..28], [7, 7, 8, 203, 0, 113, 9, 0]);
            }
        }
    }

    #[test]
    fn an_answer_echoes_routes_and_times() {
        let own: IpAddr = "203.0.113.1".parse().unwrap();
        let host = Host::new([own], []);
        let now = Timestamp(86_400_000_000_000 + 0x0102_0304 * 1_000_000);
        // Options as they came, and of an answer, if there is one.
        let rows: &[(&[u8], Option<&[u8]>)] = &[
            (&[1, 1, 1, 0], Some(&[])),
            (&[148, 4, 0, 0], Some(&[])),
            (
                &[1, 7, 7, 4, 0, 0, 0, 0],
                Some(&[7, 7, 8, 203, 0, 113, 1, 0]),
            ),
            (&[7, 7, 8, 9, 9, 9, 9, 0], Some(&[7, 7, 8, 9, 9, 9, 9, 0])),
            (&[7, 9, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0], None),
            (
                &[7, 11, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0],
                Some(&[7, 11, 12, 203, 0, 113, 1, 203, 0, 113, 1, 0]),
            ),
            (
                &[68, 4, 5, 0, 7, 3, 4, 0],
                Some(&[7, 3, 4, 68, 4, 5, 16, 0]),
            ),
            (
                &[68, 12, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0],
                Some(&[68, 12, 13, 0, 1, 2, 3, 4, 1, 2, 3, 4]),
            ),
            (
                &[68, 12, 5, 1, 0, 0, 0, 0, 0, 0, 0, 0],
                Some(&[68, 12, 13, 1, 203, 0, 113, 1, 1, 2, 3, 4]),
            ),
            (
                &[68, 12, 5, 3, 203, 0, 113, 1, 0, 0, 0, 0],
                Some(&[68, 12, 13, 3, 203, 0, 113, 1, 1, 2, 3, 4]),
            ),
            (
                &[68, 12, 5, 3, 203, 0, 113, 2, 0, 0, 0, 0],
                Some(&[68, 12, 5, 3, 203, 0, 113, 2, 0, 0, 0, 0]),
            ),
            (&[68, 8, 5, 2, 0, 0, 0, 0], Some(&[])),
        ];
        for (options, wanted) in rows {
            let mut ip = build::Ip::new("192.0.2.1".parse().unwrap(), own);
            ip.options = options.to_vec();
            let bytes = build::udp(&ip, 1, 2, b"");
            let mut buffer = Buffer::new(Packet::parse(&bytes).unwrap(), Vec::new());
            let said = compile(&mut buffer, Some(own), &host, now).unwrap();
            let echoed = echo(&buffer.packet(), said, (own, &host, now));
            assert_eq!(echoed.ok().as_deref(), *wanted, "{options:02x?}");
        }
    }

    #[test]
    fn options_that_are_taken_and_that_are_not() {
        let rows: &[(&[u8], Option<usize>)] = &[
            (&[1, 1, 1, 0], Some(3)),
            (&[1, 0, 9, 9], Some(1)),
            (&[148, 4, 0, 0], Some(4)),
            (&[148, 3, 0, 0], None),
            (&[0xff, 0, 0, 0], None),
            (&[0xff, 4, 9, 9], Some(4)),
            (&[0xff, 5, 9, 9], None),
            (&[7, 0, 0, 0], None),
            (&[7, 7, 4, 0, 0, 0, 0, 0], Some(7)),
            (&[7, 7, 5, 0, 0, 0, 0, 0], None),
            (&[7, 3, 4, 7, 3, 4, 0, 0], None),
            (&[68, 4, 5, 0], Some(4)),
            (&[68, 4, 5, 0xf0], None),
            (&[131, 7, 4, 10, 2, 0, 7, 0], None),
        ];
        for (options, end) in rows {
            assert_eq!(read(options).map(|f| f.end), *end, "{options:02x?}");
        }
    }
}
