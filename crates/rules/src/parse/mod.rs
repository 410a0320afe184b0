//! From text to model: never fails, never stops at the first error.
//!
//! - [`save_file`]: what iptables-save writes and iptables-restore reads.
//! - [`script`]: a shell script's plain `iptables` and `ip6tables` lines.
//! - [`auto`]: whichever it is.

mod chains;
mod command;
mod repair;
mod rule;
mod save;
mod shell;

use palisade_wire::Family;

use crate::catalogue::{Evaluation, Extension};
use crate::diagnostic::{Diagnostic, Severity};
use crate::lex::{Lines, Word};
use crate::model::{Chain, Rule, Ruleset, Table, TableKind, Target, Tools};

/// What a text says.
#[derive(Clone, Debug, Default)]
pub struct Parsed {
    /// IPv4 rules, when there are any.
    pub v4: Option<Ruleset>,
    /// IPv6 rules, when there are any.
    pub v6: Option<Ruleset>,
    /// Findings, in the order of the text.
    pub diagnostics: Vec<Diagnostic>,
}

impl Parsed {
    /// Whether iptables would refuse the text.
    pub fn has_errors(&self) -> bool {
        self.diagnostics
            .iter()
            .any(|d| d.severity == Severity::Error)
    }

    /// The rules of one family.
    pub fn family(&self, family: Family) -> Option<&Ruleset> {
        match family {
            Family::V4 => self.v4.as_ref(),
            Family::V6 => self.v6.as_ref(),
        }
    }
}

/// How a text is read.
#[derive(Clone, Debug)]
pub struct Options {
    /// Family of a save file; a script names it line by line.
    pub family: Family,
    /// Whose reading.
    pub tools: Tools,
    /// `iptables-restore --noflush`: chains and rules that exist stay.
    pub noflush: bool,
    /// Names of the IP sets that exist; `None` when any set is taken to exist.
    pub sets: Option<Vec<String>>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            family: Family::V4,
            tools: Tools::Legacy,
            noflush: false,
            sets: None,
        }
    }
}

/// Most diagnostics kept for one text.
const MAX_DIAGNOSTICS: usize = 1000;

/// Parses a text as what it looks like: a `*table` line makes it a save file, otherwise it is a
/// script. `family` is the family of a save file.
pub fn auto(text: &str, family: Family) -> Parsed {
    let save = text
        .lines()
        .map(str::trim)
        .any(|l| l.starts_with('*') || l == "COMMIT");
    if save {
        save_file(text, family)
    } else {
        script(text)
    }
}

/// Parses what iptables-restore (or, for IPv6, ip6tables-restore) reads.
pub fn save_file(text: &str, family: Family) -> Parsed {
    save_file_as(
        text,
        &Options {
            family,
            ..Options::default()
        },
    )
}

/// As [`save_file`], told whose iptables-restore it is and how it was called.
pub fn save_file_as(text: &str, options: &Options) -> Parsed {
    let mut parser = Parser::new(text);
    save::parse(&mut parser, text, options.family);
    parser.finish()
}

/// Parses a file of commands; lines of `ip6tables` make the IPv6 rules.
pub fn script(text: &str) -> Parsed {
    script_as(text, &Options::default())
}

/// As [`script`], told whose iptables it is. A command that is refused changes nothing, and the
/// next one is read.
pub fn script_as(text: &str, _options: &Options) -> Parsed {
    let mut parser = Parser::new(text);
    shell::parse(&mut parser, text);
    parser.finish()
}

/// State of one parse.
pub(crate) struct Parser<'a> {
    pub(crate) lines: Lines<'a>,
    pub(crate) diagnostics: Vec<Diagnostic>,
    pub(crate) rulesets: [Option<Ruleset>; 2],
    /// Chains by name for each table, so that lookups do not grow with the ruleset.
    pub(crate) names: std::collections::HashMap<(Family, TableKind, String), usize>,
    pub(crate) kept_told: std::collections::HashSet<String>,
}

impl<'a> Parser<'a> {
    fn new(text: &'a str) -> Self {
        Parser {
            lines: Lines::new(text),
            diagnostics: Vec::new(),
            rulesets: [None, None],
            names: std::collections::HashMap::new(),
            kept_told: std::collections::HashSet::new(),
        }
    }

