//! What the lints need to know about a rule, taken out of `Match` and `Target` in this one place.

use std::net::IpAddr;

pub use palisade_rules::matches::Side;
pub use palisade_rules::matches::conntrack::StateSet;
pub use palisade_rules::targets::nat::Range as NatRange;

use palisade_rules::matches::{addrtype, icmp, pkttype, recent, tcp};
use palisade_rules::{InterfacePattern, Match, Net, Not, PortRange, Rule, Target};

/// What a test that is not looked into depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depends {
    /// On the packet and its connection only: asked twice, it answers the same.
    Packet,
    /// On something that rules change on the way, a mark for instance.
    Changing,
    /// On a rate, a count, chance or time.
    Rate,
}

/// A test that is not looked into; two of the same text ask the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opaque {
    /// Name of the match.
    pub name: String,
    /// Everything that it says, as text to compare.
    pub text: String,
    /// What it depends on.
    pub depends: Depends,
    /// Whether it is a connection's property, which an INVALID packet does not have.
    pub of_connection: bool,
}

/// What a rule demands of a packet. Several entries of one kind must all hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conditions {
    /// Source networks.
    pub sources: Vec<Not<Net>>,
    /// Destination networks.
    pub destinations: Vec<Not<Net>>,
    /// Interface it came in by.
    pub in_interface: Option<Not<InterfacePattern>>,
    /// Interface it leaves by.
    pub out_interface: Option<Not<InterfacePattern>>,
    /// Protocol.
    pub protocol: Option<Not<u8>>,
    /// `Some(true)`: later fragments only; `Some(false)`: all but those.
    pub fragment: Option<bool>,
    /// Source ports.
    pub source_ports: Vec<Not<Vec<PortRange>>>,
    /// Destination ports.
    pub destination_ports: Vec<Not<Vec<PortRange>>>,
    /// Ports of either end.
    pub either_ports: Vec<Not<Vec<PortRange>>>,
    /// TCP flags.
    pub flags: Option<Not<tcp::Flags>>,
    /// ICMP or ICMPv6 type.
    pub icmp: Option<Not<icmp::Type>>,
    /// Connection states.
    pub states: Vec<Not<StateSet>>,
    /// Direction of the packet within its connection: `true` for ORIGINAL.
    pub original: Option<bool>,
    /// Ranges of addresses.
    pub ranges: Vec<(Side, Not<(IpAddr, IpAddr)>)>,
    /// Type of the source address.
    pub source_type: Option<Not<addrtype::TypeSet>>,
    /// Type of the destination address.
    pub destination_type: Option<Not<addrtype::TypeSet>>,
    /// Whom the frame was sent to.
    pub packet_type: Option<Not<pkttype::Kind>>,
    /// Everything else.
    pub opaque: Vec<Opaque>,
}

/// States as bits without the two that are no states of their own.
pub const REAL_STATES: u8 = StateSet::INVALID
    | StateSet::NEW
    | StateSet::RELATED
    | StateSet::ESTABLISHED
    | StateSet::UNTRACKED;

impl Conditions {
    /// Nothing is demanded: every packet fits.
    pub fn is_empty(&self) -> bool {
        *self == Conditions::default()
    }

    /// The states it lets through, leaving the virtual SNAT and DNAT out.
    pub fn real_states(&self) -> u8 {
        self.states.iter().fold(REAL_STATES, |set, not| {
            let named = not.value.0 & REAL_STATES;
            set & if not.negated {
                REAL_STATES & !named
            } else {
                named
            }
        })
    }

    /// Whether any state is asked for.
    pub fn asks_state(&self) -> bool {
        !self.states.is_empty()
    }

    /// The protocol it demands, when it is one.
    pub fn one_protocol(&self) -> Option<u8> {
        match &self.protocol {
            Some(not) if !not.negated => Some(not.value),
            _ => None,
        }
    }

    /// Whether it narrows who may send: by address, range, set or hardware address.
    pub fn asks_source(&self) -> bool {
        !self.sources.is_empty()
            || self.ranges.iter().any(|(side, _)| *side == Side::Source)
            || self.opaque.iter().any(|o| {
                matches!(
                    o.name.as_str(),
                    "set" | "mac" | "geoip" | "policy" | "mark" | "connmark" | "owner"
                )
            })
    }

