//! `palisade iptables`, `iptables-save`, `iptables-restore` and their siblings for IPv6: the commands people know,
//! given to a running palisade or to a file of rules.
//!
//! The file is what `iptables-save` writes. A command that changes rules writes it anew, whole or not at all.

use std::ffi::OsString;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use palisade_live::control::message::{self, Answer, Finding, Findings, Request, Restoring};
use palisade_rules::parse::session::{call, restore};
use palisade_rules::parse::{self, Options};
use palisade_rules::{Diagnostic, Family, Ruleset, TableKind, Tools, print};

use crate::Exit;
use crate::args::ProgramArguments;
use crate::control;
use crate::diagnostics;
use crate::output::Paint;

/// Which of the programs it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// `iptables`, `ip6tables`.
    Tables,
    /// `iptables-save`, `ip6tables-save`.
    Save,
    /// `iptables-restore`, `ip6tables-restore`.
    Restore,
}

/// The command line of `palisade` for one that was called by the name of a program it stands in for.
pub fn by_name(arguments: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let all: Vec<OsString> = arguments.collect();
    let name = all.first().map(Path::new).and_then(Path::file_name);
    let name = name.and_then(|n| n.to_str()).unwrap_or_default();
    let (plain, nft) = match (name.strip_suffix("-nft"), name.strip_suffix("-legacy")) {
        (Some(plain), _) => (plain.to_string(), true),
        (_, Some(plain)) => (plain.to_string(), false),
        _ => (
            name.replace("-legacy-", "-").replace("-nft-", "-"),
            name.contains("-nft-"),
        ),
    };
    if name == "conntrack" {
        let called = all.first().cloned().unwrap_or_default();
        let mut line = ["palisade", "conntrack", "--called"]
            .map(OsString::from)
            .to_vec();
        line.push(called);
        line.push(OsString::from("--"));
        line.extend(all.into_iter().skip(1));
        return line;
    }
    let known = ["iptables", "ip6tables"].iter().any(|program| {
        plain
            .strip_prefix(program)
            .is_some_and(|rest| matches!(rest, "" | "-save" | "-restore"))
    });
    if !known {
        return all;
    }
    let mut line = vec![OsString::from("palisade"), OsString::from(plain)];
    if nft {
        line.extend(["--as", "nft"].map(OsString::from));
    }
    line.extend(all.into_iter().skip(1));
    line
}

/// Where the rules are.
#[derive(Clone, Copy, Debug)]
enum Place<'a> {
    /// In a file.
    File(&'a Path),
    /// In the palisade that runs behind a socket.
    Running(&'a Path),
}

/// Runs one of the programs.
pub fn run(arguments: &ProgramArguments, program: Program, family: Family) -> Result<Exit> {
    let place = match &arguments.rules {
        Some(path) => Place::File(path),
        None => Place::Running(&arguments.socket.control),
    };
    let options = Options {
        family,
        tools: arguments.tools(),
        ..Options::default()
    };
    let waits = |word: &String| word.starts_with("-W") || word.starts_with("--wait-i");
    if program != Program::Save && arguments.words.iter().any(waits) {
        eprintln!("Ignoring deprecated --wait-interval option.");
    }
    match program {
        Program::Tables => tables(place, &arguments.words, &options),
        Program::Save => save(place, &arguments.words, &options),
        Program::Restore => restored(place, &arguments.words, options),
    }
}

/// The rules of a file; none, if it does not exist.
fn read(path: &Path, options: &Options) -> Result<Option<Ruleset>> {
    let text = match std::fs::read(path) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            return Ok(Some(Ruleset::new(options.family)));
        }
        Err(e) => return Err(e).with_context(|| format!("cannot read {}", path.display())),
    };
    let parsed = parse::save_file_as(&text, options);
    if parsed.has_errors() {
        tell(&parsed.diagnostics, &text, &path.display().to_string());
        return Ok(None);
    }
    let found = parsed.family(options.family).cloned();
    Ok(Some(found.unwrap_or_else(|| Ruleset::new(options.family))))
}

/// Writes the rules in place of a file.
fn write(path: &Path, ruleset: &Ruleset, tools: Tools) -> Result<()> {
    write_text(path, &print::save_as(ruleset, true, tools))
}

/// Writes a text in place of a file, by a file beside it that takes its name.
pub fn write_text(path: &Path, text: &str) -> Result<()> {
    let failed = || format!("cannot write {}", path.display());
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_path_buf(),
        _ => PathBuf::from("."),
    };
    let mut file = tempfile::NamedTempFile::new_in(folder).with_context(failed)?;
    file.write_all(text.as_bytes()).with_context(failed)?;
    file.as_file().sync_all().with_context(failed)?;
    if let Ok(old) = std::fs::metadata(path) {
        std::fs::set_permissions(file.path(), old.permissions()).with_context(failed)?;
    }
    file.persist(path).with_context(failed)?;
    Ok(())
}

fn tell(found: &[Diagnostic], text: &str, name: &str) {
    let found: Vec<Finding> = found.iter().map(Finding::from).collect();
    draw(&found, text, name);
}

