//! The iptables language: model, parser with repairing diagnostics, canonical printer.
//!
//! ```
//! use palisade_rules::{Family, parse, print};
//! let parsed = parse::auto("iptables -A INPUT -p tcp --dport 22 -j ACCEPT\n", Family::V4);
//! assert!(!parsed.has_errors());
//! let text = print::save(parsed.v4.as_ref().unwrap(), false);
//! assert!(text.contains("-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT"));
//! ```
//!
//! The parser never fails and never stops at the first error; drawing diagnostics is left to
//! the command line.

pub mod catalogue;
mod comments;
pub mod diagnostic;
pub mod ipset;
mod lex;
pub mod list;
pub mod model;
pub mod names;
pub mod parse;
pub mod print;
pub mod services;
pub mod synth;
mod value;

pub use catalogue::{Extension, Match, Out, Target, matches, targets};
pub use comments::Comments;
pub use diagnostic::{Diagnostic, Replacement, Severity};
pub use model::*;
pub use palisade_wire::Family;
pub use parse::Parsed;