    /// Whether a rate, a count or a list of recent addresses narrows it.
    pub fn is_limited(&self) -> bool {
        self.opaque.iter().any(|o| o.depends == Depends::Rate)
    }

    /// Destination ports that it names without `!`.
    pub fn named_ports(&self) -> impl Iterator<Item = PortRange> + '_ {
        (self.destination_ports.iter())
            .filter(|p| !p.negated)
            .flat_map(|p| p.value.iter().copied())
    }

    /// Whether a port is among those it names, at either end.
    pub fn names_port(&self, port: u16) -> bool {
        (self.destination_ports.iter())
            .chain(&self.source_ports)
            .chain(&self.either_ports)
            .filter(|p| !p.negated)
            .any(|p| p.value.iter().any(|r| r.contains(port)))
    }
}

/// What a rule does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Nothing that changes the packet's way: counting, logging.
    Pass,
    /// The packet goes on, marked or changed.
    Change,
    /// It is written down: LOG, NFLOG, ULOG.
    Log,
    /// The helper that its connection gets.
    Helper(String),
    /// It is exempt from tracking.
    NoTrack,
    /// Let pass.
    Accept,
    /// Drop.
    Drop,
    /// Refuse with an answer.
    Reject,
    /// Given to a program or proxy, which decides.
    Queue,
    /// Back to the calling chain.
    Return,
    /// To a chain, by its index.
    Jump(usize),
    /// To a chain without coming back.
    Goto(usize),
    /// Destination translation, which ends the nat table.
    Dnat(NatRange),
    /// Another translation, which ends the nat table.
    Translate,
}

impl Action {
    /// Whether a packet that fits never reaches the next rule of this chain.
    pub fn ends(&self) -> bool {
        !matches!(
            self,
            Action::Pass
                | Action::Change
                | Action::Log
                | Action::Helper(_)
                | Action::NoTrack
                | Action::Jump(_)
        )
    }

    /// Whether the packet is dropped, with an answer or without.
    pub fn refuses(&self) -> bool {
        matches!(self, Action::Drop | Action::Reject)
    }
}

/// What a rule demands.
pub fn conditions(rule: &Rule) -> Conditions {
    let base = &rule.base;
    let mut c = Conditions {
        sources: base.source.iter().cloned().collect(),
        destinations: base.destination.iter().cloned().collect(),
        in_interface: base.in_interface.clone().filter(names_interface),
        out_interface: base.out_interface.clone().filter(names_interface),
        protocol: base.protocol.clone(),
        fragment: base.fragment.as_ref().map(|f| !f.negated),
        ..Conditions::default()
    };
    for m in &rule.matches {
        add(&mut c, m);
    }
    c
}

/// `-i +` fits every interface.
fn names_interface(not: &Not<InterfacePattern>) -> bool {
    not.negated || !not.value.name.is_empty() || !not.value.prefix
}

fn ports(range: &Option<Not<PortRange>>) -> Option<Not<Vec<PortRange>>> {
    let not = range.as_ref()?;
    let all = not.value.first == 0 && not.value.last == u16::MAX && !not.negated;
    (!all).then(|| Not {
        negated: not.negated,
        value: vec![not.value],
    })
}

