//! Looking for the script that kernel and engine disagree about.
//!
//! Scripts by chance run in several namespaces at once, one worker a thread. A script that shows a
//! difference is run again: what does not show twice is the clock's doing, and counted as such. What does is
//! shrunk and written down. The sums are told as a table of protocols and properties.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;
use palisade_capture::script::parse;

use crate::asked::{self, Sums};
use crate::compare::{Comparison, Property};
use crate::engine::EngineSubject;
use crate::generate::{Generated, script};
use crate::kernel::Tools;
use crate::machine::{Options, Run, run};
use crate::shrink::shrink;

/// What is hunted, and for how long.
#[derive(Clone, Debug)]
pub struct Hunt {
    /// Seed of the first script; the next one has the next number.
    pub seed: u64,
    /// Stop after so many packets.
    pub packets: u64,
    /// Packet lines of a script.
    pub lines: usize,
    /// Workers.
    pub jobs: usize,
    /// Stop after so long, if ever.
    pub longest: Option<Duration>,
    /// Stories that are left out, by name.
    pub without: Vec<String>,
    /// Tables are compared after every packet.
    pub each_step: bool,
    /// Which iptables; both in turn if `None`.
    pub tools: Option<Tools>,
    /// Where shrunk scripts are written; nowhere, and not shrunk, if `None`.
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
            packets: 10_000,
            lines: 300,
            jobs: 4,
            longest: None,
            without: Vec::new(),
            each_step: false,
            tools: None,
            regressions: None,
            failures: 20,
            tries: 400,
        }
    }
}

/// A script with a difference.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Its seed.
    pub seed: u64,
    /// Which iptables.
    pub tools: Tools,
    /// What differed.
    pub differences: Vec<String>,
    /// The script, as small as it could be made.
    pub text: String,
    /// Where it was written.
    pub path: Option<PathBuf>,
}

/// Sums of a protocol.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Compared {
    /// Scripts with packets of it.
    pub scripts: u64,
    /// Packets.
    pub packets: u64,
}

/// What came of a hunt.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// Scripts run.
    pub scripts: u64,
    /// Of those, with rules loaded by iptables-nft.
    pub by_nft: u64,
    /// Packets sent.
    pub packets: u64,
    /// Values compared.
    pub values: u64,
    /// Scripts and packets by protocol.
    pub protocols: BTreeMap<&'static str, Compared>,
    /// Scripts by what they cover: stories and kinds of rules.
    pub covers: BTreeMap<&'static str, u64>,
    /// Extensions of the rules.
    pub asked: Sums,
    /// Values compared and differing by protocol and property.
    pub sums: BTreeMap<(&'static str, Property), (u64, u64)>,
    /// Differences that did not show a second time, with their seeds.
    pub fleeting: Vec<(u64, String)>,
    /// Scripts with differences.
    pub failures: Vec<Failure>,
    /// Scripts that could not be run, with their seeds.
    pub broken: Vec<(u64, String)>,
    /// How long it took.
    pub took: Duration,
}

