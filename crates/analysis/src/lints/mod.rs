//! The catalogue: one file a lint, with its words, its examples and its function.

mod ask;
mod dnat;
mod duplicate;
mod empty_chain;
mod established_first;
mod families_differ;
mod forwarded_dropped;
mod helper_missing;
mod invalid_accepted;
mod limit_on_drop;
mod limit_useless;
mod log_unlimited;
mod masquerade_all;
mod neighbour_discovery;
mod never_matches;
mod new_without_syn;
mod no_answers;
mod no_loopback;
mod path_mtu;
mod policy_accept;
mod recent_never_set;
mod related_wide;
mod ssh_open;
mod unreachable;
mod unreached_chain;

pub use established_first::established_rule;

use palisade_rules::{Diagnostic, Severity};

use crate::finding::Report;
use crate::map::Map;
use crate::places::Places;

/// Rules that show a lint, by family.
#[derive(Clone, Copy, Debug)]
pub struct Example {
    /// IPv4 rules; empty for none.
    pub v4: &'static str,
    /// IPv6 rules; empty for none.
    pub v6: &'static str,
}

/// IPv4 rules only.
const fn v4(text: &'static str) -> Example {
    Example { v4: text, v6: "" }
}

/// IPv6 rules only.
const fn v6(text: &'static str) -> Example {
    Example { v4: "", v6: text }
}

/// What a lint looks at.
#[derive(Clone, Copy)]
pub(crate) enum Run {
    /// Each ruleset alone.
    Ruleset(fn(&Context<'_>, &mut Report<'_>)),
    /// IPv4 and IPv6 rules of one host.
    Pair(fn(&Context<'_>, &Context<'_>, &mut Report<'_>)),
    /// The comments that allow findings.
    Comments,
}

impl std::fmt::Debug for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Run::Ruleset(_) => "Ruleset",
            Run::Pair(_) => "Pair",
            Run::Comments => "Comments",
        })
    }
}

/// A lint.
#[derive(Debug)]
pub struct Lint {
    /// Number, for ever: `PL001`.
    pub code: &'static str,
    /// Name in words of the command line.
    pub name: &'static str,
    /// How bad a finding is.
    pub severity: Severity,
    /// What it finds, in half a sentence.
    pub title: &'static str,
    /// Why that is bad, a paragraph.
    pub reason: &'static str,
    /// What to do, in half a sentence.
    pub fix: &'static str,
    /// Rules in which it finds exactly one thing.
    pub bad: Example,
    /// The text underlined in the bad example.
    pub at: &'static str,
    /// Rules in which it finds nothing.
    pub good: Example,
    /// The search.
    pub(crate) run: Run,
}

/// One ruleset of one file.
pub(crate) struct Context<'a> {
    pub(crate) file: usize,
    pub(crate) text: &'a str,
    pub(crate) places: &'a Places<'a>,
    pub(crate) diagnostics: &'a [Diagnostic],
    pub(crate) map: Map<'a>,
}

/// All lints by number.
pub static CATALOGUE: &[&Lint] = &[
    &UNUSED,
    &invalid_accepted::LINT,
    &established_first::LINT,
    &related_wide::LINT,
    &helper_missing::LINT,
    &never_matches::LINT,
    &empty_chain::LINT,
    &unreached_chain::LINT,
    &log_unlimited::LINT,
    &policy_accept::LINT,
    &neighbour_discovery::LINT,
    &families_differ::LINT,
    &ssh_open::LINT,
    &unreachable::LINT,
    &new_without_syn::LINT,
    &dnat::LINT,
    &recent_never_set::LINT,
    &limit_useless::LINT,
    &duplicate::LINT,
    &no_loopback::LINT,
    &forwarded_dropped::LINT,
    &limit_on_drop::LINT,
    &no_answers::LINT,
    &path_mtu::LINT,
    &masquerade_all::LINT,
];

/// A lint by its number or name.
pub fn find(code: &str) -> Option<&'static Lint> {
    CATALOGUE
        .iter()
        .copied()
        .find(|l| l.code.eq_ignore_ascii_case(code) || l.name == code)
}

/// The lint about comments that allow nothing.
pub(crate) static UNUSED: Lint = Lint {
    code: "PL000",
    name: "unused-allow",
    severity: Severity::Note,
    title: "a comment that allows a lint which finds nothing there",
    reason: "A comment `# palisade: allow PL007 reason` that no finding needs is left from rules that have changed since, or \
             speaks of the wrong line. It would hide the next finding of that kind, which nobody has looked at.",
    fix: "take the comment away, or move it before the line that it speaks of",
    bad: v4(
        "*filter\n:INPUT ACCEPT [0:0]\n# palisade: allow PL008 the log is read by nobody else\n-A INPUT -i lo -j ACCEPT\nCOMMIT\n",
    ),
    at: "# palisade: allow PL008 the log is read by nobody else",
    good: v4(
        "*filter\n:INPUT ACCEPT [0:0]\n# palisade: allow PL008 a honeypot, every packet is wanted\n-A INPUT -p tcp --dport 2323 -j LOG\nCOMMIT\n",
    ),
    run: Run::Comments,
};
