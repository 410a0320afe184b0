//! The sets that rules name, held against those that are there.

use std::collections::HashSet;

use super::model::Sets;
use crate::catalogue::matches::set::SetRef;
use crate::diagnostic::{Diagnostic, Severity, nearest};
use crate::lex::Lines;
use crate::model::{Match, Rule, Ruleset, Target};

/// The sets that a rule names, in the order of the text.
fn named(rule: &Rule) -> Vec<&SetRef> {
    let mut all: Vec<&SetRef> = rule
        .matches
        .iter()
        .filter_map(|m| match m {
            Match::Set(m) => Some(&m.set.value),
            _ => None,
        })
        .collect();
    if let Target::Set(target) = &rule.target {
        all.extend(
            [&target.add, &target.delete, &target.map]
                .into_iter()
                .flatten(),
        );
    }
    all
}

/// What is wrong with the sets that rules name; `text` is what the rules were read from. Without sets one warning for
/// each name: what becomes of packets that hang on it is not known. With them, what iptables refuses: a set that does
/// not exist or is of the other family; and a warning for a rule that gives a set fewer flags than its elements have
/// parts, which never matches (kernel `ip_set_test`).
pub fn check(text: &str, ruleset: &Ruleset, sets: Option<&Sets>) -> Vec<Diagnostic> {
    let lines = Lines::new(text);
    let mut found = Vec::new();
    let mut told = HashSet::new();
    let chains = ruleset.tables.iter().flat_map(|t| &t.chains);
    for rule in chains.flat_map(|c| &c.rules) {
        for set in named(rule) {
            let (start, end) = (rule.position.start, rule.position.end);
            let at = text.get(start..end).and_then(|t| t.find(&set.name));
            let span = at.map_or((start, end), |at| (start + at, start + at + set.name.len()));
            let say = |severity, code, message| lines.diagnostic(severity, code, span, message);
            let name = &set.name;
            let Some(sets) = sets else {
                if told.insert(name.as_str()) {
                    let text = format!(
                        "set {name} is not given: what becomes of packets that hang on it is UNKNOWN"
                    );
                    let warning = say(Severity::Warning, "set-not-given", text);
                    found.push(warning.help("--ipset FILE with what ipset save printed"));
                }
                continue;
            };
            let Some(known) = sets.get(name) else {
                let error = say(
                    Severity::Error,
                    "no-set",
                    format!("set {name} does not exist"),
                );
                let names = sets.sets.iter().map(|s| s.name.as_str());
                found.push(match nearest(name, names) {
                    Some(near) => error.help(near).replace(span.0, span.1, near),
                    None => error.help("create it in what --ipset reads"),
                });
                continue;
            };
            if known.family.is_some_and(|f| f != ruleset.family) {
                let text = format!("set {name} holds addresses of the other family");
                found.push(say(Severity::Error, "set-family", text));
                continue;
            }
            let wanted = known.kind.dimension();
            if set.sources.len() < wanted {
                let text = format!(
                    "set {name} is a {}, which takes {wanted} flags: with {} it never matches",
                    known.kind.name(),
                    set.sources.len()
                );
                let help = match wanted {
                    2 => "such as src,dst",
                    _ => "such as src,dst,dst",
                };
                found.push(say(Severity::Warning, "set-flags", text).help(help));
            }
        }
    }
    found
}
