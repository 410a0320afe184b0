//! The `conntrack` command over a table: words in, bytes for standard output and standard error and an exit code out.
//!
//! # Overview
//! [`begin`] reads a command line as conntrack-tools 1.4.7 reads it, with its refusals. What it understood is
//! [`Work`], done on a table part by part ([`Work::step`]), so that whoever holds the table may let others have it
//! in between; or a [`Watch`], which shows events as they come; or, when there was nothing to do, an [`Answer`].
//!
//! ```
//! use palisade_conntrack::{Config, Conntrack, tool};
//!
//! let mut table = Conntrack::new(Config::default());
//! let words = ["conntrack", "-L"].map(String::from);
//! let labels = Default::default();
//! let answer = tool::run(&words, None, &mut table, &tool::Desk::new(&labels), Default::default());
//! assert_eq!(answer.errors, "conntrack v1.4.7 (conntrack-tools): 0 flow entries have been shown.\n");
//! ```
//!
//! What differs from the real tool is told in `docs/conntrack.md`.

mod command;
mod date;
mod filter;
mod help;
mod json;
mod number;
mod perform;
mod protocol;
mod record;
mod show;
mod vocabulary;
mod watch;
mod words;
mod xml;

use std::collections::BTreeMap;

use palisade_wire::Timestamp;

use crate::entry::Entry;
use crate::table::Conntrack;
use command::{Command, Refusal};
use vocabulary::{Output, Verb};

pub use perform::Work;
pub use record::{Expected, Kind, Record, protocol_name};
pub use watch::Watch;

/// How the tool begins what it says on standard error.
const TOOL: &str = "conntrack v1.4.7 (conntrack-tools): ";

/// Commands that a file may hold.
const LOADED: usize = 1 << 16;

/// What the tool asks the system for.
#[derive(Clone, Copy, Debug)]
pub struct Desk<'a> {
    /// Names of connection labels and their bits.
    pub labels: &'a BTreeMap<String, u8>,
    /// The number of a protocol's name (`/etc/protocols`).
    pub protocol: fn(&str) -> Option<u8>,
    /// The name of a protocol's number.
    pub protocol_name: fn(u8) -> Option<&'static str>,
    /// How many seconds clocks here are ahead of UTC.
    pub east: i32,
}

impl<'a> Desk<'a> {
    /// A system that knows no protocols, where clocks show UTC.
    pub fn new(labels: &'a BTreeMap<String, u8>) -> Self {
        Desk {
            labels,
            protocol: |_| None,
            protocol_name: |_| None,
            east: 0,
        }
    }
}

/// What a command said, and how it ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// For standard output.
    pub output: String,
    /// For standard error.
    pub errors: String,
    /// The exit code: 0, or 1 when it failed or found nothing, or 2 when the words were wrong.
    pub code: u8,
}

/// What became of a command line.
#[derive(Debug)]
pub enum Begun {
    /// It is to be done on a table.
    Work(Box<Work>),
    /// Events are to be shown as they come; what stands in the answer is to be shown first.
    Watch(Box<Watch>, Answer),
    /// It is over.
    Over(Answer),
}

/// Reads a command line, the program's name first. `file` holds the commands that `-R` names.
pub fn begin(words: &[String], file: Option<&str>, desk: &Desk<'_>) -> Begun {
    let mut errors = String::new();
    let refused = |Refusal { code, words }: Refusal, errors: String| {
        Begun::Over(Answer {
            errors: errors + &words,
            code,
            ..Answer::default()
        })
    };
    if let Some(name) = loads(words) {
        let text = file.ok_or_else(|| command::unreadable(name));
        let commands = text.and_then(|text| load(words, text, desk, &mut errors));
        return match commands {
            Ok(commands) => Begun::Work(Box::new(Work::loaded(commands, errors))),
            Err(refusal) => refused(refusal, errors),
        };
    }
    let command = match command::read(words.to_vec(), desk, &mut errors) {
        Ok(command) => command,
        Err(refusal) => return refused(refusal, errors),
    };
    match command.verb {
        None | Some(Verb::Help) => {
            let mut output = help::usage(&command.program);
            if command.verb.is_some()
                && let Some(protocol) = command.protocol
            {
                output += &help::protocol(protocol, desk);
            }
            Begun::Over(Answer {
                output,
                errors,
                code: 0,
            })
        }
        Some(Verb::Version) => Begun::Over(Answer {
            output: String::from("conntrack v1.4.7 (conntrack-tools)\n"),
            errors,
            code: 0,
        }),
        Some(Verb::Event | Verb::EventExpect) => match Watch::new(command) {
            Ok((watch, told)) => {
                let answer = Answer {
                    errors: errors + &told,
                    ..Answer::default()
                };
                Begun::Watch(Box::new(watch), answer)
            }
            Err(refusal) => refused(refusal, errors),
        },
        Some(_) => match command.check_masks() {
            Ok(()) => Begun::Work(Box::new(Work::new(command, errors))),
            Err(refusal) => refused(refusal, errors),
        },
    }
}

