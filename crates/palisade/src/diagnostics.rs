//! Findings about a text, drawn: place, line, underline, repair.

use anstyle::AnsiColor;
use palisade_analysis::Finding;
use palisade_live::control::message;
use palisade_rules::{Diagnostic, Replacement, Severity};

use crate::output::Paint;

/// Longest part of a line that is shown, in characters; a longer one is cut around the span.
const MAX_SHOWN: usize = 160;

/// A finding of the language or of a lint, as it is shown.
#[derive(Clone, Debug)]
pub struct Shown<'a> {
    /// How bad.
    pub severity: Severity,
    /// Short name, or the number of a lint.
    pub code: &'a str,
    /// Whether a lint found it.
    pub lint: bool,
    /// What is wrong.
    pub message: &'a str,
    /// Line from 1.
    pub line: u32,
    /// Column from 1, in characters.
    pub column: u32,
    /// First byte within the text.
    pub start: usize,
    /// After the last byte.
    pub end: usize,
    /// More about it.
    pub notes: &'a [String],
    /// What to do.
    pub help: Option<&'a str>,
    /// The repair as an edit.
    pub replacement: Option<&'a Replacement>,
}

impl<'a> From<&'a Diagnostic> for Shown<'a> {
    fn from(d: &'a Diagnostic) -> Self {
        Shown {
            severity: d.severity,
            code: d.code,
            lint: false,
            message: &d.message,
            line: d.line,
            column: d.column,
            start: d.start,
            end: d.end,
            notes: &[],
            help: d.help.as_deref(),
            replacement: d.replacement.as_ref(),
        }
    }
}

impl<'a> From<&'a Finding> for Shown<'a> {
    fn from(f: &'a Finding) -> Self {
        Shown {
            severity: f.lint.severity,
            code: f.lint.code,
            lint: true,
            message: &f.message,
            line: f.line,
            column: f.column,
            start: f.start,
            end: f.end,
            notes: &f.notes,
            help: Some(&f.help),
            replacement: f.replacement.as_ref(),
        }
    }
}

impl<'a> From<&'a message::Finding> for Shown<'a> {
    fn from(f: &'a message::Finding) -> Self {
        Shown {
            severity: f.severity.into(),
            code: &f.code,
            lint: false,
            message: &f.message,
            line: f.line,
            column: f.column,
            start: f.start,
            end: f.end,
            notes: &[],
            help: f.help.as_deref(),
            replacement: None,
        }
    }
}

/// One finding of the language, drawn.
pub fn draw(d: &Diagnostic, source: &str, file: &str, paint: Paint) -> String {
    draw_shown(&Shown::from(d), source, file, paint)
}

/// One finding, drawn.
pub fn draw_shown(d: &Shown<'_>, source: &str, file: &str, paint: Paint) -> String {
    let (word, color) = match d.severity {
        Severity::Error => ("error", AnsiColor::Red),
        Severity::Warning => ("warning", AnsiColor::Yellow),
        Severity::Note => ("note", AnsiColor::Cyan),
    };
    // The names of the language's findings are for programs; a lint's number is what --explain takes.
    let word = if d.lint {
        format!("{word}[{}]", d.code)
    } else {
        word.to_string()
    };
    let mut out = format!("{}: {}\n", paint.bold(color, &word), d.message);
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
    for note in d.notes {
        out.push_str(&format!(
            "{:gutter$} {} {}: {note}\n",
            "",
            paint.color(AnsiColor::Blue, "="),
            paint.bold(AnsiColor::Cyan, "note")
        ));
    }
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
