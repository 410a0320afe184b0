//! Commands applied to a ruleset, one after the other.

use palisade_wire::Family;

use super::rule::{Command, TargetWord, Verb};
use super::{Parser, repair};
use crate::catalogue::Extension;
use crate::diagnostic::nearest;
use crate::lex::Word;
use crate::model::*;
use crate::value;

/// Longest chain name (kernel `XT_EXTENSION_MAXNAMELEN` less one).
const MAX_CHAIN_NAME: usize = 28;

/// Applies a command to a table; what cannot be applied is reported.
pub(crate) fn apply(
    parser: &mut Parser<'_>,
    command: Command,
    family: Family,
    kind: TableKind,
    counters: Option<Counters>,
) {
    parser.table(family, kind);
    if command.failed {
        names_exist(parser, &command, family, kind);
        return;
    }
    match command.verb {
        Verb::List | Verb::Check => {}
        Verb::Zero => zero(parser, &command, family, kind),
        Verb::NewChain => new_chain(parser, &command, family, kind),
        Verb::Policy => policy(parser, &command, family, kind),
        Verb::Flush => {
            let only = match command.arguments.first() {
                Some(name) => match chain(parser, name, family, kind) {
                    Some(at) => Some(at),
                    None => return,
                },
                None => None,
            };
            for (i, chain) in parser.table(family, kind).chains.iter_mut().enumerate() {
                if only.is_none_or(|at| at == i) {
                    chain.rules.clear();
                }
            }
        }
        Verb::DeleteChain => delete_chain(parser, &command, family, kind),
        Verb::Rename => rename(parser, &command, family, kind),
        Verb::Append | Verb::Insert | Verb::Replace | Verb::Delete => {
            rules(parser, &command, family, kind, counters);
        }
    }
}

/// In a rule that is wrong otherwise: whether its chain and target exist, so that all its errors are told at once.
fn names_exist(parser: &mut Parser<'_>, command: &Command, family: Family, kind: TableKind) {
    let of_rules = matches!(
        command.verb,
        Verb::Append | Verb::Insert | Verb::Replace | Verb::Delete
    );
    let Some(name) = command.arguments.first().filter(|_| of_rules) else {
        return;
    };
    chain(parser, name, family, kind);
    if let Some(target) = &command.target
        && crate::catalogue::find_target(&target.word.text, family).is_none()
    {
        resolve(parser, target, None, family, kind);
    }
}

/// A chain that must exist.
fn chain(parser: &mut Parser<'_>, name: &Word, family: Family, kind: TableKind) -> Option<usize> {
    if let Some(at) = parser.chain_index(family, kind, &name.text) {
        return Some(at);
    }
    let error = parser.error(
        "no-chain",
        (name.start, name.end),
        format!("table {} has no chain '{}'", kind.name(), name.text),
    );
    let upper = repair::builtin_in_other_case(&name.text);
    let known: Vec<String> = parser
        .table(family, kind)
        .chains
        .iter()
        .map(|c| c.name.clone())
        .collect();
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
    parser.report(diagnostic);
    None
}

fn first_argument(parser: &mut Parser<'_>, command: &Command) -> Option<Word> {
    let word = command.arguments.first().cloned();
    if word.is_none() {
        let verb = &command.verb_word;
        let error = parser.error(
            "missing-value",
            (verb.start, verb.end),
            format!("'{}' needs a chain", verb.text),
        );
        parser.report(error);
    }
    word
}

fn zero(parser: &mut Parser<'_>, command: &Command, family: Family, kind: TableKind) {
    let only = match command.arguments.first() {
        Some(name) => match chain(parser, name, family, kind) {
            Some(at) => Some(at),
            None => return,
        },
        None => None,
    };
    for (i, chain) in parser.table(family, kind).chains.iter_mut().enumerate() {
        if only.is_none_or(|at| at == i) {
            chain.counters = Counters::default();
            for rule in &mut chain.rules {
                rule.counters = Counters::default();
            }
        }
    }
}

fn name_fault(name: &str) -> Option<String> {
    if name.len() > MAX_CHAIN_NAME {
        return Some(format!(
            "chain name '{name}' has {} bytes, at most {MAX_CHAIN_NAME} are allowed",
            name.len()
        ));
    }
    if name.starts_with(['-', '!']) {
        return Some(format!("chain name '{name}' starts with '-' or '!'"));
    }
    if name.is_empty() || name.contains(char::is_whitespace) {
        return Some(format!("'{name}' is no chain name"));
    }
    if matches!(name, "ACCEPT" | "DROP" | "RETURN" | "QUEUE")
        || crate::catalogue::TARGETS.iter().any(|t| t.name == name)
    {
        return Some(format!("chain name '{name}' is the name of a target"));
    }
    None
}

