//! Lints over iptables rules: what iptables takes without a word and an administrator regrets later.
//!
//! - [`check`]: all lints over the files of one host, IPv4 and IPv6 together.
//! - [`CATALOGUE`]: the lints, each with its reason, its repair, a bad and a good example (`lints/`, one small file each).
//! - [`established_rule`]: what `palisade check --pcap` moves to measure the order of rules.
//! - [`reference()`]: the catalogue as a page of documentation.
//!
//! ```
//! use palisade_analysis::{Source, check};
//! use palisade_rules::{Family, parse};
//! let text = "*filter\n:INPUT DROP [0:0]\n-A INPUT -p tcp --dport 22 -j ACCEPT\nCOMMIT\n";
//! let parsed = parse::save_file(text, Family::V4);
//! let found = check(&[Source { text, parsed: &parsed }]);
//! assert!(found.iter().any(|f| f.lint.code == "PL019"), "no packet of the loopback interface gets in");
//! ```
//!
//! A lint works on the rule model and follows packets through chains: a finding that speaks of a packet has sent that
//! packet through the table and seen where it ended. A test whose answer is not in the rules (a rate, a set, a mark) is
//! taken to fail, unless the packet is made for a rule that needs it. Nothing here does I/O.

mod cover;
#[cfg(test)]
mod equal_tests;
mod finding;
mod lints;
mod map;
mod owner;
mod places;
mod probe;
mod reference;
mod suppress;
mod view;

pub use finding::{Finding, Source};
pub use lints::{CATALOGUE, Example, Lint, established_rule, find};
pub use reference::reference;

use palisade_rules::Family;

use finding::Report;
use lints::{Context, Run};
use map::Map;
use places::Places;

/// Runs all lints over the files of one host. The lints that compare IPv4 with IPv6 run when exactly one ruleset of
/// each family is there. Findings that a comment in the file allows are left out; a comment that allows nothing is
/// itself a finding. They come in the order of the files and their lines.
pub fn check(sources: &[Source<'_>]) -> Vec<Finding> {
    let places: Vec<Places<'_>> = sources.iter().map(|s| Places::new(s.text)).collect();
    let mut contexts = Vec::new();
    for (file, source) in sources.iter().enumerate() {
        for ruleset in [&source.parsed.v4, &source.parsed.v6].into_iter().flatten() {
            contexts.push(Context {
                file,
                text: source.text,
                places: &places[file],
                diagnostics: &source.parsed.diagnostics,
                map: Map::new(ruleset),
            });
        }
    }
    let mut report = Report::new(&places);
    for lint in CATALOGUE {
        match lint.run {
            Run::Ruleset(run) => {
                for context in &contexts {
                    report.begin(lint, context.file);
                    run(context, &mut report);
                }
            }
            Run::Pair(run) => {
                let of = |family| {
                    let mut all = contexts.iter().filter(|c| c.map.family == family);
                    match (all.next(), all.next()) {
                        (Some(one), None) => Some(one),
                        _ => None,
                    }
                };
                if let (Some(v4), Some(v6)) = (of(Family::V4), of(Family::V6)) {
                    report.begin(lint, v4.file);
                    run(v4, v6, &mut report);
                }
            }
            Run::Comments => {}
        }
    }
    let mut found = suppress::apply(sources, &places, report.findings);
    found.sort_by_key(|f| (f.file, f.start, f.lint.code));
    found
}