fn draw(found: &[Finding], text: &str, name: &str) {
    let paint = Paint::stderr(crate::args::Color::Auto);
    for f in found
        .iter()
        .filter(|f| f.severity == message::Severity::Error)
    {
        eprintln!("{}", diagnostics::draw_shown(&f.into(), text, name, paint));
    }
}

/// What a refused command says: the real program's words where they are known, then where and why.
fn refused(findings: &Findings, program: &str) -> Exit {
    let found = findings.found.iter();
    let errors = found.filter(|f| f.severity == message::Severity::Error);
    let mut exit = Exit::No;
    for said in errors.filter_map(|f| f.said.as_deref()) {
        exit = ended(said, program);
        if said.starts_with(program) {
            eprintln!("{said}");
        } else {
            eprintln!("{program}: {said}");
        }
    }
    draw(&findings.found, &findings.text, "command line");
    exit
}

/// The exit code of the real programs that goes with their words: 1 for what the rules do not allow, 2 for what is no
/// command, 3 for a table that the kernel does not have, 4 for what nf_tables refuses (iptables `enum xtables_exittype`).
fn ended(said: &str, program: &str) -> Exit {
    let by_nft = ["_DEL", "_APPEND", "_INSERT", "_REPLACE"].map(|what| format!("{what} failed ("));
    if said.starts_with(&format!("{program}: ")) {
        Exit::No
    } else if said.starts_with("can't initialize ")
        || said.starts_with("table '") && said.ends_with("' does not exist")
    {
        Exit::As(3)
    } else if by_nft.iter().any(|what| said.contains(what)) {
        Exit::As(4)
    } else {
        Exit::BadInput
    }
}

fn name(family: Family) -> &'static str {
    match family {
        Family::V4 => "iptables",
        Family::V6 => "ip6tables",
    }
}

fn tables(place: Place<'_>, words: &[String], options: &Options) -> Result<Exit> {
    let path = match place {
        Place::File(path) => path,
        Place::Running(socket) => return running_tables(socket, words, options),
    };
    let Some(ruleset) = read(path, options)? else {
        return Ok(Exit::BadInput);
    };
    let before = ruleset.clone();
    let called = call(ruleset, words, options);
    std::io::stdout().write_all(called.output.as_bytes())?;
    if !called.done {
        let findings = Findings {
            found: called.diagnostics.iter().map(Finding::from).collect(),
            text: called.text,
            ..Findings::default()
        };
        return Ok(refused(&findings, name(options.family)));
    }
    if called.ruleset != before {
        write(path, &called.ruleset, options.tools)?;
    }
    Ok(Exit::Yes)
}

/// `iptables` on a running palisade.
fn running_tables(socket: &Path, words: &[String], options: &Options) -> Result<Exit> {
    let request = Request::Tables {
        family: options.family.into(),
        language: options.tools.into(),
        words: words.to_vec(),
        safety: control::safety_of_environment()?,
    };
    let mut findings = Findings::default();
    let mut out = std::io::stdout().lock();
    let exit = control::asked(socket, &request, |answer| {
        match answer {
            Answer::Text(text) => out.write_all(text.as_bytes())?,
            Answer::Findings(more) => control::gather(&mut findings, more),
            _ => {}
        }
        Ok(())
    })?;
    match exit {
        Exit::No if !findings.found.is_empty() => Ok(refused(&findings, name(options.family))),
        exit => Ok(exit),
    }
}

/// Options by letter with their values, and the words that are none.
type Given<'a> = (Vec<(char, &'a str)>, Vec<&'a str>);

/// What an option takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Takes {
    Nothing,
    Value,
    /// A number, if one follows.
    Number,
}

/// The options of `iptables-save` or `iptables-restore`: `known` has their short and long names, and what they take.
fn options_of<'a>(words: &'a [String], known: &[(&str, &str, Takes)]) -> Result<Given<'a>> {
    let (mut found, mut rest) = (Vec::new(), Vec::new());
    let mut words = words.iter().map(String::as_str).peekable();
    while let Some(word) = words.next() {
        if !word.starts_with('-') || word == "-" {
            rest.push(word);
            continue;
        }
        let (option, joined) = match word.split_once('=') {
            Some((option, value)) => (option, Some(value)),
            None => (word, None),
        };
        let row = known
            .iter()
            .find(|(short, long, _)| option == *short || option == *long);
        let Some((short, _, takes)) = row else {
            bail!("unknown option '{word}'");
        };
        let value = match (takes, joined) {
            (Takes::Nothing, _) => "",
            (_, Some(value)) => value,
            (Takes::Value, None) => match words.next() {
                Some(value) => value,
                None => bail!("option '{word}' needs a value"),
            },
            (Takes::Number, None) => words
                .next_if(|next| next.bytes().all(|b| b.is_ascii_digit()))
                .unwrap_or(""),
        };
        found.push((short.chars().nth(1).unwrap_or('-'), value));
    }
    Ok((found, rest))
}

fn table(name: &str) -> Result<TableKind> {
    TableKind::by_name(name).with_context(|| format!("there is no table '{name}'"))
}

