//! One packet rule by rule, for `--only N`.

use palisade_engine::conntrack::Track;
use palisade_engine::rules::{Hook, Rule, TableKind};
use palisade_engine::{Effect, Observer, RuleRef, Visit};

use super::record::{Matched, MatchedRule};

/// One step of a packet's way.
#[derive(Clone, Debug)]
pub enum Step {
    /// A table's chain is entered at a hook.
    Enter(Hook, TableKind),
    /// A rule was visited.
    Rule {
        /// Table.
        table: TableKind,
        /// Chain.
        chain: String,
        /// Number from 1.
        number: u32,
        /// The rule.
        rule: Box<Rule>,
        /// Result.
        visit: Visit,
        /// Packets it had counted before.
        packets: u64,
    },
    /// A target did something.
    Effect(Effect),
    /// A policy decided.
    Policy(TableKind, String, bool),
    /// Connection tracking judged.
    Tracked(Box<Track>),
}

/// Everything that happened to one packet.
#[derive(Clone, Debug, Default)]
pub struct Explanation {
    /// In order.
    pub steps: Vec<Step>,
    matched: Matched,
}

impl Explanation {
    /// The rules that matched.
    pub fn matched(&self) -> &[MatchedRule] {
        &self.matched.rules
    }
}

impl Observer for Explanation {
    const FAILURES: bool = true;

    fn enter(&mut self, hook: Hook, table: TableKind) {
        self.steps.push(Step::Enter(hook, table));
    }

    fn visit(&mut self, rule: RuleRef<'_>, visit: Visit) {
        self.matched.visit(rule, visit);
        self.steps.push(Step::Rule {
            table: rule.table,
            chain: rule.chain.to_string(),
            number: rule.number,
            rule: Box::new(rule.rule.clone()),
            visit,
            packets: rule.packets,
        });
    }

    fn effect(&mut self, effect: Effect) {
        self.steps.push(Step::Effect(effect));
    }

    fn policy(&mut self, table: TableKind, chain: &str, accept: bool) {
        self.steps
            .push(Step::Policy(table, chain.to_string(), accept));
    }

    fn tracked(&mut self, track: &Track) {
        self.steps.push(Step::Tracked(Box::new(track.clone())));
    }
}
