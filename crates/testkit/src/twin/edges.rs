//! Packets at the edges of what a ruleset's own rules ask for: first and last address of each network and those
//! beside them, the ends of port ranges and the ports beside them, other protocols, other interfaces, other marks.
//!
//! From each rule comes one packet that should fit it, as far as its conditions and those of the rules that lead
//! there can be met, and others that are different in one thing each. The fitting one is answered, so that the
//! rule is met in every state: NEW, ESTABLISHED in both directions, RELATED by an error, INVALID by a checksum.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use palisade_engine::{Host, LinkInfo, Route, Setup, SetupError};
use palisade_rules::matches::Side;
use palisade_rules::{
    Base, Chain, Family, Hook, Match, Net, Not, PortRange, Rule, Ruleset, Table, Target,
};
use palisade_wire::{Packet, Timestamp, build, proto, tcp::flags};

use super::shown::Given;
use super::{Held, Plan, Twins};

/// Rules that lead to a rule, at most.
const DEEP: usize = 6;

/// Values of one condition that are tried, at most.
const EDGES: usize = 12;

/// What a packet is made of; each part with the value that fits first, then the edges.
#[derive(Clone, Debug, Default)]
struct Recipe {
    source: Vec<IpAddr>,
    destination: Vec<IpAddr>,
    came: Vec<String>,
    leaves: Vec<String>,
    protocol: Vec<u8>,
    source_port: Vec<u16>,
    destination_port: Vec<u16>,
    flags: Vec<u8>,
    icmp: Vec<(u8, u8)>,
    mark: Vec<u32>,
    mac: Vec<[u8; 6]>,
    ttl: Vec<u8>,
    length: Vec<u16>,
    pieces: bool,
}

/// One packet.
#[derive(Clone, Debug)]
struct Dish {
    hook: Hook,
    source: IpAddr,
    destination: IpAddr,
    came: String,
    leaves: String,
    protocol: u8,
    ports: [u16; 2],
    flags: u8,
    icmp: (u8, u8),
    mark: u32,
    mac: Option<[u8; 6]>,
    ttl: u8,
    payload: usize,
}

/// Adds what fits, in front if nothing else does yet, and the edges.
fn add<T: PartialEq + Copy>(to: &mut Vec<T>, negated: bool, inside: &[T], outside: &[T]) {
    let (fits, others) = match negated {
        false => (inside, outside),
        true => (outside, inside),
    };
    for value in fits.iter().chain(others) {
        if to.len() < EDGES && !to.contains(value) {
            to.push(*value);
        }
    }
}

/// An address so far from another.
fn beside(address: IpAddr, by: i8) -> IpAddr {
    match address {
        IpAddr::V4(a) => IpAddr::V4(u32::from(a).wrapping_add_signed(by.into()).into()),
        IpAddr::V6(a) => IpAddr::V6(u128::from(a).wrapping_add_signed(by.into()).into()),
    }
}

fn addresses(to: &mut Vec<IpAddr>, net: &Not<Net>) {
    let first = net.value.masked().address;
    let last = match (first, net.value.mask) {
        (IpAddr::V4(a), IpAddr::V4(m)) => IpAddr::V4((u32::from(a) | !u32::from(m)).into()),
        (IpAddr::V6(a), IpAddr::V6(m)) => IpAddr::V6((u128::from(a) | !u128::from(m)).into()),
        _ => first,
    };
    // The network's own address and its broadcast are seldom a host's.
    let within = beside(first, 1);
    let inside = match net.value.contains(within) {
        true => vec![within, first, last],
        false => vec![first],
    };
    add(
        to,
        net.negated,
        &inside,
        &[beside(first, -1), beside(last, 1)],
    );
}

fn range(to: &mut Vec<IpAddr>, range: &Not<(IpAddr, IpAddr)>) {
    let (first, last) = range.value;
    add(
        to,
        range.negated,
        &[first, last],
        &[beside(first, -1), beside(last, 1)],
    );
}

fn ports(to: &mut Vec<u16>, negated: bool, all: &[PortRange]) {
    for range in all {
        let beside = [range.first.wrapping_sub(1), range.last.wrapping_add(1)];
        let outside: Vec<u16> = beside
            .into_iter()
            .filter(|p| !all.iter().any(|r| r.contains(*p)))
            .collect();
        add(to, negated, &[range.first, range.last], &outside);
    }
}

