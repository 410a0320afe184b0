//! Several engines that are one, held equal to one: over scripts by chance, and over every script of the project.
//!
//! `PALISADE_LONG=1` tries ten times as many scripts.

use std::path::Path;

use palisade_capture::script::parse;
use palisade_testkit::generate::{script, steady};
use palisade_testkit::scripts;
use palisade_testkit::twin::parted::{Handed, Parted, hold};

fn long() -> bool {
    std::env::var_os("PALISADE_LONG").is_some_and(|v| v == "1")
}

fn check(name: &str, text: &str, base: &Path, shards: usize, seed: u64) -> Parted {
    let (script, faults) = parse(text);
    assert!(faults.is_empty(), "{name}: {faults:?}\n{text}");
    let held = |handed| {
        let parted = hold(&script, base, (shards, handed), seed);
        let parted = parted.unwrap_or_else(|e| panic!("{name}: {e:#}"));
        let differences = &parted.held.differences;
        assert!(
            differences.is_empty(),
            "{name}, {shards} shards, {handed:?}:\n{}\n{text}",
            differences.join("\n")
        );
        parted
    };
    let mut parted = held(Handed::Singly);
    parted.add(held(Handed::InBatches(40)));
    parted
}

/// A script without the rules that want one shard.
fn lightened(text: &str) -> String {
    let heavy = [
        "--helper pptp",
        "--helper sip",
        "--helper RAS",
        "--helper Q.931",
        "-j SYNPROXY",
        "--zone",
    ];
    let lines = text
        .lines()
        .filter(|line| !heavy.iter().any(|h| line.contains(h)));
    lines.map(|line| format!("{line}\n")).collect()
}

fn by_chance(seeds: std::ops::Range<u64>) -> Parted {
    let mut all = Parted::default();
    for seed in seeds {
        let made = match seed % 4 {
            0 => steady(seed, 200),
            _ => script(seed, 200, &[]),
        };
        let shards = 2 + seed as usize % 3;
        let name = format!("seed {seed}");
        let text = match seed % 8 {
            1 => made.text,
            _ => lightened(&made.text),
        };
        all.add(check(&name, &text, Path::new("."), shards, seed));
    }
    all
}

#[test]
fn scripts_by_chance() {
    let all = by_chance(1..if long() { 2000 } else { 150 });
    let [one, several @ ..] = all.by_shards;
    println!("{all:?}");
    // What this is about comes up at all.
    assert!(several.iter().all(|n| *n > 1000), "{all:?}");
    assert!(one < several.iter().sum(), "{all:?}");
    assert!(all.away > 0 && all.expecting > 0, "{all:?}");
    assert!(all.held.short > 0 && all.held.established > 1000, "{all:?}");
}

#[test]
fn every_script_of_the_project() {
    let scripts = scripts::all();
    assert!(scripts.len() > 200, "{}", scripts.len());
    let mut all = Parted::default();
    for path in scripts {
        let text = std::fs::read_to_string(&path).expect("a readable script");
        let base = path.parent().expect("a directory");
        for shards in 2..=4 {
            let name = path.display().to_string();
            all.add(check(&name, &text, base, shards, shards as u64));
        }
    }
    println!("{all:?}");
    assert!(all.away > 0 && all.expecting > 0, "{all:?}");
}
