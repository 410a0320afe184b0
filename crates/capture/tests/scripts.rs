//! Every script of the repository parses, and what the language's reference shows is true.

use std::fs;
use std::path::{Path, PathBuf};

use palisade_capture::script::{self, Event, RulesSource, Script};
use palisade_wire::{Packet, Timestamp};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn scripts(folder: &str) -> Vec<PathBuf> {
    let folder = repository().join(folder);
    let mut found: Vec<PathBuf> = fs::read_dir(&folder)
        .unwrap_or_else(|e| panic!("{}: {e}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "pal"))
        .collect();
    found.sort();
    assert!(!found.is_empty(), "no scripts in {}", folder.display());
    found
}

/// Parses, and complains with the drawn faults.
fn check_parses(name: &str, text: &str) -> Script {
    let (script, faults) = script::parse(text);
    let drawn: Vec<String> = faults.iter().map(|f| f.draw(name, text)).collect();
    assert!(drawn.is_empty(), "\n{}", drawn.join("\n"));
    script
}

/// Every packet that is not broken on purpose is one.
fn check_packets(name: &str, script: &Script) {
    for test in &script.tests {
        let mut last = Timestamp::default();
        for event in script.play(test, Timestamp::new(1000, 0)) {
            let time = match event {
                Event::Check { time, .. } => time,
                Event::Packet(sent) => {
                    if sent.send.damage.truncate.is_none() {
                        let packet = Packet::parse(&sent.bytes);
                        assert!(packet.is_ok(), "{name}:{}: {packet:?}", sent.step.span.line);
                    }
                    sent.time
                }
            };
            assert!(time >= last, "{name}: time goes backwards");
            last = time;
        }
    }
}

fn check_folder(folder: &str) -> usize {
    let found = scripts(folder);
    for path in &found {
        let name = path.display().to_string();
        let script = check_parses(&name, &fs::read_to_string(path).unwrap());
        check_packets(&name, &script);
        assert!(!script.rules.is_empty(), "{name} has no rules");
        for rules in &script.rules {
            if let RulesSource::File(file) = &rules.source {
                let file = path.parent().unwrap().join(file);
                assert!(file.exists(), "{name}: no {}", file.display());
            }
        }
    }
    found.len()
}

#[test]
fn every_example_parses_and_builds_packets() {
    check_folder("examples/scripts");
}

#[test]
fn every_kernel_scenario_parses_and_builds_packets() {
    let count = check_folder("crates/testkit/scenarios");
    assert!(count >= 40, "{count} scenarios");
    check_folder("crates/testkit/scenarios/ext");
}

/// The reference's blocks: `pal` is a whole script, `pal-lines` are packet lines to which the
/// reference's own declarations are added, `pal-faults` a script and, behind `---`, its faults as drawn.
#[test]
fn the_reference_is_true() {
    let text = fs::read_to_string(repository().join("docs/scripts.md")).unwrap();
    let mut kinds = [0; 3];
    let mut lines = text.lines();
    let mut declarations = None;
    while let Some(line) = lines.next() {
        let Some(kind) = line.strip_prefix("```pal") else {
            continue;
        };
        let block: String = lines
            .by_ref()
            .take_while(|l| !l.starts_with("```"))
            .map(|l| format!("{l}\n"))
            .collect();
        match kind {
            "" => {
                let script = check_parses("docs/scripts.md", &block);
                check_packets("docs/scripts.md", &script);
                kinds[0] += 1;
            }
            "-declarations" => declarations = Some(block),
            "-lines" => {
                let declarations = declarations.as_deref().expect("declarations come first");
                let script = check_parses("docs/scripts.md", &format!("{declarations}{block}"));
                check_packets("docs/scripts.md", &script);
                kinds[1] += 1;
            }
            "-faults" => {
                let (source, wanted) = block.split_once("---\n").expect("a `---` line");
                let (_, faults) = script::parse(source);
                let drawn: String = faults.iter().map(|f| f.draw("x.pal", source)).collect();
                assert_eq!(drawn, wanted, "\n{drawn}");
                kinds[2] += 1;
            }
            other => panic!("no such kind of block: pal{other}"),
        }
    }
    assert!(kinds.iter().all(|n| *n > 0), "{kinds:?}");
}
