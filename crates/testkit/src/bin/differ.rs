//! Runs packet scripts on the kernel and on the engine and shows both side by side.
//!
//! ```text
//! differ [--nft] [--each-step] SCRIPT…
//! differ by-chance SEED PACKETS [--without NAMES]     prints a script made by chance
//! differ hunt [--packets N] [--seed S] [--jobs J] [--lines L] [--minutes M] [--nft | --legacy] [--each-step]
//!             [--without NAMES] [--regressions DIR] [--failures N] [--report FILE]
//! differ twin [--pairs N] [--seed S] [--jobs J] [--lines L] [--minutes M] [--regressions DIR] [--failures N]
//!             [--report FILE] [SCRIPT…]
//! ```
//!
//! `--nft` loads the rules with iptables-nft rather than iptables-legacy; `--each-step` compares connections,
//! expectations and lists after every packet, not only at the end of a test.
//!
//! `hunt` runs scripts by chance until N packets went through both, M minutes passed or something differs
//! too often. What differs is shrunk and written to DIR; the sums go to FILE as a table. `--without` names
//! stories to leave out, with commas between.
//!
//! `twin` asks no kernel: it holds the two evaluators of the engine against each other, over N pairs of a ruleset
//! and a packet, or over scripts.
//!
//! As root, but for `twin`. Exits with 1 when anything differs, 2 when something could not be run.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use palisade_capture::script::{Seen, parse};
use palisade_testkit::compare::{PacketRecord, Record};
use palisade_testkit::generate::script;
use palisade_testkit::hunt::{Found, Hunt, hunt};
use palisade_testkit::kernel::{Tools, unavailable};
use palisade_testkit::machine::{Options, Run, run};
use palisade_testkit::twin::{self, Plan};

/// What the command line says.
#[derive(Default)]
struct Arguments {
    words: Vec<String>,
    tools: Option<Tools>,
    each_step: bool,
    hunt: Hunt,
    twin: twin::hunt::Hunt,
    report: Option<PathBuf>,
}

fn main() -> ExitCode {
    match arguments().and_then(|arguments| command(&arguments)) {
        Ok(clean) => ExitCode::from(u8::from(!clean)),
        Err(e) => {
            eprintln!("{e:#}");
            ExitCode::from(2)
        }
    }
}

fn arguments() -> Result<Arguments> {
    let mut all = Arguments::default();
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut value = || {
            words
                .next()
                .with_context(|| format!("{word} needs a value"))
        };
        let (hunt, twin) = (&mut all.hunt, &mut all.twin);
        match word.as_str() {
            "--nft" => all.tools = Some(Tools::Nft),
            "--legacy" => all.tools = Some(Tools::Legacy),
            "--each-step" => all.each_step = true,
            "--packets" => hunt.packets = value()?.parse().context("--packets")?,
            "--pairs" => twin.pairs = value()?.parse().context("--pairs")?,
            "--seed" => {
                hunt.seed = value()?.parse().context("--seed")?;
                twin.seed = hunt.seed;
            }
            "--jobs" => {
                hunt.jobs = value()?.parse().context("--jobs")?;
                twin.jobs = hunt.jobs;
            }
            "--lines" => {
                hunt.lines = value()?.parse().context("--lines")?;
                twin.lines = hunt.lines;
            }
            "--failures" => {
                hunt.failures = value()?.parse().context("--failures")?;
                twin.failures = hunt.failures;
            }
            "--minutes" => {
                let minutes: f64 = value()?.parse().context("--minutes")?;
                let longest = Duration::try_from_secs_f64(minutes * 60.0).context("--minutes")?;
                (hunt.longest, twin.longest) = (Some(longest), Some(longest));
            }
            "--without" => hunt.without = value()?.split(',').map(str::to_owned).collect(),
            "--regressions" => {
                hunt.regressions = Some(PathBuf::from(value()?));
                twin.regressions.clone_from(&hunt.regressions);
            }
            "--report" => all.report = Some(PathBuf::from(value()?)),
            _ if word.starts_with("--") => bail!("no such option: {word}"),
            _ => all.words.push(word),
        }
    }
    all.hunt.tools = all.tools;
    all.hunt.each_step = all.each_step;
    Ok(all)
}

/// Does what was asked for; whether nothing differs.
fn command(arguments: &Arguments) -> Result<bool> {
    let words: Vec<&str> = arguments.words.iter().map(String::as_str).collect();
    match words.as_slice() {
        [] => bail!("usage: differ SCRIPT… | by-chance SEED PACKETS | hunt | twin"),
        ["by-chance", seed, packets] => {
            let (seed, packets) = (seed.parse()?, packets.parse()?);
            print!("{}", script(seed, packets, &arguments.hunt.without).text);
            Ok(true)
        }
        ["hunt"] => {
            if let Some(reason) = unavailable() {
                bail!("the kernel cannot be asked: {reason}");
            }
            let found = hunt(&arguments.hunt, &|words| eprintln!("{words}"));
            println!("{}\n{}", found.summary(), found.table());
            if let Some(path) = &arguments.report {
                std::fs::write(path, report(&found)).context("the report")?;
            }
            Ok(found.clean())
        }
        ["twin"] => {
            let found = twin::hunt::hunt(&arguments.twin, &|words| eprintln!("{words}"));
            println!("{}", found.summary());
            if let Some(path) = &arguments.report {
                std::fs::write(path, twin_report(&found)).context("the report")?;
            }
            Ok(found.clean())
        }
        ["twin", scripts @ ..] => {
            let mut differences = 0;
            for script in scripts {
                let found = twin_scripts(Path::new(script), arguments.twin.seed);
                differences += found.with_context(|| (*script).to_owned())?;
            }
            println!("{differences} differences");
            Ok(differences == 0)
        }
        scripts => {
            let options = Options {
                tools: arguments.tools.unwrap_or_default(),
                each_step: arguments.each_step,
            };
            let mut differences = 0;
            for script in scripts {
                differences +=
                    differ(Path::new(script), options).with_context(|| (*script).to_owned())?;
            }
            println!("{differences} differences");
            Ok(differences == 0)
        }
    }
}

