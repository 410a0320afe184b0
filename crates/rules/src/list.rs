//! What `iptables -L` and `iptables -S` print.
//!
//! Host names are never looked up: without `-n` ports and protocols have names, addresses keep their numbers.

use std::fmt::Write;

use crate::catalogue::Out;
use crate::catalogue::write::bare_net;
use crate::model::*;
use crate::names;
use crate::print::{chain_order, with_counters};

/// How a table is listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Listing {
    /// `-n`: numbers for ports and protocols.
    pub numeric: bool,
    /// `-v`: counters and interfaces.
    pub verbose: bool,
    /// `-x`: counters in full.
    pub exact: bool,
    /// `--line-numbers`.
    pub line_numbers: bool,
    /// Whose listing.
    pub tools: Tools,
}

/// `-L [CHAIN [NUMBER]]`: all chains, or the one at a position in the table; of it all rules, or one by its
/// number from 1.
pub fn list(
    table: &Table,
    family: Family,
    chain: Option<usize>,
    number: Option<usize>,
    how: Listing,
) -> String {
    let mut out = String::new();
    let chosen: Vec<usize> = match chain {
        Some(at) => vec![at],
        None => chain_order(table),
    };
    for (i, at) in chosen.into_iter().enumerate() {
        let Some(chain) = table.chains.get(at) else {
            continue;
        };
        if number.is_none() {
            if i > 0 {
                out.push('\n');
            }
            header(&mut out, table, at, chain, how);
        }
        for (n, rule) in chain.rules.iter().enumerate() {
            if number.is_none_or(|wanted| wanted == n + 1) {
                row(&mut out, table, family, n + 1, rule, how);
            }
        }
    }
    out
}

fn header(out: &mut String, table: &Table, at: usize, chain: &Chain, how: Listing) {
    let _ = write!(out, "Chain {} (", chain.name);
    if chain.builtin.is_some() {
        let _ = write!(out, "policy {}", chain.policy.name());
        if how.verbose {
            let (packets, bytes) = (chain.counters.packets, chain.counters.bytes);
            let _ = write!(
                out,
                " {} packets, {} bytes",
                short(packets, how.exact, 0),
                short(bytes, how.exact, 0)
            );
        }
    } else {
        let references = table
            .chains
            .iter()
            .flat_map(|c| &c.rules)
            .filter(|r| matches!(r.target, Target::Jump(to) | Target::Goto(to) if to == at))
            .count();
        let _ = write!(out, "{references} references");
    }
    out.push_str(")\n");
    if how.line_numbers {
        let _ = write!(out, "{:<4} ", "num");
    }
    if how.verbose {
        let _ = if how.exact {
            write!(out, "{:>8} {:>10} ", "pkts", "bytes")
        } else {
            write!(out, "{:>5} {:>5} ", "pkts", "bytes")
        };
    }
    let _ = write!(out, "{:<9}  prot opt", "target");
    if how.verbose {
        let _ = write!(out, " {:<6} {:<6} ", "in", "out");
    }
    let _ = writeln!(out, " {:<19}  {:<19} ", "source", "destination");
}

/// A counter as iptables prints it: five digits, then thousands, millions and so on, rounded.
fn short(number: u64, exact: bool, width: usize) -> String {
    if exact || number <= 99_999 {
        let width = if exact && width > 0 { 8 } else { width };
        return format!("{number:>width$}");
    }
    let width = width.saturating_sub(1);
    let mut number = number.saturating_add(500) / 1000;
    for unit in ["K", "M", "G"] {
        if number <= 9999 {
            return format!("{number:>width$}{unit}");
        }
        number = (number + 500) / 1000;
    }
    format!("{number:>width$}T")
}

