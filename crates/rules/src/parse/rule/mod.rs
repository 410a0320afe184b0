//! The words of one command, read as the real program's getopt_long reads them (iptables `do_parse`):
//! in order, short options with joined or separate values, long options by any unambiguous
//! beginning, options of matches and targets once they are loaded by `-m`, by `-j`, or by `-p` on
//! first use. An option takes the next word as its value, whatever it is.

mod base;
mod check;
mod long;

use palisade_wire::Family;

use self::base::{BASE, Values};
use crate::catalogue::read::Loaded;
use crate::catalogue::{self, Extension, Opt};
use crate::diagnostic::Diagnostic;
use crate::lex::Word;
use crate::model::*;
use crate::parse::command::{Place, names_exist};
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
    pub(crate) sources: Vec<Not<Net>>,
    pub(crate) destinations: Vec<Not<Net>>,
    pub(crate) base: Base,
    pub(crate) matches: Vec<Match>,
    /// Where each match was named.
    pub(crate) match_words: Vec<Word>,
    pub(crate) target: Option<TargetWord>,
    pub(crate) built_target: Option<Target>,
    pub(crate) counters: Counters,
    /// Whether `-c` stands in the command.
    pub(crate) counters_given: bool,
    /// Letters of the options, as often as they stand there; verbs among them.
    pub(crate) letters: String,
    pub(crate) span: (usize, usize),
    /// Table of the command.
    pub(crate) kind: TableKind,
}

/// `-j` or `-g` with its name.
#[derive(Clone)]
pub(crate) struct TargetWord {
    pub(crate) word: Word,
    pub(crate) goto: bool,
}

/// The command is refused, and what is wrong with it reported.
#[derive(Debug)]
pub(crate) struct Refused;

/// Reads the words of one command. `Ok(None)` is a command that changes nothing: a version asked for,
/// a line for the other family. `table` is the one of a save file.
pub(crate) fn read(
    parser: &mut Parser<'_>,
    words: &[Word],
    place: Place,
    table: Option<TableKind>,
) -> Result<Option<Command>, Refused> {
    let mended = repair::typographic_quotes(parser, words);
    let mut reader = Reader {
        parser,
        place,
        given_table: table,
        words: mended.as_deref().unwrap_or(words),
        at: 0,
        bang: None,
        verb: None,
        failed: mended.is_some(),
        spoken: mended.is_some(),
        stopped_at_stray: false,
        late: Vec::new(),
        by_kernel: false,
        unknown_match: false,
        ignored: false,
        arguments: Vec::new(),
        strays: Vec::new(),
        table: None,
        source: None,
        destination: None,
        base: Base::default(),
        protocol: None,
        protocol_word: None,
        protocol_loaded: false,
        matches: Vec::new(),
        target: None,
        target_options: None,
        loads: Vec::new(),
        seen: Vec::new(),
        verbs: String::new(),
        wait_interval: None,
        counters: Counters::default(),
    };
    reader.run();
    if reader.ignored && !reader.failed {
        return Ok(None);
    }
    reader.finish().map(Some)
}

/// What was loaded, in the order in which getopt learnt of the options.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Load {
    /// A match, by its name; a second one of the same name brings no new options.
    Match(&'static str),
    Target,
}

/// `-s` or `-d` with its word.
struct Addresses {
    word: Word,
    negated: bool,
}

