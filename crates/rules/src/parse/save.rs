//! `iptables-save` files, as iptables-restore reads them: byte for byte, line by line.

use palisade_wire::Family;

use super::chains::{self, name_fault, set_policy};
use super::command::{self, Place, apply, kernel, program};
use super::{Parser, allowed, rule};
use crate::diagnostic::{Diagnostic, Severity};
use crate::lex::{Unsplit, Word, save_words};
use crate::model::{Counters, TableKind, Tools};

/// Longest line that is read at once (iptables' buffer less its end).
const MAX_LINE: usize = 10_239;

/// Reads a whole file.
pub(crate) fn parse(parser: &mut Parser<'_>, text: &str, family: Family) {
    parser.rulesets.tables(family);
    let mut reader = Reader {
        parser,
        family,
        open: Open::No,
        crlf: false,
    };
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let mut rest = line;
        while rest.len() > MAX_LINE {
            let cut = (0..=MAX_LINE)
                .rev()
                .find(|i| rest.is_char_boundary(*i))
                .unwrap_or(rest.len());
            reader.line(&rest[..cut], at);
            at += cut;
            rest = &rest[cut..];
        }
        reader.line(rest, at);
        at += rest.len();
    }
    reader.end(text);
}

/// The table that lines belong to.
#[derive(Clone, Copy)]
enum Open {
    /// None.
    No,
    /// One that exists, with the span of its first line.
    Table(TableKind, (usize, usize)),
    /// One that does not, which has been told.
    Unknown,
}

struct Reader<'p, 'a> {
    parser: &'p mut Parser<'a>,
    family: Family,
    open: Open,
    /// The file has Windows line ends, which has been told once.
    crlf: bool,
}

impl Reader<'_, '_> {
    fn place(&self, kind: TableKind) -> Place {
        Place {
            family: self.family,
            kind,
            restore: true,
        }
    }

    /// Reports what makes the real program stop with `line N failed`.
    fn failed(&mut self, diagnostic: Diagnostic) {
        let program = match self.parser.options.tools {
            Tools::Legacy => format!("{}-restore", program(self.family)),
            Tools::Nft => format!("{}-nft-restore", program(self.family)),
        };
        let said = format!("{program}: line {} failed", diagnostic.line);
        self.parser.report(diagnostic.said(said));
    }

    fn line(&mut self, line: &str, start: usize) {
        // A line with a carriage return is told once, and read as it is meant.
        let crlf = line.ends_with("\r\n");
        if crlf && !self.crlf {
            self.crlf(line, start);
        }
        let mended: String;
        let line = if crlf {
            mended = format!("{}\n", &line[..line.len() - 2]);
            &mended
        } else {
            line
        };
        let bare = line.trim_end_matches('\n');
        let span = (start, start + bare.trim_end().len());
        if bare.is_empty() && line.ends_with('\n') || line.starts_with('#') {
            return;
        }
        match self.open {
            Open::No => {
                if let Some(rest) = line.strip_prefix('*') {
                    self.table_line(rest, start, span);
                } else if !bare.trim().is_empty() {
                    self.outside(bare, span);
                } else {
                    let error = self
                        .parser
                        .error(
                            "outside-table",
                            (start, start + bare.len()),
                            "a line of blanks stands outside a table",
                        )
                        .help("an empty line is passed over, one with a blank in it is not");
                    self.failed(error);
                }
            }
            Open::Unknown => {
                if bare == "COMMIT" {
                    self.open = Open::No;
                }
            }
            Open::Table(kind, _) => self.table_content(kind, line, start, span),
        }
    }

    fn table_content(&mut self, kind: TableKind, line: &str, start: usize, span: (usize, usize)) {
        let bare = line.trim_end_matches('\n');
        let commit = match self.parser.options.tools {
            Tools::Legacy => line == "COMMIT\n",
            Tools::Nft => bare == "COMMIT",
        };
        if commit {
            self.commit(kind);
            self.open = Open::No;
            return;
        }
        if let Some(rest) = line.strip_prefix(':') {
            self.chain_line(rest, start + 1, kind);
            return;
        }
        let mended = self.repaired(kind, line, span);
        if !mended {
            self.rule_line(line, start, kind);
        }
    }

