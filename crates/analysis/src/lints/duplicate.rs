use std::collections::HashMap;

use palisade_rules::Severity;

use super::{Context, Lint, Run, v4};
use crate::finding::Report;
use crate::view::Action;

pub(super) static LINT: Lint = Lint {
    code: "PL018",
    name: "duplicate-rule",
    severity: Severity::Warning,
    title: "the same rule twice in one chain",
    reason: "The second of two equal rules never matches when the first one decides, and jumps or logs a second time when it does not. It \
             comes from a script that ran twice, or from -A where -C should have asked first; the file grows with every run, and \
             deleting one copy by -D leaves the other in force.",
    fix: "delete the second one; in scripts ask first: iptables -C … || iptables -A …",
    bad: v4(
        "*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -s 192.0.2.0/24 -j DROP\n-A INPUT -p icmp -j ACCEPT\n-A INPUT -s 192.0.2.0/24 -j DROP\nCOMMIT\n",
    ),
    at: "-A INPUT -s 192.0.2.0/24 -j DROP",
    good: v4(
        "*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -s 192.0.2.0/24 -j DROP\n-A INPUT -p icmp -j ACCEPT\nCOMMIT\n",
    ),
    run: Run::Ruleset(run),
};

/// Most further lines that one finding lists.
const MAX_LISTED: usize = 12;

fn run(context: &Context<'_>, report: &mut Report<'_>) {
    for table in &context.map.tables {
        for chain in &table.chains {
            if !context.by_hand(chain) {
                continue;
            }
            // For each rule that comes again: its number and those of its copies.
            let mut seen: HashMap<String, Vec<usize>> = HashMap::new();
            for (number, rule) in chain.rules.iter().enumerate() {
                // Counting twice may be meant, and a rate or a list asked twice is not the same question.
                let once = matches!(
                    rule.action,
                    Action::Pass | Action::Change | Action::Return | Action::Log
                ) || rule.conditions.is_limited()
                    || rule.conditions.is_empty() && number + 1 == chain.rules.len();
                if once {
                    continue;
                }
                let key = format!("{:?} {:?}", rule.conditions, rule.rule.target);
                seen.entry(key).or_default().push(number);
            }
            for numbers in seen.into_values() {
                let line = |n: &usize| chain.rules[*n].position().line;
                let Some((first, rest)) = numbers.split_first() else {
                    continue;
                };
                // One command may make several rules (-s a,b); those stand on one line.
                let copies: Vec<&usize> = rest.iter().filter(|n| line(n) != line(first)).collect();
                let Some(second) = copies.first() else {
                    continue;
                };
                let mut added = report.add(
                    context.places.rule(chain.rules[**second].position()),
                    format!(
                        "the same as rule {} of {} (line {})",
                        first + 1,
                        chain.name,
                        line(first)
                    ),
                );
                if let Some(line) = context.places.whole_line(chain.rules[**second].position()) {
                    added = added.replace(line, "");
                }
                if copies.len() > 1 {
                    let lines: Vec<String> = copies[1..]
                        .iter()
                        .take(MAX_LISTED)
                        .map(|n| line(n).to_string())
                        .collect();
                    let more = copies.len() - 1 - lines.len();
                    added.note(match more {
                        0 if lines.len() == 1 => format!("and again at line {}", lines[0]),
                        0 => format!("and again at lines {}", lines.join(", ")),
                        n => format!("and again at lines {} and {n} more", lines.join(", ")),
                    });
                }
            }
        }
    }
}
