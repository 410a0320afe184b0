//! SARIF 2.1.0 (OASIS): findings as continuous integration and editors read them.
//!
//! Columns count UTF-16 code units, from 1, the end exclusive.

use palisade_analysis::CATALOGUE;
use palisade_rules::Severity;
use serde_json::{Value, json};

use super::Checked;
use crate::diagnostics::Shown;

/// The whole log.
pub(super) fn log(checked: &[Checked]) -> Value {
    let mut rules: Vec<Value> = CATALOGUE
        .iter()
        .map(|lint| {
            json!({
                "id": lint.code,
                "name": camel(lint.name),
                "shortDescription": {"text": lint.title},
                "fullDescription": {"text": lint.reason},
                "help": {
                    "text": format!("{}\n\nWhat to do: {}.", lint.reason, lint.fix),
                    "markdown": format!("{}\n\n**What to do:** {}.", lint.reason, lint.fix),
                },
                "defaultConfiguration": {"level": level(lint.severity)},
                "properties": {"documentation": format!("docs/lints.md#{}", lint.code.to_lowercase())},
            })
        })
        .collect();
    let mut ids: Vec<&str> = CATALOGUE.iter().map(|l| l.code).collect();
    let mut results = Vec::new();
    for file in checked {
        for s in file.shown() {
            let index = match ids.iter().position(|id| *id == s.code) {
                Some(index) => index,
                None => {
                    // A finding of the language: its short name is the rule.
                    ids.push(s.code);
                    rules.push(json!({
                        "id": s.code,
                        "name": camel(s.code),
                        "shortDescription": {"text": s.code.replace('-', " ")},
                        "defaultConfiguration": {"level": level(s.severity)},
                    }));
                    ids.len() - 1
                }
            };
            results.push(result(file, &s, index));
        }
    }
    json!({
        "$schema": "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": "palisade",
                "version": env!("CARGO_PKG_VERSION"),
                "rules": rules,
            }},
            "columnKind": "utf16CodeUnits",
            "artifacts": checked.iter().map(|f| json!({"location": {"uri": uri(&f.name)}})).collect::<Vec<_>>(),
            "results": results,
        }],
    })
}

fn result(file: &Checked, s: &Shown<'_>, index: usize) -> Value {
    let mut text = s.message.to_string();
    for note in s.notes {
        text.push('\n');
        text.push_str(note);
    }
    if let Some(help) = s.help {
        text.push_str("\nhelp: ");
        text.push_str(help);
    }
    let mut result = json!({
        "ruleId": s.code,
        "ruleIndex": index,
        "level": level(s.severity),
        "message": {"text": text},
        "locations": [{"physicalLocation": {
            "artifactLocation": {"uri": uri(&file.name)},
            "region": region(&file.file.text, s.start, s.end),
        }}],
    });
    if let Some(r) = s.replacement {
        result["fixes"] = json!([{
            "description": {"text": s.help.unwrap_or("the repair")},
            "artifactChanges": [{
                "artifactLocation": {"uri": uri(&file.name)},
                "replacements": [{
                    "deletedRegion": region(&file.file.text, r.start, r.end),
                    "insertedContent": {"text": r.text},
                }],
            }],
        }]);
    }
    result
}

fn region(text: &str, start: usize, end: usize) -> Value {
    let (line, column) = place(text, start);
    let (end_line, end_column) = place(text, end.max(start));
    json!({"startLine": line, "startColumn": column, "endLine": end_line, "endColumn": end_column})
}

/// Line and column of a byte, both from 1, the column in UTF-16 code units.
fn place(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |n| n + 1);
    (
        before.matches('\n').count() + 1,
        before[line_start..].encode_utf16().count() + 1,
    )
}

fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Note => "note",
    }
}

/// `log-unlimited` as `LogUnlimited`.
fn camel(name: &str) -> String {
    name.split('-')
        .map(|part| {
            let mut letters = part.chars();
            letters
                .next()
                .map(|first| first.to_ascii_uppercase().to_string() + letters.as_str())
                .unwrap_or_default()
        })
        .collect()
}

/// A path as a URI reference (RFC 3986): what is not allowed there is percent-encoded.
fn uri(path: &str) -> String {
    let mut out = String::new();
    if path.starts_with('/') {
        out.push_str("file://");
    }
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_count_code_units_and_paths_are_escaped() {
        // An umlaut is one unit, a face outside the basic plane two.
        let text = "a\n# ü 😀 x\n";
        let at = text.find('x').unwrap();
        assert_eq!(place(text, at), (2, 8));
        assert_eq!(uri("/etc/my rules.v4"), "file:///etc/my%20rules.v4");
        assert_eq!(uri("rules/a:b"), "rules/a%3Ab");
    }
}
