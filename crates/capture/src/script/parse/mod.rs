//! Text to [`Script`]. Never fails, never stops at the first fault.

mod cursor;
mod declare;
mod end;
mod expect;
mod list;
mod packet;
mod sctp;
mod tcp;

use std::collections::HashMap;
use std::net::IpAddr;

use super::diagnostic::ScriptDiagnostic;
use super::lex::{Kind, Lines, Token};
use super::model::{Action, Endpoint, Firewall, KernelUse, RulesFamily, Script, Span, Step, Test};
use super::{DEFAULT_TICK, MAX_DEPTH, MAX_PACKETS, MAX_REPEAT, MAX_STEPS, play};
use cursor::{Cursor, Parsed, unknown};

/// Words that a statement may begin with, packet lines aside.
const STATEMENTS: &[&str] = &[
    "interface",
    "host",
    "local",
    "route",
    "socket",
    "queues",
    "sysctl",
    "timeout",
    "rules",
    "rules6",
    "ipset",
    "tick",
    "virtual-time",
    "kernel",
    "test",
    "repeat",
    "expect",
    "at",
    "handshake",
    "close",
    "ping",
    "dns",
    "answer",
];

const SHORTHANDS: &[&str] = &["handshake", "close", "ping", "dns"];

/// What is known so far.
struct Parser {
    script: Script,
    /// Labels of the current test.
    labels: Vec<String>,
    /// Sender and receiver of the lines that have one.
    ends: HashMap<String, (Endpoint, Endpoint)>,
    /// Blocks that are open, innermost last.
    open: Vec<Block>,
    /// Blocks open within the innermost that are too deep: their lines go to it, so that nobody who
    /// walks the steps walks too deep.
    too_deep: usize,
    /// Whether a packet or a test has come: declarations end there.
    begun: bool,
    faults: Vec<ScriptDiagnostic>,
}

/// An open `repeat`.
struct Block {
    count: u32,
    span: Span,
    steps: Vec<Step>,
}

/// Reads a script. With faults, the script holds what could be read and should not be run.
pub fn parse(text: &str) -> (Script, Vec<ScriptDiagnostic>) {
    let mut parser = Parser {
        script: Script {
            firewall: Firewall::default(),
            hosts: Vec::new(),
            sysctls: Vec::new(),
            timeouts: Vec::new(),
            rules: Vec::new(),
            ipsets: Vec::new(),
            tick: DEFAULT_TICK,
            kernel: KernelUse::Yes,
            tests: Vec::new(),
        },
        labels: Vec::new(),
        ends: HashMap::new(),
        open: Vec::new(),
        too_deep: 0,
        begun: false,
        faults: Vec::new(),
    };
    let mut lines = Lines::new(text);
    while let Some(tokens) = lines.statement(&mut parser.faults) {
        if tokens.is_empty() {
            continue;
        }
        if let Err(fault) = parser.statement(&tokens, &mut lines) {
            parser.faults.push(fault);
        }
    }
    parser.finish()
}

