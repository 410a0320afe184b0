//! The engine as the subject of packet scripts.

use std::net::SocketAddr;
use std::sync::Arc;

use palisade_engine::conntrack::{self, Config, Entry, TupleProto};
use palisade_engine::rules::{Family, Parsed, Ruleset, TableKind, ipset, parse};
use palisade_engine::{
    Bridge, Ended, Engine, Evaluator, Host, Input, Interface, LinkInfo, Outcome, Owner, Route,
    Setup, SetupError, Socket,
};
use palisade_wire::{Timestamp, link::PacketType};

use super::expect::{
    ConnectionSeen, Direction, Observed, RuleName, RuleNumber, Seen, State, TupleSeen, Verdict,
};
use super::link::{FrameKind, Way};
use super::model::{Firewall, MTU, Prefix, RulesFamily, Script, SocketLine};
use super::play::Sent;
use super::run::Subject;
use crate::report::Matched;

/// Rules, host and settings of a script, ready to make an engine for each test.
#[derive(Clone, Debug, Default)]
pub struct Prepared {
    /// IPv4 rules.
    pub rules4: Option<Ruleset>,
    /// IPv6 rules.
    pub rules6: Option<Ruleset>,
    /// The firewall.
    pub host: Host,
    /// Settings.
    pub conntrack: Config,
    /// Sets.
    pub ipsets: ipset::Sets,
    /// Who walks the rules.
    pub evaluator: Evaluator,
}

impl Prepared {
    /// Adds a rules text; returns what the parser says of it.
    pub fn add_rules(&mut self, text: &str, family: RulesFamily) -> Parsed {
        let parsed = parse::auto(
            text,
            match family {
                RulesFamily::ByText => Family::V4,
                RulesFamily::V6 => Family::V6,
            },
        );
        if let Some(v4) = &parsed.v4 {
            self.rules4 = Some(v4.clone());
        }
        if let Some(v6) = &parsed.v6 {
            self.rules6 = Some(v6.clone());
        }
        parsed
    }

    /// Adds sets in the language of `ipset restore` to those that are there; returns what the parser says of them.
    pub fn add_ipsets(&mut self, text: &str) -> ipset::Parsed {
        let parsed = ipset::parse_onto(std::mem::take(&mut self.ipsets), text);
        self.ipsets = parsed.sets.clone();
        parsed
    }

    /// An engine with fresh counters and an empty table.
    ///
    /// # Errors
    /// [`SetupError`] for rules that cannot run.
    pub fn engine(&self) -> Result<Engine, SetupError> {
        Engine::new(Setup {
            rules4: self.rules4.clone(),
            rules6: self.rules6.clone(),
            host: self.host.clone(),
            conntrack: self.conntrack.clone(),
            ipsets: self.ipsets.clone(),
            evaluator: self.evaluator,
            ..Setup::default()
        })
    }
}

impl Script {
    /// The firewall that the script declares.
    pub fn host(&self) -> Host {
        host(&self.firewall)
    }
}

fn host(firewall: &Firewall) -> Host {
    let interfaces = firewall.interfaces.iter().map(|i| Interface {
        name: i.name.clone(),
        addresses: i.addresses.iter().map(|p| p.address).collect(),
        prefixes: i
            .addresses
            .iter()
            .map(|p| (p.address, p.length))
            .chain(
                firewall
                    .routes
                    .iter()
                    .filter(|r| r.interface == i.name)
                    .map(|r| (r.to.address, r.to.length)),
            )
            .collect(),
        mtu: Some(i.mtu.unwrap_or(MTU)),
    });
    let mut host = Host::new(firewall.local.iter().copied(), interfaces);
    host.closed = !host.interfaces.is_empty();
    host.sockets = Some(firewall.sockets.iter().map(socket).collect());
    host.queues = firewall.no_queues.then(Vec::new);
    host.local_marks.clone_from(&firewall.local_marks);
    host.no_fingerprints = true;
    for interface in &firewall.interfaces {
        host.groups.insert(interface.name.clone(), interface.group);
    }
    for route in &firewall.routes {
        let Prefix { address, length } = route.to;
        host.realms.push((address, length, route.realm));
    }
    host
}

