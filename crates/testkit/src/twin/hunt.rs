//! Looking for the script that the evaluators disagree about.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;
use palisade_capture::script::parse;

use super::{Held, Plan, hold};
use crate::generate::{Generated, script, steady};
use crate::shrink::shrink;

/// What is hunted, and for how long.
#[derive(Clone, Debug)]
pub struct Hunt {
    /// Seed of the first script; the next one has the next number.
    pub seed: u64,
    /// Stop after so many pairs of ruleset and packet.
    pub pairs: u64,
    /// Packet lines of a script.
    pub lines: usize,
    /// Workers.
    pub jobs: usize,
    /// Stop after so long, if ever.
    pub longest: Option<Duration>,
    /// Where shrunk scripts are written; nowhere if `None`.
    pub regressions: Option<PathBuf>,
    /// Stop after so many scripts with differences.
    pub failures: usize,
    /// Tries to shrink each.
    pub tries: usize,
}

impl Default for Hunt {
    fn default() -> Self {
        Hunt {
            seed: 1,
            pairs: 50_000,
            lines: 250,
            jobs: 2,
            longest: None,
            regressions: None,
            failures: 5,
            tries: 600,
        }
    }
}

/// A script that shows a difference.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Its seed.
    pub seed: u64,
    /// Pairs that all workers had tried by then.
    pub after: u64,
    /// What differed.
    pub differences: Vec<String>,
    /// The script, as small as it could be made.
    pub text: String,
    /// Where it was written.
    pub path: Option<PathBuf>,
}

/// What came of a hunt.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// Scripts run, each with rules of its own.
    pub scripts: u64,
    /// Sums of them.
    pub held: Held,
    /// Scripts by what they cover.
    pub covers: BTreeMap<&'static str, u64>,
    /// Scripts with differences.
    pub failures: Vec<Failure>,
    /// Scripts that could not be run, with their seeds.
    pub broken: Vec<(u64, String)>,
    /// How long it took.
    pub took: Duration,
}

impl Found {
    /// Whether everything ran and nothing differed.
    pub fn clean(&self) -> bool {
        self.failures.is_empty() && self.broken.is_empty()
    }

    /// The sums in a few lines.
    pub fn summary(&self) -> String {
        let seconds = self.took.as_secs_f64().max(0.001);
        let Held {
            packets,
            established,
            short,
            looks,
            ..
        } = self.held;
        let mut text = format!(
            "pairs of ruleset and packet: {packets} ({established} ESTABLISHED, {short} by the short way), rulesets: {}, \
             looks at everything: {looks}, differences: {}, not run: {}; {seconds:.0} s, {:.0} pairs/s",
            self.scripts,
            self.failures.len(),
            self.broken.len(),
            packets as f64 / seconds,
        );
        for failure in &self.failures {
            let first = failure.differences.first().map_or("", String::as_str);
            let short: String = first.chars().take(400).collect();
            let _ = write!(
                text,
                "\n  seed {}, after {} pairs: {short}",
                failure.seed, failure.after
            );
        }
        for (seed, words) in &self.broken {
            let _ = write!(text, "\n  seed {seed}: {words}");
        }
        text
    }

    /// What the scripts cover, in Markdown.
    pub fn table(&self) -> String {
        let mut text = String::from("| story or kind of rules | scripts |\n|---|---|");
        for (name, scripts) in &self.covers {
            let _ = write!(text, "\n| {name} | {scripts} |");
        }
        text.push('\n');
        text
    }
}

/// The script of a seed: two of three have long connections, the others are those that the kernel is asked too.
pub fn script_of(seed: u64, lines: usize) -> Generated {
    match seed % 3 {
        0 => script(seed, lines, &[]),
        _ => steady(seed, lines),
    }
}

