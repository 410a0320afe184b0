//! Words of a command line, read as `getopt_long` of the GNU library reads them: options may stand anywhere among other
//! words, long names may be cut short, and what an error names is the word before the next one to be read.

/// Whether an option takes a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Takes {
    /// It takes none.
    Nothing,
    /// It takes one that is written in the same word.
    Attached,
    /// It takes one.
    Value,
}

/// What an option means: a letter, or the number of a protocol's option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Code {
    /// An option of the program.
    Letter(char),
    /// An option of the protocol that `-p` named.
    Protocol(usize),
}

/// An option by its long name.
#[derive(Clone, Copy, Debug)]
pub(super) struct Long {
    pub(super) name: &'static str,
    pub(super) takes: Takes,
    pub(super) code: Code,
}

/// What was met next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Met {
    /// An option, with its value.
    Option(Code, Option<String>),
    /// An option without the value that it needs.
    Missing,
    /// An option that is not known, not clear, or has a value that it does not take.
    Unknown,
    /// No further option.
    End,
}

/// The words, and how far they are read.
#[derive(Debug)]
pub(super) struct Words {
    words: Vec<String>,
    /// The next word to be read.
    at: usize,
    /// Words that are no options and were passed over: from here,
    first: usize,
    /// to here.
    last: usize,
    /// How far the word at hand is read, when it holds several short options.
    within: Option<usize>,
}

impl Words {
    /// The words of a command line, the program's name first.
    pub(super) fn new(words: Vec<String>) -> Self {
        Words {
            words,
            at: 1,
            first: 1,
            last: 1,
            within: None,
        }
    }

    /// The word that errors name.
    pub(super) fn blamed(&self) -> &str {
        let at = self.at.saturating_sub(1);
        self.words.get(at).map_or("", String::as_str)
    }

    /// The name that the program was called by.
    pub(super) fn program(&self) -> &str {
        self.words.first().map_or("conntrack", String::as_str)
    }

    /// The next word, if it is no option: taken as the value of an option that may have one.
    pub(super) fn take_plain(&mut self) -> Option<String> {
        let word = self.words.get(self.at)?;
        if word.starts_with(['-', '!']) {
            return None;
        }
        let word = word.clone();
        self.at += 1;
        Some(word)
    }

    fn is_plain(word: &str) -> bool {
        !word.starts_with('-') || word == "-"
    }

    /// Puts the words that were passed over behind the options that followed them.
    fn exchange(&mut self) {
        if let Some(part) = self.words.get_mut(self.first..self.at) {
            part.rotate_left(self.last - self.first);
        }
        self.first += self.at - self.last;
        self.last = self.at;
    }

    /// The next option.
    pub(super) fn next(&mut self, short: &[(char, Takes)], long: &[Long]) -> Met {
        let from = match self.within.take() {
            Some(from) => from,
            None => {
                self.last = self.last.min(self.at);
                self.first = self.first.min(self.at);
                if self.first != self.last && self.last != self.at {
                    self.exchange();
                } else if self.last != self.at {
                    self.first = self.at;
                }
                while self.words.get(self.at).is_some_and(|w| Words::is_plain(w)) {
                    self.at += 1;
                }
                self.last = self.at;
                let Some(word) = self.words.get(self.at) else {
                    return Met::End;
                };
                if word == "--" {
                    return Met::End;
                }
                if word.starts_with("--") {
                    return self.long(long);
                }
                1
            }
        };
        self.short(from, short)
    }

    fn short(&mut self, from: usize, known: &[(char, Takes)]) -> Met {
        let word = self.words.get(self.at).cloned().unwrap_or_default();
        let mut rest = word.get(from..).unwrap_or_default().chars();
        let Some(letter) = rest.next() else {
            self.at += 1;
            return Met::Unknown;
        };
        let rest = rest.as_str();
        let takes = known.iter().find(|(l, _)| *l == letter).map(|(_, t)| *t);
        let attached = (!rest.is_empty()).then(|| rest.to_string());
        let code = Code::Letter(letter);
        match takes {
            Some(Takes::Value) => {
                self.at += 1;
                let value = attached.or_else(|| {
                    let next = self.words.get(self.at).cloned();
                    self.at += usize::from(next.is_some());
                    next
                });
                match value {
                    Some(value) => Met::Option(code, Some(value)),
                    None => Met::Missing,
                }
            }
            Some(Takes::Attached) => {
                self.at += 1;
                Met::Option(code, attached)
            }
            Some(Takes::Nothing) | None => {
                if attached.is_some() {
                    self.within = Some(from + letter.len_utf8());
                } else {
                    self.at += 1;
                }
                match takes {
                    Some(_) => Met::Option(code, None),
                    None => Met::Unknown,
                }
            }
        }
    }

