//! `palisade check` and `palisade fmt`, and the reading of rules for all commands.

use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};
use palisade_rules::{
    Comments, Diagnostic, Family, Parsed, Ruleset, Severity, Tools, parse, print,
};
use serde_json::json;

use crate::Exit;
use crate::args::{CheckArguments, FmtArguments, Format, ToolsArgument};
use crate::diagnostics;
use crate::output::Paint;
use crate::sets;

/// A rules file with what was found in it.
pub struct RulesFile {
    /// Its text.
    pub text: String,
    /// Its meaning.
    pub parsed: Parsed,
}

/// Reads rules; bytes that are no UTF-8 are replaced.
pub fn read(path: &Path, family: Family) -> Result<RulesFile> {
    let options = parse::Options {
        family,
        ..parse::Options::default()
    };
    read_as(path, &options)
}

/// Reads a rules file as one of the tools does.
fn read_as(path: &Path, options: &parse::Options) -> Result<RulesFile> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let parsed = parse::auto_as(&text, options);
    Ok(RulesFile { text, parsed })
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

fn family(v6: bool) -> Family {
    if v6 { Family::V6 } else { Family::V4 }
}

/// `palisade check`.
pub fn check(arguments: &CheckArguments) -> Result<Exit> {
    let paint = Paint::stdout(arguments.color);
    let mut out = std::io::stdout().lock();
    let (mut errors, mut warnings, mut notes) = (0, 0, 0);
    let sets = match sets::read(&arguments.ipset, Paint::stderr(arguments.color))? {
        Ok(sets) => sets,
        Err(_) => return Ok(Exit::BadInput),
    };
    for path in &arguments.files {
        let mut file = read(path, family(arguments.v6))?;
        sets::check(&mut file, sets.as_ref());
        for d in &file.parsed.diagnostics {
            match d.severity {
                Severity::Error => errors += 1,
                Severity::Warning => warnings += 1,
                Severity::Note => notes += 1,
            }
            match arguments.format {
                Format::Human => writeln!(
                    out,
                    "{}",
                    diagnostics::draw(d, &file.text, &path.display().to_string(), paint)
                )?,
                Format::Json => writeln!(out, "{}", to_json(d, path))?,
            }
        }
    }
    match arguments.format {
        Format::Human => writeln!(out, "{errors} errors, {warnings} warnings, {notes} notes")?,
        Format::Json => writeln!(
            out,
            "{}",
            json!({"summary": {"errors": errors, "warnings": warnings, "notes": notes}})
        )?,
    }
    Ok(if errors > 0 {
        Exit::BadInput
    } else if warnings > 0 && arguments.deny.is_some() {
        Exit::No
    } else {
        Exit::Yes
    })
}

fn to_json(d: &Diagnostic, path: &Path) -> serde_json::Value {
    json!({
        "file": path.display().to_string(),
        "severity": match d.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Note => "note",
        },
        "code": d.code,
        "message": d.message,
        "line": d.line,
        "column": d.column,
        "start": d.start,
        "end": d.end,
        "help": d.help,
        "replacement": d.replacement.as_ref().map(|r| json!({"start": r.start, "end": r.end, "text": r.text})),
    })
}

/// `palisade fmt`.
pub fn fmt(arguments: &FmtArguments) -> Result<Exit> {
    let tools = match arguments.tools {
        ToolsArgument::Legacy => Tools::Legacy,
        ToolsArgument::Nft => Tools::Nft,
    };
    let options = parse::Options {
        family: family(arguments.v6),
        tools,
        counters: arguments.counters,
        ..parse::Options::default()
    };
    let file = read_as(&arguments.file, &options)?;
    if file.parsed.has_errors() {
        tell(
            &file,
            &arguments.file,
            Severity::Error,
            Paint::stderr(arguments.color),
        );
        return Ok(Exit::BadInput);
    }
    let rulesets: Vec<&Ruleset> = [&file.parsed.v4, &file.parsed.v6]
        .into_iter()
        .flatten()
        .collect();
    let mut comments = match arguments.keep_comments {
        true => Comments::of(&file.text, &rulesets),
        false => Comments::default(),
    };
    let mut text = String::new();
    for ruleset in &rulesets {
        // Two saves in one text: say which is whose.
        if rulesets.len() > 1 {
            text.push_str(match ruleset.family {
                Family::V4 => "# iptables\n",
                Family::V6 => "# ip6tables\n",
            });
        }
        text.push_str(&print::save_with(
            ruleset,
            arguments.counters,
            tools,
            &mut comments,
        ));
    }
    comments.end(&mut text);
    std::io::stdout().lock().write_all(text.as_bytes())?;
    Ok(Exit::Yes)
}
