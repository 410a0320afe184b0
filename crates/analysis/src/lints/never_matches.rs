use std::collections::HashMap;
use std::net::IpAddr;

use palisade_rules::{Not, Severity};

use super::{Context, Lint, Run, v4};
use crate::cover::{covers, prefix};
use crate::finding::Report;
use crate::map::{ChainMap, TableMap};
use crate::view::Action;

pub(super) static LINT: Lint = Lint {
    code: "PL005",
    name: "never-matches",
    severity: Severity::Warning,
    title: "a rule that can never match, because an earlier one takes all its packets",
    reason: "Rules are asked in order and the first that decides wins. A rule whose every packet already fitted an earlier rule of the \
             same chain that accepts, drops, rejects, returns or goes elsewhere is dead: what it says does not happen. \
             Often it is the exception, written after the general rule that it should except from. Found here is what one earlier \
             rule shadows; several that do so together are not looked for.",
    fix: "move the rule before the one that shadows it, or delete it",
    bad: v4(
        "*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -s 10.0.0.0/8 -j ACCEPT\n-A INPUT -s 10.66.0.0/16 -p tcp --dport 22 -j DROP\nCOMMIT\n",
    ),
    at: "-A INPUT -s 10.66.0.0/16 -p tcp --dport 22 -j DROP",
    good: v4(
        "*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -s 10.66.0.0/16 -p tcp --dport 22 -j DROP\n-A INPUT -s 10.0.0.0/8 -j ACCEPT\nCOMMIT\n",
    ),
    run: Run::Ruleset(run),
};

fn run(context: &Context<'_>, report: &mut Report<'_>) {
    for table in &context.map.tables {
        for chain in &table.chains {
            for (number, by) in shadowed(table, chain) {
                let rule = &chain.rules[number];
                let earlier = &chain.rules[by];
                if earlier.conditions.is_empty() {
                    // What stands after a rule for everything is told once (PL013).
                    break;
                }
                if earlier.conditions == rule.conditions && earlier.action == rule.action {
                    // The same rule twice is PL018's.
                    continue;
                }
                // One command may write several rules (-d a,b).
                if earlier.position().line == rule.position().line {
                    continue;
                }
                let same = same_verdict(&earlier.action, &rule.action);
                // A program that writes rules may repeat itself; only a lost decision is worth a word there.
                let decides = |a: &Action| matches!(a, Action::Accept) || a.refuses();
                let lost = decides(&earlier.action)
                    && decides(&rule.action)
                    && earlier.action.refuses() != rule.action.refuses();
                if !lost && !context.by_hand(chain) {
                    continue;
                }
                report
                    .add(
                        context.places.rule(rule.position()),
                        format!(
                            "this rule never matches: rule {} of {} (line {}) takes all its packets",
                            by + 1,
                            chain.name,
                            earlier.position().line
                        ),
                    )
                    .note(format!(
                        "line {}: {}",
                        earlier.position().line,
                        shown(context, earlier.position())
                    ))
                    .help(if same {
                        "delete it: the earlier rule does the same"
                    } else {
                        "move it before the earlier rule, or delete it"
                    });
            }
        }
    }
}

fn shown(context: &Context<'_>, position: palisade_rules::Position) -> String {
    let text = context
        .text
        .get(position.start..position.end)
        .unwrap_or_default();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn same_verdict(a: &Action, b: &Action) -> bool {
    a == b && !matches!(a, Action::Dnat(_) | Action::Translate | Action::Queue)
}

type Key = (Option<(IpAddr, u32)>, Option<(IpAddr, u32)>);

/// Most earlier rules of one address that a rule is compared with.
const MAX_COMPARED: usize = 256;

/// Rules with the earlier rule that shadows them. Earlier rules are filed by source and destination prefix, so that a
/// rule is compared with those only whose networks can contain its own.
pub(super) fn shadowed(table: &TableMap<'_>, chain: &ChainMap<'_>) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let mut filed: HashMap<Key, Vec<usize>> = HashMap::new();
    let mut lengths: Vec<(Option<u32>, Option<u32>)> = Vec::new();
    // The last rule that may change a mark or leave the chain for a while.
    let mut unsteady = None;
    for (number, rule) in chain.rules.iter().enumerate() {
        let (source, destination) = (
            net(&rule.conditions.sources),
            net(&rule.conditions.destinations),
        );
        let mut by: Option<usize> = None;
        for (s, d) in &lengths {
            let (Some(s), Some(d)) = (cut(source, *s), cut(destination, *d)) else {
                continue;
            };
            for earlier in filed.get(&(s, d)).into_iter().flatten().take(MAX_COMPARED) {
                let steady = unsteady.is_none_or(|u| u < *earlier);
                if by.is_none_or(|b| *earlier < b)
                    && covers(&chain.rules[*earlier].conditions, &rule.conditions, steady)
                {
                    by = Some(*earlier);
                }
            }
        }
        match by {
            Some(by) => found.push((number, by)),
            None if table.ends(rule) && !rule.conditions.is_limited() => {
                let lens = (source.map(|s| s.1), destination.map(|d| d.1));
                if !lengths.contains(&lens) {
                    lengths.push(lens);
                }
                filed.entry((source, destination)).or_default().push(number);
            }
            None => {}
        }
        if matches!(
            rule.action,
            Action::Change | Action::Jump(_) | Action::Helper(_) | Action::NoTrack
        ) {
            unsteady = Some(number);
        }
    }
    found
}

/// The one network that a rule demands, when it is one and a prefix.
fn net(nets: &[Not<palisade_rules::Net>]) -> Option<(IpAddr, u32)> {
    match nets {
        [one] if !one.negated => Some((one.value.address, prefix(&one.value)?)),
        _ => None,
    }
}

/// A network cut to a shorter prefix; the outer `None` when it is not that long.
fn cut(net: Option<(IpAddr, u32)>, length: Option<u32>) -> Option<Option<(IpAddr, u32)>> {
    let Some(length) = length else {
        return Some(None);
    };
    let (address, own) = net?;
    if own < length {
        return None;
    }
    let address = match address {
        IpAddr::V4(a) => {
            let mask = u32::MAX.checked_shl(32 - length).unwrap_or(0);
            IpAddr::from((u32::from(a) & mask).to_be_bytes())
        }
        IpAddr::V6(a) => {
            let mask = u128::MAX.checked_shl(128 - length).unwrap_or(0);
            IpAddr::from((u128::from(a) & mask).to_be_bytes())
        }
    };
    Some(Some((address, length)))
}