impl Recipe {
    /// Adds the conditions of a rule.
    fn rule(&mut self, rule: &Rule) {
        let Base {
            source,
            destination,
            in_interface,
            out_interface,
            protocol,
            fragment,
        } = &rule.base;
        if let Some(net) = source {
            addresses(&mut self.source, net);
        }
        if let Some(net) = destination {
            addresses(&mut self.destination, net);
        }
        for (to, pattern) in [
            (&mut self.came, in_interface),
            (&mut self.leaves, out_interface),
        ] {
            let Some(Not { negated, value }) = pattern else {
                continue;
            };
            let name = &value.name;
            let longer = format!("{name}7");
            let (inside, outside) = match value.prefix {
                true => (vec![longer, name.clone()], vec!["other0".to_owned()]),
                false => (vec![name.clone()], vec![longer, "other0".to_owned()]),
            };
            let (fits, others) = if *negated {
                (outside, inside)
            } else {
                (inside, outside)
            };
            to.extend(fits.into_iter().chain(others));
        }
        if let Some(Not { negated, value }) = protocol {
            let other = if *value == proto::UDP {
                proto::TCP
            } else {
                proto::UDP
            };
            add(&mut self.protocol, *negated, &[*value], &[other]);
        }
        self.pieces |= fragment.is_some();
        for condition in &rule.matches {
            self.condition(condition);
        }
    }

    fn condition(&mut self, condition: &Match) {
        let one = |to: &mut Vec<u16>, range: &Option<Not<PortRange>>| {
            if let Some(Not { negated, value }) = range {
                ports(to, *negated, &[*value]);
            }
        };
        match condition {
            Match::Tcp(tcp) => {
                one(&mut self.source_port, &tcp.source);
                one(&mut self.destination_port, &tcp.destination);
                if let Some(Not { negated, value }) = &tcp.flags {
                    let other = value.set ^ (value.mask & value.mask.wrapping_neg());
                    add(
                        &mut self.flags,
                        *negated,
                        &[value.set, value.set | !value.mask],
                        &[other],
                    );
                }
            }
            Match::Udp(udp) => {
                one(&mut self.source_port, &udp.source);
                one(&mut self.destination_port, &udp.destination);
            }
            Match::Sctp(sctp) => {
                one(&mut self.source_port, &sctp.source);
                one(&mut self.destination_port, &sctp.destination);
            }
            Match::Multiport(many) => {
                let Not { negated, value } = &many.ports;
                if many.side != Side::Destination {
                    ports(&mut self.source_port, *negated, value);
                }
                if many.side != Side::Source {
                    ports(&mut self.destination_port, *negated, value);
                }
            }
            Match::Iprange(both) => {
                both.source.iter().for_each(|r| range(&mut self.source, r));
                both.destination
                    .iter()
                    .for_each(|r| range(&mut self.destination, r));
            }
            Match::Icmp(of) => self.kind(of.0.negated, of.0.value.kind, of.0.value.codes),
            Match::Icmp6(of) => self.kind(of.0.negated, of.0.value.kind, of.0.value.codes),
            Match::Mark(mark) => {
                let Not {
                    negated,
                    value: (value, mask),
                } = mark.0;
                let other = value ^ (mask & mask.wrapping_neg());
                add(&mut self.mark, negated, &[value, value | !mask], &[other]);
            }
            Match::Mac(mac) => {
                let other = mac.0.value.map(|b| b ^ 1);
                add(&mut self.mac, mac.0.negated, &[mac.0.value], &[other]);
            }
            Match::Length(length) => {
                let Not {
                    negated,
                    value: (first, last),
                } = length.0;
                let outside = [first.saturating_sub(1), last.saturating_add(1)];
                add(&mut self.length, negated, &[first, last], &outside);
            }
            Match::Conntrack(of) => {
                of.orig_source
                    .iter()
                    .for_each(|n| addresses(&mut self.source, n));
                of.orig_destination
                    .iter()
                    .for_each(|n| addresses(&mut self.destination, n));
                of.repl_source
                    .iter()
                    .for_each(|n| addresses(&mut self.destination, n));
                of.repl_destination
                    .iter()
                    .for_each(|n| addresses(&mut self.source, n));
                one(&mut self.source_port, &of.orig_source_port);
                one(&mut self.destination_port, &of.orig_destination_port);
                if let Some(Not { negated, value }) = &of.protocol {
                    add(&mut self.protocol, *negated, &[*value], &[]);
                }
            }
            _ => {}
        }
    }

