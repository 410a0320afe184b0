//! A rule as far as it can be looked up: a box over addresses, ports, protocol, interfaces and states.

use std::net::IpAddr;

use palisade_rules::matches::conntrack::{Conntrack, StateSet};
use palisade_rules::matches::{Side, icmp::Type, multiport::Multiport};
use palisade_rules::{Base, InterfacePattern, Match, Net, Not, PortRange, Rule};
use palisade_wire::proto;

use super::key::{Address, INPUT, Interfaces, Key, OTHER, OUTPUT, PROTOCOL, misc, word};

/// All ports.
const ANY: (u16, u16) = (0, u16::MAX);

/// All states.
const ALL: u8 = u8::MAX;

/// What a rule asks for before anything in it could leave a trace. A packet outside fails without one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry<A> {
    pub(super) source: A,
    pub(super) destination: A,
    source_ports: (u16, u16),
    destination_ports: (u16, u16),
    misc: u32,
    /// Number from 0.
    pub(super) rule: u32,
    pub(super) source_length: u8,
    pub(super) destination_length: u8,
    states: u8,
    flags: u8,
}

const HAS_PROTOCOL: u8 = 1;
const HAS_INPUT: u8 = 2;
const HAS_OUTPUT: u8 = 4;
/// The parts of `misc` that count, by the flags above.
const MISC: [u32; 8] = [
    0,
    PROTOCOL,
    INPUT,
    INPUT | PROTOCOL,
    OUTPUT,
    OUTPUT | PROTOCOL,
    OUTPUT | INPUT,
    OUTPUT | INPUT | PROTOCOL,
];
/// Other states than those.
const NOT_STATES: u8 = 8;
/// The rule asks for nothing else.
const SURE: u8 = 16;

impl<A: Address> Entry<A> {
    /// Of the rule of a number.
    pub(super) fn new(rule: &Rule, number: u32, interfaces: &mut Interfaces) -> Self {
        let mut entry = Entry {
            source: A::ZERO,
            destination: A::ZERO,
            source_ports: ANY,
            destination_ports: ANY,
            misc: 0,
            rule: number,
            source_length: 0,
            destination_length: 0,
            states: ALL,
            flags: SURE,
        };
        entry.base(&rule.base, interfaces);
        for m in &rule.matches {
            if !entry.ask(m) {
                entry.flags &= !SURE;
                break;
            }
        }
        entry
    }

    /// Whether a packet lies in the box.
    #[inline]
    pub(super) fn fits(&self, key: &Key<A>) -> bool {
        let within = |(first, last), port| first <= port && port <= last;
        // What is cheap first.
        (key.misc ^ self.misc) & MISC[usize::from(self.flags & 7)] == 0
            && (key.state & self.states != 0) != (self.flags & NOT_STATES != 0)
            && within(self.destination_ports, key.destination_port)
            && key.source.begins(self.source, self.source_length)
            && key
                .destination
                .begins(self.destination, self.destination_length)
            && within(self.source_ports, key.source_port)
    }

    /// Whether the box is all that the rule asks for.
    #[inline]
    pub(super) fn sure(&self) -> bool {
        self.flags & SURE != 0
    }

    /// What a table can hash of it beside the addresses: the bits that all its packets share, and their mask. Of a
    /// range of ports these are the first bits.
    pub(super) fn exact(&self) -> (u64, u64) {
        let shared = |(first, last): (u16, u16)| {
            let differ = first ^ last;
            !u16::MAX.checked_shr(differ.leading_zeros()).unwrap_or(0)
        };
        let misc = MISC[usize::from(self.flags & 7)];
        let mask = word(
            shared(self.source_ports),
            shared(self.destination_ports),
            misc,
        );
        let word = word(self.source_ports.0, self.destination_ports.0, self.misc);
        (word & mask, mask)
    }

