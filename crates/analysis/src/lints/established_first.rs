use crate::view::StateSet;
use palisade_rules::{Severity, TableKind};

use super::ask::FROM_OUTSIDE;
use super::{Context, Lint, Run, v4};
use crate::finding::Report;
use crate::map::{ChainMap, TableMap};
use crate::view::Action;

pub(super) static LINT: Lint = Lint {
    code: "PL002",
    name: "established-late",
    severity: Severity::Note,
    title: "packets of established connections pass many rules before they are accepted",
    reason: "Nearly all packets belong to connections that were accepted before. Rules are asked one after the other, so each rule in \
             front of the one that accepts ESTABLISHED is asked again for every such packet. Moved to the front it costs one rule a \
             packet. Where the file carries counters (iptables-save -c) the finding counts: rules asked per packet as the file \
             is, and with the rule moved first; palisade check --pcap FILE measures the same on a capture. Without either it tells how many rules a packet of an established connection is \
             asked today. A rule that accounts for or refuses established packets on purpose has to stay in front.",
    fix: "move the rule that accepts ESTABLISHED to the beginning of the chain",
    bad: v4(
        "*filter\n:INPUT DROP [0:0]\n-A INPUT -m conntrack --ctstate INVALID -j DROP\n-A INPUT -i lo -j ACCEPT\n-A INPUT -p tcp --dport 25 -j ACCEPT\n-A INPUT -p tcp --dport 80 -j ACCEPT\n-A INPUT -p tcp --dport 443 -j ACCEPT\n-A INPUT -p tcp --dport 993 -j ACCEPT\n-A INPUT -p udp --dport 53 -j ACCEPT\n-A INPUT -p icmp -j ACCEPT\n-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\nCOMMIT\n",
    ),
    at: "-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
    good: v4(
        "*filter\n:INPUT DROP [0:0]\n-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n-A INPUT -m conntrack --ctstate INVALID -j DROP\n-A INPUT -i lo -j ACCEPT\n-A INPUT -p tcp --dport 25 -j ACCEPT\n-A INPUT -p tcp --dport 80 -j ACCEPT\n-A INPUT -p tcp --dport 443 -j ACCEPT\n-A INPUT -p tcp --dport 993 -j ACCEPT\n-A INPUT -p udp --dport 53 -j ACCEPT\n-A INPUT -p icmp -j ACCEPT\nCOMMIT\n",
    ),
    run: Run::Ruleset(run),
};

/// Rules in front that nobody would move a rule for.
const FEW: usize = 6;
/// With counters: rules a packet that the move must save.
const GAIN: f64 = 1.0;

fn run(context: &Context<'_>, report: &mut Report<'_>) {
    for hook in FROM_OUTSIDE {
        let Some((table, builtin)) = context.map.hook(TableKind::Filter, hook) else {
            continue;
        };
        // An answer to a connection that somebody inside opened: the least that is asked is what every
        // interface pays.
        let best = context
            .strangers(table, hook)
            .into_iter()
            .filter_map(|p| {
                let mut p = p.in_state(StateSet::ESTABLISHED);
                p.original = false;
                (p.source_port, p.destination_port) = (61443, 50123);
                let way = context.map.walk(table, builtin, &p, &[])?;
                let (chain, number) = (way.end.0, way.end.1?);
                let c = &table.chains[chain].rules[number].conditions;
                (way.action == Action::Accept
                    && c.asks_state()
                    && c.real_states() & StateSet::NEW == 0)
                    .then_some(way)
            })
            .min_by_key(|w| w.visited);
        let Some(way) = best else { continue };
        let (chain, Some(number)) = way.end else {
            continue;
        };
        let rule = &table.chains[chain].rules[number];
        if !context.by_hand(&table.chains[chain]) {
            continue;
        }
        let place = context.places.rule(rule.position());
        let measured = (chain == builtin)
            .then(|| counted(table, &table.chains[chain], number))
            .flatten();
        match measured {
            Some((before, after)) if before - after >= GAIN => {
                report
                    .add(
                        place,
                        format!(
                            "{before:.1} rules are asked per packet of {}; with this rule first it would be {after:.1}",
                            hook.name()
                        ),
                    )
                    .note("from the counters in the file")
                    .help(format!("make it rule 1 of {}", hook.name()));
            }
            Some(_) => {}
            None if way.visited > FEW => {
                report
                    .add(
                        place,
                        format!(
                            "a packet of an established connection is asked {} rules of {} before this one accepts it",
                            way.visited - 1,
                            hook.name()
                        ),
                    )
                    .help(format!("make it one of the first rules of {}", hook.name()));
            }
            None => {}
        }
    }
}

/// Rules of a built-in chain asked per packet, as it is and with one rule moved to its front, by the counters.
/// Rules of other chains are not counted on either side.
fn counted(table: &TableMap<'_>, chain: &ChainMap<'_>, moved: usize) -> Option<(f64, f64)> {
    let ends = |r: &crate::map::RuleMap<'_>| table.ends(r);
    // What a chain that may return decides on the way is in no counter of this chain.
    let decides = |to: usize| {
        table.chains[to].rules.iter().any(|r| {
            !matches!(r.action, Action::Return)
                && (r.action.ends() || matches!(r.action, Action::Jump(_)))
        })
    };
    let leaks = chain.rules.iter().any(|r| match r.action {
        Action::Jump(to) => !table.chains[to].ends && decides(to),
        _ => false,
    });
    if leaks {
        return None;
    }
    let taken: Vec<u64> = chain
        .rules
        .iter()
        .map(|r| if ends(r) { r.rule.counters.packets } else { 0 })
        .collect();
    let total = taken.iter().sum::<u64>() + chain.counters.packets;
    let mine = *taken.get(moved)?;
    if total == 0 || mine == 0 {
        return None;
    }
    let asked = |taken: &[u64]| -> u128 {
        let mut left = u128::from(total);
        taken
            .iter()
            .map(|t| {
                let here = left;
                left = left.saturating_sub(u128::from(*t));
                here
            })
            .sum()
    };
    let mut after = taken.clone();
    after.remove(moved);
    after.insert(0, mine);
    let per = |sum: u128| sum as f64 / total as f64;
    Some((per(asked(&taken)), per(asked(&after))))
}

/// The rule of a built-in chain of the filter table that accepts established connections, whatever they are: it asks
/// for the state only. None when there is no such rule.
pub fn established_rule(
    ruleset: &palisade_rules::Ruleset,
    hook: palisade_rules::Hook,
) -> Option<usize> {
    let map = crate::map::Map::new(ruleset);
    let (table, builtin) = map.hook(TableKind::Filter, hook)?;
    table.chains[builtin].rules.iter().position(|r| {
        let c = &r.conditions;
        let states = c.real_states();
        let only_states = crate::view::Conditions {
            states: c.states.clone(),
            ..Default::default()
        } == *c;
        r.action == Action::Accept
            && only_states
            && states & StateSet::ESTABLISHED != 0
            && states & (StateSet::NEW | StateSet::INVALID) == 0
    })
}
