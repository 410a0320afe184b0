use palisade_rules::Severity;

use super::{Context, Lint, Run, v4};
use crate::finding::Report;

pub(super) static LINT: Lint = Lint {
    code: "PL013",
    name: "after-everything",
    severity: Severity::Warning,
    title: "rules after one that takes every packet",
    reason: "A rule without conditions that accepts, drops, rejects, returns or goes to a chain which decides ends the chain. What \
             was appended behind it is never asked: typically a port opened with -A after the final REJECT, which stays closed, or a \
             drop after an accept of everything, which drops nothing.",
    fix: "put the rules before it (iptables -I CHAIN NUMBER …)",
    bad: v4(
        "*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n-A INPUT -i lo -j ACCEPT\n-A INPUT -j REJECT --reject-with icmp-host-prohibited\n-A INPUT -p tcp --dport 8080 -j ACCEPT\n-A INPUT -p tcp --dport 8443 -j ACCEPT\nCOMMIT\n",
    ),
    at: "-A INPUT -p tcp --dport 8080 -j ACCEPT",
    good: v4(
        "*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n-A INPUT -i lo -j ACCEPT\n-A INPUT -p tcp --dport 8080 -m conntrack --ctstate NEW -j ACCEPT\n-A INPUT -j REJECT --reject-with icmp-host-prohibited\nCOMMIT\n",
    ),
    run: Run::Ruleset(run),
};

fn run(context: &Context<'_>, report: &mut Report<'_>) {
    for table in &context.map.tables {
        for chain in &table.chains {
            let Some(last) = chain
                .rules
                .iter()
                .position(|r| r.conditions.is_empty() && table.ends(r))
            else {
                continue;
            };
            let Some(rule) = chain.rules.get(last + 1) else {
                continue;
            };
            let end = &chain.rules[last];
            let more = chain.rules.len() - last - 1;
            // The same verdict for the rest again changes nothing.
            if more == 1 && rule.conditions.is_empty() && rule.action.ends() {
                continue;
            }
            report
                .add(
                    context.places.rule(rule.position()),
                    match more {
                        1 => format!(
                            "this rule is never asked: rule {} of {} (line {}) takes every packet",
                            last + 1,
                            chain.name,
                            end.position().line
                        ),
                        n => format!(
                            "this rule and {} after it are never asked: rule {} of {} (line {}) takes every packet",
                            n - 1,
                            last + 1,
                            chain.name,
                            end.position().line
                        ),
                    },
                )
                .help(format!("iptables -I {} {} …, before that rule", chain.name, last + 1));
        }
    }
}
