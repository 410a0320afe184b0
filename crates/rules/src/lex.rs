//! Words with their place in the file, in the two quoting styles that rules come in.

use crate::diagnostic::{Diagnostic, Replacement, Severity};

/// One word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// Text, quotes taken off.
    pub text: String,
    /// First byte within the file.
    pub start: usize,
    /// After the last byte.
    pub end: usize,
}

/// Where lines begin, to tell line and column of a byte.
#[derive(Debug)]
pub struct Lines<'a> {
    text: &'a str,
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    /// Indexes a text.
    pub fn new(text: &'a str) -> Self {
        let starts = std::iter::once(0)
            .chain(text.match_indices('\n').map(|(i, _)| i + 1))
            .collect();
        Lines { text, starts }
    }

    /// Line and column, both from 1; the column counts characters.
    pub fn place(&self, at: usize) -> (u32, u32) {
        let line = self.starts.partition_point(|s| *s <= at).max(1);
        let start = self.starts[line - 1];
        let column = self
            .text
            .get(start..at)
            .map_or(0, |before| before.chars().count());
        (line as u32, column as u32 + 1)
    }

    /// Builds a diagnostic about a span.
    pub fn diagnostic(
        &self,
        severity: Severity,
        code: &'static str,
        span: (usize, usize),
        message: String,
    ) -> Diagnostic {
        let (line, column) = self.place(span.0);
        Diagnostic {
            severity,
            code,
            message,
            line,
            column,
            start: span.0,
            end: span.1,
            help: None,
            replacement: None,
            said: None,
            by_kernel: false,
        }
    }
}

impl Diagnostic {
    /// Adds advice.
    pub(crate) fn help(mut self, text: impl Into<String>) -> Self {
        self.help = Some(text.into());
        self
    }

    /// It is the kernel that refuses.
    pub(crate) fn by_kernel(mut self) -> Self {
        self.by_kernel = true;
        self
    }

    /// Adds what the real program says.
    pub(crate) fn said(mut self, text: impl Into<String>) -> Self {
        self.said = Some(text.into());
        self
    }

    /// Adds an edit of a span.
    pub(crate) fn replace(mut self, start: usize, end: usize, text: impl Into<String>) -> Self {
        self.replacement = Some(Replacement {
            start,
            end,
            text: text.into(),
        });
        self
    }
}

/// What keeps a line of a save file from being split.
#[derive(Debug, PartialEq, Eq)]
pub enum Unsplit {
    /// A word has as many bytes as the program's buffer for one.
    LongWord(usize, usize),
    /// There are more words than the program's list holds.
    ManyWords(usize, usize),
}

/// Room for one word of a save file (iptables `struct xt_param_buf`).
const MAX_WORD: usize = 1024;

/// Room for words of one line, the program's own among them (iptables `MAX_ARGC`).
const MAX_WORDS: usize = 255 - 4;

/// Splits a line of an `iptables-save` file as iptables-restore does (`add_param_to_argv`): words end
/// at blanks, tabs, line feeds and at a closing double quote; in double quotes a backslash takes the
/// next character as it is. `base` is the line's first byte within the file; the line has its line
/// feed, which an open quote takes for text.
pub fn save_words(line: &str, base: usize) -> Result<Vec<Word>, Unsplit> {
    let mut words: Vec<Word> = Vec::with_capacity(16);
    let bytes = line.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        // Most words have no quote in them: take them whole.
        if matches!(bytes[at], b' ' | b'\t' | b'\n') {
            at += 1;
            continue;
        }
        let start = at;
        let mut text = String::new();
        let mut quoted = false;
        let mut piece = at;
        loop {
            match bytes.get(at) {
                None => {
                    text.push_str(line.get(piece..at).unwrap_or_default());
                    break;
                }
                Some(b'\\') if quoted => {
                    text.push_str(line.get(piece..at).unwrap_or_default());
                    at += 1;
                    // The next character as it is, whatever it is.
                    piece = at;
                    let next = line.get(at..).and_then(|rest| rest.chars().next());
                    at += next.map_or(0, char::len_utf8);
                }
                Some(b'"') if quoted => {
                    text.push_str(line.get(piece..at).unwrap_or_default());
                    at += 1;
                    break;
                }
                Some(b'"') => {
                    text.push_str(line.get(piece..at).unwrap_or_default());
                    quoted = true;
                    at += 1;
                    piece = at;
                }
                Some(b' ' | b'\t' | b'\n') if !quoted => {
                    text.push_str(line.get(piece..at).unwrap_or_default());
                    break;
                }
                Some(_) => at += 1,
            }
        }
        let (start, end) = (base + start, base + at);
        if text.is_empty() && quoted && bytes.get(at - 1) != Some(&b'"') {
            // An open quote with nothing behind it is no word.
            continue;
        }
        if text.len() >= MAX_WORD {
            return Err(Unsplit::LongWord(start, end));
        }
        if words.len() >= MAX_WORDS {
            return Err(Unsplit::ManyWords(start, end));
        }
        words.push(Word { text, start, end });
    }
    Ok(words)
}

/// What stands between a command and the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Before {
    /// Nothing, `;` or `&`: it runs.
    Nothing,
    /// `&&`: it runs when the one before succeeded.
    And,
    /// `||`: it runs when the one before failed.
    Or,
}

