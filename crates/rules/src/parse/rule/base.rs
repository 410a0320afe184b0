//! Options that every rule has, and the verbs of commands.

use super::*;

/// Values of a base option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Values {
    /// None.
    None,
    /// One: joined, or the next word.
    One,
    /// One, if it is joined; the option itself may take the next word if that is none.
    Joined,
}

/// A base option.
pub(super) struct BaseOption {
    pub(super) letter: char,
    pub(super) names: &'static [&'static str],
    pub(super) values: Values,
}

const fn option(letter: char, names: &'static [&'static str], values: Values) -> BaseOption {
    BaseOption {
        letter,
        names,
        values,
    }
}

/// Base options (iptables `original_opts`, in its order).
pub(super) static BASE: &[BaseOption] = &[
    option('A', &["append"], Values::One),
    option('D', &["delete"], Values::One),
    option('C', &["check"], Values::One),
    option('I', &["insert"], Values::One),
    option('R', &["replace"], Values::One),
    option('L', &["list"], Values::Joined),
    option('S', &["list-rules"], Values::Joined),
    option('F', &["flush"], Values::Joined),
    option('Z', &["zero"], Values::Joined),
    option('N', &["new-chain"], Values::One),
    option('X', &["delete-chain"], Values::Joined),
    option('E', &["rename-chain"], Values::One),
    option('P', &["policy"], Values::One),
    option('s', &["source", "src"], Values::One),
    option('d', &["destination", "dst"], Values::One),
    option('p', &["protocol"], Values::One),
    option('i', &["in-interface"], Values::One),
    option('j', &["jump"], Values::One),
    option('t', &["table"], Values::One),
    option('m', &["match"], Values::One),
    option('n', &["numeric"], Values::None),
    option('o', &["out-interface"], Values::One),
    option('v', &["verbose"], Values::None),
    option('w', &["wait"], Values::Joined),
    option('W', &["wait-interval"], Values::Joined),
    option('x', &["exact"], Values::None),
    option('f', &["fragments"], Values::None),
    option('V', &["version"], Values::None),
    option('h', &["help"], Values::Joined),
    option('0', &["line-numbers"], Values::None),
    option('M', &["modprobe"], Values::One),
    option('c', &["set-counters"], Values::One),
    option('g', &["goto"], Values::One),
    option('4', &["ipv4"], Values::None),
    option('6', &["ipv6"], Values::None),
];

/// Longest interface name (kernel `IFNAMSIZ` less one).
const MAX_INTERFACE: usize = 15;

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

/// A number as sscanf's `%llu` takes it: what it begins with.
fn scanned(text: &str) -> Option<u64> {
    let text = text.trim_start().trim_start_matches('+');
    let end = text
        .bytes()
        .position(|b| !b.is_ascii_digit())
        .unwrap_or(text.len());
    text.get(..end)?.parse().ok()
}

impl<'w> Reader<'_, '_, 'w> {
    /// A base option; `last` is the word that getopt stood on, which is the value unless that is
    /// joined.
    pub(super) fn base_option(
        &mut self,
        letter: char,
        word: &'w Word,
        value: Option<&Word>,
        last: &'w Word,
    ) {
        if let Some(found) = verb(letter) {
            return self.command(found, letter, word, value);
        }
        let bang = self.bang.take();
        let negated = bang.is_some();
        if let Some(bang) = bang
            && !matches!(
                letter,
                's' | 'd' | 'p' | 'i' | 'o' | 'f' | 'w' | 'W' | 'M' | '4' | '6' | 'V'
            )
        {
            let said = match letter {
                'm' => "unexpected ! flag before --match".to_string(),
                't' => "unexpected ! flag before --table".to_string(),
                _ => format!("cannot have ! before -{}", option_letter(letter)),
            };
            let bad = Bad::new(format!("'!' cannot stand before {}", word.text))
                .help("'!' stands before the option that it negates, as in ! -s 192.0.2.0/24")
                .said(said);
            self.fail("stray-negation", bang, bad);
        }
        if !self.once(letter, word) {
            return;
        }
        // Older than 1.8.10, the program takes the whole word for the value where it is joined.
        let whole = value.is_some() && std::ptr::eq(last, word);
        let value = value.unwrap_or(word);
        if whole && matches!(letter, 'p' | 's' | 'd' | 'j' | 'i' | 'o') {
            return self.joined(letter, word, value);
        }
        match letter {
            's' | 'd' => {
                let addresses = Some(Addresses {
                    word: value.clone(),
                    negated,
                });
                if letter == 's' {
                    self.source = addresses;
                } else {
                    self.destination = addresses;
                }
            }
            'p' => self.protocol(value, negated),
            'i' | 'o' => self.interface(letter, value, negated),
            'f' => {
                if self.family() == Family::V6 {
                    let bad = Bad::new("-f is not an option of ip6tables")
                        .help("-m frag")
                        .said("`-f' is not supported in IPv6, use -m frag instead");
                    self.fail("wrong-family", word, bad);
                }
                self.base.fragment = Some(Not { negated, value: () });
            }
            'm' => self.load_match(value),
            'j' | 'g' => self.target(letter, value),
            't' => {
                if self.given_table.is_some() {
                    let bad = Bad::new("-t cannot stand in a save file")
                        .help(format!("*{} before the rule", value.text))
                        .said(format!(
                            "The -t option cannot be used in {}.",
                            self.program()
                        ));
                    self.fail("table-in-file", value, bad);
                }
                self.table = Some(value.clone());
            }
            'c' => self.counters(value),
            'w' | 'W' => self.wait(letter, word, whole.then_some(value)),
            '4' | '6' => self.other_family(letter, word),
            'V' | 'h' => self.ignored = true,
            _ => {}
        }
    }

