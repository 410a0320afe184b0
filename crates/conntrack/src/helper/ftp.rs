//! FTP (RFC 959, RFC 2428): PORT and EPRT from the client, 227 and 229 from the server.
//!
//! The behaviour is the kernel's (`nf_conntrack_ftp.c`), which is peculiar in places:
//! - a line is read only when the segment starts just behind a newline seen before, so the
//!   first data segment of each direction is never read;
//! - a line that begins like an announcement but does not parse drops the packet;
//! - numbers are added up without a range check, as the kernel does it.
//!
//! This file is the worked example for further helpers: a state, [`inspect`], and pure parsers
//! below it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use palisade_wire::{SeqNumber, proto};

use super::{HelperInput, HelperOutput, Proposal};
use crate::State;
use crate::tuple::Direction;

/// Positions just behind a newline, the last two of each direction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FtpState {
    after_newline: [Positions; 2],
}

/// Up to two sequence numbers (kernel `NUM_SEQ_TO_REMEMBER`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Positions {
    known: usize,
    at: [SeqNumber; 2],
}

impl Positions {
    fn contains(&self, seq: SeqNumber) -> bool {
        self.at[..self.known.min(2)].contains(&seq)
    }

    /// Remembers a position; the older of two makes room if the new one is later than it
    /// (kernel `update_nl_seq`).
    fn remember(&mut self, seq: SeqNumber) {
        if self.contains(seq) {
            return;
        }
        if self.known < 2 {
            self.at[self.known] = seq;
            self.known += 1;
            return;
        }
        let oldest = usize::from(!self.at[0].before(self.at[1]));
        if seq.after(self.at[oldest]) {
            self.at[oldest] = seq;
        }
    }
}

/// What one announcement looks like.
struct Search {
    pattern: &'static [u8],
    /// The numbers begin behind this byte; `None`: right behind the pattern.
    skip: Option<u8>,
    numbers: fn(&[u8], bool) -> Option<Announcement>,
}

/// What an announcement says.
#[derive(Debug, PartialEq, Eq)]
struct Announcement {
    /// `None`: the speaker's own address (EPSV).
    address: Option<IpAddr>,
    port: u16,
    /// Start within what was parsed, and length.
    at: usize,
    length: usize,
}

const SEARCHES: [[Search; 2]; 2] = [
    [
        Search {
            pattern: b"PORT",
            skip: Some(b' '),
            numbers: |data, _| six_numbers(data, Some(b'\r')),
        },
        Search {
            pattern: b"EPRT",
            skip: Some(b' '),
            numbers: eprt,
        },
    ],
    [
        Search {
            pattern: b"227 ",
            skip: None,
            numbers: |data, _| pasv(data),
        },
        Search {
            pattern: b"229 ",
            skip: Some(b'('),
            numbers: |data, _| epsv(data),
        },
    ],
];

/// Reads one segment of a control connection.
pub fn inspect(state: &mut FtpState, input: &HelperInput<'_>) -> HelperOutput {
    if input.state != State::Established || input.payload.is_empty() {
        return HelperOutput::Pass;
    }
    let side = input.direction.index();
    let payload = input.payload;
    let behind = (payload.last() == Some(&b'\n')).then(|| input.seq + payload.len() as u32);
    let output = if state.after_newline[side].contains(input.seq) {
        read_line(input)
    } else {
        HelperOutput::Pass
    };
    if !matches!(output, HelperOutput::Drop(_))
        && let Some(behind) = behind
    {
        state.after_newline[side].remember(behind);
    }
    output
}

fn read_line(input: &HelperInput<'_>) -> HelperOutput {
    let own = input.tuples[input.direction.index()].source;
    let other = input.direction.opposite().index();
    for search in &SEARCHES[input.direction.index()] {
        match find(input.payload, search, own.is_ipv6()) {
            Found::No => {}
            Found::Partial => {
                return HelperOutput::Drop(match input.direction {
                    Direction::Original => "a PORT or EPRT command that is cut short or garbled",
                    Direction::Reply => "a 227 or 229 answer that is cut short or garbled",
                });
            }
            Found::Yes { from, announcement } => {
                let mut destination = input.tuples[other].destination;
                if let Some(address) = announcement.address
                    && address != own
                {
                    if !input.config.ftp_loose {
                        return HelperOutput::Pass;
                    }
                    destination = address;
                }
                return HelperOutput::Expect(Proposal {
                    source: Some(input.tuples[other].source),
                    source_port: None,
                    destination,
                    destination_port: announcement.port,
                    protocol: proto::TCP,
                    announced: 0..from + announcement.length,
                });
            }
        }
    }
    HelperOutput::Pass
}

enum Found {
    No,
    Partial,
    Yes {
        from: usize,
        announcement: Announcement,
    },
}

