//! The words of one command, read as the real program's getopt reads them: short options with
//! joined or separate values, long options by any unambiguous beginning, options of matches once
//! they are loaded by `-m`, by `-j`, or by `-p` on first use.

use palisade_wire::Family;

use super::extension::{self, Fault, Given, Loaded};
use super::value::{self, Bad};
use super::{Parser, repair};
use crate::catalogue::{self, Extension};
use crate::lex::Word;
use crate::model::*;

/// What a command does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    Append,
    Insert,
    Delete,
    Replace,
    Check,
    Flush,
    Zero,
    NewChain,
    DeleteChain,
    Rename,
    Policy,
    List,
}

/// A command with its parts, not yet applied.
pub(crate) struct Command {
    pub(crate) verb: Verb,
    pub(crate) verb_word: Word,
    /// Chain and further plain arguments of the verb.
    pub(crate) arguments: Vec<Word>,
    pub(crate) table: Option<Word>,
    pub(crate) sources: Vec<Not<Net>>,
    pub(crate) destinations: Vec<Not<Net>>,
    pub(crate) base: Base,
    pub(crate) matches: Vec<Match>,
    pub(crate) target: Option<TargetWord>,
    pub(crate) built_target: Option<Target>,
    pub(crate) counters: Counters,
    pub(crate) interface_words: [Option<Word>; 2],
    pub(crate) span: (usize, usize),
}

/// `-j` or `-g` with its name.
#[derive(Clone)]
pub(crate) struct TargetWord {
    pub(crate) word: Word,
    pub(crate) goto: bool,
}

/// Base options: short letter, long names, values (9: as many as fit the verb).
const BASE: &[(char, &[&str], u8)] = &[
    ('A', &["append"], 1),
    ('D', &["delete"], 1),
    ('C', &["check"], 1),
    ('I', &["insert"], 1),
    ('R', &["replace"], 1),
    ('L', &["list"], 8),
    ('S', &["list-rules"], 8),
    ('F', &["flush"], 8),
    ('Z', &["zero"], 8),
    ('N', &["new-chain"], 1),
    ('X', &["delete-chain"], 8),
    ('E', &["rename-chain"], 1),
    ('P', &["policy"], 1),
    ('s', &["source", "src"], 1),
    ('d', &["destination", "dst"], 1),
    ('p', &["protocol"], 1),
    ('i', &["in-interface"], 1),
    ('o', &["out-interface"], 1),
    ('j', &["jump"], 1),
    ('g', &["goto"], 1),
    ('m', &["match"], 1),
    ('t', &["table"], 1),
    ('n', &["numeric"], 0),
    ('v', &["verbose"], 0),
    ('w', &["wait"], 8),
    ('W', &["wait-interval"], 8),
    ('x', &["exact"], 0),
    ('f', &["fragments"], 0),
    ('V', &["version"], 0),
    ('h', &["help"], 8),
    ('0', &["line-numbers"], 0),
    ('M', &["modprobe"], 1),
    ('c', &["set-counters"], 1),
    ('4', &["ipv4"], 0),
    ('6', &["ipv6"], 0),
];

fn verb(letter: char) -> Option<Verb> {
    Some(match letter {
        'A' => Verb::Append,
        'I' => Verb::Insert,
        'D' => Verb::Delete,
        'R' => Verb::Replace,
        'C' => Verb::Check,
        'F' => Verb::Flush,
        'Z' => Verb::Zero,
        'N' => Verb::NewChain,
        'X' => Verb::DeleteChain,
        'E' => Verb::Rename,
        'P' => Verb::Policy,
        'L' | 'S' => Verb::List,
        _ => return None,
    })
}

