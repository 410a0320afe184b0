//! Other rules while the engine runs: all at once or not at all.
//!
//! # Overview
//! [`Engine::replace`] compiles the new rules beside the old ones, and only when nothing can fail any more they take their
//! place. Connections, expectations and fragments stay as they are; every packet is judged by the old rules or by the
//! new ones.
//!
//! Translated connections stay translated, even by rules without a table of nat.
//!
//! # What stays
//! A rule is the same one when its table, its chain's name and its text are, and it is the first, second, … of that text
//! in the chain. It keeps its counters, unless the new rules come with counters of their own ([`Counting::Given`]).
//!
//! What rules remember by a name stays as long as a new rule has the name, as in the kernel: lists of `recent`, tables of
//! `hashlimit` (made as their first rule once made them), estimators, accounting objects; and sets, unless others are
//! given. A list whose rules now want more moments remembered is emptied, as the kernel does (`recent_mt_check`).
//!
//! What a rule remembers for itself (`limit`, `quota`, `statistic`, `connlimit`) stays with a rule that is the same one
//! ([`Memory::Kept`]). The kernel has it begin anew: iptables-legacy with every change of the table, be it one rule
//! appended; iptables-nft when the table is restored ([`Memory::Fresh`]).

use std::collections::{HashMap, VecDeque};

use palisade_conntrack::Config;
use palisade_rules::{Family, Ruleset, Table, TableKind, ipset, print};

use crate::append::empty;
use crate::matches::States;
use crate::program::{Program, SetupError};
use crate::{Engine, Reassembly, Sets};

/// Whose counters rules begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Counting {
    /// Rules and policies that are the same keep theirs, others begin with those that they are given with.
    #[default]
    Kept,
    /// All begin with those that they are given with: `iptables-restore -c`, and what [`Engine::ruleset`] told, changed
    /// (`-Z`, `-A`, `-I`, `-D`, `-R`).
    Given,
}

/// What becomes of what a rule remembers for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Memory {
    /// A rule that is the same one goes on with it.
    #[default]
    Kept,
    /// It begins anew, as the kernel has it.
    Fresh,
}

/// The rules of a family.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Exchange {
    /// Those that there are.
    #[default]
    Keep,
    /// Others; none: everything is accepted.
    For(Option<Ruleset>),
}

/// What takes the place of what.
#[derive(Clone, Debug, Default)]
pub struct Replacement {
    /// IPv4 rules.
    pub rules4: Exchange,
    /// IPv6 rules.
    pub rules6: Exchange,
    /// Sets (ipset) in the place of those that there are, with what is in them.
    pub ipsets: Option<ipset::Sets>,
    /// Counters.
    pub counting: Counting,
    /// What a rule remembers for itself.
    pub memory: Memory,
}

/// What came of a replacement, in rules of both families.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Replaced {
    /// Rules that are the same ones.
    pub kept: usize,
    /// Rules that were not there before.
    pub added: usize,
    /// Rules that are not there any more.
    pub removed: usize,
}

/// Programs of both families, with what their rules remember.
pub(crate) struct Compiled {
    pub(crate) programs: [Program; 2],
    pub(crate) states: States,
}

impl Compiled {
    /// Compiles rules; `states` has what does not hang on them, and is what rules remember if all goes well.
    pub(crate) fn new(
        [rules4, rules6]: [Option<Ruleset>; 2],
        config: &Config,
        states: &mut States,
    ) -> Result<Self, SetupError> {
        let programs = [
            Program::new(rules4, Family::V4, config, states)?,
            Program::new(rules6, Family::V6, config, states)?,
        ];
        Ok(Compiled {
            programs,
            states: std::mem::take(states),
        })
    }

    /// What was translated stays so: the hooks of a table of nat that once was there stay for good, as in the kernel.
    fn keep_translating(&mut self, old: &Program, family: Family) {
        const NAT: TableKind = TableKind::Nat;
        let table = &mut self.programs[family as usize].tables[NAT as usize];
        if old.table(NAT).is_some() && table.is_none() {
            *table = Some(empty(NAT, family, &Config::default(), &mut self.states));
        }
    }

    /// Whether a rule has the traffic of connections counted.
    pub(crate) fn counts_traffic(&self) -> bool {
        self.programs.iter().any(|p| p.counts_traffic)
    }

    /// Whether fragments of each family are put together.
    pub(crate) fn reassemble(&self, asked: Reassembly) -> [bool; 2] {
        [0, 1].map(|family| match asked {
            Reassembly::Always => true,
            Reassembly::Never => false,
            Reassembly::Auto => {
                let program = &self.programs[family];
                program.needs_tracking || program.needs_whole
            }
        })
    }
}