    fn finish(mut self) -> Parsed {
        for ruleset in self.rulesets.iter().flatten() {
            for table in &ruleset.tables {
                match chains::find_loop(&self.lines, table) {
                    Some(diagnostic) => self.diagnostics.push(diagnostic),
                    None => chains::check_hooks(&self.lines, table, &mut self.diagnostics),
                }
            }
        }
        self.diagnostics.sort_by_key(|d| d.start);
        let [v4, v6] = self.rulesets;
        Parsed {
            v4,
            v6,
            diagnostics: self.diagnostics,
        }
    }

    pub(crate) fn report(&mut self, diagnostic: Diagnostic) {
        if self.diagnostics.len() < MAX_DIAGNOSTICS {
            self.diagnostics.push(diagnostic);
        }
    }

    pub(crate) fn error(
        &self,
        code: &'static str,
        span: (usize, usize),
        message: impl Into<String>,
    ) -> Diagnostic {
        self.lines
            .diagnostic(Severity::Error, code, span, message.into())
    }

    pub(crate) fn ruleset(&mut self, family: Family) -> &mut Ruleset {
        self.rulesets[family as usize].get_or_insert_with(|| Ruleset::new(family))
    }

    /// A table, made on first use.
    pub(crate) fn table(&mut self, family: Family, kind: TableKind) -> &mut Table {
        let fresh = self.ruleset(family).table(kind).is_none();
        let at = self.ruleset(family).table_index(kind);
        if fresh {
            for (i, hook) in kind.hooks().iter().enumerate() {
                self.names
                    .insert((family, kind, hook.name().to_string()), i);
            }
        }
        &mut self.ruleset(family).tables[at]
    }

    pub(crate) fn chain_index(
        &mut self,
        family: Family,
        kind: TableKind,
        name: &str,
    ) -> Option<usize> {
        self.table(family, kind);
        self.names.get(&(family, kind, name.to_string())).copied()
    }

    /// Makes a user chain; `None` if it exists.
    pub(crate) fn add_chain(
        &mut self,
        family: Family,
        kind: TableKind,
        name: &str,
    ) -> Option<usize> {
        if self.chain_index(family, kind, name).is_some() {
            return None;
        }
        let table = self.table(family, kind);
        table.chains.push(Chain::new(name, None));
        let at = table.chains.len() - 1;
        self.names.insert((family, kind, name.to_string()), at);
        Some(at)
    }

    /// Removes a user chain; jumps to later chains are renumbered.
    pub(crate) fn remove_chain(&mut self, family: Family, kind: TableKind, at: usize) {
        let table = self.table(family, kind);
        table.chains.remove(at);
        for rule in table.chains.iter_mut().flat_map(|c| &mut c.rules) {
            if let Target::Jump(to) | Target::Goto(to) = &mut rule.target
                && *to > at
            {
                *to -= 1;
            }
        }
        let names: Vec<(String, usize)> = table
            .chains
            .iter()
            .enumerate()
            .map(|(i, c)| (c.name.clone(), i))
            .collect();
        self.names.retain(|(f, k, _), _| (*f, *k) != (family, kind));
        for (name, i) in names {
            self.names.insert((family, kind, name), i);
        }
    }

    /// Notes once a name that an extension is kept and not evaluated.
    pub(crate) fn note_kept(&mut self, kind: &str, extension: &'static Extension, word: &Word) {
        let name = extension.name;
        if let Evaluation::Kept(reason) = extension.evaluation
            && self.kept_told.insert(format!("{kind} {name}"))
        {
            let note = self.lines.diagnostic(
                Severity::Note,
                "not-evaluated",
                (word.start, word.end),
                format!("{kind} '{name}' is accepted but not evaluated: {reason}"),
            );
            self.report(note);
        }
    }
}

/// Whether a rule tests or does something that is not evaluated.
pub fn has_kept(rule: &Rule) -> bool {
    rule.target.extension().is_some_and(|e| !e.evaluated())
        || rule.matches.iter().any(|m| !m.extension().evaluated())
}