    fn kind(&mut self, negated: bool, kind: Option<u8>, (first, last): (u8, u8)) {
        let Some(kind) = kind else { return };
        let outside = [
            (kind.wrapping_add(1), first),
            (kind, last.wrapping_add(1)),
            (kind, first.wrapping_sub(1)),
        ];
        add(
            &mut self.icmp,
            negated,
            &[(kind, first), (kind, last)],
            &outside,
        );
    }

    /// The packet that should fit, and those that are different in one thing.
    fn dishes(&self, hook: Hook, family: Family) -> Vec<Dish> {
        let (here, client, server) = match family {
            Family::V4 => (HERE4, [198, 51, 100, 9].into(), [203, 0, 113, 80].into()),
            Family::V6 => (
                HERE6,
                IpAddr::from([0x2001, 0xdb8, 9, 0, 0, 0, 0, 9]),
                IpAddr::from([0x2001, 0xdb8, 80, 0, 0, 0, 0, 0x80]),
            ),
        };
        let icmp = if family == Family::V6 {
            proto::ICMPV6
        } else {
            proto::ICMP
        };
        let first = |all: &[IpAddr], or: IpAddr| all.first().copied().unwrap_or(or);
        let protocol = self
            .protocol
            .first()
            .copied()
            .unwrap_or(match &self.icmp[..] {
                [] => proto::TCP,
                _ => icmp,
            });
        let name = |all: &[String], or: &str| all.first().map_or(or.to_owned(), Clone::clone);
        let local_source = hook == Hook::Output;
        let fits = Dish {
            hook,
            source: first(&self.source, if local_source { here } else { client }),
            destination: first(
                &self.destination,
                if hook == Hook::Input { here } else { server },
            ),
            came: name(&self.came, "eth0"),
            leaves: name(&self.leaves, "eth1"),
            protocol,
            ports: [
                self.source_port.first().copied().unwrap_or(40_000),
                self.destination_port.first().copied().unwrap_or(80),
            ],
            flags: self.flags.first().copied().unwrap_or(flags::SYN),
            icmp: self.icmp.first().copied().unwrap_or(match family {
                Family::V4 => (8, 0),
                Family::V6 => (128, 0),
            }),
            mark: self.mark.first().copied().unwrap_or(0),
            mac: self.mac.first().copied(),
            ttl: self.ttl.first().copied().unwrap_or(64),
            payload: self
                .length
                .first()
                .map_or(0, |l| usize::from(*l).saturating_sub(40)),
        };
        let mut all = vec![fits.clone()];
        let mut but = |change: &dyn Fn(&mut Dish)| {
            let mut dish = fits.clone();
            change(&mut dish);
            all.push(dish);
        };
        for value in self.source.iter().skip(1) {
            but(&|d| d.source = *value);
        }
        for value in self.destination.iter().skip(1) {
            but(&|d| d.destination = *value);
        }
        for value in self.came.iter().skip(1) {
            but(&|d| d.came.clone_from(value));
        }
        for value in self.leaves.iter().skip(1) {
            but(&|d| d.leaves.clone_from(value));
        }
        for value in self.protocol.iter().skip(1) {
            but(&|d| d.protocol = *value);
        }
        for value in self.source_port.iter().skip(1) {
            but(&|d| d.ports[0] = *value);
        }
        for value in self.destination_port.iter().skip(1) {
            but(&|d| d.ports[1] = *value);
        }
        for value in self.flags.iter().skip(1) {
            but(&|d| d.flags = *value);
        }
        for value in self.icmp.iter().skip(1) {
            but(&|d| d.icmp = *value);
        }
        for value in self.mark.iter().skip(1) {
            but(&|d| d.mark = *value);
        }
        for value in self.mac.iter().skip(1) {
            but(&|d| d.mac = Some(*value));
        }
        for value in self.length.iter().skip(1) {
            but(&|d| d.payload = usize::from(*value).saturating_sub(40));
        }
        all
    }
}

const HERE4: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
const HERE6: IpAddr = IpAddr::V6(std::net::Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1));