    /// Lines that mean something else than they are to the real program; whether it was one.
    fn repaired(&mut self, kind: TableKind, line: &str, span: (usize, usize)) -> bool {
        let word = line.trim();
        let bad = |word: &str| format!("Bad argument `{}'", word.split(' ').next().unwrap_or(""));
        if word == "COMMIT" {
            let error = self
                .parser
                .error("bad-commit", span, "COMMIT must be the whole line");
            let help = if line.ends_with('\n') {
                "no blanks around it"
            } else {
                "a line feed after it"
            };
            self.parser.report(error.help(help).said(bad(word)));
            self.commit(kind);
            self.open = Open::No;
            return true;
        }
        if let Some(rest) = word.strip_prefix('*')
            && TableKind::by_name(rest.trim()).is_some()
        {
            let error = self
                .parser
                .error(
                    "missing-commit",
                    span,
                    format!("table {} is not committed", kind.name()),
                )
                .help("COMMIT before the next table")
                .replace(span.0, span.0, "COMMIT\n")
                .said(bad(word));
            self.parser.report(error);
            self.commit(kind);
            self.open = Open::No;
            self.table_line(&format!("{rest}\n"), span.0, span);
            return true;
        }
        if word.starts_with('#') {
            let error = self
                .parser
                .error("stray-comment", span, "a comment must begin with the line")
                .help("no blanks before '#'")
                .said(bad(word));
            self.parser.report(error);
            return true;
        }
        false
    }

    fn crlf(&mut self, line: &str, start: usize) {
        if line.starts_with('#') {
            return;
        }
        self.crlf = true;
        let at = start + line.len() - 2;
        let error = self
            .parser
            .error(
                "carriage-return",
                (at, at + 1),
                "lines end in carriage return and line feed",
            )
            .help("write them with line feeds only (dos2unix, or sed 's/\\r$//')");
        let name = line
            .strip_prefix('*')
            .map(|t| t.trim_end_matches('\n').trim_start());
        let program = program(self.family);
        let number = error.line;
        let error = match (name, self.parser.options.tools) {
            (Some(name), Tools::Legacy) => error.said(format!(
                "{program}-restore: unable to initialize table '{name}'"
            )),
            (Some(name), Tools::Nft) => error.said(format!(
                "{program}-nft-restore: line {number} table name '{name}' invalid"
            )),
            _ => error,
        };
        self.parser.report(error);
    }

    fn outside(&mut self, bare: &str, span: (usize, usize)) {
        let word = bare.trim();
        let error = if word == "COMMIT" {
            self.parser
                .error("stray-commit", span, "COMMIT without a table")
        } else if word.starts_with('*') {
            self.parser
                .error("outside-table", span, "blanks stand before the table's '*'")
                .help(word.to_string())
        } else {
            self.parser
                .error("outside-table", span, "this line stands outside a table")
                .help("*filter before it")
        };
        self.failed(error);
        if let Some(rest) = word.strip_prefix('*') {
            self.table_line(&format!("{rest}\n"), span.0, span);
        }
    }

    fn table_line(&mut self, rest: &str, start: usize, span: (usize, usize)) {
        let name = rest.split([' ', '\t', '\n']).find(|w| !w.is_empty());
        let kind = name.and_then(TableKind::by_name);
        let Some(kind) = kind else {
            let name = name.unwrap_or("");
            let mut error =
                self.parser
                    .error("no-table", span, format!("there is no table '{name}'"));
            error.help = crate::diagnostic::nearest(name, TableKind::ALL.iter().map(|t| t.name()))
                .map(|n| format!("*{n}"));
            let (program, number) = (program(self.family), error.line);
            let said = match self.parser.options.tools {
                _ if name.is_empty() => {
                    format!("{program}-restore: line {number} table name invalid")
                }
                Tools::Legacy => format!("{program}-restore: unable to initialize table '{name}'"),
                Tools::Nft => {
                    format!("{program}-nft-restore: line {number} table name '{name}' invalid")
                }
            };
            self.parser.report(error.said(said));
            self.open = Open::Unknown;
            return;
        };
        let _ = start;
        self.open = Open::Table(kind, span);
        let (tools, noflush) = (self.parser.options.tools, self.parser.options.noflush);
        let table = self.parser.table(self.place(kind));
        if !noflush {
            chains::reset(table, tools);
        }
    }

