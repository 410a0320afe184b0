//! Synthetic rule sets in the manner of ClassBench (Taylor and Turner, 2007), and headers aimed at them: for measuring,
//! the same for the same seed on every machine.
//!
//! # Overview
//! ClassBench draws rules from statistics of real rule sets. Its three families differ in what makes a classifier's
//! work hard, and so do the tables here, which are our own and follow what is published of the seeds `acl1`, `fw1` and
//! `ipc1`:
//!
//! - [`Family::Acl`]: long prefixes on both sides, source ports free, most destination ports exact.
//! - [`Family::Fw`]: a wildcard on one side of more than half of the rules, ports on both sides, many ranges.
//! - [`Family::Ipc`]: between them: some wildcards, all pairs of lengths, some exact source ports.
//!
//! Addresses are drawn from a tree that grows: most begin with bits of an earlier one, so that prefixes lie in one
//! another. Equal rules are drawn again, and a rule that lies in another one stands before it, as ClassBench orders
//! them (here by how many headers a rule takes in).
//!
//! ```
//! use palisade_rules::synth;
//! let filters = synth::filters(synth::Family::Fw, 1000, 7);
//! let ruleset = synth::ruleset(&filters, palisade_rules::Hook::Forward);
//! let headers = synth::headers(&filters, 10_000, 7);
//! assert_eq!((filters.len(), headers.len()), (1000, 10_000));
//! assert!(palisade_rules::print::save(&ruleset, false).contains("-A FORWARD"));
//! ```

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr};

use palisade_wire::proto;

use crate::matches::{tcp::Tcp, udp::Udp};
use crate::model::{Base, Counters, Hook, Net, Not, PortRange, Position, Rule, Ruleset, Table};
use crate::model::{Match, TableKind, Target};

/// The kinds of rule sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    /// Access control lists.
    Acl,
    /// Firewalls.
    Fw,
    /// IP chains.
    Ipc,
}

impl Family {
    /// All of them.
    pub const ALL: [Family; 3] = [Family::Acl, Family::Fw, Family::Ipc];

    /// Its short name.
    pub fn name(self) -> &'static str {
        match self {
            Family::Acl => "acl",
            Family::Fw => "fw",
            Family::Ipc => "ipc",
        }
    }

    fn statistics(self) -> &'static Statistics {
        match self {
            Family::Acl => &ACL,
            Family::Fw => &FW,
            Family::Ipc => &IPC,
        }
    }
}

/// An IPv4 prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Prefix {
    /// Address, without bits behind the prefix.
    pub address: Ipv4Addr,
    /// Length, up to 32.
    pub length: u8,
}

impl Prefix {
    fn new(address: u32, length: u8) -> Self {
        Prefix {
            address: Ipv4Addr::from(address & mask(length)),
            length,
        }
    }

    /// Whether an address begins so.
    pub fn contains(&self, address: Ipv4Addr) -> bool {
        (u32::from(address) ^ u32::from(self.address)) & mask(self.length) == 0
    }

    /// `None` for all addresses.
    fn net(self) -> Option<Not<Net>> {
        (self.length != 0).then(|| Not {
            negated: false,
            value: Net {
                address: IpAddr::V4(self.address),
                mask: IpAddr::V4(Ipv4Addr::from(mask(self.length))),
            },
        })
    }
}

fn mask(length: u8) -> u32 {
    u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0)
}

/// All ports.
const ANY: PortRange = PortRange {
    first: 0,
    last: u16::MAX,
};

/// A rule over the five fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Filter {
    /// Source.
    pub source: Prefix,
    /// Destination.
    pub destination: Prefix,
    /// Protocol; `None` for all.
    pub protocol: Option<u8>,
    /// Source ports; all of them unless the protocol is TCP or UDP.
    pub source_ports: PortRange,
    /// Destination ports, likewise.
    pub destination_ports: PortRange,
    /// ACCEPT rather than DROP.
    pub accept: bool,
}

