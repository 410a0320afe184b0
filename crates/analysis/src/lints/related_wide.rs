use crate::view::StateSet;
use palisade_rules::{Severity, TableKind};
use palisade_wire::proto;

use super::ask::FROM_OUTSIDE;
use super::{Context, Lint, Run, v4};
use crate::finding::Report;
use crate::probe::Probe;
use crate::view::{self, Action};

pub(super) static LINT: Lint = Lint {
    code: "PL003",
    name: "related-wide",
    severity: Severity::Note,
    title: "RELATED lets in more than ICMP errors and what the assigned helpers announce",
    reason: "A packet is RELATED when it is an ICMP error about a known connection (types 3, 4, 5, 11, 12), or when a helper read an \
             announcement of it in another connection. With a helper assigned by -j CT --helper, whoever sits at the other end of \
             such a connection writes these announcements and thereby names the address and port that a plain --ctstate RELATED \
             rule opens: with ftp a server may name any port from 1024 of the client, with sip or h323 any UDP port. A rule for \
             each helper, with the protocol and the ports it may open, and one for the ICMP errors let in no more than is needed.",
    fix: "accept RELATED by helper (-p tcp --dport 1024: -m conntrack --ctstate RELATED -m helper --helper ftp) and for ICMP types 3, 11 and 12",
    bad: v4(
        "*raw\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -p tcp --dport 21 -j CT --helper ftp\nCOMMIT\n*filter\n:INPUT DROP [0:0]\n-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n-A INPUT -i lo -j ACCEPT\n-A INPUT -p tcp --dport 21 -m conntrack --ctstate NEW -j ACCEPT\nCOMMIT\n",
    ),
    at: "--ctstate RELATED,ESTABLISHED",
    good: v4(
        "*raw\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -p tcp --dport 21 -j CT --helper ftp\nCOMMIT\n*filter\n:INPUT DROP [0:0]\n-A INPUT -m conntrack --ctstate ESTABLISHED -j ACCEPT\n-A INPUT -p tcp --dport 1024: -m conntrack --ctstate RELATED -m helper --helper ftp -j ACCEPT\n-A INPUT -p icmp --icmp-type 3 -m conntrack --ctstate RELATED -j ACCEPT\n-A INPUT -i lo -j ACCEPT\n-A INPUT -p tcp --dport 21 -m conntrack --ctstate NEW -j ACCEPT\nCOMMIT\n",
    ),
    run: Run::Ruleset(run),
};

fn run(context: &Context<'_>, report: &mut Report<'_>) {
    let mut helpers: Vec<&str> = context
        .map
        .rules()
        .filter_map(|(_, _, r)| match &r.action {
            Action::Helper(name) => Some(name.as_str()),
            _ => None,
        })
        .collect();
    helpers.sort_unstable();
    helpers.dedup();
    if helpers.is_empty() {
        return;
    }
    for hook in FROM_OUTSIDE {
        let Some((table, builtin)) = context.map.hook(TableKind::Filter, hook) else {
            continue;
        };
        if context.denying(hook).is_empty() {
            continue;
        }
        // Low port of a protocol that no helper opens so: only a plain rule takes both.
        let probe = |protocol, port| {
            Probe::stranger(context.map.family, hook)
                .at_port(protocol, port)
                .in_state(StateSet::RELATED)
        };
        let ends: Vec<_> = [probe(proto::TCP, 873), probe(proto::UDP, 514)]
            .iter()
            .filter_map(|p| context.map.walk(table, builtin, p, &[]))
            .filter(|w| w.action == Action::Accept)
            .filter_map(|w| Some((w.end.0, w.end.1?)))
            .collect();
        let Some((chain, number)) = ends.first().copied() else {
            continue;
        };
        let rule = &table.chains[chain].rules[number];
        if ends.len() < 2
            || !rule.conditions.asks_state()
            || view::wanted_helper(rule.rule).is_some()
            || !context.by_hand(&table.chains[chain])
        {
            continue;
        }
        report
            .add(
                context
                    .places
                    .option(rule.position(), &["--ctstate", "--state"], 1),
                format!(
                    "RELATED opens to {} whatever a peer announces to the helpers in use: {}",
                    hook.name(),
                    helpers.join(", ")
                ),
            )
            .note("besides ICMP errors of types 3, 4, 5, 11 and 12 about known connections");
    }
}
