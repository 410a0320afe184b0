//! Questions that several lints ask of a ruleset.

use crate::view::StateSet;
use palisade_rules::{Hook, TableKind};
use palisade_wire::proto;

use super::Context;
use crate::map::{ChainMap, TableMap, Way};
use crate::owner::owner;
use crate::probe::{ANY_INTERFACE, Probe, fitting, interface_of};
use crate::view::{Action, Conditions};

/// Most interfaces that are tried one by one.
const MAX_INTERFACES: usize = 12;

/// A packet made for a rule, and the tests that are taken to hold for it.
pub(super) struct Made {
    /// The packet.
    pub probe: Probe,
    /// Texts of the tests.
    pub assumed: Vec<String>,
    /// The built-in chain it starts at.
    pub start: usize,
    /// Jumps that lead to the rule, then the rule.
    pub steps: Vec<(usize, usize)>,
}

impl Context<'_> {
    /// Interfaces that packets of a hook may come in by (for OUTPUT: leave by): those that rules of the table name,
    /// and one that none names. Without the loopback interface.
    pub(super) fn interfaces(&self, table: &TableMap<'_>, hook: Hook) -> Vec<String> {
        let mut found = vec![ANY_INTERFACE.to_string()];
        for rule in table.chains.iter().flat_map(|c| &c.rules) {
            let pattern = match hook {
                Hook::Output | Hook::Postrouting => &rule.conditions.out_interface,
                _ => &rule.conditions.in_interface,
            };
            if let Some(not) = pattern
                && !not.negated
            {
                let name = interface_of(&not.value);
                if name != "lo" && !found.contains(&name) && found.len() < MAX_INTERFACES {
                    found.push(name);
                }
            }
        }
        found
    }

    /// A stranger's packet at a hook, by each interface.
    pub(super) fn strangers(&self, table: &TableMap<'_>, hook: Hook) -> Vec<Probe> {
        self.interfaces(table, hook)
            .into_iter()
            .map(|interface| {
                let mut p = Probe::stranger(self.map.family, hook);
                match hook {
                    Hook::Output | Hook::Postrouting => p.out_interface = interface,
                    _ => p.in_interface = interface,
                }
                p
            })
            .collect()
    }

    /// Interfaces by which a stranger's new packet to a port that nobody names is refused.
    pub(super) fn denying(&self, hook: Hook) -> Vec<String> {
        let Some((table, chain)) = self.map.hook(TableKind::Filter, hook) else {
            return Vec::new();
        };
        let unnamed = |protocol| {
            (40321u16..40400)
                .find(|port| !named(table, *port))
                .map_or(40321, |p| p)
                .max(1)
                .saturating_add(u16::from(protocol == proto::UDP))
        };
        self.strangers(table, hook)
            .into_iter()
            .filter(|p| {
                [proto::TCP, proto::UDP].into_iter().all(|protocol| {
                    let p = p.clone().at_port(protocol, unnamed(protocol));
                    self.map
                        .walk(table, chain, &p, &[])
                        .is_some_and(|w| w.action.refuses())
                })
            })
            .map(|p| match hook {
                Hook::Output | Hook::Postrouting => p.out_interface,
                _ => p.in_interface,
            })
            .collect()
    }

    /// Whether any rule for packets from outside accepts something at a hook, apart from the loopback interface.
    /// A chain that accepts nothing at all is meant to.
    pub(super) fn accepts_something(&self, hook: Hook) -> bool {
        let Some((table, chain)) = self.map.hook(TableKind::Filter, hook) else {
            return false;
        };
        reachable(table, chain).into_iter().any(|c| {
            table.chains[c].rules.iter().any(|r| {
                matches!(r.action, Action::Accept | Action::Queue) && !is_loopback(&r.conditions)
            })
        })
    }

    /// Packets made for a rule from a given start, by each way to it.
    pub(super) fn made_for(
        &self,
        table: &TableMap<'_>,
        at: (usize, usize),
        hook: Hook,
        start: &Probe,
    ) -> Vec<Made> {
        let mut found = Vec::new();
        for (builtin, way) in table.ways_to(at.0) {
            if table.chains[builtin].hook != Some(hook) {
                continue;
            }
            let mut steps = way;
            steps.push(at);
            let all: Vec<&Conditions> = steps
                .iter()
                .map(|(c, r)| &table.chains[*c].rules[*r].conditions)
                .collect();
            let assumed: Vec<String> = all
                .iter()
                .flat_map(|c| c.opaque.iter().map(|o| o.text.clone()))
                .collect();
            for probe in fitting(start, self.map.family, &all) {
                found.push(Made {
                    probe,
                    assumed: assumed.clone(),
                    start: builtin,
                    steps: steps.clone(),
                });
            }
        }
        found
    }

    /// Where a packet that was made for a rule ends.
    pub(super) fn walk(&self, table: &TableMap<'_>, made: &Made) -> Option<Way> {
        self.map.walk(table, made.start, &made.probe, &made.assumed)
    }

    /// Whether people write the rules of a chain themselves.
    pub(super) fn by_hand(&self, chain: &ChainMap<'_>) -> bool {
        owner(&self.map, chain.name).is_none()
    }

    /// Whether any rule of the filter table asks for a connection's state.
    pub(super) fn is_stateful(&self) -> bool {
        self.map.table(TableKind::Filter).is_some_and(|t| {
            t.chains.iter().flat_map(|c| &c.rules).any(|r| {
                r.conditions.asks_state()
                    && r.conditions.real_states() & StateSet::ESTABLISHED != 0
                    && r.action == Action::Accept
            })
        })
    }

    /// The place of a chain's policy: the line that sets it, or the chain's first rule.
    pub(super) fn policy_place(&self, table: &TableMap<'_>, chain: usize) -> (usize, usize) {
        let chain = &table.chains[chain];
        self.places
            .chain(table.kind, chain.name)
            .or_else(|| (chain.rules.first()).map(|r| self.places.rule(r.position())))
            .unwrap_or((0, 0))
    }

    /// The place where a packet's way ended.
    pub(super) fn end_place(&self, table: &TableMap<'_>, way: &Way) -> (usize, usize) {
        match way.end {
            (chain, Some(rule)) => self.places.rule(table.chains[chain].rules[rule].position()),
            (chain, None) => self.policy_place(table, chain),
        }
    }

    /// "rule 3 of INPUT (line 9)", "the policy of INPUT".
    pub(super) fn end_words(&self, table: &TableMap<'_>, way: &Way) -> String {
        let chain = &table.chains[way.end.0];
        match way.end.1 {
            Some(rule) => format!(
                "rule {} of {} (line {})",
                rule + 1,
                chain.name,
                chain.rules[rule].position().line
            ),
            None => format!("the policy of {}", chain.name),
        }
    }

    /// "the way: INPUT 1 > services 2".
    pub(super) fn way_words(&self, table: &TableMap<'_>, steps: &[(usize, usize)]) -> String {
        format!("the packet's way: {}", table.describe(steps))
    }
}