/// An option found among the base options and the loaded extensions.
enum Found {
    Base(char, u8),
    Match(usize, &'static str, u8),
    Target(&'static str, u8),
}

/// Reads the words of one command. Errors are reported; `None` means that nothing can be
/// applied.
pub(crate) fn read(parser: &mut Parser<'_>, words: &[Word], family: Family) -> Option<Command> {
    let (Some(first), Some(last)) = (words.first(), words.last()) else {
        return None;
    };
    let mut reader = Reader {
        parser,
        family,
        words,
        at: 0,
        bang: None,
        verb: None,
        failed: false,
        arguments: Vec::new(),
        strays: Vec::new(),
        table: None,
        sources: Vec::new(),
        destinations: Vec::new(),
        base: Base::default(),
        protocol: None,
        matches: Vec::new(),
        target: None,
        target_options: None,
        counters: Counters::default(),
        interface_words: [None, None],
    };
    reader.run();
    reader.finish((first.start, last.end))
}

struct Reader<'p, 'a, 'w> {
    parser: &'p mut Parser<'a>,
    family: Family,
    words: &'w [Word],
    at: usize,
    bang: Option<Word>,
    verb: Option<(Verb, Word)>,
    failed: bool,
    arguments: Vec<Word>,
    strays: Vec<usize>,
    table: Option<Word>,
    sources: Vec<Not<Net>>,
    destinations: Vec<Not<Net>>,
    base: Base,
    protocol: Option<Not<u8>>,
    matches: Vec<Loaded>,
    target: Option<TargetWord>,
    target_options: Option<Loaded>,
    counters: Counters,
    interface_words: [Option<Word>; 2],
}

impl Reader<'_, '_, '_> {
    fn run(&mut self) {
        while let Some(word) = self.words.get(self.at) {
            let word = word.clone();
            self.at += 1;
            if word.text == "!" {
                if let Some(earlier) = self.bang.replace(word.clone()) {
                    self.fail("double-negation", &earlier, Bad::new("'!' stands twice"));
                }
            } else if let Some(long) = word.text.strip_prefix("--").filter(|l| !l.is_empty()) {
                let (name, value) = match long.split_once('=') {
                    Some((name, value)) => (name.to_string(), Some(value.to_string())),
                    None => (long.to_string(), None),
                };
                self.long(&word, &name, value);
            } else if word.text.len() > 1 && word.text.starts_with('-') {
                self.short(&word);
            } else {
                if let Some(bang) = self.bang.take() {
                    // `-s ! address`, the spelling of long ago.
                    self.old_negation(&bang);
                }
                self.strays.push(self.at - 1);
            }
        }
        if let Some(bang) = self.bang.take() {
            self.fail(
                "stray-negation",
                &bang,
                Bad::new("'!' stands before nothing"),
            );
        }
        for i in std::mem::take(&mut self.strays) {
            let diagnostic = repair::stray(self.parser, self.words, i, self.verb.is_some());
            self.failed = true;
            self.parser.report(diagnostic);
        }
    }

    fn fail(&mut self, code: &'static str, word: &Word, bad: Bad) {
        self.failed = true;
        let mut diagnostic = self.parser.error(code, (word.start, word.end), bad.message);
        diagnostic.help = bad.help;
        self.parser.report(diagnostic);
    }

    fn old_negation(&mut self, bang: &Word) {
        self.fail(
            "old-negation",
            bang,
            Bad::new("'!' stands behind its option")
                .help("write it before the option: ! -s 192.0.2.0/24"),
        );
    }

    /// The next word as a value. `!` in its place is the old spelling of negation.
    fn value(&mut self, option: &Word) -> Option<Word> {
        let none_follows = self
            .words
            .get(self.at)
            .is_none_or(|w| w.text.starts_with('-'));
        // `-m state NEW --state`: the value was passed as a stray word just before.
        if none_follows
            && let Some(&stray) = self.strays.last()
            && stray + 2 == self.at
            && let Some(diagnostic) = repair::value_first(self.parser, &self.words[stray], option)
        {
            self.strays.pop();
            self.failed = true;
            self.parser.report(diagnostic);
            return None;
        }
        let Some(word) = self.words.get(self.at) else {
            let diagnostic = self.parser.error(
                "missing-value",
                (option.start, option.end),
                format!("option '{}' needs a value", option.text),
            );
            self.failed = true;
            self.parser.report(diagnostic);
            return None;
        };
        if word.text == "!" && self.words.get(self.at + 1).is_some() {
            let (bang, value) = (word.clone(), self.words[self.at + 1].clone());
            let mut diagnostic = self.parser.error(
                "old-negation",
                (bang.start, bang.end),
                "'!' stands between an option and its value",
            );
            diagnostic = diagnostic
                .help(format!("! {} {}", option.text, value.text))
                .replace(
                    option.start,
                    value.end,
                    format!("! {} {}", option.text, value.text),
                );
            self.failed = true;
            self.parser.report(diagnostic);
            self.at += 2;
            return None;
        }
        self.at += 1;
        Some(word.clone())
    }

