//! How often each extension was asked in a script, and what it answered.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use palisade_rules::{Family, Rule, Ruleset};

use crate::compare::{CounterName, Counters};
use crate::machine::Run;

/// Chains whose first rule takes every packet, and whose other rules only ask a match.
const PROBES: &str = "ask";

/// What came of an extension.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Asked {
    /// Scripts with a rule that has it.
    pub scripts: u64,
    /// Rules that have it.
    pub rules: u64,
    /// Packets that such rules counted.
    pub hits: u64,
    /// Packets that came to a rule which only asks, and were not counted by it.
    pub misses: u64,
    /// Rules whose counters differ between kernel and engine.
    pub differences: u64,
}

/// Extensions by kind (match or target) and name.
pub type Sums = BTreeMap<(&'static str, &'static str), Asked>;

/// Extensions of a rule.
fn extensions(rule: &Rule) -> impl Iterator<Item = (&'static str, &'static str)> {
    let target = rule.target.extension().map(|e| ("target", e.name));
    let matches = rule.matches.iter().map(|m| ("match", m.name()));
    let names: BTreeSet<_> = matches.chain(target).collect();
    names.into_iter()
}

/// Adds what a run says of the extensions of its rules.
pub fn add(sums: &mut Sums, run: &Run, rulesets: &[(Family, Ruleset)]) {
    let counters = |tests: &[crate::compare::TestRecord]| -> Counters {
        tests.last().map(|t| t.counters.clone()).unwrap_or_default()
    };
    let (kernel, engine) = (counters(&run.kernel.tests), counters(&run.engine.tests));
    let mut seen = BTreeSet::new();
    for (family, ruleset) in rulesets {
        for table in &ruleset.tables {
            for chain in &table.chains {
                let name = |number| {
                    CounterName::new(
                        *family == Family::V6,
                        table.kind.name(),
                        &chain.name,
                        number,
                    )
                };
                let came = kernel.get(&name(1)).map_or(0, |(packets, _)| *packets);
                for (number, rule) in (1..).zip(&chain.rules) {
                    let Some(counted) = kernel.get(&name(number)) else {
                        continue;
                    };
                    let differs = engine
                        .get(&name(number))
                        .is_some_and(|ours| ours != counted);
                    for extension in extensions(rule) {
                        let asked = sums.entry(extension).or_default();
                        asked.scripts += u64::from(seen.insert(extension));
                        asked.rules += 1;
                        asked.hits += counted.0;
                        if chain.name.starts_with(PROBES) {
                            asked.misses += came.saturating_sub(counted.0);
                        }
                        asked.differences += u64::from(differs);
                    }
                }
            }
        }
    }
}

/// The sums as a table in Markdown.
pub fn table(sums: &Sums) -> String {
    let mut text = String::from(
        "| extension | scripts | rules | hits | misses | differing counters |\n|---|---|---|---|---|---|",
    );
    for ((kind, name), asked) in sums {
        let Asked {
            scripts,
            rules,
            hits,
            misses,
            differences,
        } = asked;
        let misses = match *kind {
            "target" => String::new(),
            _ => misses.to_string(),
        };
        let _ = write!(
            text,
            "\n| {kind} {name} | {scripts} | {rules} | {hits} | {misses} | {differences} |"
        );
    }
    text + "\n"
}