impl Filter {
    /// Whether a header is one of the rule's.
    pub fn contains(&self, header: &Header) -> bool {
        self.source.contains(header.source)
            && self.destination.contains(header.destination)
            && self.protocol.is_none_or(|p| p == header.protocol)
            && self.source_ports.contains(header.source_port)
            && self.destination_ports.contains(header.destination_port)
    }

    /// How many headers it takes in, as a power of two.
    fn scope(&self) -> f64 {
        let ports = |r: &PortRange| (f64::from(r.last - r.first) + 1.0).log2();
        f64::from(64 - self.source.length - self.destination.length)
            + ports(&self.source_ports)
            + ports(&self.destination_ports)
            + if self.protocol.is_none() { 8.0 } else { 0.0 }
    }

    /// The rule.
    pub fn rule(&self) -> Rule {
        let plain = |value| Not {
            negated: false,
            value,
        };
        let ports = |range| (range != ANY).then(|| plain(range));
        let (source, destination) = (ports(self.source_ports), ports(self.destination_ports));
        let matches = match self.protocol {
            _ if source.is_none() && destination.is_none() => Vec::new(),
            Some(proto::TCP) => vec![Match::Tcp(Tcp {
                source,
                destination,
                ..Tcp::default()
            })],
            Some(proto::UDP) => vec![Match::Udp(Udp {
                source,
                destination,
                ..Udp::default()
            })],
            _ => Vec::new(),
        };
        Rule {
            counters: Counters::default(),
            base: Base {
                source: self.source.net(),
                destination: self.destination.net(),
                protocol: self.protocol.map(|value| Not {
                    negated: false,
                    value,
                }),
                ..Base::default()
            },
            matches,
            target: if self.accept {
                Target::Accept
            } else {
                Target::Drop
            },
            position: Position::default(),
        }
    }
}

/// The fields of a packet that rules are drawn over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Header {
    /// Source.
    pub source: Ipv4Addr,
    /// Destination.
    pub destination: Ipv4Addr,
    /// Protocol.
    pub protocol: u8,
    /// Source port; 0 without meaning for a protocol without ports.
    pub source_port: u16,
    /// Destination port, likewise.
    pub destination_port: u16,
}

/// A choice among weighted alternatives; the weights are per thousand.
type Weights<T> = &'static [(u32, T)];

/// Kinds of port ranges.
#[derive(Clone, Copy)]
enum Ports {
    Any,
    /// 1024 and up.
    High,
    /// Below 1024.
    Low,
    Range,
    /// A well-known one.
    Exact,
}

struct Statistics {
    /// Prefix lengths of source and destination; each drawn between two bounds.
    lengths: Weights<[(u8, u8); 2]>,
    protocols: Weights<Option<u8>>,
    source_ports: Weights<Ports>,
    destination_ports: Weights<Ports>,
    /// How often of a thousand an address begins like an earlier one, by side.
    shared: [u32; 2],
}

const ACL: Statistics = Statistics {
    lengths: &[
        (280, [(32, 32), (32, 32)]),
        (190, [(24, 31), (32, 32)]),
        (120, [(16, 23), (32, 32)]),
        (150, [(20, 30), (24, 31)]),
        (90, [(32, 32), (20, 30)]),
        (70, [(8, 19), (24, 32)]),
        (80, [(0, 0), (27, 32)]),
        (20, [(27, 32), (0, 0)]),
    ],
    protocols: &[
        (870, Some(proto::TCP)),
        (70, Some(proto::UDP)),
        (40, Some(proto::ICMP)),
        (20, None),
    ],
    source_ports: &[(1000, Ports::Any)],
    destination_ports: &[
        (150, Ports::Any),
        (20, Ports::High),
        (90, Ports::Range),
        (740, Ports::Exact),
    ],
    shared: [900, 960],
};

