use crate::view::StateSet;
use palisade_rules::{Severity, TableKind};

use super::{Context, Lint, Run, v4};
use crate::finding::Report;
use crate::view::{self, Action};

pub(super) static LINT: Lint = Lint {
    code: "PL004",
    name: "helper-missing",
    severity: Severity::Warning,
    title: "a rule waits for what a helper announces, and no rule assigns the helper",
    reason: "A data connection of ftp, a transfer of tftp, the voice of sip is RELATED only if a helper reads the control connection. \
             Loading the module used to be enough; since Linux 4.7 helpers are no longer assigned by default and since 6.0 only a \
             rule in the raw table assigns one. Without it the data connection is NEW, the rule that waits for RELATED never matches, \
             and passive transfers hang.",
    fix: "assign the helper in the raw table: -A PREROUTING -p tcp --dport 21 -j CT --helper ftp (and in OUTPUT for connections of this host)",
    bad: v4(
        "*filter\n:INPUT DROP [0:0]\n-A INPUT -m conntrack --ctstate ESTABLISHED -j ACCEPT\n-A INPUT -p icmp -m conntrack --ctstate RELATED -j ACCEPT\n-A INPUT -i lo -j ACCEPT\n-A INPUT -p tcp --sport 20 -m conntrack --ctstate RELATED -j ACCEPT\nCOMMIT\n",
    ),
    at: "--ctstate RELATED",
    good: v4(
        "*raw\n:OUTPUT ACCEPT [0:0]\n-A OUTPUT -p tcp --dport 21 -j CT --helper ftp\nCOMMIT\n*filter\n:INPUT DROP [0:0]\n-A INPUT -m conntrack --ctstate ESTABLISHED -j ACCEPT\n-A INPUT -p icmp -m conntrack --ctstate RELATED -j ACCEPT\n-A INPUT -i lo -j ACCEPT\n-A INPUT -p tcp --sport 20 -m conntrack --ctstate RELATED -j ACCEPT\nCOMMIT\n",
    ),
    run: Run::Ruleset(run),
};

/// Helper, its ports, protocol, the rule that assigns it.
const HELPERS: [(&str, &[u16], &str); 7] = [
    ("ftp", &[20, 21], "-p tcp --dport 21"),
    ("tftp", &[69], "-p udp --dport 69"),
    ("irc", &[6667], "-p tcp --dport 6667"),
    ("sip", &[5060], "-p udp --dport 5060"),
    ("amanda", &[10080], "-p udp --dport 10080"),
    ("pptp", &[1723], "-p tcp --dport 1723"),
    ("sane", &[6566], "-p tcp --dport 6566"),
];

fn run(context: &Context<'_>, report: &mut Report<'_>) {
    let assigned: Vec<&str> = context
        .map
        .rules()
        .filter_map(|(_, _, r)| match &r.action {
            Action::Helper(name) => Some(name.as_str()),
            _ => None,
        })
        .collect();
    // A modprobe line has its own diagnostic, which offers the same repair.
    if (context.diagnostics.iter()).any(|d| d.code == "helper-not-assigned") {
        return;
    }
    let mut told: Vec<String> = Vec::new();
    for (table, chain, rule) in context.map.rules() {
        if table.kind != TableKind::Filter || !chain.reached || rule.action.refuses() {
            continue;
        }
        if let Some(name) = view::wanted_helper(rule.rule) {
            let base = name.split('-').next().unwrap_or(name);
            let there = if name.is_empty() {
                !assigned.is_empty()
            } else {
                assigned.contains(&name) || assigned.contains(&base)
            };
            // `proto_gre` is no helper that a rule could assign: pptp's announcements make it.
            if !there && base != "proto_gre" && !told.contains(&name.to_string()) {
                told.push(name.to_string());
                let by = HELPERS.iter().find(|(h, ..)| *h == base);
                let added = report.add(
                    context.places.option(rule.position(), &["--helper"], 1),
                    format!("no rule assigns the helper '{name}' to a connection"),
                );
                if let Some((helper, _, how)) = by {
                    added.help(format!(
                        "-t raw -A PREROUTING {how} -j CT --helper {helper} (and OUTPUT for connections of this host)"
                    ));
                }
            }
            continue;
        }
        let c = &rule.conditions;
        let related = c.asks_state()
            && c.real_states() & StateSet::RELATED != 0
            && c.real_states() & StateSet::NEW == 0;
        if !related || rule.action != Action::Accept {
            continue;
        }
        // The rule names the helper's own port and RELATED: somebody expects the helper to work.
        let found = HELPERS
            .iter()
            .find(|(_, ports, _)| ports.iter().any(|p| names_just(c, *p)));
        if let Some((helper, _, how)) = found
            && !assigned.contains(helper)
            && !told.contains(&(*helper).to_string())
        {
            told.push((*helper).to_string());
            report
                .add(
                    context.places.option(rule.position(), &["--ctstate", "--state"], 1),
                    format!("RELATED needs the {helper} helper here, which no rule assigns"),
                )
                .help(format!(
                    "-t raw -A PREROUTING {how} -j CT --helper {helper} (and OUTPUT for connections of this host)"
                ));
        }
    }
}

/// Whether the rule is for this port alone, at either end.
fn names_just(c: &view::Conditions, port: u16) -> bool {
    c.destination_ports.iter().chain(&c.source_ports).any(|n| {
        !n.negated && matches!(n.value.as_slice(), [r] if r.first == port && r.last == port)
    })
}
