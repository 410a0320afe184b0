//! What every further packet of a flow meets: the rules on its way, walked once with nothing but what all of the
//! flow's packets have in common.
//!
//! A rule whose answer hangs on something that differs from packet to packet (flags, length, time, a limit, a
//! counter) ends the walk, unless something that does not differ says no first and nothing before that could have
//! had an effect. So does a target that does anything but decide, jump or set the packet's mark. A walk that comes
//! to its end found the decision of every packet of the flow in this direction, the mark that it leaves with, and all
//! counters that it moves.

use palisade_conntrack::{Direction, State, Track};
use palisade_rules::targets::mark::Connmark;
use palisade_rules::{Hook, Match, Policy, TableKind, Target};
use palisade_wire::{Packet, Timestamp};

use crate::Engine;
use crate::compiled::Lookup;
use crate::input::{Bridge, LinkInfo};
use crate::linear::{self, Guide, RawState};
use crate::matches::{Answer, Facts, Shared, evaluate, ports_fit};
use crate::observe::Visit;
use crate::outcome::{Path, Verdict};
use crate::program::ProgramRule;
use crate::socket::Sender;
use crate::targets::{leaves_alone, marked, restored};

/// Rules that a walk looks at before it gives up.
const MOST_RULES: u32 = 1 << 20;

/// A counter: of a rule, or of a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Counter {
    pub(crate) table: TableKind,
    pub(crate) chain: u32,
    pub(crate) rule: Option<u32>,
}

/// The way of a flow's packets in one direction.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Way {
    pub(crate) counters: Vec<Counter>,
    pub(crate) verdict: Verdict,
    pub(crate) mark: u32,
    /// The connection mark with which this is the way, where it has a say.
    pub(crate) connection_mark: Option<u32>,
}

/// What a packet came with, and where it goes.
pub(crate) struct Asked<'a> {
    pub(crate) packet: Packet<'a>,
    pub(crate) path: Path,
    pub(crate) in_interface: Option<&'a str>,
    pub(crate) out_interface: Option<&'a str>,
    pub(crate) link: LinkInfo,
    pub(crate) bridge: &'a Bridge,
    pub(crate) mark: u32,
    pub(crate) now: Timestamp,
}

/// How far the answer of a match is every packet's answer.
enum Reach {
    /// It is.
    Flow,
    /// It is not; but the match only looks.
    Packet,
    /// It is not, and asking has an effect, or the packet may end there.
    Effect,
}

/// The tables of a path in their order, nat apart: only the first packet of a connection asks it.
pub(crate) fn tables(path: Path) -> &'static [(Hook, TableKind)] {
    use Hook::{Forward, Input, Output, Postrouting, Prerouting};
    use TableKind::{Filter, Mangle, Raw, Security};
    match path {
        Path::Input => &[
            (Prerouting, Raw),
            (Prerouting, Mangle),
            (Input, Mangle),
            (Input, Filter),
            (Input, Security),
        ],
        Path::Forward => &[
            (Prerouting, Raw),
            (Prerouting, Mangle),
            (Forward, Mangle),
            (Forward, Filter),
            (Forward, Security),
            (Postrouting, Mangle),
        ],
        Path::Output => &[
            (Output, Raw),
            (Output, Mangle),
            (Output, Filter),
            (Output, Security),
            (Postrouting, Mangle),
        ],
        Path::Loopback => &[],
    }
}

fn reach(m: &Match) -> Reach {
    match m {
        Match::Comment(_)
        | Match::Udp(_)
        | Match::Multiport(_)
        | Match::State(_)
        | Match::Mark(_)
        | Match::Iprange(_)
        | Match::Addrtype(_)
        | Match::Pkttype(_)
        | Match::Connmark(_)
        | Match::Devgroup(_)
        | Match::Physdev(_) => Reach::Flow,
        Match::Tcp(tcp) if tcp.option.is_some() => Reach::Effect,
        Match::Tcp(tcp) if tcp.flags.is_some() => Reach::Packet,
        Match::Tcp(_) => Reach::Flow,
        Match::Conntrack(rule) if rule.status.is_some() || rule.expire.is_some() => Reach::Packet,
        Match::Conntrack(_) => Reach::Flow,
        Match::Length(_) | Match::Ttl(_) | Match::Hl(_) | Match::Tos(_) | Match::Dscp(_) => {
            Reach::Packet
        }
        _ => Reach::Effect,
    }
}

