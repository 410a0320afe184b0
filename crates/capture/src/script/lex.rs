//! Lines into tokens.
//!
//! A statement is a line; a backslash at its end joins the next one. Words are separated by blanks;
//! `>`, `{` and `}` stand alone wherever they are; `"…"` is text with escapes; `#` at the start of a
//! word begins a comment.

use super::diagnostic::ScriptDiagnostic;
use super::model::Span;

/// A piece of a statement.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// A word, as written.
    Word,
    /// Quoted text, escapes resolved.
    Text(Vec<u8>),
    /// `>`.
    Arrow,
    /// `{`.
    Open,
    /// `}`.
    Close,
}

/// A token with its place.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Token<'t> {
    pub kind: Kind,
    pub text: &'t str,
    pub span: Span,
}

/// The lines of a script, with their places.
pub(super) struct Lines<'t> {
    text: &'t str,
    /// Byte offset of the next line.
    at: usize,
    /// Number of the next line, from 1.
    pub line: u32,
}

impl<'t> Lines<'t> {
    pub fn new(text: &'t str) -> Self {
        Lines {
            text,
            at: 0,
            line: 1,
        }
    }

    /// The next line without its end, and the offset where it starts.
    pub fn raw(&mut self) -> Option<(&'t str, usize, u32)> {
        let rest = self.text.get(self.at..).filter(|r| !r.is_empty())?;
        let length = rest.find('\n').map_or(rest.len(), |n| n + 1);
        let (start, number) = (self.at, self.line);
        self.at += length;
        self.line += 1;
        let line = rest.get(..length).unwrap_or(rest);
        let line = line.strip_suffix('\n').unwrap_or(line);
        Some((line.strip_suffix('\r').unwrap_or(line), start, number))
    }

    /// The next statement's tokens; an empty list for an empty line.
    pub fn statement(&mut self, faults: &mut Vec<ScriptDiagnostic>) -> Option<Vec<Token<'t>>> {
        let mut tokens = Vec::new();
        let mut any = false;
        while let Some((line, start, number)) = self.raw() {
            any = true;
            if !tokenize(line, start, number, &mut tokens, faults) {
                break;
            }
        }
        any.then_some(tokens)
    }
}

