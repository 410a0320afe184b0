//! SNMP behind a translation: the client's address where it stands as a value in a message.
//!
//! As the kernel (`nf_nat_snmp_basic_main.c`), which runs this for connections of the `snmp` and `snmp_trap` helpers:
//! - only values of type IpAddress that are the client's own address are changed, into its public one, and that in both
//!   directions: the public address in an answer stays;
//! - a message that is not understood drops the packet. Understood are versions 1 and 2c without the trap of version 1; a
//!   message with an empty list of variables is not;
//! - BER is read as the kernel's decoder reads it: definite lengths of at most two bytes, and, where a type may have
//!   other types inside, the bit that says so may be missing.

use std::net::{IpAddr, Ipv4Addr};

use palisade_wire::udp::Udp;

use super::{Call, HelperState, Word};
use crate::tuple::Direction;

/// Port of the agents, and of those that traps go to.
const AGENT: u16 = 161;
const TRAPS: u16 = 162;

/// Reads one trap (kernel `help`).
pub(super) fn trap(_: &mut HelperState, call: &mut Call<'_, '_>) -> Word {
    translate(call)
}

/// Rewrites one message (kernel `help`, `snmp_translate`).
pub(super) fn translate(call: &mut Call<'_, '_>) -> Word {
    let packet = call.packet();
    let transport = packet.transport();
    let Some(udp) = Udp::new(transport) else {
        return Word::Pass;
    };
    if udp.source_port() == AGENT && call.direction() != Direction::Reply
        || udp.destination_port() == TRAPS && call.direction() != Direction::Original
        || !call.translated()
    {
        return Word::Pass;
    }
    if usize::from(udp.length()) != packet.transport_len() {
        return Word::Drop("the length of UDP is not that of the packet");
    }
    let own = call.tuple(Direction::Original).source;
    let public = call.tuple(Direction::Reply).destination;
    let (IpAddr::V4(own), IpAddr::V4(public)) = (own, public) else {
        return Word::Pass;
    };
    if own == public {
        return Word::Pass;
    }
    let Some(places) = addresses(call.payload(), own) else {
        return Word::Drop("an SNMP message that is not understood");
    };
    for at in places {
        if !call.replace(at..at + 4, &public.octets()) {
            return Word::Drop("cannot be rewritten");
        }
    }
    Word::Pass
}

/// Types, as their tags say them.
mod tag {
    pub(super) const INTEGER: u8 = 0x02;
    pub(super) const STRING: u8 = 0x04;
    pub(super) const NULL: u8 = 0x05;
    pub(super) const OBJECT: u8 = 0x06;
    pub(super) const SEQUENCE: u8 = 0x30;
    pub(super) const ADDRESS: u8 = 0x40;
    /// Kinds of messages, in the order in which the kernel tries them: get, get-next, get-bulk, response, set, inform,
    /// trap of version 2, report.
    pub(super) const MESSAGES: [u8; 8] = [0xa0, 0xa1, 0xa5, 0xa2, 0xa3, 0xa6, 0xa7, 0xa8];
    /// Values, in the order in which the kernel tries them, and whether only when none before was there.
    pub(super) const VALUES: [(u8, bool); 13] = [
        (INTEGER, false),
        (STRING, true),
        (OBJECT, true),
        (ADDRESS, false),
        // Counter32, TimeTicks, Opaque, Counter64, Unsigned32.
        (0x41, false),
        (0x43, false),
        (0x44, false),
        (0x46, false),
        (0x42, false),
        (NULL, true),
        // noSuchObject, noSuchInstance, endOfMibView.
        (0x80, true),
        (0x81, true),
        (0x82, true),
    ];
    /// The bit of types that have others inside.
    pub(super) const INSIDE: u8 = 0x20;
}

/// Where values of the address stand in a message; `None` when it is not understood.
fn addresses(data: &[u8], own: Ipv4Addr) -> Option<Vec<usize>> {
    let mut reader = Reader {
        data,
        at: 0,
        end: data.len(),
        matched: false,
        own,
        found: Vec::new(),
    };
    reader.message()?;
    Some(reader.found)
}

