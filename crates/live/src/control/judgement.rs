//! What became of a packet, as it is told.

use palisade_engine::rules::{Ruleset, print};
use palisade_engine::{Decider, Ended, Engine, Verdict};

use super::message::{Judgement, short};

/// Where the texts of rules are.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Texts<'a> {
    /// The rules of an engine.
    Of(&'a Engine),
    /// These, and those of an engine where there are none.
    Instead([Option<&'a Ruleset>; 2], &'a Engine),
}

impl<'a> Texts<'a> {
    fn rules(self, by: &Decider) -> Option<&'a Ruleset> {
        match self {
            Texts::Of(engine) => engine.source(by.family),
            Texts::Instead(rules, engine) => {
                rules[by.family as usize].or_else(|| engine.source(by.family))
            }
        }
    }

    /// A rule's text, as iptables-save has it; `None` of a policy.
    fn text(self, by: &Decider) -> Option<String> {
        let ruleset = self.rules(by)?;
        let table = ruleset.table(by.table)?;
        let chain = table.chains.iter().find(|c| *c.name == *by.chain)?;
        let at = (by.rule as usize).checked_sub(1)?;
        let rule = chain.rules.get(at)?;
        Some(short(&print::rule(table, chain, rule, by.family)))
    }
}

/// What rules have become of a packet.
pub(crate) fn judgement(texts: Texts<'_>, verdict: Verdict, ended: &Ended) -> Judgement {
    let by = ended.decider();
    Judgement {
        verdict: verdict.name().to_string(),
        by: by.map_or_else(|| ended.to_string(), Decider::to_string),
        rule: by.and_then(|by| texts.text(by)).unwrap_or_default(),
    }
}