/// Makes a user chain for `-N` or a save file's `:NAME` line.
pub(crate) fn make_chain(
    parser: &mut Parser<'_>,
    name: &Word,
    family: Family,
    kind: TableKind,
) -> Option<usize> {
    if let Some(fault) = name_fault(&name.text) {
        let error = parser.error("bad-chain-name", (name.start, name.end), fault);
        parser.report(error);
        return None;
    }
    parser.add_chain(family, kind, &name.text)
}

fn new_chain(parser: &mut Parser<'_>, command: &Command, family: Family, kind: TableKind) {
    let Some(name) = first_argument(parser, command) else {
        return;
    };
    if parser.chain_index(family, kind, &name.text).is_some() {
        let error = parser.error(
            "chain-exists",
            (name.start, name.end),
            format!("chain '{}' exists already", name.text),
        );
        parser.report(error);
        return;
    }
    make_chain(parser, &name, family, kind);
}

fn policy(parser: &mut Parser<'_>, command: &Command, family: Family, kind: TableKind) {
    let [name, policy] = command.arguments.as_slice() else {
        let verb = &command.verb_word;
        let error = parser
            .error(
                "missing-value",
                (verb.start, verb.end),
                "'-P' needs a chain and a policy",
            )
            .help("-P INPUT DROP");
        parser.report(error);
        return;
    };
    set_policy(parser, name, policy, family, kind, None);
}

/// Sets a built-in chain's policy.
pub(crate) fn set_policy(
    parser: &mut Parser<'_>,
    name: &Word,
    policy: &Word,
    family: Family,
    kind: TableKind,
    counters: Option<Counters>,
) {
    let Some(at) = chain(parser, name, family, kind) else {
        return;
    };
    let value = match policy.text.as_str() {
        "ACCEPT" => Some(Policy::Accept),
        "DROP" => Some(Policy::Drop),
        _ => None,
    };
    let builtin = parser.table(family, kind).chains[at].builtin.is_some();
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
        parser.report(error);
        return;
    };
    let chain = &mut parser.table(family, kind).chains[at];
    chain.policy = value;
    if let Some(counters) = counters {
        chain.counters = counters;
    }
}

fn references(table: &Table, at: usize) -> bool {
    table
        .chains
        .iter()
        .flat_map(|c| &c.rules)
        .any(|r| matches!(r.target, Target::Jump(to) | Target::Goto(to) if to == at))
}

fn delete_chain(parser: &mut Parser<'_>, command: &Command, family: Family, kind: TableKind) {
    let Some(name) = command.arguments.first() else {
        // Without a name: all user chains that are empty and unreferenced, as far as the real
        // program gets.
        let mut at = parser.table(family, kind).chains.len();
        while at > 0 {
            at -= 1;
            let table = parser.table(family, kind);
            if table.chains[at].builtin.is_none() && !references(table, at) {
                parser.remove_chain(family, kind, at);
            }
        }
        return;
    };
    let Some(at) = chain(parser, name, family, kind) else {
        return;
    };
    let table = parser.table(family, kind);
    let fault = if table.chains[at].builtin.is_some() {
        Some("is built in")
    } else if !table.chains[at].rules.is_empty() {
        Some("is not empty")
    } else if references(table, at) {
        Some("is jumped to")
    } else {
        None
    };
    match fault {
        Some(fault) => {
            let error = parser.error(
                "chain-in-use",
                (name.start, name.end),
                format!("chain '{}' {fault} and cannot be deleted", name.text),
            );
            parser.report(error);
        }
        None => parser.remove_chain(family, kind, at),
    }
}

fn rename(parser: &mut Parser<'_>, command: &Command, family: Family, kind: TableKind) {
    let [old, new] = command.arguments.as_slice() else {
        let verb = &command.verb_word;
        let error = parser.error(
            "missing-value",
            (verb.start, verb.end),
            "'-E' needs the old and the new name",
        );
        parser.report(error);
        return;
    };
    let Some(at) = chain(parser, old, family, kind) else {
        return;
    };
    let exists = parser.chain_index(family, kind, &new.text).is_some();
    if let Some(fault) =
        name_fault(&new.text).or(exists.then(|| format!("chain '{}' exists already", new.text)))
    {
        let error = parser.error("bad-chain-name", (new.start, new.end), fault);
        parser.report(error);
        return;
    }
    parser.table(family, kind).chains[at].name = new.text.clone();
    parser.names.remove(&(family, kind, old.text.clone()));
    parser.names.insert((family, kind, new.text.clone()), at);
}

