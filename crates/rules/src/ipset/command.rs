//! Lines of the language of `ipset restore`.

use super::apply::{Beside, Refused};
use super::element::{self, Expansion};
use super::kind::Kind;
use super::model::{Set, Sets};
use super::options;
use super::{MOST_ELEMENTS, Parsed};
use crate::diagnostic::{Severity, nearest};
use crate::lex::Lines;
use crate::value;

/// A piece of a word, with its place in the text.
#[derive(Clone, Debug)]
pub(super) struct Piece<'a> {
    pub(super) text: &'a str,
    start: usize,
    end: usize,
}

impl<'a> Piece<'a> {
    /// What stands before and behind the first `at`.
    pub(super) fn cut(&self, at: char) -> Option<(Piece<'a>, Piece<'a>)> {
        let (head, tail) = self.text.split_once(at)?;
        let (middle, behind) = if self.end - self.start == self.text.len() {
            let middle = self.start + head.len();
            (middle, middle + at.len_utf8())
        } else {
            // Quotes stand somewhere in it.
            (self.end, self.start)
        };
        Some((
            Piece {
                text: head,
                start: self.start,
                end: middle,
            },
            Piece {
                text: tail,
                start: behind,
                end: self.end,
            },
        ))
    }

    /// The pieces between all `at`.
    pub(super) fn split(&self, at: char) -> Vec<Piece<'a>> {
        let mut pieces = Vec::new();
        let mut rest = self.clone();
        while let Some((head, tail)) = rest.cut(at) {
            pieces.push(head);
            rest = tail;
        }
        pieces.push(rest);
        pieces
    }

    /// From here to another.
    pub(super) fn to(&self, last: &Piece<'_>) -> Piece<'a> {
        Piece {
            end: last.end,
            ..self.clone()
        }
    }

    pub(super) fn fault(&self, code: &'static str, message: String) -> Fault {
        Fault {
            code,
            span: (self.start, self.end),
            message,
            help: None,
            fix: None,
        }
    }

    /// Reads the text as a value.
    pub(super) fn value<T>(&self, read: impl FnOnce(&str) -> value::Value<T>) -> Result<T, Fault> {
        read(self.text).map_err(|bad| Fault {
            help: bad.help,
            ..self.fault("bad-value", bad.message.into())
        })
    }
}

/// What is wrong.
#[derive(Debug)]
pub(super) struct Fault {
    code: &'static str,
    span: (usize, usize),
    message: String,
    help: Option<String>,
    fix: Option<String>,
}

impl Fault {
    pub(super) fn help(mut self, text: impl Into<String>) -> Self {
        self.help = Some(text.into());
        self
    }

    /// What to put in place of the span.
    pub(super) fn fix(mut self, text: impl Into<String>) -> Self {
        self.fix = Some(text.into());
        self
    }
}

/// Names of the commands, with their shorter ones; beginnings of names are taken too.
const COMMANDS: [(&str, &[&str]); 12] = [
    ("create", &["new", "-N"]),
    ("add", &["-A"]),
    ("del", &["-D"]),
    ("test", &["-T"]),
    ("destroy", &["x", "-X"]),
    ("list", &["-L"]),
    ("save", &["-S"]),
    ("flush", &["-F"]),
    ("rename", &["e", "-E"]),
    ("swap", &["w", "-W"]),
    ("quit", &[]),
    ("COMMIT", &[]),
];

struct Reader<'a> {
    lines: Lines<'a>,
    parsed: Parsed,
    /// Where the last command found its set.
    last: usize,
    elements: usize,
}

pub(super) fn parse(sets: Sets, text: &str) -> Parsed {
    let mut reader = Reader {
        lines: Lines::new(text),
        elements: sets.sets.iter().map(Set::len).sum(),
        parsed: Parsed {
            sets,
            diagnostics: Vec::new(),
        },
        last: 0,
    };
    let mut base = 0;
    for raw in text.split_inclusive('\n') {
        reader.line(raw, base);
        base += raw.len();
    }
    reader.parsed
}