    /// Name of the restoring program.
    fn program(&self) -> String {
        let program = crate::parse::command::program(self.family());
        match self.tools() {
            Tools::Legacy => format!("{program}-restore"),
            Tools::Nft => format!("{program}-nft-restore"),
        }
    }

    /// Notes an option; most may stand once.
    fn once(&mut self, letter: char, word: &Word) -> bool {
        if !matches!(
            letter,
            's' | 'd' | 'p' | 'i' | 'o' | 'j' | 'g' | 'f' | 'n' | 'x' | 'v' | '0' | 'c'
        ) {
            return true;
        }
        let kind = option_letter(letter);
        let twice = self.seen.iter().any(|(l, _)| option_letter(*l) == kind);
        if twice && letter != 'v' {
            let mut bad = Bad::new(format!("{} stands twice in one rule", word.text));
            if matches!(letter, 's' | 'd') {
                bad = bad.help(format!(
                    "a list makes a rule for each: -{letter} ADDRESS,ADDRESS"
                ));
            }
            let bad = bad.said(format!("multiple -{kind} flags not allowed"));
            self.fail("repeated-option", word, bad);
            return false;
        }
        if !twice {
            self.seen.push((letter, word.clone()));
        }
        true
    }

    /// A value joined to its option, which iptables before 1.8.10 takes with the option in it.
    fn joined(&mut self, letter: char, word: &'w Word, value: &Word) {
        let text = &word.text;
        if letter == 'j' {
            return self.target(letter, word);
        }
        let interface = matches!(letter, 'i' | 'o');
        if interface && text.len() <= MAX_INTERFACE {
            let warning = self
                .parser
                .lines
                .diagnostic(
                    crate::Severity::Warning,
                    "joined-value",
                    (word.start, word.end),
                    format!("iptables before 1.8.10 takes '{text}' for the interface's name"),
                )
                .help(format!("-{letter} {}", value.text))
                .replace(word.start, word.end, format!("-{letter} {}", value.text));
            self.parser.report(warning);
            return self.interface(letter, word, false);
        }
        let said = match letter {
            'p' => format!("unknown protocol \"{text}\" specified"),
            's' | 'd' => format!("host/network `{text}' not found"),
            _ => format!("interface name `{text}' must be shorter than IFNAMSIZ (15)"),
        };
        let fixed = format!("-{letter} {}", value.text);
        let diagnostic = self
            .parser
            .error(
                "joined-value",
                (word.start, word.end),
                format!("iptables before 1.8.10 takes all of '{text}' for the value"),
            )
            .help(fixed.clone())
            .said(said)
            .replace(word.start, word.end, fixed);
        self.failed = true;
        if matches!(letter, 's' | 'd') {
            self.late.push(diagnostic);
        } else {
            self.report(diagnostic);
        }
    }

