//! From the options of one extension, as written, to its values.

use std::rc::Rc;

use palisade_wire::Family;

use super::row::{Extension, Opt};
use crate::lex::Word;
use crate::model::{Not, Tools};
use crate::value::{self, Bad, Fault, Value};

/// One option as written.
#[derive(Clone)]
pub(crate) struct Given {
    pub(crate) option: &'static Opt,
    /// Whether `!` stood before it.
    pub(crate) negated: bool,
    /// The option itself.
    pub(crate) word: Word,
    /// What followed, as many words as the option takes.
    pub(crate) values: Vec<Word>,
    /// `-p` as far as the rule was read by then, `!` or not; 0 for all.
    pub(crate) protocol: u8,
}

impl Given {
    /// A value's word, and the option's where it is missing.
    pub(crate) fn value(&self, at: usize) -> &Word {
        self.values.get(at).unwrap_or(&self.word)
    }

    /// A value, parsed.
    pub(crate) fn parse<T>(
        &self,
        at: usize,
        parse: impl FnOnce(&str) -> Value<T>,
    ) -> Result<T, Fault> {
        let word = self.value(at);
        parse(&word.text).map_err(|bad| (word.clone(), bad))
    }

    /// A fault at this option.
    pub(crate) fn fault(&self, bad: Bad) -> Fault {
        (self.word.clone(), bad)
    }

    fn with<T>(&self, value: T) -> Not<T> {
        Not {
            negated: self.negated,
            value,
        }
    }
}

/// An extension with its options as written.
pub(crate) struct Loaded {
    pub(crate) extension: &'static Extension,
    /// Its name in the text, or the option that loaded it.
    pub(crate) word: Word,
    pub(crate) given: Vec<Given>,
    pub(crate) family: Family,
    /// Whose reading it is.
    pub(crate) tools: Tools,
    /// Names of the IP sets that exist; `None` when any set is taken to exist.
    pub(crate) sets: Option<Rc<[String]>>,
    /// `-p` of the rule; known when all of the rule is read.
    pub(crate) protocol: Option<Not<u8>>,
}

impl Loaded {
    pub(crate) fn new(extension: &'static Extension, word: Word, family: Family) -> Self {
        Loaded {
            extension,
            word,
            given: Vec::new(),
            family,
            tools: Tools::Legacy,
            sets: None,
            protocol: None,
        }
    }

    /// An option, if it stands there; the last one, if several do.
    pub(crate) fn find(&self, name: &str) -> Option<&Given> {
        self.given.iter().rev().find(|g| g.option.name == name)
    }

