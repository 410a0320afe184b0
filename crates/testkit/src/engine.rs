//! The engine as a subject of packet scripts, made from a script as the kernel's namespace is.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use palisade_capture::script::{
    ConnectionSeen, Direction, FrameKind, Observed, RuleName, RuleNumber, RulesFamily, RulesSource,
    Script, Seen, Sent, State, Subject, TupleSeen, Verdict, Way,
};
use palisade_conntrack::Config;
use palisade_conntrack::Connection;
use palisade_engine::{
    Ended, Engine, Host, Input, Interface, LinkInfo, Observer, Outcome, Reassembly, Route, RuleRef,
    Setup, Visit,
};
use palisade_rules::{Chain, Family, Ruleset, TableKind, parse};
use palisade_wire::{Timestamp, link::PacketType};

use crate::compare::{Counted, CounterName, Counters};
use crate::kernel::{SENDER, tracks};

/// The engine with a script's firewall.
#[derive(Debug)]
pub struct EngineSubject {
    engine: Engine,
    /// Whether states are to be shown: as on the kernel, where tracking changes what fragments do.
    track: bool,
}

impl EngineSubject {
    /// Builds the firewall of `script`; rules files are relative to `base`.
    ///
    /// # Errors
    ///
    /// When rules cannot be read or have errors, or a setting is unknown.
    pub fn new(script: &Script, base: &Path) -> Result<EngineSubject> {
        let track = tracks(script, base)?;
        let (rules4, rules6) = rules(script, base)?;
        let mut conntrack = Config::default();
        for sysctl in &script.sysctls {
            conntrack.set(&sysctl.name, &sysctl.value)?;
        }
        let setup = Setup {
            rules4,
            rules6,
            host: host(script),
            conntrack,
            reassembly: if track {
                Reassembly::Always
            } else {
                Reassembly::Never
            },
        };
        Ok(EngineSubject {
            engine: Engine::new(setup)?,
            track,
        })
    }
}

fn host(script: &Script) -> Host {
    let firewall = &script.firewall;
    let interfaces = firewall.interfaces.iter().map(|i| {
        let routes = firewall.routes.iter().filter(|r| r.interface == i.name);
        let networks = i.addresses.iter().chain(routes.map(|r| &r.to));
        Interface {
            name: i.name.clone(),
            addresses: i.addresses.iter().map(|p| p.address).collect(),
            prefixes: networks.map(|p| (p.address, p.length)).collect(),
        }
    });
    Host::new(firewall.local.iter().copied(), interfaces)
}

/// The script's rules of both families. Save files replace tables; commands add to what is there, so
/// they are read as one text.
fn rules(script: &Script, base: &Path) -> Result<(Option<Ruleset>, Option<Ruleset>)> {
    let (mut four, mut six) = (None, None);
    let mut commands = String::new();
    for rules in &script.rules {
        let text = match &rules.source {
            RulesSource::Inline { text, .. } => text.clone(),
            RulesSource::File(name) => std::fs::read_to_string(base.join(name))
                .with_context(|| format!("rules in {name}"))?,
        };
        if !text.lines().any(|l| l.starts_with('*')) {
            commands += &text;
            commands.push('\n');
            continue;
        }
        let family = match rules.family {
            RulesFamily::ByText => Family::V4,
            RulesFamily::V6 => Family::V6,
        };
        let parsed = parse::auto(&text, family);
        if parsed.has_errors() {
            bail!("{:?}", parsed.diagnostics);
        }
        replace(&mut four, parsed.v4);
        replace(&mut six, parsed.v6);
    }
    if !commands.is_empty() {
        let parsed = parse::auto(&commands, Family::V4);
        if parsed.has_errors() {
            bail!("{:?}", parsed.diagnostics);
        }
        replace(&mut four, parsed.v4);
        replace(&mut six, parsed.v6);
    }
    Ok((four, six))
}

fn replace(all: &mut Option<Ruleset>, new: Option<Ruleset>) {
    let (Some(all), Some(new)) = (all.as_mut(), &new) else {
        *all = all.take().or(new);
        return;
    };
    all.tables
        .retain(|old| new.tables.iter().all(|t| t.kind != old.kind));
    all.tables.extend(new.tables.iter().cloned());
}

/// Collects the rules and policies that matched.
#[derive(Default)]
struct Matched(Vec<RuleName>);

impl Observer for Matched {
    fn visit(&mut self, rule: RuleRef<'_>, visit: Visit) {
        if visit == Visit::Matched {
            self.0.push(RuleName {
                table: rule.table.name().to_owned(),
                chain: rule.chain.to_owned(),
                rule: RuleNumber::Number(rule.number),
            });
        }
    }

    fn policy(&mut self, table: TableKind, chain: &str, _: bool) {
        self.0.push(RuleName {
            table: table.name().to_owned(),
            chain: chain.to_owned(),
            rule: RuleNumber::Policy,
        });
    }
}

impl Subject for EngineSubject {
    fn packet(&mut self, sent: &Sent<'_>) -> Observed {
        let route = match &sent.way {
            Way::ByAddress => Route::Auto,
            Way::In(name) => Route::In(Arc::from(name.as_str())),
            Way::Out(name) => Route::Out(Arc::from(name.as_str())),
        };
        let packet_type = match sent.kind {
            FrameKind::ByAddress => None,
            FrameKind::Host => Some(PacketType::Host),
            FrameKind::Broadcast => Some(PacketType::Broadcast),
            FrameKind::Multicast => Some(PacketType::Multicast),
        };
        let input = Input {
            time: sent.time,
            route,
            link: LinkInfo {
                source_mac: Some(sent.source_mac.unwrap_or(SENDER)),
                packet_type,
                ..LinkInfo::default()
            },
            ..Input::new(&sent.bytes)
        };
        let mut matched = Matched::default();
        let outcome = self.engine.process(&input, &mut matched);
        let mut observed = shown(&outcome);
        observed.matched = Seen::Seen(matched.0);
        if !self.track {
            (observed.state, observed.direction) = (Seen::Unseen, Seen::Unseen);
        }
        observed
    }

