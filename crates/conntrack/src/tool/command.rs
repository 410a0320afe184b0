//! A command line, read and checked: which command, on which table, with which filter.

use std::net::IpAddr;

use palisade_wire::Family;

use super::number;
use super::protocol::{Field, Legal, Protocol};
use super::vocabulary::{
    COMMANDS, EVENTS, OPTIONS, OUTPUTS, Output, Parameters, STATUSES, Table, Template, Translated,
    Verb, legal,
};
use super::words::{Code, Long, Met, Takes, Words};
use super::{Desk, TOOL};
use crate::connection::Status;

/// A command line that was understood.
#[derive(Clone, Debug, Default)]
pub(super) struct Command {
    pub(super) verb: Option<Verb>,
    pub(super) table: Table,
    given: u32,
    pub(super) family: Option<Family>,
    pub(super) protocol: Option<u8>,
    pub(super) template: Template,
    pub(super) output: Output,
    pub(super) events: Option<u32>,
    pub(super) buffer: Option<u64>,
    /// The name that the program was called by.
    pub(super) program: String,
}

/// Why a command line was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) code: u8,
    pub(super) words: String,
}

/// Wrong words: the code of the process, with a hint where to read.
fn wrong(words: impl Into<String>) -> Refusal {
    Refusal {
        code: 2,
        words: format!(
            "{TOOL}{}\nTry `conntrack -h' or 'conntrack --help' for more information.\n",
            words.into()
        ),
    }
}

/// Anything else that went wrong.
pub(super) fn failed(words: impl Into<String>) -> Refusal {
    Refusal {
        code: 1,
        words: format!("{TOOL}{}\n", words.into()),
    }
}

/// The family of an address.
pub(super) fn family(address: IpAddr) -> Family {
    match address {
        IpAddr::V4(_) => Family::V4,
        IpAddr::V6(_) => Family::V6,
    }
}

fn place(letter: char) -> Option<usize> {
    OPTIONS.iter().position(|(l, ..)| *l == letter)
}

impl Command {
    /// Whether an option was given.
    pub(super) fn has(&self, letter: char) -> bool {
        place(letter).is_some_and(|at| self.given & 1 << at != 0)
    }

    /// Whether one of several options was given.
    pub(super) fn has_any(&self, letters: &str) -> bool {
        letters.chars().any(|letter| self.has(letter))
    }

    fn give(&mut self, letter: char) {
        if let Some(at) = place(letter) {
            self.given |= 1 << at;
        }
    }
}

/// Reads a command line; what it warns of is added to `warned`.
pub(super) fn read(
    words: Vec<String>,
    desk: &Desk<'_>,
    warned: &mut String,
) -> Result<Command, Refusal> {
    let mut reader = Reader {
        words: Words::new(words),
        desk,
        warned,
        command: Command::default(),
        handler: None,
        protocol_given: 0,
        status: 0,
    };
    reader.read()?;
    reader.check()?;
    Ok(reader.command)
}

struct Reader<'a, 'd> {
    words: Words,
    desk: &'a Desk<'d>,
    warned: &'a mut String,
    command: Command,
    handler: Option<&'static Protocol>,
    /// Options of the protocol that were given, by their places.
    protocol_given: u32,
    status: u32,
}

/// Short options and whether they take a value.
fn short() -> Vec<(char, Takes)> {
    let commands = COMMANDS.iter().map(|(letter, ..)| {
        let takes = match letter {
            'V' | 'h' | 'S' => Takes::Nothing,
            _ => Takes::Attached,
        };
        (*letter, takes)
    });
    let options = OPTIONS.iter().map(|(letter, ..)| {
        let takes = match letter {
            'z' => Takes::Nothing,
            'n' | 'g' | 'j' | '>' => Takes::Attached,
            _ => Takes::Value,
        };
        (*letter, takes)
    });
    commands.chain(options).collect()
}

fn long() -> Vec<Long> {
    let takes: Vec<(char, Takes)> = short();
    let of = |letter: char| takes.iter().find(|(l, _)| *l == letter).map(|(_, t)| *t);
    let entry = |name: &'static str, letter: char| Long {
        name,
        takes: of(letter).unwrap_or(Takes::Nothing),
        code: Code::Letter(letter),
    };
    let commands = COMMANDS
        .iter()
        .map(|(letter, name, ..)| entry(name, *letter));
    let options = OPTIONS.iter().flat_map(|(letter, name, others)| {
        let names = others.iter().copied().chain([*name]);
        names.map(|name| entry(name, *letter)).collect::<Vec<_>>()
    });
    commands.chain(options).collect()
}

