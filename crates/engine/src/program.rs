//! A ruleset made ready: the hooks' chains found, stateful matches numbered, counters apart.

use std::collections::BTreeSet;
use std::sync::Arc;

use palisade_conntrack::{Config, PolicyError};
use palisade_rules::{Counters, Family, Match, Policy, Rule, Ruleset, Table, TableKind, Target};
use thiserror::Error;

use crate::compiled::{Finder, Interfaces};
use crate::matches::States;
use crate::targets::sees_bytes;

/// Why rules cannot be run.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum SetupError {
    /// Chains call each other in a circle.
    #[error("chain '{chain}' of table {table} calls itself in a circle")]
    Loop {
        /// Table.
        table: &'static str,
        /// Chain.
        chain: String,
    },
    /// A jump to a chain that is not there.
    #[error("a rule of chain '{chain}' in table {table} jumps to a chain that does not exist")]
    Dangling {
        /// Table.
        table: &'static str,
        /// Chain.
        chain: String,
    },
    /// IPv6 rules given as IPv4 ones or the other way round.
    #[error("the rules are {given} rules, {wanted} ones are needed here")]
    Family {
        /// Family of the ruleset.
        given: Family,
        /// Family that it was given for.
        wanted: Family,
    },
    /// A rule's `--timeout` names a policy that it may not use, or that is not there.
    #[error("rule {rule} of chain '{chain}' in table {table}{}: {error}", at_line(*line))]
    Timeout {
        /// Table.
        table: &'static str,
        /// Chain.
        chain: String,
        /// Number of the rule, from 1.
        rule: usize,
        /// Source line; 0 when it is not known.
        line: u32,
        /// What is wrong, and what to do.
        error: PolicyError,
    },
    /// A rule's `--label` is a name that stands for no number.
    #[error("rule {rule} of chain '{chain}' in table {table}{}: there is no connection label '{label}'; give its number (0 to 127), or name it under [labels] in the host file, as /etc/xtables/connlabel.conf does", at_line(*line))]
    Label {
        /// Table.
        table: &'static str,
        /// Chain.
        chain: String,
        /// Number of the rule, from 1.
        rule: usize,
        /// Source line; 0 when it is not known.
        line: u32,
        /// As the rule has it.
        label: String,
    },
    /// A rule shares something with others by its name, and they do not agree.
    #[error("rule {rule} of chain '{chain}' in table {table}{}: {why}", at_line(*line))]
    Disagreement {
        /// Table.
        table: &'static str,
        /// Chain.
        chain: String,
        /// Number of the rule, from 1.
        rule: usize,
        /// Source line; 0 when it is not known.
        line: u32,
        /// What is wrong.
        why: String,
    },
}

fn at_line(line: u32) -> String {
    match line {
        0 => String::new(),
        line => format!(" (line {line})"),
    }
}

/// A rule with what it needs at run time.
#[derive(Clone, Debug)]
pub(crate) struct ProgramRule {
    pub(crate) rule: Rule,
    /// What [`States::prepare`] gave to each match.
    pub(crate) slots: Vec<Option<u32>>,
}

#[derive(Clone, Debug)]
pub(crate) struct ProgramChain {
    pub(crate) name: Arc<str>,
    pub(crate) policy: Policy,
    pub(crate) counters: Counters,
    pub(crate) rules: Vec<ProgramRule>,
    /// Chains that they jump or go to.
    pub(crate) leads_to: BTreeSet<usize>,
    /// What each of them counted: apart, because most packets need no more of a rule.
    pub(crate) counts: Vec<Counters>,
    /// Finds those that a packet may match.
    pub(crate) finder: Finder,
}

