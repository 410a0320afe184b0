//! Commands about chains: made, deleted, renamed, flushed, zeroed, given a policy.

use palisade_wire::Family;

use super::Parser;
use super::command::{
    BAD_POLICY, INVALID, MAX_CHAIN_NAME, NO_CHAIN, NO_RULE, Place, chain, chain_or, refuse,
    rule_number,
};
use super::rule::Command;
use super::tables::Working;
use crate::lex::Word;
use crate::model::*;

/// A built-in chain that nf_tables does not have yet.
pub(crate) fn unmade(parser: &mut Parser<'_>, name: &Word, place: Place, said: &str) -> Option<()> {
    let error = parser
        .error(
            "no-chain",
            (name.start, name.end),
            format!(
                "chain '{}' does not exist before something is put into it",
                name.text
            ),
        )
        .help("only iptables-nft minds");
    refuse(parser, place, error, said)
}

/// The chain of a command's first word, or `None` for all chains.
fn one_or_all(parser: &mut Parser<'_>, command: &Command, place: Place) -> Option<Option<usize>> {
    match command.arguments.first() {
        Some(name) => chain(parser, name, place).map(Some),
        None => Some(None),
    }
}

pub(crate) fn list(parser: &mut Parser<'_>, command: &Command, place: Place) -> Option<()> {
    let name = command.arguments.first();
    if let (Some(name), Tools::Nft) = (name, parser.options.tools) {
        let said = format!(
            "chain `{}' in table `{}' is incompatible, use 'nft' tool",
            name.text,
            place.kind.name()
        );
        return chain_or(parser, name, place, &said).map(|_| ());
    }
    one_or_all(parser, command, place).map(|_| ())
}

pub(crate) fn zero(parser: &mut Parser<'_>, command: &Command, place: Place) -> Option<()> {
    let only = one_or_all(parser, command, place)?;
    let nft = parser.options.tools == Tools::Nft;
    if let (Some(at), true, Some(name)) = (only, nft, command.arguments.first())
        && !parser.table(place).is_made(at)
    {
        let said = match command.arguments.len() {
            1 => NO_CHAIN,
            _ => NO_RULE,
        };
        return unmade(parser, name, place, said);
    }
    if let (Some(at), Some(word)) = (only, command.arguments.get(1)) {
        let count = parser.table(place).slot(at).map_or(0, |s| s.rules.len());
        // iptables-nft does not look whether there is such a rule.
        if nft && word.text.parse::<usize>().is_ok_and(|n| n > count) {
            return Some(());
        }
        let number = rule_number(parser, word, place, at, 0, "Index of counter too big")?;
        if let Some(rule) = parser
            .table(place)
            .slot_mut(at)
            .and_then(|s| s.rules.get_mut(number))
        {
            rule.counters = Counters::default();
        }
        return Some(());
    }
    let table = parser.table(place);
    let slots: Vec<usize> = match only {
        Some(at) => vec![at],
        None => table.chains().map(|(i, _)| i).collect(),
    };
    for at in slots {
        if let Some(slot) = table.slot_mut(at) {
            slot.counters = Counters::default();
            for rule in slot.rules.iter_mut() {
                rule.counters = Counters::default();
            }
        }
    }
    Some(())
}

pub(crate) fn flush(parser: &mut Parser<'_>, command: &Command, place: Place) -> Option<()> {
    let only = one_or_all(parser, command, place)?;
    let fresh = parser.options.tools == Tools::Nft && place.restore && !parser.options.noflush;
    let table = parser.table(place);
    match only {
        // iptables-nft-restore flushes what there was before the file: nothing.
        None if fresh => {}
        Some(at) => {
            table.make(at);
            table.clear(at);
        }
        None => flush_all(table),
    }
    Some(())
}

/// Deletes all rules.
fn flush_all(table: &mut Working) {
    let all: Vec<usize> = table.chains().map(|(i, _)| i).collect();
    for at in all {
        table.clear(at);
    }
}

/// Empties a table as restore does: no rules, no user chains; policies stay with ip_tables.
pub(crate) fn reset(table: &mut Working, tools: Tools) {
    flush_all(table);
    let users: Vec<usize> = table
        .chains()
        .filter(|(_, c)| c.builtin.is_none())
        .map(|(i, _)| i)
        .collect();
    for at in users {
        table.remove(at);
    }
    if tools == Tools::Nft {
        *table = Working::new(table.kind);
    }
}