/// Does a command on a table at once. One that watches events is refused: they come later.
pub fn run(
    words: &[String],
    file: Option<&str>,
    table: &mut Conntrack,
    desk: &Desk<'_>,
    now: Timestamp,
) -> Answer {
    match begin(words, file, desk) {
        Begun::Over(answer) => answer,
        Begun::Watch(_, _) => Answer {
            errors: format!("{TOOL}events come from a running palisade only\n"),
            code: 1,
            ..Answer::default()
        },
        Begun::Work(mut work) => {
            while !work.step(table, desk, now, usize::MAX) {}
            work.finish()
        }
    }
}

/// Whether a command line only asks, whatever it says: what is refused changes nothing.
pub fn only_asks(words: &[String]) -> bool {
    if loads(words).is_some() {
        return false;
    }
    // No label is named as far as is known here: what names one is taken for a change.
    let labels = BTreeMap::new();
    let protocol = |_: &str| Some(0);
    let desk = Desk {
        protocol,
        ..Desk::new(&labels)
    };
    let Ok(command) = command::read(words.to_vec(), &desk, &mut String::new()) else {
        return false;
    };
    match command.verb {
        Some(Verb::List) => !command.has('z'),
        None
        | Some(
            Verb::Get
            | Verb::GetExpect
            | Verb::ListExpect
            | Verb::Event
            | Verb::EventExpect
            | Verb::Count
            | Verb::CountExpect
            | Verb::Stats
            | Verb::StatsExpect
            | Verb::Version
            | Verb::Help,
        ) => true,
        Some(_) => false,
    }
}

/// The file that a command line names with `-R`, if that is what it does.
pub fn loads(words: &[String]) -> Option<&str> {
    match words {
        [_, option, file, ..] if option == "-R" || option == "--load-file" => Some(file),
        _ => None,
    }
}

/// Reads a file of commands; none is done unless all can be.
fn load(
    words: &[String],
    text: &str,
    desk: &Desk<'_>,
    errors: &mut String,
) -> Result<Vec<Command>, Refusal> {
    let program = words.first().cloned().unwrap_or_default();
    let mut commands = Vec::new();
    for line in text.lines() {
        let line = line.trim_start_matches([' ', '\t']);
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if commands.len() >= LOADED {
            return Err(command::failed(format!(
                "more than {LOADED} commands; load them in parts"
            )));
        }
        let mut words = vec![program.clone()];
        words.extend(split(line));
        commands.push(command::read(words, desk, errors)?);
    }
    for command in &commands {
        use Verb::{Add, Create, Delete, Flush, Update};
        if !matches!(command.verb, Some(Create | Add | Update | Delete | Flush)) {
            return Err(command::not_loaded(command.verb));
        }
    }
    commands.iter().try_for_each(Command::check_masks)?;
    Ok(commands)
}

/// The words of a line; quotes hold together what they enclose.
fn split(line: &str) -> Vec<String> {
    let (mut words, mut word) = (Vec::new(), String::new());
    let (mut quoted, mut escaped) = (false, false);
    for c in line.chars() {
        match c {
            c if escaped => {
                word.push(c);
                escaped = false;
            }
            '\\' if quoted => escaped = true,
            '"' => {
                quoted = !quoted;
                if !quoted {
                    words.push(std::mem::take(&mut word));
                }
            }
            ' ' | '\t' if !quoted => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
            }
            c => word.push(c),
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

/// An entry as `conntrack -L -o extended` shows it, without a newline.
pub fn line(entry: Entry<'_>, table: &crate::Config, now: Timestamp) -> String {
    let labels = BTreeMap::new();
    let desk = Desk::new(&labels);
    let view = show::View {
        output: Output::EXTENDED,
        desk: &desk,
        now,
        labels: false,
    };
    show::record(&Record::of(entry, table, now, 1), None, &view)
}

#[cfg(test)]
mod tests;
