use crate::view::StateSet;
use palisade_rules::{Severity, TableKind};
use palisade_wire::{proto, tcp::flags};

use super::ask::FROM_OUTSIDE;
use super::{Context, Lint, Run, v4};
use crate::finding::Report;
use crate::probe::Probe;
use crate::view::Action;

pub(super) static LINT: Lint = Lint {
    code: "PL014",
    name: "new-without-syn",
    severity: Severity::Note,
    title: "a rule for new TCP connections takes segments without SYN",
    reason: "NEW does not mean SYN. With nf_conntrack_tcp_loose at its default of 1, an ACK or data segment of a connection that nobody \
             knows is NEW too: tracking picks the connection up in the middle, and the entry lives for five days as if it had been opened. \
             That keeps connections alive over a restart of the filter, and lets ACK scans and floods of stray segments past a rule that \
             asks for NEW only. If you do not need the pick-up, ask for --syn in the rules, or drop NEW without SYN once before them. \
             The finding names the first such rule of each built-in chain.",
    fix: "-A INPUT -p tcp ! --syn -m conntrack --ctstate NEW -j DROP before it, or --syn in the rule",
    bad: v4(
        "*filter\n:INPUT DROP [0:0]\n-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n-A INPUT -i lo -j ACCEPT\n-A INPUT -p tcp --dport 443 -m conntrack --ctstate NEW -j ACCEPT\nCOMMIT\n",
    ),
    at: "--ctstate NEW",
    good: v4(
        "*filter\n:INPUT DROP [0:0]\n-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n-A INPUT -i lo -j ACCEPT\n-A INPUT -p tcp ! --syn -m conntrack --ctstate NEW -j DROP\n-A INPUT -p tcp --dport 443 -m conntrack --ctstate NEW -j ACCEPT\nCOMMIT\n",
    ),
    run: Run::Ruleset(run),
};

fn run(context: &Context<'_>, report: &mut Report<'_>) {
    for hook in FROM_OUTSIDE {
        let Some((table, builtin)) = context.map.hook(TableKind::Filter, hook) else {
            continue;
        };
        if context.denying(hook).is_empty() {
            continue;
        }
        let mut start = Probe::stranger(context.map.family, hook);
        start.flags = flags::ACK;
        let mut found = None;
        let mut more = 0;
        for chain in super::ask::reachable(table, builtin) {
            if !context.by_hand(&table.chains[chain]) {
                continue;
            }
            for (number, rule) in table.chains[chain].rules.iter().enumerate() {
                let c = &rule.conditions;
                // NEW and nothing else of consequence: with UNTRACKED or INVALID beside it the rule means "whatever".
                let only_new = c.asks_state() && c.real_states() == StateSet::NEW;
                if rule.action != Action::Accept
                    || !only_new
                    || c.flags.is_some()
                    || c.one_protocol() != Some(proto::TCP)
                {
                    continue;
                }
                let hit = context
                    .made_for(table, (chain, number), hook, &start)
                    .iter()
                    .any(|made| {
                        made.probe.in_interface != "lo"
                            && context
                                .walk(table, made)
                                .is_some_and(|w| w.end == (chain, Some(number)))
                    });
                if hit {
                    match found {
                        None => found = Some((chain, number)),
                        Some(_) => more += 1,
                    }
                }
            }
        }
        if let Some((chain, number)) = found {
            let rule = &table.chains[chain].rules[number];
            let place = context
                .places
                .option(rule.position(), &["--ctstate", "--state"], 1);
            let added = report
                .add(
                    place,
                    "NEW takes TCP segments without SYN as well",
                )
                .help(format!(
                    "-A {} -p tcp ! --syn -m conntrack --ctstate NEW -j DROP before it, or --syn in the rule",
                    hook.name()
                ))
                .replace((place.1, place.1), " --syn");
            if more > 0 {
                added.note(format!(
                    "{more} more rule{} that {} leads to {} the same",
                    if more == 1 { "" } else { "s" },
                    hook.name(),
                    if more == 1 { "does" } else { "do" }
                ));
            }
        }
    }
}