impl Reader<'_, '_> {
    fn read(&mut self) -> Result<(), Refusal> {
        self.command.program = self.words.program().to_string();
        let short = short();
        let mut known = long();
        let own = known.len();
        loop {
            match self.words.next(&short, &known) {
                Met::End => return Ok(()),
                Met::Missing => {
                    let word = self.words.blamed();
                    return Err(wrong(format!("option `{word}' requires an argument")));
                }
                Met::Unknown => {
                    let word = self.words.blamed();
                    return Err(wrong(format!("unknown option `{word}'")));
                }
                Met::Option(Code::Protocol(option), value) => {
                    self.protocol_option(option, &value.unwrap_or_default())?;
                }
                Met::Option(Code::Letter('p'), value) => {
                    self.protocol(&value.unwrap_or_default())?;
                    known.truncate(own);
                    known.extend(self.handler.into_iter().flat_map(Protocol::long));
                }
                Met::Option(Code::Letter(letter), value) => {
                    match COMMANDS.iter().find(|(l, ..)| *l == letter) {
                        Some(command) => self.verb(command, value)?,
                        None => self.option(letter, value)?,
                    }
                }
            }
        }
    }

    /// The table that follows a command; a word in one with the command is not looked at.
    fn table(&mut self, attached: Option<String>) -> Result<Table, Refusal> {
        if attached.is_some() {
            return Ok(Table::Connections);
        }
        let Some(word) = self.words.take_plain() else {
            return Ok(Table::Connections);
        };
        let tables = [
            ("expect", Table::Expectations),
            ("conntrack", Table::Connections),
            ("dying", Table::Dying),
            ("unconfirmed", Table::Unconfirmed),
        ];
        let found = tables.iter().find(|(name, _)| name.starts_with(&word));
        match found {
            Some((_, table)) => Ok(*table),
            None => Err(wrong(format!("unknown type `{word}'"))),
        }
    }

    fn verb(
        &mut self,
        (_, name, connections, expectations): &(char, &str, Verb, Option<Verb>),
        attached: Option<String>,
    ) -> Result<(), Refusal> {
        let table = self.table(attached)?;
        let special = matches!(table, Table::Dying | Table::Unconfirmed);
        if special && *connections != Verb::List {
            return Err(wrong(
                "Can't do that command with tables `dying' and `unconfirmed'",
            ));
        }
        let verb = match table {
            Table::Expectations => {
                expectations.ok_or_else(|| wrong(format!("Can't do --{name} on expectations")))?
            }
            _ => *connections,
        };
        self.command.table = table;
        if self.command.verb.replace(verb).is_some() {
            return Err(wrong("Invalid commands combination"));
        }
        Ok(())
    }

    fn set_family(&mut self, family: Family) -> Result<(), Refusal> {
        match self.command.family.replace(family) {
            Some(before) if before != family => Err(wrong("mismatched address family")),
            _ => Ok(()),
        }
    }

    /// An address, and the mask of its length where one is written.
    fn address(
        &mut self,
        letter: char,
        text: &str,
        takes_mask: bool,
    ) -> Result<(IpAddr, Option<IpAddr>), Refusal> {
        // What is longer than any address is cut.
        let cut: String = text.chars().take(45).collect();
        let (plain, length) = match cut.split_once('/') {
            Some((plain, "")) => (plain, Some(Some(0))),
            Some((plain, length)) => (plain, Some(length.parse::<u32>().ok())),
            None => (cut.as_str(), None),
        };
        let address =
            number::address(plain).ok_or_else(|| wrong(format!("Invalid IP address `{text}'")))?;
        let family = family(address);
        self.set_family(family)?;
        let bits = if address.is_ipv4() { 32 } else { 128 };
        let mask = match length {
            None => None,
            Some(_) if !takes_mask => {
                let long = long();
                let name = long.iter().find(|o| o.code == Code::Letter(letter));
                return Err(wrong(format!(
                    "CIDR notation unavailable for `--{}'",
                    name.map_or("unknown", |o| o.name)
                )));
            }
            Some(Some(length)) if length <= bits => {
                (length < bits).then(|| number::mask(address, length))
            }
            Some(_) => return Err(wrong("Invalid netmask")),
        };
        Ok((address, mask))
    }

