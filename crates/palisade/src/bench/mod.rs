//! `palisade bench`: what a packet costs on this machine (docs/performance.md).

mod case;
mod clock;
mod counter;
mod figure;
mod lane;
mod memory;
mod packets;
mod report;
mod ruleset;
mod threads;
mod work;

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use anyhow::{Result, bail};
use indicatif::{ProgressBar, ProgressStyle};

pub use case::Mix;

use case::{Case, MAX_FLOWS, STANDARD};
use work::{Bench, Settings};

use crate::Exit;
use crate::args::{BenchArguments, Format};
use crate::output::Paint;

/// Time that a round should take: long against the clock's steps and the scheduler's.
const ROUND: Duration = Duration::from_millis(300);

/// The same with `--quick`.
const QUICK_ROUND: Duration = Duration::from_millis(10);

/// Runs `palisade bench`.
pub fn run(arguments: &BenchArguments) -> Result<Exit> {
    let paint = Paint::stdout(arguments.color);
    if arguments.list {
        let mut out = io::stdout().lock();
        for case in STANDARD {
            writeln!(out, "{:<24} {}", case.to_string(), case.about())?;
        }
        return Ok(Exit::Yes);
    }
    let cases = chosen(arguments)?;
    if !arguments.small_pages {
        crate::pages::ask();
    }
    let rules = match &arguments.rules {
        None => None,
        Some(path) => match ruleset::users(path)? {
            Some(rules) => Some(rules),
            None => return Ok(Exit::BadInput),
        },
    };
    let settings = Settings {
        rounds: arguments.rounds as usize,
        budget: if arguments.quick { QUICK_ROUND } else { ROUND },
        packets: arguments.packets,
        sysctls: sysctls(&arguments.sysctl)?,
        quick: arguments.quick,
        rules,
        evaluator: arguments.evaluator.into(),
    };
    let bar = bar(cases.len());
    let case = std::cell::Cell::new(None::<Case>);
    let tell = |what: &str| {
        if let (Some(bar), Some(case)) = (&bar, case.get()) {
            bar.set_message(format!("{case}: {what}"));
        }
    };
    let print = |text: &str| -> io::Result<()> {
        let write = || writeln!(io::stdout().lock(), "{text}");
        match &bar {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    };
    let mut bench = Bench::new(&settings, arguments.batch as usize, &tell);
    let human = arguments.format == Format::Human;
    if human {
        print(&report::head(paint))?;
    }
    let mut done = Vec::new();
    for next in cases {
        case.set(Some(next));
        let figure = bench.run(next)?;
        print(&match human {
            true => report::line(&figure, &done, paint),
            false => report::object(&figure, &done),
        })?;
        done.push(figure);
        if let Some(bar) = &bar {
            bar.inc(1);
        }
    }
    if human {
        print(&report::foot(paint))?;
    }
    if let Some(bar) = &bar {
        bar.finish_and_clear();
    }
    Ok(match done.iter().any(|figure| figure.fault.is_some()) {
        true => Exit::No,
        false => Exit::Yes,
    })
}

/// The cases that the arguments ask for.
fn chosen(arguments: &BenchArguments) -> Result<Vec<Case>> {
    let mut cases = Vec::new();
    for word in &arguments.cases {
        cases.extend(Case::find(word).map_err(anyhow::Error::msg)?);
    }
    let with_flows = |case: &Case| matches!(case, Case::Established(..) | Case::New(..));
    if cases.is_empty() {
        let standard = STANDARD.iter().copied();
        cases = standard
            .filter(|case| !arguments.quick || case.quick())
            .collect();
        // Rules of the user, flows and mix say something about these only.
        if arguments.rules.is_some() || arguments.flows.is_some() || arguments.mix.is_some() {
            cases = STANDARD.to_vec();
            cases.retain(|case| {
                with_flows(case) && (!arguments.quick || arguments.flows.is_some() || case.quick())
            });
        }
    }
    if arguments.rules.is_some()
        && let Some(other) = cases.iter().find(|case| !with_flows(case))
    {
        bail!(
            "case {other} has rules of its own: with --rules only established-N and new-N can be run"
        );
    }
    if arguments.flows.is_some_and(|n| n > MAX_FLOWS) {
        bail!("at most {MAX_FLOWS} flows: each has a client address of its own");
    }
    for case in &mut cases {
        *case = match *case {
            Case::Established(n, mix) => {
                Case::Established(arguments.flows.unwrap_or(n), arguments.mix.unwrap_or(mix))
            }
            Case::New(n, mix) => {
                Case::New(arguments.flows.unwrap_or(n), arguments.mix.unwrap_or(mix))
            }
            other => other,
        };
    }
    // It looks at what the process grows, which says little once others gave memory back.
    cases.sort_by_key(|case| *case != Case::BytesPerConnection);
    let mut seen = Vec::new();
    cases.retain(|case| {
        let first = !seen.contains(case);
        seen.push(*case);
        first
    });
    Ok(cases)
}

/// Sysctls as the arguments give them.
fn sysctls(arguments: &[String]) -> Result<Vec<(String, String)>> {
    let mut sysctls = Vec::new();
    for argument in arguments {
        let Some((name, value)) = argument.split_once('=') else {
            bail!("--sysctl {argument}: NAME=VALUE");
        };
        palisade_conntrack::Config::default().set(name, value)?;
        sysctls.push((name.to_string(), value.to_string()));
    }
    Ok(sysctls)
}

/// Progress, on a terminal.
fn bar(cases: usize) -> Option<ProgressBar> {
    if !io::stderr().is_terminal() {
        return None;
    }
    let style = ProgressStyle::with_template("{bar:20} {pos}/{len} {msg}")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    Some(ProgressBar::new(cases as u64).with_style(style))
}
