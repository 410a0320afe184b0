use palisade_rules::{Hook, Severity, TableKind};

use super::ask::service;
use super::{Context, Lint, Run, v4};
use crate::finding::Report;

pub(super) static LINT: Lint = Lint {
    code: "PL020",
    name: "forwarded-dropped",
    severity: Severity::Warning,
    title: "a port is translated to another host, and FORWARD drops it",
    reason: "DNAT only writes another destination into the packet; whether it may pass is still asked in FORWARD, after the translation, so with \
             the new address and port. The port forward works only if a rule there accepts it. A rule for the port before \
             translation, or in INPUT, does not help.",
    fix: "-A FORWARD -d HOST -p tcp --dport PORT -j ACCEPT with address and port after translation (or -m conntrack --ctstate DNAT -j ACCEPT)",
    bad: v4(
        "*nat\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -i wan0 -p tcp --dport 8080 -j DNAT --to-destination 192.168.1.10:80\nCOMMIT\n*filter\n:FORWARD DROP [0:0]\n-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n-A FORWARD -i lan0 -o wan0 -j ACCEPT\n-A FORWARD -d 192.168.1.10 -p tcp --dport 8080 -j ACCEPT\nCOMMIT\n",
    ),
    at: "-A PREROUTING -i wan0 -p tcp --dport 8080 -j DNAT --to-destination 192.168.1.10:80",
    good: v4(
        "*nat\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -i wan0 -p tcp --dport 8080 -j DNAT --to-destination 192.168.1.10:80\nCOMMIT\n*filter\n:FORWARD DROP [0:0]\n-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n-A FORWARD -i lan0 -o wan0 -j ACCEPT\n-A FORWARD -d 192.168.1.10 -p tcp --dport 80 -m conntrack --ctstate NEW -j ACCEPT\nCOMMIT\n",
    ),
    run: Run::Ruleset(run),
};

fn run(context: &Context<'_>, report: &mut Report<'_>) {
    let (Some((filter, forward)), Some(nat)) = (
        context.map.hook(TableKind::Filter, Hook::Forward),
        context.map.table(TableKind::Nat),
    ) else {
        return;
    };
    for t in super::dnat::translated(context) {
        let mut first = None;
        let refused = t
            .after
            .iter()
            .all(|p| match context.map.walk(filter, forward, p, &[]) {
                Some(way) if way.action.refuses() && way.doubtful.is_empty() => {
                    first.get_or_insert(way);
                    true
                }
                _ => false,
            });
        if let (true, Some(way)) = (refused, first) {
            let after = &t.after[0];
            report
                .add(
                    context
                        .places
                        .rule(nat.chains[t.by.0].rules[t.by.1].position()),
                    format!(
                        "what this rule sends to {} at {} ends at {}",
                        after.destination,
                        service(after.protocol, after.destination_port),
                        context.end_words(filter, &way)
                    ),
                )
                .help(format!(
                    "-A FORWARD -d {} -p {} --dport {} -m conntrack --ctstate NEW -j ACCEPT",
                    after.destination,
                    palisade_rules::names::protocol_name(after.protocol),
                    after.destination_port
                ));
        }
    }
}