struct Reader<'p, 'a, 'w> {
    parser: &'p mut Parser<'a>,
    place: Place,
    given_table: Option<TableKind>,
    words: &'w [Word],
    at: usize,
    bang: Option<&'w Word>,
    verb: Option<(Verb, char, Word)>,
    failed: bool,
    /// Whether what the real program says has been told.
    spoken: bool,
    /// Whether it is about a word that belongs to no option, which is told later.
    stopped_at_stray: bool,
    /// What the real program refuses only when it has read all options.
    late: Vec<Diagnostic>,
    /// Whether it is the kernel that refuses.
    by_kernel: bool,
    /// A match of the rule is none: options that it may have are not judged.
    unknown_match: bool,
    /// The command changes nothing.
    ignored: bool,
    arguments: Vec<Word>,
    strays: Vec<usize>,
    table: Option<Word>,
    source: Option<Addresses>,
    destination: Option<Addresses>,
    base: Base,
    protocol: Option<Not<u8>>,
    protocol_word: Option<String>,
    protocol_loaded: bool,
    matches: Vec<Loaded>,
    target: Option<TargetWord>,
    target_options: Option<Loaded>,
    loads: Vec<Load>,
    /// Base options that stand in the command.
    seen: Vec<(char, Word)>,
    /// Letters of the commands.
    verbs: String,
    wait_interval: Option<Word>,
    counters: Counters,
}

impl<'w> Reader<'_, '_, 'w> {
    fn family(&self) -> Family {
        self.place.family
    }

    fn tools(&self) -> Tools {
        self.parser.options.tools
    }

    fn run(&mut self) {
        let words: &'w [Word] = self.words;
        while let Some(word) = words.get(self.at) {
            self.at += 1;
            if word.text == "!" {
                if let Some(earlier) = self.bang.replace(word) {
                    let bad =
                        Bad::new("'!' stands twice").said("multiple consecutive ! not allowed");
                    self.fail("double-negation", earlier, bad);
                }
            } else if word.text == "--" {
                if let Some(next) = words.get(self.at) {
                    let bad = Bad::new("nothing may follow '--'")
                        .said("unknown arguments found on commandline");
                    self.fail("stray-word", next, bad);
                }
                break;
            } else if let Some(long) = word.text.strip_prefix("--") {
                match long.split_once('=') {
                    Some((name, value)) => self.long(word, name, Some(value)),
                    None => self.long(word, long, None),
                }
            } else if word.text.len() > 1 && word.text.starts_with('-') {
                self.short(word);
            } else if let Some(diagnostic) = repair::long_dash(self.parser, word) {
                self.bang = None;
                self.report(diagnostic.said(format!("Bad argument `{}'", word.text)));
                // Its values would be told as words without an option.
                while words.get(self.at).is_some_and(|w| {
                    !w.text.starts_with(['-', '!']) && !repair::is_long_dash(&w.text)
                }) {
                    self.at += 1;
                }
            } else {
                if let Some(bang) = self.bang.take() {
                    // `-s ! address`, the spelling of long ago.
                    self.old_negation(bang, word);
                }
                if self.strays.is_empty() && !self.spoken {
                    // Here the real program stops, whatever comes.
                    self.spoken = true;
                    self.stopped_at_stray = true;
                }
                self.strays.push(self.at - 1);
            }
            if self.ignored {
                return;
            }
        }
        if let Some(bang) = self.bang.take() {
            let bad = Bad::new("'!' stands before nothing").said("nothing appropriate following !");
            self.fail("stray-negation", bang, bad);
        }
        for (n, i) in std::mem::take(&mut self.strays).into_iter().enumerate() {
            let diagnostic = repair::stray(self.parser, self.words, i, self.verb.is_some())
                .said(format!("Bad argument `{}'", words[i].text));
            if n == 0 && std::mem::take(&mut self.stopped_at_stray) {
                self.spoken = false;
            }
            self.report(diagnostic);
        }
    }

    fn fail(&mut self, code: &'static str, word: &Word, bad: Bad) {
        self.failed = true;
        let mut diagnostic = self.parser.error(code, (word.start, word.end), bad.message);
        diagnostic.help = bad.help;
        diagnostic.said = bad.said.map(String::from);
        diagnostic.by_kernel = diagnostic.said.as_deref().is_some_and(kernels);
        self.report(diagnostic);
    }