/// A position in a message (kernel `asn1_ber_decoder`).
struct Reader<'d> {
    data: &'d [u8],
    at: usize,
    /// End of the innermost type of definite length.
    end: usize,
    /// Whether the last thing that was tried was there.
    matched: bool,
    own: Ipv4Addr,
    found: Vec<usize>,
}

/// What was around a type with others inside: its end, or nothing if the type's own length is indefinite.
type Outer = Option<usize>;

impl Reader<'_> {
    fn byte(&mut self) -> Option<u8> {
        let byte = self.data.get(self.at).copied();
        self.at += 1;
        byte
    }

    fn left(&self) -> usize {
        self.end.saturating_sub(self.at)
    }

    /// Looks for a type: `Some(None)` when another stands there, else its length (`None`: indefinite).
    fn try_type(&mut self, wanted: u8) -> Option<Option<Option<usize>>> {
        const LONG: u8 = 0x1f;
        self.matched = false;
        if self.left() < 2 {
            return None;
        }
        let tag = self.byte()?;
        if tag & LONG == LONG {
            return None;
        }
        if (tag ^ wanted) & !(wanted & tag::INSIDE) != 0 {
            self.at -= 1;
            return Some(None);
        }
        self.matched = true;
        let mut length = usize::from(self.byte()?);
        if length == 0x80 {
            let possible = tag & tag::INSIDE != 0 && self.left() >= 2;
            return possible.then_some(Some(None));
        }
        if length > 0x80 {
            let bytes = length - 0x80;
            if bytes > 2 || bytes > self.left() {
                return None;
            }
            length = 0;
            for _ in 0..bytes {
                length = length << 8 | usize::from(self.byte()?);
            }
        }
        (length <= self.left()).then_some(Some(Some(length)))
    }

    /// A type that must be there, without others inside: its place.
    fn leaf(&mut self, wanted: u8) -> Option<std::ops::Range<usize>> {
        let length = self.try_type(wanted)???;
        let start = self.at;
        self.at += length;
        Some(start..self.at)
    }

    /// A type that must be there, with others inside.
    fn open(&mut self, wanted: u8) -> Option<Outer> {
        let length = self.try_type(wanted)??;
        Some(self.enter(length))
    }

    fn enter(&mut self, length: Option<usize>) -> Outer {
        length.map(|length| std::mem::replace(&mut self.end, self.at + length))
    }

    /// The end of a type with others inside must be here.
    fn close(&mut self, outer: Outer) -> Option<()> {
        match outer {
            Some(outer) => {
                let whole = self.at == self.end;
                self.end = outer;
                whole.then_some(())
            }
            None => {
                let zeros = self.left() >= 2 && self.byte()? == 0 && self.byte()? == 0;
                zeros.then_some(())
            }
        }
    }

    /// Whether a list has another member.
    fn goes_on(&self, outer: Outer) -> bool {
        match outer {
            Some(_) => self.at < self.end,
            None => self.left() >= 2 && self.data.get(self.at) != Some(&0),
        }
    }

    fn message(&mut self) -> Option<()> {
        let whole = self.open(tag::SEQUENCE)?;
        let version = self.leaf(tag::INTEGER)?;
        // 0 is version 1, 1 is 2c.
        if !matches!(self.data.get(version)?, [0 | 1]) {
            return None;
        }
        self.leaf(tag::STRING)?;
        for kind in tag::MESSAGES {
            if self.at == self.end {
                continue;
            }
            if let Some(length) = self.try_type(kind)? {
                let outer = self.enter(length);
                self.variables(outer)?;
                self.matched = true;
            }
        }
        if !self.matched {
            return None;
        }
        self.close(whole)
    }

    /// Three numbers, and a list of names and values.
    fn variables(&mut self, outer: Outer) -> Option<()> {
        for _ in 0..3 {
            self.leaf(tag::INTEGER)?;
        }
        let list = self.open(tag::SEQUENCE)?;
        loop {
            let one = self.open(tag::SEQUENCE)?;
            self.leaf(tag::OBJECT)?;
            self.value()?;
            self.close(one)?;
            if !self.goes_on(list) {
                break;
            }
        }
        self.close(list)?;
        self.close(outer)
    }

    fn value(&mut self) -> Option<()> {
        for (kind, only_first) in tag::VALUES {
            if only_first && self.matched || self.at == self.end {
                continue;
            }
            // None of these has an indefinite length: none may have others inside.
            let Some(length) = self.try_type(kind)? else {
                continue;
            };
            let start = self.at;
            self.at += length?;
            if kind == tag::ADDRESS {
                let bytes: [u8; 4] = self.data.get(start..self.at)?.try_into().ok()?;
                if Ipv4Addr::from(bytes) == self.own {
                    self.found.push(start);
                }
            }
        }
        self.matched.then_some(())
    }
}

