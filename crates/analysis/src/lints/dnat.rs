use crate::view::{NatRange, StateSet};
use palisade_rules::{Hook, Severity, TableKind};
use palisade_wire::proto;

use super::ask::service;
use super::{Context, Lint, Run, v4};
use crate::finding::Report;
use crate::owner::owner;
use crate::probe::Probe;
use crate::view::Action;

pub(super) static LINT: Lint = Lint {
    code: "PL015",
    name: "dnat-passes-input",
    severity: Severity::Warning,
    title: "a port that INPUT closes is translated to another host and never meets INPUT",
    reason: "Destination translation happens in PREROUTING, before routing. A packet whose destination becomes a container or another host \
             is forwarded and never sees INPUT. A published Docker port is thus open to the world although INPUT drops it or names who may \
             come; the rules for it belong into FORWARD, with Docker into the chain DOCKER-USER, and match the translated port \
             (or --ctorigdstport for the one that was asked for).",
    fix: "filter in FORWARD (with Docker: in DOCKER-USER, by -m conntrack --ctorigdstport PORT), or publish on 127.0.0.1 only",
    bad: v4(
        "*nat\n:PREROUTING ACCEPT [0:0]\n:DOCKER - [0:0]\n-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER\n-A DOCKER ! -i docker0 -p tcp -m tcp --dport 5432 -j DNAT --to-destination 172.17.0.2:5432\nCOMMIT\n*filter\n:INPUT ACCEPT [0:0]\n:FORWARD DROP [0:0]\n:DOCKER-USER - [0:0]\n:DOCKER - [0:0]\n-A INPUT -p tcp --dport 5432 -j DROP\n-A FORWARD -j DOCKER-USER\n-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n-A FORWARD -o docker0 -j DOCKER\n-A FORWARD -i docker0 -j ACCEPT\n-A DOCKER -d 172.17.0.2/32 ! -i docker0 -o docker0 -p tcp -m tcp --dport 5432 -j ACCEPT\n-A DOCKER-USER -j RETURN\nCOMMIT\n",
    ),
    at: "-A INPUT -p tcp --dport 5432 -j DROP",
    good: v4(
        "*nat\n:PREROUTING ACCEPT [0:0]\n:DOCKER - [0:0]\n-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER\n-A DOCKER ! -i docker0 -p tcp -m tcp --dport 5432 -j DNAT --to-destination 172.17.0.2:5432\nCOMMIT\n*filter\n:INPUT ACCEPT [0:0]\n:FORWARD DROP [0:0]\n:DOCKER-USER - [0:0]\n:DOCKER - [0:0]\n-A INPUT -p tcp --dport 5432 -j DROP\n-A FORWARD -j DOCKER-USER\n-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n-A FORWARD -o docker0 -j DOCKER\n-A FORWARD -i docker0 -j ACCEPT\n-A DOCKER -d 172.17.0.2/32 ! -i docker0 -o docker0 -p tcp -m tcp --dport 5432 -j ACCEPT\n-A DOCKER-USER -i eth0 -p tcp --dport 5432 -j DROP\n-A DOCKER-USER ! -i docker0 -p tcp -m conntrack --ctorigdstport 5432 -j DROP\n-A DOCKER-USER -p tcp --dport 5432 -j DROP\nCOMMIT\n",
    ),
    run: Run::Ruleset(run),
};

/// A packet as PREROUTING makes it, with what it was before.
pub(super) struct Translated {
    /// As it came.
    pub before: Probe,
    /// As FORWARD sees it, once for each interface it may leave by.
    pub after: Vec<Probe>,
    /// The rule that translated it, as (chain, rule) of nat.
    pub by: (usize, usize),
}

/// Packets that strangers may send and DNAT rules of PREROUTING send on to other hosts.
pub(super) fn translated(context: &Context<'_>) -> Vec<Translated> {
    let mut found = Vec::new();
    let Some((nat, builtin)) = context.map.hook(TableKind::Nat, Hook::Prerouting) else {
        return found;
    };
    let start = Probe::stranger(context.map.family, Hook::Prerouting);
    for chain in super::ask::reachable(nat, builtin) {
        for (number, rule) in nat.chains[chain].rules.iter().enumerate() {
            let Action::Dnat(range) = &rule.action else {
                continue;
            };
            let c = &rule.conditions;
            if !matches!(c.one_protocol(), Some(proto::TCP | proto::UDP)) || c.asks_source() {
                continue;
            }
            for made in context.made_for(nat, (chain, number), Hook::Prerouting, &start) {
                if !made.assumed.is_empty() {
                    continue;
                }
                let Some(way) = context.walk(nat, &made) else {
                    return found;
                };
                if way.end != (chain, Some(number)) {
                    continue;
                }
                if let Some(after) = after(context, &made.probe, range) {
                    found.push(Translated {
                        before: made.probe,
                        after,
                        by: (chain, number),
                    });
                    break;
                }
            }
        }
    }
    found
}

