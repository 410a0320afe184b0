//! Canonical text: what iptables-save prints (without its dated comment lines).

use std::fmt::Write;

use crate::catalogue::write::{Out, net};
use crate::comments::Comments;
use crate::model::*;
use crate::names;

/// The whole ruleset as iptables-legacy-save prints it, tables in its order.
pub fn save(ruleset: &Ruleset, counters: bool) -> String {
    save_as(ruleset, counters, Tools::Legacy)
}

/// The whole ruleset as one of the two programs prints it.
pub fn save_as(ruleset: &Ruleset, counters: bool, tools: Tools) -> String {
    save_with(ruleset, counters, tools, &mut Comments::default())
}

/// As [`save_as`], with comments above what they stood before.
pub fn save_with<'a>(
    ruleset: &'a Ruleset,
    counters: bool,
    tools: Tools,
    comments: &mut Comments<'a>,
) -> String {
    let mut out = String::new();
    // ip_tables lists the table that came last first; iptables-nft has an order of its own.
    let mut tables: Vec<&Table> = ruleset.tables.iter().rev().collect();
    if tools == Tools::Nft {
        tables.sort_by_key(|table| match table.kind {
            TableKind::Mangle => 0,
            TableKind::Security => 1,
            TableKind::Raw => 2,
            TableKind::Filter => 3,
            TableKind::Nat => 4,
        });
    }
    for table in tables {
        comments.table(&mut out, table.kind);
        let _ = writeln!(out, "*{}", table.kind.name());
        let order: Vec<&Chain> = chain_order(table)
            .into_iter()
            .map(|at| &table.chains[at])
            .collect();
        for chain in &order {
            comments.chain(&mut out, table.kind, &chain.name);
            let (policy, shown) = match chain.builtin {
                Some(_) => (chain.policy.name(), chain.counters),
                None => ("-", Counters::default()),
            };
            let _ = writeln!(
                out,
                ":{} {policy} [{}:{}]",
                chain.name, shown.packets, shown.bytes
            );
        }
        for chain in &order {
            for entry in &chain.rules {
                comments.rule(&mut out, entry.position.line);
                if counters {
                    let _ = write!(
                        out,
                        "[{}:{}] ",
                        entry.counters.packets, entry.counters.bytes
                    );
                }
                out.push_str(&rule_as(table, chain, entry, ruleset.family, tools));
                out.push('\n');
            }
        }
        comments.commit(&mut out, table.kind);
        out.push_str("COMMIT\n");
    }
    out
}

/// One rule as iptables-legacy-save prints it: `-A CHAIN …`.
pub fn rule(table: &Table, chain: &Chain, rule: &Rule, family: Family) -> String {
    rule_as(table, chain, rule, family, Tools::Legacy)
}

/// One rule as one of the two programs prints it.
pub fn rule_as(table: &Table, chain: &Chain, rule: &Rule, family: Family, tools: Tools) -> String {
    with_counters(table, chain, rule, family, tools, None)
}

/// The chains in the order in which they are listed: built-in ones by hook, then user chains by name, as the
/// program's library keeps them.
pub(crate) fn chain_order(table: &Table) -> Vec<usize> {
    let mut order: Vec<usize> = (0..table.chains.len()).collect();
    order.sort_by(|a, b| {
        let (a, b) = (&table.chains[*a], &table.chains[*b]);
        match (a.builtin, b.builtin) {
            (Some(x), Some(y)) => x.cmp(&y),
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (None, None) => a.name.cmp(&b.name),
        }
    });
    order
}

/// One rule; `-c packets bytes` in front of its target, as `iptables -S -v` has them.
pub(crate) fn with_counters(
    table: &Table,
    chain: &Chain,
    rule: &Rule,
    family: Family,
    tools: Tools,
    counters: Option<Counters>,
) -> String {
    let mut out = Out::new(tools, family);
    out.text.push_str("-A ");
    out.text.push_str(&chain.name);
    base(&mut out, &rule.base);
    for m in crate::catalogue::matches::shown(&rule.matches).iter() {
        out.text.push_str(" -m ");
        out.text.push_str(m.name());
        m.write(&mut out);
    }
    if let Some(counters) = counters {
        out.word(format_args!("-c {} {}", counters.packets, counters.bytes));
    }
    let to = |at: usize| table.chains.get(at).map_or("?", |c| c.name.as_str());
    let (letter, name) = match &rule.target {
        Target::None => return out.text,
        Target::Accept => ('j', "ACCEPT"),
        Target::Drop => ('j', "DROP"),
        Target::Return => ('j', "RETURN"),
        Target::Jump(at) => ('j', to(*at)),
        Target::Goto(at) => ('g', to(*at)),
        other => ('j', other.extension().map_or("?", |e| e.name)),
    };
    let _ = write!(out.text, " -{letter} {name}");
    rule.target.write(&mut out);
    out.text
}

fn base(out: &mut Out, base: &Base) {
    for (option, value) in [("-s", &base.source), ("-d", &base.destination)] {
        if let Some(not) = value {
            out.bang(not.negated);
            out.word(format_args!("{option} {}", net(&not.value)));
        }
    }
    for (option, value) in [("-i", &base.in_interface), ("-o", &base.out_interface)] {
        if let Some(not) = value {
            // iptables-legacy-save takes `! -i +` for nothing, too.
            let any = not.value.name.is_empty() && not.value.prefix;
            if any && (!not.negated || out.tools == Tools::Legacy) {
                continue;
            }
            out.bang(not.negated);
            let plus = if not.value.prefix { "+" } else { "" };
            out.word(format_args!("{option} {}{plus}", not.value.name));
        }
    }
    if let Some(not) = &base.protocol {
        out.bang(not.negated);
        out.word(format_args!("-p {}", names::protocol_name(not.value)));
    }
    if let Some(not) = &base.fragment {
        out.bang(not.negated);
        out.word("-f");
    }
}