/// What is wrong with a new chain's name: in our words and in the real program's.
pub(crate) fn name_fault(
    parser: &Parser<'_>,
    name: &str,
    family: Family,
) -> Option<(String, String)> {
    if name.len() > MAX_CHAIN_NAME {
        return Some((
            format!(
                "chain name '{name}' has {} bytes, at most {MAX_CHAIN_NAME} are allowed",
                name.len()
            ),
            format!("chain name `{name}' too long (must be under 29 chars)"),
        ));
    }
    if let Some(first) = name.chars().next().filter(|c| matches!(c, '-' | '!')) {
        return Some((
            format!("chain name '{name}' starts with '{first}'"),
            format!("chain name not allowed to start with `{first}'"),
        ));
    }
    if name.is_empty() || parser.is_target(name, family) {
        return Some((
            format!("chain name '{name}' is the name of a target"),
            "chain name may not clash with target name".to_string(),
        ));
    }
    if name.contains(|c: char| c.is_ascii_whitespace() || c == '\u{b}') {
        return Some((
            format!("'{name}' is no chain name: it has a blank in it"),
            format!("Invalid chain name `{name}'"),
        ));
    }
    None
}

pub(crate) fn bad_name(parser: &mut Parser<'_>, name: &Word, (fault, said): (String, String)) {
    let error = parser
        .error("bad-chain-name", (name.start, name.end), fault)
        .said(said);
    parser.report(error);
}

pub(crate) fn new_chain(parser: &mut Parser<'_>, command: &Command, place: Place) -> Option<()> {
    let name = command.arguments.first()?;
    let table = parser.table(place);
    if table.add(&name.text).is_none() {
        let error = parser.error(
            "chain-exists",
            (name.start, name.end),
            format!("chain '{}' exists already", name.text),
        );
        return refuse(parser, place, error, "Chain already exists");
    }
    table.made = true;
    Some(())
}

pub(crate) fn policy(parser: &mut Parser<'_>, command: &Command, place: Place) -> Option<()> {
    let (name, policy) = (command.arguments.first()?, command.arguments.get(1)?);
    // iptables-nft takes `-c` here and forgets it.
    let given = command.counters_given && parser.options.tools == Tools::Legacy;
    let counters = given.then_some(command.counters);
    set_policy(parser, name, policy, place, counters)
}

/// Sets a built-in chain's policy.
pub(crate) fn set_policy(
    parser: &mut Parser<'_>,
    name: &Word,
    policy: &Word,
    place: Place,
    counters: Option<Counters>,
) -> Option<()> {
    let good = matches!(policy.text.as_str(), "ACCEPT" | "DROP");
    let said = match (parser.options.tools, good) {
        (Tools::Nft, false) => BAD_POLICY,
        _ => "Bad built-in chain name",
    };
    let at = chain_or(parser, name, place, said)?;
    let value = match policy.text.as_str() {
        "ACCEPT" => Some(Policy::Accept),
        "DROP" => Some(Policy::Drop),
        _ => None,
    };
    let builtin = parser
        .table(place)
        .slot(at)
        .is_some_and(|s| s.builtin.is_some());
    let (Some(value), true) = (value, builtin) else {
        let message = if builtin {
            format!("'{}' is no policy", policy.text)
        } else {
            format!("chain '{}' is not built in and has no policy", name.text)
        };
        let mut error = parser.error("bad-policy", (policy.start, policy.end), message);
        if builtin {
            error = error.help(if policy.text == "REJECT" {
                "ACCEPT or DROP; to reject the rest, end the chain with -j REJECT"
            } else {
                "ACCEPT or DROP"
            });
        }
        let said = if builtin { BAD_POLICY } else { said };
        return refuse(parser, place, error, said);
    };
    let table = parser.table(place);
    table.make(at);
    let slot = table.slot_mut(at)?;
    slot.policy = value;
    if let Some(counters) = counters {
        slot.counters = counters;
    }
    Some(())
}

/// Why a chain cannot be deleted: in our words and in the two programs'.
fn in_use(table: &Working, at: usize) -> Option<(&'static str, &'static str)> {
    let slot = table.slot(at)?;
    if slot.builtin.is_some() {
        Some(("is built in", INVALID))
    } else if slot.references > 0 {
        Some(("is jumped to", "Too many links"))
    } else if !slot.rules.is_empty() {
        Some(("is not empty", "Directory not empty"))
    } else {
        None
    }
}

