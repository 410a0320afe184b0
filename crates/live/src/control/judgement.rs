//! What became of a packet, as it is told.

use palisade_engine::rules::{Family, print};
use palisade_engine::{Decider, Ended, Engine, Verdict};

use super::message::{Judgement, short};

/// The rule or policy that ended a packet's way; `None` where no rule did.
pub(crate) fn decider(ended: &Ended) -> Option<&Decider> {
    match ended {
        Ended::Accepted(by)
        | Ended::Dropped(by)
        | Ended::Queued(by)
        | Ended::Unheard(by)
        | Ended::Rejected { by, .. }
        | Ended::Unknown { by, .. }
        | Ended::Answered { by, .. } => Some(by),
        _ => None,
    }
}

/// What an engine's rules have become of a packet.
pub(crate) fn judgement(engine: &Engine, verdict: Verdict, ended: &Ended) -> Judgement {
    let by = decider(ended);
    Judgement {
        verdict: verdict.name().to_string(),
        by: by.map_or_else(|| ended.to_string(), Decider::to_string),
        rule: by.and_then(|by| text(engine, by)).unwrap_or_default(),
    }
}

/// A rule's text, as iptables-save has it; `None` of a policy.
fn text(engine: &Engine, by: &Decider) -> Option<String> {
    let family: Family = by.family;
    let table = engine.source(family)?.table(by.table)?;
    let chain = table.chains.iter().find(|c| *c.name == *by.chain)?;
    let at = (by.rule as usize).checked_sub(1)?;
    let rule = chain.rules.get(at)?;
    Some(short(&print::rule(table, chain, rule, family)))
}
