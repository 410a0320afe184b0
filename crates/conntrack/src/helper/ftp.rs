//! FTP (RFC 959, RFC 2428): PORT and EPRT from the client, 227 and 229 from the server.
//!
//! The behaviour is the kernel's (`nf_conntrack_ftp.c`), which is peculiar in places:
//! - a line is read only when the segment starts just behind a newline seen before, so the
//!   first data segment of each direction is never read;
//! - a line that begins like an announcement but does not parse drops the packet;
//! - numbers are added up without a range check, as the kernel does it.
//!
//! This file is the worked example for further helpers: a state, `inspect`, the translation of what was
//! announced, and pure parsers below.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::Range;

use palisade_wire::{SeqNumber, proto};

use super::{Call, HelperState, Proposal, Word};
use crate::State;
use crate::expect::{Follow, Refused};
use crate::snapshot::{In, Out};

/// Positions just behind a newline, the last two of each direction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FtpState {
    after_newline: [Positions; 2],
}

impl FtpState {
    pub(super) fn save(&self, out: &mut Out) {
        for positions in &self.after_newline {
            out.byte(positions.known.min(2) as u8);
            for at in positions.at {
                out.u32(at.0);
            }
        }
    }

    pub(super) fn load(input: &mut In<'_>) -> Option<Self> {
        let mut state = FtpState::default();
        for positions in &mut state.after_newline {
            positions.known = input.byte().filter(|known| *known <= 2)?.into();
            positions.at = [SeqNumber(input.u32()?), SeqNumber(input.u32()?)];
        }
        Some(state)
    }
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

/// How an announcement is written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// `192,0,2,1,4,5`.
    Numbers,
    /// `|1|192.0.2.1|1029|`.
    Eprt,
    /// `|||1029|`.
    Epsv,
}

/// What one announcement looks like.
struct Search {
    pattern: &'static [u8],
    form: Form,
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
            form: Form::Numbers,
            skip: Some(b' '),
            numbers: |data, _| six_numbers(data, Some(b'\r')),
        },
        Search {
            pattern: b"EPRT",
            form: Form::Eprt,
            skip: Some(b' '),
            numbers: eprt,
        },
    ],
    [
        Search {
            pattern: b"227 ",
            form: Form::Numbers,
            skip: None,
            numbers: |data, _| pasv(data),
        },
        Search {
            pattern: b"229 ",
            form: Form::Epsv,
            skip: Some(b'('),
            numbers: |data, _| epsv(data),
        },
    ],
];

/// Reads one segment of a control connection.
pub(super) fn inspect(state: &mut HelperState, call: &mut Call<'_, '_>) -> Word {
    if *state == HelperState::None {
        *state = HelperState::Ftp(Box::default());
    }
    let HelperState::Ftp(state) = state else {
        return Word::Pass;
    };
    let payload = call.payload();
    if call.state() != State::Established || payload.is_empty() {
        return Word::Pass;
    }
    let side = call.direction().index();
    let seq = call.seq();
    // Counted as it came: what a translation adds is not in the sender's numbers.
    let behind = (payload.last() == Some(&b'\n')).then(|| seq + payload.len() as u32);
    let word = if state.after_newline[side].contains(seq) {
        read_line(call)
    } else {
        Word::Pass
    };
    // A command that was understood and not kept drops the packet, and its end counts all the same.
    if word != Word::Drop(GARBLED[side])
        && let Some(behind) = behind
    {
        state.after_newline[side].remember(behind);
    }
    word
}

/// Why a packet is dropped whose announcement is not understood, by direction.
const GARBLED: [&str; 2] = [
    "a PORT or EPRT command that is cut short or garbled",
    "a 227 or 229 answer that is cut short or garbled",
];

fn read_line(call: &mut Call<'_, '_>) -> Word {
    let direction = call.direction();
    let own = call.tuple(direction).source;
    let other = call.tuple(direction.opposite());
    for search in &SEARCHES[direction.index()] {
        match find(call.payload(), search, own.is_ipv6()) {
            Found::No => {}
            Found::Partial => return Word::Drop(GARBLED[direction.index()]),
            Found::Yes { from, announcement } => {
                let mut destination = other.destination;
                if let Some(address) = announcement.address
                    && address != own
                {
                    if !call.options().ftp_loose {
                        return Word::Pass;
                    }
                    destination = address;
                }
                let at = from..from + announcement.length;
                let mut proposal =
                    Proposal::new(destination, announcement.port, proto::TCP).from(other.source);
                proposal.announced = 0..at.end;
                return if call.translated() {
                    translate(call, proposal, search.form, at)
                } else {
                    match call.expect(&proposal) {
                        Ok(_) => Word::Pass,
                        Err(refused) => Word::Drop(refused.reason()),
                    }
                };
            }
        }
    }
    Word::Pass
}