#[cfg(test)]
mod tests {
    use palisade_wire::proto;

    use super::*;
    use crate::helper::testing::{Said, Session};
    use Direction::{Original, Reply};

    /// A type of definite length.
    fn ber(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
        let inside = parts.concat();
        let mut bytes = vec![tag];
        match inside.len() {
            length @ 0..0x80 => bytes.push(length as u8),
            length => bytes.extend([0x82, (length >> 8) as u8, length as u8]),
        }
        bytes.extend(inside);
        bytes
    }

    fn number(value: u8) -> Vec<u8> {
        ber(tag::INTEGER, &[&[value]])
    }

    fn variable(value: &[u8]) -> Vec<u8> {
        ber(tag::SEQUENCE, &[&ber(tag::OBJECT, &[&[43, 6, 1]]), value])
    }

    fn message(version: u8, kind: u8, variables: &[&[u8]]) -> Vec<u8> {
        let list = ber(tag::SEQUENCE, variables);
        let body = ber(kind, &[&number(1), &number(0), &number(0), &list]);
        let community = ber(tag::STRING, &[b"public"]);
        ber(tag::SEQUENCE, &[&number(version), &community, &body])
    }

    fn address(text: &str) -> Vec<u8> {
        let address: Ipv4Addr = text.parse().unwrap();
        ber(tag::ADDRESS, &[&address.octets()])
    }

    fn say(helper: &'static str, port: u16, direction: Direction, payload: &[u8]) -> Said {
        let mut session = Session::new(helper, proto::UDP, port, true);
        if direction == Reply {
            session.say(Original, &message(1, 0xa0, &[&variable(&[5, 0])]));
        }
        session.say(direction, payload)
    }

    #[test]
    fn the_clients_own_address_becomes_its_public_one_in_either_direction() {
        let with = |one: &str| {
            let values = [
                variable(&address(one)),
                variable(&number(9)),
                variable(&address(one)),
            ];
            message(1, 0xa2, &[&values[0], &values[1], &values[2]])
        };
        for (helper, port, direction, before, after) in [
            ("snmp", 161, Original, "10.0.0.2", "198.51.100.1"),
            ("snmp", 161, Reply, "10.0.0.2", "198.51.100.1"),
            ("snmp", 161, Reply, "198.51.100.1", "198.51.100.1"),
            ("snmp", 161, Reply, "192.0.2.1", "192.0.2.1"),
            ("snmp_trap", 162, Original, "10.0.0.2", "198.51.100.1"),
            // Answers to traps are left alone.
            ("snmp_trap", 1162, Reply, "10.0.0.2", "198.51.100.1"),
        ] {
            let said = say(helper, port, direction, &with(before));
            assert_eq!(said.dropped, None, "{helper} {direction:?}");
            assert!(
                said.bytes.ends_with(&with(after)),
                "{helper} {direction:?} {before}"
            );
            said.text();
        }
    }

