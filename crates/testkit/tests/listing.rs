//! What `iptables -L` and `-S` print, held against the real programs line by line.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use palisade_rules::list::{Listing, list, specifications};
use palisade_rules::{Family, Tools, parse};
use palisade_testkit::real::{apart, asked, say};

/// Options of the real program and what they mean.
const FORMS: [(&str, &[&str]); 6] = [
    ("L", &["-n"]),
    ("L", &["-n", "-v"]),
    ("L", &["-n", "-v", "-x", "--line-numbers"]),
    ("L", &["--line-numbers"]),
    ("S", &[]),
    ("S", &["-v"]),
];

fn real(program: &str, arguments: &[&str], input: &str) -> String {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|e| panic!("{program}: {e}"));
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(input.as_bytes()).expect("it reads");
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {errors}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn compare(family: Family, tools: Tools, text: &str) -> Vec<String> {
    let program = match (family, tools) {
        (Family::V4, Tools::Legacy) => "iptables-legacy",
        (Family::V4, Tools::Nft) => "iptables-nft",
        (Family::V6, Tools::Legacy) => "ip6tables-legacy",
        (Family::V6, Tools::Nft) => "ip6tables-nft",
    };
    real(&format!("{program}-restore"), &["-c"], text);
    let parsed = parse::save_file(text, family);
    assert!(!parsed.has_errors(), "{:?}", parsed.diagnostics);
    let ruleset = parsed.family(family).expect("rules");
    let mut different = Vec::new();
    for table in &ruleset.tables {
        for (verb, options) in FORMS {
            let has = |o| options.contains(&o);
            let how = Listing {
                numeric: has("-n"),
                verbose: has("-v"),
                exact: has("-x"),
                line_numbers: has("--line-numbers"),
                tools,
            };
            let dashed = format!("-{verb}");
            let arguments = [&["-t", table.kind.name(), &dashed][..], options].concat();
            let wanted = real(program, &arguments, "");
            let ours = match verb {
                "L" => list(table, family, None, None, how),
                _ => specifications(table, family, None, None, how),
            };
            let (mut a, mut b) = (ours.lines(), wanted.lines());
            loop {
                let (ours, real) = (a.next(), b.next());
                if ours.is_none() && real.is_none() {
                    break;
                }
                if ours != real {
                    let (ours, real) = (ours.unwrap_or(""), real.unwrap_or(""));
                    different.push(format!(
                        "{program} {}\n  ours {ours}\n  real {real}",
                        arguments.join(" ")
                    ));
                }
            }
        }
    }
    different
}

#[test]
fn tables_are_listed_as_the_real_programs_list_them() {
    if !asked("THE REAL PROGRAMS WERE") {
        return;
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let mut different = Vec::new();
    for (file, family) in [
        ("listing.rules", Family::V4),
        ("listing.rules6", Family::V6),
    ] {
        let text = std::fs::read_to_string(folder.join(file)).expect(file);
        for tools in [Tools::Legacy, Tools::Nft] {
            different.extend(apart(|| compare(family, tools, &text)));
        }
    }
    assert!(
        different.is_empty(),
        "{} lines differ:\n{}",
        different.len(),
        different.join("\n")
    );
}

/// The rules of iptables' own extension tests that the installed program takes, one listing of each.
#[test]
fn rules_of_the_extension_tests_are_listed_as_the_real_programs_list_them() {
    if !asked("THE REAL PROGRAMS WERE") {
        return;
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus");
    let Ok(text) = std::fs::read_to_string(root.join("iptables-extensions/results-1.8.9.json"))
    else {
        say("SKIPPED: no iptables extension tests beside the project");
        return;
    };
    let results: serde_json::Value = serde_json::from_str(&text).expect("results");
    let (mut same, mut different) = (0, Vec::new());
    for (program, family) in [
        ("iptables-legacy", Family::V4),
        ("ip6tables-legacy", Family::V6),
    ] {
        let (equal, found) = apart(|| extensions(program, family, &results["results"]));
        same += equal;
        different.extend(found);
    }
    say(&format!(
        "rules of the extension tests listed alike: {same}, otherwise: {}",
        different.len()
    ));
    if std::env::var_os("PALISADE_SHOW").is_some() {
        say(&different.join("\n"));
    }
    assert!(
        different.len() <= LISTED_OTHERWISE,
        "{}",
        different.join("\n")
    );
}

/// How many of those may be listed otherwise; to be lowered.
const LISTED_OTHERWISE: usize = 12;

fn extensions(program: &str, family: Family, results: &serde_json::Value) -> (usize, Vec<String>) {
    let wanted = program.strip_suffix("-legacy").unwrap_or(program);
    let (mut same, mut different) = (0, Vec::new());
    let cases = results.as_object().expect("files").values();
    let cases = cases.flat_map(|file| file.as_array().expect("lines"));
    for case in cases {
        let word = |key: &str| case[key].as_str().unwrap_or_default();
        if word("cmd") != wanted || word("backend") != "legacy" || case["got_rc"] != 0 {
            continue;
        }
        let (table, chain) = (word("table"), word("chain"));
        let saved = word("got_save");
        if saved.is_empty() || !saved.starts_with("-A") {
            continue;
        }
        let text = format!("*{table}\n{saved}\nCOMMIT\n");
        let loaded = Command::new(format!("{program}-restore"))
            .stdin(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .and_then(|mut child| {
                if let Some(mut stdin) = child.stdin.take() {
                    stdin.write_all(text.as_bytes())?;
                }
                child.wait()
            });
        let parsed = parse::save_file(&text, family);
        if !loaded.is_ok_and(|status| status.success()) || parsed.has_errors() {
            continue;
        }
        let listed = real(program, &["-t", table, "-L", chain, "-n", "-v"], "");
        let ruleset = parsed.family(family).expect("rules");
        let kept = &ruleset.tables[0];
        let at = kept.chains.iter().position(|c| c.name == chain);
        let how = Listing {
            numeric: true,
            verbose: true,
            ..Listing::default()
        };
        let ours = list(kept, family, at, None, how);
        let (ours, listed) = (ours.lines().last(), listed.lines().last());
        if ours == listed {
            same += 1;
        } else {
            different.push(format!(
                "{saved}\n  ours {}\n  real {}",
                ours.unwrap_or(""),
                listed.unwrap_or("")
            ));
        }
    }
    (same, different)
}
