//! Traces are the same with either evaluator: of the project's own captures and, where it is there, of the corpus'.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Rules that the captures go through: IPv4, IPv6.
const RULES: [(&str, &str); 3] = [
    (
        "examples/rules/gateway-ftp.rules",
        "examples/rules/workstation6.rules",
    ),
    (
        "examples/rules/home-router.rules",
        "examples/rules/workstation6.rules",
    ),
    (
        "examples/rules/webserver-established-last.rules",
        "examples/rules/workstation6.rules",
    ),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// What a trace prints, without the one figure that is the evaluator's own: how many rules it looked at.
fn trace(arguments: &[&str], evaluator: &str) -> (Option<i32>, Vec<String>) {
    let output = Command::new(env!("CARGO_BIN_EXE_palisade"))
        .current_dir(root())
        .args(["trace", "--format", "json", "--evaluator", evaluator])
        .args(["--counters", "--conntrack", "--hex"])
        .args(arguments)
        .output()
        .expect("it runs");
    let text = String::from_utf8_lossy(&output.stdout);
    let line = |line: &str| {
        let mut line: serde_json::Value = serde_json::from_str(line).expect("JSON");
        if let Some(summary) = line.get_mut("summary").and_then(|s| s.as_object_mut()) {
            summary.remove("rules_visited").expect("it is told");
        }
        line.to_string()
    };
    (output.status.code(), text.lines().map(line).collect())
}

/// Compares, and returns how many frames there were.
fn same(arguments: &[&str]) -> usize {
    let (code, linear) = trace(arguments, "linear");
    let (other, compiled) = trace(arguments, "compiled");
    assert_eq!(code, other, "{arguments:?}");
    for (a, b) in linear.iter().zip(&compiled) {
        assert_eq!(a, b, "{arguments:?}");
    }
    assert_eq!(linear.len(), compiled.len(), "{arguments:?}");
    let frames = linear.iter().filter(|l| l.contains("\"n\":"));
    frames.count()
}

fn captures(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut waiting = vec![directory.to_owned()];
    while let Some(next) = waiting.pop() {
        for entry in std::fs::read_dir(next).into_iter().flatten().flatten() {
            let path = entry.path();
            let name = path.to_string_lossy().into_owned();
            if path.is_dir() {
                waiting.push(path);
            } else if [".pcap", ".pcapng", ".cap", ".pcap.gz"]
                .iter()
                .any(|e| name.ends_with(e))
            {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

#[test]
fn own_captures_and_scripts_show_the_same() {
    let all = captures(&root().join("examples/captures"));
    assert!(all.len() > 15, "{}", all.len());
    let mut frames = 0;
    for capture in &all {
        let capture = capture.to_str().expect("a name");
        for (rules, rules6) in RULES {
            frames += same(&[
                "--host",
                "examples/captures/host.toml",
                "--pcap",
                capture,
                "--rules",
                rules,
                "--rules6",
                rules6,
            ]);
        }
    }
    assert!(frames > 1000, "{frames}");
    let scripts = std::fs::read_dir(root().join("examples/scripts")).expect("scripts");
    let mut played = 0;
    for script in scripts.flatten().map(|e| e.path()) {
        if script.extension().is_some_and(|e| e == "pal") {
            played += same(&["--script", script.to_str().expect("a name")]);
        }
    }
    assert!(played > 100, "{played}");
}

#[test]
fn captures_of_the_corpus_show_the_same() {
    let above = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    let directory = above
        .map(|folder| folder.join("shared/corpus/pcaps"))
        .find(|folder| folder.is_dir());
    let Some(directory) = directory else {
        eprintln!("SKIPPED: no corpus of captures beside the project");
        return;
    };
    let all = captures(&directory);
    assert!(all.len() > 100, "{}", all.len());
    let mut frames = 0;
    for (capture, (rules, rules6)) in all.iter().zip(RULES.into_iter().cycle()) {
        let capture = capture.to_str().expect("a name");
        frames += same(&["--pcap", capture, "--rules", rules, "--rules6", rules6]);
    }
    println!("{} captures, {frames} frames", all.len());
    assert!(frames > 10_000, "{frames}");
}