    #[test]
    fn what_is_understood_is_what_the_kernel_understands() {
        let own = address("10.0.0.2");
        let name = ber(tag::OBJECT, &[&[43]]);
        let community = ber(tag::STRING, &[b"public"]);
        let numbers = [number(1), number(0), number(0)].concat();
        let one = variable(&[5, 0]);
        let list = ber(tag::SEQUENCE, &[&one]);
        let body = |kind| ber(kind, &[&numbers, &list]);
        let whole = |parts: &[&[u8]]| {
            ber(
                tag::SEQUENCE,
                &[&[number(1), community.clone()].concat(), &parts.concat()],
            )
        };
        let long = ber(tag::STRING, &[&[b'x'; 300]]);
        for (what, bytes, understood) in [
            ("version 1", message(0, 0xa0, &[&one]), true),
            ("version 3", message(3, 0xa0, &[&one]), false),
            ("a trap of version 1", message(0, 0xa4, &[&one]), false),
            ("a report", message(1, 0xa8, &[&one]), true),
            ("an unknown message", message(1, 0xa9, &[&one]), false),
            ("no variables", message(1, 0xa0, &[]), false),
            (
                "a name without a value",
                message(1, 0xa0, &[&variable(&[])]),
                true,
            ),
            (
                "an unknown value",
                message(1, 0xa0, &[&variable(&[0x45, 0])]),
                false,
            ),
            ("a long value", message(1, 0xa2, &[&variable(&long)]), true),
            (
                "a number and an address",
                message(1, 0xa2, &[&variable(&[number(1), own.clone()].concat())]),
                true,
            ),
            (
                "an address and a number",
                message(1, 0xa2, &[&variable(&[own.clone(), number(1)].concat())]),
                false,
            ),
            (
                "an address of five bytes",
                message(1, 0xa2, &[&variable(&[0x40, 5, 1, 2, 3, 4, 5])]),
                false,
            ),
            ("no message", whole(&[]), true),
            (
                "two messages, in order",
                whole(&[&body(0xa0), &body(0xa2)]),
                true,
            ),
            (
                "two messages, out of order",
                whole(&[&body(0xa2), &body(0xa0)]),
                false,
            ),
            (
                "one without the bit of types with others inside",
                whole(&[&body(0x80)]),
                true,
            ),
            (
                "something behind",
                [message(1, 0xa0, &[&one]), vec![1, 2, 3]].concat(),
                true,
            ),
            ("cut short", message(1, 0xa0, &[&one])[..20].to_vec(), false),
            ("nothing", Vec::new(), false),
            ("text", b"hello".to_vec(), false),
            (
                "a variable of indefinite length with an empty value",
                message(
                    1,
                    0xa0,
                    &[&[&[0x30, 0x80][..], &name, &[5, 0, 0, 0]].concat()],
                ),
                true,
            ),
            (
                "one with a number",
                message(
                    1,
                    0xa0,
                    &[&[&[0x30, 0x80][..], &name, &number(1), &[0, 0]].concat()],
                ),
                false,
            ),
            (
                "a list of indefinite length",
                whole(&[&ber(0xa0, &[&numbers, &[0x30, 0x80], &one, &one, &[0, 0]])]),
                true,
            ),
            (
                "one without its end",
                whole(&[&ber(0xa0, &[&numbers, &[0x30, 0x80], &one, &one])]),
                false,
            ),
            (
                "a length of three bytes",
                whole(&[
                    &[0xa0, 0x83, 0, 0, (numbers.len() + list.len()) as u8],
                    &numbers,
                    &list,
                ]),
                false,
            ),
        ] {
            let said = say("snmp", 161, Original, &bytes);
            assert_eq!(said.dropped.is_none(), understood, "{what}");
        }
    }

    #[test]
    fn without_a_translation_nothing_is_read() {
        let mut session = Session::new("snmp", proto::UDP, 161, false);
        assert_eq!(session.say(Original, b"hello").dropped, None);
    }

    #[test]
    fn every_prefix_and_every_changed_byte_is_safe() {
        let whole = message(
            1,
            0xa2,
            &[&variable(&address("10.0.0.2")), &variable(&[5, 0])],
        );
        for end in 0..whole.len() {
            assert!(say("snmp", 161, Original, &whole[..end]).dropped.is_some());
        }
        for at in 0..whole.len() {
            for value in 0..=255 {
                let mut bytes = whole.clone();
                bytes[at] = value;
                say("snmp", 161, Original, &bytes);
            }
        }
    }
}
