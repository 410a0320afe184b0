use palisade_rules::{Severity, TableKind};

use super::ask::{FROM_OUTSIDE, is_loopback, reachable};
use super::{Context, Lint, Run, v4};
use crate::finding::Report;
use crate::probe::Probe;
use crate::view::Action;

pub(super) static LINT: Lint = Lint {
    code: "PL009",
    name: "policy-accept",
    severity: Severity::Warning,
    title: "ports are opened one by one, and the policy accepts everything else as well",
    reason: "The chain accepts some ports by rule, which only makes sense if the others are closed. But its policy is ACCEPT and no rule at \
             its end drops or rejects what is left, so every port is open and the rules decide nothing. Often the final rule got lost, \
             or iptables -P INPUT DROP stands in a file that is not loaded. Chains that only block something and leave the rest to \
             the policy are not meant.",
    fix: "-P INPUT DROP, or a last rule -A INPUT -j REJECT (allow ESTABLISHED and your own way in first)",
    bad: v4(
        "*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n-A INPUT -i lo -j ACCEPT\n-A INPUT -p tcp --dport 443 -m conntrack --ctstate NEW -j ACCEPT\nCOMMIT\n",
    ),
    at: ":INPUT ACCEPT",
    good: v4(
        "*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n-A INPUT -i lo -j ACCEPT\n-A INPUT -p tcp --dport 443 -m conntrack --ctstate NEW -j ACCEPT\n-A INPUT -j DROP\nCOMMIT\n",
    ),
    run: Run::Ruleset(run),
};

fn run(context: &Context<'_>, report: &mut Report<'_>) {
    for hook in FROM_OUTSIDE {
        let Some((table, builtin)) = context.map.hook(TableKind::Filter, hook) else {
            continue;
        };
        if table.chains[builtin].policy != palisade_rules::Policy::Accept
            || !context.denying(hook).is_empty()
        {
            continue;
        }
        // A rule that opens a port for strangers, and without which the policy would open it too.
        let idle = reachable(table, builtin).into_iter().find_map(|chain| {
            if !context.by_hand(&table.chains[chain]) {
                return None;
            }
            table.chains[chain]
                .rules
                .iter()
                .enumerate()
                .find_map(|(number, rule)| {
                    let c = &rule.conditions;
                    if rule.action != Action::Accept
                        || is_loopback(c)
                        || c.destination_ports.is_empty()
                        || c.asks_source()
                        || !c.opaque.is_empty()
                        || !c.destinations.is_empty()
                    {
                        return None;
                    }
                    let start = Probe::stranger(context.map.family, hook);
                    context
                        .made_for(table, (chain, number), hook, &start)
                        .into_iter()
                        .find_map(|made| {
                            let with = context.walk(table, &made)?;
                            let without = context.map.walk_without(
                                table,
                                builtin,
                                &made.probe,
                                &made.assumed,
                                Some((chain, number)),
                            )?;
                            (with.end == (chain, Some(number))
                                && without.end == (builtin, None)
                                && without.doubtful.is_empty())
                            .then_some(rule.position())
                        })
                })
        });
        if let Some(rule) = idle {
            let name = hook.name();
            report
                .add(
                    context.policy_place(table, builtin),
                    format!("the policy of {name} accepts whatever its rules do not name"),
                )
                .note(format!(
                    "line {} opens a port that would be open without it",
                    rule.line
                ))
                .help(format!(
                    "-P {name} DROP, or a last rule -A {name} -j REJECT; see first that ESTABLISHED and your own way in are accepted"
                ));
        }
    }
}
