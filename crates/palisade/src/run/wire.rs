//! `--wire`: a bump in the wire, and what rules cannot do in one.

use std::sync::Arc;

use anyhow::{Result, bail};
use palisade_live::Gate;
use palisade_live::wire::{By, NonIp, Wire, WireOptions, give_back};
use palisade_rules::{Family, Hook, Ruleset};

use super::args::{ByArgument, NonIpArgument, WireArguments};
use super::backends::{Backends, Installation};

/// What keeps the host's own stack from the interfaces.
struct Kept([String; 2]);

impl Installation for Kept {
    fn remove(self: Box<Self>) -> Result<()> {
        Ok(give_back(&self.0)?)
    }
}

/// Opens a wire between two interfaces.
///
/// # Errors
/// It cannot be had, or rules ask for what it cannot do.
pub fn open(ends: &[String], arguments: &WireArguments, gate: &Arc<Gate>) -> Result<Backends> {
    let Ok(ends) = <[String; 2]>::try_from(ends.to_vec()) else {
        bail!(
            "--wire {}: two interfaces are needed: --wire A,B",
            ends.join(",")
        );
    };
    check(gate, "--wire")?;
    let options = WireOptions {
        ends: ends.clone(),
        by: match arguments.wire_by {
            ByArgument::Best => By::Best,
            ByArgument::Xdp => By::Xdp,
            ByArgument::Packet => By::Packet,
        },
        non_ip: match arguments.non_ip {
            NonIpArgument::Arp => NonIp::Arp,
            NonIpArgument::All => NonIp::All,
            NonIpArgument::None => NonIp::None,
        },
        offloads_off: arguments.offloads_off,
    };
    let wire = Wire::open(options, gate)?;
    Ok(Backends {
        workers: vec![Box::new(wire)],
        installation: Some(Box::new(Kept(ends))),
        figures: None,
        beside: Vec::new(),
    })
}

/// Refuses rules that need a host where there is none, and tells of those that do less than they say.
///
/// # Errors
/// The rules that are refused, with what would do.
pub fn check(gate: &Gate, option: &str) -> Result<()> {
    let findings: Vec<Finding> = gate.with(|engine, _| {
        let all = [Family::V4, Family::V6].map(|family| engine.source(family).map(findings));
        all.into_iter().flatten().flatten().collect()
    });
    for finding in findings.iter().filter(|f| !f.refused) {
        tracing::warn!("{option}: {}", finding.text);
    }
    let refused: Vec<&str> = findings
        .iter()
        .filter(|f| f.refused)
        .map(|f| f.text.as_str())
        .collect();
    if !refused.is_empty() {
        bail!("{option}: {}", refused.join("\n"));
    }
    Ok(())
}

/// A rule that cannot do what it says in a wire.
struct Finding {
    refused: bool,
    text: String,
}

/// What rules of a family ask for that a wire does not have: addresses, routes, sockets, programs.
fn findings(rules: &Ruleset) -> Vec<Finding> {
    let mut found = Vec::new();
    let program = match rules.family {
        Family::V4 => "iptables",
        Family::V6 => "ip6tables",
    };
    for table in &rules.tables {
        for chain in &table.chains {
            let place = |number: usize| {
                format!(
                    "{program} -t {} {} rule {}",
                    table.kind.name(),
                    chain.name,
                    number + 1
                )
            };
            if matches!(chain.builtin, Some(Hook::Input | Hook::Output)) && !chain.rules.is_empty()
            {
                found.push(Finding {
                    refused: false,
                    text: format!(
                        "{program} -t {}: no packet comes to {}; everything goes by FORWARD{}",
                        table.kind.name(),
                        chain.name,
                        if chain.builtin == Some(Hook::Output) {
                            ", but for answers of REJECT"
                        } else {
                            ""
                        },
                    ),
                });
            }
            for (number, rule) in chain.rules.iter().enumerate() {
                let Some(target) = rule.target.extension().map(|e| e.name) else {
                    continue;
                };
                let (refused, why) = match target {
                    "MASQUERADE" => (
                        true,
                        "the interfaces have no address to take: SNAT --to-source names one",
                    ),
                    "REDIRECT" => (
                        true,
                        "there is no host to redirect to: DNAT --to-destination names one",
                    ),
                    "TPROXY" => (true, "there are no sockets of this host"),
                    "SNAT" | "DNAT" | "NETMAP" | "SNPT" | "DNPT" => (
                        false,
                        "addresses are translated, but nobody answers ARP or neighbour solicitations for them, and link addresses stay",
                    ),
                    "TEE" => (
                        false,
                        "copies are not sent: there is no route to their gateway",
                    ),
                    "NFQUEUE" => (
                        false,
                        "no program can listen: what it takes is dropped, unless --queue-bypass is said",
                    ),
                    _ => continue,
                };
                found.push(Finding {
                    refused,
                    text: format!("{}: {target}: {why}", place(number)),
                });
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use palisade_rules::parse;

    #[test]
    fn what_needs_a_host_is_refused_and_what_does_less_is_told() {
        let rules = parse::auto(
            "*nat\n-A POSTROUTING -j MASQUERADE\n-A PREROUTING -p tcp --dport 80 -j DNAT --to-destination 192.0.2.7\nCOMMIT\n\
             *filter\n-A INPUT -j ACCEPT\n-A FORWARD -j ACCEPT\nCOMMIT\n",
            Family::V4,
        );
        let found = findings(&rules.v4.unwrap());
        let told: Vec<(bool, bool)> = found
            .iter()
            .map(|f| (f.refused, f.text.contains("POSTROUTING rule 1: MASQUERADE")))
            .collect();
        assert_eq!(told.len(), 3);
        assert_eq!(
            told.iter().filter(|t| t.0).collect::<Vec<_>>(),
            [&(true, true)]
        );
    }
}