const FW: Statistics = Statistics {
    lengths: &[
        (200, [(0, 0), (32, 32)]),
        (130, [(0, 0), (16, 30)]),
        (170, [(32, 32), (0, 0)]),
        (60, [(16, 30), (0, 0)]),
        (140, [(32, 32), (32, 32)]),
        (110, [(24, 31), (32, 32)]),
        (90, [(32, 32), (24, 31)]),
        (60, [(16, 28), (16, 28)]),
        (35, [(8, 15), (24, 32)]),
        (5, [(0, 0), (0, 0)]),
    ],
    protocols: &[
        (640, Some(proto::TCP)),
        (210, Some(proto::UDP)),
        (60, Some(proto::ICMP)),
        (25, Some(proto::GRE)),
        (65, None),
    ],
    source_ports: &[
        (780, Ports::Any),
        (90, Ports::High),
        (10, Ports::Low),
        (10, Ports::Range),
        (110, Ports::Exact),
    ],
    destination_ports: &[
        (340, Ports::Any),
        (110, Ports::High),
        (20, Ports::Low),
        (130, Ports::Range),
        (400, Ports::Exact),
    ],
    shared: [900, 900],
};

const IPC: Statistics = Statistics {
    lengths: &[
        (300, [(32, 32), (32, 32)]),
        (120, [(24, 31), (32, 32)]),
        (120, [(32, 32), (24, 31)]),
        (150, [(16, 28), (16, 28)]),
        (90, [(0, 0), (32, 32)]),
        (60, [(32, 32), (0, 0)]),
        (80, [(8, 23), (24, 32)]),
        (60, [(24, 32), (8, 23)]),
        (20, [(0, 0), (16, 28)]),
    ],
    protocols: &[
        (530, Some(proto::TCP)),
        (300, Some(proto::UDP)),
        (80, Some(proto::ICMP)),
        (90, None),
    ],
    source_ports: &[
        (730, Ports::Any),
        (60, Ports::High),
        (20, Ports::Range),
        (190, Ports::Exact),
    ],
    destination_ports: &[
        (400, Ports::Any),
        (60, Ports::High),
        (10, Ports::Low),
        (80, Ports::Range),
        (450, Ports::Exact),
    ],
    shared: [930, 930],
};

/// Ports that exact tests ask for, the frequent ones first.
const SERVICES: [u16; 40] = [
    80, 443, 25, 53, 22, 21, 23, 110, 143, 1521, 3306, 8080, 389, 445, 139, 137, 138, 123, 161,
    162, 514, 993, 995, 636, 1433, 3389, 5060, 1723, 500, 179, 69, 111, 2049, 6000, 5432, 8443,
    1812, 1813, 873, 20,
];

/// SplitMix64 (Steele, Lea and Flood, 2014).
struct Draws(u64);

impl Draws {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 to less than `n`; 0 of none.
    fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.next()) * n as u128) >> 64) as usize
    }

    fn chance(&mut self, of_thousand: u32) -> bool {
        self.below(1000) < of_thousand as usize
    }

    fn weighted<T: Copy>(&mut self, weights: Weights<T>, otherwise: T) -> T {
        let mut left = self.below(weights.iter().map(|(w, _)| *w as usize).sum());
        for (weight, choice) in weights {
            match left.checked_sub(*weight as usize) {
                None => return *choice,
                Some(rest) => left = rest,
            }
        }
        otherwise
    }

    fn length(&mut self, (first, last): (u8, u8)) -> u8 {
        first + self.below(usize::from(last - first) + 1) as u8
    }

    /// Small numbers more often: the lesser of two.
    fn low(&mut self, n: usize) -> usize {
        self.below(n).min(self.below(n))
    }

    fn ports(&mut self, kind: Ports) -> PortRange {
        let (first, last) = match kind {
            Ports::Any => return ANY,
            Ports::High => (1024, u16::MAX),
            Ports::Low => (0, 1023),
            Ports::Range => {
                let first = 1 + self.below(40_000) as u16;
                let most = 1 << self.below(12);
                let size = 1 + self.below(most) as u16;
                (first, first + size)
            }
            // One of five is anybody's own.
            Ports::Exact if self.chance(200) => {
                let port = 1024 + self.below(50_000) as u16;
                (port, port)
            }
            Ports::Exact => {
                let port = SERVICES[self.low(SERVICES.len())];
                (port, port)
            }
        };
        PortRange { first, last }
    }
}