    fn protocol(&mut self, name: &str) -> Result<(), Refusal> {
        self.command.give('p');
        let known = Protocol::named(name);
        let number = match known {
            Some(protocol) => protocol.number,
            None => match (self.desk.protocol)(name) {
                Some(number) => number,
                None => match number::unsigned(name) {
                    (number @ 0..=255, "") if !name.is_empty() => number as u8,
                    _ => return Err(wrong(format!("`{name}' unsupported protocol"))),
                },
            },
        };
        // A number finds its options, a name that only the system knows does not.
        let by_number = name.starts_with(|c: char| c.is_ascii_digit());
        self.handler = known.or_else(|| by_number.then(|| Protocol::numbered(number)).flatten());
        self.command.protocol = Some(number);
        Ok(())
    }

    fn protocol_option(&mut self, option: usize, value: &str) -> Result<(), Refusal> {
        let Some(handler) = self.handler else {
            return Ok(());
        };
        let Some(field) = handler.field(option) else {
            return Ok(());
        };
        let word = if handler.name == "gre" {
            number::unsigned(value).0 as u16
        } else {
            number::decimal(value) as u16
        };
        let template = &mut self.command.template;
        match field {
            Field::SourcePort => template.original.source_port = Some(word),
            Field::DestinationPort => template.original.destination_port = Some(word),
            Field::ReplySourcePort => template.reply.source_port = Some(word),
            Field::ReplyDestinationPort => template.reply.destination_port = Some(word),
            Field::MaskSourcePort => template.mask.source_port = Some(word),
            Field::MaskDestinationPort => template.mask.destination_port = Some(word),
            Field::TupleSourcePort => template.tuple.source_port = Some(word),
            Field::TupleDestinationPort => template.tuple.destination_port = Some(word),
            Field::IcmpType => template.icmp_type = Some(word as u8),
            Field::IcmpCode => template.icmp_code = Some(word as u8),
            Field::IcmpId => template.icmp_id = Some(word),
            Field::OriginalTag => template.tags[0] = Some(number::decimal(value)),
            Field::ReplyTag => template.tags[1] = Some(number::decimal(value)),
            Field::State => {
                // Older kernels said LISTEN for a simultaneous open.
                let listen = handler.name == "tcp" && value == "LISTEN";
                let name = if listen { "SYN_SENT2" } else { value };
                let state = handler.states.iter().find(|s| **s == name);
                let complaint = || wrong(format!("{} state `{value}'", handler.complaint));
                template.state = Some(*state.ok_or_else(complaint)?);
            }
            Field::Role => {
                let lower = value.to_ascii_lowercase();
                if !"client".starts_with(&lower) && !"server".starts_with(&lower) {
                    return Err(wrong(format!("Unknown DCCP role `{value}'")));
                }
            }
        }
        self.protocol_given |= 1 << option;
        Ok(())
    }