#[derive(Clone, Debug)]
pub(crate) struct ProgramTable {
    pub(crate) kind: TableKind,
    /// Chain of each hook, by [`Hook`] as index.
    pub(crate) hooks: [Option<u32>; 5],
    pub(crate) chains: Vec<ProgramChain>,
    /// Interfaces that its rules name.
    pub(crate) interfaces: Interfaces,
    /// A rule of some table looks at bytes that a target may have changed.
    pub(crate) bytes_seen: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Program {
    pub(crate) source: Option<Ruleset>,
    /// By [`TableKind`] as index.
    pub(crate) tables: [Option<ProgramTable>; 5],
    pub(crate) needs_tracking: bool,
    /// Fragments are put together for a rule that looks for sockets.
    pub(crate) needs_whole: bool,
    /// SYNPROXY minds connections.
    pub(crate) proxies: bool,
    /// A rule makes the kernel count the traffic of connections (`nf_ct_set_acct`).
    pub(crate) counts_traffic: bool,
}

impl Program {
    pub(crate) fn new(
        source: Option<Ruleset>,
        family: Family,
        config: &Config,
        states: &mut States,
    ) -> Result<Self, SetupError> {
        let mut program = Program {
            source: None,
            tables: [None, None, None, None, None],
            needs_tracking: false,
            needs_whole: false,
            proxies: false,
            counts_traffic: false,
        };
        if let Some(ruleset) = &source {
            if ruleset.family != family {
                return Err(SetupError::Family {
                    given: ruleset.family,
                    wanted: family,
                });
            }
            let chains = ruleset.tables.iter().flat_map(|t| &t.chains);
            let rules = || chains.clone().flat_map(|c| &c.rules);
            rules().for_each(|rule| program.need(rule));
            let bytes_seen = rules().any(looks_at_bytes);
            for table in &ruleset.tables {
                check_jumps(table)?;
                check_names(table, family, config)?;
                check_agreement(table, family, states)?;
                program.tables[table.kind as usize] =
                    Some(compile(table, family, config, states, bytes_seen));
            }
        }
        program.source = source;
        Ok(program)
    }

    /// Has what a rule needs.
    pub(crate) fn need(&mut self, rule: &Rule) {
        self.needs_tracking |= tracks(rule);
        self.needs_whole |= looks_for_sockets(rule);
        self.proxies |= matches!(rule.target, Target::Synproxy(_));
        self.counts_traffic |= counts(rule);
    }

    pub(crate) fn table(&self, kind: TableKind) -> Option<&ProgramTable> {
        self.tables[kind as usize].as_ref()
    }

