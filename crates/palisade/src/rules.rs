//! `palisade fmt`, and the reading of rules for all commands.

use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};
use palisade_rules::{Family, Parsed, Severity, parse, print};

use crate::Exit;
use crate::args::FmtArguments;
use crate::diagnostics;
use crate::output::Paint;

/// A rules file with what was found in it.
pub struct RulesFile {
    /// Its text.
    pub text: String,
    /// Its meaning.
    pub parsed: Parsed,
}

/// Reads rules; bytes that are no UTF-8 are replaced.
pub fn read(path: &Path, family: Family) -> Result<RulesFile> {
    let text = text(path)?;
    let parsed = parse::auto(&text, family);
    Ok(RulesFile { text, parsed })
}

/// Reads a text; bytes that are no UTF-8 are replaced.
pub fn text(path: &Path) -> Result<String> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Draws findings of at least a severity to standard error.
pub fn tell(file: &RulesFile, path: &Path, least: Severity, paint: Paint) {
    for d in file
        .parsed
        .diagnostics
        .iter()
        .filter(|d| d.severity >= least)
    {
        eprintln!(
            "{}",
            diagnostics::draw(d, &file.text, &path.display().to_string(), paint)
        );
    }
}

/// The family that `-6` says.
pub fn family(v6: bool) -> Family {
    if v6 { Family::V6 } else { Family::V4 }
}

/// `palisade fmt`.
pub fn fmt(arguments: &FmtArguments) -> Result<Exit> {
    let file = read(&arguments.file, family(arguments.v6))?;
    if file.parsed.has_errors() {
        tell(
            &file,
            &arguments.file,
            Severity::Error,
            Paint::stderr(arguments.color),
        );
        return Ok(Exit::BadInput);
    }
    let mut out = std::io::stdout().lock();
    for ruleset in [&file.parsed.v4, &file.parsed.v6].into_iter().flatten() {
        out.write_all(print::save(ruleset, arguments.counters).as_bytes())?;
    }
    Ok(Exit::Yes)
}