/// Kernel `find_pattern`.
fn find(data: &[u8], search: &Search, v6: bool) -> Found {
    let pattern = search.pattern;
    if data.len() <= pattern.len() {
        return if data.eq_ignore_ascii_case(&pattern[..data.len()]) {
            Found::Partial
        } else {
            Found::No
        };
    }
    if !data[..pattern.len()].eq_ignore_ascii_case(pattern) {
        return Found::No;
    }
    let mut from = pattern.len();
    if let Some(skip) = search.skip {
        // The byte must not be the last one: numbers follow it.
        let rest = &data[from..data.len() - 1];
        match rest.iter().position(|b| *b == skip) {
            Some(at) => from += at + 1,
            None => return Found::Partial,
        }
    }
    match (search.numbers)(&data[from..], v6) {
        Some(announcement) => Found::Yes {
            from: from + announcement.at,
            announcement,
        },
        None => Found::Partial,
    }
}

/// `count` numbers between separators, then `term` (or, without one, anything that ends the last
/// number). Numbers wrap at 32 bits. Returns them and their length (kernel `try_number`).
fn numbers<const N: usize>(
    data: &[u8],
    separator: u8,
    term: Option<u8>,
) -> Option<([u32; N], usize)> {
    let mut values = [0u32; N];
    let mut i = 0;
    for (at, &byte) in data.iter().enumerate() {
        if i >= N {
            return None;
        }
        if byte.is_ascii_digit() {
            values[i] = values[i]
                .wrapping_mul(10)
                .wrapping_add(u32::from(byte - b'0'));
        } else if byte == separator {
            i += 1;
        } else {
            let ends = term.is_none_or(|t| t == byte);
            return (ends && i == N - 1 && at > 0).then_some((values, at));
        }
    }
    None
}

/// Four numbers as an address. The kernel shifts each to its place without masking it, so a
/// number over 255 spills into its neighbour.
fn ipv4(values: &[u32]) -> IpAddr {
    let bits = values.iter().fold(0u32, |bits, v| (bits << 8) | v);
    IpAddr::V4(Ipv4Addr::from(bits))
}

/// `192,0,2,1,4,5` (kernel `try_rfc959`).
fn six_numbers(data: &[u8], term: Option<u8>) -> Option<Announcement> {
    let (values, length) = numbers::<6>(data, b',', term)?;
    Some(Announcement {
        address: Some(ipv4(&values[..4])),
        port: ((values[4] << 8) | values[5]) as u16,
        at: 0,
        length,
    })
}

/// The answer to PASV: numbers from the first digit on, whatever stands around them (kernel
/// `try_rfc1123`).
fn pasv(data: &[u8]) -> Option<Announcement> {
    let at = data.iter().position(u8::is_ascii_digit)?;
    let mut found = six_numbers(&data[at..], None)?;
    found.at = at;
    Some(found)
}

/// A port up to the delimiter; returns it and the length up to and with the delimiter
/// (kernel `get_port`). Port 0 is refused, larger numbers wrap at 16 bits.
fn port_until(data: &[u8], start: usize, delimiter: u8) -> Option<(u16, usize)> {
    let mut port = 0u16;
    for (at, &byte) in data.iter().enumerate().skip(start) {
        if byte == delimiter {
            return (port != 0).then_some((port, at + 1));
        }
        if !byte.is_ascii_digit() {
            return None;
        }
        port = port.wrapping_mul(10).wrapping_add(u16::from(byte - b'0'));
    }
    None
}

fn delimiter_ok(byte: u8) -> bool {
    !byte.is_ascii_digit() && (33..=126).contains(&byte)
}

/// `|1|192.0.2.1|1029|` or `|2|2001:db8::1|1029|` (kernel `try_eprt`).
fn eprt(data: &[u8], v6: bool) -> Option<Announcement> {
    let &[delimiter, family, second, ..] = data else {
        return None;
    };
    if data.len() <= 3 || !delimiter_ok(delimiter) || second != delimiter {
        return None;
    }
    if family != if v6 { b'2' } else { b'1' } {
        return None;
    }
    let rest = &data[3..];
    let (address, length) = if v6 {
        let end = rest.iter().take(64).position(|b| *b == delimiter)?;
        let text = std::str::from_utf8(&rest[..end]).ok()?;
        (IpAddr::V6(text.parse::<Ipv6Addr>().ok()?), end)
    } else {
        let (values, length) = numbers::<4>(rest, b'.', Some(delimiter))?;
        (ipv4(&values), length)
    };
    let (port, length) = port_until(data, 3 + length + 1, delimiter)?;
    Some(Announcement {
        address: Some(address),
        port,
        at: 0,
        length,
    })
}

