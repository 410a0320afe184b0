//! Files of sets (ipset).

use std::path::PathBuf;

use anyhow::{Context, Result};
use palisade_rules::{Diagnostic, ipset};

use crate::diagnostics;
use crate::output::Paint;
use crate::rules::RulesFile;

/// The findings about a file of sets are errors, and have been told.
pub struct Wrong;

/// Reads files in the language of `ipset restore`, one going on with what the other made; tells what is wrong with
/// them. `None` without files.
pub fn read(paths: &[PathBuf], paint: Paint) -> Result<Result<Option<ipset::Sets>, Wrong>> {
    let mut sets = None;
    let mut good = true;
    for path in paths {
        let bytes =
            std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        let text = String::from_utf8_lossy(&bytes);
        let parsed = ipset::parse_onto(sets.unwrap_or_default(), &text);
        for d in &parsed.diagnostics {
            let drawn = diagnostics::draw(d, &text, &path.display().to_string(), paint);
            eprintln!("{drawn}");
        }
        good &= !parsed.has_errors();
        sets = Some(parsed.sets);
    }
    Ok(if good { Ok(sets) } else { Err(Wrong) })
}

/// What is wrong with the sets that rules of a text name.
pub fn findings(
    text: &str,
    parsed: &palisade_rules::Parsed,
    sets: Option<&ipset::Sets>,
) -> Vec<Diagnostic> {
    [&parsed.v4, &parsed.v6]
        .into_iter()
        .flatten()
        .flat_map(|ruleset| ipset::check(text, ruleset, sets))
        .collect()
}

/// Adds these findings to a file's own, in the order of the text.
pub fn check(file: &mut RulesFile, sets: Option<&ipset::Sets>) {
    let found = findings(&file.text, &file.parsed, sets);
    if found.is_empty() {
        return;
    }
    let all = &mut file.parsed.diagnostics;
    all.extend(found);
    all.sort_by_key(|d| d.start);
}
