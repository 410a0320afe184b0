use crate::view::StateSet;
use palisade_rules::{Severity, TableKind};
use palisade_wire::proto;

use super::ask::FROM_OUTSIDE;
use super::{Context, Lint, Run, v4};
use crate::finding::Report;
use crate::probe::Probe;
use crate::view::Action;

pub(super) static LINT: Lint = Lint {
    code: "PL001",
    name: "invalid-accepted",
    severity: Severity::Warning,
    title: "a TCP packet in state INVALID reaches an ACCEPT",
    reason: "Connection tracking calls a packet INVALID when it belongs to no connection and can start none: a segment outside the \
             TCP window, an ACK or RST out of nowhere, a flag combination that no system sends, a bad checksum. A rule that \
             accepts a port without asking for a state accepts those too, so scanners get answers (an ACK scan maps the hosts \
             behind the filter) and forged segments reach the service. The finding names the first rule that does so for each \
             built-in chain and the packet's way to it.",
    fix: "drop INVALID before the first rule for a port (-m conntrack --ctstate INVALID -j DROP), or let the rules for ports ask for NEW",
    bad: v4(
        "*filter\n:INPUT DROP [0:0]\n-A INPUT -i lo -j ACCEPT\n-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n-A INPUT -p tcp --dport 443 -j ACCEPT\nCOMMIT\n",
    ),
    at: "-A INPUT -p tcp --dport 443 -j ACCEPT",
    good: v4(
        "*filter\n:INPUT DROP [0:0]\n-A INPUT -i lo -j ACCEPT\n-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n-A INPUT -m conntrack --ctstate INVALID -j DROP\n-A INPUT -p tcp --dport 443 -j ACCEPT\nCOMMIT\n",
    ),
    run: Run::Ruleset(run),
};

fn run(context: &Context<'_>, report: &mut Report<'_>) {
    // Without rules that ask for a state nobody expects INVALID to be held back.
    if !context.is_stateful() {
        return;
    }
    for hook in FROM_OUTSIDE {
        let Some((table, builtin)) = context.map.hook(TableKind::Filter, hook) else {
            continue;
        };
        if context.denying(hook).is_empty() {
            continue;
        }
        let start = Probe::stranger(context.map.family, hook).in_state(StateSet::INVALID);
        let mut chains = super::ask::reachable(table, builtin);
        chains.sort_by_key(|c| (*c != builtin, *c));
        'hook: for chain in chains {
            if !context.by_hand(&table.chains[chain]) {
                continue;
            }
            for (number, rule) in table.chains[chain].rules.iter().enumerate() {
                let c = &rule.conditions;
                // A rule for a whole interface or network trusts it; this is about open ports.
                let for_port = !c.destination_ports.is_empty() || !c.either_ports.is_empty();
                if rule.action != Action::Accept
                    || !for_port
                    || c.real_states() & StateSet::INVALID == 0
                    || super::ask::is_loopback(c)
                    || of_guests(c)
                {
                    continue;
                }
                for made in context.made_for(table, (chain, number), hook, &start) {
                    if made.probe.protocol != proto::TCP || made.probe.in_interface == "lo" {
                        continue;
                    }
                    let Some(way) = context.walk(table, &made) else {
                        return;
                    };
                    if way.action != Action::Accept || way.end != (chain, Some(number)) {
                        continue;
                    }
                    let target = context.places.target(rule.position());
                    report
                        .add(
                            context.places.rule(rule.position()),
                            format!("a packet in state INVALID reaches this ACCEPT from {}", hook.name()),
                        )
                        .note(context.way_words(table, &made.steps))
                        .help(format!(
                            "-A {} -m conntrack --ctstate INVALID -j DROP before it, or --ctstate NEW in the rule",
                            hook.name()
                        ))
                        .replace((target.0, target.0), "-m conntrack --ctstate NEW ");
                    break 'hook;
                }
            }
        }
    }
}

/// Rules that libvirt, lxc or Docker put into built-in chains for the bridges of their guests.
fn of_guests(c: &crate::view::Conditions) -> bool {
    [&c.in_interface, &c.out_interface]
        .into_iter()
        .flatten()
        .any(|n| {
            ["virbr", "lxcbr", "lxdbr", "docker", "br-", "vnet"]
                .iter()
                .any(|p| n.value.name.starts_with(p))
        })
}