    fn base(&mut self, base: &Base, interfaces: &mut Interfaces) {
        if let Some(not) = &base.source {
            match prefix(not) {
                Some((net, length)) => (self.source, self.source_length) = (net, length),
                None => self.flags &= !SURE,
            }
        }
        if let Some(not) = &base.destination {
            match prefix(not) {
                Some((net, length)) => (self.destination, self.destination_length) = (net, length),
                None => self.flags &= !SURE,
            }
        }
        let mut number = |not: &Option<Not<InterfacePattern>>, flag| {
            let Some(not) = not else {
                return 0;
            };
            let InterfacePattern { name, prefix } = &not.value;
            match (not.negated, prefix) {
                // Every name begins like this.
                (false, true) if name.is_empty() => return 0,
                (false, false) => {
                    if let Some(number) = interfaces.number(name) {
                        self.flags |= flag;
                        return number;
                    }
                }
                _ => {}
            }
            self.flags &= !SURE;
            0
        };
        let input = number(&base.in_interface, HAS_INPUT);
        let output = number(&base.out_interface, HAS_OUTPUT);
        let protocol = match &base.protocol {
            None => 0,
            Some(not) if !not.negated => {
                self.flags |= HAS_PROTOCOL;
                not.value
            }
            Some(_) => {
                self.flags &= !SURE;
                0
            }
        };
        debug_assert!(input < OTHER && output < OTHER);
        self.misc = misc(protocol, input, output);
        if base.fragment.is_some() {
            self.flags &= !SURE;
        }
    }

    fn protocol(&self) -> Option<u8> {
        (self.flags & HAS_PROTOCOL != 0).then_some((self.misc & PROTOCOL) as u8)
    }

    /// Takes in what a match asks for. `false`: what follows it may not be asked before it, because it changes
    /// something, or may drop a packet whose headers are whole.
    fn ask(&mut self, m: &Match) -> bool {
        let protocol = self.protocol();
        match m {
            Match::Comment(_) => return true,
            Match::Tcp(tcp) if protocol == Some(proto::TCP) => {
                self.ports(&tcp.source, &tcp.destination);
                if tcp.flags.is_some() || tcp.option.is_some() {
                    self.flags &= !SURE;
                }
                // Options that are not there drop the packet.
                return tcp.option.is_none();
            }
            Match::Udp(udp) if protocol == Some(proto::UDP) => {
                self.ports(&udp.source, &udp.destination);
                return true;
            }
            Match::Icmp(rule) if protocol == Some(proto::ICMP) => {
                self.icmp(&rule.0);
                return true;
            }
            Match::Icmp6(rule) if protocol == Some(proto::ICMPV6) => {
                self.icmp(&rule.0);
                return true;
            }
            Match::Multiport(rule) if matches!(protocol, Some(proto::TCP | proto::UDP)) => {
                self.multiport(rule);
                return true;
            }
            Match::State(rule) => {
                self.state(&rule.0);
                return true;
            }
            Match::Conntrack(rule) => {
                if let Some(state) = &rule.state {
                    self.state(state);
                }
                let only = Conntrack {
                    state: rule.state.clone(),
                    ..Conntrack::default()
                };
                if rule.state.is_none() || *rule != only {
                    self.flags &= !SURE;
                }
                return true;
            }
            Match::Iprange(rule) => {
                self.source_begins(&rule.source);
                self.destination_begins(&rule.destination);
            }
            _ => {}
        }
        self.flags &= !SURE;
        harmless(m)
    }

    fn source_begins(&mut self, range: &Option<Not<(IpAddr, IpAddr)>>) {
        if let Some((prefix, length)) = common(range)
            && length > self.source_length
        {
            (self.source, self.source_length) = (prefix, length);
        }
    }

    fn destination_begins(&mut self, range: &Option<Not<(IpAddr, IpAddr)>>) {
        if let Some((prefix, length)) = common(range)
            && length > self.destination_length
        {
            (self.destination, self.destination_length) = (prefix, length);
        }
    }