fn row(out: &mut String, table: &Table, family: Family, number: usize, rule: &Rule, how: Listing) {
    if how.line_numbers {
        let _ = write!(out, "{number:<4} ");
    }
    if how.verbose {
        let (packets, bytes) = (rule.counters.packets, rule.counters.bytes);
        let _ = write!(
            out,
            "{} {} ",
            short(packets, how.exact, 5),
            short(bytes, how.exact, 5)
        );
    }
    let chain = |at: usize| table.chains.get(at).map_or("?", |c| c.name.as_str());
    let target = match &rule.target {
        Target::None => "",
        Target::Accept => "ACCEPT",
        Target::Drop => "DROP",
        Target::Return => "RETURN",
        Target::Jump(at) | Target::Goto(at) => chain(*at),
        // It is the kernel's CT target under an older name.
        Target::Notrack(_) => "CT",
        other => other.extension().map_or("?", |e| e.name),
    };
    let _ = write!(out, "{target:<9} ");
    protocol(out, &rule.base, how);
    let (bang, letter) = match &rule.base.fragment {
        Some(not) => (if not.negated { '!' } else { '-' }, 'f'),
        None => ('-', '-'),
    };
    let _ = write!(out, "{bang}{letter} ");
    if how.verbose {
        let name = |not: &Option<Not<InterfacePattern>>| match not {
            None if how.numeric => "*".to_string(),
            None => "any".to_string(),
            Some(not) => format!(
                "{}{}{}",
                if not.negated { "!" } else { "" },
                not.value.name,
                if not.value.prefix { "+" } else { "" }
            ),
        };
        let _ = write!(
            out,
            " {:<6} {:<6} ",
            name(&rule.base.in_interface),
            name(&rule.base.out_interface)
        );
    }
    address(out, &rule.base.source, family, how);
    address(out, &rule.base.destination, family, how);
    if matches!(rule.target, Target::Goto(_)) {
        out.push_str("[goto] ");
    }
    let mut parts = Out::new(how.tools, family);
    parts.numeric = how.numeric;
    for m in crate::catalogue::matches::shown(&rule.matches).iter() {
        m.list(&mut parts);
    }
    rule.target.list(&mut parts);
    out.push_str(&parts.text);
    out.push('\n');
}

fn protocol(out: &mut String, base: &Base, how: Listing) {
    let (bang, number) = match &base.protocol {
        Some(not) => (not.negated, not.value),
        None => (false, 0),
    };
    let name = match number {
        number if how.numeric => number.to_string(),
        0 => "all".to_string(),
        number => names::protocol_name(number),
    };
    let _ = write!(out, "{}{name:<4} ", if bang { '!' } else { ' ' });
}

fn address(out: &mut String, not: &Option<Not<Net>>, family: Family, how: Listing) {
    let bang = not.as_ref().is_some_and(|n| n.negated);
    let text = match (not, family) {
        (Some(not), _) if !not.value.mask.is_unspecified() => bare_net(&not.value),
        (_, Family::V4) if how.numeric => "0.0.0.0/0".to_string(),
        (_, Family::V6) if how.numeric => "::/0".to_string(),
        _ => "anywhere".to_string(),
    };
    let _ = write!(out, "{}{text:<19} ", if bang { '!' } else { ' ' });
}

/// `-S [CHAIN [NUMBER]]`; with `-v` in `how` counters too.
pub fn specifications(
    table: &Table,
    family: Family,
    chain: Option<usize>,
    number: Option<usize>,
    how: Listing,
) -> String {
    let mut out = String::new();
    let chosen: Vec<usize> = match chain {
        Some(at) => vec![at],
        None => chain_order(table),
    };
    let counted = |c: Counters| match how.verbose {
        true => format!(" -c {} {}", c.packets, c.bytes),
        false => String::new(),
    };
    let chains = || chosen.iter().filter_map(|at| table.chains.get(*at));
    for chain in chains().filter(|_| number.is_none()) {
        let _ = match chain.builtin {
            Some(_) => writeln!(
                out,
                "-P {} {}{}",
                chain.name,
                chain.policy.name(),
                counted(chain.counters)
            ),
            None => writeln!(out, "-N {}", chain.name),
        };
    }
    for chain in chains() {
        for (n, rule) in chain.rules.iter().enumerate() {
            if number.is_none_or(|wanted| wanted == n + 1) {
                let counters = how.verbose.then_some(rule.counters);
                let text = with_counters(table, chain, rule, family, how.tools, counters);
                let _ = writeln!(out, "{text}");
            }
        }
    }
    out
}
