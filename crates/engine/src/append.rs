//! A rule more at the end of a chain, while the engine runs: `iptables -A` without loading all rules anew.

use palisade_conntrack::Config;
use palisade_rules::{Family, Rule, Ruleset, Table, TableKind};
use thiserror::Error;

use crate::matches::States;
use crate::program::{
    Program, ProgramTable, SetupError, compile, counts, leads_to, looks_at_bytes, names_are_known,
    prepare, rule_agrees,
};
use crate::{Engine, Reassembly};

/// Why a rule was not appended. Everything is as it was.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum AppendError {
    /// No chain of that name.
    #[error("there is no chain '{chain}' in table {table}")]
    NoChain {
        /// Table.
        table: &'static str,
        /// Chain.
        chain: String,
    },
    /// The rule cannot be run.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// The rule needs what connections had to count from their beginning.
    #[error(
        "the rule looks at the traffic of connections, which none of the rules before it has had counted"
    )]
    NothingCounted,
}

impl Engine {
    /// Appends a rule to a chain; the counters that it has are where it begins. A table that no rule is in yet is
    /// made.
    ///
    /// # Errors
    /// [`AppendError`] where [`Engine::new`] would not take the ruleset with this rule, or the chain is not there.
    pub fn append(
        &mut self,
        family: Family,
        table: TableKind,
        chain: &str,
        rule: Rule,
    ) -> Result<(), AppendError> {
        // Ways that were found hold no longer.
        self.settle();
        let config = self.conntrack.config();
        let program = &mut self.programs[family as usize];
        program.append(family, (table, chain), rule, config, &mut self.states)?;
        if self.reassembly == Reassembly::Auto {
            self.reassemble[family as usize] = program.needs_tracking || program.needs_whole;
        }
        Ok(())
    }
}

impl Program {
    fn append(
        &mut self,
        family: Family,
        (kind, name): (TableKind, &str),
        rule: Rule,
        config: &Config,
        states: &mut States,
    ) -> Result<(), AppendError> {
        let here = |at| (kind, name, at);
        let fresh;
        let table = match &self.tables[kind as usize] {
            Some(table) => table,
            None => {
                fresh = empty(kind, family, config, states);
                &fresh
            }
        };
        let chain = table.chains.iter().position(|c| *c.name == *name);
        let chain = chain.ok_or_else(|| AppendError::NoChain {
            table: kind.name(),
            chain: name.to_string(),
        })?;
        let at = table.chains[chain].rules.len();
        table.may_lead(chain, &rule)?;
        names_are_known(&rule, here(at), family, config)?;
        if counts(&rule) && config.acct == 0 {
            return Err(AppendError::NothingCounted);
        }
        // The last check: from here on the states know the rule.
        rule_agrees(&rule, here(at), family, states)?;

        self.need(&rule);
        let bytes_seen =
            looks_at_bytes(&rule) || self.tables.iter().flatten().any(|t| t.bytes_seen);
        let source = self.source.get_or_insert_with(|| Ruleset::new(family));
        let tables = &mut source.tables;
        let place = tables
            .iter()
            .position(|t| t.kind == kind)
            .unwrap_or_else(|| {
                tables.push(Table::new(kind));
                tables.len() - 1
            });
        let table =
            self.tables[kind as usize].get_or_insert_with(|| empty(kind, family, config, states));
        table.push(chain, &rule, family, config, states);
        tables[place].chains[chain].rules.push(rule);
        for table in self.tables.iter_mut().flatten() {
            table.bytes_seen = bytes_seen;
        }
        Ok(())
    }
}

/// A table that no ruleset mentions.
pub(crate) fn empty(
    kind: TableKind,
    family: Family,
    config: &Config,
    states: &mut States,
) -> ProgramTable {
    compile(&Table::new(kind), family, config, states, false)
}

impl ProgramTable {
    /// Whether a rule of a chain leads to a chain that is there, and not in a circle.
    fn may_lead(&self, chain: usize, rule: &Rule) -> Result<(), SetupError> {
        let Some(to) = leads_to(rule) else {
            return Ok(());
        };
        let named = |at: usize| self.chains[at].name.to_string();
        if to >= self.chains.len() {
            return Err(SetupError::Dangling {
                table: self.kind.name(),
                chain: named(chain),
            });
        }
        let mut seen = vec![false; self.chains.len()];
        let mut waiting = vec![to];
        while let Some(at) = waiting.pop() {
            if at == chain {
                return Err(SetupError::Loop {
                    table: self.kind.name(),
                    chain: named(to),
                });
            }
            if !std::mem::replace(&mut seen[at], true) {
                waiting.extend(&self.chains[at].leads_to);
            }
        }
        Ok(())
    }

    fn push(
        &mut self,
        chain: usize,
        rule: &Rule,
        family: Family,
        config: &Config,
        states: &mut States,
    ) {
        let chain = &mut self.chains[chain];
        chain.leads_to.extend(leads_to(rule));
        chain.counts.push(rule.counters);
        chain.rules.push(prepare(rule, family, config, states));
        let rules = chain.rules.iter().map(|r| &r.rule);
        chain.finder.append(rules, family, &mut self.interfaces);
    }
}
