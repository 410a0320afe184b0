use crate::view::StateSet;
use palisade_rules::{Family, Severity, TableKind};

use super::ask::FROM_OUTSIDE;
use super::neighbour_discovery::errors_refused;
use super::{Context, Lint, Run, v4};
use crate::finding::Report;
use crate::view::Action;

pub(super) static LINT: Lint = Lint {
    code: "PL023",
    name: "path-mtu",
    severity: Severity::Warning,
    title: "\"packet too big\" or \"fragmentation needed\" about known connections is blocked",
    reason: "A router that cannot pass a packet on says so by ICMPv6 type 2, or ICMP type 3 code 4, and the sender makes its packets \
             smaller. Rules that drop these errors break that: connections open, small packets pass, and the first full one vanishes for \
             ever, often only through tunnels, PPPoE and VPNs. IPv6 routers never fragment, so there it always bites. \
             Connection tracking makes such an error RELATED if it quotes a known connection, so accepting RELATED is safe and enough.",
    fix: "accept RELATED (-m conntrack --ctstate RELATED,ESTABLISHED), or -p icmp --icmp-type fragmentation-needed (-p ipv6-icmp --icmpv6-type packet-too-big)",
    bad: v4(
        "*filter\n:INPUT DROP [0:0]\n-A INPUT -m conntrack --ctstate ESTABLISHED -j ACCEPT\n-A INPUT -i lo -j ACCEPT\n-A INPUT -p tcp --dport 443 -m conntrack --ctstate NEW -j ACCEPT\nCOMMIT\n",
    ),
    at: ":INPUT DROP",
    good: v4(
        "*filter\n:INPUT DROP [0:0]\n-A INPUT -m conntrack --ctstate ESTABLISHED -j ACCEPT\n-A INPUT -p icmp --icmp-type fragmentation-needed -j ACCEPT\n-A INPUT -i lo -j ACCEPT\n-A INPUT -p tcp --dport 443 -m conntrack --ctstate NEW -j ACCEPT\nCOMMIT\n",
    ),
    run: Run::Ruleset(run),
};

fn run(context: &Context<'_>, report: &mut Report<'_>) {
    let (kind, code, name) = match context.map.family {
        Family::V4 => (3, 4, "\"fragmentation needed\" (ICMP type 3 code 4)"),
        Family::V6 => (2, 0, "\"packet too big\" (ICMPv6 type 2)"),
    };
    for hook in FROM_OUTSIDE {
        let Some((table, builtin)) = context.map.hook(TableKind::Filter, hook) else {
            continue;
        };
        // Where connections live, their errors must; a chain that lets nothing through is left alone.
        let lives = context.strangers(table, hook).into_iter().any(|p| {
            let mut p = p.in_state(StateSet::ESTABLISHED);
            p.original = false;
            (p.source_port, p.destination_port) = (443, 50123);
            context
                .map
                .walk(table, builtin, &p, &[])
                .is_some_and(|w| w.action == Action::Accept)
        });
        if !lives {
            continue;
        }
        if let Some((place, words)) = errors_refused(context, hook, kind, code) {
            report.add(
                place,
                format!("{name} about a known connection ends at {words}"),
            );
        }
    }
}
