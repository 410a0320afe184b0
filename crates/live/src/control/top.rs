//! What is busy: connections and rules with what moved since they were last told.
//!
//! # Overview
//! The table is looked at part by part, the lock given back in between; so are the rules' counters taken. What is sorted,
//! judged and printed is so for the few that are told.
//!
//! # Bounds
//! For each client 24 bytes a connection are kept: what its traffic was. [`FLOWS`] connections and [`RULES`] rules are told.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::time::{Duration, Instant};

use palisade_engine::conntrack::tool::protocol_name;
use palisade_engine::conntrack::{ConnId, Direction, Entry, TupleProto};
use palisade_engine::rules::{Family, TableKind, print};
use palisade_engine::{Engine, Outlook};
use serde::{Deserialize, Serialize};

use super::frame::FrameError;
use super::judgement::{Texts, judgement};
use super::message::{Answer, Ended, Ip, VerdictCount, short};
use super::server::Replies;
use super::service::{Control, verdicts};

/// Connections that are told.
pub const FLOWS: usize = 200;

/// Rules that are told.
pub const RULES: usize = 200;

/// Connections whose rule is asked for.
const JUDGED: usize = 60;

/// Slots of the table that are looked at while packets wait.
const SLOTS: usize = 1 << 10;

/// Milliseconds between two answers: least, usual, most.
const INTERVALS: [u32; 3] = [100, 1_000, 60_000];

/// How often is looked whether the client is there.
const LOOK: Duration = Duration::from_millis(100);

/// What is busy at a moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Frame {
    /// Milliseconds since the last one; 0 in the first.
    pub since_ms: u64,
    /// Packets by verdict, since the process began.
    pub packets: Vec<VerdictCount>,
    /// Connections in the table.
    pub entries: u64,
    /// Connections that there is room for; 0: no bound.
    pub max: u64,
    /// Whether traffic of connections is counted (`nf_conntrack_acct`).
    pub counted: bool,
    /// The busiest connections, those that moved most first.
    pub flows: Vec<Flow>,
    /// The busiest rules, likewise.
    pub rules: Vec<Rule>,
}

/// A connection.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Flow {
    /// Its display number.
    pub number: u64,
    /// Protocol.
    pub protocol: String,
    /// Original source, `address:port`.
    pub from: String,
    /// Original destination, likewise.
    pub to: String,
    /// State of its protocol, or how far it has come.
    pub state: String,
    /// Seconds since its first packet.
    pub age: u64,
    /// Seconds until it ends.
    pub timeout: u64,
    /// Mark.
    pub mark: u32,
    /// Packets in both directions.
    pub packets: u64,
    /// Bytes in both directions.
    pub bytes: u64,
    /// Packets since the last frame.
    pub new_packets: u64,
    /// Bytes since the last frame.
    pub new_bytes: u64,
    /// The rule that decides about its next packet; empty of those that nobody asked about.
    pub by: String,
    /// The rule's text.
    pub rule: String,
    /// The verdict.
    pub verdict: String,
}

/// A rule, or the policy of a chain.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rule {
    /// Family.
    pub family: Ip,
    /// Table.
    pub table: String,
    /// Chain.
    pub chain: String,
    /// From 1; 0: the policy.
    pub number: u32,
    /// As iptables-save has it.
    pub text: String,
    /// Packets.
    pub packets: u64,
    /// Bytes.
    pub bytes: u64,
    /// Packets since the last frame.
    pub new_packets: u64,
    /// Bytes since the last frame.
    pub new_bytes: u64,
}

/// A rule's place.
type Place = (Family, TableKind, String, u32);

/// What was told last.
#[derive(Default)]
struct Last {
    flows: HashMap<u64, (u64, u64)>,
    rules: HashMap<Place, (u64, u64)>,
    at: Option<Instant>,
    outlook: Option<(u64, Outlook)>,
}

/// Tells until the client is gone, or so many times.
pub(super) fn tell(
    control: &Control,
    interval_ms: u32,
    frames: u32,
    replies: &Replies<'_>,
) -> Result<Ended, FrameError> {
    let [least, usual, most] = INTERVALS;
    let interval = match interval_ms {
        0 => usual,
        n => n.clamp(least, most),
    };
    let interval = Duration::from_millis(interval.into());
    let mut last = Last::default();
    let mut told = 0;
    loop {
        let begun = Instant::now();
        replies.send(&Answer::Top(Box::new(frame(control, &mut last))))?;
        told += 1;
        if told == frames {
            return Ok(Ended::Yes);
        }
        while begun.elapsed() < interval {
            if replies.gone() || control.gate().stopping() {
                return Ok(Ended::Yes);
            }
            std::thread::sleep(LOOK.min(interval.saturating_sub(begun.elapsed())));
        }
    }
}