    fn option(&mut self, letter: char, value: Option<String>) -> Result<(), Refusal> {
        let text = value.as_deref().unwrap_or_default();
        match letter {
            's' | 'd' | '[' | ']' => {
                let (address, mask) = self.address(letter, text, true)?;
                let source = matches!(letter, 's' | '[');
                let template = &mut self.command.template;
                let ends = match letter {
                    's' | 'd' => &mut template.original,
                    _ => &mut template.tuple,
                };
                let (end, mask_end, mask_letter) = if source {
                    (&mut ends.source, &mut template.mask.source, '{')
                } else {
                    (&mut ends.destination, &mut template.mask.destination, '}')
                };
                *end = Some(address);
                if matches!(letter, 's' | 'd') {
                    template.family = Some(family(address));
                }
                if mask.is_some() {
                    *mask_end = mask;
                    self.command.give(mask_letter);
                }
            }
            'r' | 'q' => {
                let (address, _) = self.address(letter, text, false)?;
                let reply = &mut self.command.template.reply;
                match letter {
                    'r' => reply.source = Some(address),
                    _ => reply.destination = Some(address),
                }
            }
            '{' | '}' => {
                let (address, _) = self.address(letter, text, false)?;
                let mask = &mut self.command.template.mask;
                match letter {
                    '{' => mask.source = Some(address),
                    _ => mask.destination = Some(address),
                }
            }
            't' => self.command.template.timeout = Some(number::decimal(text)),
            'u' => self.statuses(text)?,
            'e' => {
                let mut events = self.command.events.unwrap_or_default();
                self.parameters(text, EVENTS, &mut events)?;
                self.command.events = Some(events);
            }
            'o' => self.output(text)?,
            'n' | 'g' | 'j' => self.translated(letter, value.is_some())?,
            'w' => self.command.template.zone = Some(number::unsigned(text).0 as u16),
            '(' => self.command.template.zones[0] = Some(number::unsigned(text).0 as u16),
            ')' => self.command.template.zones[1] = Some(number::unsigned(text).0 as u16),
            'i' => match &value {
                Some(text) => self.command.template.id = Some(number::unsigned(text).0 as u32),
                None => {
                    let word = self.words.blamed();
                    return Err(wrong(format!("option `{word}' requires an argument")));
                }
            },
            // Nothing here has security marks: it is taken, and no entry has it.
            'c' | 'z' => {}
            'm' => {
                let (mark, rest) = number::unsigned(text);
                let mask = rest.strip_prefix('/').map(|m| number::unsigned(m).0 as u32);
                self.command.template.mark = Some((mark as u32, mask.unwrap_or(u32::MAX)));
            }
            'l' | '<' | '>' => self.labels(letter, value)?,
            'a' => {
                *self.warned += "WARNING: ignoring -a, deprecated option.\n";
                return Ok(());
            }
            'f' => {
                let family = match text {
                    text if text.starts_with("ipv4") => Family::V4,
                    text if text.starts_with("ipv6") => Family::V6,
                    _ => return Err(wrong(format!("`{text}' unsupported protocol"))),
                };
                self.command.give(letter);
                return self.set_family(family);
            }
            'b' => self.command.buffer = Some(number::unsigned(text).0),
            _ => {}
        }
        self.command.give(letter);
        Ok(())
    }

    fn output(&mut self, text: &str) -> Result<(), Refusal> {
        let mut output = self.command.output.0;
        self.parameters(text, OUTPUTS, &mut output)?;
        self.command.output = Output(output);
        if self.command.output.has(Output::LABELS) {
            self.tell_labels();
        }
        if output & Output::SAVE.0 != 0 && output != Output::SAVE.0 {
            return Err(failed(
                "cannot combine save output with any other output type, use -o save only",
            ));
        }
        Ok(())
    }

    /// One word of several; whether it is known.
    fn parameter(&mut self, word: &str, known: Parameters, bits: &mut u32) -> bool {
        let begins = |name: &str| {
            name.get(..word.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(word))
        };
        for (name, instead) in [("SRC_NAT", "src"), ("DST_NAT", "dst")] {
            if begins(name) {
                *self.warned += &format!("WARNING: ignoring {name}, use --{instead}-nat instead\n");
                return true;
            }
        }
        let found = known.iter().find(|(name, _)| begins(name));
        if let Some((_, value)) = found {
            *bits |= value;
        }
        found.is_some()
    }

    fn parameters(&mut self, text: &str, known: Parameters, bits: &mut u32) -> Result<(), Refusal> {
        let mut rest = text;
        loop {
            let (word, after) = match rest.split_once(',') {
                Some((word, after)) => (word, Some(after)),
                None => (rest, None),
            };
            if word.is_empty() || !self.parameter(word, known, bits) {
                return Err(wrong(format!("Bad parameter `{rest}'")));
            }
            match after {
                Some(after) => rest = after,
                None => return Ok(()),
            }
        }
    }