    fn long(&mut self, known: &[Long]) -> Met {
        let word = self.words.get(self.at).cloned().unwrap_or_default();
        self.at += 1;
        let text = word.get(2..).unwrap_or_default();
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value.to_string())),
            None => (text, None),
        };
        let found = known.iter().find(|o| o.name == name).or_else(|| {
            let mut alike = known.iter().filter(|o| o.name.starts_with(name));
            let first = alike.next()?;
            alike
                .all(|o| (o.takes, o.code) == (first.takes, first.code))
                .then_some(first)
        });
        let Some(option) = found else {
            return Met::Unknown;
        };
        match (option.takes, value) {
            (Takes::Nothing, Some(_)) => Met::Unknown,
            (Takes::Value, None) => match self.words.get(self.at).cloned() {
                Some(value) => {
                    self.at += 1;
                    Met::Option(option.code, Some(value))
                }
                None => Met::Missing,
            },
            (_, value) => Met::Option(option.code, value),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: &[(char, Takes)] = &[
        ('L', Takes::Attached),
        ('s', Takes::Value),
        ('z', Takes::Nothing),
    ];
    const LONG: &[Long] = &[
        Long {
            name: "dump",
            takes: Takes::Attached,
            code: Code::Letter('L'),
        },
        Long {
            name: "src",
            takes: Takes::Value,
            code: Code::Letter('s'),
        },
        Long {
            name: "src-nat",
            takes: Takes::Attached,
            code: Code::Letter('n'),
        },
        Long {
            name: "zero",
            takes: Takes::Nothing,
            code: Code::Letter('z'),
        },
    ];

    fn read(line: &str) -> (Vec<String>, String) {
        let words = std::iter::once("conntrack").chain(line.split_whitespace());
        let mut words = Words::new(words.map(String::from).collect());
        let mut met = Vec::new();
        loop {
            match words.next(SHORT, LONG) {
                Met::Option(Code::Letter(letter), value) => {
                    met.push(format!("{letter}={}", value.unwrap_or_default()));
                }
                other => {
                    met.push(format!("{other:?}"));
                    return (met, words.blamed().to_string());
                }
            }
        }
    }

    fn check_words(line: &str, met: &[&str], blamed: &str) {
        let (found, word) = read(line);
        assert_eq!(found, met, "{line}");
        if found.last().is_some_and(|l| l != "End") {
            assert_eq!(word, blamed, "{line}");
        }
    }

    #[test]
    fn options_are_met_as_the_library_meets_them() {
        check_words("-L -zs x", &["L=", "z=", "s=x", "End"], "");
        check_words("-Lx plain -z", &["L=x", "z=", "End"], "");
        check_words("--dump=foo --sr 1", &["L=foo", "Unknown"], "--sr");
        check_words("--zer --src=5", &["z=", "s=5", "End"], "");
        check_words("--zero=5", &["Unknown"], "--zero=5");
        check_words("-z -s", &["z=", "Missing"], "-s");
        check_words("--src", &["Missing"], "--src");
        check_words("-L -zQx", &["L=", "z=", "Unknown"], "-L");
        check_words("-z -- -Q", &["z=", "End"], "");
        check_words("a b -Q", &["Unknown"], "-Q");
        check_words("-", &["End"], "");
    }

    #[test]
    fn a_value_that_may_be_there_is_the_next_word_that_is_no_option() {
        let line = ["conntrack", "-L", "expect", "-z"].map(String::from);
        let mut words = Words::new(line.to_vec());
        words.next(SHORT, LONG);
        assert_eq!(words.take_plain().as_deref(), Some("expect"));
        assert_eq!(words.take_plain(), None);
        assert_eq!(
            words.next(SHORT, LONG),
            Met::Option(Code::Letter('z'), None)
        );
    }
}
