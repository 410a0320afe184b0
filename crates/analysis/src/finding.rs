//! What a lint found, and where.

use palisade_rules::{Parsed, Replacement};

use crate::lints::Lint;
use crate::places::Places;

/// A text with its meaning.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// The text.
    pub text: &'a str,
    /// What it says.
    pub parsed: &'a Parsed,
}

/// One finding.
#[derive(Clone, Debug)]
pub struct Finding {
    /// The lint that found it.
    pub lint: &'static Lint,
    /// Which of the files, from 0.
    pub file: usize,
    /// What is wrong here.
    pub message: String,
    /// First byte within the text.
    pub start: usize,
    /// After the last byte.
    pub end: usize,
    /// Line from 1.
    pub line: u32,
    /// Column from 1, in characters.
    pub column: u32,
    /// More about it: the way of the packet, other lines.
    pub notes: Vec<String>,
    /// What to do here.
    pub help: String,
    /// The repair as an edit.
    pub replacement: Option<Replacement>,
}

/// Collects findings.
pub(crate) struct Report<'a> {
    pub(crate) findings: Vec<Finding>,
    places: &'a [Places<'a>],
    lint: Option<&'static Lint>,
    file: usize,
}

/// Most findings of one lint in one file that are kept.
const MAX_OF_A_LINT: usize = 200;

impl<'a> Report<'a> {
    pub(crate) fn new(places: &'a [Places<'a>]) -> Self {
        Report {
            findings: Vec::new(),
            places,
            lint: None,
            file: 0,
        }
    }

    pub(crate) fn begin(&mut self, lint: &'static Lint, file: usize) {
        self.lint = Some(lint);
        self.file = file;
    }

    /// Findings from here on are about this file.
    pub(crate) fn about(&mut self, file: usize) {
        self.file = file;
    }

    /// Adds a finding about a span; the help is the lint's own words unless `help` says better.
    pub(crate) fn add(&mut self, span: (usize, usize), message: impl Into<String>) -> Added<'_> {
        let Some(lint) = self.lint else {
            return Added(None);
        };
        let same = (self.findings.iter())
            .filter(|f| f.lint.code == lint.code && f.file == self.file)
            .count();
        let Some(places) = self.places.get(self.file).filter(|_| same < MAX_OF_A_LINT) else {
            return Added(None);
        };
        let message = message.into();
        // A chain that two built-in chains share is told about once.
        if let Some(before) = (self.findings.iter_mut())
            .find(|f| f.lint.code == lint.code && f.file == self.file && (f.start, f.end) == span)
        {
            if before.message != message && !before.notes.contains(&message) {
                before.notes.push(format!("also: {message}"));
            }
            return Added(None);
        }
        let (line, column) = places.line_and_column(span.0);
        self.findings.push(Finding {
            lint,
            file: self.file,
            message,
            start: span.0,
            end: span.1,
            line,
            column,
            notes: Vec::new(),
            help: lint.fix.to_string(),
            replacement: None,
        });
        Added(self.findings.last_mut())
    }
}

/// A finding just added, to say more about.
pub(crate) struct Added<'a>(Option<&'a mut Finding>);

impl Added<'_> {
    pub(crate) fn help(mut self, text: impl Into<String>) -> Self {
        if let Some(f) = &mut self.0 {
            f.help = text.into();
        }
        self
    }

    pub(crate) fn note(mut self, text: impl Into<String>) -> Self {
        if let Some(f) = &mut self.0 {
            f.notes.push(text.into());
        }
        self
    }

    pub(crate) fn replace(mut self, span: (usize, usize), text: impl Into<String>) -> Self {
        if let Some(f) = &mut self.0 {
            f.replacement = Some(Replacement {
                start: span.0,
                end: span.1,
                text: text.into(),
            });
        }
        self
    }
}
