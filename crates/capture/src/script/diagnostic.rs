//! What is wrong with a script: plain data, drawn by whoever shows it.

use std::fmt;

use super::model::Span;

/// A fault in a script's text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ScriptDiagnostic {
    /// What kind of fault, for programs: `unknown-word`, `missing-word`, ….
    pub code: &'static str,
    /// One sentence.
    pub message: String,
    /// Its place.
    pub span: Span,
    /// How to repair it, when that is known.
    pub help: Option<String>,
    /// Text to put in place of the span, when the repair is that simple.
    pub replacement: Option<String>,
}

impl ScriptDiagnostic {
    /// A fault at `span`.
    pub fn new(code: &'static str, span: Span, message: impl Into<String>) -> Self {
        ScriptDiagnostic {
            code,
            message: message.into(),
            span,
            help: None,
            replacement: None,
        }
    }

    /// With advice.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// With the text to write instead.
    #[must_use]
    pub fn replace(mut self, replacement: impl Into<String>) -> Self {
        let replacement = replacement.into();
        if self.help.is_none() {
            self.help = Some(format!("write `{replacement}`"));
        }
        self.replacement = Some(replacement);
        self
    }

    /// The fault with its source line underlined, as plain text of several lines:
    ///
    /// ```text
    /// ssh.pal:7:32: no such word: `expct`
    ///     7 | expct NEW ACCEPT
    ///       | ^^^^^
    ///       = write `expect`
    /// ```
    pub fn draw(&self, file: &str, text: &str) -> String {
        let mut out = format!(
            "{file}:{}:{}: {}\n",
            self.span.line, self.span.column, self.message
        );
        let index = self.span.line.saturating_sub(1) as usize;
        if let Some(line) = text.lines().nth(index) {
            let number = format!("{:5}", self.span.line);
            let before = self.span.column.saturating_sub(1) as usize;
            let pad: String = line
                .chars()
                .take(before)
                .map(|c| if c == '\t' { '\t' } else { ' ' })
                .collect();
            let there = line.chars().count().saturating_sub(before).max(1);
            let width = text
                .get(self.span.start..self.span.end)
                .map_or(1, |s| s.chars().count())
                .clamp(1, there);
            out.push_str(&format!("{number} | {line}\n"));
            out.push_str(&format!("      | {pad}{}\n", "^".repeat(width)));
        }
        if let Some(help) = &self.help {
            out.push_str(&format!("      = {help}\n"));
        }
        out
    }
}

impl fmt::Display for ScriptDiagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}:{}: {}",
            self.span.line, self.span.column, self.message
        )?;
        if let Some(help) = &self.help {
            write!(f, " ({help})")?;
        }
        Ok(())
    }
}

/// The word of `known` that `word` was probably meant to be: at most a third of its letters differ
/// (swapped neighbours count once), case ignored.
pub fn nearest<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let bound = (word.chars().count() / 3).clamp(1, 3);
    known
        .into_iter()
        .map(|k| (distance(&word.to_lowercase(), &k.to_lowercase()), k))
        .filter(|(d, _)| *d <= bound)
        .min_by_key(|(d, _)| *d)
        .map(|(_, k)| k)
}

/// Edits that turn `a` into `b`: insertions, removals, changes, swaps of neighbours. Words are short;
/// longer ones than 64 characters are far from everything.
fn distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.chars().take(65).collect();
    let b: Vec<char> = b.chars().take(65).collect();
    if a.len() > 64 || b.len() > 64 {
        return usize::MAX;
    }
    let mut before_last = vec![0; b.len() + 1];
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, &x) in a.iter().enumerate() {
        let mut row = vec![i + 1; b.len() + 1];
        for (j, &y) in b.iter().enumerate() {
            let change = last[j] + usize::from(x != y);
            let mut best = change.min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && x == b[j - 1] && a[i - 1] == y {
                best = best.min(before_last[j - 1] + 1);
            }
            row[j + 1] = best;
        }
        before_last = last;
        last = row;
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_forgives_typing_but_does_not_guess() {
        let known = ["expect", "host", "interface", "rules"];
        for (typed, meant) in [
            ("expct", Some("expect")),
            ("EXPECT", Some("expect")),
            ("hsot", Some("host")),
            ("interfaces", Some("interface")),
            ("penguin", None),
            ("x", None),
        ] {
            assert_eq!(nearest(typed, known), meant, "{typed}");
        }
    }
}