/// Whether a port stands in any rule.
fn named(table: &TableMap<'_>, port: u16) -> bool {
    table.chains.iter().flat_map(|c| &c.rules).any(|r| {
        r.conditions
            .named_ports()
            .any(|p| p.first == port || p.last == port)
    })
}

/// Chains that a chain leads to, itself included.
pub(super) fn reachable(table: &TableMap<'_>, chain: usize) -> Vec<usize> {
    let mut found = vec![chain];
    let mut next = 0;
    while let Some(at) = found.get(next).copied() {
        next += 1;
        for rule in &table.chains[at].rules {
            if let Action::Jump(to) | Action::Goto(to) = rule.action
                && !found.contains(&to)
            {
                found.push(to);
            }
        }
    }
    found
}

/// Whether a rule is for the loopback interface or its addresses.
pub(super) fn is_loopback(c: &Conditions) -> bool {
    let lo = |p: &Option<palisade_rules::Not<palisade_rules::InterfacePattern>>| {
        p.as_ref()
            .is_some_and(|n| !n.negated && n.value.name == "lo")
    };
    lo(&c.in_interface)
        || lo(&c.out_interface)
        || c.sources
            .iter()
            .chain(&c.destinations)
            .any(|n| !n.negated && n.value.address.is_loopback())
}

/// The hooks of the filter table that packets from outside pass.
pub(super) const FROM_OUTSIDE: [Hook; 2] = [Hook::Input, Hook::Forward];

/// A name in quotes for a port of a protocol: "tcp 22".
pub(super) fn service(protocol: u8, port: u16) -> String {
    format!("{} {port}", palisade_rules::names::protocol_name(protocol))
}
