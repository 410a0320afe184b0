//! What the three parts have in common: where the corpus is, how differences are told and counted.

use std::path::{Path, PathBuf};

use palisade_rules::Tools;

/// A folder of the corpus with its index; `None`, and a word about it, when it is absent.
pub fn open(folder_name: &str, index: &str) -> Option<(PathBuf, serde_json::Value)> {
    // Beside the project, or beside the folder that its worktrees share.
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .map(|folder| folder.join("shared/corpus").join(folder_name))
        .find(|path| path.join(index).is_file())
        .unwrap_or_default();
    let Ok(text) = std::fs::read_to_string(root.join(index)) else {
        eprintln!("SKIPPED: no corpus of {folder_name} beside the project");
        return None;
    };
    let index = serde_json::from_str(&text).expect("an index in JSON");
    Some((root, index))
}

/// Whether every difference is to be printed.
pub fn show() -> bool {
    std::env::var_os("PALISADE_SHOW").is_some()
}

/// The entry of one of the tools, by the index's names.
pub fn of(entry: &serde_json::Value, tools: Tools) -> &serde_json::Value {
    &entry[tools.name()]
}

/// The recorded message without the program's name and version.
pub fn message(recorded: &str) -> &str {
    let text = match recorded.split_once("): ") {
        Some((program, rest)) if program.contains(" v1.") => rest,
        _ => recorded,
    };
    text.trim_end_matches('\n')
}

/// The first line in which two texts differ.
pub fn first_difference(ours: &str, real: &str) -> Option<String> {
    if ours == real {
        return None;
    }
    let (mut a, mut b) = (ours.lines(), real.lines());
    let mut number = 0;
    loop {
        number += 1;
        match (a.next(), b.next()) {
            (None, None) => return Some("line ends differ".to_string()),
            (x, y) if x != y => {
                return Some(format!(
                    "line {number}\n     ours {}\n     real {}",
                    x.unwrap_or("(nothing)"),
                    y.unwrap_or("(nothing)")
                ));
            }
            _ => {}
        }
    }
}

/// Lines of a save that say something; iptables-save's dated comments are left out.
pub fn without_comments(text: &str) -> String {
    text.lines()
        .filter(|l| !l.starts_with('#'))
        .map(|l| format!("{l}\n"))
        .collect()
}