fn save(place: Place<'_>, words: &[String], options: &Options) -> Result<Exit> {
    let known = [
        ("-c", "--counters", Takes::Nothing),
        ("-t", "--table", Takes::Value),
        ("-M", "--modprobe", Takes::Value),
        ("-f", "--file", Takes::Value),
    ];
    let (given, rest) = options_of(words, &known)?;
    if let Some(word) = rest.first() {
        bail!("'{word}' belongs to no option");
    }
    let (mut counters, mut only, mut to) = (false, None, None);
    for (option, value) in given {
        match option {
            'c' => counters = true,
            't' => only = Some(table(value)?),
            'f' => to = Some(value),
            _ => {}
        }
    }
    let text = match place {
        Place::File(path) => {
            let Some(mut ruleset) = read(path, options)? else {
                return Ok(Exit::BadInput);
            };
            ruleset
                .tables
                .retain(|t| only.is_none_or(|kind| t.kind == kind));
            print::save_as(&ruleset, counters, options.tools)
        }
        Place::Running(socket) => {
            let request = Request::Rules {
                family: options.family.into(),
                language: options.tools.into(),
                counters,
                table: only.map(|kind| kind.name().to_string()),
            };
            match control::text(socket, &request)? {
                (Exit::Yes, text) => text,
                (exit, _) => return Ok(exit),
            }
        }
    };
    match to {
        None => std::io::stdout().lock().write_all(text.as_bytes())?,
        Some(file) => {
            std::fs::write(file, text).with_context(|| format!("cannot write {file}"))?;
        }
    }
    Ok(Exit::Yes)
}

fn restored(place: Place<'_>, words: &[String], mut options: Options) -> Result<Exit> {
    let known = [
        ("-c", "--counters", Takes::Nothing),
        ("-n", "--noflush", Takes::Nothing),
        ("-t", "--test", Takes::Nothing),
        ("-v", "--verbose", Takes::Nothing),
        ("-w", "--wait", Takes::Number),
        ("-W", "--wait-interval", Takes::Value),
        ("-T", "--table", Takes::Value),
        ("-M", "--modprobe", Takes::Value),
    ];
    let (given, rest) = options_of(words, &known)?;
    let has = |letter| given.iter().any(|(o, _)| *o == letter);
    let only = given.iter().find(|(o, _)| *o == 'T');
    let only = only.map(|(_, name)| table(name)).transpose()?;
    let (text, source) = match rest.as_slice() {
        [] | ["-"] => {
            let mut bytes = Vec::new();
            std::io::stdin().read_to_end(&mut bytes)?;
            (bytes, "standard input".to_string())
        }
        [file] => {
            let bytes = std::fs::read(file).with_context(|| format!("cannot read {file}"))?;
            (bytes, (*file).to_string())
        }
        [_, more, ..] => bail!("'{more}' is one file too many"),
    };
    let text = String::from_utf8_lossy(&text).into_owned();
    let path = match place {
        Place::File(path) => path,
        Place::Running(socket) => {
            let request = Request::Restore {
                family: options.family.into(),
                language: options.tools.into(),
                text,
                how: Restoring {
                    noflush: has('n'),
                    counters: has('c'),
                    test: has('t'),
                    table: only.map(|kind| kind.name().to_string()),
                },
                safety: control::safety_of_environment()?,
            };
            return running_restore(socket, &request, &source);
        }
    };
    let Some(ruleset) = read(path, &options)? else {
        return Ok(Exit::BadInput);
    };
    options.noflush = has('n');
    options.counters = has('c');
    let called = restore(ruleset, &text, only, &options);
    if !called.done {
        let findings = Findings {
            found: called.diagnostics.iter().map(Finding::from).collect(),
            text,
            ..Findings::default()
        };
        return Ok(not_restored(&findings, &source));
    }
    if !has('t') {
        write(path, &called.ruleset, options.tools)?;
    }
    Ok(Exit::Yes)
}

/// `iptables-restore` on a running palisade.
fn running_restore(socket: &Path, request: &Request, source: &str) -> Result<Exit> {
    let mut findings = Findings::default();
    let exit = control::asked(socket, request, |answer| {
        if let Answer::Findings(more) = answer {
            control::gather(&mut findings, more);
        }
        Ok(())
    })?;
    if let Request::Restore { text, .. } = request {
        findings.text.clone_from(text);
    }
    match exit {
        Exit::No if !findings.found.is_empty() => Ok(not_restored(&findings, source)),
        exit => Ok(exit),
    }
}

/// What a refused text says; its exit code is 1 for what the kernel refuses and for a table that is not committed.
fn not_restored(findings: &Findings, source: &str) -> Exit {
    let mut exit = Exit::BadInput;
    for said in findings.found.iter().filter_map(|f| f.said.as_deref()) {
        eprintln!("{said}");
        let first = said.split(": ").last().unwrap_or(said);
        if first.starts_with("COMMIT expected")
            || first.starts_with("line ") && first.contains(" failed")
        {
            exit = Exit::No;
        }
    }
    draw(&findings.found, &findings.text, source);
    exit
}
