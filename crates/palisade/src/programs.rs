//! `palisade iptables`, `iptables-save`, `iptables-restore` and their siblings for IPv6: the commands people know,
//! given to a file of rules.
//!
//! The file is what `iptables-save` writes. A command that changes rules writes it anew, whole or not at all.

use std::ffi::OsString;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use palisade_rules::parse::session::{Called, call, restore};
use palisade_rules::parse::{self, Options};
use palisade_rules::{Diagnostic, Family, Ruleset, Severity, TableKind, Tools, print};

use crate::Exit;
use crate::args::ProgramArguments;
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

/// Runs one of the programs on a file of rules.
pub fn run(arguments: &ProgramArguments, program: Program, family: Family) -> Result<Exit> {
    let Some(path) = &arguments.rules else {
        bail!(
            "no palisade is running here; name a file of rules: palisade … --rules FILE …, or \
             PALISADE_RULES=FILE"
        );
    };
    let options = Options {
        family,
        tools: arguments.tools(),
        ..Options::default()
    };
    match program {
        Program::Tables => tables(path, &arguments.words, &options),
        Program::Save => save(path, &arguments.words, &options),
        Program::Restore => restored(path, &arguments.words, options),
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

/// Writes the rules in place of a file, by a file beside it that takes its name.
fn write(path: &Path, ruleset: &Ruleset, tools: Tools) -> Result<()> {
    let failed = || format!("cannot write {}", path.display());
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_path_buf(),
        _ => PathBuf::from("."),
    };
    let mut file = tempfile::NamedTempFile::new_in(folder).with_context(failed)?;
    file.write_all(print::save_as(ruleset, true, tools).as_bytes())
        .with_context(failed)?;
    file.as_file().sync_all().with_context(failed)?;
    if let Ok(old) = std::fs::metadata(path) {
        std::fs::set_permissions(file.path(), old.permissions()).with_context(failed)?;
    }
    file.persist(path).with_context(failed)?;
    Ok(())
}

fn tell(found: &[Diagnostic], text: &str, name: &str) {
    let paint = Paint::stderr(crate::args::Color::Auto);
    for d in found.iter().filter(|d| d.severity == Severity::Error) {
        eprintln!("{}", diagnostics::draw(d, text, name, paint));
    }
}

/// What a refused command says: the real program's words where they are known, then where and why. Its exit
/// code is 1 for what the rules do not allow, 2 for what is no command.
fn refused(called: &Called, program: &str) -> Exit {
    let errors = || {
        called
            .diagnostics
            .iter()
            .filter(|d| d.severity == Severity::Error)
    };
    let mut code = Exit::No;
    for said in errors().filter_map(|d| d.said.as_deref()) {
        if said.starts_with(program) {
            eprintln!("{said}");
        } else {
            code = Exit::BadInput;
            eprintln!("{program}: {said}");
        }
    }
    tell(&called.diagnostics, &called.text, "command line");
    code
}

fn name(family: Family) -> &'static str {
    match family {
        Family::V4 => "iptables",
        Family::V6 => "ip6tables",
    }
}

fn tables(path: &Path, words: &[String], options: &Options) -> Result<Exit> {
    let Some(ruleset) = read(path, options)? else {
        return Ok(Exit::BadInput);
    };
    let before = ruleset.clone();
    let called = call(ruleset, words, options);
    std::io::stdout().write_all(called.output.as_bytes())?;
    if !called.done {
        return Ok(refused(&called, name(options.family)));
    }
    if called.ruleset != before {
        write(path, &called.ruleset, options.tools)?;
    }
    Ok(Exit::Yes)
}

/// Options by letter with their values, and the words that are none.
type Given<'a> = (Vec<(char, &'a str)>, Vec<&'a str>);

/// The options of `iptables-save` or `iptables-restore`: `known` has their short and long names, and whether they
/// take a value.
fn options_of<'a>(words: &'a [String], known: &[(&str, &str, bool)]) -> Result<Given<'a>> {
    let (mut found, mut rest) = (Vec::new(), Vec::new());
    let mut words = words.iter().map(String::as_str);
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
        let Some((short, _, valued)) = row else {
            bail!("unknown option '{word}'");
        };
        let value = match (valued, joined) {
            (false, _) => "",
            (true, Some(value)) => value,
            (true, None) => match words.next() {
                Some(value) => value,
                None => bail!("option '{word}' needs a value"),
            },
        };
        found.push((short.chars().nth(1).unwrap_or('-'), value));
    }
    Ok((found, rest))
}

fn table(name: &str) -> Result<TableKind> {
    TableKind::by_name(name).with_context(|| format!("there is no table '{name}'"))
}

fn save(path: &Path, words: &[String], options: &Options) -> Result<Exit> {
    let known = [
        ("-c", "--counters", false),
        ("-t", "--table", true),
        ("-M", "--modprobe", true),
        ("-f", "--file", true),
    ];
    let (given, rest) = options_of(words, &known)?;
    if let Some(word) = rest.first() {
        bail!("'{word}' belongs to no option");
    }
    let Some(mut ruleset) = read(path, options)? else {
        return Ok(Exit::BadInput);
    };
    let mut counters = false;
    let mut out: Box<dyn Write> = Box::new(std::io::stdout().lock());
    for (option, value) in given {
        match option {
            'c' => counters = true,
            't' => {
                let kind = table(value)?;
                ruleset.tables.retain(|t| t.kind == kind);
            }
            'f' => {
                let file = std::fs::File::create(value);
                out = Box::new(file.with_context(|| format!("cannot write {value}"))?);
            }
            _ => {}
        }
    }
    out.write_all(print::save_as(&ruleset, counters, options.tools).as_bytes())?;
    Ok(Exit::Yes)
}

fn restored(path: &Path, words: &[String], mut options: Options) -> Result<Exit> {
    let known = [
        ("-c", "--counters", false),
        ("-n", "--noflush", false),
        ("-t", "--test", false),
        ("-v", "--verbose", false),
        ("-w", "--wait", false),
        ("-W", "--wait-interval", true),
        ("-T", "--table", true),
        ("-M", "--modprobe", true),
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
    let Some(ruleset) = read(path, &options)? else {
        return Ok(Exit::BadInput);
    };
    options.noflush = has('n');
    options.counters = has('c');
    let called = restore(ruleset, &text, only, &options);
    if !called.done {
        for said in called.diagnostics.iter().filter_map(|d| d.said.as_deref()) {
            eprintln!("{said}");
        }
        tell(&called.diagnostics, &called.text, &source);
        return Ok(Exit::BadInput);
    }
    if !has('t') {
        write(path, &called.ruleset, options.tools)?;
    }
    Ok(Exit::Yes)
}
