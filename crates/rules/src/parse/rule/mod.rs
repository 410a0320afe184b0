//! The words of one command, read as the real program's getopt reads them: short options with
//! joined or separate values, long options by any unambiguous beginning, options of matches once
//! they are loaded by `-m`, by `-j`, or by `-p` on first use.

mod base;
mod check;

use palisade_wire::Family;

use self::base::BASE;
use crate::catalogue::read::{Given, Loaded};
use crate::catalogue::{self, Extension, Opt};
use crate::lex::Word;
use crate::model::*;
use crate::parse::{Parser, repair};
use crate::value::{self, Bad, Fault};

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
    /// Where each match was named.
    pub(crate) match_words: Vec<Word>,
    pub(crate) target: Option<TargetWord>,
    pub(crate) built_target: Option<Target>,
    pub(crate) counters: Counters,
    pub(crate) interface_words: [Option<Word>; 2],
    pub(crate) span: (usize, usize),
    /// Something in it is wrong and reported: chain and target may still be looked at, nothing applied.
    pub(crate) failed: bool,
}

/// `-j` or `-g` with its name.
#[derive(Clone)]
pub(crate) struct TargetWord {
    pub(crate) word: Word,
    pub(crate) goto: bool,
}

/// An option found among the base options and the loaded extensions.
enum Found {
    Base(char, u8),
    Match(usize, &'static Opt),
    Target(&'static Opt),
}

/// Reads the words of one command. Errors are reported; `None` means that nothing can be
/// applied.
pub(crate) fn read(parser: &mut Parser<'_>, words: &[Word], family: Family) -> Option<Command> {
    let (Some(first), Some(last)) = (words.first(), words.last()) else {
        return None;
    };
    let mended = repair::typographic_quotes(parser, words);
    let mut reader = Reader {
        parser,
        family,
        words: mended.as_deref().unwrap_or(words),
        at: 0,
        bang: None,
        verb: None,
        failed: mended.is_some(),
        unknown_match: false,
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
    /// A match of the rule is none: what stands behind it cannot be judged.
    unknown_match: bool,
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
            } else if let Some(diagnostic) = repair::long_dash(self.parser, &word) {
                self.bang = None;
                self.failed = true;
                self.parser.report(diagnostic);
                // Its values would be told as words without an option.
                while self.words.get(self.at).is_some_and(|w| {
                    !w.text.starts_with('-') && !repair::is_long_dash(&w.text) && w.text != "!"
                }) {
                    self.at += 1;
                }
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
        diagnostic.said = bad.said.map(String::from);
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
            let known =
                option
                    .text
                    .strip_prefix("--")
                    .and_then(|name| match self.find_long(name) {
                        Ok(Some(Found::Match(_, option) | Found::Target(option))) => {
                            Some(option.value)
                        }
                        _ => None,
                    });
            let diagnostic = repair::missing_value(self.parser, option, known);
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
                    && extension
                        .options
                        .iter()
                        .any(|o| o.names().any(|n| n.starts_with(name)))
                {
                    self.matches
                        .push(Loaded::new(extension, word.clone(), self.family));
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
                    (self.protocol.as_ref().map(|p| p.value), self.family),
                    &known,
                );
                let of_a_match = || {
                    catalogue::MATCHES
                        .iter()
                        .any(|e| e.options.iter().any(|o| o.names().any(|n| n == name)))
                };
                if !(self.unknown_match && of_a_match()) {
                    self.parser.report(diagnostic);
                }
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
            known.extend(loaded.extension.options.iter().flat_map(Opt::names));
        }
        if let Some(extension) = self.implicit() {
            known.extend(extension.options.iter().flat_map(Opt::names));
        }
        known
    }

    /// An option by its name or an unambiguous beginning; the latest loaded extension goes first.
    fn find_long(&self, name: &str) -> Result<Option<Found>, Vec<String>> {
        let mut partial: Vec<(Found, &'static str)> = Vec::new();
        if let Some(target) = &self.target_options {
            for (option, spelled) in spellings(target.extension) {
                if spelled == name {
                    return Ok(Some(Found::Target(option)));
                }
                if spelled.starts_with(name) {
                    partial.push((Found::Target(option), spelled));
                }
            }
        }
        for (i, loaded) in self.matches.iter().enumerate().rev() {
            for (option, spelled) in spellings(loaded.extension) {
                if spelled == name {
                    return Ok(Some(Found::Match(i, option)));
                }
                if spelled.starts_with(name) && !partial.iter().any(|(_, n)| *n == spelled) {
                    partial.push((Found::Match(i, option), spelled));
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
            Found::Match(at, option) => {
                if let Some(given) = self.option(word, option, joined) {
                    self.matches[at].given.push(given);
                }
            }
            Found::Target(option) => {
                if let Some(given) = self.option(word, option, joined)
                    && let Some(loaded) = &mut self.target_options
                {
                    loaded.given.push(given);
                }
            }
        }
    }

    fn option(&mut self, word: &Word, option: &'static Opt, joined: Option<Word>) -> Option<Given> {
        let negated = self.bang.take().is_some();
        let mut values: Vec<Word> = joined.into_iter().collect();
        while values.len() < usize::from(option.values) {
            values.push(self.value(word)?);
        }
        Some(Given {
            option,
            negated,
            word: word.clone(),
            values,
        })
    }

    fn twice(&mut self, word: &Word) {
        self.fail(
            "repeated-option",
            word,
            match word.text.as_str() {
                "-s" | "-d" => {
                    Bad::new(format!("{} stands twice in one rule", word.text)).help(format!(
                        "a list makes a rule for each: {} ADDRESS,ADDRESS",
                        word.text
                    ))
                }
                _ => Bad::new(format!("{} stands twice in one rule", word.text)),
            },
        );
    }

    fn load_match(&mut self, name: &Word) {
        match catalogue::find_match(&name.text, self.family) {
            Some(extension) => {
                self.matches
                    .push(Loaded::new(extension, name.clone(), self.family));
            }
            None => {
                let diagnostic = repair::unknown_match(self.parser, name, self.family);
                self.failed = true;
                self.unknown_match = true;
                self.parser.report(diagnostic);
            }
        }
    }

    fn finish(mut self, span: (usize, usize)) -> Option<Command> {
        let mut matches = Vec::with_capacity(self.matches.len());
        let mut match_words = Vec::with_capacity(self.matches.len());
        for mut loaded in std::mem::take(&mut self.matches) {
            loaded.protocol = self.protocol.clone();
            self.check_protocol(&loaded);
            match Match::read(&loaded) {
                Ok(built) => {
                    self.parser
                        .note_kept("match", loaded.extension, &loaded.word);
                    matches.push(built);
                    match_words.push(loaded.word);
                }
                Err(fault) => self.fault(fault),
            }
        }
        let mut built_target = None;
        if let Some(mut loaded) = self.target_options.take() {
            loaded.protocol = self.protocol.clone();
            self.check_protocol(&loaded);
            match Target::read(&loaded) {
                Ok(built) => {
                    self.parser
                        .note_kept("target", loaded.extension, &loaded.word);
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
        Some(Command {
            failed: self.failed,
            verb,
            verb_word,
            arguments: self.arguments,
            table: self.table,
            sources: self.sources,
            destinations: self.destinations,
            base: self.base,
            matches,
            match_words,
            target: self.target,
            built_target,
            counters: self.counters,
            interface_words: self.interface_words,
            span,
        })
    }

    fn fault(&mut self, (word, bad): Fault) {
        // `NEW, ESTABLISHED`: the space is reported where the rest of the list stands.
        if (bad.missing || word.text.ends_with(',')) && self.failed {
            return;
        }
        self.fail(bad.code.unwrap_or("bad-value"), &word, bad);
    }
}

/// The options of an extension under all their names.
fn spellings(extension: &'static Extension) -> impl Iterator<Item = (&'static Opt, &'static str)> {
    extension
        .options
        .iter()
        .flat_map(|o| o.names().map(move |n| (o, n)))
}