    fn protocol(&mut self, value: &Word, negated: bool) {
        self.protocol_word = Some(value.text.clone());
        match value::protocol(&value.text) {
            Ok(number) => {
                if number == 0 && negated {
                    let bad = Bad::new("no packet has a protocol other than all")
                        .said("rule would never match protocol");
                    self.fail("bad-value", value, bad);
                }
                let not = Not {
                    negated,
                    value: number,
                };
                self.base.protocol = (number != 0).then(|| not.clone());
                self.protocol = Some(not);
            }
            Err(bad) => {
                let (diagnostic, meant) = repair::unknown_protocol(self.parser, value, bad);
                self.report(diagnostic);
                // What follows is read as if it had been spelt right.
                self.protocol = meant.map(|value| Not { negated, value });
                self.protocol_word = meant.map(crate::names::protocol_name);
            }
        }
    }

    fn load_match(&mut self, name: &Word) {
        match catalogue::find_match(&name.text, self.family()) {
            Some(extension) => self.load(extension, name.clone()),
            None => {
                let diagnostic =
                    repair::unknown_match(self.parser, name, self.family()).said(format!(
                        "Couldn't load match `{}':No such file or directory",
                        name.text
                    ));
                self.unknown_match = true;
                self.report(diagnostic);
            }
        }
    }

    fn target(&mut self, letter: char, value: &Word) {
        let name = &value.text;
        let fault = if name.is_empty() {
            Some("Invalid target name (too short)".to_string())
        } else if name.len() > crate::parse::command::MAX_CHAIN_NAME {
            Some(format!("Invalid target name `{name}' (28 chars max)"))
        } else if name.contains(|c: char| c.is_ascii_whitespace() || c == '\u{b}') {
            Some(format!("Invalid target name `{name}'"))
        } else {
            None
        };
        if let Some(said) = fault {
            let bad = Bad::new(format!("'{}' is no target's name", name.escape_debug())).said(said);
            return self.fail("unknown-target", value, bad);
        }
        if letter == 'j'
            && let Some(extension) = catalogue::find_target(name, self.family())
        {
            self.target_options = Some(self.loaded(extension, value.clone()));
            self.loads.push(Load::Target);
        }
        self.target = Some(TargetWord {
            word: value.clone(),
            goto: letter == 'g',
        });
    }

    /// `-c packets,bytes` or `-c packets bytes`.
    fn counters(&mut self, value: &Word) {
        let text = value.text.as_str();
        let comma = text
            .get(1..)
            .and_then(|rest| rest.find(','))
            .map(|at| at + 1);
        let bytes = match comma {
            Some(at) => Some(text[at + 1..].to_string()),
            None => self.argument().map(|w| w.text.clone()),
        };
        let said = match &bytes {
            None => "-c requires packet and byte counter",
            Some(bytes) => match (scanned(text), scanned(bytes)) {
                (Some(packets), Some(bytes)) => {
                    self.counters = Counters { packets, bytes };
                    return;
                }
                (None, _) => "-c packet counter not numeric",
                _ => "-c byte counter not numeric",
            },
        };
        let bad = Bad::new("-c takes a number of packets and a number of bytes")
            .help("-c 10 840")
            .said(said);
        self.fail("bad-value", value, bad);
    }

    fn wait(&mut self, letter: char, word: &'w Word, joined: Option<&Word>) {
        if self.given_table.is_some() {
            let bad = Bad::new(format!("-{letter} cannot stand in a save file"))
                .said(format!("You cannot use `-{letter}' from iptables-restore"));
            return self.fail("stray-option", word, bad);
        }
        let value = match joined {
            Some(value) => Some(value.clone()),
            None => self.argument().cloned(),
        };
        if letter == 'W' {
            if !self.seen.iter().any(|(l, _)| *l == 'w') {
                self.wait_interval = Some(word.clone());
            }
            return;
        }
        self.seen.push(('w', word.clone()));
        self.wait_interval = None;
        if let Some(value) = value
            && scanned(&value.text).is_none()
        {
            let bad = Bad::new("-w takes a number of seconds").said("wait seconds not numeric");
            self.fail("bad-value", &value, bad);
        }
    }

    /// `-4` and `-6`: a line of a save file for the other family is passed over.
    fn other_family(&mut self, letter: char, word: &Word) {
        let own = match self.family() {
            Family::V4 => '4',
            Family::V6 => '6',
        };
        if letter == own {
            return;
        }
        if self.given_table.is_some() {
            self.ignored = true;
            return;
        }
        let bad = Bad::new(format!("-{letter} is for the other family's program"));
        self.fail("wrong-family", word, bad);
    }

