//! Real rulesets: accepted and refused as iptables-legacy-restore does, printed as iptables-save does.
//!
//! The corpus is not part of the project; without it the test says so and passes.

use std::path::Path;

use palisade_rules::{Family, parse, print};

/// Shares below which something broke; measured when they were written.
const ACCEPT_FLOOR: f64 = 0.90;
const PRINT_FLOOR: f64 = 0.85;

/// A string field of one index entry; the index is simple enough to read by hand.
fn field<'a>(entry: &'a serde_json::Value, path: &[&str]) -> Option<&'a serde_json::Value> {
    path.iter().try_fold(entry, |v, key| v.get(key))
}

#[test]
fn rulesets_are_taken_and_printed_as_the_real_tools_do() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus/rulesets");
    let Ok(index) = std::fs::read_to_string(root.join("index.json")) else {
        eprintln!("SKIPPED: no corpus of rulesets beside the project");
        return;
    };
    let index: serde_json::Value = serde_json::from_str(&index).expect("index.json");
    let (mut same, mut total, mut printed, mut accepted) = (0, 0, 0, 0);
    for entry in index["rulesets"].as_array().expect("rulesets") {
        let file = entry["file"].as_str().expect("file");
        let Some(rc) = field(entry, &["legacy", "load_rc"]).and_then(|v| v.as_i64()) else {
            continue;
        };
        if entry.get("ipsets_needed").is_some() || entry.get("repairs").is_some() {
            continue;
        }
        let family = match entry["family"].as_i64() {
            Some(6) => Family::V6,
            _ => Family::V4,
        };
        let Ok(text) = std::fs::read(root.join(file)) else {
            continue;
        };
        let text = String::from_utf8_lossy(&text);
        let parsed = parse::save_file(&text, family);
        total += 1;
        if parsed.has_errors() == (rc != 0) {
            same += 1;
        } else {
            let first = parsed
                .diagnostics
                .iter()
                .find(|d| d.severity == palisade_rules::Severity::Error);
            eprintln!("{file}: real tool {rc}, ours {first:?}");
        }
        if rc != 0 || parsed.has_errors() {
            continue;
        }
        let Some(save) = field(entry, &["canonical", "legacy"]).and_then(|v| v.as_str()) else {
            continue;
        };
        let path = root.join(file).with_file_name(save);
        let Ok(expect) = std::fs::read_to_string(&path) else {
            continue;
        };
        accepted += 1;
        let ours = print::save(parsed.family(family).expect("a ruleset"), false);
        let plain = |text: &str| -> Vec<String> {
            text.lines()
                .filter(|l| !l.starts_with('#') && !l.trim().is_empty())
                .map(|l| {
                    if l.starts_with(':') {
                        l.split(" [").next().unwrap_or(l).to_string()
                    } else {
                        l.trim_end().to_string()
                    }
                })
                .collect()
        };
        let (a, b) = (plain(&ours), plain(&expect));
        if a == b {
            printed += 1;
        } else if let Some((x, y)) = a.iter().zip(&b).find(|(x, y)| x != y) {
            eprintln!("{file}:\n  ours {x}\n  real {y}");
        } else {
            eprintln!("{file}: {} lines, the real tool {}", a.len(), b.len());
        }
    }
    println!("{total} rulesets, {same} judged alike; {accepted} printed, {printed} to the byte");
    assert!(f64::from(same) >= ACCEPT_FLOOR * f64::from(total));
    assert!(f64::from(printed) >= PRINT_FLOOR * f64::from(accepted));
}
