use std::net::Ipv6Addr;

use crate::view::StateSet;
use palisade_rules::{Family, Hook, Severity, TableKind};

use super::{Context, Lint, Run, v6};
use crate::finding::Report;
use crate::probe::Probe;

pub(super) static LINT: Lint = Lint {
    code: "PL010",
    name: "neighbour-discovery",
    severity: Severity::Warning,
    title: "IPv6 neighbour discovery is blocked",
    reason: "IPv6 has no ARP: hosts find each other's link addresses by ICMPv6 neighbour solicitations and advertisements (types 135 \
             and 136), and these pass INPUT and OUTPUT. Rules that drop them cut the host off as soon as the neighbour caches \
             run out, minutes after the rules were tried and found good. Connection tracking calls them UNTRACKED, so \
             RELATED,ESTABLISHED does not let them in. RFC 4890 lists what must pass.",
    fix: "-A INPUT -p ipv6-icmp --icmpv6-type 135 -j ACCEPT and the same for 136 (133 and 134 where routers announce themselves)",
    bad: v6(
        "*filter\n:INPUT DROP [0:0]\n:FORWARD DROP [0:0]\n:OUTPUT ACCEPT [0:0]\n-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n-A INPUT -i lo -j ACCEPT\n-A INPUT -p tcp --dport 443 -m conntrack --ctstate NEW -j ACCEPT\nCOMMIT\n",
    ),
    at: ":INPUT DROP",
    good: v6(
        "*filter\n:INPUT DROP [0:0]\n:FORWARD DROP [0:0]\n:OUTPUT ACCEPT [0:0]\n-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n-A INPUT -i lo -j ACCEPT\n-A INPUT -p ipv6-icmp -j ACCEPT\n-A INPUT -p tcp --dport 443 -m conntrack --ctstate NEW -j ACCEPT\nCOMMIT\n",
    ),
    run: Run::Ruleset(run),
};

fn run(context: &Context<'_>, report: &mut Report<'_>) {
    if context.map.family != Family::V6 {
        return;
    }
    for hook in [Hook::Input, Hook::Output] {
        let Some((table, builtin)) = context.map.hook(TableKind::Filter, hook) else {
            continue;
        };
        // A chain that lets nothing through is meant to stop IPv6.
        if !context.accepts_something(hook) {
            continue;
        }
        let mut blocked = Vec::new();
        let mut place = None;
        for (kind, name) in [(135, "solicitation"), (136, "advertisement")] {
            let mut ends = Vec::new();
            for probe in context.strangers(table, hook) {
                for (source, destination, multicast) in ends_of(kind) {
                    let mut p = probe.clone().icmp(Family::V6, kind);
                    p.states = StateSet::UNTRACKED;
                    (p.source, p.destination) = (source.into(), destination.into());
                    if multicast {
                        p.destination_type = 1 << 5;
                    }
                    let Some(way) = context.map.walk(table, builtin, &p, &[]) else {
                        return;
                    };
                    ends.push(way);
                }
            }
            // Somewhere it may pass: by one interface, for some source, or where a test may hold.
            let all = ends
                .iter()
                .all(|w| w.action.refuses() && w.doubtful.is_empty());
            if let (true, Some(way)) = (all, ends.first()) {
                blocked.push(format!("{name} ({kind})"));
                place.get_or_insert((context.end_place(table, way), context.end_words(table, way)));
            }
        }
        if let Some((place, words)) = place {
            let chain = hook.name();
            report
                .add(
                    place,
                    format!("neighbour {} end at {words}", blocked.join(" and ")),
                )
                .help(format!(
                    "-A {chain} -p ipv6-icmp --icmpv6-type 135 -j ACCEPT and the same for 136, before it"
                ));
        }
    }
}

/// Usual ends of neighbour discovery: source, destination, whether that is a group.
fn ends_of(kind: u8) -> Vec<(Ipv6Addr, Ipv6Addr, bool)> {
    let link = Ipv6Addr::new(0xfe80, 0, 0, 0, 0x5054, 0xff, 0xfe12, 0x3456);
    let own = Ipv6Addr::new(0xfe80, 0, 0, 0, 0x5054, 0xff, 0xfe65, 0x4321);
    let solicited = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff65, 0x4321);
    let all_nodes = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
    match kind {
        135 => vec![(link, solicited, true), (link, own, false)],
        _ => vec![(link, own, false), (link, all_nodes, true)],
    }
}

/// What both lints about ICMP share: whether errors of a type about known connections are refused at a hook.
pub(super) fn errors_refused(
    context: &Context<'_>,
    hook: Hook,
    kind: u8,
    code: u8,
) -> Option<((usize, usize), String)> {
    let (table, builtin) = context.map.hook(TableKind::Filter, hook)?;
    let mut first = None;
    for probe in context.strangers(table, hook) {
        let mut p: Probe = probe
            .icmp(context.map.family, kind)
            .in_state(StateSet::RELATED);
        p.icmp.1 = code;
        let way = context.map.walk(table, builtin, &p, &[])?;
        if !way.action.refuses() || !way.doubtful.is_empty() {
            return None;
        }
        first.get_or_insert((
            context.end_place(table, &way),
            context.end_words(table, &way),
        ));
    }
    first
}