/// Words of a line: double quotes hold a word together and nothing escapes them (ipset `build_argv`). The texts of
/// quoted words are kept in `quoted`.
fn words(line: &str, base: usize) -> Result<Vec<(String, usize, usize)>, Fault> {
    let mut found: Vec<(String, usize, usize)> = Vec::new();
    let mut word: Option<(String, usize, usize)> = None;
    let mut open = None;
    for (i, c) in line.char_indices() {
        let at = base + i;
        if open.is_none() && matches!(c, ' ' | '\t' | '\r' | '\n') {
            found.extend(word.take());
            continue;
        }
        let word = word.get_or_insert_with(|| (String::new(), at, at));
        word.2 = at + c.len_utf8();
        if c == '"' {
            open = match open {
                None => Some(at),
                Some(_) => None,
            };
        } else {
            word.0.push(c);
        }
    }
    if let Some(at) = open {
        return Err(Fault {
            code: "open-quote",
            span: (at, at + 1),
            message: "the quote is not closed".into(),
            help: None,
            fix: None,
        });
    }
    found.extend(word);
    Ok(found)
}

impl Reader<'_> {
    fn report(&mut self, severity: Severity, fault: Fault) {
        let mut diagnostic = self
            .lines
            .diagnostic(severity, fault.code, fault.span, fault.message);
        diagnostic.help = fault.help;
        if let Some(fix) = fault.fix {
            diagnostic = diagnostic.replace(fault.span.0, fault.span.1, fix);
        }
        self.parsed.diagnostics.push(diagnostic);
    }

    fn line(&mut self, raw: &str, base: usize) {
        let trimmed = raw.trim_start();
        if trimmed.is_empty() || trimmed.starts_with('#') {
            return;
        }
        let texts = match words(raw, base) {
            Ok(texts) => texts,
            Err(fault) => return self.report(Severity::Error, fault),
        };
        let mut pieces: Vec<Piece<'_>> = texts
            .iter()
            .map(|(text, start, end)| Piece {
                text,
                start: *start,
                end: *end,
            })
            .collect();
        if pieces.first().is_some_and(|p| p.text == "ipset") {
            pieces.remove(0);
        }
        let mut exist = false;
        pieces.retain(|p| {
            let word = match p.text.strip_prefix("--") {
                Some(rest) => &p.text[p.text.len() - rest.len() - 1..],
                None => p.text,
            };
            exist |= matches!(word, "-!" | "-exist");
            !matches!(
                word,
                "-!" | "-exist" | "-q" | "-quiet" | "-s" | "-sorted" | "-r" | "-resolve"
            )
        });
        let line = self.lines.place(base).0;
        if let Err(fault) = self.command(&pieces, exist, line) {
            self.report(Severity::Error, fault);
        }
    }

    fn command(&mut self, pieces: &[Piece<'_>], exist: bool, line: u32) -> Result<(), Fault> {
        let Some((head, rest)) = pieces.split_first() else {
            return Ok(());
        };
        let bare = head.text.strip_prefix("--").unwrap_or(head.text);
        let found = COMMANDS
            .iter()
            .filter(|_| !bare.is_empty() && bare != "-")
            .find(|(name, others)| {
                name.starts_with(bare) || others.iter().any(|o| o.starts_with(bare))
            });
        let Some((name, _)) = found else {
            let fault = head.fault(
                "unknown-command",
                format!("'{}' is not a command of ipset", head.text),
            );
            let names = COMMANDS.iter().map(|(name, _)| *name);
            return Err(match nearest(bare, names) {
                Some(near) => fault.help(near).fix(near),
                None => fault.help("create, add, del, flush, destroy, rename or swap"),
            });
        };
        match *name {
            "create" => self.create(head, rest, exist, line),
            "add" => self.add(head, rest, exist),
            "del" => self.del(head, rest, exist),
            "destroy" | "flush" => {
                if let Some(extra) = rest.get(1) {
                    return Err(too_much(extra));
                }
                let set = rest.first().map(|p| p.text);
                let done = if *name == "flush" {
                    self.parsed.sets.flush(set)
                } else {
                    self.parsed.sets.destroy(set)
                };
                done.map_err(|why| self.refused(why, rest.first().unwrap_or(head)))
            }
            "rename" | "swap" => {
                let [a, b] = rest else {
                    return Err(head
                        .fault("missing-value", format!("{name} needs two names"))
                        .help(format!("{name} FROM TO")));
                };
                check_name(b)?;
                let done = if *name == "swap" {
                    self.parsed.sets.swap(a.text, b.text)
                } else {
                    self.parsed.sets.rename(a.text, b.text)
                };
                done.map_err(|why| {
                    let at = if why == Refused::SetExists || self.parsed.sets.get(a.text).is_some()
                    {
                        b
                    } else {
                        a
                    };
                    self.refused(why, at)
                })
            }
            // They change nothing.
            _ => Ok(()),
        }
    }

    fn refused(&self, why: Refused, at: &Piece<'_>) -> Fault {
        let code = match why {
            Refused::NoSet | Refused::NoNeighbour => "no-set",
            Refused::SetExists | Refused::InUse | Refused::Differs | Refused::Loop => "bad-set",
            Refused::Exists => "element-exists",
            Refused::Missing => "no-element",
            Refused::Full => "set-full",
        };
        let fault = at.fault(code, format!("{}: {}", at.text, why.text()));
        match why {
            Refused::NoSet => {
                let names = self.parsed.sets.sets.iter().map(|s| s.name.as_str());
                match nearest(at.text, names) {
                    Some(near) => fault.help(near).fix(near),
                    None => fault.help("create it in a line before"),
                }
            }
            Refused::Exists | Refused::Missing | Refused::SetExists => {
                fault.help("-exist if that is meant")
            }
            Refused::Full => fault.help("create the set with a larger maxelem"),
            _ => fault,
        }
    }

    fn create(
        &mut self,
        head: &Piece<'_>,
        rest: &[Piece<'_>],
        exist: bool,
        line: u32,
    ) -> Result<(), Fault> {
        let [name, typename, words @ ..] = rest else {
            return Err(head
                .fault("missing-value", "create needs a name and a type".into())
                .help("create NAME hash:ip"));
        };
        check_name(name)?;
        let kind = Kind::by_name(typename.text).ok_or_else(|| {
            let fault = typename.fault(
                "unknown-type",
                format!("there is no set type '{}'", typename.text),
            );
            match nearest(typename.text, Kind::ALL.iter().map(|k| k.name())) {
                Some(near) => fault.help(near).fix(near),
                None => fault.help("such as hash:ip, hash:net or list:set"),
            }
        })?;
        let mut warnings = Vec::new();
        let made = options::create(name.text, kind, line, typename, words, &mut warnings);
        for warning in warnings {
            self.report(Severity::Warning, warning);
        }
        self.parsed
            .sets
            .create(made?, exist)
            .map_err(|why| self.refused(why, name))
    }

    /// The set that a command names, from where the last was found.
    fn find(&mut self, name: &Piece<'_>) -> Result<usize, Fault> {
        let sets = &self.parsed.sets.sets;
        if sets.get(self.last).is_some_and(|s| s.name == name.text) {
            return Ok(self.last);
        }
        match sets.iter().position(|s| s.name == name.text) {
            Some(at) => {
                self.last = at;
                Ok(at)
            }
            None => Err(self.refused(Refused::NoSet, name)),
        }
    }

    fn add(&mut self, head: &Piece<'_>, rest: &[Piece<'_>], exist: bool) -> Result<(), Fault> {
        let [name, item, words @ ..] = rest else {
            return Err(head
                .fault("missing-value", "add needs a set and an element".into())
                .help("add NAME ELEMENT"));
        };
        let at = self.find(name)?;
        let set = &self.parsed.sets.sets[at];
        let added = options::add(set, words, false)?;
        if set.kind == Kind::ListSet {
            let member = item.split(',');
            let (member, beside) = place(&member, added.before, added.after, item)?;
            let mut entry = added.entry.clone();
            if let Some((_, old)) = set.members.iter().find(|(m, _)| m == member.text) {
                added.keep_counted(&mut entry, old);
            }
            let sets = &mut self.parsed.sets;
            let done = sets.list_add(name.text, member.text, beside, entry, exist);
            return done.map_err(|why| self.refused(why, &member));
        }
        let written = element::read(set, item)?;
        let mut entry = added.entry.clone();
        entry.mac = match set.kind {
            Kind::BitmapIpMac => written.mac,
            _ => None,
        };
        in_range(set, &written, item)?;
        let mut budget = MOST_ELEMENTS.saturating_sub(self.elements);
        let mut total = 0;
        let skeleton = shallow(set);
        let set = &mut self.parsed.sets.sets[at];
        let result = element::expand(&skeleton, &written, &mut |element| {
            total += 1;
            budget = budget.checked_sub(1).ok_or(None)?;
            let mut entry = entry.clone();
            if exist && let Some(old) = set.same(&element).and_then(|e| set.elements.get(&e)) {
                added.keep_counted(&mut entry, old);
            }
            set.add(element, entry, exist).map_err(Some)
        });
        self.elements += total;
        self.expanded(result, item)
    }

    fn expanded(
        &self,
        result: Result<(), Expansion<Option<Refused>>>,
        item: &Piece<'_>,
    ) -> Result<(), Fault> {
        match result {
            Ok(()) => Ok(()),
            Err(Expansion::Zero(what)) => {
                Err(item.fault("bad-element", format!("the set cannot hold {what}")))
            }
            Err(Expansion::Refused(Some(why))) => Err(self.refused(why, item)),
            Err(Expansion::Refused(None)) => Err(item.fault(
                "too-many-elements",
                format!("more than {MOST_ELEMENTS} elements in one text are not read"),
            )),
        }
    }

    fn del(&mut self, head: &Piece<'_>, rest: &[Piece<'_>], exist: bool) -> Result<(), Fault> {
        let [name, item, words @ ..] = rest else {
            return Err(head
                .fault("missing-value", "del needs a set and an element".into())
                .help("del NAME ELEMENT"));
        };
        let at = self.find(name)?;
        let set = &self.parsed.sets.sets[at];
        let added = options::add(set, words, true)?;
        if set.kind == Kind::ListSet {
            let member = item.split(',');
            let (member, beside) = place(&member, added.before, added.after, item)?;
            return match self.parsed.sets.list_remove(name.text, member.text, beside) {
                Err(Refused::Missing) if exist => Ok(()),
                done => done.map_err(|why| self.refused(why, &member)),
            };
        }
        let written = element::read(set, item)?;
        in_range(set, &written, item)?;
        let skeleton = shallow(set);
        let mut budget = MOST_ELEMENTS;
        let set = &mut self.parsed.sets.sets[at];
        let result = element::expand(&skeleton, &written, &mut |element| {
            budget = budget.checked_sub(1).ok_or(None)?;
            match set.remove(&element) {
                Err(Refused::Missing) if exist => Ok(()),
                done => done.map_err(Some),
            }
        });
        self.expanded(result, item)
    }
}