/// The announcement is rewritten to say where the data connection will really go, and that one follows
/// its parent's translation (kernel `nf_nat_ftp`).
fn translate(
    call: &mut Call<'_, '_>,
    mut proposal: Proposal,
    form: Form,
    at: Range<usize>,
) -> Word {
    let wanted = proposal.destination_port;
    let address = call.tuple(call.direction().opposite()).destination;
    proposal.saved_port = wanted;
    proposal.direction = call.direction().opposite();
    proposal.follow = Follow::Master;
    let (id, port) = match call.expect_near(&mut proposal, wanted) {
        // No port is the kernel's word for failure.
        Ok((_, 0)) | Err(Refused::Clash) => return Word::Drop("all ports are in use"),
        Ok(found) => found,
        Err(refused) => return Word::Drop(refused.reason()),
    };
    let text = match (form, address) {
        (Form::Numbers, IpAddr::V4(a)) => {
            let [a, b, c, d] = a.octets();
            format!("{a},{b},{c},{d},{},{}", port >> 8, port & 0xff)
        }
        (Form::Eprt, IpAddr::V4(a)) => format!("|1|{a}|{port}|"),
        (Form::Eprt, IpAddr::V6(a)) => {
            let groups = a.segments().map(|s| format!("{s:04x}")).join(":");
            format!("|2|{groups}|{port}|")
        }
        (Form::Epsv, _) => format!("|||{port}|"),
        // PORT and PASV in IPv6 have no form.
        (Form::Numbers, IpAddr::V6(_)) => {
            call.unexpect(id);
            return Word::Drop("cannot be rewritten");
        }
    };
    if call.replace(at, text.as_bytes()) {
        Word::Pass
    } else {
        call.unexpect(id);
        Word::Drop("the packet would grow too long")
    }
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
    use crate::helper::testing::{PUBLIC, Said, Session};
    use crate::tuple::Direction;
    use Direction::{Original, Reply};

    /// Says `line` in the middle of a conversation.
    fn say(direction: Direction, line: &str, translated: bool, loose: bool) -> (Session, Said) {
        let mut config = Config::default();
        config.helpers.ftp_loose = loose;
        let mut session = Session::with("ftp", proto::TCP, 21, translated, config);
        // The first line of a direction is never read.
        session.say(direction, b"220 hello\r\n");
        let said = session.say(direction, line.as_bytes());
        (session, said)
    }

    #[test]
    fn announcements_that_are_understood() {
        for (direction, line, expect) in [
            (
                Original,
                "PORT 10,0,0,2,4,5\r\n",
                "src=192.0.2.1 dst=10.0.0.2 sport=any dport=1029",
            ),
            (Original, "port 10,0,0,2,0,21\r\n", "dport=21 "),
            (Original, "EPRT |1|10.0.0.2|1029|\r\n", "dport=1029 "),
            (
                Reply,
                "227 Entering Passive Mode (192,0,2,1,195,80).\r\n",
                "src=10.0.0.2 dst=192.0.2.1 sport=any dport=50000",
            ),
            (Reply, "227 192,0,2,1,195,80\r\n", "dport=50000 "),
            (
                Reply,
                "229 Entering Extended Passive Mode (|||50000|)\r\n",
                "dport=50000 ",
            ),
            (Reply, "229 x (!!!50000!)\r\n", "dport=50000 "),
            // A byte over 255 spills into its neighbour.
            (Original, "PORT 10,0,0,2,20,257\r\n", "dport=5377 "),
            (Original, "PORT 10,0,0,2,0,0\r\n", "dport=0 "),
        ] {
            let (session, said) = say(direction, line, false, false);
            assert_eq!(said.dropped, None, "{line}");
            let all = session.expectations();
            assert!(all.len() == 1 && all[0].contains(expect), "{line} {all:?}");
            assert!(said.announced.is_some());
        }
    }

    #[test]
    fn garbled_announcements_drop_the_packet() {
        for (direction, line) in [
            (Original, "PORT 10,0,0,2,4\r\n"),
            (Original, "PORT 10,0,0,2,4,5"),
            (Original, "PO"),
            (Original, "EPRT |2|2001:db8::9|1029|\r\n"),
            (Original, "EPRT |1|10.0.0.2|0|\r\n"),
            (Reply, "227 ok\r\n"),
            (Reply, "229 (|1|192.0.2.1|50000|)\r\n"),
            (Reply, "22"),
        ] {
            let (session, said) = say(direction, line, false, false);
            assert!(said.dropped.is_some(), "{line}");
            assert!(session.expectations().is_empty());
        }
    }

    #[test]
    fn a_third_hosts_address_is_ignored_unless_loose() {
        let line = "PORT 198,51,100,7,4,5\r\n";
        let (session, said) = say(Original, line, false, false);
        assert_eq!((said.dropped, session.expectations().len()), (None, 0));
        let (session, _) = say(Original, line, false, true);
        assert!(session.expectations()[0].contains("dst=198.51.100.7"));
    }

    #[test]
    fn the_first_data_segment_of_a_direction_is_never_read() {
        let mut session = Session::new("ftp", proto::TCP, 21, false);
        session.say(Original, b"PORT 10,0,0,2,4,5\r\n");
        assert!(session.expectations().is_empty());
        session.say(Original, b"PORT 10,0,0,2,4,5\r\n");
        assert_eq!(session.expectations().len(), 1);
    }

    #[test]
    fn a_newer_announcement_evicts_the_older() {
        let (mut session, _) = say(Original, "PORT 10,0,0,2,4,5\r\n", false, false);
        session.say(Original, b"PORT 10,0,0,2,4,6\r\n");
        let all = session.expectations();
        assert!(all.len() == 1 && all[0].contains("dport=1030"), "{all:?}");
    }

    #[test]
    fn behind_a_translation_the_public_address_is_announced_and_later_segments_shifted() {
        let (mut session, said) = say(Original, "PORT 10,0,0,2,4,5\r\n", true, false);
        assert_eq!(said.text(), "PORT 198,51,100,1,4,5\r\n");
        let all = session.expectations();
        assert!(
            all[0].contains("dst=198.51.100.1 sport=any dport=1029"),
            "{all:?}"
        );
        let next = session.say(Original, b"LIST\r\n");
        let packet = palisade_wire::Packet::parse(&next.bytes).unwrap();
        let seq = palisade_wire::tcp::Tcp::new(packet.transport())
            .unwrap()
            .seq();
        let before = 1000 + 1 + "220 hello\r\nPORT 10,0,0,2,4,5\r\n".len() as u32;
        assert_eq!(seq, SeqNumber(before + 4));
        assert_eq!(next.state, State::Established);
        // The server's answers acknowledge the longer text; they are translated back, and in window.
        assert_eq!(session.say(Reply, b"200 ok\r\n").state, State::Established);
        let data = session.opens(proto::TCP, ("192.0.2.1", 20), (PUBLIC, 1029));
        assert_eq!(data.state, State::Related);
        let packet = palisade_wire::Packet::parse(&data.bytes).unwrap();
        assert_eq!(packet.destination().to_string(), "10.0.0.2");
    }

    #[test]
    fn an_announcement_is_forgotten_after_five_minutes() {
        for (seconds, state) in [(299, State::Related), (300, State::New)] {
            let (mut session, _) = say(Original, "PORT 10,0,0,2,4,5\r\n", false, false);
            session.wait(seconds);
            let data = session.opens(proto::TCP, ("192.0.2.1", 20), ("10.0.0.2", 1029));
            assert_eq!(data.state, state, "after {seconds} s");
        }
    }

    #[test]
    fn every_prefix_of_every_line_is_safe() {
        for line in [
            "PORT 10,0,0,2,4,5\r\n",
            "EPRT |1|10.0.0.2|1029|\r\n",
            "227 Entering Passive Mode (192,0,2,1,195,80).\r\n",
            "229 Entering Extended Passive Mode (|||50000|)\r\n",
            "PORT 4294967295,99999999999,0,0,99999,99999\r\n",
        ] {
            for end in 1..=line.len() {
                for direction in [Original, Reply] {
                    for translated in [false, true] {
                        let (session, _) = say(direction, &line[..end], translated, true);
                        assert!(session.expectations().len() <= 1);
                    }
                }
            }
        }
    }

    #[test]
    fn a_least_port_refuses_what_the_kernel_would_expect() {
        let mut config = Config::default();
        config.helpers.least_expected_port = 1024;
        let mut session = Session::with("ftp", proto::TCP, 21, false, config);
        session.say(Original, b"USER x\r\n");
        let said = session.say(Original, b"PORT 10,0,0,2,0,22\r\n");
        assert!(
            said.dropped
                .is_some_and(|why| why.contains("below the least"))
        );
    }
}