    /// The source with the counters of now.
    pub(crate) fn ruleset(&self) -> Option<Ruleset> {
        let mut ruleset = self.source.clone()?;
        for table in &mut ruleset.tables {
            let Some(program) = self.table(table.kind) else {
                continue;
            };
            for (chain, now) in table.chains.iter_mut().zip(&program.chains) {
                chain.counters = now.counters;
                for (rule, now) in chain.rules.iter_mut().zip(&now.counts) {
                    rule.counters = *now;
                }
            }
        }
        Some(ruleset)
    }
}

pub(crate) fn compile(
    table: &Table,
    family: Family,
    config: &Config,
    states: &mut States,
    bytes_seen: bool,
) -> ProgramTable {
    let mut hooks = [None; 5];
    let mut interfaces = Interfaces::default();
    let chains: Vec<ProgramChain> = table
        .chains
        .iter()
        .enumerate()
        .map(|(i, chain)| {
            if let Some(hook) = chain.builtin {
                hooks[hook as usize] = Some(i as u32);
            }
            ProgramChain {
                name: chain.name.as_str().into(),
                policy: chain.policy,
                counters: chain.counters,
                leads_to: chain.rules.iter().filter_map(leads_to).collect(),
                counts: chain.rules.iter().map(|rule| rule.counters).collect(),
                finder: Finder::new(chain.rules.iter(), family, &mut interfaces),
                rules: chain
                    .rules
                    .iter()
                    .map(|rule| prepare(rule, family, config, states))
                    .collect(),
            }
        })
        .collect();
    ProgramTable {
        kind: table.kind,
        hooks,
        chains,
        interfaces,
        bytes_seen,
    }
}

/// Whether a rule looks at bytes that a target may have changed.
pub(crate) fn looks_at_bytes(rule: &Rule) -> bool {
    rule.matches.iter().any(sees_bytes)
}

/// The chain that a rule jumps or goes to.
pub(crate) fn leads_to(rule: &Rule) -> Option<usize> {
    match rule.target {
        Target::Jump(to) | Target::Goto(to) => Some(to),
        _ => None,
    }
}

/// A rule with what its matches remember.
pub(crate) fn prepare(
    rule: &Rule,
    family: Family,
    config: &Config,
    states: &mut States,
) -> ProgramRule {
    ProgramRule {
        slots: rule
            .matches
            .iter()
            .map(|m| states.prepare(m, family, config))
            .collect(),
        rule: rule.clone(),
    }
}

/// Whether a rule makes the kernel track connections of its family.
fn tracks(rule: &Rule) -> bool {
    let by_match = rule.matches.iter().any(|m| {
        matches!(
            m,
            Match::State(_)
                | Match::Conntrack(_)
                | Match::Connlabel(_)
                | Match::Helper(_)
                | Match::Connmark(_)
                | Match::Connlimit(_)
                | Match::Connbytes(_)
                | Match::Cluster(_)
        )
    });
    by_match
        || matches!(
            rule.target,
            Target::Connmark(_)
                | Target::Ct(_)
                | Target::Snat(_)
                | Target::Dnat(_)
                | Target::Masquerade(_)
                | Target::Redirect(_)
                | Target::Netmap(_)
                | Target::Connsecmark(_)
                | Target::Synproxy(_)
        )
}

/// Whether a rule makes the kernel put fragments together without tracking connections.
fn looks_for_sockets(rule: &Rule) -> bool {
    matches!(rule.target, Target::Tproxy(_))
        || rule.matches.iter().any(|m| matches!(m, Match::Socket(_)))
}

/// Whether a rule has the traffic of connections counted.
pub(crate) fn counts(rule: &Rule) -> bool {
    let counts = |m: &Match| matches!(m, Match::Connbytes(_));
    rule.matches.iter().any(counts)
}

/// What rules share by a name is the same to all of them, in the order in which the kernel takes them.
fn check_agreement(table: &Table, family: Family, states: &mut States) -> Result<(), SetupError> {
    for chain in &table.chains {
        for (at, rule) in chain.rules.iter().enumerate() {
            rule_agrees(rule, (table.kind, &chain.name, at), family, states)?;
        }
    }
    Ok(())
}

/// A rule and those before it agree about what they share; it is named by its place.
pub(crate) fn rule_agrees(
    rule: &Rule,
    (table, chain, at): (TableKind, &str, usize),
    family: Family,
    states: &mut States,
) -> Result<(), SetupError> {
    let by_match = rule
        .matches
        .iter()
        .find_map(|m| states.disagreement(m, family));
    match by_match.or_else(|| states.target_disagreement(&rule.target)) {
        None => Ok(()),
        Some(why) => Err(SetupError::Disagreement {
            table: table.name(),
            chain: chain.to_string(),
            rule: at + 1,
            line: rule.position.line,
            why,
        }),
    }
}

/// Timeout policies and labels that rules name are there.
fn check_names(table: &Table, family: Family, config: &Config) -> Result<(), SetupError> {
    for chain in &table.chains {
        for (at, rule) in chain.rules.iter().enumerate() {
            names_are_known(rule, (table.kind, &chain.name, at), family, config)?;
        }
    }
    Ok(())
}

/// Likewise of one rule, which is named by its place.
pub(crate) fn names_are_known(
    rule: &Rule,
    (table, chain, at): (TableKind, &str, usize),
    family: Family,
    config: &Config,
) -> Result<(), SetupError> {
    let (table, line) = (table.name(), rule.position.line);
    if let Target::Ct(ct) = &rule.target
        && let Some(name) = &ct.timeout
    {
        let protocol = rule.base.protocol.as_ref();
        let protocol = protocol.filter(|p| !p.negated).map(|p| p.value);
        if let Err(error) = config.policy_for(name, family, protocol) {
            return Err(SetupError::Timeout {
                table,
                chain: chain.to_string(),
                rule: at + 1,
                line,
                error,
            });
        }
    }
    for m in &rule.matches {
        if let Match::Connlabel(connlabel) = m
            && config.label(&connlabel.label.value).is_none()
        {
            return Err(SetupError::Label {
                table,
                chain: chain.to_string(),
                rule: at + 1,
                line,
                label: connlabel.label.value.clone(),
            });
        }
    }
    Ok(())
}

/// Jumps lead to chains that exist, and never in a circle. Walks with a stack of its own: text
/// decides the depth.
fn check_jumps(table: &Table) -> Result<(), SetupError> {
    let mut colour = vec![0u8; table.chains.len()];
    for start in 0..table.chains.len() {
        let mut stack = vec![(start, 0usize)];
        if colour[start] != 0 {
            continue;
        }
        colour[start] = 1;
        while let Some((chain, at)) = stack.pop() {
            let Some(rule) = table.chains[chain].rules.get(at) else {
                colour[chain] = 2;
                continue;
            };
            stack.push((chain, at + 1));
            if let Target::Jump(to) | Target::Goto(to) = rule.target {
                match colour.get(to) {
                    None => {
                        return Err(SetupError::Dangling {
                            table: table.kind.name(),
                            chain: table.chains[chain].name.clone(),
                        });
                    }
                    Some(0) => {
                        colour[to] = 1;
                        stack.push((to, 0));
                    }
                    Some(1) => {
                        return Err(SetupError::Loop {
                            table: table.kind.name(),
                            chain: table.chains[to].name.clone(),
                        });
                    }
                    Some(_) => {}
                }
            }
        }
    }
    Ok(())
}
