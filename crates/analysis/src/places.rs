//! Places in a text: lines, columns, words of a rule, the line that makes a chain.

use palisade_rules::{Position, TableKind};

/// A text with its lines.
#[derive(Debug)]
pub(crate) struct Places<'a> {
    text: &'a str,
    starts: Vec<usize>,
}

impl<'a> Places<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Places {
            text,
            starts: std::iter::once(0)
                .chain(text.match_indices('\n').map(|(i, _)| i + 1))
                .collect(),
        }
    }

    /// Line and column from 1; the column counts characters.
    pub(crate) fn line_and_column(&self, at: usize) -> (u32, u32) {
        let line = self.starts.partition_point(|s| *s <= at).max(1);
        let start = self.starts[line - 1];
        let column = self.text.get(start..at).map_or(0, |t| t.chars().count());
        (line as u32, column as u32 + 1)
    }

    /// Each line with the byte it begins at.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (usize, &'a str)> + '_ {
        self.starts
            .iter()
            .map(|s| (*s, self.text[*s..].lines().next().unwrap_or_default()))
    }

    /// Span of a whole rule.
    pub(crate) fn rule(&self, position: Position) -> (usize, usize) {
        (position.start, position.end.max(position.start))
    }

    /// Span of the first of these options in a rule with `values` words after it; the whole rule if none is there.
    pub(crate) fn option(
        &self,
        position: Position,
        names: &[&str],
        values: usize,
    ) -> (usize, usize) {
        let whole = self.rule(position);
        let Some(text) = self.text.get(whole.0..whole.1) else {
            return whole;
        };
        let mut words = Vec::new();
        let mut at = 0;
        for word in text.split_whitespace() {
            let begin = at + text[at..].find(word).unwrap_or(0);
            at = begin + word.len();
            words.push((begin, at, word));
        }
        let found = words.iter().position(|(_, _, word)| names.contains(word));
        match found {
            Some(i) => {
                let last = (i + values).min(words.len() - 1);
                (whole.0 + words[i].0, whole.0 + words[last].1)
            }
            None => whole,
        }
    }

    /// Span of a rule's target.
    pub(crate) fn target(&self, position: Position) -> (usize, usize) {
        self.option(position, &["-j", "--jump", "-g", "--goto"], 1)
    }

    /// Span of a rule with its line end, to delete it: none when something else stands on the line.
    pub(crate) fn whole_line(&self, position: Position) -> Option<(usize, usize)> {
        let (start, end) = self.rule(position);
        let line = self.text.get(..start)?.rfind('\n').map_or(0, |n| n + 1);
        let rest = self.text.get(end..)?;
        let after = end + rest.find('\n').map_or(rest.len(), |n| n + 1);
        let alone = self.text.get(line..start)?.trim().is_empty()
            && self.text.get(end..after)?.trim().is_empty();
        alone.then_some((line, after))
    }

    /// Span of what makes a chain or sets its policy: `:INPUT DROP`, `-P INPUT DROP`, `-N services`. The last one
    /// counts, as it does for iptables.
    pub(crate) fn chain(&self, table: TableKind, name: &str) -> Option<(usize, usize)> {
        let mut current = None;
        let mut found = None;
        let mut save = false;
        for (start, line) in self.lines() {
            let trimmed = line.trim();
            let at = start + (line.len() - line.trim_start().len());
            if let Some(named) = trimmed.strip_prefix('*') {
                current = TableKind::by_name(named.trim());
                save = true;
                continue;
            }
            if save {
                let named = trimmed.strip_prefix(':').filter(|_| current == Some(table));
                if let Some(rest) = named.and_then(|n| n.strip_prefix(name))
                    && rest.starts_with([' ', '\t'])
                {
                    let policy = rest.split_whitespace().next().unwrap_or_default();
                    let after = rest.find(policy).unwrap_or(0) + policy.len();
                    found = Some((at, at + 1 + name.len() + after));
                }
                continue;
            }
            let words: Vec<&str> = trimmed.split_whitespace().collect();
            let of_table = match words.iter().position(|w| *w == "-t" || *w == "--table") {
                Some(t) => words.get(t + 1) == Some(&table.name()),
                None => table == TableKind::Filter,
            };
            let makes = words
                .windows(2)
                .any(|w| matches!(w[0], "-P" | "--policy" | "-N" | "--new-chain") && w[1] == name);
            if of_table && makes && !trimmed.starts_with('#') {
                found = Some((at, at + trimmed.len()));
            }
        }
        found
    }
}