/// Holds the evaluators against each other over a script, in several kinds of batches.
fn twin_scripts(path: &Path, seed: u64) -> Result<usize> {
    let text = std::fs::read_to_string(path)?;
    let (script, faults) = parse(&text);
    if let Some(fault) = faults.first() {
        bail!("{}", fault.draw(&path.display().to_string(), &text));
    }
    let base = path.parent().unwrap_or(Path::new("."));
    let mut differences = 0;
    for plan in Plan::several(seed) {
        let held = twin::hold(&script, base, plan)?;
        println!("{}: {} packets, {plan:?}", path.display(), held.packets);
        for words in &held.differences {
            println!("! {words}");
        }
        differences += held.differences.len();
    }
    Ok(differences)
}

/// What a hunt for differences of the evaluators found, as a page of documentation.
fn twin_report(found: &twin::hunt::Found) -> String {
    let words: Vec<String> = std::env::args().skip(1).collect();
    format!(
        "# How the evaluators compare\n\nWritten by the run itself; [machine.md](machine.md) tells what is compared.\n\n    \
         differ {}\n\n{}\n\n{}",
        words.join(" "),
        found.summary(),
        found.table()
    )
}

/// What a hunt found, as a page of documentation.
fn report(found: &Found) -> String {
    let mut text = String::from(
        "# How the kernel and Palisade compare\n\n\
         Written by the run itself. Packet scripts by chance went through the Linux kernel and through the\n\
         engine, with the same rules and settings. A number is how many values were held against each other; all\n\
         of them were equal unless the table says that some differ. `state`, `direction`, `verdict`, `answer` and\n\
         `bytes` are compared for every packet, counters of every rule and all tables at the end of each script.\n\
         The last table tells of each match and target how many packets its rules counted (hits), and how many\n\
         came to a rule that does nothing but ask it and were not counted (misses).\n\n",
    );
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let quoted = |word: String| match word.contains(' ') {
        true => format!("\"{word}\""),
        false => word,
    };
    let words: Vec<String> = std::env::args().skip(1).map(quoted).collect();
    let _ = writeln!(text, "    differ {}\n", words.join(" "));
    let _ = writeln!(text, "Linux {}: {}\n", kernel.trim(), found.summary());
    text + &found.table()
}

/// Runs and shows one script; returns how many differences there are.
fn differ(path: &Path, options: Options) -> Result<usize> {
    let text = std::fs::read_to_string(path)?;
    let (script, faults) = parse(&text);
    if let Some(fault) = faults.first() {
        bail!("{}", fault.draw(&path.display().to_string(), &text));
    }
    let base = path.parent().unwrap_or(Path::new("."));
    let Run {
        kernel,
        engine,
        comparison,
    } = run(&script, base, options)?;
    println!("{}", path.display());
    let lines: Vec<&str> = text.lines().collect();
    for (k, e) in kernel.tests.iter().zip(&engine.tests) {
        if !k.title.is_empty() {
            println!("test {:?}", k.title);
        }
        for (k, e) in k.packets.iter().zip(&e.packets) {
            let line = lines
                .get((k.line as usize).saturating_sub(1))
                .unwrap_or(&"");
            let (ours, theirs) = (words(k), words(e));
            let mark = if ours == theirs { ' ' } else { '!' };
            println!(
                "{mark} {:>4}  {ours:<32} {theirs:<32} {}",
                k.number,
                line.trim()
            );
        }
    }
    let expected = |who: &str, record: &Record| {
        for failed in &record.failed {
            println!("{who}, {failed}");
        }
        record.failed.len()
    };
    for difference in &comparison.differences {
        println!("! {difference}");
    }
    Ok(comparison.differences.len() + expected("kernel", &kernel) + expected("engine", &engine))
}

fn words(packet: &PacketRecord) -> String {
    fn word<T>(seen: &Seen<T>, word: impl Fn(&T) -> &'static str) -> &'static str {
        match seen {
            Seen::Unseen => "?",
            Seen::Seen(value) => word(value),
        }
    }
    [
        word(&packet.state, |s| s.map_or("-", |s| s.word())),
        word(&packet.direction, |d| d.map_or("-", |d| d.word())),
        word(&packet.verdict, |v| v.word()),
        word(
            &packet.answer,
            |a| if a.is_some() { "answered" } else { "" },
        ),
    ]
    .join(" ")
}