impl Parser {
    fn statement(&mut self, tokens: &[Token<'_>], lines: &mut Lines<'_>) -> Parsed<()> {
        let mut cursor = Cursor::new(tokens);
        let Some(first) = cursor.next() else {
            return Ok(());
        };
        let whole = cursor.whole();
        match (&first.kind, first.text) {
            (Kind::Close, _) => {
                cursor.finish()?;
                self.close(first.span)
            }
            (Kind::Word, "interface") => self.interface(&mut cursor, whole),
            (Kind::Word, "host") => self.host(&mut cursor, whole),
            (Kind::Word, "local") => self.local(&mut cursor, whole),
            (Kind::Word, "route") => self.route(&mut cursor, whole),
            (Kind::Word, "socket") => self.socket(&mut cursor, whole),
            (Kind::Word, "queues") => self.queues(&mut cursor, whole),
            (Kind::Word, "sysctl") => self.sysctl(tokens, whole),
            (Kind::Word, "timeout") => self.timeout(&mut cursor, tokens, whole),
            (Kind::Word, "rules") => self.rules(&mut cursor, whole, RulesFamily::ByText, lines),
            (Kind::Word, "rules6") => self.rules(&mut cursor, whole, RulesFamily::V6, lines),
            (Kind::Word, "ipset") => self.ipset(&mut cursor, whole, lines),
            (Kind::Word, "tick") => self.tick(&mut cursor, whole),
            (Kind::Word, "virtual-time") => self.virtual_time(&mut cursor, whole),
            (Kind::Word, "kernel") => self.kernel(&mut cursor, whole),
            (Kind::Word, "test") => self.test(&mut cursor, whole),
            (Kind::Word, "repeat") => self.repeat(&mut cursor, whole),
            (Kind::Word, "expect") => self.expect(tokens),
            (Kind::Word, "at") => {
                let word = cursor.word("a time since the test's start")?;
                let time = cursor::duration(word.text, word.span)?;
                cursor.finish()?;
                self.push(whole, Action::Until(time));
                Ok(())
            }
            (Kind::Word, word) if word.starts_with('+') => {
                let time = cursor::duration(word.get(1..).unwrap_or_default(), first.span)?;
                cursor.finish()?;
                self.push(whole, Action::Advance(time));
                Ok(())
            }
            _ => {
                let fault = match self.packet(tokens, whole) {
                    Err(fault) if fault.code == "unknown-word" => fault,
                    other => return other,
                };
                // A misspelt declaration still declares, or every line that uses the name would be
                // faulty as well.
                match fault
                    .replacement
                    .as_deref()
                    .filter(|_| fault.span == first.span)
                {
                    Some("host") => self.host(&mut cursor, whole)?,
                    Some("interface") => self.interface(&mut cursor, whole)?,
                    _ => {}
                }
                Err(fault)
            }
        }
    }

    /// A packet line, with or without a label; anything else is a statement nobody knows.
    fn packet(&mut self, tokens: &[Token<'_>], whole: Span) -> Parsed<()> {
        let label = tokens.first().and_then(|t| label(t));
        let rest = tokens
            .get(usize::from(label.is_some())..)
            .unwrap_or_default();
        let is_packet = rest.iter().any(|t| t.kind == Kind::Arrow)
            || rest.first().is_some_and(|t| SHORTHANDS.contains(&t.text))
            || packet::is_answer(rest);
        if !is_packet {
            return Err(match tokens.first() {
                Some(first) => unknown("statement", first, STATEMENTS.iter().copied()),
                None => ScriptDiagnostic::new("missing-word", whole, "nothing here"),
            });
        }
        // Known from here on even if the line is faulty, so that later lines do not complain about it.
        if let Some(label) = label {
            if self.labels.iter().any(|l| l == label) {
                let span = tokens.first().map_or(whole, |t| t.span);
                return Err(ScriptDiagnostic::new(
                    "said-twice",
                    span,
                    format!("there is a packet called `{label}` already"),
                ));
            }
            self.labels.push(label.to_owned());
        }
        self.begin(whole);
        // The step is pushed even if faulty would mean a half-known packet; so expectations below a
        // faulty line are taken and go nowhere.
        let send = match packet::parse(self, label.map(str::to_owned), rest) {
            Ok(send) => send,
            Err(fault) => {
                self.push(
                    whole,
                    Action::Repeat {
                        count: 1,
                        steps: Vec::new(),
                    },
                );
                return Err(fault);
            }
        };
        if let Some(label) = label {
            self.ends.insert(label.to_owned(), (send.from, send.to));
        }
        if let Some(interface) = self.unrouted(&send) {
            self.faults.push(interface);
        }
        self.push(whole, Action::Send(Box::new(send)));
        Ok(())
    }

    /// A packet whose sender lies behind no interface never reaches the firewall.
    fn unrouted(&self, send: &super::model::Send) -> Option<ScriptDiagnostic> {
        let firewall = &self.script.firewall;
        let by_address = send.link.way == super::link::Way::ByAddress;
        let source = send.from.address;
        if firewall.interfaces.is_empty()
            || !by_address
            // Where the answered packet went shows only then.
            || send.answers.is_some()
            || firewall.is_local(source)
            || source.is_unspecified()
            || firewall.interface_towards(source).is_some()
        {
            return None;
        }
        Some(
            ScriptDiagnostic::new(
                "no-route",
                send.from_span,
                format!("{source} lies behind no interface"),
            )
            .help("name one: `in wan0` on this line, or declare `route default wan0`"),
        )
    }

    fn expect(&mut self, tokens: &[Token<'_>]) -> Parsed<()> {
        match expect::parse(self, tokens)? {
            expect::Expected::State(check) => {
                let span = check.span;
                self.begin(span);
                self.push(span, Action::Check(check));
                Ok(())
            }
            expect::Expected::Packets(expectation) => {
                let last = match self.open.last_mut() {
                    Some(block) => block.steps.last_mut(),
                    None => self
                        .script
                        .tests
                        .last_mut()
                        .and_then(|t| t.steps.last_mut()),
                };
                match last {
                    Some(step) if matches!(step.action, Action::Send(_)) => {
                        step.expectations.push(expectation);
                        Ok(())
                    }
                    // Stands for a packet line with a fault of its own.
                    Some(Step {
                        action: Action::Repeat { count: 1, steps },
                        ..
                    }) if steps.is_empty() => Ok(()),
                    _ => Err(ScriptDiagnostic::new(
                        "no-packet",
                        expectation.span,
                        "this expectation follows no packet line",
                    )
                    .help("an `expect` about a packet stands directly below its line")),
                }
            }
        }
    }

    fn test(&mut self, cursor: &mut Cursor<'_, '_>, span: Span) -> Parsed<()> {
        let title = cursor.text("a title")?;
        cursor.finish()?;
        if !self.open.is_empty() {
            return Err(ScriptDiagnostic::new(
                "wrong-place",
                span,
                "a test cannot begin inside `repeat`",
            ));
        }
        if let [Test { title: None, .. }] = self.script.tests.as_slice() {
            return Err(ScriptDiagnostic::new(
                "wrong-place",
                span,
                "there are packets before the first `test`",
            )
            .help("move them below it, or give them a `test` of their own"));
        }
        self.begun = true;
        self.labels.clear();
        self.ends.clear();
        self.script.tests.push(Test {
            title: Some(title),
            span,
            packets_before: 0,
            steps: Vec::new(),
        });
        Ok(())
    }

    fn repeat(&mut self, cursor: &mut Cursor<'_, '_>, span: Span) -> Parsed<()> {
        let count = cursor.number("how often", u64::from(MAX_REPEAT));
        let open = cursor.next().is_some_and(|t| t.kind == Kind::Open);
        if open && self.open.len() >= MAX_DEPTH {
            self.too_deep += 1;
            return Err(ScriptDiagnostic::new(
                "too-deep",
                span,
                format!("`repeat` nests at most {MAX_DEPTH} deep"),
            ));
        }
        if open {
            self.begin(span);
            // Opened even if the count is wrong, so that its end finds it.
            self.open.push(Block {
                count: *count.as_ref().unwrap_or(&1) as u32,
                span,
                steps: Vec::new(),
            });
        }
        let count = count?;
        if !open {
            return Err(cursor
                .missing("`{`")
                .help("a block is `repeat N {`, its lines, and `}` on a line of its own"));
        }
        cursor.finish()?;
        if count == 0 {
            return Err(ScriptDiagnostic::new(
                "bad-number",
                span,
                "nothing repeats zero times",
            ));
        }
        Ok(())
    }

    fn close(&mut self, span: Span) -> Parsed<()> {
        if self.too_deep > 0 {
            self.too_deep -= 1;
            return Ok(());
        }
        let Some(block) = self.open.pop() else {
            return Err(ScriptDiagnostic::new(
                "wrong-place",
                span,
                "no block is open here",
            ));
        };
        self.push(
            block.span,
            Action::Repeat {
                count: block.count,
                steps: block.steps,
            },
        );
        Ok(())
    }

    /// From here on no declarations; a script without `test` lines is one test.
    fn begin(&mut self, span: Span) {
        self.begun = true;
        if self.script.tests.is_empty() {
            self.script.tests.push(Test {
                title: None,
                span,
                packets_before: 0,
                steps: Vec::new(),
            });
        }
    }

    fn push(&mut self, span: Span, action: Action) {
        self.begin(span);
        let step = Step {
            span,
            action,
            expectations: Vec::new(),
        };
        match self.open.last_mut() {
            Some(block) => block.steps.push(step),
            None => {
                if let Some(test) = self.script.tests.last_mut() {
                    test.steps.push(step);
                }
            }
        }
    }

    /// Addresses of a host or of an interface of the firewall.
    fn resolve(&self, name: &str) -> Option<(Option<IpAddr>, Option<IpAddr>)> {
        if let Some(host) = self.script.hosts.iter().find(|h| h.name == name) {
            return Some((host.v4, host.v6));
        }
        let interfaces = &self.script.firewall.interfaces;
        let addresses = &interfaces.iter().find(|i| i.name == name)?.addresses;
        let first = |v4: bool| {
            let mut all = addresses.iter().map(|p| p.address);
            all.find(|a| a.is_ipv4() == v4)
        };
        Some((first(true), first(false)))
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        let interfaces = self.script.firewall.interfaces.iter();
        let hosts = self.script.hosts.iter();
        interfaces
            .map(|i| i.name.as_str())
            .chain(hosts.map(|h| h.name.as_str()))
    }

    fn finish(mut self) -> (Script, Vec<ScriptDiagnostic>) {
        while let Some(block) = self.open.pop() {
            self.faults.push(
                ScriptDiagnostic::new("unclosed-block", block.span, "this block is never closed")
                    .help("add `}` on a line of its own"),
            );
        }
        if self.script.tests.is_empty() {
            self.begin(Span {
                line: 1,
                column: 1,
                ..Span::default()
            });
        }
        let (mut before, mut work) = (0u64, 0u64);
        for test in &mut self.script.tests {
            test.packets_before = before;
            before = before.saturating_add(play::packets(&test.steps));
            work = work.saturating_add(play::work(&test.steps));
            if before > MAX_PACKETS || work > MAX_STEPS {
                self.faults.push(ScriptDiagnostic::new(
                    "too-many",
                    test.span,
                    format!("a script sends at most {MAX_PACKETS} packets, in {MAX_STEPS} steps"),
                ));
                // So that nobody who plays it all the same is kept for ever.
                test.steps.clear();
            }
        }
        // What only shows when packets are built: a quote of a packet not yet sent, a cut behind the
        // end. Three rounds of each `repeat` show it.
        if self.faults.is_empty() {
            self.faults = play::rehearse(&self.script);
        }
        self.faults.sort_by_key(|f| (f.span.start, f.span.end));
        self.faults.dedup();
        (self.script, self.faults)
    }
}

/// `name:` at the start of a line.
fn label<'t>(token: &Token<'t>) -> Option<&'t str> {
    let name = token.text.strip_suffix(':')?;
    let mut chars = name.chars();
    let first = chars.next()?;
    let ok = token.kind == Kind::Word
        && (first.is_ascii_alphabetic() || first == '_')
        && chars.all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'));
    ok.then_some(name)
}