/// Hunts; `tell` is told what happens, from any worker's thread.
pub fn hunt(hunt: &Hunt, tell: &(dyn Fn(&str) + Sync)) -> Found {
    let begun = Instant::now();
    let (next, stop) = (AtomicU64::new(hunt.seed), AtomicBool::new(false));
    let found = Mutex::new(Found::default());
    std::thread::scope(|scope| {
        for _ in 0..hunt.jobs.max(1) {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    one(hunt, next.fetch_add(1, Ordering::Relaxed), &found, tell);
                    let found = found.lock().unwrap_or_else(PoisonError::into_inner);
                    let late = hunt.longest.is_some_and(|l| begun.elapsed() >= l);
                    let bad = found.failures.len() + found.broken.len();
                    if found.held.packets >= hunt.pairs || late || bad >= hunt.failures {
                        stop.store(true, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let mut found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
    found.took = begun.elapsed();
    found
}

/// The script of a seed, held, and what came of it noted.
fn one(hunt: &Hunt, seed: u64, found: &Mutex<Found>, tell: &(dyn Fn(&str) + Sync)) {
    let locked = || found.lock().unwrap_or_else(PoisonError::into_inner);
    let Generated { text, covers } = script_of(seed, hunt.lines);
    let plan = Plan::by_chance(seed);
    let held = match held(&text, plan) {
        Ok(held) => held,
        Err(e) => {
            tell(&format!("seed {seed} could not be run: {e:#}"));
            locked().broken.push((seed, format!("{e:#}")));
            return;
        }
    };
    let (differences, first) = (held.differences.clone(), held.first);
    let after = {
        let mut found = locked();
        found.scripts += 1;
        for name in covers {
            *found.covers.entry(name).or_default() += 1;
        }
        let before = found.held.packets;
        found.held.add(held);
        let each = 100_000;
        if before / each != found.held.packets / each {
            tell(&format!("{} pairs", found.held.packets));
        }
        found.held.packets
    };
    let Some(difference) = differences.first() else {
        return;
    };
    tell(&format!("seed {seed}: {difference}"));
    let mut failure = Failure {
        seed,
        after,
        differences,
        text,
        path: None,
    };
    if let Some(directory) = &hunt.regressions {
        smaller(hunt.tries, plan, first, &mut failure);
        match write_down(directory, &failure) {
            Ok(path) => {
                tell(&format!("seed {seed}: shrunk to {}", path.display()));
                failure.path = Some(path);
            }
            Err(e) => tell(&format!("seed {seed}: {e:#}")),
        }
    }
    locked().failures.push(failure);
}

fn held(text: &str, plan: Plan) -> Result<Held> {
    let (script, faults) = parse(text);
    if let Some(fault) = faults.first() {
        anyhow::bail!("{}", fault.draw("by chance", text));
    }
    hold(&script, Path::new("."), plan)
}

/// Which kind of difference it is: what does not change as the script gets smaller.
fn kind(difference: &str) -> String {
    let what = difference.split_once(": ").map_or(difference, |(_, w)| w);
    let words = what.split([',', ':']).next().unwrap_or_default();
    let words: Vec<&str> = words.split(' ').take(3).collect();
    let words = words.join(" ");
    words.chars().filter(|c| !c.is_ascii_digit()).collect()
}

/// Makes a failure's script smaller. Batches of the largest size are tried first: what shows in those does not
/// hang on how the packets fall into them.
fn smaller(tries: usize, plan: Plan, first: Option<u32>, failure: &mut Failure) {
    let wanted = failure
        .differences
        .first()
        .map_or(String::new(), |d| kind(d));
    let plans = [
        Plan {
            largest: true,
            looks: 1,
            ..plan
        },
        Plan { looks: 1, ..plan },
        plan,
    ];
    let shows = |text: &str, plan: Plan| {
        held(text, plan)
            .ok()
            .filter(|held| held.differences.iter().any(|d| kind(d) == wanted))
    };
    let mut text = failure.text.clone();
    let steady = plans.into_iter().find(|p| shows(&text, *p).is_some());
    let plan = steady.unwrap_or(plan);
    if let Some(line) = first {
        // What comes after the first difference has no part in it.
        let cut: Vec<&str> = text.lines().take(line as usize).collect();
        let cut = cut.join("\n") + "\n";
        if shows(&cut, plan).is_some() {
            text = cut;
        }
    }
    let text = shrink(&text, tries, |text| shows(text, plan).is_some());
    if let Some(held) = shows(&text, plan) {
        failure.differences = held.differences;
        failure.text = text;
    }
}

fn write_down(directory: &Path, failure: &Failure) -> Result<PathBuf> {
    std::fs::create_dir_all(directory)?;
    let path = directory.join(format!("twin-{}.pal", failure.seed));
    let mut text = format!(
        "# Found by chance, seed {}, by holding the evaluators against each other:\n",
        failure.seed
    );
    for difference in failure.differences.iter().take(6) {
        let short: String = difference.chars().take(300).collect();
        let _ = writeln!(text, "# {}", short.replace('\n', " "));
    }
    text += &failure.text;
    std::fs::write(&path, text)?;
    Ok(path)
}