/// `|||6446|` (kernel `try_epsv_response`).
fn epsv(data: &[u8]) -> Option<Announcement> {
    let &[delimiter, second, third, ..] = data else {
        return None;
    };
    if data.len() <= 3 || !delimiter_ok(delimiter) || second != delimiter || third != delimiter {
        return None;
    }
    let (port, length) = port_until(data, 3, delimiter)?;
    Some(Announcement {
        address: None,
        port,
        at: 0,
        length,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::tuple::{Tuple, TupleProto};

    fn tuples(v6: bool) -> [Tuple; 2] {
        let (client, server): (IpAddr, IpAddr) = if v6 {
            (
                "2001:db8::9".parse().unwrap(),
                "2001:db8::1".parse().unwrap(),
            )
        } else {
            ("203.0.113.9".parse().unwrap(), "192.0.2.1".parse().unwrap())
        };
        let original = Tuple {
            source: client,
            destination: server,
            protocol: proto::TCP,
            proto: TupleProto::Ports {
                source: 40000,
                destination: 21,
            },
        };
        [original, original.invert().unwrap()]
    }

    /// Says `line` in the middle of a conversation; the answer of the helper.
    fn say(direction: Direction, line: &str, v6: bool, loose: bool) -> HelperOutput {
        let config = Config {
            ftp_loose: loose,
            ..Config::default()
        };
        let tuples = tuples(v6);
        let mut state = FtpState::default();
        let mut input = HelperInput {
            state: State::Established,
            direction,
            tuples: &tuples,
            payload: b"220 hello\r\n",
            seq: SeqNumber(1000),
            config: &config,
        };
        assert_eq!(inspect(&mut state, &input), HelperOutput::Pass);
        input.seq = SeqNumber(1011);
        input.payload = line.as_bytes();
        inspect(&mut state, &input)
    }

    fn port(output: &HelperOutput) -> Option<u16> {
        match output {
            HelperOutput::Expect(p) => Some(p.destination_port),
            _ => None,
        }
    }

    #[test]
    fn announcements_that_are_understood() {
        use Direction::*;
        for (direction, line, v6, expect) in [
            (Original, "PORT 203,0,113,9,4,5\r\n", false, 1029),
            (Original, "port 203,0,113,9,0,21\r\n", false, 21),
            (Original, "EPRT |1|203.0.113.9|1029|\r\n", false, 1029),
            (Original, "EPRT |2|2001:db8::9|1029|\r\n", true, 1029),
            (
                Reply,
                "227 Entering Passive Mode (192,0,2,1,195,80).\r\n",
                false,
                50000,
            ),
            (Reply, "227 192,0,2,1,195,80\r\n", false, 50000),
            (
                Reply,
                "229 Entering Extended Passive Mode (|||50000|)\r\n",
                false,
                50000,
            ),
            (Reply, "229 x (!!!50000!)\r\n", true, 50000),
        ] {
            let output = say(direction, line, v6, false);
            assert_eq!(port(&output), Some(expect), "{line} {output:?}");
        }
    }

    #[test]
    fn garbled_announcements_drop_the_packet() {
        use Direction::*;
        for (direction, line) in [
            (Original, "PORT 203,0,113,9,4\r\n"),
            (Original, "PORT 203,0,113,9,4,5"),
            (Original, "PO"),
            (Original, "EPRT |2|2001:db8::9|1029|\r\n"),
            (Original, "EPRT |1|203.0.113.9|0|\r\n"),
            (Reply, "227 ok\r\n"),
            (Reply, "229 (|1|192.0.2.1|50000|)\r\n"),
            (Reply, "22"),
        ] {
            let output = say(direction, line, false, false);
            assert!(matches!(output, HelperOutput::Drop(_)), "{line} {output:?}");
        }
    }

    #[test]
    fn a_third_hosts_address_is_ignored_unless_loose() {
        let line = "PORT 198,51,100,7,4,5\r\n";
        assert_eq!(
            say(Direction::Original, line, false, false),
            HelperOutput::Pass
        );
        let HelperOutput::Expect(proposal) = say(Direction::Original, line, false, true) else {
            panic!("loose expects it");
        };
        assert_eq!(
            proposal.destination,
            "198.51.100.7".parse::<IpAddr>().unwrap()
        );
    }

    #[test]
    fn the_first_data_segment_of_a_direction_is_never_read() {
        let tuples = tuples(false);
        let config = Config::default();
        let mut state = FtpState::default();
        let input = HelperInput {
            state: State::Established,
            direction: Direction::Original,
            tuples: &tuples,
            payload: b"PORT 203,0,113,9,4,5\r\n",
            seq: SeqNumber(1),
            config: &config,
        };
        assert_eq!(inspect(&mut state, &input), HelperOutput::Pass);
    }

    #[test]
    fn every_prefix_of_every_line_is_safe() {
        for line in [
            "PORT 203,0,113,9,4,5\r\n",
            "EPRT |1|203.0.113.9|1029|\r\n",
            "227 Entering Passive Mode (192,0,2,1,195,80).\r\n",
            "229 Entering Extended Passive Mode (|||50000|)\r\n",
            "PORT 4294967295,99999999999,0,0,99999,99999\r\n",
        ] {
            for end in 1..=line.len() {
                for direction in [Direction::Original, Direction::Reply] {
                    for v6 in [false, true] {
                        if let HelperOutput::Expect(p) = say(direction, &line[..end], v6, true) {
                            assert!(p.announced.end <= end, "{line} {end}");
                        }
                    }
                }
            }
        }
    }
}
