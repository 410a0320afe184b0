//! Runs packet scripts on the kernel and on the engine and shows both side by side.
//!
//! ```text
//! differ [--nft] [--each-step] SCRIPT…
//! differ by-chance SEED PACKETS      prints a script made by chance
//! ```
//!
//! `--nft` loads the rules with iptables-nft rather than iptables-legacy; `--each-step` compares connections,
//! expectations and lists after every packet, not only at the end of a test.
//!
//! As root. Exits with 1 when anything differs, 2 when something could not be run.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Result, bail};
use palisade_capture::script::{Seen, parse};
use palisade_testkit::compare::{PacketRecord, Record};
use palisade_testkit::generate::script;
use palisade_testkit::kernel::Tools;
use palisade_testkit::machine::{Options, Run, run};

fn main() -> ExitCode {
    let mut scripts: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let mut options = Options::default();
    scripts.retain(|word| match word.to_str() {
        Some("--nft") => {
            options.tools = Tools::Nft;
            false
        }
        Some("--each-step") => {
            options.each_step = true;
            false
        }
        _ => true,
    });
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
        match differ(script, options) {
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