fn frame(control: &Control, last: &mut Last) -> Frame {
    let now = Instant::now();
    let since = last.at.replace(now).map(|at| now - at);
    let packets = verdicts(control.gate().tally());
    let (entries, max, counted) = control.gate().with(|engine, _| {
        let table = engine.conntrack();
        let config = table.config();
        (table.len() as u64, config.max, config.acct != 0)
    });
    Frame {
        since_ms: since.map_or(0, |since| since.as_millis() as u64),
        packets,
        entries,
        max,
        counted,
        flows: flows(control, last),
        rules: rules(control, last),
    }
}

/// What was moved since the last time.
fn moved(before: Option<&(u64, u64)>, first: bool, (packets, bytes): (u64, u64)) -> (u64, u64) {
    match before {
        Some((p, b)) => (packets.saturating_sub(*p), bytes.saturating_sub(*b)),
        None if first => (0, 0),
        None => (packets, bytes),
    }
}

fn flows(control: &Control, last: &mut Last) -> Vec<Flow> {
    let first = last.flows.is_empty();
    let mut known = HashMap::with_capacity(last.flows.len());
    let mut busy: Vec<(ConnId, Flow)> = Vec::new();
    let rank = |flow: &Flow| {
        Reverse((
            flow.new_bytes,
            flow.new_packets,
            flow.bytes,
            flow.packets,
            flow.number,
        ))
    };
    let mut at = 0;
    loop {
        let all = control.gate().with(|engine, now| {
            let table = engine.conntrack();
            let until = table.slots().min(at + SLOTS);
            for entry in (at..until).filter_map(|slot| table.at_slot(slot)) {
                if entry.expired(now) {
                    continue;
                }
                let [forth, back] = entry.traffic();
                let total = (forth.packets + back.packets, forth.bytes + back.bytes);
                let new = moved(last.flows.get(&entry.number()), first, total);
                known.insert(entry.number(), total);
                busy.push((entry.id(), flow(entry, total, new, now)));
            }
            until == table.slots()
        });
        at += SLOTS;
        // Only the busiest are kept on the way.
        if busy.len() > FLOWS {
            busy.select_nth_unstable_by_key(FLOWS - 1, |(_, flow)| rank(flow));
            busy.truncate(FLOWS);
        }
        if all {
            break;
        }
    }
    last.flows = known;
    busy.sort_by_key(|(_, flow)| rank(flow));
    let generation = control.generation();
    if last
        .outlook
        .as_ref()
        .is_none_or(|(of, _)| *of != generation)
    {
        let outlook = control.gate().with(|engine, _| engine.outlook());
        last.outlook = Some((generation, outlook));
    }
    if let Some((_, outlook)) = &mut last.outlook {
        for (id, flow) in busy.iter_mut().take(JUDGED) {
            control.gate().with(|engine, now| {
                judged(engine, outlook, *id, flow, now);
            });
        }
    }
    busy.into_iter().map(|(_, flow)| flow).collect()
}

fn judged(
    engine: &Engine,
    outlook: &mut Outlook,
    id: ConnId,
    flow: &mut Flow,
    now: palisade_wire::Timestamp,
) {
    if let Some(foreseen) = outlook.of(engine, id, now) {
        let told = judgement(Texts::Of(engine), foreseen.verdict, &foreseen.ended);
        (flow.verdict, flow.by, flow.rule) = (told.verdict, told.by, told.rule);
    }
}

fn flow(
    entry: Entry<'_>,
    (packets, bytes): (u64, u64),
    (new_packets, new_bytes): (u64, u64),
    now: palisade_wire::Timestamp,
) -> Flow {
    let tuple = entry.tuple(Direction::Original);
    let end = |address: std::net::IpAddr, port: u16| match (tuple.proto, address) {
        (TupleProto::Ports { .. }, std::net::IpAddr::V4(a)) => format!("{a}:{port}"),
        (TupleProto::Ports { .. }, std::net::IpAddr::V6(a)) => format!("[{a}]:{port}"),
        (_, address) => address.to_string(),
    };
    let state = match entry.state_name() {
        Some(name) => name,
        None if entry.assured() => "ASSURED",
        None if entry.replied() => "REPLIED",
        None => "UNREPLIED",
    };
    Flow {
        number: entry.number(),
        protocol: match protocol_name(tuple.protocol) {
            "unknown" => tuple.protocol.to_string(),
            name => name.to_string(),
        },
        from: end(tuple.source, tuple.source_word()),
        to: end(tuple.destination, tuple.destination_word()),
        state: state.to_string(),
        age: now.since(entry.created()).as_secs(),
        timeout: entry.timeout(now),
        mark: entry.mark,
        packets,
        bytes,
        new_packets,
        new_bytes,
        ..Flow::default()
    }
}

