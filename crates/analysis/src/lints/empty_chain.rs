use palisade_rules::Severity;

use super::{Context, Lint, Run, v4};
use crate::finding::Report;
use crate::view::Action;

pub(super) static LINT: Lint = Lint {
    code: "PL006",
    name: "empty-chain",
    severity: Severity::Note,
    title: "a jump to a chain without rules",
    reason: "A jump to an empty chain does nothing and costs every packet a visit. The chain may wait for a program that fills it; if \
             nobody does, the rules that it should hold were lost, or flushed by -F and never loaded again.",
    fix: "fill the chain, or delete the jump and the chain",
    bad: v4("*filter\n:INPUT ACCEPT [0:0]\n:blocklist - [0:0]\n-A INPUT -j blocklist\nCOMMIT\n"),
    at: "-j blocklist",
    good: v4(
        "*filter\n:INPUT ACCEPT [0:0]\n:blocklist - [0:0]\n-A INPUT -j blocklist\n-A blocklist -s 198.51.100.0/24 -j DROP\nCOMMIT\n",
    ),
    run: Run::Ruleset(run),
};

fn run(context: &Context<'_>, report: &mut Report<'_>) {
    for table in &context.map.tables {
        let mut told = Vec::new();
        for chain in table.chains.iter().filter(|c| c.reached) {
            for rule in &chain.rules {
                let (Action::Jump(to) | Action::Goto(to)) = rule.action else {
                    continue;
                };
                let target = &table.chains[to];
                if !target.rules.is_empty() || told.contains(&to) || !context.by_hand(target) {
                    continue;
                }
                told.push(to);
                report.add(
                    context.places.target(rule.position()),
                    format!("chain '{}' has no rules", target.name),
                );
            }
        }
    }
}