    fn ports(&mut self, source: &Option<Not<PortRange>>, destination: &Option<Not<PortRange>>) {
        for (not, own) in [
            (source, &mut self.source_ports),
            (destination, &mut self.destination_ports),
        ] {
            match not {
                None => {}
                Some(not) if not.negated => self.flags &= !SURE,
                Some(not) => narrow(own, not.value.first, not.value.last),
            }
        }
    }

    fn icmp(&mut self, not: &Not<Type>) {
        match (not.negated, not.value.kind) {
            (false, None) => {}
            (false, Some(kind)) => {
                let code = |code| u16::from(kind) << 8 | u16::from(code);
                let (first, last) = not.value.codes;
                narrow(&mut self.destination_ports, code(first), code(last));
            }
            (true, _) => self.flags &= !SURE,
        }
    }

    fn multiport(&mut self, rule: &Multiport) {
        let own = match rule.side {
            Side::Source => &mut self.source_ports,
            Side::Destination => &mut self.destination_ports,
            Side::Either => {
                self.flags &= !SURE;
                return;
            }
        };
        let ranges = &rule.ports.value;
        if !rule.ports.negated {
            // From the least to the greatest: what lies between is left to the rule itself.
            let first = ranges.iter().map(|r| r.first).min();
            let last = ranges.iter().map(|r| r.last).max();
            narrow(own, first.unwrap_or(1), last.unwrap_or(0));
        }
        if rule.ports.negated || ranges.len() > 1 {
            self.flags &= !SURE;
        }
    }

    fn state(&mut self, not: &Not<StateSet>) {
        let set = not.value.0;
        // Whether addresses are translated is asked of the connection, by the rule itself; and of two tests the
        // first is enough.
        if set & (StateSet::SNAT | StateSet::DNAT) != 0 || self.states != ALL {
            self.flags &= !SURE;
            return;
        }
        self.states = set;
        if not.negated {
            self.flags |= NOT_STATES;
        }
    }
}

fn narrow(range: &mut (u16, u16), first: u16, last: u16) {
    *range = (range.0.max(first), range.1.min(last));
}

fn prefix<A: Address>(not: &Not<Net>) -> Option<(A, u8)> {
    if not.negated {
        return None;
    }
    let mask = A::of(not.value.mask)?;
    Some((A::of(not.value.address)?.and(mask), A::length(mask)?))
}

/// The bits that all addresses of a range begin with.
fn common<A: Address>(range: &Option<Not<(IpAddr, IpAddr)>>) -> Option<(A, u8)> {
    let not = range.as_ref().filter(|not| !not.negated)?;
    let (first, last) = (A::of(not.value.0)?, A::of(not.value.1)?);
    let length = first.shared(last);
    Some((first.and(A::mask(length)), length))
}

/// Matches that change nothing and never drop a packet by themselves: what follows them may be asked before.
fn harmless(m: &Match) -> bool {
    matches!(
        m,
        Match::Addrtype(_)
            | Match::Bpf(_)
            | Match::Cgroup(_)
            | Match::Connbytes(_)
            | Match::Connmark(_)
            | Match::Cpu(_)
            | Match::Devgroup(_)
            | Match::Dscp(_)
            | Match::Ecn(_)
            | Match::Eui64(_)
            | Match::Helper(_)
            | Match::Hl(_)
            | Match::Iprange(_)
            | Match::Ipvs(_)
            | Match::Length(_)
            | Match::Mac(_)
            | Match::Mark(_)
            | Match::Osf(_)
            | Match::Owner(_)
            | Match::Physdev(_)
            | Match::Pkttype(_)
            | Match::Policy(_)
            | Match::Realm(_)
            | Match::Rpfilter(_)
            | Match::Srh(_)
            | Match::String(_)
            | Match::Time(_)
            | Match::Tos(_)
            | Match::Ttl(_)
            | Match::U32(_)
    )
}