    /// `:CHAIN POLICY [packets:bytes]`.
    fn chain_line(&mut self, rest: &str, start: usize, kind: TableKind) {
        let mut words = Vec::new();
        for piece in rest.split([' ', '\t', '\n']).filter(|w| !w.is_empty()) {
            let at = start + (piece.as_ptr() as usize - rest.as_ptr() as usize);
            words.push(Word {
                text: piece.to_string(),
                start: at,
                end: at + piece.len(),
            });
        }
        let place = self.place(kind);
        let parser = &mut *self.parser;
        let (tools, noflush) = (parser.options.tools, parser.options.noflush);
        let number = parser.lines.place(start).0;
        let program = program(self.family);
        let [name, more @ ..] = words.as_slice() else {
            let error = parser
                .error(
                    "bad-policy",
                    (start - 1, start),
                    "a chain line needs a chain",
                )
                .said(format!(
                    "{program}-restore: line {number} chain name invalid"
                ));
            parser.report(error);
            return;
        };
        if let Some((fault, said)) = restore_name_fault(parser, &name.text, place.family, tools) {
            let error = parser
                .error("bad-chain-name", (name.start, name.end), fault)
                .said(said);
            parser.report(error);
            return;
        }
        let table = parser.table(place);
        table.made = true;
        let builtin = table
            .find(&name.text)
            .is_some_and(|at| table.slot(at).is_some_and(|s| s.builtin.is_some()));
        if !builtin && let Some(at) = table.find(&name.text) {
            if noflush {
                table.clear(at);
            } else if tools == Tools::Legacy {
                let error = parser
                    .error(
                        "chain-exists",
                        (name.start, name.end),
                        format!("chain '{}' exists already", name.text),
                    )
                    .help("one line for each chain")
                    .said(format!("error creating chain '{}':File exists", name.text));
                parser.report(error);
                return;
            }
        } else if !builtin {
            table.add(&name.text);
        }
        let [policy, counters @ ..] = more else {
            let error = parser
                .error(
                    "bad-policy",
                    (start - 1, name.end),
                    "a chain line needs a policy",
                )
                .help(":NAME - [0:0] for a user chain, :INPUT ACCEPT [0:0] for a built-in one")
                .said(format!("{program}-restore: line {number} policy invalid"));
            parser.report(error);
            return;
        };
        if policy.text == "-" || (tools == Tools::Nft && !builtin) {
            return;
        }
        let mut given = None;
        if parser.options.counters {
            given = counters.first().and_then(|w| bracketed(&w.text));
            if let (None, Some(word)) = (given, counters.first()) {
                // Refused by `iptables-restore -c`, passed over without it.
                let warning = parser
                    .lines
                    .diagnostic(
                        Severity::Warning,
                        "bad-counters",
                        (word.start, word.end),
                        format!("'{}' is not a pair of counters", word.text),
                    )
                    .help("[packets:bytes]");
                parser.report(warning);
            }
        }
        let reported = parser.diagnostics.len();
        if set_policy(parser, name, policy, place, given).is_none()
            && let Some(error) = parser.diagnostics.get_mut(reported)
        {
            let why = if builtin {
                "Bad policy name"
            } else {
                "Bad built-in chain name"
            };
            error.said = Some(match tools {
                Tools::Legacy => format!(
                    "Can't set policy `{}' on `{}' line {number}: {why}",
                    policy.text, name.text
                ),
                Tools::Nft => format!("{program}-nft-restore: line {number} failed: {why}."),
            });
        }
    }

    fn rule_line(&mut self, line: &str, start: usize, kind: TableKind) {
        let mut rest = line;
        let mut at = start;
        let mut counters = None;
        if line.starts_with('[') {
            let Some((found, after)) = self.counters(line, start) else {
                return;
            };
            counters = found;
            rest = &line[after..];
            at += after;
        }
        let words = match save_words(rest, at) {
            Ok(words) => words,
            Err(unsplit) => {
                let (span, text, said) = match unsplit {
                    Unsplit::LongWord(a, b) => (
                        (a, b),
                        "a word has 1024 bytes or more",
                        "Parameter too long!",
                    ),
                    Unsplit::ManyWords(a, b) => (
                        (a, b),
                        "a rule has more than 251 words",
                        "Parser cannot handle more arguments",
                    ),
                };
                let error = self.parser.error("long-line", span, text).said(said);
                self.parser.report(error);
                return;
            }
        };
        if words.is_empty() {
            let error = self
                .parser
                .error(
                    "no-command",
                    (start, start + line.len()),
                    "no command in this line",
                )
                .help("an empty line is passed over, one with a blank in it is not")
                .said("no command specified");
            self.parser.report(error);
            return;
        }
        let place = self.place(kind);
        let read = rule::read(self.parser, &words, place, Some(kind));
        if let Ok(Some(command)) = read {
            apply(self.parser, &command, place, counters);
        }
    }