impl Engine {
    /// Puts other rules in the place of those that there are. Ways that were remembered for flows are not taken any
    /// more: the next packet of each is judged by the new rules.
    ///
    /// # Errors
    /// [`SetupError`] where [`Engine::new`] would not take the rules; nothing has changed then.
    pub fn replace(&mut self, by: Replacement) -> Result<Replaced, SetupError> {
        let rules = |given, family: Family| match given {
            Exchange::Keep => self.ruleset(family),
            Exchange::For(rules) => rules,
        };
        let kept = [&by.rules4, &by.rules6].map(|given| *given == Exchange::Keep);
        let rules = [rules(by.rules4, Family::V4), rules(by.rules6, Family::V6)];
        let given = by.ipsets.as_ref().map(Sets::new);
        let own = given.is_none();
        let mut states = self.states.without_rules();
        states.sets = given.unwrap_or_else(|| std::mem::take(&mut self.states.sets));
        let compiled = Compiled::new(rules, self.conntrack.config(), &mut states);
        let mut compiled = compiled.inspect_err(|_| {
            if own {
                self.states.sets = states.sets;
            }
        })?;
        // Nothing fails from here on.
        for family in [Family::V4, Family::V6] {
            compiled.keep_translating(&self.programs[family as usize], family);
        }
        self.settle();
        let mut old = std::mem::take(&mut self.states);
        compiled.states.adopt(&mut old);
        let mut replaced = Replaced::default();
        for family in [Family::V4, Family::V6] {
            let at = family as usize;
            // What was kept was compiled with the counters of now.
            let counting = if kept[at] {
                Counting::Given
            } else {
                by.counting
            };
            let moving = Moving {
                old: &self.programs[at],
                new: &mut compiled.programs[at],
                family,
                counting,
                memory: if kept[at] { Memory::Kept } else { by.memory },
            };
            moving.carry(&mut old, &mut compiled.states, &mut replaced);
        }
        if compiled.counts_traffic() {
            self.conntrack.count_traffic();
        }
        self.reassemble = compiled.reassemble(self.reassembly);
        self.programs = compiled.programs;
        self.states = compiled.states;
        Ok(replaced)
    }
}

/// Rules of a family that take the place of others.
struct Moving<'a> {
    old: &'a Program,
    new: &'a mut Program,
    family: Family,
    counting: Counting,
    memory: Memory,
}

impl Moving<'_> {
    /// Gives rules that are the same ones what they had.
    fn carry(self, old_states: &mut States, states: &mut States, replaced: &mut Replaced) {
        let mut there = Places::default();
        let before = self.old.source.iter().flat_map(|source| &source.tables);
        for table in before {
            for (chain, rule, text) in texts(table, self.family) {
                there.add(table.kind, text, (chain, rule));
            }
        }
        let all = there.count;
        let (mut kept, mut added) = (0, 0);
        let Program { source, tables, .. } = self.new;
        for table in source.iter().flat_map(|source| &source.tables) {
            let Some(new) = tables[table.kind as usize].as_mut() else {
                continue;
            };
            let Some(old) = self.old.table(table.kind) else {
                added += new
                    .chains
                    .iter()
                    .map(|chain| chain.rules.len())
                    .sum::<usize>();
                continue;
            };
            if self.counting == Counting::Kept {
                for chain in new.chains.iter_mut() {
                    let same = old.chains.iter().find(|c| c.name == chain.name);
                    if let Some(same) = same.filter(|c| c.policy == chain.policy) {
                        chain.counters = same.counters;
                    }
                }
            }
            for (chain, rule, text) in texts(table, self.family) {
                let Some((old_chain, old_rule)) = there.take(table.kind, &text) else {
                    added += 1;
                    continue;
                };
                kept += 1;
                let (old, new) = (&old.chains[old_chain], &mut new.chains[chain]);
                if self.counting == Counting::Kept {
                    new.counts[rule] = old.counts[old_rule];
                }
                if self.memory == Memory::Fresh {
                    continue;
                }
                let (from, to) = (&old.rules[old_rule].slots, &new.rules[rule].slots);
                for (m, slots) in new.rules[rule].rule.matches.iter().zip(from.iter().zip(to)) {
                    if let (Some(from), Some(to)) = slots {
                        states.inherit(m, *to, old_states, *from);
                    }
                }
            }
        }
        replaced.kept += kept;
        replaced.added += added;
        replaced.removed += all - kept;
    }
}

/// Where rules of a text stand, in order.
#[derive(Default)]
struct Places {
    of: HashMap<(TableKind, String), VecDeque<(usize, usize)>>,
    count: usize,
}

impl Places {
    fn add(&mut self, table: TableKind, text: String, place: (usize, usize)) {
        self.of.entry((table, text)).or_default().push_back(place);
        self.count += 1;
    }

    fn take(&mut self, table: TableKind, text: &str) -> Option<(usize, usize)> {
        self.of.get_mut(&(table, text.to_owned()))?.pop_front()
    }
}

/// The rules of a table: chain, place in it, and text, which has the chain's name.
fn texts(table: &Table, family: Family) -> impl Iterator<Item = (usize, usize, String)> + '_ {
    table
        .chains
        .iter()
        .enumerate()
        .flat_map(move |(at, chain)| {
            let rules = chain.rules.iter().enumerate();
            rules.map(move |(n, rule)| (at, n, print::rule(table, chain, rule, family)))
        })
}
