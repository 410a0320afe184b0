//! The two evaluators, held equal: over scripts by chance, over every script of the project, and over the rulesets
//! of the corpus with packets at the edges of their rules.
//!
//! `PALISADE_LONG=1` tries a million pairs of a ruleset and a packet rather than some ten thousands.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use palisade_capture::script::parse;
use palisade_rules::{Family, parse as parse_rules};
use palisade_testkit::scripts;
use palisade_testkit::twin::hunt::{Found, Hunt, hunt};
use palisade_testkit::twin::{Held, Plan, edges, hold};

fn long() -> bool {
    std::env::var_os("PALISADE_LONG").is_some_and(|v| v == "1")
}

fn by_chance(seed: u64, pairs: u64) -> Found {
    let wanted = Hunt {
        seed,
        pairs,
        ..Hunt::default()
    };
    let found = hunt(&wanted, &|_| ());
    println!("from seed {seed}: {}", found.summary());
    let texts: Vec<&str> = found.failures.iter().map(|f| f.text.as_str()).collect();
    assert!(
        found.clean(),
        "differ twin --seed {seed} --regressions DIR shrinks it\n{}\n{}",
        found.summary(),
        texts.first().copied().unwrap_or_default()
    );
    found
}

#[test]
fn the_same_scripts_by_chance_in_every_run() {
    let found = by_chance(1, if long() { 500_000 } else { 30_000 });
    // What this is about comes up at all.
    assert!(found.held.established * 3 > found.held.packets);
    for story in [
        "long TCP",
        "long UDP",
        "long pings",
        "plain rules",
        "full table",
        "translation",
    ] {
        assert!(found.covers.contains_key(story), "{:?}", found.covers);
    }
}

#[test]
fn scripts_by_chance_of_this_run() {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let seed = now.map_or(7, |since| since.as_secs()) << 20;
    by_chance(seed, if long() { 500_000 } else { 20_000 });
}

#[test]
fn every_script_of_the_project() {
    let scripts = scripts::all();
    assert!(scripts.len() > 200, "{}", scripts.len());
    let mut all = Held::default();
    for path in scripts {
        let text = std::fs::read_to_string(&path).expect("a readable script");
        let (script, faults) = parse(&text);
        assert!(faults.is_empty(), "{}: {faults:?}", path.display());
        let base = path.parent().expect("a directory");
        for plan in Plan::several(1) {
            let held = hold(&script, base, plan).expect("rules that run");
            let told = held.differences.join("\n");
            assert!(told.is_empty(), "{}, {plan:?}\n{told}", path.display());
            all.add(held);
        }
    }
    println!("{} packets, {} looks at everything", all.packets, all.looks);
    assert!(all.packets > 10_000);
}

#[test]
fn rulesets_of_the_corpus_at_the_edges_of_their_rules() {
    let above = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    let root = above
        .map(|folder| folder.join("shared/corpus/rulesets"))
        .find(|folder| folder.is_dir())
        .unwrap_or_default();
    let Ok(index) = std::fs::read_to_string(root.join("index.json")) else {
        eprintln!("SKIPPED: no corpus of rulesets beside the project");
        return;
    };
    let index: serde_json::Value = serde_json::from_str(&index).expect("index.json");
    let most = if long() { usize::MAX } else { 25 };
    let (mut all, mut rulesets, mut rules) = (Held::default(), 0, 0);
    for entry in index["rulesets"].as_array().expect("rulesets") {
        let file = entry["file"].as_str().expect("file");
        let text = std::fs::read(root.join(file)).expect("a readable file");
        let family = match entry["family"].as_u64() {
            Some(6) => Family::V6,
            _ => Family::V4,
        };
        let parsed = parse_rules::auto(&String::from_utf8_lossy(&text), family);
        if parsed.has_errors() {
            continue;
        }
        for ruleset in parsed.v4.iter().chain(&parsed.v6) {
            // What the engine refuses is its own tests' affair.
            let Ok((held, served)) = edges::hold(ruleset, most, Plan::by_chance(1)) else {
                continue;
            };
            let told = held.differences.join("\n");
            assert!(told.is_empty(), "{file}\n{told}");
            rulesets += 1;
            rules += served;
            all.add(held);
        }
    }
    println!(
        "{rulesets} rulesets, {rules} rules, {} packets ({} ESTABLISHED, {} by the short way)",
        all.packets, all.established, all.short
    );
    assert!(rulesets > 200 && all.packets > 10 * rules as u64 / 2);
    assert!(all.established * 8 > all.packets);
}