    /// `[packets:bytes]` before a rule, and where it ends (iptables `tokenize_rule_counters`).
    fn counters(&mut self, line: &str, start: usize) -> Option<(Option<Counters>, usize)> {
        let number = self.parser.lines.place(start).0;
        let close = line.find(']');
        let inner = close.map(|at| &line[1..at]);
        // As strtok takes them: what is empty does not count.
        let parts = inner.map(|t| {
            let mut parts = t.trim_start_matches(':').splitn(2, ':');
            (parts.next().unwrap_or(""), parts.next().unwrap_or(""))
        });
        match (close, parts) {
            (Some(close), Some((packets, bytes))) if !packets.is_empty() && !bytes.is_empty() => {
                let counters = Counters {
                    packets: leading_number(packets)?.unwrap_or(0),
                    bytes: leading_number(bytes)?.unwrap_or(0),
                };
                Some((self.parser.options.counters.then_some(counters), close + 1))
            }
            _ => {
                let error = self
                    .parser
                    .error(
                        "bad-counters",
                        (start, start + close.map_or(1, |c| c + 1)),
                        "counters before a rule are [packets:bytes]",
                    )
                    .said(format!("Bad line {number}: need ]"));
                self.parser.report(error);
                None
            }
        }
    }

    /// What the kernel says to a table that is complete.
    fn commit(&mut self, kind: TableKind) {
        let place = self.place(kind);
        let tools = self.parser.options.tools;
        let works = allowed::works(self.family, tools);
        let refusal = self.parser.table(place).check(tools, &works).err();
        if let Some(refusal) = refusal {
            kernel(self.parser, place, &refusal, None);
        }
    }

    fn end(&mut self, text: &str) {
        let Open::Table(kind, span) = self.open else {
            return;
        };
        self.commit(kind);
        let program = program(self.family);
        let number = text.matches('\n').count() + 1 + usize::from(!text.ends_with('\n'));
        let error = self
            .parser
            .error(
                "missing-commit",
                span,
                format!("table {} is not committed", kind.name()),
            )
            .help("COMMIT at the end of the table");
        // The real program gets here only when nothing stopped it before.
        let stopped = |d: &Diagnostic| d.severity == Severity::Error;
        let program = match self.parser.options.tools {
            Tools::Legacy => format!("{program}-restore"),
            Tools::Nft => format!("{program}-nft-restore"),
        };
        let error = match self.parser.diagnostics.iter().any(stopped) {
            true => error,
            false => error.said(format!("{program}: COMMIT expected at line {number}")),
        };
        self.parser.report(error);
    }
}

/// What is wrong with the name of a `:` line: iptables-legacy takes more there than for `-N`.
fn restore_name_fault(
    parser: &Parser<'_>,
    name: &str,
    family: Family,
    tools: Tools,
) -> Option<(String, String)> {
    match tools {
        Tools::Legacy if name.len() > command::MAX_CHAIN_NAME => {
            let (fault, _) = name_fault(parser, name, family)?;
            Some((fault, format!("Invalid chain name `{name}' (28 chars max)")))
        }
        Tools::Legacy if matches!(name, "ACCEPT" | "DROP" | "RETURN" | "QUEUE") => Some((
            format!("chain name '{name}' is the name of a verdict"),
            format!("error creating chain '{name}':File exists"),
        )),
        Tools::Legacy => None,
        Tools::Nft => name_fault(parser, name, family)
            // The target LOG is not loaded at this point, nor is any but the standard one.
            .filter(|_| {
                name.len() > command::MAX_CHAIN_NAME
                    || name.starts_with(['-', '!'])
                    || parser.is_verdict(name)
            }),
    }
}

/// `[packets:bytes]`, as sscanf reads it: the closing bracket may be missing.
fn bracketed(text: &str) -> Option<Counters> {
    let (packets, bytes) = text.strip_prefix('[')?.split_once(':')?;
    Some(Counters {
        packets: packets.parse().ok()?,
        bytes: leading_number(bytes)??,
    })
}

/// The number that a text begins with.
#[allow(clippy::option_option)]
fn leading_number(text: &str) -> Option<Option<u64>> {
    let end = text
        .bytes()
        .position(|b| !b.is_ascii_digit())
        .unwrap_or(text.len());
    Some(text[..end].parse().ok())
}
