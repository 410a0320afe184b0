//! Options that every rule has, and the verbs of commands.

use super::*;

/// Base options: short letter, long names, values (9: as many as fit the verb).
pub(super) const BASE: &[(char, &[&str], u8)] = &[
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

pub(super) fn verb(letter: char) -> Option<Verb> {
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

impl Reader<'_, '_, '_> {
    pub(super) fn base_option(&mut self, letter: char, word: &Word, value: Option<Word>) {
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
                Bad::new(format!("'!' cannot stand before {}", word.text))
                    .help("'!' stands before the option that it negates, as in ! -s 192.0.2.0/24"),
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
                Err(bad) => {
                    let (diagnostic, meant) = repair::unknown_protocol(self.parser, &value, bad);
                    self.failed = true;
                    self.parser.report(diagnostic);
                    // What follows is read as if it had been spelt right.
                    self.protocol = meant.map(|value| Not { negated, value });
                }
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
                self.target_options = catalogue::find_target(&value.text, self.family)
                    .map(|extension| Loaded::new(extension, value.clone(), self.family));
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
}