    /// Statuses, of which some may be asked not to be there.
    fn statuses(&mut self, text: &str) -> Result<(), Refusal> {
        let mut mask = self
            .command
            .template
            .status_bits
            .map_or(0, |(_, mask)| mask);
        let mut rest = text;
        loop {
            let (word, after) = match rest.split_once(',') {
                Some((word, after)) => (word, Some(after)),
                None => (rest, None),
            };
            let plain = word.strip_prefix('!');
            let shown = if plain.is_some() {
                rest.get(1..).unwrap_or_default()
            } else {
                rest
            };
            let word = plain.unwrap_or(word);
            if word.is_empty() {
                return Err(wrong(format!("Bad parameter `{shown}'")));
            }
            if plain.is_none() && word.starts_with("UNREPLIED") {
                mask |= u32::from(Status::SEEN_REPLY.0);
            } else {
                let mut bits = 0;
                if !self.parameter(word, STATUSES, &mut bits) {
                    return Err(wrong(format!("Bad parameter `{shown}'")));
                }
                match plain {
                    Some(_) => mask |= bits,
                    None => self.status |= bits,
                }
            }
            match after {
                Some(after) => rest = after,
                None => break,
            }
        }
        let template = &mut self.command.template;
        template.status = Some(self.status);
        let mask = if mask == 0 { self.status } else { mask };
        template.status_bits = Some((self.status, mask));
        Ok(())
    }

    fn translated(&mut self, letter: char, attached: bool) -> Result<(), Refusal> {
        let word = match attached {
            // A word in one with the option is not looked at.
            true => None,
            false => self.words.take_plain(),
        };
        let Some(word) = word else {
            return Ok(());
        };
        let (address, port) = address_and_port(&word)?;
        let (address, _) = self.address(letter, address, false)?;
        let to = Translated {
            address: Some(address),
            port,
        };
        let template = &mut self.command.template;
        if letter != 'g' {
            template.source_nat = to;
        }
        if letter != 'n' {
            template.destination_nat = to;
        }
        Ok(())
    }

    /// That there are no names of labels.
    fn tell_labels(&mut self) {
        if self.desk.labels.is_empty() {
            *self.warned += "nfct_labelmap_new: No such file or directory\n";
        }
    }

    fn labels(&mut self, letter: char, value: Option<String>) -> Result<(), Refusal> {
        self.command.give(letter);
        self.tell_labels();
        if self.command.has('<') && self.command.has('>') {
            return Err(failed(
                "cannot use --label-add and --label-del at the same time",
            ));
        }
        let names = match letter {
            '>' if value.is_some() => return Ok(()),
            '>' => match self.words.take_plain() {
                Some(names) => names,
                None => return Ok(()),
            },
            _ => value.unwrap_or_default(),
        };
        let mut bits = 0;
        for name in names.split(',') {
            let label = self.desk.labels.get(name);
            let label = label.ok_or_else(|| wrong(format!("unknown label '{name}'")))?;
            bits |= 1u128.checked_shl(u32::from(*label)).unwrap_or(0);
        }
        let template = &mut self.command.template;
        let all = match letter {
            'l' => &mut template.labels,
            _ => &mut template.change_labels,
        };
        *all = Some(all.unwrap_or(0) | bits);
        Ok(())
    }

    /// Whether the options go with the command and with each other.
    fn check(&mut self) -> Result<(), Refusal> {
        let command = &mut self.command;
        use Verb::{Delete, Event, Flush, Get, List, Update};
        let any_family = matches!(
            command.verb,
            Some(List | Update | Delete | Get | Flush | Event)
        );
        if !any_family {
            command.family.get_or_insert(Family::V4);
        }
        if command.has('j') && command.has_any("ng") {
            return Err(wrong(
                "cannot specify `--src-nat' or `--dst-nat' with `--any-nat'",
            ));
        }
        let table = legal(command.verb);
        let options = OPTIONS.iter().zip(table).enumerate();
        let options = options.map(|(at, ((_, name, _), letter))| {
            (*name, Legal::of(*letter), command.given & 1 << at != 0)
        });
        let pairs = [
            ("sd", "`--src' and `--dst'"),
            ("rq", "`--reply-src' and `--reply-dst'"),
        ];
        let pairs = pairs.map(|(letters, words)| {
            let given = letters.chars().filter(|l| command.has(*l)).count();
            (given, words)
        });
        allowed(options, pairs)?;
        let (Some(verb), Some(handler)) = (command.verb, self.handler) else {
            return Ok(());
        };
        if verb == Verb::Help {
            return Ok(());
        }
        let given = self.protocol_given;
        let options = handler.legal(verb).into_iter().enumerate();
        let options = options.map(|(at, (name, legal))| (name, legal, given & 1 << at != 0));
        let pairs = [
            ((given & 3).count_ones() as usize, handler.pairs[0]),
            ((given >> 2 & 3).count_ones() as usize, handler.pairs[1]),
        ];
        allowed(options, pairs)
    }
}