    fn short(&mut self, word: &Word) {
        // `-dport 22` is read as `-d port`: tell before it confuses anything.
        if let Some(diagnostic) = repair::one_dash(self.parser, word) {
            self.failed = true;
            self.bang = None;
            self.parser.report(diagnostic);
            if self
                .words
                .get(self.at)
                .is_some_and(|w| !w.text.starts_with('-'))
            {
                self.at += 1;
            }
            return;
        }
        let letters: Vec<(usize, char)> = word.text.char_indices().skip(1).collect();
        let mut i = 0;
        while let Some(&(offset, letter)) = letters.get(i) {
            i += 1;
            let Some(&(_, _, arity)) = BASE
                .iter()
                .find(|(l, ..)| *l == letter && *l != '0' && *l != 'M')
            else {
                self.fail(
                    "unknown-option",
                    word,
                    Bad::new(format!("unknown option '-{letter}'")),
                );
                return;
            };
            let rest = &word.text[offset + letter.len_utf8()..];
            if arity == 0 {
                self.base_option(letter, word, None);
                continue;
            }
            let value = if rest.is_empty() {
                None
            } else {
                Some(Word {
                    text: rest.to_string(),
                    start: word.start + offset + letter.len_utf8(),
                    end: word.end,
                })
            };
            self.with_value(letter, arity, word, value);
            return;
        }
    }

    fn with_value(&mut self, letter: char, arity: u8, word: &Word, joined: Option<Word>) {
        let value = match (joined, arity) {
            (Some(value), _) => Some(value),
            (None, 8) => match self.words.get(self.at) {
                Some(next) if !next.text.starts_with('-') && next.text != "!" => {
                    self.at += 1;
                    Some(next.clone())
                }
                _ => None,
            },
            (None, _) => match self.value(word) {
                Some(value) => Some(value),
                None => {
                    self.bang = None;
                    return;
                }
            },
        };
        self.base_option(letter, word, value);
    }

    fn long(&mut self, word: &Word, name: &str, joined: Option<String>) {
        match self.find_long(name) {
            Ok(Some(found)) => self.found_long(word, found, joined),
            Ok(None) => {
                // The match of the protocol is loaded when one of its options appears.
                if let Some(extension) = self.implicit()
                    && extension.options.iter().any(|(n, _)| n.starts_with(name))
                {
                    self.matches.push(Loaded {
                        extension,
                        word: word.clone(),
                        given: Vec::new(),
                        words: Vec::new(),
                    });
                    if let Ok(Some(found)) = self.find_long(name) {
                        self.found_long(word, found, joined);
                        return;
                    }
                }
                self.bang = None;
                self.failed = true;
                let next = self.words.get(self.at).cloned();
                let known: Vec<&str> = self.known_options();
                let diagnostic = repair::unknown_option(
                    self.parser,
                    word,
                    name,
                    next.as_ref(),
                    self.protocol.as_ref().map(|p| p.value),
                    &known,
                );
                self.parser.report(diagnostic);
                if joined.is_none()
                    && next.is_some_and(|w| !w.text.starts_with('-') && w.text != "!")
                {
                    self.at += 1;
                }
            }
            Err(candidates) => {
                self.bang = None;
                self.fail(
                    "ambiguous-option",
                    word,
                    Bad::new(format!("option '--{name}' is ambiguous"))
                        .help(format!("one of {}", candidates.join(", "))),
                );
            }
        }
    }

