//! `palisade check`: what iptables refuses, and what the lints find.

mod explain;
mod family;
mod measure;
mod sarif;

use std::io::{self, Write};
use std::path::Path;

use anyhow::{Context, Result, bail};
use palisade_analysis::{Finding, Lint, Source};
use palisade_conntrack::Config;
use palisade_engine::{Evaluator, Setup};
use palisade_rules::{Family, Severity, diagnostic, ipset, parse};
use serde_json::json;

use crate::Exit;
use crate::args::{CheckArguments, CheckFormat};
use crate::diagnostics::{self, Shown};
use crate::output::Paint;
use crate::rules::{self, RulesFile};
use crate::{host, infer, sets};

/// A file with all that was found in it, in the order of its text.
struct Checked {
    name: String,
    file: RulesFile,
    lints: Vec<Finding>,
}

impl Checked {
    fn shown(&self) -> Vec<Shown<'_>> {
        let mut all: Vec<Shown<'_>> = (self.file.parsed.diagnostics.iter())
            .map(Shown::from)
            .chain(self.lints.iter().map(Shown::from))
            .collect();
        all.sort_by_key(|s| s.start);
        all
    }
}

/// `palisade check`.
pub fn run(arguments: &CheckArguments) -> Result<Exit> {
    let paint = Paint::stdout(arguments.color);
    let mut out = io::stdout().lock();
    if arguments.list_lints {
        explain::list(&mut out)?;
        return Ok(Exit::Yes);
    }
    if let Some(code) = &arguments.explain {
        explain::one(&mut out, lint(code)?, paint)?;
        return Ok(Exit::Yes);
    }
    let allowed = (arguments.allow.iter())
        .map(|code| lint(code))
        .collect::<Result<Vec<_>>>()?;
    let denied = (arguments.deny.iter())
        .filter(|d| d.as_str() != "warnings")
        .map(|code| lint(code))
        .collect::<Result<Vec<_>>>()?;
    let all_warnings = arguments.deny.iter().any(|d| d == "warnings");

    let mut ipsets = arguments.ipset.clone();
    let mut config = Config::default();
    let host = host::told(
        arguments.host.as_deref(),
        &arguments.local,
        &arguments.interface,
        &mut config,
        &mut ipsets,
    )?;
    let sets = match sets::read(&ipsets, Paint::stderr(arguments.color))? {
        Ok(sets) => sets,
        Err(_) => return Ok(Exit::BadInput),
    };
    let mut checked = read(arguments, &allowed, sets.as_ref())?;
    if let Some(capture) = &arguments.pcap
        && !allowed.iter().any(|l| l.code == "PL002")
    {
        let setup = Setup {
            host: match host {
                Some(host) => host,
                None => infer::host(capture)
                    .with_context(|| format!("cannot read {}", capture.display()))?,
            },
            conntrack: config,
            ipsets: sets.unwrap_or_default(),
            // What is measured is how far a packet goes through the rules as they are written.
            evaluator: Evaluator::Linear,
            ..Setup::default()
        };
        measure::add(&setup, capture, &mut checked)?;
    }
    let mut count = Count::default();
    let mut fails = false;
    for file in &checked {
        for s in file.shown() {
            count.add(s.severity);
            fails |= s.severity == Severity::Warning && all_warnings
                || s.lint && denied.iter().any(|l| l.code == s.code);
        }
    }
    match arguments.format {
        CheckFormat::Human => human(&mut out, &checked, &count, paint)?,
        CheckFormat::Json => json(&mut out, &checked, &count)?,
        CheckFormat::Sarif => {
            serde_json::to_writer_pretty(&mut out, &sarif::log(&checked))?;
            writeln!(out)?;
        }
    }
    Ok(if count.errors > 0 {
        Exit::BadInput
    } else if fails {
        Exit::No
    } else {
        Exit::Yes
    })
}