    fn counters(&mut self, v6: bool, rule: &RuleName) -> Option<(u64, u64)> {
        self.all_counters().get(&CounterName::of(v6, rule)).copied()
    }

    fn connections(&mut self, now: Timestamp) -> Vec<ConnectionSeen> {
        let table = self.engine.conntrack().connections();
        table
            .filter(|c| !c.expired(now))
            .map(|c| seen(c, now))
            .collect()
    }

    fn expectations(&mut self, now: Timestamp) -> u64 {
        let all = self.engine.conntrack().expectations();
        all.filter(|e| e.deadline > now).count() as u64
    }
}

fn shown(outcome: &Outcome) -> Observed {
    let state = outcome.state.map(|s| s.name());
    let state = State::ALL.into_iter().find(|s| Some(s.word()) == state);
    let direction = outcome.direction.map(|d| match d {
        palisade_conntrack::Direction::Original => Direction::Original,
        palisade_conntrack::Direction::Reply => Direction::Reply,
    });
    let by = match &outcome.why.ended {
        Ended::Accepted(by)
        | Ended::Dropped(by)
        | Ended::Queued(by)
        | Ended::Rejected { by, .. }
        | Ended::Unknown { by, .. } => Some(RuleName {
            table: by.table.name().to_owned(),
            chain: by.chain.to_string(),
            rule: match by.rule {
                0 => RuleNumber::Policy,
                n => RuleNumber::Number(n),
            },
        }),
        _ => None,
    };
    let connection = outcome.connection.filter(|c| c.confirmed);
    Observed {
        state: Seen::Seen(state),
        direction: Seen::Seen(direction),
        verdict: Seen::Seen(match outcome.verdict {
            palisade_engine::Verdict::Accept => Verdict::Accept,
            palisade_engine::Verdict::Drop => Verdict::Drop,
            palisade_engine::Verdict::Reject => Verdict::Reject,
            palisade_engine::Verdict::Stolen => Verdict::Stolen,
            palisade_engine::Verdict::Queue => Verdict::Queue,
            palisade_engine::Verdict::Unknown => Verdict::Unknown,
        }),
        by: Seen::Seen(by),
        hook: outcome
            .hook
            .map_or(Seen::Unseen, |h| Seen::Seen(h.name().to_owned())),
        why: Seen::Seen(outcome.why.to_string()),
        answer: Seen::Seen(outcome.reply.clone()),
        mark: Seen::Seen(outcome.mark),
        visited: Seen::Seen(outcome.visited),
        connection: Seen::Seen(connection.map(|c| ConnectionSeen {
            id: Seen::Seen(c.number),
            parent: Seen::Seen(c.master),
            original: Seen::Unseen,
            mark: Seen::Seen(c.mark),
            helper: Seen::Seen(c.helper.map(str::to_owned)),
            state: Seen::Seen(c.state.map(str::to_owned)),
            assured: Seen::Seen(c.assured),
            replied: Seen::Seen(c.replied),
            timeout: Seen::Seen(u32::try_from(c.timeout).unwrap_or(u32::MAX)),
            timeout_slack: 0,
        })),
        ..Observed::default()
    }
}

fn seen(connection: &Connection, now: Timestamp) -> ConnectionSeen {
    let tuple = connection.tuple(palisade_conntrack::Direction::Original);
    ConnectionSeen {
        id: Seen::Seen(connection.number),
        parent: Seen::Seen(connection.master),
        original: Seen::Seen(TupleSeen {
            protocol: tuple.protocol,
            source: tuple.source,
            source_port: tuple.source_port(),
            destination: tuple.destination,
            destination_port: tuple.destination_port(),
        }),
        mark: Seen::Seen(connection.mark),
        helper: Seen::Seen(connection.helper.map(str::to_owned)),
        state: Seen::Seen(connection.state_name().map(str::to_owned)),
        assured: Seen::Seen(connection.assured()),
        replied: Seen::Seen(connection.replied()),
        timeout: Seen::Seen(u32::try_from(connection.timeout(now)).unwrap_or(u32::MAX)),
        timeout_slack: 0,
    }
}

impl Counted for EngineSubject {
    fn all_counters(&mut self) -> Counters {
        let mut all = Counters::new();
        for (v6, family) in [(false, Family::V4), (true, Family::V6)] {
            for table in self.engine.ruleset(family).iter().flat_map(|r| &r.tables) {
                for chain in &table.chains {
                    counters_of(v6, table.kind, chain, &mut all);
                }
            }
        }
        all
    }
}

fn counters_of(v6: bool, table: TableKind, chain: &Chain, all: &mut Counters) {
    let name = |number| CounterName::new(v6, table.name(), &chain.name, number);
    if chain.builtin.is_some() {
        all.insert(name(0), (chain.counters.packets, chain.counters.bytes));
    }
    for (number, rule) in (1..).zip(&chain.rules) {
        all.insert(name(number), (rule.counters.packets, rule.counters.bytes));
    }
}