/// Adds a line's tokens; answers whether the next line belongs to it.
fn tokenize<'t>(
    line: &'t str,
    start: usize,
    number: u32,
    tokens: &mut Vec<Token<'t>>,
    faults: &mut Vec<ScriptDiagnostic>,
) -> bool {
    let mut column = 1u32;
    let mut chars = line.char_indices().peekable();
    // A step forward keeps the column (in characters) beside the byte offset.
    while let Some(&(at, c)) = chars.peek() {
        let from = column;
        let span = |end: usize| Span {
            start: start + at,
            end: start + end,
            line: number,
            column: from,
        };
        match c {
            c if c.is_whitespace() => {
                chars.next();
                column += 1;
            }
            '#' => return false,
            '\\' if line.get(at + 1..).is_some_and(|r| r.trim().is_empty()) => return true,
            '>' | '{' | '}' => {
                chars.next();
                column += 1;
                let kind = match c {
                    '>' => Kind::Arrow,
                    '{' => Kind::Open,
                    _ => Kind::Close,
                };
                tokens.push(Token {
                    kind,
                    text: line.get(at..at + 1).unwrap_or_default(),
                    span: span(at + 1),
                });
            }
            '"' => {
                let mut bytes = Vec::new();
                let mut closed = false;
                let mut end = line.len();
                chars.next();
                column += 1;
                while let Some((i, c)) = chars.next() {
                    column += 1;
                    match c {
                        '"' => {
                            closed = true;
                            end = i + 1;
                            break;
                        }
                        '\\' => {
                            let Some((j, e)) = chars.next() else { break };
                            column += 1;
                            match e {
                                'r' => bytes.push(b'\r'),
                                'n' => bytes.push(b'\n'),
                                't' => bytes.push(b'\t'),
                                '0' => bytes.push(0),
                                '\\' | '"' => bytes.push(e as u8),
                                'x' => {
                                    let digits = line.get(j + 1..j + 3);
                                    let digits =
                                        digits.filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()));
                                    match digits.and_then(|d| u8::from_str_radix(d, 16).ok()) {
                                        Some(byte) => {
                                            bytes.push(byte);
                                            chars.next();
                                            chars.next();
                                            column += 2;
                                        }
                                        None => {
                                            faults.push(bad_escape(start, number, i, j, column))
                                        }
                                    }
                                }
                                _ => faults.push(bad_escape(
                                    start,
                                    number,
                                    i,
                                    j + e.len_utf8() - 1,
                                    column,
                                )),
                            }
                        }
                        c => bytes.extend(c.encode_utf8(&mut [0; 4]).as_bytes()),
                    }
                }
                if !closed {
                    faults.push(
                        ScriptDiagnostic::new(
                            "unclosed-text",
                            span(end),
                            "text without its closing quote",
                        )
                        .help("add `\"`"),
                    );
                }
                tokens.push(Token {
                    kind: Kind::Text(bytes),
                    text: line.get(at..end).unwrap_or_default(),
                    span: span(end),
                });
            }
            _ => {
                let mut end = line.len();
                while let Some(&(i, c)) = chars.peek() {
                    if c.is_whitespace() || matches!(c, '>' | '{' | '}' | '"') {
                        end = i;
                        break;
                    }
                    chars.next();
                    column += 1;
                }
                tokens.push(Token {
                    kind: Kind::Word,
                    text: line.get(at..end).unwrap_or_default(),
                    span: span(end),
                });
            }
        }
    }
    false
}

/// `from` and `to` are offsets within the line, `column` the one behind the escape.
fn bad_escape(start: usize, line: u32, from: usize, to: usize, column: u32) -> ScriptDiagnostic {
    let span = Span {
        start: start + from,
        end: start + to + 1,
        line,
        column: column.saturating_sub(2),
    };
    ScriptDiagnostic::new("bad-escape", span, "no such escape in text")
        .help("there are \\r \\n \\t \\0 \\\\ \\\" and \\xHH")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> (Vec<String>, usize) {
        let mut faults = Vec::new();
        let tokens = Lines::new(line).statement(&mut faults).unwrap_or_default();
        let words = tokens
            .iter()
            .map(|t| match &t.kind {
                Kind::Text(b) => format!("{b:?}"),
                _ => t.text.to_owned(),
            })
            .collect();
        (words, faults.len())
    }

    #[test]
    fn arrows_stand_alone_and_comments_end_a_line() {
        assert_eq!(
            words("a:1>b:2 tcp S # x").0,
            ["a:1", ">", "b:2", "tcp", "S"]
        );
        assert_eq!(words("a#b # c").0, ["a#b"]);
        assert_eq!(words("repeat 3{").0, ["repeat", "3", "{"]);
    }

    #[test]
    fn a_backslash_joins_lines_but_not_inside_a_line() {
        assert_eq!(words("a \\\n  b").0, ["a", "b"]);
        assert_eq!(words("a\nb").0, ["a"]);
    }

    #[test]
    fn text_resolves_its_escapes_and_reports_the_unknown() {
        assert_eq!(words(r#""a\r\n\x00""#), (vec!["[97, 13, 10, 0]".into()], 0));
        assert_eq!(words(r#""\q""#).1, 1);
        assert_eq!(words(r#""\xé""#).1, 1);
        assert_eq!(words(r#""open"#).1, 1);
    }

    #[test]
    fn columns_count_characters() {
        let mut faults = Vec::new();
        let tokens = Lines::new("\"é\" b").statement(&mut faults).unwrap();
        assert_eq!(tokens[1].span.column, 5);
    }
}
