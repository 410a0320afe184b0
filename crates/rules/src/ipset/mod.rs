//! The ipset language: what `ipset save` writes and `ipset restore` reads.
//!
//! ```
//! use palisade_rules::ipset;
//! let parsed = ipset::parse("create bad hash:net\nadd bad 192.0.2.0/24\n");
//! assert!(!parsed.has_errors());
//! assert!(ipset::print(&parsed.sets).contains("add bad 192.0.2.0/24\n"));
//! ```
//!
//! The commands are carried out one after the other, as `ipset restore` does, and what remains at the end is the
//! result. Unlike it, the parser goes on behind an error, to report all of them.

mod apply;
mod command;
mod element;
mod icmp;
mod kind;
mod model;
mod options;
mod print;
mod references;
#[cfg(test)]
mod tests;

pub use apply::Refused;
pub use kind::{Kind, Part};
pub use model::{Element, Entry, Interface, Options, Set, Sets, SkbInfo};
pub use print::{element as print_element, print};
pub use references::check;

use crate::diagnostic::{Diagnostic, Severity};

/// Elements that a text may give altogether. Sets have bounds of their own, but a text may set those to four thousand
/// million.
pub const MOST_ELEMENTS: usize = 1 << 20;

/// What a text gave.
#[derive(Clone, Debug, Default)]
pub struct Parsed {
    /// The sets that exist at the end of the text.
    pub sets: Sets,
    /// Findings, in the order of the text.
    pub diagnostics: Vec<Diagnostic>,
}

impl Parsed {
    /// Whether `ipset restore` would refuse the text.
    pub fn has_errors(&self) -> bool {
        self.diagnostics
            .iter()
            .any(|d| d.severity == Severity::Error)
    }
}

/// Reads a text in the language of `ipset restore`. A command may begin with the word `ipset`, so that the commands of
/// a shell script can be read too.
pub fn parse(text: &str) -> Parsed {
    parse_onto(Sets::default(), text)
}

/// As [`parse`], beginning with sets that are there.
pub fn parse_onto(sets: Sets, text: &str) -> Parsed {
    command::parse(sets, text)
}
