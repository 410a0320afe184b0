//! `--list-lints` and `--explain`.

use std::io::{self, Write};

use anstyle::AnsiColor;
use palisade_analysis::{CATALOGUE, Lint};

use super::severity;
use crate::output::Paint;

/// Widest line of a paragraph.
const WIDTH: usize = 100;

pub(super) fn list(out: &mut impl Write) -> io::Result<()> {
    for lint in CATALOGUE {
        writeln!(
            out,
            "{}  {:8} {:20}  {}",
            lint.code,
            severity(lint.severity),
            lint.name,
            lint.title
        )?;
    }
    Ok(())
}

pub(super) fn one(out: &mut impl Write, lint: &Lint, paint: Paint) -> io::Result<()> {
    writeln!(
        out,
        "{} {} ({})",
        paint.bold(AnsiColor::Yellow, lint.code),
        lint.name,
        severity(lint.severity)
    )?;
    writeln!(out, "\n{}", wrapped(&sentence(lint.title)))?;
    writeln!(out, "\n{}", wrapped(lint.reason))?;
    writeln!(out, "\n{}", wrapped(&format!("What to do: {}.", lint.fix)))?;
    for (word, color, example) in [
        ("Bad", AnsiColor::Red, &lint.bad),
        ("Good", AnsiColor::Green, &lint.good),
    ] {
        for (family, text) in [("", example.v4), (" (IPv6)", example.v6)] {
            if text.is_empty() {
                continue;
            }
            writeln!(out, "\n{}{family}:", paint.bold(color, word))?;
            for line in text.lines() {
                writeln!(out, "    {line}")?;
            }
        }
    }
    writeln!(
        out,
        "\n{}",
        wrapped(&format!(
            "To allow it, write '# palisade: allow {} why' on the line before, or give --allow {}.",
            lint.code, lint.code
        ))
    )
}

fn wrapped(text: &str) -> String {
    let mut out = String::new();
    let mut column = 0;
    for word in text.split_whitespace() {
        let width = word.chars().count();
        if column > 0 && column + 1 + width > WIDTH {
            out.push('\n');
            column = 0;
        } else if column > 0 {
            out.push(' ');
            column += 1;
        }
        out.push_str(word);
        column += width;
    }
    out
}

/// With a capital letter and a full stop.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    match letters.next() {
        Some(first) => format!("{}{}.", first.to_uppercase(), letters.as_str()),
        None => String::new(),
    }
}