fn socket(line: &SocketLine) -> Socket {
    let end = |a: SocketAddr| (a.ip(), a.port());
    let (user, group) = line.owner;
    Socket {
        remote: line.remote.map(end),
        owner: Some(Owner {
            user,
            group,
            ..Owner::default()
        }),
        transparent: line.transparent,
        mark: line.mark,
        ..Socket::new(line.protocol, end(line.local))
    }
}

/// An engine that is played scripts.
#[derive(Debug)]
pub struct EngineSubject {
    engine: Engine,
    /// Outcome of the last packet, for a trace.
    pub last: Option<(Outcome, Matched)>,
}

impl EngineSubject {
    /// A subject from an engine.
    pub fn new(engine: Engine) -> Self {
        EngineSubject { engine, last: None }
    }

    /// The engine.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The engine, to change what it tells.
    pub fn engine_mut(&mut self) -> &mut Engine {
        &mut self.engine
    }

    /// The engine, when the script is over.
    pub fn into_engine(self) -> Engine {
        self.engine
    }
}

/// What the engine is given for a packet of a script.
pub fn input<'a>(sent: &'a Sent<'_>) -> Input<'a> {
    Input {
        bytes: &sent.bytes,
        time: sent.time,
        route: match &sent.way {
            Way::ByAddress => Route::Auto,
            Way::In(name) => Route::In(Arc::from(name.as_str())),
            Way::Out(name) => Route::Out(Arc::from(name.as_str())),
        },
        link: LinkInfo {
            source_mac: sent.source_mac,
            destination_mac: None,
            packet_type: match sent.kind {
                FrameKind::ByAddress => None,
                FrameKind::Host => Some(PacketType::Host),
                FrameKind::Broadcast => Some(PacketType::Broadcast),
                FrameKind::Multicast => Some(PacketType::Multicast),
            },
        },
        snapped: false,
        mark: 0,
        bridge: Bridge::default(),
        owner: Some(Owner {
            user: sent.owner.0,
            group: sent.owner.1,
            ..Owner::default()
        }),
        unfinished: false,
    }
}

/// A packet as it leaves or is delivered; `None` when it does not pass.
fn left(outcome: &Outcome, sent: &[u8]) -> Option<Vec<u8>> {
    if outcome.verdict != palisade_engine::Verdict::Accept {
        return None;
    }
    if let Some(output) = &outcome.output {
        return Some(output.clone());
    }
    // What follows the packet in its frame is cut off before any hook.
    let whole = palisade_wire::Packet::parse(sent).map_or(sent, |p| p.bytes());
    Some(whole.to_vec())
}

/// An outcome in the script's terms; `sent` is the packet as it came.
pub fn observed(
    engine: &Engine,
    outcome: &Outcome,
    matched: &Matched,
    sent: &[u8],
    now: Timestamp,
) -> Observed {
    use Seen::Seen as Known;
    let by = match &outcome.why.ended {
        Ended::Accepted(by)
        | Ended::Dropped(by)
        | Ended::Queued(by)
        | Ended::Unheard(by)
        | Ended::Answered { by, .. }
        | Ended::Rejected { by, .. }
        | Ended::Unknown { by, .. } => Some(RuleName {
            table: by.table.name().to_string(),
            chain: by.chain.to_string(),
            rule: match by.rule {
                0 => RuleNumber::Policy,
                n => RuleNumber::Number(n),
            },
        }),
        _ => None,
    };
    let number = outcome.connection.map(|c| c.number);
    let connection = number.and_then(|n| {
        engine
            .conntrack()
            .connections()
            .find(|c| c.number() == n)
            .map(|c| seen(c, now))
            .or_else(|| {
                outcome.connection.map(|view| ConnectionSeen {
                    id: Known(view.number),
                    parent: Known(view.master),
                    mark: Known(view.mark),
                    helper: Known(view.helper.map(str::to_string)),
                    state: Known(view.state.map(str::to_string)),
                    assured: Known(view.assured),
                    replied: Known(view.replied),
                    ..ConnectionSeen::default()
                })
            })
    });
    Observed {
        state: Known(outcome.state.map(state)),
        direction: Known(outcome.direction.map(direction)),
        verdict: Known(verdict(outcome.verdict)),
        by: Known(by),
        matched: Known(
            matched
                .rules
                .iter()
                .map(|m| RuleName {
                    table: m.table.name().to_string(),
                    chain: m.chain.clone(),
                    rule: RuleNumber::Number(m.rule),
                })
                .collect(),
        ),
        hook: Known(outcome.hook.map_or(String::new(), |h| h.name().to_string())),
        why: Known(outcome.why.to_string()),
        answer: Known(outcome.reply.as_ref().map(|r| r.made.clone())),
        left: Known(left(outcome, sent)),
        mark: Known(outcome.mark),
        visited: Known(outcome.visited),
        connection: Known(connection),
    }
}

