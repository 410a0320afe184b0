use palisade_rules::{Policy, Severity};

use super::{Context, Lint, Run, v4};
use crate::cover::{covers, disjoint};
use crate::finding::Report;
use crate::map::{ChainMap, TableMap};
use crate::view::{self, Action, Conditions, Depends};

pub(super) static LINT: Lint = Lint {
    code: "PL017",
    name: "limit-useless",
    severity: Severity::Warning,
    title: "a limit without effect: what exceeds it gets the same verdict",
    reason: "-m limit does not drop anything. It lets a rule match up to a rate, and a packet beyond it goes on to the next rule. If that one, \
             or the policy, does the same with it, the limit changes nothing: a flood passes as if it were not there. What exceeds the \
             limit needs a rule of its own that refuses it.",
    fix: "a rule with the same conditions, without the limit, and -j DROP right after it",
    bad: v4(
        "*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -p icmp --icmp-type echo-request -m limit --limit 1/sec -j ACCEPT\n-A INPUT -p icmp -j ACCEPT\n-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n-A INPUT -i lo -j ACCEPT\n-A INPUT -j DROP\nCOMMIT\n",
    ),
    at: "-A INPUT -p icmp --icmp-type echo-request -m limit --limit 1/sec -j ACCEPT",
    good: v4(
        "*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -p icmp --icmp-type echo-request -m limit --limit 1/sec -j ACCEPT\n-A INPUT -p icmp --icmp-type echo-request -j DROP\n-A INPUT -p icmp -j ACCEPT\n-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n-A INPUT -i lo -j ACCEPT\n-A INPUT -j DROP\nCOMMIT\n",
    ),
    run: Run::Ruleset(run),
};

/// What comes to packets of a rule that did not fit for its rate.
pub(super) enum Beyond {
    /// A later rule, by its number, or the policy, does the same with all of them.
    Same(Option<usize>),
    /// Something else, or it cannot be told.
    Other,
}

/// A rule's conditions without those on a rate; none, when nothing is left out.
pub(super) fn without_rate(c: &Conditions) -> Option<Conditions> {
    let mut rest = c.clone();
    rest.opaque.retain(|o| o.depends != Depends::Rate);
    (rest.opaque.len() != c.opaque.len()).then_some(rest)
}

/// Follows the packets beyond the rate through the rest of the chain.
pub(super) fn beyond(
    table: &TableMap<'_>,
    chain: &ChainMap<'_>,
    number: usize,
    rest: &Conditions,
) -> Beyond {
    let action = &chain.rules[number].action;
    for (later, rule) in chain.rules.iter().enumerate().skip(number + 1) {
        if disjoint(&rule.conditions, rest) {
            continue;
        }
        match &rule.action {
            Action::Pass | Action::Log | Action::Change => continue,
            Action::Jump(to) if table.chains[*to].rules.is_empty() => continue,
            _ => {}
        }
        if rule.action != *action {
            return Beyond::Other;
        }
        if covers(&rule.conditions, rest, false) {
            return Beyond::Same(Some(later));
        }
        // Some of them end here, in the same way; the rest goes on.
    }
    let policy = match chain.policy {
        Policy::Accept => Action::Accept,
        Policy::Drop => Action::Drop,
    };
    if chain.hook.is_some() && policy == *action {
        Beyond::Same(None)
    } else {
        Beyond::Other
    }
}

fn run(context: &Context<'_>, report: &mut Report<'_>) {
    for table in &context.map.tables {
        for chain in table.chains.iter().filter(|c| c.reached) {
            if !context.by_hand(chain) {
                continue;
            }
            for (number, rule) in chain.rules.iter().enumerate() {
                if view::rate_up_to(rule.rule).is_none()
                    || !matches!(rule.action, Action::Accept | Action::Drop | Action::Reject)
                {
                    continue;
                }
                let Some(rest) = without_rate(&rule.conditions) else {
                    continue;
                };
                if let Beyond::Same(by) = beyond(table, chain, number, &rest) {
                    let whom = match by {
                        Some(later) => format!(
                            "rule {} of {} (line {})",
                            later + 1,
                            chain.name,
                            chain.rules[later].position().line
                        ),
                        None => format!("the policy of {}", chain.name),
                    };
                    report.add(
                        context.places.rule(rule.position()),
                        format!(
                            "the limit has no effect: {whom} does the same with what exceeds it"
                        ),
                    );
                }
            }
        }
    }
}
