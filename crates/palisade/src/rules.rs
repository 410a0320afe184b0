//! `palisade fmt`, and the reading of rules for all commands.

use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};
use palisade_rules::{Comments, Family, Parsed, Ruleset, Severity, Tools, parse, print};

use crate::Exit;
use crate::args::{FmtArguments, ToolsArgument};
use crate::diagnostics;
use crate::output::Paint;

/// A rules file with what was found in it.
pub struct RulesFile {
    /// Its text.
    pub text: String,
    /// Its meaning.
    pub parsed: Parsed,
}

/// Reads rules; bytes that are no UTF-8 are replaced.
pub fn read(path: &Path, family: Family) -> Result<RulesFile> {
    let options = parse::Options {
        family,
        ..parse::Options::default()
    };
    read_as(path, &options)
}

/// Reads a rules file as one of the tools does.
fn read_as(path: &Path, options: &parse::Options) -> Result<RulesFile> {
    let text = text(path)?;
    let parsed = parse::auto_as(&text, options);
    Ok(RulesFile { text, parsed })
}

/// Reads a text; bytes that are no UTF-8 are replaced.
pub fn text(path: &Path) -> Result<String> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Draws findings of at least a severity to standard error.
pub fn tell(file: &RulesFile, path: &Path, least: Severity, paint: Paint) {
    for d in file
        .parsed
        .diagnostics
        .iter()
        .filter(|d| d.severity >= least)
    {
        eprintln!(
            "{}",
            diagnostics::draw(d, &file.text, &path.display().to_string(), paint)
        );
    }
}

/// The family that `-6` says.
pub fn family(v6: bool) -> Family {
    if v6 { Family::V6 } else { Family::V4 }
}

/// `palisade fmt`.
pub fn fmt(arguments: &FmtArguments) -> Result<Exit> {
    let tools = match arguments.tools {
        ToolsArgument::Legacy => Tools::Legacy,
        ToolsArgument::Nft => Tools::Nft,
    };
    let options = parse::Options {
        family: family(arguments.v6),
        tools,
        counters: arguments.counters,
        resolve: arguments.resolve.then_some(look_up as parse::Resolve),
        ..parse::Options::default()
    };
    let file = read_as(&arguments.file, &options)?;
    if file.parsed.has_errors() {
        tell(
            &file,
            &arguments.file,
            Severity::Error,
            Paint::stderr(arguments.color),
        );
        return Ok(Exit::BadInput);
    }
    let rulesets: Vec<&Ruleset> = [&file.parsed.v4, &file.parsed.v6]
        .into_iter()
        .flatten()
        .collect();
    let mut comments = match arguments.keep_comments {
        true => Comments::of(&file.text, &rulesets),
        false => Comments::default(),
    };
    let mut text = String::new();
    for ruleset in &rulesets {
        // Two saves in one text: say which is whose.
        if rulesets.len() > 1 {
            text.push_str(match ruleset.family {
                Family::V4 => "# iptables\n",
                Family::V6 => "# ip6tables\n",
            });
        }
        text.push_str(&print::save_with(
            ruleset,
            arguments.counters,
            tools,
            &mut comments,
        ));
    }
    comments.end(&mut text);
    std::io::stdout().lock().write_all(text.as_bytes())?;
    Ok(Exit::Yes)
}

/// The addresses of a host name, each once, as the system's resolver has them.
fn look_up(host: &str, family: Family) -> Vec<std::net::IpAddr> {
    use std::net::ToSocketAddrs;
    let found = (host, 0).to_socket_addrs().into_iter().flatten();
    let mut addresses: Vec<std::net::IpAddr> = Vec::new();
    for address in found.map(|a| a.ip()) {
        if address.is_ipv4() == (family == Family::V4) && !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    addresses
}
