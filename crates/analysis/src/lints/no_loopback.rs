use std::net::{Ipv4Addr, Ipv6Addr};

use palisade_rules::{Family, Hook, Severity, TableKind};

use super::{Context, Lint, Run, v4};
use crate::finding::Report;
use crate::probe::Probe;

pub(super) static LINT: Lint = Lint {
    code: "PL019",
    name: "no-loopback",
    severity: Severity::Warning,
    title: "packets of this host to itself are dropped",
    reason: "Programs talk to others on the same host through the loopback interface: resolvers, databases, mail, X, health checks. Those \
             packets pass OUTPUT and INPUT like any other. A chain that drops by default needs a rule for them; without it things \
             break that have nothing to do with the network.",
    fix: "-A INPUT -i lo -j ACCEPT (and -A OUTPUT -o lo -j ACCEPT where OUTPUT drops)",
    bad: v4(
        "*filter\n:INPUT DROP [0:0]\n-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n-A INPUT -p tcp --dport 443 -m conntrack --ctstate NEW -j ACCEPT\nCOMMIT\n",
    ),
    at: ":INPUT DROP",
    good: v4(
        "*filter\n:INPUT DROP [0:0]\n-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n-A INPUT -i lo -j ACCEPT\n-A INPUT -p tcp --dport 443 -m conntrack --ctstate NEW -j ACCEPT\nCOMMIT\n",
    ),
    run: Run::Ruleset(run),
};

fn run(context: &Context<'_>, report: &mut Report<'_>) {
    for hook in [Hook::Input, Hook::Output] {
        let Some((table, builtin)) = context.map.hook(TableKind::Filter, hook) else {
            continue;
        };
        if !context.accepts_something(hook) {
            continue;
        }
        let mut probe = Probe::stranger(context.map.family, hook);
        (probe.source, probe.destination) = match context.map.family {
            Family::V4 => (Ipv4Addr::LOCALHOST.into(), Ipv4Addr::LOCALHOST.into()),
            Family::V6 => (Ipv6Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()),
        };
        // Both ends are this host.
        (probe.source_type, probe.destination_type) = (1 << 2, 1 << 2);
        match hook {
            Hook::Output => probe.out_interface = "lo".into(),
            _ => probe.in_interface = "lo".into(),
        }
        let Some(way) = context.map.walk(table, builtin, &probe, &[]) else {
            continue;
        };
        if way.action.refuses() && way.doubtful.is_empty() {
            report
                .add(
                    context.end_place(table, &way),
                    format!(
                        "packets of this host to itself end at {}",
                        context.end_words(table, &way)
                    ),
                )
                .help(match hook {
                    Hook::Output => "-A OUTPUT -o lo -j ACCEPT before it",
                    _ => "-A INPUT -i lo -j ACCEPT before it",
                });
        }
    }
}
