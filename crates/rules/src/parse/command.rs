//! Commands applied to a ruleset, one after the other.

use palisade_wire::Family;

use super::rule::{Command, TargetWord, Verb};
use super::tables::{Refusal, Working};
use super::{Parser, allowed, repair};
use crate::diagnostic::{Diagnostic, nearest};
use crate::lex::Word;
use crate::model::*;

/// Longest chain name (kernel `XT_EXTENSION_MAXNAMELEN` less one).
pub(crate) const MAX_CHAIN_NAME: usize = 28;

/// What a command is applied to.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    pub(crate) family: Family,
    pub(crate) kind: TableKind,
    /// Whether it is a line of a save file: such a table is judged by the kernel as a whole.
    pub(crate) restore: bool,
}

/// Applies a command to a table; what cannot be applied is reported. Whether it was applied.
pub(crate) fn apply(
    parser: &mut Parser<'_>,
    command: &Command,
    place: Place,
    counters: Option<Counters>,
) -> bool {
    if early_fault(parser, command, place).is_some() {
        return false;
    }
    // ip_tables registers a table at the first command that is in order.
    parser.table(place);
    let done = match command.verb {
        Verb::List => list(parser, command, place),
        Verb::Zero => zero(parser, command, place),
        Verb::NewChain => new_chain(parser, command, place),
        Verb::Policy => policy(parser, command, place),
        Verb::Flush => flush(parser, command, place),
        Verb::DeleteChain => delete_chain(parser, command, place),
        Verb::Rename => rename(parser, command, place),
        Verb::Append | Verb::Insert | Verb::Replace | Verb::Delete | Verb::Check => {
            rules(parser, command, place, counters)
        }
    };
    done.is_some()
}

/// What the real program refuses before it opens the table.
fn early_fault(parser: &mut Parser<'_>, command: &Command, place: Place) -> Option<()> {
    match command.verb {
        Verb::NewChain => {
            let name = command.arguments.first()?;
            let fault = name_fault(parser, &name.text, place.family)?;
            bad_name(parser, name, fault);
            Some(())
        }
        Verb::Replace if command.sources.len().max(command.destinations.len()) > 1 => {
            let error = parser
                .error(
                    "bad-address",
                    command.span,
                    "a rule is replaced by one rule: a list of addresses makes several",
                )
                .said("Replacement rule does not specify a unique address");
            parser.report(error);
            Some(())
        }
        _ => None,
    }
}

/// Reports a refusal with the real program's message for it.
fn refuse(parser: &mut Parser<'_>, place: Place, diagnostic: Diagnostic, said: &str) -> Option<()> {
    let (program, line) = (program(place.family), diagnostic.line);
    let said = match (place.restore, parser.options.tools) {
        (false, _) => format!("{program}: {said}."),
        (true, Tools::Legacy) => format!("{program}-restore: line {line} failed"),
        (true, Tools::Nft) => {
            let short = said.split(". ").next().unwrap_or(said);
            format!("{program}-nft-restore: line {line} failed: {short}.")
        }
    };
    parser.report(diagnostic.said(said));
    None
}

/// Name of the program for a family.
pub(crate) fn program(family: Family) -> &'static str {
    match family {
        Family::V4 => "iptables",
        Family::V6 => "ip6tables",
    }
}