    fn implicit(&self) -> Option<&'static Extension> {
        let protocol = self.protocol.as_ref().filter(|p| !p.negated)?;
        let extension = catalogue::protocol_match(protocol.value, self.family)?;
        (!self
            .matches
            .iter()
            .any(|m| m.extension.name == extension.name))
        .then_some(extension)
    }

    fn known_options(&self) -> Vec<&'static str> {
        let mut known: Vec<&'static str> = BASE.iter().flat_map(|b| b.1.iter().copied()).collect();
        for loaded in self.matches.iter().chain(&self.target_options) {
            known.extend(loaded.extension.options.iter().map(|o| o.0));
        }
        if let Some(extension) = self.implicit() {
            known.extend(extension.options.iter().map(|o| o.0));
        }
        known
    }

    /// An option by its name or an unambiguous beginning; the latest loaded extension goes first.
    fn find_long(&self, name: &str) -> Result<Option<Found>, Vec<String>> {
        let mut partial: Vec<(Found, &'static str)> = Vec::new();
        if let Some(target) = &self.target_options {
            for (option, arity) in target.extension.options {
                if *option == name {
                    return Ok(Some(Found::Target(option, *arity)));
                }
                if option.starts_with(name) {
                    partial.push((Found::Target(option, *arity), option));
                }
            }
        }
        for (i, loaded) in self.matches.iter().enumerate().rev() {
            for (option, arity) in loaded.extension.options {
                if *option == name {
                    return Ok(Some(Found::Match(i, option, *arity)));
                }
                if option.starts_with(name) && !partial.iter().any(|(_, n)| n == option) {
                    partial.push((Found::Match(i, option, *arity), option));
                }
            }
        }
        for (letter, names, arity) in BASE {
            for option in *names {
                if *option == name {
                    return Ok(Some(Found::Base(*letter, *arity)));
                }
                if option.starts_with(name) && !partial.iter().any(|(_, n)| n == option) {
                    partial.push((Found::Base(*letter, *arity), option));
                }
            }
        }
        if partial.len() > 1 {
            // Two spellings of one base option do not make it ambiguous.
            let first = match &partial[0].0 {
                Found::Base(letter, _) => Some(*letter),
                _ => None,
            };
            let same = first.is_some_and(|l| {
                partial
                    .iter()
                    .all(|(f, _)| matches!(f, Found::Base(letter, _) if *letter == l))
            });
            if !same {
                return Err(partial.iter().map(|(_, n)| format!("--{n}")).collect());
            }
        }
        Ok(partial.into_iter().next().map(|(found, _)| found))
    }

    fn found_long(&mut self, word: &Word, found: Found, joined: Option<String>) {
        let joined = joined.map(|text| Word {
            start: word.end - text.len().min(word.end - word.start),
            end: word.end,
            text,
        });
        match found {
            Found::Base(letter, 0) => self.base_option(letter, word, None),
            Found::Base(letter, arity) => self.with_value(letter, arity, word, joined),
            Found::Match(at, name, arity) => {
                if let Some(given) = self.option(word, name, arity, joined) {
                    let loaded = &mut self.matches[at];
                    remember(loaded, given);
                }
            }
            Found::Target(name, arity) => {
                if let Some(given) = self.option(word, name, arity, joined)
                    && let Some(loaded) = &mut self.target_options
                {
                    remember(loaded, given);
                }
            }
        }
    }

    fn option(
        &mut self,
        word: &Word,
        name: &'static str,
        arity: u8,
        joined: Option<Word>,
    ) -> Option<Given> {
        let negated = self.bang.take().is_some();
        let mut values: Vec<Word> = joined.into_iter().collect();
        while values.len() < usize::from(arity) {
            values.push(self.value(word)?);
        }
        Some(Given {
            name,
            negated,
            word: word.clone(),
            values,
        })
    }

    fn base_option(&mut self, letter: char, word: &Word, value: Option<Word>) {
        if let Some(found) = verb(letter) {
            return self.verb(found, word, value);
        }
        let bang = self.bang.take();
        let negated = bang.is_some();
        if let Some(bang) = &bang
            && !matches!(letter, 's' | 'd' | 'p' | 'i' | 'o' | 'f')
        {
            self.fail(
                "stray-negation",
                bang,
                Bad::new(format!("'!' cannot stand before {}", word.text)),
            );
        }
        let value = value.unwrap_or_else(|| Word {
            text: String::new(),
            ..word.clone()
        });
        match letter {
            's' | 'd' => self.addresses(letter, word, &value, negated),
            'p' => match value::protocol(&value.text) {
                Ok(number) => {
                    if self.protocol.is_some() {
                        self.twice(word);
                    }
                    if number == 0 && negated {
                        self.fail(
                            "bad-value",
                            &value,
                            Bad::new("no packet has a protocol other than all"),
                        );
                    }
                    self.protocol = Some(Not {
                        negated,
                        value: number,
                    });
                    self.base.protocol = (number != 0).then_some(Not {
                        negated,
                        value: number,
                    });
                }
                Err(bad) => self.fail("bad-value", &value, bad),
            },
            'i' | 'o' => self.interface(letter, word, &value, negated),
            'f' => {
                if self.family == Family::V6 {
                    self.fail(
                        "wrong-family",
                        word,
                        Bad::new("-f is not an option of ip6tables").help("-m frag"),
                    );
                } else if self.base.fragment.is_some() {
                    self.twice(word);
                }
                self.base.fragment = Some(Not { negated, value: () });
            }
            'm' => self.load_match(&value),
            'j' | 'g' => {
                if self.target.is_some() {
                    self.twice(word);
                    return;
                }
                self.target_options =
                    catalogue::find_target(&value.text, self.family).map(|extension| Loaded {
                        extension,
                        word: value.clone(),
                        given: Vec::new(),
                        words: Vec::new(),
                    });
                self.target = Some(TargetWord {
                    word: value,
                    goto: letter == 'g',
                });
            }
            't' => self.table = Some(value),
            'c' => {
                let max = u64::MAX;
                let packets = value::number(&value.text, max);
                let bytes = match self.value(word) {
                    Some(second) => value::number(&second.text, max),
                    None => return,
                };
                match (packets, bytes) {
                    (Ok(packets), Ok(bytes)) => self.counters = Counters { packets, bytes },
                    _ => self.fail(
                        "bad-value",
                        &value,
                        Bad::new("-c takes a number of packets and a number of bytes"),
                    ),
                }
            }
            _ => {}
        }
    }

    fn twice(&mut self, word: &Word) {
        self.fail(
            "repeated-option",
            word,
            Bad::new(format!("{} stands twice in one rule", word.text)),
        );
    }

    fn verb(&mut self, found: Verb, word: &Word, value: Option<Word>) {
        self.bang = None;
        if let Some((_, _)) = &self.verb {
            let diagnostic = repair::second_verb(self.parser, word);
            self.failed = true;
            self.parser.report(diagnostic);
            return;
        }
        self.verb = Some((found, word.clone()));
        self.arguments.extend(value);
        let more = match found {
            Verb::Rename | Verb::Policy => 1,
            Verb::Insert | Verb::Replace | Verb::Delete | Verb::Zero => {
                // A rule number, if one follows.
                usize::from(
                    self.words
                        .get(self.at)
                        .is_some_and(|w| w.text.bytes().all(|b| b.is_ascii_digit())),
                )
            }
            _ => 0,
        };
        for _ in 0..more {
            if let Some(next) = self.words.get(self.at)
                && !next.text.starts_with('-')
                && next.text != "!"
            {
                self.arguments.push(next.clone());
                self.at += 1;
            }
        }
    }

    fn addresses(&mut self, letter: char, word: &Word, value: &Word, negated: bool) {
        let list = if letter == 's' {
            &self.sources
        } else {
            &self.destinations
        };
        if !list.is_empty() {
            self.twice(word);
            return;
        }
        let mut nets = Vec::new();
        for part in value.text.split(',').filter(|p| !p.is_empty()) {
            match value::net(part, self.family) {
                Ok(net) => nets.push(Not {
                    negated,
                    value: net,
                }),
                Err(bad) => {
                    self.fail("bad-address", value, bad);
                    return;
                }
            }
        }
        if negated && nets.len() > 1 {
            self.fail(
                "bad-address",
                value,
                Bad::new("'!' cannot stand before a list of addresses")
                    .help("write one rule for each, in a chain of their own"),
            );
        }
        if letter == 's' {
            self.sources = nets;
        } else {
            self.destinations = nets;
        }
    }

    fn interface(&mut self, letter: char, word: &Word, value: &Word, negated: bool) {
        let slot = usize::from(letter == 'o');
        if self.interface_words[slot].is_some() {
            self.twice(word);
            return;
        }
        if value.text.len() > 15 || value.text.is_empty() {
            self.fail(
                "bad-interface",
                value,
                Bad::new(format!(
                    "interface name '{}' must have 1 to 15 bytes",
                    value.text
                )),
            );
            return;
        }
        self.interface_words[slot] = Some(word.clone());
        let pattern = match value.text.strip_suffix('+') {
            Some(name) => InterfacePattern {
                name: name.to_string(),
                prefix: true,
            },
            None => InterfacePattern {
                name: value.text.clone(),
                prefix: false,
            },
        };
        let not = Not {
            negated,
            value: pattern,
        };
        if letter == 'i' {
            self.base.in_interface = Some(not);
        } else {
            self.base.out_interface = Some(not);
        }
    }

    fn load_match(&mut self, name: &Word) {
        match catalogue::find_match(&name.text, self.family) {
            Some(extension) => self.matches.push(Loaded {
                extension,
                word: name.clone(),
                given: Vec::new(),
                words: Vec::new(),
            }),
            None => {
                let diagnostic = repair::unknown_match(self.parser, name, self.family);
                self.failed = true;
                self.parser.report(diagnostic);
            }
        }
    }

    fn finish(mut self, span: (usize, usize)) -> Option<Command> {
        let mut matches = Vec::with_capacity(self.matches.len());
        for loaded in std::mem::take(&mut self.matches) {
            self.check_protocol(&loaded);
            match extension::build_match(&loaded, self.family) {
                Ok(built) => {
                    if let Match::Kept(kept) = &built {
                        self.parser.note_kept("match", &kept.name, &loaded.word);
                    }
                    matches.push(built);
                }
                Err(fault) => self.fault(fault),
            }
        }
        let mut built_target = None;
        if let Some(loaded) = self.target_options.take() {
            match extension::build_target(&loaded, self.family) {
                Ok(built) => {
                    self.check_target(&built, &loaded);
                    if let Target::Kept(kept) = &built {
                        self.parser.note_kept("target", &kept.name, &loaded.word);
                    }
                    built_target = Some(built);
                }
                Err(fault) => self.fault(fault),
            }
        }
        let (verb, verb_word) = match self.verb {
            Some(found) => found,
            None => {
                if !self.failed {
                    let word = &self.words[0];
                    let error = self
                        .parser
                        .error(
                            "no-command",
                            (word.start, word.end),
                            "no command in this line",
                        )
                        .help("-A CHAIN, -I CHAIN, -P CHAIN …");
                    self.parser.report(error);
                }
                return None;
            }
        };
        (!self.failed).then_some(Command {
            verb,
            verb_word,
            arguments: self.arguments,
            table: self.table,
            sources: self.sources,
            destinations: self.destinations,
            base: self.base,
            matches,
            target: self.target,
            built_target,
            counters: self.counters,
            interface_words: self.interface_words,
            span,
        })
    }

    fn fault(&mut self, (word, bad): Fault) {
        if bad.missing && self.failed {
            return;
        }
        self.fail("bad-value", &word, bad);
    }

    /// tcp, udp, icmp and their like go with their protocol only, multiport with ports.
    fn check_protocol(&mut self, loaded: &Loaded) {
        use palisade_wire::proto::*;
        let wanted: &[u8] = match loaded.extension.name {
            "tcp" => &[TCP],
            "udp" => &[UDP],
            "icmp" => &[ICMP],
            "icmp6" => &[ICMPV6],
            "sctp" => &[SCTP],
            "dccp" => &[DCCP],
            "udplite" => &[UDPLITE],
            "multiport" => &[TCP, UDP, UDPLITE, SCTP, DCCP],
            _ => return,
        };
        let fits = self
            .protocol
            .as_ref()
            .is_some_and(|p| !p.negated && wanted.contains(&p.value));
        if !fits {
            let name = catalogue::protocol_name(wanted[0]);
            self.fail(
                "match-needs-protocol",
                &loaded.word,
                Bad::new(format!(
                    "'-m {}' needs '-p {name}'{}",
                    loaded.extension.name,
                    if wanted.len() > 1 {
                        " (or another protocol with ports)"
                    } else {
                        ""
                    }
                ))
                .help(format!("-p {name} before it")),
            );
        }
    }

    fn check_target(&mut self, target: &Target, loaded: &Loaded) {
        if let Target::Reject(RejectWith::TcpReset) = target {
            let tcp = self
                .protocol
                .as_ref()
                .is_some_and(|p| !p.negated && p.value == palisade_wire::proto::TCP);
            if !tcp {
                self.fail(
                    "target-needs-protocol",
                    &loaded.word,
                    Bad::new("'--reject-with tcp-reset' needs '-p tcp'").help("-p tcp in the rule"),
                );
            }
        }
        let protocol = self.protocol.as_ref().map(|p| p.value);
        if let Err(bad) = super::nat::ports_fit(target, protocol) {
            self.fail("target-needs-protocol", &loaded.word, bad);
        }
        if let Target::Ct(ct) = target
            && let Some(helper) = &ct.helper
            && let Err(bad) = self.helper_fits(helper)
        {
            let word = loaded
                .given
                .iter()
                .find(|g| g.name == "helper")
                .and_then(|g| g.values.first())
                .unwrap_or(&loaded.word)
                .clone();
            self.fail("unknown-helper", &word, bad);
        }
    }

    /// Whether the kernel has a helper of this name for the rule's family and protocol (kernel
    /// `xt_ct_set_helper`).
    fn helper_fits(&self, name: &str) -> Result<(), Bad> {
        let rows = || HELPERS.iter().filter(|(known, ..)| *known == name);
        if rows().next().is_none() {
            let mut bad = Bad::new(format!("the kernel has no helper '{name}'"));
            bad.help = crate::diagnostic::nearest(name, HELPERS.iter().map(|(known, ..)| *known))
                .map(str::to_string);
            return Err(bad);
        }
        let of_family = || rows().filter(|(.., v6)| *v6 || self.family == Family::V4);
        if of_family().next().is_none() {
            return Err(Bad::new(format!("helper '{name}' is for IPv4 only")));
        }
        let protocols: Vec<String> = of_family()
            .map(|(_, protocol, _)| catalogue::protocol_name(*protocol))
            .collect();
        match &self.protocol {
            Some(not) if !not.negated => {
                if of_family().any(|(_, protocol, _)| *protocol == not.value) {
                    Ok(())
                } else {
                    Err(Bad::new(format!(
                        "helper '{name}' reads {} only",
                        protocols.join(" and ")
                    ))
                    .help(format!("-p {}", protocols[0])))
                }
            }
            _ => Err(
                Bad::new(format!("helper '{name}' needs a protocol in the rule"))
                    .help(format!("-p {}", protocols[0])),
            ),
        }
    }
}

/// The kernel's helpers, as `--helper` takes them: name, protocol, whether for IPv6 too.
const HELPERS: [(&str, u8, bool); 13] = {
    use palisade_wire::proto::{TCP, UDP};
    [
        ("ftp", TCP, true),
        ("tftp", UDP, true),
        ("irc", TCP, false),
        ("sip", UDP, true),
        ("sip", TCP, true),
        ("amanda", UDP, true),
        ("pptp", TCP, false),
        ("RAS", UDP, true),
        ("Q.931", TCP, true),
        ("netbios-ns", UDP, false),
        ("snmp", UDP, false),
        ("snmp_trap", UDP, false),
        ("sane", TCP, true),
    ]
};

/// Files an option with its extension; a repeated one replaces the earlier.
fn remember(loaded: &mut Loaded, given: Given) {
    if given.negated {
        loaded.words.push("!".to_string());
    }
    loaded.words.push(format!("--{}", given.name));
    loaded
        .words
        .extend(given.values.iter().map(|v| v.text.clone()));
    loaded.given.retain(|g| g.name != given.name);
    loaded.given.push(given);
}