    fn command(&mut self, found: Verb, letter: char, word: &'w Word, value: Option<&Word>) {
        if let Some(bang) = self.bang.take() {
            let bad = Bad::new("'!' cannot stand before a command").said("unexpected '!' flag");
            self.fail("stray-negation", bang, bad);
        }
        if let Some((earlier, first, _)) = &self.verb {
            let both = (*earlier, found);
            if !matches!(both, (Verb::List, Verb::Zero) | (Verb::Zero, Verb::List)) {
                let said = format!("Cannot use -{letter} with -{first}");
                let diagnostic = repair::second_verb(self.parser, word).said(said);
                self.failed = true;
                self.report(diagnostic);
                return;
            }
        }
        self.verb = Some((found, letter, word.clone()));
        self.verbs.push(letter);
        self.arguments.extend(value.cloned());
        let mut missing = None;
        match found {
            Verb::Rename | Verb::Policy => match self.argument() {
                Some(next) => self.arguments.push(next.clone()),
                None if found == Verb::Rename => {
                    missing = Some("-E requires old-chain-name and new-chain-name");
                }
                None => missing = Some("-P requires a chain and a policy"),
            },
            Verb::Insert | Verb::Delete | Verb::Replace => match self.argument() {
                Some(next) => self.rule_number(next),
                None if found == Verb::Replace => missing = Some("-R requires a rule number"),
                None => {}
            },
            Verb::Flush | Verb::DeleteChain | Verb::List | Verb::Zero => {
                if value.is_none()
                    && let Some(next) = self.argument()
                {
                    self.arguments.push(next.clone());
                }
                if matches!(found, Verb::List | Verb::Zero)
                    && !self.arguments.is_empty()
                    && let Some(next) = self.argument()
                {
                    self.rule_number(next);
                }
            }
            _ => {}
        }
        if let Some(said) = missing {
            let ours = match found {
                Verb::Policy => ("'-P' needs a chain and a policy", "-P INPUT DROP"),
                Verb::Rename => ("'-E' needs the old and the new name", "-E OLD NEW"),
                _ => ("'-R' needs a chain and a rule number", "-R INPUT 1 …"),
            };
            let bad = Bad::new(ours.0).help(ours.1).said(said);
            self.fail("missing-value", word, bad);
        }
    }

    /// A rule number, in any of C's bases; in decimal afterwards.
    fn rule_number(&mut self, word: &'w Word) {
        match value::number(&word.text, i32::MAX as u64) {
            Ok(number) if number > 0 => self.arguments.push(Word {
                text: number.to_string(),
                ..word.clone()
            }),
            _ => {
                let bad = Bad::new(format!("'{}' is no rule number", word.text))
                    .help("rules are numbered from 1")
                    .said(format!("Invalid rule number `{}'", word.text));
                self.fail("no-rule", word, bad);
            }
        }
    }

    fn interface(&mut self, letter: char, value: &Word, negated: bool) {
        let text = value.text.as_str();
        if text.is_empty() {
            let bad = Bad::new("an interface's name is empty")
                .help("leave the option out for any interface")
                .said("Empty interface is likely to be undesired");
            return self.fail("bad-interface", value, bad);
        }
        if text.len() > MAX_INTERFACE {
            let bad = Bad::new(format!(
                "interface name '{text}' must have 1 to {MAX_INTERFACE} bytes"
            ))
            .said(format!(
                "interface name `{text}' must be shorter than IFNAMSIZ (15)"
            ));
            return self.fail("bad-interface", value, bad);
        }
        if text.contains(['/', ' ']) {
            let warning = self.parser.lines.diagnostic(
                crate::Severity::Warning,
                "bad-interface",
                (value.start, value.end),
                format!(
                    "no interface can be named '{text}': the kernel allows neither '/' nor ' '"
                ),
            );
            self.parser.report(warning);
        }
        let pattern = match text.strip_suffix('+') {
            Some(name) => InterfacePattern {
                name: name.to_string(),
                prefix: true,
            },
            None => InterfacePattern {
                name: text.to_string(),
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

/// The letter under which the program knows an option: `-g` is a kind of `-j`.
pub(super) fn option_letter(letter: char) -> char {
    if letter == 'g' { 'j' } else { letter }
}