/// What a shell line is.
#[derive(Debug, PartialEq, Eq)]
pub enum ShellLine {
    /// Commands, each a list of words, with what stands before it.
    Commands(Vec<(Before, Vec<Word>)>),
    /// Not a plain command: the span of what makes it one, and its name.
    NotPlain {
        /// First byte.
        start: usize,
        /// After the last byte.
        end: usize,
        /// What it is.
        what: &'static str,
    },
}

/// Splits a logical shell line (continuations included in `line` as backslash-newline).
pub fn shell_words(line: &str, base: usize) -> ShellLine {
    let mut commands = vec![(Before::Nothing, Vec::new())];
    let mut word: Option<Word> = None;
    let mut chars = line.char_indices().peekable();
    let not_plain = |i: usize, n: usize, what| ShellLine::NotPlain {
        start: base + i,
        end: base + i + n,
        what,
    };
    while let Some((i, c)) = chars.next() {
        let at = base + i;
        match c {
            '\\' => match chars.next() {
                // A line goes on, even a word.
                Some((_, '\n')) | None => {}
                Some((_, '\r')) => {
                    if matches!(chars.peek(), Some((_, '\n'))) {
                        chars.next();
                    }
                }
                Some((j, next)) => {
                    touch(&mut word, at, c);
                    push(&mut word, next, base + j);
                }
            },
            '\'' => {
                touch(&mut word, at, c);
                loop {
                    match chars.next() {
                        Some((j, '\'')) => {
                            touch(&mut word, base + j, '\'');
                            break;
                        }
                        Some((j, inside)) => push(&mut word, inside, base + j),
                        None => return not_plain(i, 1, "a quote that is not closed"),
                    }
                }
            }
            '"' => {
                touch(&mut word, at, c);
                loop {
                    match chars.next() {
                        Some((j, '"')) => {
                            touch(&mut word, base + j, '"');
                            break;
                        }
                        Some((j, '\\')) => match chars.next() {
                            Some((k, e @ ('"' | '\\' | '$' | '`'))) => {
                                push(&mut word, e, base + k);
                            }
                            Some((_, '\n')) => {}
                            Some((k, other)) => {
                                push(&mut word, '\\', base + j);
                                push(&mut word, other, base + k);
                            }
                            None => return not_plain(i, 1, "a quote that is not closed"),
                        },
                        Some((j, '$')) => return not_plain(j, variable(&line[j..]), "a variable"),
                        Some((j, '`')) => return not_plain(j, 1, "a command substitution"),
                        Some((j, inside)) => push(&mut word, inside, base + j),
                        None => return not_plain(i, 1, "a quote that is not closed"),
                    }
                }
            }
            '#' if word.is_none() => break,
            '$' => return not_plain(i, variable(&line[i..]), "a variable"),
            '`' => return not_plain(i, 1, "a command substitution"),
            '|' => {
                if matches!(chars.peek(), Some((_, '|'))) {
                    chars.next();
                    end_word(&mut commands, &mut word);
                    commands.push((Before::Or, Vec::new()));
                    continue;
                }
                return not_plain(i, 1, "a pipe");
            }
            '<' | '>' => {
                // Redirections of output are harmless: skip the operator and its word.
                if c == '<' {
                    return not_plain(i, 1, "a redirection");
                }
                if word
                    .as_ref()
                    .is_some_and(|w| w.text.chars().all(|c| c.is_ascii_digit()))
                {
                    word = None;
                }
                end_word(&mut commands, &mut word);
                while matches!(chars.peek(), Some((_, '>' | '&' | ' '))) {
                    chars.next();
                }
                while chars
                    .peek()
                    .is_some_and(|(_, c)| !matches!(c, ' ' | '\t' | ';' | '\n'))
                {
                    chars.next();
                }
            }
            '(' | ')' | '{' | '}' if word.is_none() => return not_plain(i, 1, "a group"),
            ';' => {
                end_word(&mut commands, &mut word);
                commands.push((Before::Nothing, Vec::new()));
            }
            '&' => {
                let mut before = Before::Nothing;
                if matches!(chars.peek(), Some((_, '&'))) {
                    chars.next();
                    before = Before::And;
                }
                end_word(&mut commands, &mut word);
                commands.push((before, Vec::new()));
            }
            c if c.is_whitespace() => end_word(&mut commands, &mut word),
            c => push(&mut word, c, at),
        }
    }
    end_word(&mut commands, &mut word);
    commands.retain(|(_, words)| !words.is_empty());
    ShellLine::Commands(commands)
}

/// Length of `$NAME`, `${NAME}` or `$(`.
fn variable(text: &str) -> usize {
    let rest = &text[1..];
    if rest.starts_with('{') {
        return rest.find('}').map_or(2, |end| end + 2);
    }
    let name = rest
        .bytes()
        .take_while(|b| b.is_ascii_alphanumeric() || *b == b'_')
        .count();
    1 + name
}

fn end_word(commands: &mut [(Before, Vec<Word>)], word: &mut Option<Word>) {
    if let (Some(done), Some((_, last))) = (word.take(), commands.last_mut()) {
        last.push(done);
    }
}

fn push(word: &mut Option<Word>, c: char, at: usize) {
    let end = at + c.len_utf8();
    let word = word.get_or_insert(Word {
        text: String::new(),
        start: at,
        end,
    });
    word.text.push(c);
    word.end = end;
}

/// A quote belongs to the word's span and not to its text.
fn touch(word: &mut Option<Word>, at: usize, c: char) {
    let end = at + c.len_utf8();
    let word = word.get_or_insert(Word {
        text: String::new(),
        start: at,
        end,
    });
    word.end = end;
}
