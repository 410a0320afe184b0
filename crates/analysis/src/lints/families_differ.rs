use std::collections::BTreeSet;

use palisade_rules::{Family, Hook, Severity, TableKind};
use palisade_wire::proto;

use super::ask::service;
use super::{Context, Example, Lint, Run};
use crate::finding::Report;
use crate::map::Way;
use crate::view::Action;

pub(super) static LINT: Lint = Lint {
    code: "PL011",
    name: "families-differ",
    severity: Severity::Warning,
    title: "IPv4 and IPv6 rules open different services",
    reason: "iptables and ip6tables are two firewalls. A port that is closed by one and open by the other is usually forgotten, and \
             attackers look by IPv6 as well. Every port that either file names is asked from outside with a new TCP and UDP packet, by each \
             interface; what one family lets in and the other refuses is listed. A port that the other opens to some addresses only counts as neither, as \
             the addresses of the two cannot be compared. DHCP, which differs by nature, is left out, and so is a family whose rules let \
             nothing in at all.",
    fix: "write the same services in both files",
    bad: Example {
        v4: "*filter\n:INPUT DROP [0:0]\n-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n-A INPUT -i lo -j ACCEPT\n-A INPUT -p tcp --dport 443 -m conntrack --ctstate NEW -j ACCEPT\nCOMMIT\n",
        v6: "*filter\n:INPUT DROP [0:0]\n-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n-A INPUT -i lo -j ACCEPT\n-A INPUT -p ipv6-icmp -j ACCEPT\n-A INPUT -p tcp --dport 443 -m conntrack --ctstate NEW -j ACCEPT\n-A INPUT -p tcp --dport 3306 -m conntrack --ctstate NEW -j ACCEPT\nCOMMIT\n",
    },
    at: "-A INPUT -p tcp --dport 3306 -m conntrack --ctstate NEW -j ACCEPT",
    good: Example {
        v4: "*filter\n:INPUT DROP [0:0]\n-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n-A INPUT -i lo -j ACCEPT\n-A INPUT -p tcp --dport 443 -m conntrack --ctstate NEW -j ACCEPT\nCOMMIT\n",
        v6: "*filter\n:INPUT DROP [0:0]\n-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n-A INPUT -i lo -j ACCEPT\n-A INPUT -p ipv6-icmp -j ACCEPT\n-A INPUT -p tcp --dport 443 -m conntrack --ctstate NEW -j ACCEPT\nCOMMIT\n",
    },
    run: Run::Pair(run),
};

/// Ports of address configuration, which each family does in its own way.
const OWN_WAYS: [u16; 4] = [67, 68, 546, 547];
/// Most ports that are asked.
const MAX_PORTS: usize = 400;
/// Most ports that are listed in a message.
const MAX_LISTED: usize = 8;

fn run(v4: &Context<'_>, v6: &Context<'_>, report: &mut Report<'_>) {
    if !v4.accepts_something(Hook::Input) || !v6.accepts_something(Hook::Input) {
        // One side has no rules for INPUT, or only refuses: say so only if the other protects something.
        one_sided(v4, v6, report);
        return;
    }
    let mut ports: BTreeSet<(u8, u16)> = BTreeSet::new();
    for context in [v4, v6] {
        let Some(table) = context.map.table(TableKind::Filter) else {
            return;
        };
        for rule in table.chains.iter().flat_map(|c| &c.rules) {
            for range in rule.conditions.named_ports() {
                for port in [range.first, range.last] {
                    if OWN_WAYS.contains(&port) || ports.len() >= MAX_PORTS {
                        continue;
                    }
                    if let Some(p @ (proto::TCP | proto::UDP)) = rule.conditions.one_protocol() {
                        ports.insert((p, port));
                    }
                }
            }
        }
    }
    // Per side: ports only it opens, and the way of the first.
    let mut only: [(Vec<String>, Option<Way>); 2] = Default::default();
    for (protocol, port) in ports {
        let answers = [open(v4, protocol, port), open(v6, protocol, port)];
        match answers {
            [Some(Open::Yes(way)), Some(Open::No)] => note(&mut only[0], protocol, port, way),
            [Some(Open::No), Some(Open::Yes(way))] => note(&mut only[1], protocol, port, way),
            _ => {}
        }
    }
    for (context, (ports, way), other) in [(v6, &only[1], Family::V4), (v4, &only[0], Family::V6)] {
        let (Some(way), Some((table, _))) = (way, context.map.hook(TableKind::Filter, Hook::Input))
        else {
            continue;
        };
        report.about(context.file);
        report
            .add(
                context.end_place(table, way),
                format!(
                    "open by {} and closed by {other}: {}",
                    context.map.family,
                    list(ports)
                ),
            )
            .help(format!(
                "close it here, or open it in the {other} rules too"
            ));
    }
}

fn note(side: &mut (Vec<String>, Option<Way>), protocol: u8, port: u16, way: Way) {
    side.0.push(service(protocol, port));
    side.1.get_or_insert(way);
}

fn list(ports: &[String]) -> String {
    let shown = ports[..ports.len().min(MAX_LISTED)].join(", ");
    match ports.len().saturating_sub(MAX_LISTED) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

enum Open {
    Yes(Way),
    No,
}

/// Whether strangers get in at a port by some interface; none, when a test whose answer is not known decides.
fn open(context: &Context<'_>, protocol: u8, port: u16) -> Option<Open> {
    let (table, builtin) = context.map.hook(TableKind::Filter, Hook::Input)?;
    for probe in context.strangers(table, Hook::Input) {
        let way = context
            .map
            .walk(table, builtin, &probe.at_port(protocol, port), &[])?;
        if !way.doubtful.is_empty() {
            return None;
        }
        if way.action == Action::Accept {
            return Some(Open::Yes(way));
        }
    }
    // Open to some sources, sets or destinations: the other family may say the same in its own addresses.
    let narrowly = super::ask::reachable(table, builtin).into_iter().any(|c| {
        table.chains[c].rules.iter().any(|r| {
            r.action == Action::Accept
                && r.conditions.names_port(port)
                && r.conditions.one_protocol() == Some(protocol)
        })
    });
    (!narrowly).then_some(Open::No)
}

/// One family filters and the other lets everything in.
fn one_sided(v4: &Context<'_>, v6: &Context<'_>, report: &mut Report<'_>) {
    for (closed, wide) in [(v4, v6), (v6, v4)] {
        let Some((table, builtin)) = wide.map.hook(TableKind::Filter, Hook::Input) else {
            continue;
        };
        if closed.denying(Hook::Input).is_empty()
            || !closed.accepts_something(Hook::Input)
            || !wide.denying(Hook::Input).is_empty()
            || table.chains[builtin].policy != palisade_rules::Policy::Accept
        {
            continue;
        }
        report.about(wide.file);
        report.add(
            wide.policy_place(table, builtin),
            format!(
                "{} lets everything in, while the {} rules refuse what they do not name",
                wide.map.family, closed.map.family
            ),
        );
    }
}
