//! Scripts of iptables commands, run line by line: the same lines refused, the same ruleset at the
//! end.

use std::collections::BTreeMap;

use palisade_rules::{Family, Severity, Tools, parse, print};

use crate::share;

/// What differs, with the reason: file, tools, what.
const EXCEPTIONS: &[(&str, Tools, &str)] = &[];

#[test]
fn scripts_leave_what_the_real_tools_leave() {
    let Some((root, index)) = share::open("commands", "index.json") else {
        return;
    };
    let mut differences: Vec<(String, Tools, String)> = Vec::new();
    let (mut lines, mut saves, mut messages, mut same_messages) = (0, 0, 0, 0);
    let mut other_messages: BTreeMap<(String, String), usize> = BTreeMap::new();
    for entry in index["files"].as_array().expect("files") {
        let file = entry["file"].as_str().expect("file");
        let text = std::fs::read_to_string(root.join(file)).expect("a script of the index");
        for tools in Tools::BOTH {
            let options = parse::Options {
                tools,
                // The machine that the real tools ran on had none.
                sets: Some(Vec::new()),
                ..parse::Options::default()
            };
            let parsed = parse::script_as(&text, &options);
            let real = share::of(entry, tools);
            let failed: BTreeMap<u32, &str> = real["failed"]
                .as_array()
                .expect("failed")
                .iter()
                .map(|f| {
                    let line = f["line"].as_u64().expect("line") as u32;
                    (line, share::message(f["error"].as_str().unwrap_or("")))
                })
                .collect();
            let mut ours: BTreeMap<u32, &palisade_rules::Diagnostic> = BTreeMap::new();
            for d in &parsed.diagnostics {
                if d.severity == Severity::Error {
                    // The real program says its first error only.
                    let first = ours.entry(d.line).or_insert(d);
                    if first.said.is_none() {
                        *first = d;
                    }
                }
            }
            lines += text.lines().count();
            for (number, line) in (1..).zip(text.lines()) {
                let mut differ = |what: String| {
                    differences.push((
                        format!("{file}:{number}"),
                        tools,
                        format!("{what}\n     {line}"),
                    ));
                };
                match (failed.get(&number), ours.get(&number)) {
                    (Some(message), None) => differ(format!("real refuses: {message}")),
                    (None, Some(d)) => differ(format!("ours refuses: {d}")),
                    (Some(message), Some(d)) => {
                        messages += 1;
                        let said = d.said.as_deref().unwrap_or("");
                        if said == *message {
                            same_messages += 1;
                        } else {
                            *other_messages
                                .entry((message.to_string(), said.to_string()))
                                .or_default() += 1;
                        }
                    }
                    (None, None) => {}
                }
            }
            for (key, family) in [("save_v4", Family::V4), ("save_v6", Family::V6)] {
                let Some(save) = real[key].as_str() else {
                    continue;
                };
                let expect = std::fs::read_to_string(root.join(file).with_file_name(save))
                    .expect("a recorded save");
                let expect = share::without_comments(&expect);
                let ours = parsed
                    .family(family)
                    .map_or(String::new(), |r| print::save_as(r, false, tools));
                saves += 1;
                if let Some(difference) = share::first_difference(&ours, &expect) {
                    differences.push((format!("{file} {key}"), tools, difference));
                }
            }
        }
    }
    println!(
        "{lines} commands and {saves} saves over scripts, {} differ; {same_messages} of {messages} messages alike",
        differences.len()
    );
    for (file, tools, reason) in EXCEPTIONS {
        println!("exception {file} ({}): {reason}", tools.name());
    }
    if share::show() {
        for (file, tools, what) in &differences {
            println!("{file} ({}): {what}", tools.name());
        }
        for ((real, ours), count) in &other_messages {
            println!("{count} times {real:?}, ours {ours:?}");
        }
    }
    let known = |(file, tools, _): &&(String, Tools, String)| {
        EXCEPTIONS.iter().any(|(f, t, _)| f == file && t == tools)
    };
    let left = differences.iter().filter(|d| !known(d)).count();
    assert_eq!(left, 0, "differences that are not known");
}