fn rules(control: &Control, last: &mut Last) -> Vec<Rule> {
    let first = last.rules.is_empty();
    let mut known = HashMap::with_capacity(last.rules.len());
    let mut busy = Vec::new();
    let sets = [Family::V4, Family::V6].map(|family| {
        let ruleset = control.gate().with(|engine, _| engine.ruleset(family));
        (family, ruleset)
    });
    for (family, ruleset) in &sets {
        for table in ruleset.iter().flat_map(|r| &r.tables) {
            for chain in &table.chains {
                let policy = chain.builtin.map(|_| (0, chain.counters));
                let rules = (1..).zip(chain.rules.iter().map(|r| r.counters));
                for (number, counters) in policy.into_iter().chain(rules) {
                    let total = (counters.packets, counters.bytes);
                    let place = (*family, table.kind, chain.name.clone(), number);
                    let new = moved(last.rules.get(&place), first, total);
                    known.insert(place, total);
                    busy.push((new, total, *family, table, chain, number));
                }
            }
        }
    }
    last.rules = known;
    // Of rules that did as much the first in order is the first.
    busy.sort_by_key(|(new, total, ..)| Reverse((new.1, new.0, total.1, total.0)));
    busy.truncate(RULES);
    busy.into_iter()
        .map(|(new, total, family, table, chain, number)| {
            let at = (number as usize).checked_sub(1);
            let text = match at.and_then(|at| chain.rules.get(at)) {
                Some(rule) => short(&print::rule(table, chain, rule, family)),
                None => String::new(),
            };
            Rule {
                family: family.into(),
                table: table.kind.name().to_string(),
                chain: chain.name.to_string(),
                number,
                text,
                packets: total.0,
                bytes: total.1,
                new_packets: new.0,
                new_bytes: new.1,
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use palisade_engine::Input;
    use palisade_wire::build;

    use super::super::message::Request;
    use super::super::server::Bounds;
    use super::super::tests::{RULES, Running, gate};
    use super::*;

    /// A DNS question or its answer, judged now.
    fn judge(control: &Control, from: &str, to: &str, ports: (u16, u16)) {
        let address = |text: &str| text.parse().expect("an address");
        let ip = build::Ip::new(address(from), address(to));
        let bytes = build::udp(&ip, ports.0, ports.1, b"question");
        control.gate().with(|engine, now| {
            let input = Input {
                time: now,
                ..Input::new(&bytes)
            };
            engine.process(&input, &mut ());
        });
    }

    fn frames(running: &Running, frames: u32) -> Vec<Frame> {
        let request = Request::Top {
            interval_ms: 100,
            frames,
        };
        let (parts, ended) = running.ask(&request);
        assert_eq!(ended, Ended::Yes);
        let frame = |part| match part {
            Answer::Top(frame) => *frame,
            other => panic!("{other:?}"),
        };
        parts.into_iter().map(frame).collect()
    }

    #[test]
    fn connections_and_rules_are_told_with_who_decides_about_them() {
        let running = Running::start(gate(RULES), Bounds::default());
        judge(&running.control, "192.0.2.1", "198.51.100.1", (4000, 53));
        let mut told = frames(&running, 1);
        let frame = told.pop().expect("a frame");
        assert_eq!(
            (frame.since_ms, frame.entries, frame.counted),
            (0, 1, false)
        );
        let flow = &frame.flows[0];
        assert_eq!(
            (flow.protocol.as_str(), flow.from.as_str(), flow.to.as_str()),
            ("udp", "192.0.2.1:4000", "198.51.100.1:53")
        );
        assert_eq!(
            (flow.state.as_str(), flow.verdict.as_str()),
            ("UNREPLIED", "ACCEPT")
        );
        assert_eq!(flow.by, "the policy of filter OUTPUT");
        let policy = frame.rules.iter().find(|r| r.chain == "OUTPUT");
        let policy = policy.expect("the policy");
        assert_eq!(
            (policy.number, policy.packets, policy.new_packets),
            (0, 1, 0)
        );
    }

    #[test]
    fn what_moved_since_the_last_frame_is_told() {
        let running = Running::start(gate(RULES), Bounds::default());
        judge(&running.control, "192.0.2.1", "198.51.100.1", (4000, 53));
        let mut asked = super::super::ask(
            &running.path,
            &Request::Top {
                interval_ms: 100,
                frames: 0,
            },
        )
        .expect("an answer");
        let mut next = || match asked.part().expect("a part") {
            Answer::Top(frame) => *frame,
            other => panic!("{other:?}"),
        };
        let output = |frame: &Frame| {
            let rule = frame.rules.iter().find(|r| r.chain == "OUTPUT");
            rule.map(|r| r.new_packets)
        };
        assert_eq!(output(&next()), Some(0));
        for _ in 0..3 {
            judge(&running.control, "192.0.2.1", "198.51.100.1", (4000, 53));
        }
        let mut moved = 0;
        while moved < 3 {
            let frame = next();
            assert!(frame.since_ms >= 100);
            moved += output(&frame).expect("the policy");
        }
        assert_eq!(moved, 3);
    }
}
