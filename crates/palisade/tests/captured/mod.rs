//! Traces of the captures in `examples/captures`.

use std::process::Command;

/// The lines of a trace that are frames: one JSON object each.
pub fn trace(capture: &str, rules: &str) -> Vec<serde_json::Value> {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("rules");
    std::fs::write(&file, rules).expect("rules");
    let output = Command::new(env!("CARGO_BIN_EXE_palisade"))
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
        .args(["trace", "--format", "json"])
        .args(["--host", "examples/captures/host.toml"])
        .args(["--pcap", &format!("examples/captures/{capture}.pcap")])
        .args(["--rules", file.to_str().expect("a name")])
        .output()
        .expect("it runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{capture}: {errors}");
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .filter(|line: &serde_json::Value| line["n"].is_u64())
        .collect()
}
