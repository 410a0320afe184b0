//! Runs packet scripts on the kernel and on the engine and shows both side by side.
//!
//! ```text
//! differ SCRIPT…
//! differ by-chance SEED PACKETS      prints a script made by chance
//! ```
//!
//! As root. Exits with 1 when anything differs, 2 when something could not be run.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use palisade_capture::script::{Seen, parse};
use palisade_testkit::compare::{Comparison, PacketRecord, Record, record};
use palisade_testkit::engine::EngineSubject;
use palisade_testkit::generate::script;
use palisade_testkit::kernel::KernelSubject;

fn main() -> ExitCode {
    let scripts: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    if scripts.is_empty() {
        eprintln!("usage: differ SCRIPT…");
        return ExitCode::from(2);
    }
    if let [word, seed, packets] = scripts.as_slice()
        && word.as_os_str() == "by-chance"
    {
        let number = |p: &Path| p.to_str().and_then(|s| s.parse::<u64>().ok());
        let (Some(seed), Some(packets)) = (number(seed), number(packets)) else {
            eprintln!("SEED and PACKETS are numbers");
            return ExitCode::from(2);
        };
        print!("{}", script(seed, packets as usize));
        return ExitCode::SUCCESS;
    }
    let mut differences = 0;
    for script in &scripts {
        match differ(script) {
            Ok(found) => differences += found,
            Err(e) => {
                eprintln!("{}: {e:#}", script.display());
                return ExitCode::from(2);
            }
        }
    }
    println!("{differences} differences");
    ExitCode::from(u8::from(differences > 0))
}

/// Runs and shows one script; returns how many differences there are.
fn differ(path: &Path) -> Result<usize> {
    let text = std::fs::read_to_string(path)?;
    let (script, faults) = parse(&text);
    if let Some(fault) = faults.first() {
        bail!("{}", fault.draw(&path.display().to_string(), &text));
    }
    let base = path.parent().unwrap_or(Path::new("."));
    let kernel = record(&script, |_| KernelSubject::new(&script, base)).context("the kernel")?;
    let engine = record(&script, |_| EngineSubject::new(&script, base)).context("the engine")?;
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
    let comparison = Comparison::new(&kernel, &engine);
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
