//! Findings about a text, drawn: place, line, underline, repair.

use anstyle::AnsiColor;
use palisade_rules::{Diagnostic, Severity};

use crate::output::Paint;

/// Longest part of a line that is shown, in characters; a longer one is cut around the span.
const MAX_SHOWN: usize = 160;

/// One finding, drawn.
pub fn draw(d: &Diagnostic, source: &str, file: &str, paint: Paint) -> String {
    let (word, color) = match d.severity {
        Severity::Error => ("error", AnsiColor::Red),
        Severity::Warning => ("warning", AnsiColor::Yellow),
        Severity::Note => ("note", AnsiColor::Cyan),
    };
    let mut out = format!("{}: {}\n", paint.bold(color, word), d.message);
    let gutter = d.line.to_string().len();
    let bar = paint.color(AnsiColor::Blue, "|");
    out.push_str(&format!(
        "{:gutter$}{} {file}:{}:{}\n",
        "",
        paint.color(AnsiColor::Blue, "-->"),
        d.line,
        d.column
    ));
    let line_start = source[..d.start.min(source.len())]
        .rfind('\n')
        .map_or(0, |n| n + 1);
    let line_end = source[line_start..]
        .find('\n')
        .map_or(source.len(), |n| line_start + n);
    let line = source[line_start..line_end].trim_end_matches('\r');
    let before = source
        .get(line_start..d.start)
        .map_or(0, |b| b.chars().count());
    let end = d.end.min(line_end).max(d.start);
    let width = source
        .get(d.start..end)
        .map_or(1, |s| s.chars().count())
        .max(1);
    // Tabs would tear text and underline apart.
    let shown: Vec<char> = line
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    let first = if shown.len() > MAX_SHOWN {
        before.saturating_sub(MAX_SHOWN / 2)
    } else {
        0
    };
    let text: String = shown.iter().skip(first).take(MAX_SHOWN).collect();
    let width = width.min(MAX_SHOWN.saturating_sub(before - first).max(1));
    out.push_str(&format!("{:gutter$} {bar}\n", ""));
    out.push_str(&format!(
        "{} {bar} {text}\n",
        paint.color(AnsiColor::Blue, &d.line.to_string())
    ));
    out.push_str(&format!(
        "{:gutter$} {bar} {:pad$}{}\n",
        "",
        "",
        paint.bold(color, &"^".repeat(width)),
        pad = before - first
    ));
    if let Some(help) = &d.help {
        out.push_str(&format!(
            "{:gutter$} {} {}: {help}\n",
            "",
            paint.color(AnsiColor::Blue, "="),
            paint.bold(AnsiColor::Green, "help")
        ));
    }
    out
}