impl Engine {
    /// The way of a flow's packets, if there is one for all of them; `None` if there is none.
    pub(crate) fn way_of_all(&mut self, asked: &Asked<'_>, known: (u32, Direction)) -> Option<Way> {
        let (slot, direction) = known;
        let id = self.conntrack.id(slot)?;
        let mut track = Track::untracked();
        (track.state, track.direction) = (State::Established, direction);
        track.connection = Some(id);
        let mut way = Way {
            counters: Vec::new(),
            verdict: Verdict::Accept,
            mark: asked.mark,
            connection_mark: None,
        };
        let own = asked.path == Path::Output;
        let mut link = asked.link;
        link.packet_type = match own {
            true => None,
            false => Some(link.packet_type.unwrap_or_else(|| {
                self.host
                    .frame_to(asked.packet.destination(), asked.in_interface)
            })),
        };
        let mut seen = 0;
        for &(hook, kind) in tables(asked.path) {
            let tracked = kind != TableKind::Raw;
            let out = match hook {
                Hook::Prerouting | Hook::Input => None,
                _ => asked.out_interface,
            };
            let facts = Facts {
                hook,
                in_interface: asked.in_interface.unwrap_or_default(),
                out_interface: out.unwrap_or_default(),
                link: &link,
                host: &self.host,
                bridge: asked.bridge,
                made_here: own,
                sender: &Sender::Nobody,
                unfinished: false,
                now: asked.now,
            };
            let family = asked.packet.family() as usize;
            let Some(table) = self.programs[family].tables[kind as usize].as_ref() else {
                continue;
            };
            let mut raw = RawState::default();
            let mut shared = Shared {
                conntrack: &mut self.conntrack,
                states: &mut self.states,
                track: tracked.then_some(&track),
                raw: &mut raw,
                mark: way.mark,
                socket: None,
                frame_is_ours: false,
                copies: None,
            };
            let context = facts.with(asked.packet);
            let Some(base) = table.hooks[hook as usize] else {
                continue;
            };
            let mut lookup = Lookup::new();
            let mut stack: Vec<(u32, u32)> = Vec::new();
            let (mut chain, mut at) = (base, 0u32);
            let verdict = loop {
                seen += 1;
                if seen > MOST_RULES {
                    return None;
                }
                let current = table.chains.get(chain as usize)?;
                let next = lookup.next(&current.finder, &table.interfaces, at, &context, &shared);
                at = next.rule;
                let Some(rule) = current.rules.get(at as usize) else {
                    if let Some((caller, next)) = stack.pop() {
                        (chain, at) = (caller, next);
                        continue;
                    }
                    if chain != base {
                        (chain, at) = (base, u32::MAX);
                        continue;
                    }
                    way.counters.push(Counter {
                        table: kind,
                        chain,
                        rule: None,
                    });
                    break current.policy;
                };
                let fits = every(rule, &context, &mut shared, &mut way.connection_mark)?;
                if !fits {
                    at += 1;
                    continue;
                }
                way.counters.push(Counter {
                    table: kind,
                    chain,
                    rule: Some(at),
                });
                match &rule.rule.target {
                    Target::None => {}
                    Target::Accept => break Policy::Accept,
                    Target::Drop => break Policy::Drop,
                    Target::Return => {
                        (chain, at) = stack.pop().unwrap_or((base, u32::MAX));
                        continue;
                    }
                    Target::Jump(to) => {
                        stack.push((chain, at + 1));
                        (chain, at) = (*to as u32, 0);
                        continue;
                    }
                    Target::Goto(to) => {
                        (chain, at) = (*to as u32, 0);
                        continue;
                    }
                    Target::Mark(rule) => {
                        shared.mark = marked(*rule, shared.mark);
                        lookup.changed();
                    }
                    Target::Connmark(Connmark::Restore { nfmask, ctmask }) if tracked => {
                        let mark = shared.conntrack.connection(id)?.mark;
                        way.connection_mark = Some(mark);
                        shared.mark = restored(shared.mark, *nfmask, mark, *ctmask);
                        lookup.changed();
                    }
                    other if leaves_alone(other) => {}
                    _ => return None,
                }
                at += 1;
            };
            way.mark = shared.mark;
            if verdict == Policy::Drop {
                way.verdict = Verdict::Drop;
                break;
            }
        }
        Some(way)
    }
}

/// Whether a rule matches every packet of the flow; `None` if it may match some.
fn every(
    rule: &ProgramRule,
    context: &crate::matches::Context<'_>,
    shared: &mut Shared<'_>,
    connection_mark: &mut Option<u32>,
) -> Option<bool> {
    match linear::base_fails(&rule.rule.base, context) {
        None => {}
        Some(Visit::Failed(_)) => return Some(false),
        Some(_) => return None,
    }
    let mut certain = true;
    for (m, slot) in rule.rule.matches.iter().zip(&rule.slots) {
        match reach(m) {
            Reach::Flow => {}
            Reach::Packet => {
                // Its ports are the flow's, whatever the rest says.
                if let Match::Tcp(tcp) = m
                    && !ports_fit(&tcp.source, &tcp.destination, &context.packet)
                {
                    return Some(false);
                }
                certain = false;
                continue;
            }
            Reach::Effect => return None,
        }
        if matches!(m, Match::Connmark(_)) {
            let id = shared.track.and_then(|t| t.connection);
            let connection = id.and_then(|id| shared.conntrack.connection(id));
            *connection_mark = connection.map(|c| c.mark);
        }
        match evaluate(m, *slot, context, shared) {
            Answer::Yes => {}
            Answer::No => return Some(false),
            _ => return None,
        }
    }
    certain.then_some(true)
}
