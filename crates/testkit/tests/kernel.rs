//! Every scenario, every regression and every example script, run on the kernel; and scripts by chance.
//!
//! The scripts' own expectations are what the engine is held to in its tests; here the kernel is held
//! to them, so that they cannot drift from the truth. The engine goes through the same scripts beside it:
//! every packet's state, direction, verdict, answer and bytes, every rule's counters and all tables must be the same,
//! whether a script asks for them or not. Needs root, network namespaces and the legacy
//! iptables; without them it says SKIPPED, which is a failure where `PALISADE_REQUIRE_KERNEL=1`.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use palisade_capture::script::{KernelUse, parse};
use palisade_testkit::compare::{Comparison, Record};
use palisade_testkit::hunt::{Hunt, hunt};
use palisade_testkit::kernel::Tools;
use palisade_testkit::machine::{Options, run};
use palisade_testkit::real::{asked, say};
use palisade_testkit::scripts;

/// Scripts run at once: many wait for the clock.
const WORKERS: usize = 4;

/// What cannot be compared: the kernel does not look into ICMPv6 errors of the machine's own for a prefix to
/// translate, because of the raw socket that they come from; and REJECT's answers echo IPv4 options.
const LEFT_OUT: [&str; 2] = ["prefixes", "IP options"];

/// A script that waits longer than this at once is not for a real clock.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// What came of one script.
struct Result {
    name: String,
    record: Record,
    /// Values that kernel and engine both showed.
    compared: u64,
    differences: Vec<String>,
}

/// Runs one script; `None` when it is not for the kernel.
fn compare(path: &Path) -> Option<Result> {
    let name = path
        .file_stem()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let text = std::fs::read_to_string(path).expect("a readable script");
    let (script, faults) = parse(&text);
    assert!(faults.is_empty(), "{name}: {faults:?}");
    if script.kernel != KernelUse::Yes || script.longest_wait() > LONGEST_WAIT {
        return None;
    }
    let base = path.parent().unwrap_or(Path::new("."));
    // What was found with the one is looked for with the one.
    let by_nft = text
        .lines()
        .next()
        .is_some_and(|l| l.contains("iptables-nft"));
    let options = Options {
        tools: if by_nft { Tools::Nft } else { Tools::Legacy },
        each_step: false,
    };
    let ran = run(&script, base, options);
    let (record, comparison) = match ran {
        Ok(run) => (run.kernel, run.comparison),
        Err(e) => {
            let failed = Record {
                failed: vec![format!("{e:#}")],
                ..Record::default()
            };
            (failed, Comparison::default())
        }
    };
    let differences = [record.failed.clone(), comparison.differences].concat();
    Some(Result {
        name,
        record,
        compared: comparison.compared,
        differences,
    })
}

#[test]
fn every_expectation_of_every_script_holds_on_the_kernel() {
    let only = std::env::var("PALISADE_SCENARIO").ok();
    let mut files = scripts::all();
    files.retain(|p| {
        only.as_ref()
            .is_none_or(|o| p.to_string_lossy().contains(o.as_str()))
    });
    let least = if only.is_some() { 0 } else { 100 };
    compare_all(files, least);
}

#[test]
fn packets_and_rules_by_chance_fare_alike_in_kernel_and_engine() {
    let long = std::env::var_os("PALISADE_LONG").is_some_and(|v| v == "1");
    let packets = if long { 100_000 } else { 4_000 };
    // The same every time, so that a change is judged by what it changed; the long run goes where nobody has been.
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let fresh = now.map_or(0, |t| u64::from(t.subsec_nanos())) * 1_000 + 1_000_000;
    let second = if long { fresh } else { 336_181_391_000 };
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    if !asked("THE KERNEL WAS") {
        return;
    }
    let mut bad = Vec::new();
    for (seed, packets) in [(1, packets), (second, packets / 2)] {
        let found = hunt(
            &Hunt {
                seed,
                packets,
                jobs: WORKERS,
                failures: 3,
                without: LEFT_OUT.map(str::to_owned).to_vec(),
                ..Hunt::default()
            },
            &|words| println!("{words}"),
        );
        say(&format!("by chance from seed {seed}: {}", found.summary()));
        assert!(
            found.packets >= packets || !found.clean(),
            "packets went missing"
        );
        for failure in &found.failures {
            bad.push(format!(
                "differ hunt --seed {} --packets 1 --{} --regressions DIR: {}",
                failure.seed,
                failure.tools.name(),
                failure.differences.join("\n  ")
            ));
        }
        bad.extend(
            found
                .broken
                .iter()
                .map(|(seed, e)| format!("seed {seed}: {e}")),
        );
    }
    assert!(bad.is_empty(), "{}", bad.join("\n"));
}

/// One test at a time: more workers than [`WORKERS`] would only take turns.
static TURN: Mutex<()> = Mutex::new(());

/// Runs all scripts and fails on any difference, or when fewer than `least` were for the kernel.
fn compare_all(scripts: Vec<PathBuf>, least: usize) {
    // A test that failed leaves nothing behind that the next would trip over.
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    if !asked("THE KERNEL WAS") {
        return;
    }
    let (waiting, results) = (Mutex::new(scripts), Mutex::new(Vec::new()));
    let next = || waiting.lock().ok().and_then(|mut w| w.pop());
    std::thread::scope(|scope| {
        for _ in 0..WORKERS {
            // A worker moves from namespace to namespace and never comes back.
            scope.spawn(|| {
                while let Some(path) = next() {
                    if let Some(result) = compare(&path)
                        && let Ok(mut all) = results.lock()
                    {
                        all.push(result);
                    }
                }
            });
        }
    });
    let mut results = results.into_inner().expect("no worker panicked");
    results.sort_by(|a, b| a.name.cmp(&b.name));
    let packets: u64 = results.iter().map(|r| r.record.tally.packets).sum();
    let mut differences = 0;
    for result in &results {
        differences += result.differences.len();
        for difference in &result.differences {
            println!("{}: {difference}", result.name);
        }
    }
    let expected: u64 = results.iter().map(|r| r.record.tally.compared).sum();
    let compared: u64 = results.iter().map(|r| r.compared).sum();
    say(&format!(
        "values expected by scripts: {expected}, values of kernel and engine: {compared}"
    ));
    say(&format!(
        "kernel scenarios compared: {}, packets: {packets}, differences: {differences}",
        results.len()
    ));
    assert!(results.len() >= least, "scenarios went missing");
    assert!(packets > 0 && compared > packets, "nothing was compared");
    assert_eq!(differences, 0, "see above");
}