fn add(c: &mut Conditions, m: &Match) {
    match m {
        Match::Comment(_) => {}
        Match::Tcp(tcp) => {
            c.source_ports.extend(ports(&tcp.source));
            c.destination_ports.extend(ports(&tcp.destination));
            if let Some(flags) = &tcp.flags {
                match &c.flags {
                    None => c.flags = Some(flags.clone()),
                    Some(_) => c.opaque.push(opaque("tcp", format!("{flags:?}"))),
                }
            }
            if let Some(option) = &tcp.option {
                c.opaque.push(opaque("tcp", format!("{option:?}")));
            }
        }
        Match::Udp(udp) => {
            c.source_ports.extend(ports(&udp.source));
            c.destination_ports.extend(ports(&udp.destination));
        }
        Match::Icmp(icmp::Icmp(kind)) | Match::Icmp6(icmp::Icmp6(kind)) => {
            if kind.value.kind.is_some() || kind.negated {
                c.icmp = Some(kind.clone());
            }
        }
        Match::State(states) => c.states.push(states.0.clone()),
        Match::Conntrack(conntrack) => {
            let mut rest = conntrack.clone();
            c.states.extend(rest.state.take());
            c.original = rest.original.take().or(c.original);
            if rest != Default::default() {
                let mut test = opaque("conntrack", format!("{rest:?}"));
                test.of_connection = true;
                c.opaque.push(test);
            }
        }
        Match::Multiport(multiport) => {
            let list = match multiport.side {
                Side::Source => &mut c.source_ports,
                Side::Destination => &mut c.destination_ports,
                Side::Either => &mut c.either_ports,
            };
            list.push(multiport.ports.clone());
        }
        Match::Iprange(range) => {
            let sources = range.source.iter().map(|r| (Side::Source, r.clone()));
            let destinations = range
                .destination
                .iter()
                .map(|r| (Side::Destination, r.clone()));
            c.ranges.extend(sources.chain(destinations));
        }
        Match::Addrtype(types) if !types.limit_in && !types.limit_out => {
            c.source_type = types.source.clone().or(c.source_type.take());
            c.destination_type = types.destination.clone().or(c.destination_type.take());
        }
        Match::Pkttype(kind) => c.packet_type = Some(kind.0.clone()),
        other => c.opaque.push(opaque(other.name(), format!("{other:?}"))),
    }
}

fn opaque(name: &str, text: String) -> Opaque {
    let depends = match name {
        "limit" | "hashlimit" | "connlimit" | "recent" | "quota" | "statistic" | "time"
        | "rateest" | "connbytes" | "nfacct" | "random" | "nth" => Depends::Rate,
        "mark" | "connmark" | "set" | "dscp" | "tos" | "ttl" | "hl" | "connlabel" | "length" => {
            Depends::Changing
        }
        _ => Depends::Packet,
    };
    Opaque {
        name: name.to_string(),
        text,
        depends,
        of_connection: matches!(
            name,
            "helper" | "connmark" | "connlabel" | "connbytes" | "conntrack"
        ),
    }
}

/// What a rule does.
pub fn action(rule: &Rule) -> Action {
    match &rule.target {
        Target::None => Action::Pass,
        Target::Accept => Action::Accept,
        Target::Drop => Action::Drop,
        Target::Return => Action::Return,
        Target::Jump(to) => Action::Jump(*to),
        Target::Goto(to) => Action::Goto(*to),
        Target::Reject(_) => Action::Reject,
        Target::Log(_) | Target::Nflog(_) | Target::Ulog(_) => Action::Log,
        Target::Ct(ct) => match (&ct.helper, ct.notrack) {
            (Some(helper), _) => Action::Helper(helper.clone()),
            (None, true) => Action::NoTrack,
            (None, false) => Action::Change,
        },
        Target::Notrack(_) => Action::NoTrack,
        Target::Dnat(dnat) => Action::Dnat(dnat.0),
        Target::Snat(_) | Target::Masquerade(_) | Target::Redirect(_) | Target::Netmap(_) => {
            Action::Translate
        }
        Target::Nfqueue(_) | Target::Queue(_) | Target::Tproxy(_) | Target::Synproxy(_) => {
            Action::Queue
        }
        Target::Trace(_)
        | Target::Audit(_)
        | Target::Led(_)
        | Target::Idletimer(_)
        | Target::Tee(_)
        | Target::Rateest(_) => Action::Pass,
        _ => Action::Change,
    }
}

/// `recent` tests of a rule: list, whether it stores (`--set`).
pub fn recent(rule: &Rule) -> Vec<(String, bool)> {
    (rule.matches.iter())
        .filter_map(|m| match m {
            Match::Recent(r) => Some((r.name.clone(), r.action == recent::Action::Set)),
            _ => None,
        })
        .collect()
}

/// The helper that `-m helper` asks for; empty for any.
pub fn wanted_helper(rule: &Rule) -> Option<&str> {
    rule.matches.iter().find_map(|m| match m {
        Match::Helper(helper) if !helper.0.negated => Some(helper.0.value.as_str()),
        _ => None,
    })
}

/// Whether a rate lets packets through up to a bound (`true`) or only above it.
pub fn rate_up_to(rule: &Rule) -> Option<bool> {
    rule.matches.iter().find_map(|m| match m {
        Match::Limit(_) => Some(true),
        Match::Hashlimit(hashlimit) => Some(!hashlimit.above),
        _ => None,
    })
}