/// Reads all files and runs the lints over those that iptables would take: in a file with errors rules are missing, and
/// what their absence does is not worth a word.
fn read(
    arguments: &CheckArguments,
    allowed: &[&Lint],
    sets: Option<&ipset::Sets>,
) -> Result<Vec<Checked>> {
    let mut checked = Vec::new();
    let named = (arguments.files.iter().map(|f| (f, arguments.v6)))
        .chain(arguments.rules6.iter().map(|f| (f, true)));
    for (path, v6) in named {
        let text = rules::text(path)?;
        let family = if v6 {
            Family::V6
        } else {
            family::guess(path, &text)
        };
        let parsed = parse::auto(&text, family);
        let mut file = RulesFile { text, parsed };
        sets::check(&mut file, sets);
        checked.push(Checked {
            name: name(path),
            file,
            lints: Vec::new(),
        });
    }
    let sound: Vec<usize> = (0..checked.len())
        .filter(|i| !checked[*i].file.parsed.has_errors())
        .collect();
    let sources: Vec<Source<'_>> = sound
        .iter()
        .map(|i| Source {
            text: &checked[*i].file.text,
            parsed: &checked[*i].file.parsed,
        })
        .collect();
    let found = palisade_analysis::check(&sources);
    for finding in found {
        if !allowed.iter().any(|l| l.code == finding.lint.code) {
            checked[sound[finding.file]].lints.push(finding);
        }
    }
    Ok(checked)
}

/// Line and column of a byte, from 1, the column in characters.
fn place(text: &str, at: usize) -> (u32, u32) {
    let before = text.get(..at).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |n| n + 1);
    (
        before.matches('\n').count() as u32 + 1,
        before[line_start..].chars().count() as u32 + 1,
    )
}

fn name(path: &Path) -> String {
    path.display().to_string()
}

/// A lint by its number or name.
fn lint(code: &str) -> Result<&'static Lint> {
    if let Some(lint) = palisade_analysis::find(code) {
        return Ok(lint);
    }
    let names = palisade_analysis::CATALOGUE
        .iter()
        .flat_map(|l| [l.code, l.name]);
    match diagnostic::nearest(code, names) {
        Some(near) => bail!("there is no lint '{code}'; did you mean {near}?"),
        None => bail!("there is no lint '{code}'; palisade check --list-lints names them"),
    }
}

#[derive(Default)]
struct Count {
    errors: usize,
    warnings: usize,
    notes: usize,
}

impl Count {
    fn add(&mut self, severity: Severity) {
        match severity {
            Severity::Error => self.errors += 1,
            Severity::Warning => self.warnings += 1,
            Severity::Note => self.notes += 1,
        }
    }
}

fn human(out: &mut impl Write, checked: &[Checked], count: &Count, paint: Paint) -> io::Result<()> {
    let mut lints = false;
    for file in checked {
        for s in file.shown() {
            lints |= s.lint;
            writeln!(
                out,
                "{}",
                diagnostics::draw_shown(&s, &file.file.text, &file.name, paint)
            )?;
        }
    }
    let n = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
    write!(
        out,
        "{}, {}, {}",
        n(count.errors, "error"),
        n(count.warnings, "warning"),
        n(count.notes, "note")
    )?;
    writeln!(
        out,
        "{}",
        if lints {
            "; palisade check --explain PL… tells more"
        } else {
            ""
        }
    )
}

fn json(out: &mut impl Write, checked: &[Checked], count: &Count) -> io::Result<()> {
    for file in checked {
        for s in file.shown() {
            let line = json!({
                "file": file.name,
                "severity": severity(s.severity),
                "code": s.code,
                "message": s.message,
                "line": s.line,
                "column": s.column,
                "start": s.start,
                "end": s.end,
                "notes": s.notes,
                "help": s.help,
                "replacement": s.replacement.map(|r| json!({"start": r.start, "end": r.end, "text": r.text})),
            });
            writeln!(out, "{line}")?;
        }
    }
    let summary = json!({"summary": {"errors": count.errors, "warnings": count.warnings, "notes": count.notes}});
    writeln!(out, "{summary}")
}

fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Note => "note",
    }
}
