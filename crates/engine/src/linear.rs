//! The linear evaluator: rule by rule, chain by chain, as the kernel's `ipt_do_table` walks them.
//! This is the specification; any faster evaluator is held against it.
//!
//! The walk asks a [`Guide`] for the next rule to visit. Here that is the next one, whatever it says; a guide that
//! knows the rules leaves out those that would fail without a trace, and nothing else may differ.

use std::cell::OnceCell;
use std::sync::Arc;

use palisade_conntrack::Template;
use palisade_rules::catalogue::Need;
use palisade_rules::targets::reject::Reject;
use palisade_rules::{Base, InterfacePattern, Match, Net, Not, Policy, Target};
use palisade_wire::{Buffer, link::PacketType};

use crate::input::LinkInfo;

use crate::compiled::{Finder, Interfaces};
use crate::matches::{Answer, Context, Facts, Shared, evaluate, headers, ip_length};
use crate::observe::{Failed, Observer, RuleRef, Visit};
use crate::outcome::Decider;
use crate::program::{ProgramChain, ProgramRule, ProgramTable};
use crate::synproxy::Made;
use crate::targets::{self, Applied};

/// What a table says of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// On to the next table.
    Accept,
    Drop,
    Reject(Reject),
    /// The rule's target binds the connection's address.
    Translate,
    Queue,
    /// Queued, and no program listens.
    Unheard,
    /// SYNPROXY took it, and made another.
    Proxied(Made),
    /// Depends on what is not evaluated.
    Unknown(String),
}

/// A verdict and the place that gave it: chain and rule (`None`: policy).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Decision {
    pub(crate) verdict: Verdict,
    pub(crate) chain: u32,
    pub(crate) rule: Option<u32>,
}

impl Decision {
    pub(crate) fn decider(&self, table: &ProgramTable, family: palisade_rules::Family) -> Decider {
        let chain = &table.chains[self.chain as usize];
        Decider {
            family,
            table: table.kind,
            chain: Arc::clone(&chain.name),
            rule: self.rule.map_or(0, |r| r + 1),
            line: self
                .rule
                .and_then(|r| chain.rules.get(r as usize))
                .map_or(0, |r| r.rule.position.line),
        }
    }
}

/// What raw rules say of tracking to come.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RawState {
    pub(crate) untracked: bool,
    pub(crate) template: Option<Template>,
    /// An answer to a packet without a connection: raw rules have no say, and it is tracked all the same.
    pub(crate) locked: bool,
}

/// The rule to visit next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Next {
    /// Its number from 0; beyond the last: none.
    pub(crate) rule: u32,
    /// It matches: nothing in it is left to be asked.
    pub(crate) sure: bool,
}

/// Says which rule is to be visited next.
pub(crate) trait Guide {
    /// The first rule from `at` on that may do anything else than fail without a trace.
    fn next(
        &mut self,
        finder: &Finder,
        interfaces: &Interfaces,
        at: u32,
        context: &Context<'_>,
        shared: &Shared<'_>,
    ) -> Next;

    /// A target changed the packet or what is known of it.
    fn changed(&mut self);
}

/// Every rule.
struct One;

impl Guide for One {
    #[inline(always)]
    fn next(
        &mut self,
        _: &Finder,
        _: &Interfaces,
        at: u32,
        _: &Context<'_>,
        _: &Shared<'_>,
    ) -> Next {
        Next {
            rule: at,
            sure: false,
        }
    }

    #[inline(always)]
    fn changed(&mut self) {}
}

/// Walks one table at one hook, rule by rule.
#[allow(clippy::too_many_arguments)]
pub(crate) fn run<O: Observer>(
    table: &mut ProgramTable,
    stack: &mut Vec<(u32, u32)>,
    buffer: &mut Buffer<'_>,
    facts: &Facts<'_>,
    shared: &mut Shared<'_>,
    visited: &mut u32,
    observer: &mut O,
) -> Option<Decision> {
    walk(
        table, stack, buffer, facts, shared, visited, observer, &mut One,
    )
}

