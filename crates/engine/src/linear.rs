//! The linear evaluator: rule by rule, chain by chain, as the kernel's `ipt_do_table` walks them.
//! This is the specification; any faster evaluator is held against it.

use std::sync::Arc;

use palisade_conntrack::{Template, Track, ZoneSpec, helper};
use palisade_wire::Buffer;

use palisade_rules::{
    Base, Connmark, InterfacePattern, Kept, Match, Net, Not, Policy, RejectWith, Target,
    ZoneDirection,
};

use crate::matches::{Answer, Context, Facts, Shared, evaluate, ip_length};
use crate::npt;
use crate::observe::{Effect, Failed, Observer, RuleRef, Visit};
use crate::outcome::Decider;
use crate::program::{ProgramChain, ProgramRule, ProgramTable};

/// What a table says of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// On to the next table.
    Accept,
    Drop,
    Reject(RejectWith),
    /// The rule's target binds the connection's address.
    Translate,
    Queue,
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

/// Walks one table at one hook.
#[allow(clippy::too_many_arguments)]
pub(crate) fn run<O: Observer>(
    table: &mut ProgramTable,
    stack: &mut Vec<(u32, u32)>,
    buffer: &mut Buffer<'_>,
    facts: Facts<'_>,
    shared: &mut Shared<'_>,
    visited: &mut u32,
    observer: &mut O,
) -> Option<Decision> {
    let base = table.hooks[facts.hook as usize]?;
    if O::ACTIVE {
        observer.enter(facts.hook, table.kind);
    }
    let mut context = facts.with(buffer.packet());
    let kind = table.kind;
    let length = ip_length(&context.packet) as u64;
    stack.clear();
    let (mut chain, mut at) = (base, 0u32);
    // A decision that holds unless a rule that is not evaluated matched before.
    let mut pending: Option<Decision> = None;
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
            name,
            policy,
            counters,
        } = current;
        let Some(rule) = rules.get_mut(at as usize) else {
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
            break Decision {
                verdict: match policy {
                    Policy::Accept => Verdict::Accept,
                    Policy::Drop => Verdict::Drop,
                },
                chain,
                rule: None,
            };
        };
        *visited += 1;
        let visit = visit(rule, &context, shared);
        if O::ACTIVE {
            let shown = RuleRef {
                table: kind,
                chain: name,
                number: at + 1,
                rule: &rule.rule,
                packets: rule.counters.packets,
                bytes: rule.counters.bytes,
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
                let what = unknown_match(&rule.rule.matches);
                match fate(&rule.rule.target) {
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
            Visit::Matched => {}
        }
        rule.counters.packets += 1;
        rule.counters.bytes += length;
        match &rule.rule.target {
            Target::None => {}
            Target::Accept => break here(Verdict::Accept),
            Target::Drop => break here(Verdict::Drop),
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
            Target::Npt {
                destination,
                from,
                to,
            } => {
                if !npt::map(buffer.edit(), *destination, *from, *to) {
                    break here(Verdict::Drop);
                }
                context = facts.with(buffer.packet());
                if O::ACTIVE {
                    let packet = &context.packet;
                    let now = if *destination {
                        packet.destination()
                    } else {
                        packet.source()
                    };
                    observer.effect(Effect::Translated(format!("address becomes {now}")));
                }
            }
            Target::Kept(kept) => match kept_target(kept) {
                KeptFate::Continue => {
                    if O::ACTIVE {
                        observer.effect(Effect::Passed(kept.name.clone()));
                    }
                }
                KeptFate::Queue => break here(Verdict::Queue),
                KeptFate::Unknown => {
                    break here(Verdict::Unknown(format!("target {}", kept.name)));
                }
            },
            other => {
                if let Some(effect) = apply(other, shared)
                    && O::ACTIVE
                {
                    observer.effect(effect);
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
                .map_or_else(String::new, |r| unknown_match(&r.rule.matches));
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
    if let Some(failed) = base_fails(&rule.rule.base, context) {
        return Visit::Failed(failed);
    }
    let mut unknown = false;
    let mut slots = rule.slots.iter().copied();
    for (i, m) in rule.rule.matches.iter().enumerate() {
        let slot = match m {
            Match::Limit(_) | Match::Recent(_) | Match::Connlabel(_) => slots.next(),
            _ => None,
        };
        match evaluate(m, slot, context, shared) {
            Answer::Yes => {}
            Answer::No => return Visit::Failed(Failed::Match(i)),
            Answer::Unknown => unknown = true,
            Answer::HotDrop => return Visit::HotDrop,
        }
    }
    if unknown {
        Visit::Unknown
    } else {
        Visit::Matched
    }
}

/// Kernel `ip_packet_match`, `ip6_packet_match`.
#[inline]
fn base_fails(base: &Base, context: &Context<'_>) -> Option<Failed> {
    let packet = &context.packet;
    let net = |not: &Option<Not<Net>>, address: std::net::IpAddr| {
        not.as_ref()
            .is_some_and(|not| !not.apply(not.value.contains(address)))
    };
    let interface = |not: &Option<Not<InterfacePattern>>, name: &str| {
        not.as_ref()
            .is_some_and(|not| !not.apply(not.value.fits(name)))
    };
    if net(&base.source, packet.source()) {
        return Some(Failed::Source);
    }
    if net(&base.destination, packet.destination()) {
        return Some(Failed::Destination);
    }
    if interface(&base.in_interface, context.in_interface) {
        return Some(Failed::InInterface);
    }
    if interface(&base.out_interface, context.out_interface) {
        return Some(Failed::OutInterface);
    }
    if let Some(not) = &base.protocol
        && !not.apply(packet.protocol() == not.value)
    {
        return Some(Failed::Protocol);
    }
    if let Some(not) = &base.fragment
        && !not.apply(packet.is_later_fragment())
    {
        return Some(Failed::Fragment);
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

fn fate(target: &Target) -> Fate {
    match target {
        Target::None | Target::Log(_) | Target::Nflog(_) => Fate::Nothing,
        Target::Accept => Fate::Ends(Verdict::Accept),
        Target::Drop => Fate::Ends(Verdict::Drop),
        Target::Kept(kept) if kept_target(kept) == KeptFate::Continue => Fate::Nothing,
        _ => Fate::Changes,
    }
}

fn unknown_match(matches: &[Match]) -> String {
    matches
        .iter()
        .find_map(|m| match m {
            Match::Kept(kept) => Some(format!("match {}", kept.name)),
            _ => None,
        })
        .unwrap_or_default()
}

#[derive(PartialEq, Eq)]
enum KeptFate {
    Continue,
    Queue,
    Unknown,
}

/// Targets that are not evaluated: those that leave the packet's fate alone let it go on.
fn kept_target(kept: &Kept) -> KeptFate {
    match kept.name.as_str() {
        // They write elsewhere: logs, lamps, timers, statistics, copies.
        "AUDIT" | "TRACE" | "LED" | "IDLETIMER" | "RATEEST" | "TEE" | "ULOG" => KeptFate::Continue,
        // They change what no match that is evaluated looks at.
        "CHECKSUM" | "CLASSIFY" | "SECMARK" | "CONNSECMARK" | "TOS" | "DSCP" | "ECN" | "SET"
        | "TCPMSS" | "TCPOPTSTRIP" => KeptFate::Continue,
        "NFQUEUE" | "QUEUE" => KeptFate::Queue,
        _ => KeptFate::Unknown,
    }
}

/// Targets that change something and go on. Returns what they did, for observers.
fn apply(target: &Target, shared: &mut Shared<'_>) -> Option<Effect> {
    match target {
        Target::Mark { value, mask } => {
            let from = shared.mark;
            shared.mark = (from & !mask) ^ value;
            Some(Effect::Mark {
                from,
                to: shared.mark,
            })
        }
        Target::Connmark(change) => connmark(*change, shared),
        Target::Notrack if shared.raw.locked => None,
        Target::Notrack => notrack(shared.track, shared.raw),
        Target::Ct(ct) => {
            let raw = &mut *shared.raw;
            if raw.locked || raw.untracked || raw.template.is_some() || shared.track.is_some() {
                return None; // the first word holds
            }
            if ct.notrack {
                return notrack(shared.track, raw);
            }
            let zone = ct
                .zone
                .map_or_else(ZoneSpec::default, |(id, direction)| ZoneSpec {
                    id: id.unwrap_or(shared.mark as u16),
                    original: direction != ZoneDirection::Reply,
                    reply: direction != ZoneDirection::Original,
                });
            let helper = ct
                .helper
                .as_deref()
                .and_then(helper::by_name)
                .map(|h| h.name);
            let policy = ct
                .timeout
                .as_deref()
                .and_then(|name| shared.conntrack.policy(name));
            raw.template = Some(Template {
                zone,
                helper,
                policy,
            });
            let mut text = Vec::new();
            if let Some(helper) = helper {
                text.push(format!("helper {helper}"));
            }
            if ct.zone.is_some() {
                text.push(format!("zone {}", zone.id));
            }
            if let Some(name) = &ct.timeout {
                text.push(format!("timeout {name}"));
            }
            Some(Effect::Template(text.join(", ")))
        }
        Target::Log(log) => Some(Effect::Logged(log.prefix.clone())),
        Target::Nflog(nflog) => Some(Effect::Logged(nflog.prefix.clone())),
        _ => None,
    }
}

fn notrack(track: Option<&Track>, raw: &mut RawState) -> Option<Effect> {
    if track.is_some() || raw.template.is_some() {
        return None;
    }
    raw.untracked = true;
    Some(Effect::NoTrack)
}

/// Kernel `connmark_tg`.
fn connmark(change: Connmark, shared: &mut Shared<'_>) -> Option<Effect> {
    let id = shared.track?.connection?;
    let packet_mark = shared.mark;
    let connection = shared.conntrack.connection_mut(id)?;
    let from = connection.mark;
    match change {
        Connmark::Set { value, mask } => connection.mark = (from & !mask) ^ value,
        Connmark::Save { nfmask, ctmask } => {
            connection.mark = (from & !ctmask) ^ (packet_mark & nfmask);
        }
        Connmark::Restore { nfmask, ctmask } => {
            shared.mark = (packet_mark & !nfmask) ^ (from & ctmask);
            return Some(Effect::Mark {
                from: packet_mark,
                to: shared.mark,
            });
        }
    }
    Some(Effect::ConnectionMark {
        from,
        to: connection.mark,
    })
}