    /// Reports an error; the real program says only its first one.
    fn report(&mut self, mut diagnostic: Diagnostic) {
        self.failed = true;
        if self.spoken {
            diagnostic.said = None;
        }
        self.spoken |= diagnostic.said.is_some();
        self.parser.report(diagnostic);
    }

    fn old_negation(&mut self, bang: &Word, next: &Word) {
        let bad = Bad::new("'!' stands behind its option")
            .help("write it before the option: ! -s 192.0.2.0/24")
            .said(format!("Bad argument `{}'", next.text));
        self.fail("old-negation", bang, bad);
    }

    /// The next word as a value, whatever it is: getopt does not ask.
    fn value(&mut self, option: &Word) -> Option<&'w Word> {
        let words: &'w [Word] = self.words;
        let next = words.get(self.at);
        // `-m state NEW --state`: the value was passed as a stray word just before.
        if next.is_none_or(|w| w.text.starts_with('-'))
            && let Some(&stray) = self.strays.last()
            && stray + 2 == self.at
            && let Some(diagnostic) = repair::value_first(self.parser, &words[stray], option)
        {
            self.strays.pop();
            if self.strays.is_empty() && std::mem::take(&mut self.stopped_at_stray) {
                self.spoken = false;
            }
            self.failed = true;
            let said = format!("Bad argument `{}'", words[stray].text);
            self.report(diagnostic.said(said));
            return None;
        }
        let Some(word) = next else {
            let known = option
                .text
                .strip_prefix("--")
                .and_then(|name| self.placeholder(name));
            let diagnostic = repair::missing_value(self.parser, option, known)
                .said(format!("option \"{}\" requires an argument", option.text));
            self.report(diagnostic);
            return None;
        };
        // `!` in its place is the old spelling of negation, when another word follows.
        if word.text == "!"
            && let Some(value) = words.get(self.at + 1)
            && !value.text.starts_with('-')
        {
            let fixed = format!("! {} {}", option.text, value.text);
            let diagnostic = self
                .parser
                .error(
                    "old-negation",
                    (word.start, word.end),
                    "'!' stands between an option and its value",
                )
                .help(fixed.clone())
                .said(format!("Bad argument `{}'", value.text))
                .replace(option.start, value.end, fixed);
            self.report(diagnostic);
            self.at += 2;
            return None;
        }
        self.at += 1;
        Some(word)
    }

    /// The next word, if it looks like a value (iptables `xs_has_arg`).
    fn argument(&mut self) -> Option<&'w Word> {
        let words: &'w [Word] = self.words;
        let next = words.get(self.at)?;
        if next.text.starts_with(['-', '!']) {
            return None;
        }
        self.at += 1;
        Some(next)
    }

    fn short(&mut self, word: &'w Word) {
        // `-dport 22` is read as `-d port`: tell before it confuses anything.
        if let Some(diagnostic) = repair::one_dash(self.parser, word) {
            self.failed = true;
            self.bang = None;
            let next = self.argument();
            let said = next.map(|n| format!("Bad argument `{}'", n.text));
            let mut diagnostic = diagnostic;
            diagnostic.said = said;
            self.report(diagnostic);
            return;
        }
        for (offset, letter) in word.text.char_indices().skip(1) {
            let found = BASE
                .iter()
                .find(|b| b.letter == letter && !matches!(letter, '0'));
            let Some(option) = found else {
                self.unknown(word, &letter.to_string(), false);
                return;
            };
            let behind = offset + letter.len_utf8();
            let rest = &word.text[behind..];
            if option.values == Values::None {
                self.base_option(letter, word, None, word);
                continue;
            }
            let joined = (!rest.is_empty()).then(|| Word {
                text: rest.to_string(),
                start: word.start + behind,
                end: word.end,
            });
            self.with_value(letter, option.values, word, joined);
            return;
        }
    }

    /// A base option that takes a value.
    fn with_value(&mut self, letter: char, values: Values, word: &'w Word, joined: Option<Word>) {
        match (joined, values) {
            (Some(value), _) => self.base_option(letter, word, Some(&value), word),
            (None, Values::Joined | Values::None) => self.base_option(letter, word, None, word),
            (None, Values::One) => match self.value(word) {
                Some(value) => self.base_option(letter, word, Some(value), value),
                None => self.bang = None,
            },
        }
    }

    fn finish(mut self) -> Result<Command, Refused> {
        self.check_nat();
        if let Some(word) = self.wait_interval.take() {
            let bad = Bad::new("-W means nothing without -w")
                .help("-w too")
                .said("--wait-interval only makes sense with --wait");
            self.fail("bad-value", &word, bad);
        }
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
                Err(fault) => self.fault(&loaded, fault),
            }
        }
        let mut built_target = None;
        if let Some(mut loaded) = self.target_options.take() {
            loaded.protocol = self.protocol.clone();
            self.check_protocol(&loaded);
            match Target::read(&loaded) {
                Ok(built) => {
                    self.check_syn(&loaded, &built, &matches);
                    self.parser
                        .note_kept("target", loaded.extension, &loaded.word);
                    built_target = Some(built);
                }
                Err(fault) => self.fault(&loaded, fault),
            }
        }
        let (Some(first), Some(last)) = (self.words.first(), self.words.last()) else {
            return Err(Refused);
        };
        let span = (first.start, last.end);
        let Some((verb, letter, verb_word)) = self.verb.take() else {
            if !self.failed {
                let bad = Bad::new("no command in this line")
                    .help("-A CHAIN, -I CHAIN, -P CHAIN …")
                    .said("no command specified");
                self.fail("no-command", first, bad);
            }
            return Err(Refused);
        };
        for diagnostic in std::mem::take(&mut self.late) {
            self.report(diagnostic);
        }
        let (sources, destinations) = self.addresses();
        self.check_command(verb, letter);
        let kind = self.kind();
        if self.failed {
            // The kernel refuses only what was brought to it: the table is registered then.
            if let (true, Some(kind)) = (self.by_kernel, kind) {
                let place = Place { kind, ..self.place };
                self.parser.table(place);
            }
            if let (Some(kind), Some(name)) = (kind, self.arguments.first()) {
                let place = Place { kind, ..self.place };
                names_exist(self.parser, (verb, name, self.target.as_ref()), place);
            }
            return Err(Refused);
        }
        let options = self.seen.iter().map(|(l, _)| *l);
        let letters: String = self.verbs.chars().chain(options).collect();
        let counters_given = self.seen.iter().any(|(l, _)| *l == 'c');
        Ok(Command {
            verb,
            verb_word,
            arguments: self.arguments,
            sources,
            destinations,
            base: self.base,
            matches,
            match_words,
            target: self.target,
            built_target,
            counters: self.counters,
            counters_given,
            letters,
            span,
            kind: kind.ok_or(Refused)?,
        })
    }

    fn fault(&mut self, loaded: &Loaded, (word, mut bad): Fault) {
        // `NEW, ESTABLISHED`: the space is reported where the rest of the list stands.
        if (bad.missing || word.text.ends_with(',')) && self.failed {
            return;
        }
        let option = loaded
            .given
            .iter()
            .find(|g| g.values.contains(&word))
            .map_or("", |g| g.option.name);
        bad.said = bad.said.map(|said| {
            match &*said {
                "{kernel}" => self.refused(),
                said => said
                    .replace("{extension}", loaded.extension.name)
                    .replace("{option}", option),
            }
            .into()
        });
        self.fail(bad.code.unwrap_or("bad-value"), &word, bad);
    }
}

/// Whether it is what the program says when the kernel refuses.
fn kernels(said: &str) -> bool {
    said.starts_with(" RULE_")
        || said.ends_with("-restore: failed")
        // Seen when the rule is made into what nf_tables takes.
        || said.contains(" match requires '-p ")
        || ["iptables: ", "ip6tables: "]
            .iter()
            .any(|program| said.starts_with(program))
}
