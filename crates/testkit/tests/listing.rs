//! What `iptables -L` and `-S` print, held against the real programs line by line.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::sched::{CloneFlags, unshare};
use palisade_rules::list::{Listing, list, specifications};
use palisade_rules::{Family, Tools, parse};
use palisade_testkit::kernel::unavailable;

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

/// Says something that is seen even when the test passes.
fn say(words: &str) {
    let _ = writeln!(std::io::stderr(), "{words}");
}

#[test]
fn tables_are_listed_as_the_real_programs_list_them() {
    if let Some(reason) = unavailable() {
        say(&format!(
            "SKIPPED: THE REAL PROGRAMS WERE NOT ASKED: {reason}"
        ));
        let required = std::env::var_os("PALISADE_REQUIRE_KERNEL").is_some_and(|v| v == "1");
        assert!(!required, "PALISADE_REQUIRE_KERNEL=1, but {reason}");
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
            // A namespace of its own, which ends with the thread.
            let found = std::thread::scope(|scope| {
                let work = scope.spawn(|| {
                    unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace");
                    compare(family, tools, &text)
                });
                work.join().expect("no panic")
            });
            different.extend(found);
        }
    }
    assert!(
        different.is_empty(),
        "{} lines differ:\n{}",
        different.len(),
        different.join("\n")
    );
}