impl Found {
    fn add(&mut self, run: &Run, tools: Tools, covers: &[&'static str], text: &str) {
        self.scripts += 1;
        if let Ok(subject) = EngineSubject::new(&parse(text).0, Path::new(".")) {
            asked::add(&mut self.asked, run, &subject.rulesets());
        }
        for name in covers {
            *self.covers.entry(name).or_default() += 1;
        }
        self.by_nft += u64::from(tools == Tools::Nft);
        self.packets += run.kernel.tally.packets;
        self.values += run.comparison.compared;
        let mut here: BTreeMap<&'static str, u64> = BTreeMap::new();
        for packet in run.kernel.tests.iter().flat_map(|t| &t.packets) {
            *here.entry(packet.protocol).or_default() += 1;
        }
        for (protocol, packets) in here {
            let sums = self.protocols.entry(protocol).or_default();
            sums.scripts += 1;
            sums.packets += packets;
        }
        for (kind, (compared, differing)) in &run.comparison.sums {
            let sums = self.sums.entry(*kind).or_default();
            sums.0 += compared;
            sums.1 += differing;
        }
    }

    /// Whether everything ran and nothing differed.
    pub fn clean(&self) -> bool {
        self.failures.is_empty() && self.broken.is_empty()
    }

    /// The sums in a few lines.
    pub fn summary(&self) -> String {
        let seconds = self.took.as_secs_f64().max(0.001);
        let mut text = format!(
            "scripts: {} ({} by iptables-nft), packets: {}, values compared: {}, differences: {}, \
             fleeting: {}, not run: {}; {:.0} s, {:.0} packets/s",
            self.scripts,
            self.by_nft,
            self.packets,
            self.values,
            self.failures.len(),
            self.fleeting.len(),
            self.broken.len(),
            seconds,
            self.packets as f64 / seconds,
        );
        for (seed, words) in self.fleeting.iter().chain(&self.broken) {
            let _ = write!(text, "\n  seed {seed}: {words}");
        }
        text
    }

    /// The table of protocols and properties, and of what the scripts cover, in Markdown.
    pub fn table(&self) -> String {
        let mut rows: Vec<&str> = self.protocols.keys().copied().collect();
        rows.extend(self.sums.keys().map(|(row, _)| *row));
        rows.sort_unstable();
        rows.dedup();
        let mut text = String::from("| protocol | scripts | packets |");
        for property in Property::ALL {
            let _ = write!(text, " {} |", property.name());
        }
        text += "\n|---|---|---|";
        text += &"---|".repeat(Property::ALL.len());
        for row in rows {
            let compared = self.protocols.get(row).copied().unwrap_or_default();
            let _ = write!(
                text,
                "\n| {row} | {} | {} |",
                compared.scripts, compared.packets
            );
            for property in Property::ALL {
                match self.sums.get(&(row, property)) {
                    Some((values, 0)) => {
                        let _ = write!(text, " {values} |");
                    }
                    Some((values, differing)) => {
                        let _ = write!(text, " {values} (**{differing}** differ) |");
                    }
                    None => text += " |",
                }
            }
        }
        text += "\n\n| story or kind of rules | scripts |\n|---|---|";
        for (name, scripts) in &self.covers {
            let _ = write!(text, "\n| {name} | {scripts} |");
        }
        text += "\n\n";
        text + &asked::table(&self.asked)
    }
}

/// Hunts; `tell` is told what happens, from any worker's thread.
pub fn hunt(hunt: &Hunt, tell: &(dyn Fn(&str) + Sync)) -> Found {
    let begun = Instant::now();
    let (next, stop) = (AtomicU64::new(hunt.seed), AtomicBool::new(false));
    let found = Mutex::new(Found::default());
    std::thread::scope(|scope| {
        for _ in 0..hunt.jobs.max(1) {
            // A worker moves from namespace to namespace and never comes back.
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    one(hunt, seed, &found, tell);
                    let found = found.lock().unwrap_or_else(PoisonError::into_inner);
                    let late = hunt.longest.is_some_and(|l| begun.elapsed() >= l);
                    let bad = found.failures.len() + found.broken.len();
                    if found.packets >= hunt.packets || late || bad >= hunt.failures {
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

/// The script of a seed, run, and what came of it noted.
fn one(hunt: &Hunt, seed: u64, found: &Mutex<Found>, tell: &(dyn Fn(&str) + Sync)) {
    let tools = hunt.tools.unwrap_or(match seed % 4 {
        0 => Tools::Nft,
        _ => Tools::Legacy,
    });
    let mut without = hunt.without.clone();
    if tools == Tools::Nft {
        // What has no ports there has some here: later pieces, and what stands behind such a header. The
        // security table stands elsewhere.
        without.extend(["ah", "no tracking", "security"].map(str::to_owned));
    }
    let Generated { text, covers } = script(seed, hunt.lines, &without);
    let options = Options {
        tools,
        each_step: hunt.each_step,
    };
    let locked = || found.lock().unwrap_or_else(PoisonError::into_inner);
    let ran = match ran(&text, options) {
        Ok(run) => run,
        Err(e) => {
            tell(&format!("seed {seed} could not be run: {e:#}"));
            locked().broken.push((seed, format!("{e:#}")));
            return;
        }
    };
    let differences = differences(&ran);
    if differences.is_empty() {
        let mut found = locked();
        found.add(&ran, tools, &covers, &text);
        if found.scripts.is_multiple_of(50) {
            tell(&format!(
                "{} scripts, {} packets",
                found.scripts, found.packets
            ));
        }
        return;
    }
    let first = differences.first().cloned().unwrap_or_default();
    let again = self::ran(&text, options);
    let stays = again.is_ok_and(|run| shows(&run, &signature(&first)));
    if !stays {
        tell(&format!("seed {seed}: did not show again: {first}"));
        let mut found = locked();
        found.fleeting.push((seed, first));
        found.add(
            &Run {
                comparison: Comparison {
                    sums: BTreeMap::new(),
                    ..ran.comparison.clone()
                },
                ..ran
            },
            tools,
            &covers,
            &text,
        );
        return;
    }
    tell(&format!("seed {seed} ({}): {first}", tools.name()));
    locked().add(&ran, tools, &covers, &text);
    let mut failure = Failure {
        seed,
        tools,
        differences,
        text,
        path: None,
    };
    if let Some(directory) = &hunt.regressions {
        smaller(hunt, options, &ran, &mut failure);
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

fn ran(text: &str, options: Options) -> Result<Run> {
    let (script, faults) = parse(text);
    if let Some(fault) = faults.first() {
        anyhow::bail!("{}", fault.draw("by chance", text));
    }
    // Cheaper to find out than a namespace is to make.
    EngineSubject::new(&script, Path::new("."))?;
    run(&script, Path::new("."), options)
}

/// Everything that is not as it should be.
fn differences(run: &Run) -> Vec<String> {
    [
        run.comparison.differences.clone(),
        run.kernel.failed.clone(),
    ]
    .concat()
}

/// A difference without its numbers: the same one in a smaller script has others.
fn signature(difference: &str) -> String {
    let place = difference.split(": kernel").next().unwrap_or_default();
    let words = if difference.len() < 160 {
        difference
    } else {
        place
    };
    words.chars().filter(|c| !c.is_ascii_digit()).collect()
}

/// Whether a run shows this difference too.
fn shows(run: &Run, signature: &str) -> bool {
    let all = match run.kernel.failed.is_empty() {
        true => &run.comparison.differences,
        false => &run.kernel.failed,
    };
    all.iter().any(|d| self::signature(d) == signature)
}

/// Makes a failure's script smaller.
fn smaller(hunt: &Hunt, options: Options, ran: &Run, failure: &mut Failure) {
    let first = failure.differences.first().cloned().unwrap_or_default();
    let wanted = signature(&first);
    let mut text = failure.text.clone();
    let holds = |text: &str| self::ran(text, options).is_ok_and(|run| shows(&run, &wanted));
    if let Some(line) = ran.comparison.first {
        // What comes after the first difference has no part in it.
        let cut: Vec<&str> = text.lines().take(line as usize).collect();
        let cut = cut.join("\n") + "\n";
        if holds(&cut) {
            text = cut;
        }
    }
    let text = shrink(&text, hunt.tries, holds);
    if let Ok(run) = self::ran(&text, options) {
        failure.differences = differences(&run);
    }
    failure.text = text;
}

fn write_down(directory: &Path, failure: &Failure) -> Result<PathBuf> {
    std::fs::create_dir_all(directory)?;
    let path = directory.join(format!("by-chance-{}.pal", failure.seed));
    let mut text = format!(
        "# Found by chance, seed {}, iptables-{}:\n",
        failure.seed,
        failure.tools.name()
    );
    for difference in failure.differences.iter().take(6) {
        let short: String = difference.chars().take(300).collect();
        let _ = writeln!(text, "# {}", short.replace('\n', " "));
    }
    text += &failure.text;
    std::fs::write(&path, text)?;
    Ok(path)
}
