//! The engine as a subject of packet scripts, made from a script as the kernel's namespace is.

use std::path::Path;

use anyhow::{Context, Result, bail};
use palisade_capture::script::{
    ConnectionSeen, Observed, RuleName, RulesFamily, RulesSource, Script, Seen, Sent, Subject,
};
use palisade_conntrack::Config;
use palisade_engine::{Engine, Reassembly, Setup};
use palisade_rules::{Chain, Family, Ruleset, TableKind, parse};
use palisade_wire::Timestamp;

use crate::compare::{Counted, CounterName, Counters};
use crate::kernel::tracks;

/// The engine with a script's firewall.
#[derive(Debug)]
pub struct EngineSubject {
    inner: palisade_capture::script::EngineSubject,
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
            host: script.host(),
            conntrack,
            reassembly: if track {
                Reassembly::Always
            } else {
                Reassembly::Never
            },
        };
        Ok(EngineSubject {
            inner: palisade_capture::script::EngineSubject::new(Engine::new(setup)?),
            track,
        })
    }
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

impl Subject for EngineSubject {
    fn packet(&mut self, sent: &Sent<'_>) -> Observed {
        let mut observed = self.inner.packet(sent);
        if !self.track {
            (observed.state, observed.direction) = (Seen::Unseen, Seen::Unseen);
        }
        observed
    }

    fn counters(&mut self, v6: bool, rule: &RuleName) -> Option<(u64, u64)> {
        self.inner.counters(v6, rule)
    }

    fn connections(&mut self, now: Timestamp) -> Vec<ConnectionSeen> {
        self.inner.connections(now)
    }

    fn expectations(&mut self, now: Timestamp) -> u64 {
        self.inner.expectations(now)
    }
}

impl Counted for EngineSubject {
    fn all_counters(&mut self) -> Counters {
        let mut all = Counters::new();
        for (v6, family) in [(false, Family::V4), (true, Family::V6)] {
            for table in self
                .inner
                .engine()
                .ruleset(family)
                .iter()
                .flat_map(|r| &r.tables)
            {
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