fn rules(
    parser: &mut Parser<'_>,
    command: &Command,
    family: Family,
    kind: TableKind,
    counters: Option<Counters>,
) {
    let Some(name) = first_argument(parser, command) else {
        return;
    };
    let Some(at) = chain(parser, &name, family, kind) else {
        return;
    };
    if command.verb == Verb::Delete && command.arguments.len() > 1 {
        if let Some(number) = rule_number(parser, command, family, kind, at, 0) {
            parser.table(family, kind).chains[at].rules.remove(number);
        }
        return;
    }
    interfaces_fit(parser, command, family, kind, at);
    let target = match &command.target {
        None => Target::None,
        Some(word) => match resolve(parser, word, command.built_target.as_ref(), family, kind) {
            Some(target) => target,
            None => return,
        },
    };
    allowed(parser, command, &target, kind, family, at);
    let mut built = Vec::new();
    let none = [None];
    let each = |list: &[Not<Net>]| -> Vec<Option<Not<Net>>> {
        if list.is_empty() {
            none.to_vec()
        } else {
            list.iter().cloned().map(Some).collect()
        }
    };
    let (line, _) = parser.lines.place(command.span.0);
    for source in each(&command.sources) {
        for destination in each(&command.destinations) {
            built.push(Rule {
                counters: counters.unwrap_or(command.counters),
                base: Base {
                    source: source.clone().filter(tests_something),
                    destination: destination.filter(tests_something),
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
    match command.verb {
        Verb::Append => parser.table(family, kind).chains[at].rules.extend(built),
        Verb::Insert => {
            let number = if command.arguments.len() > 1 {
                match rule_number(parser, command, family, kind, at, 1) {
                    Some(number) => number,
                    None => return,
                }
            } else {
                0
            };
            for rule in built {
                parser.table(family, kind).chains[at]
                    .rules
                    .insert(number, rule);
            }
        }
        Verb::Replace => {
            let Some(number) = rule_number(parser, command, family, kind, at, 0) else {
                return;
            };
            if let Some(rule) = built.into_iter().next() {
                parser.table(family, kind).chains[at].rules[number] = rule;
            }
        }
        _ => {
            let same = |a: &Rule, b: &Rule| {
                a.base == b.base && a.matches == b.matches && a.target == b.target
            };
            for rule in built {
                let chain = &mut parser.table(family, kind).chains[at];
                match chain.rules.iter().position(|r| same(r, &rule)) {
                    Some(found) => {
                        chain.rules.remove(found);
                    }
                    None => {
                        let error = parser.error(
                            "no-rule",
                            command.span,
                            format!("chain '{}' has no such rule to delete", name.text),
                        );
                        parser.report(error);
                    }
                }
            }
        }
    }
}

/// `0.0.0.0/0` tests nothing, unless it is negated.
fn tests_something(net: &Not<Net>) -> bool {
    net.negated || !net.value.mask.is_unspecified()
}

/// The rule number of `-I`, `-D`, `-R`, from 0; `extra` may lie behind the last rule.
fn rule_number(
    parser: &mut Parser<'_>,
    command: &Command,
    family: Family,
    kind: TableKind,
    at: usize,
    extra: usize,
) -> Option<usize> {
    let count = parser.table(family, kind).chains[at].rules.len();
    let word = command.arguments.get(1).unwrap_or(&command.verb_word);
    let number = value::number(&word.text, u64::from(u32::MAX))
        .ok()
        .map(|n| n as usize);
    match number {
        Some(n) if n >= 1 && n <= count + extra => Some(n - 1),
        _ => {
            let error = parser.error(
                "no-rule",
                (word.start, word.end),
                format!(
                    "there is no rule number {}; the chain has {count}",
                    word.text
                ),
            );
            parser.report(error);
            None
        }
    }
}

/// `-i` and `-o` only where there is such an interface.
fn interfaces_fit(
    parser: &mut Parser<'_>,
    command: &Command,
    family: Family,
    kind: TableKind,
    at: usize,
) {
    let Some(hook) = parser.table(family, kind).chains[at].builtin else {
        return;
    };
    let bad = match hook {
        Hook::Output | Hook::Postrouting => (0, "-i", "come in by no interface"),
        Hook::Prerouting | Hook::Input => (1, "-o", "leave by no interface"),
        Hook::Forward => return,
    };
    if let Some(word) = &command.interface_words[bad.0] {
        let error = parser
            .error(
                "interface-in-chain",
                (word.start, word.end),
                format!("{} in {}: its packets {}", bad.1, hook.name(), bad.2),
            )
            .help(if bad.1 == "-i" {
                "-o, or another chain"
            } else {
                "-i, or another chain"
            });
        parser.report(error);
    }
}

/// A target's name: a verdict, a target, or a user chain.
fn resolve(
    parser: &mut Parser<'_>,
    target: &TargetWord,
    built: Option<&Target>,
    family: Family,
    kind: TableKind,
) -> Option<Target> {
    let name = &target.word.text;
    let span = (target.word.start, target.word.end);
    if !target.goto {
        match name.as_str() {
            "ACCEPT" => return Some(Target::Accept),
            "DROP" => return Some(Target::Drop),
            "RETURN" => return Some(Target::Return),
            _ => {}
        }
        if let Some(built) = built {
            return Some(built.clone());
        }
    }
    let at = parser.chain_index(family, kind, name);
    let builtin = at.is_some_and(|at| parser.table(family, kind).chains[at].builtin.is_some());
    match at {
        Some(at) if !builtin => Some(if target.goto {
            Target::Goto(at)
        } else {
            Target::Jump(at)
        }),
        _ => {
            let message = if builtin {
                format!("a rule cannot jump to the built-in chain '{name}'")
            } else if target.goto {
                format!("there is no chain '{name}' to go to")
            } else {
                format!(
                    "'{name}' is neither a target nor a chain of table {}",
                    kind.name()
                )
            };
            let mut names: Vec<String> = ["ACCEPT", "DROP", "RETURN"].map(String::from).to_vec();
            names.extend(crate::catalogue::TARGETS.iter().map(|t| t.name.to_string()));
            names.extend(
                parser
                    .table(family, kind)
                    .chains
                    .iter()
                    .filter(|c| c.builtin.is_none())
                    .map(|c| c.name.clone()),
            );
            let exact = names.iter().find(|n| n.eq_ignore_ascii_case(name)).cloned();
            let near = exact
                .or_else(|| nearest(name, names.iter().map(String::as_str)).map(str::to_string));
            let elsewhere = TableKind::ALL.into_iter().find(|other| {
                *other != kind && parser.names.contains_key(&(family, *other, name.clone()))
            });
            let near = near.filter(|_| elsewhere.is_none());
            let mut error = parser.error("unknown-target", span, message);
            error = match near {
                Some(near) if !target.goto => {
                    error.help(near.clone()).replace(span.0, span.1, near)
                }
                _ => match elsewhere {
                    Some(other) => error.help(format!(
                        "chain '{name}' is in table {}; a jump stays in its own table",
                        other.name()
                    )),
                    None => error.help(format!("make the chain first: -N {name}")),
                },
            };
            parser.report(error);
            None
        }
    }
}

/// Matches and targets that the kernel takes in some tables and hooks only.
fn allowed(
    parser: &mut Parser<'_>,
    command: &Command,
    target: &Target,
    kind: TableKind,
    family: Family,
    at: usize,
) {
    let hook = parser.table(family, kind).chains[at].builtin;
    if let (Some(word), Some(extension)) = (&command.target, target.extension()) {
        let place = Place {
            what: "target",
            extension,
            hooks: target.hooks(),
            word: &word.word,
        };
        place.check(parser, kind, hook);
    }
    for (m, word) in command.matches.iter().zip(&command.match_words) {
        let place = Place {
            what: "match",
            extension: m.extension(),
            hooks: m.hooks(),
            word,
        };
        place.check(parser, kind, hook);
    }
}

/// An extension and where it may stand.
struct Place<'a> {
    what: &'static str,
    extension: &'static Extension,
    hooks: &'static [Hook],
    word: &'a Word,
}

impl Place<'_> {
    fn check(&self, parser: &mut Parser<'_>, kind: TableKind, hook: Option<Hook>) {
        let (what, name) = (self.what, self.extension.name);
        let span = (self.word.start, self.word.end);
        let tables = self.extension.tables;
        if let Some(first) = tables.first()
            && !tables.contains(&kind)
        {
            let code = match what {
                "target" => "target-in-table",
                _ => "match-in-table",
            };
            let text = format!("{what} {name} does not work in table {}", kind.name());
            let error = parser.error(code, span, text);
            parser.report(error.help(format!("-t {}", first.name())));
            return;
        }
        if let Some(hook) = hook
            && !self.hooks.is_empty()
            && !self.hooks.contains(&hook)
        {
            let code = match what {
                "target" => "target-in-chain",
                _ => "match-in-chain",
            };
            let names: Vec<&str> = self.hooks.iter().map(|h| h.name()).collect();
            let text = format!("{what} {name} does not work in {}", hook.name());
            let error = parser.error(code, span, text);
            parser.report(error.help(names.join(" or ")));
        }
    }
}
