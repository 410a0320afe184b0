//! `iptables-save` files, as iptables-restore reads them.

use palisade_wire::Family;

use super::command::{apply, make_chain, set_policy};
use super::{Parser, rule};
use crate::lex::{Word, save_words};
use crate::model::{Counters, TableKind};

/// Reads a whole file.
pub(crate) fn parse(parser: &mut Parser<'_>, text: &str, family: Family) {
    parser.ruleset(family);
    let mut table: Option<(TableKind, (usize, usize))> = None;
    let mut base = 0;
    for raw in text.split_inclusive('\n') {
        let start = base;
        base += raw.len();
        let line = raw.trim_end_matches(['\n', '\r']);
        let trimmed = line.trim_start();
        let at = start + (line.len() - trimmed.len());
        let span = (at, at + trimmed.trim_end().len());
        if trimmed.is_empty() || trimmed.starts_with('#') {
            continue;
        }
        if let Some(name) = trimmed.strip_prefix('*') {
            if let Some((open, _)) = table {
                let error = parser
                    .error(
                        "missing-commit",
                        span,
                        format!("table {} is not committed", open.name()),
                    )
                    .help("COMMIT before the next table")
                    .replace(span.0, span.0, "COMMIT\n");
                parser.report(error);
            }
            let name = name.trim();
            table = TableKind::by_name(name).map(|kind| (kind, span));
            match table {
                Some((kind, _)) => {
                    // A table that comes again replaces what came before (restore without --noflush).
                    parser.ruleset(family).tables.retain(|t| t.kind != kind);
                    parser
                        .names
                        .retain(|(f, k, _), _| (*f, *k) != (family, kind));
                    parser.table(family, kind);
                }
                None => {
                    let mut error =
                        parser.error("no-table", span, format!("there is no table '{name}'"));
                    error.help =
                        crate::diagnostic::nearest(name, TableKind::ALL.iter().map(|t| t.name()))
                            .map(|n| format!("*{n}"));
                    parser.report(error);
                }
            }
            continue;
        }
        if trimmed.trim_end() == "COMMIT" {
            if table.take().is_none() {
                let error = parser.error("stray-commit", span, "COMMIT without a table");
                parser.report(error);
            }
            continue;
        }
        let Some((kind, _)) = table else {
            let error = parser
                .error("outside-table", span, "this line stands outside a table")
                .help("*filter before it");
            parser.report(error);
            continue;
        };
        if let Some(rest) = trimmed.strip_prefix(':') {
            chain_line(parser, rest, at + 1, family, kind);
        } else {
            rule_line(parser, trimmed, at, family, kind);
        }
    }
    if let Some((kind, span)) = table {
        let error = parser
            .error(
                "missing-commit",
                span,
                format!("table {} is not committed", kind.name()),
            )
            .help("COMMIT at the end of the table");
        parser.report(error);
    }
}

/// `:CHAIN POLICY [packets:bytes]`.
fn chain_line(parser: &mut Parser<'_>, rest: &str, at: usize, family: Family, kind: TableKind) {
    let words = save_words(rest, at);
    let [name, policy, more @ ..] = words.as_slice() else {
        let error = parser
            .error(
                "bad-policy",
                (at.saturating_sub(1), at + rest.trim_end().len()),
                "a chain line needs a policy",
            )
            .help(":NAME - [0:0] for a user chain, :INPUT ACCEPT [0:0] for a built-in one");
        parser.report(error);
        return;
    };
    let exists = parser.chain_index(family, kind, &name.text).is_some();
    if !exists && make_chain(parser, name, family, kind).is_none() {
        return;
    }
    if policy.text == "-" {
        return;
    }
    let counters = match more.first() {
        Some(word) => match bracketed(&word.text) {
            Some(counters) => Some(counters),
            None => {
                bad_counters(parser, word);
                return;
            }
        },
        None => None,
    };
    set_policy(parser, name, policy, family, kind, counters);
}

fn bad_counters(parser: &mut Parser<'_>, word: &Word) {
    let error = parser
        .error(
            "bad-counters",
            (word.start, word.end),
            format!("'{}' is not a pair of counters", word.text),
        )
        .help("[packets:bytes]");
    parser.report(error);
}

/// `[packets:bytes]`.
fn bracketed(text: &str) -> Option<Counters> {
    let (packets, bytes) = text.strip_prefix('[')?.strip_suffix(']')?.split_once(':')?;
    Some(Counters {
        packets: packets.parse().ok()?,
        bytes: bytes.parse().ok()?,
    })
}

fn rule_line(parser: &mut Parser<'_>, line: &str, at: usize, family: Family, kind: TableKind) {
    let mut words = save_words(line, at);
    let mut counters = None;
    if let Some(first) = words.first().filter(|w| w.text.starts_with('[')) {
        counters = bracketed(&first.text);
        if counters.is_none() {
            let word = first.clone();
            bad_counters(parser, &word);
            return;
        }
        words.remove(0);
    }
    let Some(command) = rule::read(parser, &words, family) else {
        return;
    };
    if let Some(word) = &command.table {
        let error = parser
            .error(
                "table-in-file",
                (word.start, word.end),
                "-t cannot stand in a save file",
            )
            .help(format!("*{} before the rule", word.text));
        parser.report(error);
        return;
    }
    apply(parser, command, family, kind, counters);
}