/// Whether each option that is given may be, and each that must be is; of the pairs one must be whole, if any option
/// asks for that.
fn allowed(
    options: impl Iterator<Item = (&'static str, Legal, bool)>,
    pairs: [(usize, &str); 2],
) -> Result<(), Refusal> {
    let mut paired = false;
    for (name, legal, given) in options {
        match (legal, given) {
            (Legal::Must, false) => {
                return Err(wrong(format!(
                    "You need to supply the `--{name}' option for this command"
                )));
            }
            (Legal::No, true) => {
                return Err(wrong(format!(
                    "Illegal option `--{name}' with this command"
                )));
            }
            _ => {}
        }
        paired |= legal == Legal::Pair;
    }
    if !paired || pairs.iter().any(|(given, _)| *given == 2) {
        return Ok(());
    }
    // The first pair that is half given is the one that is asked for.
    let [(first, a), (second, b)] = pairs;
    let words = if first == 0 && second > 0 { b } else { a };
    Err(wrong(format!("you have to specify {words}")))
}

/// An address with a port behind it, `[…]` around one of IPv6.
fn address_and_port(word: &str) -> Result<(&str, Option<u16>), Refusal> {
    let (address, port) = match word.find('[') {
        Some(open) => {
            let inner = word.get(open + 1..).unwrap_or_default();
            let close = inner.find(']');
            let close = close.ok_or_else(|| wrong("No closing ']' around IPv6 address"))?;
            if close == 0 {
                return Err(wrong("No IPv6 address specified"));
            }
            let (address, rest) = inner.split_at(close);
            match rest.split_once(':') {
                Some((_, port)) => (address, port),
                None => return Ok((word, None)),
            }
        }
        None => match word.split_once(':') {
            Some((address, port)) if !port.contains(':') => (address, port),
            _ => return Ok((word, None)),
        },
    };
    if port.is_empty() {
        return Err(wrong("No port specified after `:'"));
    }
    let digits = port.bytes().all(|b| b.is_ascii_digit());
    match port.parse::<u16>() {
        Ok(port) if digits => Ok((address, Some(port))),
        _ => Err(wrong(format!("Invalid port `{port}'"))),
    }
}

/// A file of commands that cannot be read.
pub(super) fn unreadable(name: &str) -> Refusal {
    let name = if name == "-" { "/dev/stdin" } else { name };
    wrong(format!("Failed to open file {name} for reading"))
}

/// A command that a file may not hold.
pub(super) fn not_loaded(verb: Option<Verb>) -> Refusal {
    let name = match verb {
        Some(Verb::List) => "-L",
        Some(Verb::Get) => "-G",
        Some(Verb::Event) => "-E",
        Some(Verb::Version) => "-V",
        Some(Verb::Help) => "-h",
        Some(Verb::ListExpect) => "-L expect",
        Some(Verb::CreateExpect) => "-C expect",
        Some(Verb::DeleteExpect) => "-D expect",
        Some(Verb::GetExpect) => "-G expect",
        Some(Verb::FlushExpect) => "-F expect",
        Some(Verb::EventExpect) => "-E expect",
        Some(Verb::Count) => "-C",
        Some(Verb::CountExpect) => "-C expect",
        Some(Verb::Stats) => "-S",
        Some(Verb::StatsExpect) => "-S expect",
        _ => "unknown",
    };
    wrong(format!("Cannot use command `{name}' with --load-file"))
}

impl Command {
    /// Masks need something to mask, and counters are zeroed of all entries or none.
    pub(super) fn check_masks(&self) -> Result<(), Refusal> {
        if self.verb == Some(Verb::List) && self.has('z') && self.has_any("spdrqmucwil()") {
            return Err(wrong("Can't use -z with filtering parameters"));
        }
        let filters = matches!(
            self.verb,
            Some(Verb::List | Verb::Update | Verb::Delete | Verb::Event)
        );
        let special = matches!(self.table, Table::Dying | Table::Unconfirmed);
        for (mask, end, name) in [('{', 's', "src"), ('}', 'd', "dst")] {
            if filters && !special && self.has(mask) && !self.has(end) {
                return Err(wrong(format!("Can't use --mask-{name} without --{name}")));
            }
        }
        Ok(())
    }
}