/// Walks one table at one hook. Rules that the guide leaves out count as visited.
#[allow(clippy::too_many_arguments)]
#[inline]
pub(crate) fn walk<O: Observer, G: Guide>(
    table: &mut ProgramTable,
    stack: &mut Vec<(u32, u32)>,
    buffer: &mut Buffer<'_>,
    facts: &Facts<'_>,
    shared: &mut Shared<'_>,
    visited: &mut u32,
    observer: &mut O,
    guide: &mut G,
) -> Option<Decision> {
    let base = table.hooks[facts.hook as usize]?;
    if O::ACTIVE {
        observer.enter(facts.hook, table.kind);
    }
    // The same of a frame that counts as one to this host.
    let (link, ours) = (OnceCell::new(), OnceCell::new());
    let mut facts = facts;
    let mut context = facts.with(buffer.packet());
    let (kind, bytes_seen) = (table.kind, table.bytes_seen);
    let mut length = ip_length(&context.packet) as u64;
    stack.clear();
    let (mut chain, mut at) = (base, 0u32);
    // A decision that holds unless a rule that is not evaluated matched before.
    let mut pending: Option<Decision> = None;
    // Said at once where nothing is pending.
    macro_rules! end {
        ($verdict:expr, $chain:expr, $rule:expr) => {{
            let decision = Decision {
                verdict: $verdict,
                chain: $chain,
                rule: $rule,
            };
            match pending {
                None => return Some(decision),
                Some(_) => break decision,
            }
        }};
    }
    let decision = loop {
        let Some(current) = table.chains.get_mut(chain as usize) else {
            break Decision {
                verdict: Verdict::Drop,
                chain: base,
                rule: None,
            };
        };
        let ProgramChain {
            rules,
            counts,
            finder,
            name,
            policy,
            counters,
            ..
        } = current;
        let mut sure = false;
        if (at as usize) < rules.len() {
            let next = guide.next(finder, &table.interfaces, at, &context, shared);
            let skipped = next.rule.min(rules.len() as u32) - at;
            *visited += skipped;
            at += skipped;
            sure = next.sure;
        }
        let index = at as usize;
        let (Some(rule), Some(count)) = (rules.get(index), counts.get_mut(index)) else {
            // End of a chain: back to the caller, or the policy.
            if let Some((caller, next)) = stack.pop() {
                (chain, at) = (caller, next);
                continue;
            }
            if chain != base {
                // Left by a goto from the built-in chain: its policy decides.
                chain = base;
                at = u32::MAX;
                continue;
            }
            counters.packets += 1;
            counters.bytes += length;
            if O::ACTIVE {
                observer.policy(kind, name, *policy == Policy::Accept);
            }
            match policy {
                Policy::Accept => end!(Verdict::Accept, chain, None),
                Policy::Drop => end!(Verdict::Drop, chain, None),
            }
        };
        *visited += 1;
        let visit = match sure {
            true => Visit::Matched,
            false => visit(rule, &context, shared),
        };
        if shared.frame_is_ours {
            let link = link.get_or_init(|| LinkInfo {
                packet_type: Some(PacketType::Host),
                ..*facts.link
            });
            facts = ours.get_or_init(|| Facts { link, ..*facts });
            context = facts.with(buffer.packet());
        }
        if O::ACTIVE {
            let shown = RuleRef {
                table: kind,
                chain: name,
                number: at + 1,
                rule: &rule.rule,
                packets: count.packets,
                bytes: count.bytes,
            };
            observer.visit(shown, visit);
        }
        let here = |verdict| Decision {
            verdict,
            chain,
            rule: Some(at),
        };
        match visit {
            Visit::Failed(_) => {
                at += 1;
                continue;
            }
            Visit::HotDrop => break here(Verdict::Drop),
            Visit::Unknown => {
                let what = unknown_match(rule);
                match fate(&rule.rule.target, bytes_seen) {
                    Fate::Nothing => {}
                    Fate::Ends(verdict)
                        if pending.as_ref().is_none_or(|p| p.verdict == verdict) =>
                    {
                        // Certain only if everything after it comes to the same.
                        pending = Some(here(verdict));
                    }
                    _ => break here(Verdict::Unknown(what)),
                }
                at += 1;
                continue;
            }
            Visit::Matched | Visit::MatchedThenDrop => {}
        }
        count.packets += 1;
        count.bytes += length;
        if visit == Visit::MatchedThenDrop {
            match &rule.rule.target {
                Target::Reject(with) => break here(Verdict::Reject(*with)),
                other => {
                    let applied = targets::apply(other, buffer, facts, shared);
                    if let (true, Applied::Effect(effect)) = (O::ACTIVE, applied) {
                        observer.effect(effect);
                    }
                    break here(Verdict::Drop);
                }
            }
        }
        match &rule.rule.target {
            Target::None => {}
            Target::Accept => end!(Verdict::Accept, chain, Some(at)),
            Target::Drop => end!(Verdict::Drop, chain, Some(at)),
            Target::Reject(with) => break here(Verdict::Reject(*with)),
            Target::Return => {
                match stack.pop() {
                    Some((caller, next)) => (chain, at) = (caller, next),
                    None => (chain, at) = (base, u32::MAX),
                }
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
            Target::Snat(_)
            | Target::Dnat(_)
            | Target::Masquerade(_)
            | Target::Redirect(_)
            | Target::Netmap(_) => break here(Verdict::Translate),
            other => {
                let applied = targets::apply(other, buffer, facts, shared);
                context = facts.with(buffer.packet());
                length = ip_length(&context.packet) as u64;
                guide.changed();
                match applied {
                    Applied::Nothing => {}
                    Applied::Effect(effect) => {
                        if O::ACTIVE {
                            observer.effect(effect);
                        }
                    }
                    Applied::Ends(verdict) => break here(verdict),
                }
            }
        }
        at += 1;
    };
    Some(match pending {
        Some(p) if p.verdict != decision.verdict => {
            let what = table.chains[p.chain as usize]
                .rules
                .get(p.rule.unwrap_or(0) as usize)
                .map_or_else(String::new, unknown_match);
            Decision {
                verdict: Verdict::Unknown(what),
                ..p
            }
        }
        _ => decision,
    })
}

/// Tests one rule: base first, then the matches in the order written.
#[inline]
fn visit(rule: &ProgramRule, context: &Context<'_>, shared: &mut Shared<'_>) -> Visit {
    if let Some(visit) = base_fails(&rule.rule.base, context) {
        return visit;
    }
    let (mut unknown, mut doomed) = (false, false);
    for (i, (m, slot)) in rule.rule.matches.iter().zip(&rule.slots).enumerate() {
        match evaluate(m, *slot, context, shared) {
            Answer::Yes => {}
            Answer::No if doomed => return Visit::HotDrop,
            Answer::No => return Visit::Failed(Failed::Match(i)),
            Answer::Unknown => unknown = true,
            Answer::HotDrop => return Visit::HotDrop,
            Answer::YesThenDrop => doomed = true,
        }
    }
    if doomed {
        Visit::MatchedThenDrop
    } else if unknown {
        Visit::Unknown
    } else {
        Visit::Matched
    }
}

/// Kernel `ip_packet_match`, `ip6_packet_match`.
#[inline]
pub(crate) fn base_fails(base: &Base, context: &Context<'_>) -> Option<Visit> {
    let packet = &context.packet;
    let failed = |part| Some(Visit::Failed(part));
    let net = |not: &Option<Not<Net>>, address: std::net::IpAddr| {
        not.as_ref()
            .is_some_and(|not| !not.apply(not.value.contains(address)))
    };
    let interface = |not: &Option<Not<InterfacePattern>>, name: &str| {
        not.as_ref()
            .is_some_and(|not| !not.apply(not.value.fits(name)))
    };
    if net(&base.source, packet.source()) {
        return failed(Failed::Source);
    }
    if net(&base.destination, packet.destination()) {
        return failed(Failed::Destination);
    }
    if interface(&base.in_interface, context.in_interface) {
        return failed(Failed::InInterface);
    }
    if interface(&base.out_interface, context.out_interface) {
        return failed(Failed::OutInterface);
    }
    if let Some(not) = &base.protocol {
        match headers::protocol(packet) {
            Some(protocol) if not.apply(protocol == not.value) => {}
            Some(_) => return failed(Failed::Protocol),
            None => return Some(Visit::HotDrop),
        }
    }
    if let Some(not) = &base.fragment
        && !not.apply(packet.is_later_fragment())
    {
        return failed(Failed::Fragment);
    }
    None
}

/// What would become of a packet if a rule matched.
enum Fate {
    /// Nothing that matters.
    Nothing,
    /// Its way ends.
    Ends(Verdict),
    /// Something that later rules may see.
    Changes,
}

fn fate(target: &Target, bytes_seen: bool) -> Fate {
    match target {
        Target::None | Target::Log(_) | Target::Nflog(_) => Fate::Nothing,
        Target::Accept => Fate::Ends(Verdict::Accept),
        Target::Drop => Fate::Ends(Verdict::Drop),
        other if targets::leaves_alone(other) => Fate::Nothing,
        other if targets::changes_bytes(other) && !bytes_seen => Fate::Nothing,
        _ => Fate::Changes,
    }
}

/// The match that could not be answered, and why: one that is kept, or one that asks for what was not given
/// (sockets, sets), or for what a capture did not keep.
fn unknown_match(rule: &ProgramRule) -> String {
    let why = |(m, slot): (&Match, &Option<u32>)| {
        let extension = m.extension();
        let name = extension.name;
        Some(match m {
            _ if !extension.evaluated() => format!("match {name} is not evaluated yet"),
            Match::Set(m) if slot.is_none() => {
                format!("match set: set {} is not given", m.set.value.name)
            }
            Match::Cpu(_) => "match cpu does not know the processors of this host".to_string(),
            Match::Osf(_) => "match osf has no fingerprints to compare with".to_string(),
            Match::Rpfilter(_) => {
                "match rpfilter does not know all routes of this host".to_string()
            }
            _ if extension.needs.contains(&Need::Sockets) => {
                format!("match {name} does not know the sockets of this host")
            }
            _ => return None,
        })
    };
    // What a capture did not keep.
    let looks_inside = |m: &&Match| m.extension().needs.contains(&Need::Payload);
    let matches = &rule.rule.matches;
    matches
        .iter()
        .zip(&rule.slots)
        .find_map(why)
        .unwrap_or_else(|| match matches.iter().find(looks_inside) {
            Some(m) => format!("match {} does not see all of the packet", m.name()),
            None => "a match cannot be answered".to_string(),
        })
}