    /// Every time that an option stands there.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Given> {
        self.given.iter().filter(move |g| g.option.name == name)
    }

    /// Whether an option stands there.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    /// A flag that may be negated.
    pub(crate) fn flag(&self, name: &str) -> Option<Not<()>> {
        self.find(name).map(|g| g.with(()))
    }

    /// An option's value with its `!`.
    pub(crate) fn not<T>(
        &self,
        name: &str,
        parse: impl FnOnce(&str) -> Value<T>,
    ) -> Result<Option<Not<T>>, Fault> {
        match self.find(name) {
            Some(given) => Ok(Some(given.with(given.parse(0, parse)?))),
            None => Ok(None),
        }
    }

    /// The value of an option that takes no `!`.
    pub(crate) fn plain<T>(
        &self,
        name: &str,
        parse: impl FnOnce(&str) -> Value<T>,
    ) -> Result<Option<T>, Fault> {
        self.find(name).map(|g| g.parse(0, parse)).transpose()
    }

    /// As [`not`](Self::not), and the option must be there.
    pub(crate) fn need_not<T>(
        &self,
        name: &str,
        parse: impl FnOnce(&str) -> Value<T>,
    ) -> Result<Not<T>, Fault> {
        let found = self.not(name, parse)?;
        self.required(found, name)
    }

    /// As [`plain`](Self::plain), and the option must be there.
    pub(crate) fn need<T>(
        &self,
        name: &str,
        parse: impl FnOnce(&str) -> Value<T>,
    ) -> Result<T, Fault> {
        let found = self.plain(name, parse)?;
        self.required(found, name)
    }

    /// A value that must be there; `option` is said to be missing.
    pub(crate) fn required<T>(&self, value: Option<T>, option: &str) -> Result<T, Fault> {
        value.ok_or_else(|| self.missing(option))
    }

    /// The fault that an option is missing.
    pub(crate) fn missing(&self, option: &str) -> Fault {
        let text = format!("'{}' needs the option --{option}", self.extension.name);
        let said = format!(
            "{}: option \"--{option}\" must be specified",
            self.extension.name
        );
        self.fault(Bad::new(text).missing().said(said))
    }

    /// As [`missing`](Self::missing), for a program that has words of its own for it.
    pub(crate) fn missing_as(&self, option: &str, said: &str) -> Fault {
        let (word, bad) = self.missing(option);
        (word, bad.said(said))
    }

    /// A fault of the extension as a whole.
    pub(crate) fn fault(&self, bad: Bad) -> Fault {
        (self.word.clone(), bad)
    }

    /// Whether the rule is about a protocol, without `!`.
    pub(crate) fn is_protocol(&self, protocols: &[u8]) -> bool {
        self.protocol
            .as_ref()
            .is_some_and(|p| !p.negated && protocols.contains(&p.value))
    }

    /// What the option rows demand: `!`, repetition, partners.
    pub(crate) fn check(&self) -> Result<(), Fault> {
        for (at, given) in self.given.iter().enumerate() {
            let option = given.option;
            let name = option.name;
            if given.negated && !option.invert {
                let bad = Bad::new(format!("'!' cannot stand before --{name}"));
                let said = format!(
                    "{}: option \"--{name}\" cannot be inverted.",
                    self.extension.name
                );
                return Err(given.fault(bad.help("leave out the '!'").said(said)));
            }
            if !option.repeat && self.given[..at].iter().any(|g| g.option.name == name) {
                let extension = self.extension.name;
                let bad = Bad::new(format!("--{name} can be given only once to '{extension}'"));
                let said = format!("{extension}: option \"--{name}\" can only be used once.");
                return Err(given.fault(bad.said(said)));
            }
        }
        // In the order of the rows, as the real programs do.
        for option in self.extension.options {
            let name = option.name;
            let Some(given) = self.find(name) else {
                if option.required {
                    return Err(self.missing(name));
                }
                continue;
            };
            if let Some(other) = option.requires.iter().find(|o| !self.has(o)) {
                let bad = Bad::new(format!("--{name} needs --{other} too"));
                let said = format!(
                    "{}: option \"--{name}\" also requires \"--{other}\".",
                    self.extension.name
                );
                return Err(given.fault(bad.said(said)));
            }
            if let Some(other) = option.excludes.iter().find(|o| self.has(o)) {
                let bad = Bad::new(format!("--{name} and --{other} cannot stand together"));
                let said = format!(
                    "{}: option \"--{name}\" cannot be used together with \"--{other}\".",
                    self.extension.name
                );
                return Err(given.fault(bad.said(said)));
            }
        }
        Ok(())
    }
}

/// A text as it is.
pub(crate) fn text(t: &str) -> Value<String> {
    Ok(t.to_string())
}

/// A text of at least one byte, of which the real program keeps so many without a word.
pub(crate) fn prefix(max: usize) -> impl Fn(&str) -> Value<String> {
    move |t| {
        if t.is_empty() {
            return Err(Bad::new("the text is empty").help("leave the option out"));
        }
        cut(max)(t)
    }
}

/// A text of at most so many bytes.
pub(crate) fn limited(max: usize) -> impl Fn(&str) -> Value<String> {
    move |t| {
        if t.len() > max {
            Err(Bad::new(format!(
                "the text has {} bytes, at most {max} are allowed",
                t.len()
            )))
        } else {
            Ok(t.to_string())
        }
    }
}

/// A text that the real program cuts off without a word.
pub(crate) fn cut(max: usize) -> impl Fn(&str) -> Value<String> {
    move |t| {
        let end = (0..=max.min(t.len()))
            .rev()
            .find(|i| t.is_char_boundary(*i));
        Ok(t[..end.unwrap_or(0)].to_string())
    }
}

/// A number from 0 to 255.
pub(crate) fn byte(t: &str) -> Value<u8> {
    value::number(t, 255).map(|n| n as u8)
}

/// A number from 0 to 65535.
pub(crate) fn short(t: &str) -> Value<u16> {
    value::number(t, 65_535).map(|n| n as u16)
}

/// A number from 0 to 4294967295.
pub(crate) fn word(t: &str) -> Value<u32> {
    value::number(t, u64::from(u32::MAX)).map(|n| n as u32)
}
