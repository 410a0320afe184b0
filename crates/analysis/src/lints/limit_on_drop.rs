use palisade_rules::Severity;

use super::limit_useless::{Beyond, beyond, without_rate};
use super::{Context, Lint, Run, v4};
use crate::finding::Report;
use crate::view::{self, Action};

pub(super) static LINT: Lint = Lint {
    code: "PL021",
    name: "limit-on-drop",
    severity: Severity::Warning,
    title: "a limit on DROP drops the first packets and lets the flood through",
    reason: "-m limit matches up to a rate. On a rule that drops, that means: the first few packets are dropped, and everything above \
             the rate goes on, the reverse of what was meant. Against floods accept up to the rate and drop the rest, or use hashlimit with \
             --hashlimit-above, which matches beyond the rate.",
    fix: "-m limit … -j ACCEPT and then -j DROP for the same packets, or -m hashlimit --hashlimit-above RATE -j DROP",
    bad: v4(
        "*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -p tcp --syn -m limit --limit 25/sec --limit-burst 50 -j DROP\nCOMMIT\n",
    ),
    at: "-A INPUT -p tcp --syn -m limit --limit 25/sec --limit-burst 50 -j DROP",
    good: v4(
        "*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -p tcp --syn -m limit --limit 25/sec --limit-burst 50 -j RETURN\n-A INPUT -p tcp --syn -j DROP\nCOMMIT\n",
    ),
    run: Run::Ruleset(run),
};

fn run(context: &Context<'_>, report: &mut Report<'_>) {
    for table in &context.map.tables {
        for chain in table.chains.iter().filter(|c| c.reached) {
            for (number, rule) in chain.rules.iter().enumerate() {
                if rule.action != Action::Drop || view::rate_up_to(rule.rule) != Some(true) {
                    continue;
                }
                // A second brake of another kind may make sense of it.
                let Some(rest) = without_rate(&rule.conditions) else {
                    continue;
                };
                let brakes = rule.conditions.opaque.len() - rest.opaque.len();
                if brakes != 1 || matches!(beyond(table, chain, number, &rest), Beyond::Same(_)) {
                    continue;
                }
                report.add(
                    context.places.rule(rule.position()),
                    "this drops up to the limit and lets through what exceeds it",
                );
            }
        }
    }
}