impl Dish {
    fn bytes(&self) -> Vec<u8> {
        let mut ip = build::Ip::new(self.source, self.destination);
        ip.ttl = self.ttl;
        // Nothing holds more than this.
        let payload = vec![0x61; self.payload.min(9000)];
        let [source_port, destination_port] = self.ports;
        match self.protocol {
            proto::TCP => {
                let header = build::Tcp {
                    source_port,
                    destination_port,
                    seq: 1000,
                    flags: self.flags,
                    window: 64_240,
                    ..Default::default()
                };
                build::tcp(&ip, &header, &payload)
            }
            proto::UDP => build::udp(&ip, source_port, destination_port, &payload),
            proto::ICMP | proto::ICMPV6 => {
                build::icmp(&ip, self.icmp.0, self.icmp.1, [0, 7, 0, 1], &payload)
            }
            other => {
                // Where others have ports, these stand there too.
                let mut all = [source_port, destination_port]
                    .map(u16::to_be_bytes)
                    .concat();
                all.extend(payload);
                all.extend([0; 8]);
                build::raw(&ip, other, &all)
            }
        }
    }

    fn route(&self) -> Route {
        let (came, leaves): (Arc<str>, Arc<str>) =
            (self.came.as_str().into(), self.leaves.as_str().into());
        match self.hook {
            Hook::Output => Route::Out(leaves),
            Hook::Input | Hook::Prerouting => Route::In(came),
            Hook::Forward | Hook::Postrouting => Route::Forward(came, leaves),
        }
    }

    fn back(&self) -> Route {
        let (came, leaves): (Arc<str>, Arc<str>) =
            (self.came.as_str().into(), self.leaves.as_str().into());
        match self.hook {
            Hook::Output => Route::In(leaves),
            Hook::Input | Hook::Prerouting => Route::Out(came),
            Hook::Forward | Hook::Postrouting => Route::Forward(leaves, came),
        }
    }
}

/// The packet that answers one, as that left.
fn answer(left: &[u8], round: u32) -> Option<Vec<u8>> {
    let packet = Packet::parse(left).ok()?;
    let ip = build::Ip::new(packet.destination(), packet.source());
    let transport = packet.transport();
    let word = |at: usize| Some(u16::from_be_bytes(*transport.get(at..)?.first_chunk()?));
    Some(match packet.protocol() {
        proto::TCP => {
            let header = build::Tcp {
                source_port: word(2)?,
                destination_port: word(0)?,
                seq: 5000 + u32::from(round > 0),
                ack: 1001,
                flags: if round == 0 {
                    flags::SYN | flags::ACK
                } else {
                    flags::ACK
                },
                window: 64_240,
                ..Default::default()
            };
            build::tcp(&ip, &header, b"")
        }
        proto::UDP => build::udp(&ip, word(2)?, word(0)?, b"answer"),
        proto::ICMP | proto::ICMPV6 => {
            let reply = match transport.first()? {
                8 => 0,
                128 => 129,
                13 => 14,
                _ => return None,
            };
            build::icmp(&ip, reply, 0, *transport.get(4..)?.first_chunk()?, b"")
        }
        other => build::raw(&ip, other, transport),
    })
}

/// The error that a packet may get, from nobody in particular.
fn error(left: &[u8]) -> Option<Vec<u8>> {
    let packet = Packet::parse(left).ok()?;
    let ip = build::Ip::new(packet.destination(), packet.source());
    let quoted = left.get(..left.len().min(60))?;
    let kind = if packet.source().is_ipv4() { 3 } else { 1 };
    Some(build::icmp(&ip, kind, 1, [0; 4], quoted))
}

/// A table whose rules are met.
struct Rules<'r> {
    family: Family,
    table: &'r Table,
}

impl<'r> Rules<'r> {
    /// The hook that a chain is called at, and the rules that lead there.
    fn way_to(&self, chain: &'r Chain) -> Option<(Hook, Vec<&'r Rule>)> {
        let mut leading = Vec::new();
        let mut at = chain;
        for _ in 0..DEEP {
            if let Some(hook) = at.builtin {
                return Some((hook, leading));
            }
            let number = self.table.chains.iter().position(|c| c.name == at.name)?;
            let calls =
                |r: &&Rule| matches!(r.target, Target::Jump(to) | Target::Goto(to) if to == number);
            let (caller, rule) = self.table.chains.iter().find_map(|c| {
                let rule = c.rules.iter().find(calls)?;
                Some((c, rule))
            })?;
            leading.push(rule);
            at = caller;
        }
        None
    }

