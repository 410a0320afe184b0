use palisade_rules::Severity;

use super::{Context, Lint, Run, v4};
use crate::finding::Report;

pub(super) static LINT: Lint = Lint {
    code: "PL007",
    name: "unreached-chain",
    severity: Severity::Note,
    title: "a chain that no packet reaches",
    reason: "No built-in chain leads to this one, so its rules decide nothing. Either the jump was forgotten, and then what the chain \
             should block is not blocked, or the chain is left over. Where every jump to it stands behind a rule that takes all \
             packets, that rule has its own finding.",
    fix: "jump to it from a built-in chain, or delete it (-F, then -X)",
    bad: v4(
        "*filter\n:INPUT ACCEPT [0:0]\n:blocklist - [0:0]\n-A INPUT -s 203.0.113.0/24 -j DROP\n-A blocklist -s 198.51.100.0/24 -j DROP\nCOMMIT\n",
    ),
    at: ":blocklist -",
    good: v4(
        "*filter\n:INPUT ACCEPT [0:0]\n:blocklist - [0:0]\n-A INPUT -j blocklist\n-A blocklist -s 198.51.100.0/24 -j DROP\nCOMMIT\n",
    ),
    run: Run::Ruleset(run),
};

fn run(context: &Context<'_>, report: &mut Report<'_>) {
    for table in &context.map.tables {
        // A file that fills chains only, loaded with --noflush beside another, has its jumps elsewhere.
        if table
            .chains
            .iter()
            .all(|c| c.hook.is_none() || c.rules.is_empty())
        {
            continue;
        }
        for (at, chain) in table.chains.iter().enumerate() {
            if chain.reached || !context.by_hand(chain) {
                continue;
            }
            let place = context.policy_place(table, at);
            report.add(
                place,
                match (chain.rules.len(), chain.callers.is_empty()) {
                    (0, _) => format!("chain '{}' is empty and no rule leads to it", chain.name),
                    (n, true) => format!(
                        "no rule leads to chain '{}'; its {n} rule{} decide{} nothing",
                        chain.name,
                        if n == 1 { "" } else { "s" },
                        if n == 1 { "s" } else { "" }
                    ),
                    (_, false) => format!(
                        "chain '{}' is led to only from chains that no packet reaches",
                        chain.name
                    ),
                },
            );
        }
    }
}
