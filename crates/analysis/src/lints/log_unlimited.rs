use palisade_rules::{Severity, TableKind};

use super::{Context, Lint, Run, v4};
use crate::finding::Report;
use crate::view::Action;

pub(super) static LINT: Lint = Lint {
    code: "PL008",
    name: "log-unlimited",
    severity: Severity::Note,
    title: "a LOG rule that strangers' packets reach without a limit",
    reason: "Each packet that reaches the rule writes a line. Somebody who sends a hundred thousand packets a second fills the disk, keeps \
             syslog and the console busy, and hides among the lines what he really does. A limit on the rule, or on the jump to its \
             chain, keeps the log useful. Rules that only trusted sources reach are left alone.",
    fix: "-m limit --limit 5/min --limit-burst 10 before -j LOG",
    bad: v4(
        "*filter\n:INPUT DROP [0:0]\n-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n-A INPUT -i lo -j ACCEPT\n-A INPUT -j LOG --log-prefix \"dropped: \"\nCOMMIT\n",
    ),
    at: "-j LOG",
    good: v4(
        "*filter\n:INPUT DROP [0:0]\n-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n-A INPUT -i lo -j ACCEPT\n-A INPUT -m limit --limit 5/min --limit-burst 10 -j LOG --log-prefix \"dropped: \"\nCOMMIT\n",
    ),
    run: Run::Ruleset(run),
};

fn run(context: &Context<'_>, report: &mut Report<'_>) {
    let Some(table) = context.map.table(TableKind::Filter) else {
        return;
    };
    for (at, chain) in table.chains.iter().enumerate() {
        if !context.by_hand(chain) {
            continue;
        }
        for (number, rule) in chain.rules.iter().enumerate() {
            if rule.action != Action::Log || rule.conditions.is_limited() {
                continue;
            }
            let open = table.ways_to(at).into_iter().any(|(builtin, steps)| {
                let hook = table.chains[builtin].hook;
                let Some(hook) = hook.filter(|h| super::ask::FROM_OUTSIDE.contains(h)) else {
                    return false;
                };
                let all = || {
                    steps
                        .iter()
                        .map(|(c, r)| &table.chains[*c].rules[*r].conditions)
                        .chain([&rule.conditions])
                };
                if all().any(|c| c.is_limited() || c.asks_source() || super::ask::is_loopback(c)) {
                    return false;
                }
                // A stranger's packet must really come to it.
                let start = crate::probe::Probe::stranger(context.map.family, hook);
                let starts = [
                    start.clone(),
                    start.in_state(crate::view::StateSet::INVALID),
                ];
                starts.iter().any(|start| {
                    context
                        .made_for(table, (at, number), hook, start)
                        .iter()
                        .any(|made| {
                            made.steps.len() == steps.len() + 1
                                && context
                                    .walk(table, made)
                                    .is_some_and(|way| way.passed.contains(&(at, number)))
                        })
                })
            });
            if open {
                let place = context.places.target(rule.position());
                report
                    .add(
                        place,
                        "every packet that comes here writes a line, without a limit",
                    )
                    .help("-m limit --limit 5/min --limit-burst 10 in the rule")
                    .replace(
                        (place.0, place.0),
                        "-m limit --limit 5/min --limit-burst 10 ",
                    );
            }
        }
    }
}
