//! Rules that are there, and one command after the other given to them: what the programs `iptables`,
//! `iptables-save` and `iptables-restore` do when they are called.
//!
//! A command that is refused changes nothing.

use palisade_wire::Family;

use super::command::{Place, apply, program};
use super::rule::{self, Verb};
use super::{Options, Parser, save};
use crate::diagnostic::{Diagnostic, Severity};
use crate::lex::Word;
use crate::list::{self, Listing};
use crate::model::{Ruleset, Table, TableKind};
use crate::print::chain_order;

/// What became of a command.
#[derive(Clone, Debug)]
pub struct Called {
    /// The rules afterwards.
    pub ruleset: Ruleset,
    /// The command as a line, which the diagnostics are about.
    pub text: String,
    /// What was found.
    pub diagnostics: Vec<Diagnostic>,
    /// Whether it was done; `-C` of a rule that is not there was not.
    pub done: bool,
    /// What it prints: listings.
    pub output: String,
}

/// A word as a shell would need it.
fn shell_word(word: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_./:,=+%@^!".contains(&b);
    if !word.is_empty() && word.bytes().all(plain) {
        word.to_string()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

/// Gives a command to rules: the arguments of `iptables`, or of `ip6tables` if the rules are its.
pub fn call(ruleset: Ruleset, arguments: &[String], options: &Options) -> Called {
    let family = ruleset.family;
    let mut text = program(family).to_string();
    let mut words = Vec::with_capacity(arguments.len());
    for argument in arguments {
        text.push(' ');
        let start = text.len();
        text.push_str(&shell_word(argument));
        words.push(Word {
            text: argument.clone(),
            start,
            end: text.len(),
        });
    }
    let mut parser = Parser::new(&text, options);
    parser.rulesets.put(ruleset.clone());
    let (done, asked) = run(&mut parser, &words, family);
    let parsed = parser.finish();
    let after = match family {
        Family::V4 => parsed.v4,
        Family::V6 => parsed.v6,
    };
    // With -Z beside it a listing shows what was there before.
    let output = match asked.filter(|_| done) {
        Some(asked) => asked.show(&ruleset),
        None => String::new(),
    };
    Called {
        ruleset: after.filter(|_| done).unwrap_or(ruleset),
        diagnostics: parsed.diagnostics,
        text,
        done,
        output,
    }
}

fn run(parser: &mut Parser<'_>, words: &[Word], family: Family) -> (bool, Option<Asked>) {
    let place = Place {
        family,
        kind: TableKind::Filter,
        restore: false,
    };
    if words.is_empty() {
        let error = parser
            .error("no-command", (0, program(family).len()), "no command")
            .help("-A CHAIN, -L, -S …")
            .said("no command specified");
        parser.report(error);
        return (false, None);
    }
    match rule::read(parser, words, place, None) {
        Ok(Some(command)) => {
            let place = Place {
                kind: command.kind,
                ..place
            };
            let done = apply(parser, &command, place, None);
            let has = |letter| command.letters.contains(letter);
            let verb = command.verb;
            let told = match verb {
                Verb::Zero => "Zeroing",
                Verb::Flush => "Flushing",
                Verb::DeleteChain => "Deleting",
                _ => "",
            };
            let asked = (has('L') || has('S') || has('v') && !told.is_empty()).then(|| Asked {
                table: command.kind,
                chain: command.arguments.first().map(|w| w.text.clone()),
                number: command.arguments.get(1).and_then(|w| w.text.parse().ok()),
                list: has('L'),
                specifications: has('S'),
                told: if has('v') { told } else { "" },
                how: Listing {
                    numeric: has('n'),
                    verbose: has('v'),
                    exact: has('x'),
                    line_numbers: has('0'),
                    tools: parser.options.tools,
                },
            });
            (done, asked)
        }
        Ok(None) => (true, None),
        Err(rule::Refused) => (false, None),
    }
}

/// A listing that is asked for.
struct Asked {
    table: TableKind,
    chain: Option<String>,
    number: Option<usize>,
    /// `-L`.
    list: bool,
    /// `-S`.
    specifications: bool,
    /// What `-v` says is done to chains beside it.
    told: &'static str,
    how: Listing,
}

impl Asked {
    fn show(&self, ruleset: &Ruleset) -> String {
        let family = ruleset.family;
        let fresh = Table::new(self.table);
        let table = ruleset.table(self.table).unwrap_or(&fresh);
        let chain = self.chain.as_deref();
        let chain = chain.and_then(|name| table.chains.iter().position(|c| c.name == name));
        let mut out = String::new();
        if self.specifications {
            out = list::specifications(table, family, chain, self.number, self.how);
        } else if self.list {
            out = list::list(table, family, chain, self.number, self.how);
        }
        if !self.told.is_empty() {
            for at in chain_order(table) {
                let deleted = self.told != "Deleting" || table.chains[at].builtin.is_none();
                if deleted && chain.is_none_or(|c| c == at) {
                    out.push_str(&format!(
                        "{} chain `{}'\n",
                        self.told, table.chains[at].name
                    ));
                }
            }
        }
        out
    }
}

/// Restores a save file onto rules that are there, as `iptables-restore` does: tables that the text names are
/// replaced, with `--noflush` added to; other tables stay. `only` reads one table of the text.
pub fn restore(ruleset: Ruleset, text: &str, only: Option<TableKind>, options: &Options) -> Called {
    let family = ruleset.family;
    let mut parser = Parser::new(text, options);
    parser.rulesets.put(ruleset.clone());
    save::parse(&mut parser, text, family);
    let parsed = parser.finish();
    let done = !parsed
        .diagnostics
        .iter()
        .any(|d| d.severity == Severity::Error);
    let new = match family {
        Family::V4 => parsed.v4,
        Family::V6 => parsed.v6,
    };
    let mut after = ruleset;
    if let Some(new) = new.filter(|_| done) {
        match only {
            None => after = new,
            Some(kind) => {
                after.tables.retain(|t| t.kind != kind);
                after.tables.extend(new.table(kind).cloned());
            }
        }
    }
    Called {
        ruleset: after,
        text: text.to_string(),
        diagnostics: parsed.diagnostics,
        done,
        output: String::new(),
    }
}