    /// Serves the packets of a rule to the twins.
    fn serve(&self, chain: &'r Chain, rule: &'r Rule, twins: &mut Twins, now: &mut Timestamp) {
        // A chain that nobody calls is met by no packet.
        let Some((hook, leading)) = self.way_to(chain) else {
            return;
        };
        let mut recipe = Recipe::default();
        recipe.rule(rule);
        for rule in leading {
            recipe.rule(rule);
        }
        let mut packet = |bytes: Vec<u8>, route: Route, dish: &Dish| {
            *now = *now + Duration::from_millis(1);
            let given = Given {
                line: rule.position.line,
                bytes,
                route,
                link: LinkInfo {
                    source_mac: dish.mac,
                    ..LinkInfo::default()
                },
                mark: dish.mark,
            };
            twins.packet(given, *now)
        };
        for (at, dish) in recipe.dishes(hook, self.family).iter().enumerate() {
            let bytes = dish.bytes();
            let left = packet(bytes.clone(), dish.route(), dish);
            if at > 0 {
                continue;
            }
            if recipe.pieces {
                for piece in build::fragments(&bytes, 16, 7) {
                    packet(piece, dish.route(), dish);
                }
            }
            for round in 0..2 {
                if let Some(back) = left.as_deref().and_then(|l| answer(l, round)) {
                    packet(back, dish.back(), dish);
                }
                if round == 0 && dish.protocol == proto::TCP {
                    let mut acknowledged = dish.clone();
                    acknowledged.flags = flags::ACK;
                    packet(acknowledged.bytes(), dish.route(), dish);
                } else {
                    packet(bytes.clone(), dish.route(), dish);
                }
            }
            if let Some(error) = left.as_deref().and_then(error) {
                packet(error, dish.back(), dish);
            }
            let mut broken = bytes;
            broken
                .iter_mut()
                .last()
                .into_iter()
                .for_each(|b| *b ^= 0x55);
            packet(broken, dish.route(), dish);
        }
    }
}

/// The addresses that rules for the machine itself speak of.
fn host(ruleset: &Ruleset) -> Host {
    let mut local = vec![HERE4, HERE6];
    for chain in ruleset.tables.iter().flat_map(|t| &t.chains) {
        for rule in &chain.rules {
            let own = match chain.builtin {
                Some(Hook::Input) => &rule.base.destination,
                Some(Hook::Output) => &rule.base.source,
                _ => &None,
            };
            let single = own.as_ref().filter(|net| !net.negated).map(|net| net.value);
            local.extend(single.map(|net| net.address).filter(|a| !a.is_loopback()));
        }
    }
    local.sort();
    local.dedup();
    local.truncate(64);
    Host::new(local, [])
}

/// Holds the evaluators against each other over a ruleset with packets of its own, of at most `rules` of its rules
/// evenly spread; and how many rules that were.
///
/// # Errors
/// [`SetupError`] for rules that cannot run.
pub fn hold(ruleset: &Ruleset, rules: usize, plan: Plan) -> Result<(Held, usize), SetupError> {
    let family = ruleset.family;
    let mut setup = Setup {
        host: host(ruleset),
        ..Setup::default()
    };
    match family {
        Family::V4 => setup.rules4 = Some(ruleset.clone()),
        Family::V6 => setup.rules6 = Some(ruleset.clone()),
    }
    let chains = ruleset.tables.iter().flat_map(|t| &t.chains);
    let total: usize = chains.map(|c| c.rules.len()).sum();
    // A look takes as long as there are rules and connections: a few of them are enough of a large ruleset.
    let looks = plan.looks.max(total.min(rules) / 4);
    let mut twins = Twins::new(setup, Plan { looks, ..plan })?;
    let mut now = Timestamp(1_000_000_000_000);
    let step = total.div_ceil(rules.max(1)).max(1);
    let (mut at, mut served) = (0, 0);
    for table in &ruleset.tables {
        let of = Rules { family, table };
        for chain in &table.chains {
            for rule in &chain.rules {
                if at % step == 0 {
                    of.serve(chain, rule, &mut twins, &mut now);
                    served += 1;
                }
                at += 1;
            }
        }
    }
    Ok((twins.finish(), served))
}