/// The set without what is in it.
fn shallow(set: &Set) -> Set {
    Set {
        name: String::new(),
        kind: set.kind,
        family: set.family,
        options: set.options.clone(),
        elements: Default::default(),
        members: Vec::new(),
        line: set.line,
    }
}

fn too_much(extra: &Piece<'_>) -> Fault {
    extra.fault("extra-word", format!("'{}' is too much here", extra.text))
}

fn check_name(name: &Piece<'_>) -> Result<(), Fault> {
    if name.text.is_empty() || name.text.len() > 31 {
        return Err(name
            .fault("bad-name", format!("'{}' cannot name a set", name.text))
            .help("1 to 31 characters"));
    }
    Ok(())
}

/// Elements of a bitmap lie in its range.
fn in_range(set: &Set, written: &element::Written, item: &Piece<'_>) -> Result<(), Fault> {
    if !set.kind.is_bitmap() {
        return Ok(());
    }
    let (first, last) = set.options.range;
    if written.within(set, u128::from(first), u128::from(last)) {
        return Ok(());
    }
    let show = |n: u32| match set.kind {
        Kind::BitmapPort => n.to_string(),
        _ => set.address(u128::from(n)).to_string(),
    };
    Err(item
        .fault(
            "out-of-range",
            format!("{} is out of the range of set {}", item.text, set.name),
        )
        .help(format!("{} to {}", show(first), show(last))))
}

/// A member of a list and where it goes: `NAME before OTHER`, or the older `NAME,before,OTHER`.
fn place<'a>(
    item: &[Piece<'a>],
    before: Option<&'a str>,
    after: Option<&'a str>,
    whole: &Piece<'a>,
) -> Result<(Piece<'a>, Beside<'a>), Fault> {
    let beside = match (before, after, item) {
        (None, None, [_]) => Beside::Any,
        (Some(other), None, [_]) => Beside::Before(other),
        (None, Some(other), [_]) => Beside::After(other),
        (None, None, [_, how, other]) if how.text == "before" => Beside::Before(other.text),
        (None, None, [_, how, other]) if how.text == "after" => Beside::After(other.text),
        _ => {
            return Err(whole
                .fault("bad-element", format!("'{}' is not a member", whole.text))
                .help("NAME, NAME before OTHER or NAME after OTHER"));
        }
    };
    Ok((item.first().unwrap_or(whole).clone(), beside))
}

impl Sets {
    /// Whether a rule can name the set.
    pub fn contains(&self, name: &str) -> bool {
        self.get(name).is_some()
    }
}