/// Addresses drawn so far on one side.
struct Tree {
    drawn: Vec<u32>,
    shared: u32,
}

impl Tree {
    fn draw(&mut self, length: u8, draws: &mut Draws) -> Prefix {
        let fresh = draws.next() as u32;
        if length == 0 {
            return Prefix::new(0, 0);
        }
        let address = if draws.chance(self.shared) && !self.drawn.is_empty() {
            let earlier = self.drawn[draws.below(self.drawn.len())];
            // Siblings and cousins are more frequent than strangers.
            let kept = mask(length - draws.low(usize::from(length)) as u8);
            (earlier & kept) | (fresh & !kept)
        } else {
            fresh
        };
        self.drawn.push(address);
        Prefix::new(address, length)
    }
}

/// So many different rules of a kind. The same seed gives the same rules.
pub fn filters(family: Family, rules: usize, seed: u64) -> Vec<Filter> {
    let statistics = family.statistics();
    let mut draws = Draws(seed);
    let [mut sources, mut destinations] = statistics.shared.map(|shared| Tree {
        drawn: Vec::new(),
        shared,
    });
    let mut seen = HashSet::with_capacity(rules);
    let mut filters: Vec<Filter> = Vec::with_capacity(rules);
    while filters.len() < rules {
        let [source, destination] = draws.weighted(statistics.lengths, [(32, 32), (32, 32)]);
        let (source, destination) = (draws.length(source), draws.length(destination));
        let protocol = draws.weighted(statistics.protocols, None);
        let (mut source_ports, mut destination_ports) = (ANY, ANY);
        if matches!(protocol, Some(proto::TCP | proto::UDP)) {
            let kind = draws.weighted(statistics.source_ports, Ports::Any);
            source_ports = draws.ports(kind);
            let kind = draws.weighted(statistics.destination_ports, Ports::Any);
            destination_ports = draws.ports(kind);
        }
        let filter = Filter {
            source: sources.draw(source, &mut draws),
            destination: destinations.draw(destination, &mut draws),
            protocol,
            source_ports,
            destination_ports,
            accept: true,
        };
        if seen.insert(filter) {
            filters.push(Filter {
                accept: draws.chance(500),
                ..filter
            });
        }
    }
    filters.sort_by(|a, b| a.scope().total_cmp(&b.scope()));
    filters
}

/// So many rules `-s ADDRESS -j DROP`, each with an address of its own (16,777,216 at most) out of 10.0.0.0/8, in no
/// order of theirs.
pub fn addresses(rules: usize) -> Vec<Filter> {
    (0..rules.min(1 << 24))
        .map(|n| {
            // An odd factor: a permutation of the 24 bits.
            let host = (n as u32).wrapping_mul(0x9e_3779) & 0xff_ffff;
            Filter {
                source: Prefix::new(10 << 24 | host, 32),
                destination: Prefix::new(0, 0),
                protocol: None,
                source_ports: ANY,
                destination_ports: ANY,
                accept: false,
            }
        })
        .collect()
}

/// The rules in the filter table's chain of a hook; policy ACCEPT.
pub fn ruleset(filters: &[Filter], hook: Hook) -> Ruleset {
    let mut table = Table::new(TableKind::Filter);
    for chain in &mut table.chains {
        if chain.builtin == Some(hook) {
            chain.rules = filters.iter().map(Filter::rule).collect();
        }
    }
    Ruleset {
        family: crate::Family::V4,
        tables: vec![table],
    }
}