/// A direction in the script's words.
pub fn direction(direction: conntrack::Direction) -> Direction {
    match direction {
        conntrack::Direction::Original => Direction::Original,
        conntrack::Direction::Reply => Direction::Reply,
    }
}

/// A state in the script's words.
pub fn state(state: conntrack::State) -> State {
    match state {
        conntrack::State::New => State::New,
        conntrack::State::Established => State::Established,
        conntrack::State::Related => State::Related,
        conntrack::State::Invalid => State::Invalid,
        conntrack::State::Untracked => State::Untracked,
    }
}

fn verdict(verdict: palisade_engine::Verdict) -> Verdict {
    match verdict {
        palisade_engine::Verdict::Accept => Verdict::Accept,
        palisade_engine::Verdict::Drop => Verdict::Drop,
        palisade_engine::Verdict::Reject => Verdict::Reject,
        palisade_engine::Verdict::Stolen => Verdict::Stolen,
        palisade_engine::Verdict::Queue => Verdict::Queue,
        palisade_engine::Verdict::Unknown => Verdict::Unknown,
    }
}

fn seen(c: Entry<'_>, now: Timestamp) -> ConnectionSeen {
    use Seen::Seen as Known;
    let tuple = c.tuple(conntrack::Direction::Original);
    let ports = match tuple.proto {
        TupleProto::Ports {
            source,
            destination,
        } => (Some(source), Some(destination)),
        _ => (None, None),
    };
    ConnectionSeen {
        id: Known(c.number()),
        parent: Known(c.master()),
        original: Known(TupleSeen {
            protocol: tuple.protocol,
            source: tuple.source,
            source_port: ports.0,
            destination: tuple.destination,
            destination_port: ports.1,
        }),
        mark: Known(c.mark),
        helper: Known(c.helper().map(str::to_string)),
        state: Known(c.state_name().map(str::to_string)),
        assured: Known(c.assured()),
        replied: Known(c.replied()),
        timeout: Known(u32::try_from(c.timeout(now)).unwrap_or(u32::MAX)),
        timeout_slack: 0,
    }
}

impl Subject for EngineSubject {
    fn packet(&mut self, sent: &Sent<'_>) -> Observed {
        let mut matched = Matched::default();
        let outcome = self.engine.process(&input(sent), &mut matched);
        let observed = observed(&self.engine, &outcome, &matched, &sent.bytes, sent.time);
        self.last = Some((outcome, matched));
        observed
    }

    fn counters(&mut self, v6: bool, rule: &RuleName) -> Option<(u64, u64)> {
        let family = if v6 { Family::V6 } else { Family::V4 };
        let ruleset = self.engine.ruleset(family)?;
        let table = ruleset.table(TableKind::by_name(&rule.table)?)?;
        let chain = table.chains.iter().find(|c| c.name == rule.chain)?;
        let counters = match rule.rule {
            RuleNumber::Policy => chain.counters,
            RuleNumber::Number(n) => chain.rules.get((n as usize).checked_sub(1)?)?.counters,
        };
        Some((counters.packets, counters.bytes))
    }

    fn connections(&mut self, now: Timestamp) -> Vec<ConnectionSeen> {
        self.engine.expire(now);
        self.engine
            .conntrack()
            .connections()
            .map(|c| seen(c, now))
            .collect()
    }

    fn expectations(&mut self, now: Timestamp) -> u64 {
        self.engine.expire(now);
        self.engine.conntrack().expectations().count() as u64
    }
}
