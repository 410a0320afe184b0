//! From text to model: never fails, never stops at the first error.
//!
//! - [`save_file`]: what iptables-save writes and iptables-restore reads.
//! - [`script`]: a shell script's plain `iptables` and `ip6tables` lines.
//! - [`auto`]: whichever it is.

mod allowed;
mod chains;
mod command;
mod removed;
mod repair;
mod rule;
mod rulelist;
mod save;
pub mod session;
mod shell;
mod tables;

use std::collections::HashSet;
use std::rc::Rc;

use palisade_wire::Family;

use self::command::Place;
use self::tables::{Rulesets, Working};
use crate::catalogue::{self, Evaluation, Extension};
use crate::diagnostic::{Diagnostic, Severity};
use crate::lex::{Lines, Word};
use crate::model::{Rule, Ruleset, Tools};

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
    /// `iptables-restore --counters`: the counters of the text are taken; otherwise all are zero. Taken unless
    /// somebody says no, since a file with counters tells more than one without.
    pub counters: bool,
    /// Names of the IP sets that exist; `None` when any set is taken to exist.
    pub sets: Option<Vec<String>>,
    /// Who is asked for the addresses of a host name in `-s` and `-d`; nobody, unless somebody asks for it.
    pub resolve: Option<Resolve>,
}

/// Addresses of a family that a host name has; none if it has none.
pub type Resolve = fn(&str, Family) -> Vec<std::net::IpAddr>;

impl Default for Options {
    fn default() -> Self {
        Options {
            family: Family::V4,
            tools: Tools::Legacy,
            noflush: false,
            counters: true,
            sets: None,
            resolve: None,
        }
    }
}

/// Most diagnostics kept for one text.
const MAX_DIAGNOSTICS: usize = 1000;

/// Parses a text as what it looks like: a `*table` line makes it a save file, otherwise it is a
/// script. `family` is the family of a save file.
pub fn auto(text: &str, family: Family) -> Parsed {
    auto_as(
        text,
        &Options {
            family,
            ..Options::default()
        },
    )
}

/// As [`auto`], told whose text it is and how it is read.
pub fn auto_as(text: &str, options: &Options) -> Parsed {
    if is_save_file(text) {
        save_file_as(text, options)
    } else {
        script_as(text, options)
    }
}

/// Whether a text looks like a save file: it has a line of a table, or a COMMIT.
pub fn is_save_file(text: &str) -> bool {
    text.lines().map(str::trim).any(|line| {
        let table = line.strip_prefix('*').map(str::trim_start);
        line == "COMMIT" || table.is_some_and(|t| t.starts_with(|c: char| c.is_ascii_lowercase()))
    })
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
    let mut parser = Parser::new(text, options);
    save::parse(&mut parser, text, options.family);
    parser.finish()
}

/// Parses a file of commands; lines of `ip6tables` make the IPv6 rules.
pub fn script(text: &str) -> Parsed {
    script_as(text, &Options::default())
}

/// As [`script`], told whose iptables it is. A command that is refused changes nothing, and the
/// next one is read.
pub fn script_as(text: &str, options: &Options) -> Parsed {
    let mut parser = Parser::new(text, options);
    shell::parse(&mut parser, text);
    parser.finish()
}

/// State of one parse.
pub(crate) struct Parser<'a> {
    pub(crate) lines: Lines<'a>,
    pub(crate) options: Options,
    /// Names of the IP sets, shared with the readers of extensions.
    pub(crate) sets: Option<Rc<[String]>>,
    pub(crate) diagnostics: Vec<Diagnostic>,
    has_error: bool,
    pub(crate) rulesets: Rulesets,
    kept_told: HashSet<&'static str>,
}

impl<'a> Parser<'a> {
    fn new(text: &'a str, options: &Options) -> Self {
        Parser {
            lines: Lines::new(text),
            options: options.clone(),
            sets: options.sets.as_deref().map(Rc::from),
            diagnostics: Vec::new(),
            has_error: false,
            rulesets: Rulesets::default(),
            kept_told: HashSet::new(),
        }
    }

    fn finish(mut self) -> Parsed {
        self.diagnostics.sort_by_key(|d| d.start);
        let [v4, v6] = self.rulesets.finish(self.options.tools);
        Parsed {
            v4,
            v6,
            diagnostics: self.diagnostics,
        }
    }

    pub(crate) fn report(&mut self, diagnostic: Diagnostic) {
        // The first error is never lost: whether there is one decides.
        let first = diagnostic.severity == Severity::Error && !self.has_error;
        if self.diagnostics.len() < MAX_DIAGNOSTICS || first {
            self.has_error |= diagnostic.severity == Severity::Error;
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

    /// A table, made on first use.
    pub(crate) fn table(&mut self, place: Place) -> &mut Working {
        self.rulesets.table(place.family, place.kind)
    }

    /// Whether a name is that of a verdict or a target.
    pub(crate) fn is_target(&self, name: &str, family: Family) -> bool {
        self.is_verdict(name)
            || name == "standard"
            || catalogue::find_target(name, family).is_some()
    }

    /// Whether a name is that of a verdict.
    pub(crate) fn is_verdict(&self, name: &str) -> bool {
        matches!(name, "ACCEPT" | "DROP" | "RETURN" | "QUEUE")
    }

    /// Notes once a name that an extension is kept and not evaluated.
    pub(crate) fn note_kept(&mut self, kind: &str, extension: &'static Extension, word: &Word) {
        let name = extension.name;
        if let Evaluation::Kept(reason) = extension.evaluation
            && self.kept_told.insert(name)
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
