//! `--pcap`: rules asked per packet, measured by the engine, as the rules are and with ESTABLISHED first.

use std::path::Path;

use anyhow::{Context, Result};
use palisade_analysis::Finding;
use palisade_capture::pcap;
use palisade_engine::{Engine, Input, LinkInfo, Observer, RuleRef, Setup, Visit};
use palisade_rules::{Family, Hook, Ruleset, TableKind};
use palisade_wire::link;

use super::Checked;
use crate::trace::route;

/// Saved rules a packet below which the order is left alone.
const GAIN: f64 = 0.1;

/// Packets that entered the filter table at INPUT and FORWARD, and rules they were asked there.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Asked {
    packets: [u64; 2],
    rules: [u64; 2],
    at: Option<usize>,
}

const HOOKS: [Hook; 2] = [Hook::Input, Hook::Forward];

impl Observer for Asked {
    const FAILURES: bool = true;

    fn enter(&mut self, hook: Hook, table: TableKind) {
        self.at = HOOKS
            .iter()
            .position(|h| *h == hook && table == TableKind::Filter);
        if let Some(at) = self.at {
            self.packets[at] += 1;
        }
    }

    fn visit(&mut self, rule: RuleRef<'_>, _visit: Visit) {
        if let Some(at) = self.at.filter(|_| rule.table == TableKind::Filter) {
            self.rules[at] += 1;
        }
    }
}

impl Asked {
    fn per_packet(&self, at: usize) -> Option<f64> {
        (self.packets[at] > 0).then(|| self.rules[at] as f64 / self.packets[at] as f64)
    }
}

/// Adds to each file what a capture tells about the place of its ESTABLISHED rules. What the lint estimated for the
/// same rule is replaced.
pub(super) fn add(setup: &Setup, capture: &Path, checked: &mut [Checked]) -> Result<()> {
    let Some(lint) = palisade_analysis::find("PL002") else {
        return Ok(());
    };
    for file in checked.iter_mut() {
        for family in [Family::V4, Family::V6] {
            let Some(rules) = file.file.parsed.family(family) else {
                continue;
            };
            let before = asked(rules, setup, capture)?;
            let mut found = Vec::new();
            for (at, hook) in HOOKS.into_iter().enumerate() {
                let (Some(place), Some(asked_before)) = (
                    palisade_analysis::established_rule(rules, hook),
                    before.per_packet(at),
                ) else {
                    continue;
                };
                let Some((moved, position)) = first(rules, hook, place) else {
                    continue;
                };
                let after = asked(&moved, setup, capture)?;
                let Some(asked_after) = after.per_packet(at) else {
                    continue;
                };
                if asked_before - asked_after < GAIN {
                    continue;
                }
                let text = &file.file.text;
                let (line, column) = super::place(text, position.0);
                found.push(Finding {
                    lint,
                    file: 0,
                    message: format!(
                        "a packet of {} is asked {asked_before:.1} rules in this capture; with this rule first {asked_after:.1}",
                        hook.name()
                    ),
                    start: position.0,
                    end: position.1,
                    line,
                    column,
                    notes: vec![format!(
                        "measured on {} packets of {}",
                        before.packets[at],
                        capture.display()
                    )],
                    help: format!("make it rule 1 of {}", hook.name()),
                    replacement: None,
                });
            }
            for f in found {
                file.lints
                    .retain(|l| l.lint.code != f.lint.code || l.start != f.start);
                file.lints.push(f);
            }
        }
    }
    Ok(())
}

/// The rules with one rule of a built-in chain moved to its front, and that rule's span.
fn first(rules: &Ruleset, hook: Hook, place: usize) -> Option<(Ruleset, (usize, usize))> {
    let mut moved = rules.clone();
    let table = moved
        .tables
        .iter_mut()
        .find(|t| t.kind == TableKind::Filter)?;
    let chain = table.chains.iter_mut().find(|c| c.builtin == Some(hook))?;
    if place == 0 || place >= chain.rules.len() {
        return None;
    }
    let rule = chain.rules.remove(place);
    let span = (rule.position.start, rule.position.end);
    chain.rules.insert(0, rule);
    Some((moved, span))
}

/// Plays a capture through the rules of one family.
fn asked(rules: &Ruleset, setup: &Setup, capture: &Path) -> Result<Asked> {
    let mut setup = setup.clone();
    match rules.family {
        Family::V4 => setup.rules4 = Some(rules.clone()),
        Family::V6 => setup.rules6 = Some(rules.clone()),
    }
    let mut engine = Engine::new(setup)?;
    let (mut reader, _) =
        pcap::open(capture).with_context(|| format!("cannot read {}", capture.display()))?;
    let mut asked = Asked::default();
    // The other family has no rules here and asks none; its packets are not counted.
    while let Ok(Some(frame)) = reader.next_frame() {
        let Some(decoded) = link::decode(frame.link, frame.data).filter(|d| d.is_ip()) else {
            continue;
        };
        let version = decoded.network.first().map(|b| b >> 4);
        let wanted = match rules.family {
            Family::V4 => 4,
            Family::V6 => 6,
        };
        if version != Some(wanted) {
            continue;
        }
        let input = Input {
            bytes: decoded.network,
            time: frame.time,
            route: route(engine.host(), frame.interface, &decoded),
            link: LinkInfo {
                source_mac: decoded.source_mac,
                destination_mac: decoded.destination_mac,
                packet_type: decoded.packet_type,
            },
            snapped: frame.snapped(),
            ..Input::new(decoded.network)
        };
        engine.process(&input, &mut asked);
    }
    Ok(asked)
}
