//! Where extensions may stand: in which tables, reached from which hooks.

use palisade_wire::Family;

use super::Parser;
use super::command::{Place, nft_failed, program};
use super::rule::Command;
use super::tables::{Hooks, bit};
use crate::catalogue::Extension;
use crate::lex::Word;
use crate::model::*;

/// Tells at which hooks a rule works, for the look at a whole table.
pub(crate) fn works(_family: Family, _tools: Tools) -> impl Fn(&Rule) -> Option<(String, Hooks)> {
    |rule: &Rule| {
        let mut all: Option<(String, Hooks)> = None;
        let mut limit = |what: &str, name: &str, hooks: &'static [Hook]| {
            if hooks.is_empty() {
                return;
            }
            let good = hooks.iter().fold(0, |set, hook| set | bit(*hook));
            all = Some(match all.take() {
                None => (format!("{what} {name}"), good),
                Some((said, earlier)) => (said, earlier & good),
            });
        };
        for m in &rule.matches {
            limit("match", m.extension().name, m.hooks());
        }
        if let Some(extension) = rule.target.extension() {
            limit("target", extension.name, rule.target.hooks());
        }
        all
    }
}

/// Matches and targets that the kernel takes in some tables only.
pub(crate) fn in_table(
    parser: &mut Parser<'_>,
    command: &Command,
    target: &Target,
    place: Place,
) -> Option<()> {
    let mut good = true;
    if let (Some(word), Some(extension)) = (&command.target, target.extension()) {
        let tables = target.tables();
        good &= table(
            parser,
            command,
            ("target", extension, tables),
            &word.word,
            place,
        );
    }
    for (m, word) in command.matches.iter().zip(&command.match_words) {
        let what = ("match", m.extension(), m.tables());
        good &= table(parser, command, what, word, place);
    }
    good.then_some(())
}

fn table(
    parser: &mut Parser<'_>,
    command: &Command,
    (what, extension, tables): (&str, &'static Extension, &'static [TableKind]),
    word: &Word,
    place: Place,
) -> bool {
    let Some(first) = tables.first() else {
        return true;
    };
    if tables.contains(&place.kind) {
        return true;
    }
    let code = match what {
        "target" => "target-in-table",
        _ => "match-in-table",
    };
    let text = format!(
        "{what} {} does not work in table {}",
        extension.name,
        place.kind.name()
    );
    let error = parser
        .error(code, (word.start, word.end), text)
        .help(format!("-t {}", first.name()));
    let program = program(place.family);
    let said = match (parser.options.tools, place.restore) {
        (Tools::Nft, _) => nft_failed(command, "Invalid argument"),
        (Tools::Legacy, true) => format!("{program}-restore: line {} failed", error.line),
        (Tools::Legacy, false) => {
            format!("{program}: Invalid argument. Run `dmesg' for more information.")
        }
    };
    parser.report(error.said(said).by_kernel());
    false
}