fn after(context: &Context<'_>, before: &Probe, range: &NatRange) -> Option<Vec<Probe>> {
    let (destination, _) = range.addresses?;
    if destination.is_loopback() || destination.is_unspecified() {
        return None;
    }
    let (table, _) = context.map.hook(TableKind::Filter, Hook::Forward)?;
    let mut p = Probe::stranger(context.map.family, Hook::Forward);
    p.in_interface = before.in_interface.clone();
    p.source = before.source;
    p.destination = destination;
    p.protocol = before.protocol;
    p.flags = before.flags;
    p.source_port = before.source_port;
    p.destination_port = range
        .ports
        .map_or(before.destination_port, |(first, _)| first);
    p.states = StateSet::NEW | StateSet::DNAT;
    let mut ways_out: Vec<String> = vec!["any1".into()];
    for rule in table.chains.iter().flat_map(|c| &c.rules) {
        if let Some(out) = &rule.conditions.out_interface
            && !out.negated
        {
            let name = crate::probe::interface_of(&out.value);
            if !ways_out.contains(&name) && name != "lo" && name != p.in_interface {
                ways_out.push(name);
            }
        }
    }
    Some(
        ways_out
            .into_iter()
            .take(32)
            .map(|out| {
                let mut p = p.clone();
                p.out_interface = out;
                p
            })
            .collect(),
    )
}

fn run(context: &Context<'_>, report: &mut Report<'_>) {
    let (Some((filter, forward)), Some((_, input)), Some(nat)) = (
        context.map.hook(TableKind::Filter, Hook::Forward),
        context.map.hook(TableKind::Filter, Hook::Input),
        context.map.table(TableKind::Nat),
    ) else {
        return;
    };
    let mut told = Vec::new();
    // Ports that a program publishes and INPUT refuses without naming them: told once, at what refuses them.
    let mut published_all: Vec<String> = Vec::new();
    let mut refused_at = None;
    for t in translated(context) {
        // It passes FORWARD by some way out.
        let passes = t.after.iter().any(|p| {
            context
                .map
                .walk(filter, forward, p, &[])
                .is_some_and(|w| w.action == Action::Accept && w.doubtful.is_empty())
        });
        if !passes {
            continue;
        }
        let mut at_input = t.before.clone();
        at_input.out_interface = String::new();
        let Some(way) = context.map.walk(filter, input, &at_input, &[]) else {
            return;
        };
        let port = t.before.destination_port;
        let published = service(t.before.protocol, port);
        let dnat = &nat.chains[t.by.0].rules[t.by.1];
        // Somebody wrote a rule in INPUT for just this port: one that refuses it, or one that lets in a few only.
        let meant = super::ask::reachable(filter, input)
            .into_iter()
            .find_map(|c| {
                filter.chains[c]
                    .rules
                    .iter()
                    .position(|r| {
                        let names = r.conditions.names_port(port)
                            && r.conditions.one_protocol() == Some(t.before.protocol);
                        names
                            && (r.action.refuses()
                                || r.action == Action::Accept && r.conditions.asks_source())
                    })
                    .map(|r| (c, r))
            });
        if !way.action.refuses() || told.contains(&(t.before.protocol, port)) {
            continue;
        }
        told.push((t.before.protocol, port));
        let by_program = owner(&context.map, nat.chains[t.by.0].name).is_some();
        match meant {
            Some((c, r)) => {
                report
                    .add(
                        context.places.rule(filter.chains[c].rules[r].position()),
                        format!(
                            "packets to {published} never meet this rule: line {} of the file sends them to {}",
                            dnat.position().line,
                            t.after[0].destination
                        ),
                    )
                    .note(context.way_words(nat, &[t.by]))
                    .help(if by_program {
                        in_docker_user(port)
                    } else {
                        format!(
                            "write it in FORWARD, for the translated port {}",
                            t.after[0].destination_port
                        )
                    });
            }
            // Who writes DNAT by hand knows that it opens the port; Docker does it behind one's back.
            None if by_program => {
                published_all.push(published);
                refused_at.get_or_insert((way, port));
            }
            None => {}
        }
    }
    if let Some((way, port)) = refused_at {
        report
            .add(
                context.end_place(filter, &way),
                format!(
                    "published ports never meet {}: {} {} open",
                    context.end_words(filter, &way),
                    published_all.join(", "),
                    if published_all.len() == 1 {
                        "is"
                    } else {
                        "are"
                    }
                ),
            )
            .help(in_docker_user(port));
    }
}

fn in_docker_user(port: u16) -> String {
    format!(
        "filter in DOCKER-USER: -m conntrack --ctorigdstport {port} --ctdir ORIGINAL, or publish on 127.0.0.1 only"
    )
}