/// So many headers aimed at the rules, as ClassBench draws them: at a corner of a rule drawn evenly, and that header
/// as often as a Pareto distribution says (shape 1, scale 0.1: most once).
pub fn headers(filters: &[Filter], headers: usize, seed: u64) -> Vec<Header> {
    let mut draws = Draws(seed ^ 0x6865_6164);
    let mut out = Vec::with_capacity(headers);
    while out.len() < headers && !filters.is_empty() {
        let filter = &filters[draws.below(filters.len())];
        let header = corner(filter, &mut draws);
        let share = (draws.next() >> 11) as f64 / (1u64 << 53) as f64;
        let copies = (0.1 / (1.0 - share)).ceil() as usize;
        out.extend(std::iter::repeat_n(
            header,
            copies.clamp(1, headers - out.len()),
        ));
    }
    out
}

fn corner(filter: &Filter, draws: &mut Draws) -> Header {
    let bits = draws.next();
    let last = |n: u32| bits >> n & 1 == 1;
    let address = |prefix: &Prefix, last: bool| {
        let address = u32::from(prefix.address);
        Ipv4Addr::from(match last {
            true => address | !mask(prefix.length),
            false => address,
        })
    };
    let port = |range: &PortRange, last: bool| if last { range.last } else { range.first };
    let protocol = filter.protocol.unwrap_or(match bits >> 8 & 3 {
        0 => proto::UDP,
        1 => proto::ICMP,
        _ => proto::TCP,
    });
    let (mut source_port, mut destination_port) = (0, 0);
    if matches!(protocol, proto::TCP | proto::UDP) {
        source_port = port(&filter.source_ports, last(2));
        destination_port = port(&filter.destination_ports, last(3));
    }
    Header {
        source: address(&filter.source, last(0)),
        destination: address(&filter.destination, last(1)),
        protocol,
        source_port,
        destination_port,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{parse, print};

    #[test]
    fn every_kind_is_what_its_text_says_and_the_same_every_time() {
        for family in Family::ALL {
            let filters = filters(family, 2000, 3);
            assert_eq!(filters, super::filters(family, 2000, 3));
            assert_ne!(filters, super::filters(family, 2000, 4));
            let different: HashSet<_> = filters.iter().collect();
            assert_eq!(different.len(), 2000);
            let ruleset = ruleset(&filters, Hook::Input);
            let text = print::save(&ruleset, false);
            let parsed = parse::save_file(&text, crate::Family::V4);
            assert!(!parsed.has_errors(), "{:?}", parsed.diagnostics.first());
            let again = parsed.v4.expect("rules");
            assert_eq!(print::save(&again, false), text);
            let rules = &again.tables[0].chains[0].rules;
            assert!(
                rules
                    .iter()
                    .zip(&ruleset.tables[0].chains[0].rules)
                    .all(|(a, b)| (&a.base, &a.matches, &a.target)
                        == (&b.base, &b.matches, &b.target))
            );
        }
    }

    #[test]
    fn headers_meet_rules() {
        for family in Family::ALL {
            let filters = filters(family, 500, 5);
            for header in headers(&filters, 2000, 5) {
                assert!(filters.iter().any(|f| f.contains(&header)), "{header:?}");
            }
        }
    }

    #[test]
    fn no_rule_stands_behind_one_that_it_lies_in() {
        let filters = filters(Family::Fw, 800, 9);
        let inside = |a: &Prefix, b: &Prefix| a.length >= b.length && b.contains(a.address);
        let within = |a: &PortRange, b: &PortRange| b.first <= a.first && a.last <= b.last;
        for (at, later) in filters.iter().enumerate() {
            for earlier in &filters[..at] {
                let covered = inside(&later.source, &earlier.source)
                    && inside(&later.destination, &earlier.destination)
                    && within(&later.source_ports, &earlier.source_ports)
                    && within(&later.destination_ports, &earlier.destination_ports)
                    && (earlier.protocol.is_none() || earlier.protocol == later.protocol);
                assert!(!covered, "{later:?} lies in {earlier:?}");
            }
        }
    }

    #[test]
    fn addresses_are_all_different() {
        let filters = addresses(100_000);
        let different: HashSet<_> = filters.iter().map(|f| f.source).collect();
        assert_eq!(different.len(), 100_000);
    }
}
