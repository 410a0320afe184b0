//! Long options: whose they are, and what they take.

use super::*;
use crate::catalogue::read::Given;

/// An option found among the base options and the loaded extensions.
#[derive(Clone, Copy)]
pub(super) enum Found {
    Base(&'static base::BaseOption),
    Match(usize, &'static Opt),
    Target(&'static Opt),
}

impl Found {
    /// Whether two names mean the same to getopt_long.
    fn same(self, other: Found) -> bool {
        match (self, other) {
            (Found::Base(a), Found::Base(b)) => a.letter == b.letter,
            (Found::Match(i, a), Found::Match(j, b)) => i == j && a.name == b.name,
            (Found::Target(a), Found::Target(b)) => a.name == b.name,
            _ => false,
        }
    }
}

/// What a name may mean.
enum Lookup {
    One(Found),
    None,
    Several(Vec<&'static str>),
}

/// The options of an extension under all their names.
fn spellings(extension: &'static Extension) -> impl Iterator<Item = (&'static Opt, &'static str)> {
    extension
        .options
        .iter()
        .flat_map(|o| o.names().map(move |n| (o, n)))
}

impl<'w> Reader<'_, '_, 'w> {
    pub(super) fn long(&mut self, word: &'w Word, name: &str, joined: Option<&str>) {
        match self.find_long(name) {
            Lookup::One(found) => self.found_long(word, found, joined),
            other => {
                // The match of the protocol is loaded when an option means nothing yet.
                if self.load_protocol(word)
                    && let Lookup::One(found) = self.find_long(name)
                {
                    return self.found_long(word, found, joined);
                }
                if let Lookup::Several(names) = other {
                    self.bang = None;
                    let names: Vec<String> = names.iter().map(|n| format!("--{n}")).collect();
                    let bad = Bad::new(format!("option '--{name}' is ambiguous"))
                        .help(format!("one of {}", names.join(", ")))
                        .said(format!("unknown option \"{}\"", word.text));
                    self.fail("ambiguous-option", word, bad);
                    return;
                }
                self.unknown(word, name, joined.is_none());
            }
        }
    }

    /// Reports an option that nothing loaded knows; its value is passed over.
    pub(super) fn unknown(&mut self, word: &'w Word, name: &str, value_follows: bool) {
        self.bang = None;
        self.failed = true;
        let next = self.words.get(self.at);
        let known = self.known_options();
        let protocol = self.protocol.as_ref().map(|p| p.value);
        let mut diagnostic = if word.text.starts_with("--") {
            repair::unknown_option(
                self.parser,
                word,
                name,
                next,
                (protocol, self.family()),
                &known,
            )
        } else {
            self.parser.error(
                "unknown-option",
                (word.start, word.end),
                format!("unknown option '-{name}'"),
            )
        };
        // The option of a target that is gone: that is what to say.
        let target = self.target.as_ref().map(|t| t.word.text.as_str());
        if let Some((name, now)) =
            target.and_then(|t| Some((t, super::super::removed::target_now(t)?)))
        {
            diagnostic = diagnostic.help(format!("target '{name}' is gone; now {now}"));
        }
        let option = match word.text.starts_with("--") {
            true => word.text.clone(),
            false => format!("-{name}"),
        };
        diagnostic = diagnostic.said(format!("unknown option \"{option}\""));
        let of_a_match = || catalogue::MATCHES.iter().any(|e| e.option(name).is_some());
        if !(self.unknown_match && of_a_match()) {
            self.report(diagnostic);
        }
        if value_follows {
            self.argument();
        }
    }

    /// Loads the match of `-p`, once; whether there is one (iptables `load_proto`).
    fn load_protocol(&mut self, word: &Word) -> bool {
        if self.protocol_loaded {
            return false;
        }
        let Some(name) = &self.protocol_word else {
            return false;
        };
        let name = match value::number(name, 255) {
            Ok(number) => crate::names::protocol_name(number as u8),
            Err(_) => name.to_ascii_lowercase(),
        };
        self.protocol_loaded = true;
        // The program has no match of UDP-Lite to load.
        let Some(extension) =
            catalogue::find_match(&name, self.family()).filter(|e| e.name != "udplite")
        else {
            return false;
        };
        self.load(extension, word.clone());
        true
    }

    /// Adds a match with its options.
    pub(super) fn load(&mut self, extension: &'static Extension, word: Word) {
        let loaded = self.loaded(extension, word);
        self.matches.push(loaded);
        let load = Load::Match(extension.name);
        if !self.loads.contains(&load) {
            self.loads.push(load);
        }
    }

    pub(super) fn loaded(&self, extension: &'static Extension, word: Word) -> Loaded {
        Loaded {
            tools: self.tools(),
            sets: self.parser.sets.clone(),
            ..Loaded::new(extension, word, self.family())
        }
    }

    fn known_options(&self) -> Vec<&'static str> {
        let mut known: Vec<&'static str> =
            BASE.iter().flat_map(|b| b.names.iter().copied()).collect();
        for loaded in self.matches.iter().chain(&self.target_options) {
            known.extend(loaded.extension.options.iter().map(|o| o.name));
        }
        known
    }

    /// The options that a name begins: base options first, then the latest loaded extension's.
    fn find_long(&self, name: &str) -> Lookup {
        let mut partial: Vec<(Found, &'static str)> = Vec::new();
        let mut exact = None;
        let mut consider = |found: Found, spelled: &'static str| {
            if spelled == name {
                exact = Some(found);
                return true;
            }
            if spelled.starts_with(name) {
                partial.push((found, spelled));
            }
            false
        };
        'all: {
            for option in BASE {
                for spelled in option.names {
                    if consider(Found::Base(option), spelled) {
                        break 'all;
                    }
                }
            }
            for load in self.loads.iter().rev() {
                let (extension, at) = match load {
                    Load::Target => match &self.target_options {
                        Some(target) => (target.extension, None),
                        None => continue,
                    },
                    Load::Match(name) => {
                        let last = self.matches.iter().rposition(|m| m.extension.name == *name);
                        match last {
                            Some(at) => (self.matches[at].extension, Some(at)),
                            None => continue,
                        }
                    }
                };
                for (option, spelled) in spellings(extension) {
                    let found = at.map_or(Found::Target(option), |at| Found::Match(at, option));
                    if consider(found, spelled) {
                        break 'all;
                    }
                }
            }
        }
        if let Some(found) = exact {
            return Lookup::One(found);
        }
        match partial.split_first() {
            None => Lookup::None,
            Some(((first, _), rest)) if rest.iter().all(|(f, _)| first.same(*f)) => {
                Lookup::One(*first)
            }
            Some(_) => Lookup::Several(partial.iter().map(|(_, n)| *n).collect()),
        }
    }

    /// What the value of an option is called.
    pub(super) fn placeholder(&self, name: &str) -> Option<&'static str> {
        match self.find_long(name) {
            Lookup::One(Found::Match(_, option) | Found::Target(option)) => Some(option.value),
            _ => None,
        }
    }

    fn found_long(&mut self, word: &'w Word, found: Found, joined: Option<&str>) {
        let takes_none = match found {
            Found::Base(option) => option.values == Values::None,
            Found::Match(_, option) | Found::Target(option) => option.values == 0,
        };
        if takes_none && joined.is_some() {
            self.bang = None;
            let bad = Bad::new(format!("'{}' takes no value", word.text))
                .said(format!("unknown option \"{}\"", word.text));
            return self.fail("unknown-option", word, bad);
        }
        let joined = joined.map(|text| Word {
            start: word.end - text.len().min(word.end - word.start),
            end: word.end,
            text: text.to_string(),
        });
        match found {
            Found::Base(option) => self.with_value(option.letter, option.values, word, joined),
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

    /// An option of an extension with its values.
    fn option(
        &mut self,
        word: &'w Word,
        option: &'static Opt,
        joined: Option<Word>,
    ) -> Option<Given> {
        let negated = self.bang.take().is_some();
        let mut values: Vec<Word> = joined.into_iter().collect();
        while values.len() < usize::from(option.values) {
            let follows = |w: &Word| !w.text.starts_with(['-', '!']);
            if option.optional && !self.words.get(self.at).is_some_and(follows) {
                break;
            }
            // The second value of two is taken by the extension, which looks at it.
            let next = if values.is_empty() {
                self.value(word)?
            } else {
                match self.argument() {
                    Some(next) => next,
                    None => {
                        let bad = Bad::new(format!("'--{}' needs two values", option.name))
                            .said(format!("--{} requires two args.", option.name));
                        self.fail("missing-value", word, bad);
                        return None;
                    }
                }
            };
            values.push(next.clone());
        }
        Some(Given {
            option,
            negated,
            word: word.clone(),
            values,
            protocol: self.protocol.as_ref().map_or(0, |p| p.value),
        })
    }
}
