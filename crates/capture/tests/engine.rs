//! Every example script and every scenario of the kernel comparison, through the engine.

use std::path::{Path, PathBuf};

use palisade_capture::script::{EngineSubject, Prepared, RulesSource, Told, parse, run};
use palisade_wire::Timestamp;

fn scripts() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut files = Vec::new();
    for dir in [
        "examples/scripts",
        "crates/testkit/scenarios",
        "crates/testkit/scenarios/ext",
    ] {
        let entries = std::fs::read_dir(root.join(dir)).expect(dir);
        files.extend(
            entries
                .filter_map(|e| Some(e.ok()?.path()))
                .filter(|p| p.extension().is_some_and(|e| e == "pal")),
        );
    }
    files.sort();
    files
}

/// Plays one script; the failures as text.
fn check_script(path: &Path) -> (u64, Vec<String>) {
    let text = std::fs::read_to_string(path).expect("script");
    let (script, faults) = parse(&text);
    assert_eq!(faults, [], "{}", path.display());
    let mut failures = Vec::new();
    let mut prepared = Prepared {
        host: script.host(),
        ..Prepared::default()
    };
    for sysctl in &script.sysctls {
        if let Err(error) = prepared.conntrack.set(&sysctl.name, &sysctl.value) {
            failures.push(error.to_string());
        }
    }
    for timeout in &script.timeouts {
        if let Err(error) = prepared.conntrack.add_policy(timeout.policy.clone()) {
            failures.push(error.to_string());
        }
    }
    for statement in &script.ipsets {
        let text = match &statement.source {
            RulesSource::Inline { text, .. } => text.clone(),
            RulesSource::File(file) => {
                std::fs::read_to_string(path.with_file_name(file)).expect("sets")
            }
        };
        let parsed = prepared.add_ipsets(&text);
        failures.extend(parsed.diagnostics.iter().map(|d| format!("ipset: {d}")));
    }
    for rules in &script.rules {
        let text = match &rules.source {
            RulesSource::Inline { text, .. } => text.clone(),
            RulesSource::File(file) => {
                std::fs::read_to_string(path.with_file_name(file)).expect("rules file")
            }
        };
        let parsed = prepared.add_rules(&text, rules.family);
        failures.extend(
            parsed
                .diagnostics
                .iter()
                .filter(|d| d.severity == palisade_engine::rules::Severity::Error)
                .map(|d| format!("rules: {d}")),
        );
    }
    let tally = run(
        &script,
        Timestamp::new(1_700_000_000, 0),
        |_| prepared.engine().map(EngineSubject::new),
        |told| match told {
            Told::Packet { number, failed, .. } => {
                failures.extend(
                    failed
                        .iter()
                        .map(|m| format!("line {} packet {number}:\n{m}", m.span.line)),
                );
            }
            Told::Check {
                failed: Some(m), ..
            } => {
                failures.push(format!("line {}:\n{m}", m.span.line));
            }
            _ => {}
        },
    )
    .expect("rules that run");
    (tally.packets, failures)
}

#[test]
fn all_scripts_hold() {
    let files = scripts();
    let (mut packets, mut failed) = (0, 0);
    for path in &files {
        let (sent, failures) = check_script(path);
        packets += sent;
        if !failures.is_empty() {
            failed += 1;
            eprintln!("--- {}", path.display());
            for failure in failures {
                eprintln!("{failure}");
            }
        }
    }
    println!("{} scripts, {packets} packets", files.len());
    assert_eq!(failed, 0, "scripts failed");
}