pub(crate) fn delete_chain(parser: &mut Parser<'_>, command: &Command, place: Place) -> Option<()> {
    let tools = parser.options.tools;
    let Some(name) = command.arguments.first() else {
        // Without a name: all user chains. One that cannot go keeps all of them.
        let table = parser.table(place);
        let users: Vec<usize> = table
            .chains()
            .filter(|(_, c)| c.builtin.is_none())
            .map(|(i, _)| i)
            .collect();
        let held = users
            .iter()
            .find_map(|at| in_use(table, *at).map(|fault| (*at, fault)));
        let Some((at, (fault, said))) = held else {
            for at in users {
                table.remove(at);
            }
            // iptables-nft takes built-in chains that do nothing with them.
            for at in 0..table.kind.hooks().len() {
                if let Some(slot) = table.slot_mut(at)
                    && slot.rules.is_empty()
                    && (slot.policy == Policy::Accept || (place.restore && tools == Tools::Nft))
                {
                    slot.made = false;
                    slot.policy = Policy::Accept;
                }
            }
            return Some(());
        };
        let held = table.slot(at).map_or(String::new(), |s| s.name.clone());
        let verb = &command.verb_word;
        let error = parser
            .error(
                "chain-in-use",
                (verb.start, verb.end),
                format!("chain '{held}' {fault}: no chain is deleted"),
            )
            .help("-F before -X");
        if tools == Tools::Nft {
            let said = format!(" CHAIN_DEL failed (Device or resource busy): chain {held}");
            parser.report(error.said(said));
            return None;
        }
        return refuse(parser, place, error, said);
    };
    let at = chain(parser, name, place)?;
    if tools == Tools::Nft
        && let Some(done) = delete_builtin(parser, name, place, at)
    {
        return done;
    }
    let table = parser.table(place);
    match in_use(table, at) {
        Some((fault, said)) => {
            let error = parser.error(
                "chain-in-use",
                (name.start, name.end),
                format!("chain '{}' {fault} and cannot be deleted", name.text),
            );
            if tools == Tools::Nft {
                let said = format!(
                    " CHAIN_DEL failed (Device or resource busy): chain {}",
                    name.text
                );
                parser.report(error.said(said));
                return None;
            }
            refuse(parser, place, error, said)
        }
        None => {
            table.remove(at);
            Some(())
        }
    }
}

/// `-X` of a built-in chain by iptables-nft, which deletes one that does nothing; `None` for a user
/// chain, and for one that is in use.
fn delete_builtin(
    parser: &mut Parser<'_>,
    name: &Word,
    place: Place,
    at: usize,
) -> Option<Option<()>> {
    let table = parser.table(place);
    let slot = table.slot_mut(at)?;
    slot.builtin?;
    if !slot.made {
        return Some(unmade(parser, name, place, NO_CHAIN));
    }
    if !slot.rules.is_empty() {
        return None;
    }
    if slot.policy == Policy::Accept {
        slot.made = false;
        return Some(Some(()));
    }
    let error = parser.error(
        "chain-in-use",
        (name.start, name.end),
        format!("chain '{}' has a policy and cannot be deleted", name.text),
    );
    Some(refuse(parser, place, error, "Directory not empty"))
}

pub(crate) fn rename(parser: &mut Parser<'_>, command: &Command, place: Place) -> Option<()> {
    // The real program does not look at the new name but for the chains that there are.
    let (old, new) = (command.arguments.first()?, command.arguments.get(1)?);
    let legacy = parser.options.tools == Tools::Legacy;
    let found = parser.table(place).find(&new.text);
    let exists = match found {
        Some(_) => true,
        None => legacy && parser.is_verdict(&new.text),
    };
    if exists {
        let error = parser.error(
            "chain-exists",
            (new.start, new.end),
            format!("chain '{}' exists already", new.text),
        );
        return refuse(parser, place, error, "File exists");
    }
    let at = chain(parser, old, place)?;
    if parser.options.tools == Tools::Nft && place.restore && !parser.options.noflush {
        let error = parser
            .error(
                "bad-chain-name",
                (old.start, old.end),
                "iptables-nft-restore cannot rename a chain that the same file makes",
            )
            .help(format!("make it as {}", new.text));
        parser.report(error);
        return None;
    }
    let table = parser.table(place);
    if table.slot(at).is_some_and(|s| s.builtin.is_some()) {
        let error = parser.error(
            "bad-chain-name",
            (old.start, old.end),
            format!("chain '{}' is built in and keeps its name", old.text),
        );
        return refuse(parser, place, error, NO_CHAIN);
    }
    table.rename(at, &new.text);
    Some(())
}
