//! Diagnostics: plain data; drawing them is the command line's.

use std::fmt;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Severity {
    /// For information.
    Note,
    /// Probably not what is meant.
    Warning,
    /// iptables would refuse it.
    Error,
}

/// Text to put in place of a span.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replacement {
    /// First byte to replace.
    pub start: usize,
    /// After the last byte to replace.
    pub end: usize,
    /// New text.
    pub text: String,
}

/// One finding about a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad.
    pub severity: Severity,
    /// Short name of the kind of finding, stable for programs.
    pub code: &'static str,
    /// What is wrong.
    pub message: String,
    /// Line from 1.
    pub line: u32,
    /// Column from 1, in characters.
    pub column: u32,
    /// First byte within the text.
    pub start: usize,
    /// After the last byte.
    pub end: usize,
    /// What to do about it.
    pub help: Option<String>,
    /// The repair as an edit.
    pub replacement: Option<Replacement>,
    /// What the real program says, without its name and version in front, where that is known.
    pub said: Option<String>,
    /// Whether the program takes it and the kernel refuses: `iptables-restore --test` does not see it.
    pub by_kernel: bool,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.line, self.column, self.message)?;
        if let Some(help) = &self.help {
            write!(f, " (help: {help})")?;
        }
        Ok(())
    }
}

/// The candidate nearest to `word`, if at most a third of it differs; two letters exchanged count as one.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if word.len() > 64 {
        return None;
    }
    candidates
        .into_iter()
        .map(|c| (strsim::osa_distance(word, c), c))
        .min_by_key(|(d, _)| *d)
        .filter(|(d, c)| d * 3 <= c.len().max(3))
        .map(|(_, c)| c)
}
