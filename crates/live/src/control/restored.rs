//! `iptables-restore` on rules that run.
//!
//! As the real programs do (measured with 1.8.9, legacy and nft): each COMMIT carries its table out; at the first error
//! the program ends, and what was committed before it stays. Here all tables of a text that has no error are put in
//! place at once.

use palisade_engine::rules::parse::Options;
use palisade_engine::rules::parse::session::{Called, restore};
use palisade_engine::rules::{Ruleset, Severity, TableKind};

/// Restores a text onto rules; of one with errors, the tables that were committed before the first.
pub(crate) fn restored(
    ruleset: &Ruleset,
    text: &str,
    only: Option<TableKind>,
    options: &Options,
) -> Called {
    let mut called = restore(ruleset.clone(), text, only, options);
    if called.done {
        return called;
    }
    let mut errors = called.diagnostics.iter();
    let first = errors.find(|d| d.severity == Severity::Error);
    if let Some(part) = first.and_then(|first| committed(text, first.start)) {
        let before = restore(ruleset.clone(), part, only, options);
        if before.done {
            called.ruleset = before.ruleset;
        }
    }
    called
}

/// The tables that were committed before a place.
fn committed(text: &str, place: usize) -> Option<&str> {
    let mut end = None;
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        at += line.len();
        if at > place {
            break;
        }
        if line.trim_end() == "COMMIT" {
            end = Some(at);
        }
    }
    end.and_then(|end| text.get(..end))
}

#[cfg(test)]
mod tests {
    use palisade_engine::rules::{Family, print};

    use super::*;

    fn after(text: &str) -> (bool, String) {
        let options = Options::default();
        let called = restored(&Ruleset::new(Family::V4), text, None, &options);
        let saved = print::save(&called.ruleset, false);
        let rules = saved.lines().filter(|l| l.starts_with("-A"));
        (called.done, rules.collect::<Vec<_>>().join("; "))
    }

    #[test]
    fn tables_committed_before_an_error_stay() {
        let mangle = "*mangle\n-A PREROUTING -j ACCEPT\nCOMMIT\n";
        let broken = "*filter\n-A INPUT -j ACCEPT\n-A INPUT --dportx 22 -j ACCEPT\nCOMMIT\n";
        let nat = "*nat\n-A POSTROUTING -j ACCEPT\nCOMMIT\n";
        let cases = [
            (
                format!("{mangle}{nat}"),
                true,
                "-A PREROUTING -j ACCEPT; -A POSTROUTING -j ACCEPT",
            ),
            (
                format!("{mangle}{broken}{nat}"),
                false,
                "-A PREROUTING -j ACCEPT",
            ),
            (broken.to_string(), false, ""),
            (
                format!("{mangle}*filter\n-A INPUT -j nowhere\nCOMMIT\n{nat}"),
                false,
                "-A PREROUTING -j ACCEPT",
            ),
            (
                format!("{mangle}*filter\n-A INPUT -j ACCEPT\n"),
                false,
                "-A PREROUTING -j ACCEPT",
            ),
        ];
        for (text, done, rules) in cases {
            let (was, saved) = after(&text);
            assert_eq!(was, done, "{text}");
            let mut wanted: Vec<&str> = rules.split("; ").collect();
            let mut got: Vec<&str> = saved.split("; ").collect();
            wanted.sort_unstable();
            got.sort_unstable();
            assert_eq!(got, wanted, "{text}");
        }
    }
}