/// A built-in chain that nf_tables does not have yet.
fn unmade(parser: &mut Parser<'_>, name: &Word, place: Place, said: &str) -> Option<()> {
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

const BAD_POLICY: &str = "Bad policy name. Run `dmesg' for more information";
const NO_RULE: &str = "Bad rule (does a matching rule exist in that chain?)";
const NO_CHAIN: &str = "No chain/target/match by that name";
const INVALID: &str = "Invalid argument. Run `dmesg' for more information";

/// In a rule that is wrong otherwise: whether its chain and target exist, so that all its errors are told at once.
/// The real program has said its one error already.
pub(crate) fn names_exist(
    parser: &mut Parser<'_>,
    (verb, name, target): (Verb, &Word, Option<&TargetWord>),
    place: Place,
) {
    if !matches!(
        verb,
        Verb::Append | Verb::Insert | Verb::Replace | Verb::Delete
    ) {
        return;
    }
    let reported = parser.diagnostics.len();
    // A refused command registers no table.
    let known = parser.rulesets.tables(place.family).len();
    chain(parser, name, place);
    if let Some(target) = target
        && crate::catalogue::find_target(&target.word.text, place.family).is_none()
    {
        resolve(parser, None, target, place);
    }
    parser.rulesets.tables(place.family).truncate(known);
    for diagnostic in parser.diagnostics.iter_mut().skip(reported) {
        diagnostic.said = None;
        diagnostic.by_kernel = false;
    }
}

/// A chain that must exist.
fn chain(parser: &mut Parser<'_>, name: &Word, place: Place) -> Option<usize> {
    chain_or(parser, name, place, NO_CHAIN)
}

fn chain_or(parser: &mut Parser<'_>, name: &Word, place: Place, said: &str) -> Option<usize> {
    let table = parser.table(place);
    if let Some(at) = table.find(&name.text) {
        return Some(at);
    }
    let upper = repair::builtin_in_other_case(&name.text);
    let known: Vec<String> = table.chains().map(|(_, c)| c.name.clone()).collect();
    let error = parser.error(
        "no-chain",
        (name.start, name.end),
        format!("table {} has no chain '{}'", place.kind.name(), name.text),
    );
    let diagnostic = if let Some(upper) = upper.filter(|u| known.iter().any(|k| k == u)) {
        error
            .help(format!("{upper} (chain names are case-sensitive)"))
            .replace(name.start, name.end, upper)
    } else if let Some(upper) = upper {
        let at = TableKind::ALL
            .iter()
            .filter(|t| t.hooks().iter().any(|h| h.name() == upper))
            .map(|t| format!("-t {}", t.name()))
            .collect::<Vec<_>>()
            .join(", ");
        error.help(format!("{upper} is a chain of {at}"))
    } else if let Some(near) = nearest(&name.text, known.iter().map(String::as_str)) {
        error.help(near).replace(name.start, name.end, near)
    } else {
        error.help(format!("make it first: -N {}", name.text))
    };
    refuse(parser, place, diagnostic, said);
    None
}

/// The chain of a command's first word, or `None` for all chains.
fn one_or_all(parser: &mut Parser<'_>, command: &Command, place: Place) -> Option<Option<usize>> {
    match command.arguments.first() {
        Some(name) => chain(parser, name, place).map(Some),
        None => Some(None),
    }
}

fn list(parser: &mut Parser<'_>, command: &Command, place: Place) -> Option<()> {
    one_or_all(parser, command, place).map(|_| ())
}

fn zero(parser: &mut Parser<'_>, command: &Command, place: Place) -> Option<()> {
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

fn flush(parser: &mut Parser<'_>, command: &Command, place: Place) -> Option<()> {
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

fn bad_name(parser: &mut Parser<'_>, name: &Word, (fault, said): (String, String)) {
    let error = parser
        .error("bad-chain-name", (name.start, name.end), fault)
        .said(said);
    parser.report(error);
}

fn new_chain(parser: &mut Parser<'_>, command: &Command, place: Place) -> Option<()> {
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

fn policy(parser: &mut Parser<'_>, command: &Command, place: Place) -> Option<()> {
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

fn delete_chain(parser: &mut Parser<'_>, command: &Command, place: Place) -> Option<()> {
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

fn rename(parser: &mut Parser<'_>, command: &Command, place: Place) -> Option<()> {
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

/// The rules of a command: one for each pair of source and destination.
fn build(parser: &Parser<'_>, command: &Command, target: &Target, counters: Counters) -> Vec<Rule> {
    let each = |list: &[Not<Net>]| -> Vec<Option<Not<Net>>> {
        if list.is_empty() {
            vec![None]
        } else {
            list.iter().cloned().map(Some).collect()
        }
    };
    let (line, _) = parser.lines.place(command.span.0);
    let (sources, destinations) = (each(&command.sources), each(&command.destinations));
    let mut built = Vec::with_capacity(sources.len() * destinations.len());
    for source in &sources {
        for destination in &destinations {
            built.push(Rule {
                counters,
                base: Base {
                    source: source.clone().filter(tests_something),
                    destination: destination.clone().filter(tests_something),
                    ..command.base.clone()
                },
                matches: command.matches.clone(),
                target: target.clone(),
                position: Position {
                    line,
                    start: command.span.0,
                    end: command.span.1,
                },
            });
        }
    }
    built
}

fn rules(
    parser: &mut Parser<'_>,
    command: &Command,
    place: Place,
    counters: Option<Counters>,
) -> Option<()> {
    let name = command.arguments.first()?;
    if command.verb == Verb::Delete
        && let Some(word) = command.arguments.get(1)
    {
        let at = made_chain(parser, name, place)?;
        let number = rule_number(parser, word, place, at, 0, "Index of deletion too big")?;
        return take(parser, command, place, at, number);
    }
    // A chain that is not there is no place to find a rule in; for other verbs the target comes first.
    let no_chain = match command.verb {
        Verb::Delete | Verb::Check => NO_RULE,
        _ => NO_CHAIN,
    };
    let to_builtin = command.target.as_ref().is_some_and(|t| {
        let table = parser.table(place);
        let at = table.find(&t.word.text);
        at.is_some_and(|at| table.slot(at).is_some_and(|s| s.builtin.is_some()))
    });
    if to_builtin {
        chain_or(parser, name, place, no_chain)?;
    }
    let target = match &command.target {
        None => Target::None,
        Some(word) => resolve(parser, Some(command), word, place)?,
    };
    let at = chain_or(parser, name, place, no_chain)?;
    allowed::in_table(parser, command, &target, place)?;
    let counters = match (command.counters_given, counters) {
        (true, _) => command.counters,
        (false, given) => given.unwrap_or_default(),
    };
    let built = build(parser, command, &target, counters);
    match command.verb {
        Verb::Append => put(parser, command, place, at, None, built),
        Verb::Insert => {
            let position = match command.arguments.get(1) {
                Some(word) => {
                    rule_number(parser, word, place, at, 1, "Index of insertion too big")?
                }
                None => 0,
            };
            put(parser, command, place, at, Some(position), built)
        }
        Verb::Replace => {
            made_chain(parser, name, place)?;
            let word = command.arguments.get(1)?;
            let number = rule_number(parser, word, place, at, 0, "Index of replacement too big")?;
            let rule = built.into_iter().next()?;
            let old = parser.table(place).swap(at, number, rule)?;
            match look(parser, place) {
                Ok(()) => Some(()),
                Err(refusal) => {
                    parser.table(place).swap(at, number, old);
                    kernel(parser, place, &refusal, Some(command))
                }
            }
        }
        _ => missing(parser, command, place, at, built),
    }
}

/// A chain that must exist, in nf_tables too.
fn made_chain(parser: &mut Parser<'_>, name: &Word, place: Place) -> Option<usize> {
    let at = chain(parser, name, place)?;
    if parser.options.tools == Tools::Nft && !parser.table(place).is_made(at) {
        unmade(parser, name, place, NO_CHAIN);
        return None;
    }
    Some(at)
}

/// Deletes a rule. One that took every packet may have hidden what the kernel refuses.
fn take(
    parser: &mut Parser<'_>,
    command: &Command,
    place: Place,
    at: usize,
    position: usize,
) -> Option<()> {
    let table = parser.table(place);
    let hid = table.takes_all_at(at, position);
    let rule = table.take(at, position)?;
    if hid && let Err(refusal) = look(parser, place) {
        parser.table(place).put(at, Some(position), rule);
        return kernel(parser, place, &refusal, Some(command));
    }
    Some(())
}

/// `-D` by specification, and `-C`.
fn missing(
    parser: &mut Parser<'_>,
    command: &Command,
    place: Place,
    at: usize,
    built: Vec<Rule>,
) -> Option<()> {
    for rule in &built {
        let table = parser.table(place);
        let found = table.slot_mut(at).and_then(|s| s.rules.find(rule));
        let Some(found) = found else {
            let error = parser.error(
                "no-rule",
                command.span,
                format!(
                    "chain '{}' has no such rule",
                    command.arguments.first().map_or("", |w| &w.text)
                ),
            );
            return refuse(parser, place, error, NO_RULE);
        };
        if command.verb == Verb::Delete {
            take(parser, command, place, at, found)?;
        }
    }
    Some(())
}

/// Puts rules into a chain, in the order in which the real program does.
fn put(
    parser: &mut Parser<'_>,
    command: &Command,
    place: Place,
    at: usize,
    position: Option<usize>,
    built: Vec<Rule>,
) -> Option<()> {
    let tools = parser.options.tools;
    let works = allowed::works(place.family, tools);
    let table = parser.table(place);
    let made = (table.made, table.is_made(at));
    table.make(at);
    let mut refusal = None;
    let mut done = 0;
    for rule in built {
        if !place.restore
            && let Err(refused) = table.takes(at, position, &rule, tools, &works)
        {
            refusal = Some(refused);
            break;
        }
        let looked_at =
            matches!(rule.target, Target::Jump(_) | Target::Goto(_)) || position.is_some();
        // Each goes to the same number: the last of a list comes to stand first.
        table.put(at, position, rule);
        done += 1;
        if !place.restore
            && looked_at
            && table.is_stale()
            && let Err(refused) = table.check(tools, &works)
        {
            refusal = Some(refused);
            break;
        }
    }
    let Some(refused) = refusal else {
        return Some(());
    };
    // One command is one change: all of it or nothing.
    for _ in 0..done {
        let last = table
            .slot(at)
            .map_or(0, |s| s.rules.len().saturating_sub(1));
        table.take(at, position.unwrap_or(last));
    }
    table.made = made.0;
    if let Some(slot) = table.slot_mut(at) {
        slot.made = made.1;
    }
    kernel(parser, place, &refused, Some(command))
}

/// The kernel's word about a table as it is.
fn look(parser: &mut Parser<'_>, place: Place) -> Result<(), Refusal> {
    if place.restore {
        return Ok(());
    }
    let tools = parser.options.tools;
    let works = allowed::works(place.family, tools);
    parser.table(place).check(tools, &works)
}

/// What iptables-nft says when the kernel refuses a command.
pub(crate) fn nft_failed(command: &Command, why: &str) -> String {
    let verb = match command.verb {
        Verb::Insert => "INSERT",
        Verb::Replace => "REPLACE",
        Verb::Delete => "DELETE",
        _ => "APPEND",
    };
    let chain = command.arguments.first().map_or("", |w| &w.text);
    format!(" RULE_{verb} failed ({why}): rule in chain {chain}")
}

/// Reports what the kernel refuses.
pub(crate) fn kernel(
    parser: &mut Parser<'_>,
    place: Place,
    refusal: &Refusal,
    command: Option<&Command>,
) -> Option<()> {
    // In a script it is the command that is refused; in a save file the rule is the one to blame.
    let place_of = |position: &Position| match command {
        Some(command) => command.span,
        None => (position.start, position.end),
    };
    let elsewhere = |position: &Position| match command {
        Some(command) if position.start != command.span.0 => {
            format!(" (the rule of line {})", position.line)
        }
        _ => String::new(),
    };
    let (error, said) = match refusal {
        Refusal::Loop { position, to } => (
            parser
                .error(
                    "chain-loop",
                    place_of(position),
                    match elsewhere(position).as_str() {
                        "" => format!("this jump to chain '{to}' closes a loop"),
                        rule => format!("a jump to chain '{to}' closes a loop{rule}"),
                    },
                )
                .help("the kernel refuses a table whose chains call each other in a circle"),
            ("Too many levels of symbolic links", "Too many links"),
        ),
        Refusal::Hook {
            position,
            hook,
            name,
            works,
        } => {
            use Hook::*;
            let good: Vec<&str> = [Prerouting, Input, Forward, Output, Postrouting]
                .into_iter()
                .filter(|h| works & super::tables::bit(*h) != 0)
                .map(Hook::name)
                .collect();
            // The rule stands in that chain itself.
            let direct = command
                .and_then(|c| c.arguments.first())
                .is_some_and(|chain| chain.text == hook.name());
            let code = match name.starts_with("match") {
                true => "match-in-chain",
                false => "target-in-chain",
            };
            (
                parser
                    .error(
                        code,
                        place_of(position),
                        format!(
                            "{name} does not work in {}{}{}",
                            hook.name(),
                            if direct {
                                ""
                            } else {
                                ", from where it is reached"
                            },
                            elsewhere(position)
                        ),
                    )
                    .help(good.join(" or ")),
                (INVALID, "Invalid argument"),
            )
        }
    };
    let error = error.by_kernel();
    if parser.options.tools == Tools::Nft {
        let error = match command {
            Some(command) => error.said(nft_failed(command, said.1)),
            None => error,
        };
        parser.report(error);
        return None;
    }
    refuse(parser, place, error, said.0)
}

/// `0.0.0.0/0` tests nothing, unless it is negated.
fn tests_something(net: &Not<Net>) -> bool {
    net.negated || !net.value.mask.is_unspecified()
}

/// The rule number of `-I`, `-D`, `-R`, from 0; `extra` may lie behind the last rule.
fn rule_number(
    parser: &mut Parser<'_>,
    word: &Word,
    place: Place,
    at: usize,
    extra: usize,
    said: &str,
) -> Option<usize> {
    let count = parser.table(place).slot(at).map_or(0, |s| s.rules.len());
    match word.text.parse::<usize>() {
        Ok(n) if n >= 1 && n <= count + extra => Some(n - 1),
        _ => {
            let error = parser.error(
                "no-rule",
                (word.start, word.end),
                format!(
                    "there is no rule number {}; the chain has {count}",
                    word.text
                ),
            );
            refuse(parser, place, error, said);
            None
        }
    }
}

/// A target's name: a user chain, a verdict, or a target.
fn resolve(
    parser: &mut Parser<'_>,
    command: Option<&Command>,
    target: &TargetWord,
    place: Place,
) -> Option<Target> {
    let name = &target.word.text;
    let span = (target.word.start, target.word.end);
    let tools = parser.options.tools;
    let table = parser.table(place);
    let at = table.find(name);
    let builtin = at.is_some_and(|at| table.slot(at).is_some_and(|s| s.builtin.is_some()));
    // A chain of a target's name: iptables-legacy jumps there, iptables-nft takes the target.
    let built = command.is_some_and(|c| c.built_target.is_some());
    let extension = built && !target.goto && tools == Tools::Nft;
    if let Some(at) = at.filter(|_| !builtin && !extension) {
        return Some(if target.goto {
            Target::Goto(at)
        } else {
            Target::Jump(at)
        });
    }
    if !target.goto && !builtin {
        match name.as_str() {
            "ACCEPT" => return Some(Target::Accept),
            "DROP" => return Some(Target::Drop),
            "RETURN" => return Some(Target::Return),
            _ => {}
        }
        if name == "QUEUE" && tools == Tools::Nft {
            let error = parser
                .error("unknown-target", span, "iptables-nft has no target QUEUE")
                .help("-j NFQUEUE --queue-num 0");
            let error = match command {
                Some(command) => error.said(nft_failed(command, "No such file or directory")),
                None => error,
            };
            parser.report(error);
            return None;
        }
        if let Some(built) = command.and_then(|c| c.built_target.as_ref()) {
            return Some(built.clone());
        }
    }
    // `-jACCEPT`: iptables before 1.8.10 takes all of the word for the name.
    let joined = ["--jump=", "-j"].iter().find_map(|o| name.strip_prefix(o));
    if let Some(value) = joined.filter(|_| !target.goto) {
        let fixed = format!("-j {value}");
        let error = parser
            .error(
                "joined-value",
                span,
                format!("iptables before 1.8.10 takes all of '{name}' for the value"),
            )
            .help(fixed.clone())
            .said(no_target(name, tools, false))
            .replace(span.0, span.1, fixed);
        parser.report(error);
        return None;
    }
    let mut names: Vec<String> = ["ACCEPT", "DROP", "RETURN"].map(String::from).to_vec();
    names.extend(crate::catalogue::TARGETS.iter().map(|t| t.name.to_string()));
    names.extend(
        table
            .chains()
            .filter(|(_, c)| c.builtin.is_none())
            .map(|(_, c)| c.name.clone()),
    );
    let message = if builtin {
        format!("a rule cannot jump to the built-in chain '{name}'")
    } else if target.goto {
        format!("there is no chain '{name}' to go to")
    } else {
        format!(
            "'{name}' is neither a target nor a chain of table {}",
            place.kind.name()
        )
    };
    let mut error = parser.error("unknown-target", span, message);
    if builtin {
        if tools == Tools::Nft {
            let made = at.is_some_and(|at| parser.table(place).is_made(at));
            let why = match made {
                true => "Operation not supported",
                false => "No such file or directory",
            };
            let error = match command {
                Some(command) => error.said(nft_failed(command, why)),
                None => error,
            };
            parser.report(error);
            return None;
        }
        return refuse(parser, place, error, INVALID).and(None);
    }
    let exact = names.iter().find(|n| n.eq_ignore_ascii_case(name)).cloned();
    let near =
        exact.or_else(|| nearest(name, names.iter().map(String::as_str)).map(str::to_string));
    // A chain of that name in another table is what was meant.
    let elsewhere = (parser.rulesets.tables(place.family).iter())
        .find(|t| t.kind != place.kind && t.find(name).is_some())
        .map(|t| t.kind);
    let gone = super::removed::target_now(name);
    error = match (near, elsewhere) {
        _ if gone.is_some() => {
            let now = gone.unwrap_or_default();
            error.help(format!("'{name}' is gone; now {now}"))
        }
        (_, Some(other)) => error.help(format!(
            "chain '{name}' is in table {}; a jump stays in its own table",
            other.name()
        )),
        (Some(near), _) if !target.goto => error.help(near.clone()).replace(span.0, span.1, near),
        _ => error.help(format!("make the chain first: -N {name}")),
    };
    let said = no_target(name, tools, target.goto);
    // iptables-nft looks for the chain when all is read.
    error.by_kernel = tools == Tools::Nft;
    parser.report(error.said(said));
    None
}

/// What the real program says about a target that is none.
fn no_target(name: &str, tools: Tools, goto: bool) -> String {
    match (tools, goto) {
        (Tools::Nft, _) => format!("Chain '{name}' does not exist"),
        (Tools::Legacy, true) => format!("goto '{name}' is not a chain"),
        (Tools::Legacy, false) => {
            format!("Couldn't load target `{name}':No such file or directory")
        }
    }
}
