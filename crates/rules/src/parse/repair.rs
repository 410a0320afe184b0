//! What people type wrong, and what they meant.

use palisade_wire::{Family, proto};

use super::Parser;
use super::removed;
use crate::catalogue::{self, Extension};
use crate::diagnostic::{Diagnostic, nearest};
use crate::lex::Word;
use crate::model::Hook;
use crate::names;

const BUILTIN: [Hook; 5] = [
    Hook::Prerouting,
    Hook::Input,
    Hook::Forward,
    Hook::Output,
    Hook::Postrouting,
];

/// The built-in chain that a word spells in another case.
pub(crate) fn builtin_in_other_case(name: &str) -> Option<&'static str> {
    BUILTIN
        .iter()
        .map(|h| h.name())
        .find(|b| b.eq_ignore_ascii_case(name))
}

/// `-dport 22` and `-sport 22`: one dash short.
pub(crate) fn one_dash(parser: &Parser<'_>, word: &Word) -> Option<Diagnostic> {
    let name = match word.text.as_str() {
        "-dport" | "-sport" | "-dports" | "-sports" => &word.text[1..],
        _ => return None,
    };
    let letter = &name[..1];
    Some(
        parser
            .error(
                "one-dash",
                (word.start, word.end),
                format!(
                    "with one dash, '{}' is read as '-{letter} {}'",
                    word.text,
                    &name[1..]
                ),
            )
            .help(format!("--{name}"))
            .replace(word.start, word.end, format!("--{name}")),
    )
}

/// A second command in one line; `-DROP` and `-ACCEPT` are targets without their `-j`.
pub(crate) fn second_verb(parser: &Parser<'_>, word: &Word) -> Diagnostic {
    let span = (word.start, word.end);
    match word.text.as_str() {
        "-DROP" => parser
            .error("two-commands", span, "'-DROP' is read as '-D ROP', a second command")
            .help("-j DROP to drop what the rule matches, or -P INPUT DROP for the chain's policy")
            .replace(word.start, word.end, "-j DROP"),
        "-ACCEPT" => parser
            .error("two-commands", span, "'-ACCEPT' is read as '-A CCEPT', a second command")
            .help("-j ACCEPT to accept what the rule matches, or -P INPUT ACCEPT for the chain's policy")
            .replace(word.start, word.end, "-j ACCEPT"),
        "-REJECT" => parser
            .error("two-commands", span, "'-REJECT' is read as '-R EJECT', a second command")
            .help("-j REJECT")
            .replace(word.start, word.end, "-j REJECT"),
        text => parser
            .error("two-commands", span, format!("'{text}' is a second command in one line"))
            .help("one command a line"),
    }
}

/// A word that is no option and no value.
pub(crate) fn stray(parser: &Parser<'_>, words: &[Word], at: usize, has_verb: bool) -> Diagnostic {
    let word = &words[at];
    let span = (word.start, word.end);
    if !has_verb && at == 0 {
        let chain = builtin_in_other_case(&word.text);
        if let Some(chain) = chain {
            return parser
                .error(
                    "no-command",
                    span,
                    format!("a chain without a command: '{}'", word.text),
                )
                .help(format!("-A {chain}"))
                .replace(word.start, word.end, format!("-A {chain}"));
        }
    }
    let mut diagnostic = parser.error(
        "stray-word",
        span,
        format!("'{}' belongs to no option", word.text),
    );
    if word.text.starts_with('–') || word.text.starts_with('—') {
        diagnostic = diagnostic.help("a long dash was pasted here; type -- instead");
    }
    diagnostic
}

fn is_state_list(text: &str) -> bool {
    text.split(',').all(|s| {
        ["NEW", "ESTABLISHED", "RELATED", "INVALID", "UNTRACKED"]
            .iter()
            .any(|n| n.eq_ignore_ascii_case(s))
    })
}

/// `-m state NEW --state`: a list of states right before the option that takes it.
pub(crate) fn value_first(parser: &Parser<'_>, value: &Word, option: &Word) -> Option<Diagnostic> {
    if !is_state_list(&value.text) || !matches!(option.text.as_str(), "--state" | "--ctstate") {
        return None;
    }
    let fixed = format!("{} {}", option.text, value.text);
    Some(
        parser
            .error(
                "value-before-option",
                (value.start, option.end),
                format!("the value '{}' stands before its option", value.text),
            )
            .help(if option.text == "--state" {
                format!("-m state {fixed}")
            } else {
                fixed.clone()
            })
            .replace(value.start, option.end, fixed),
    )
}

/// Protocols whose match has `--sport` and `--dport`.
fn has_ports(protocol: u8) -> bool {
    matches!(
        protocol,
        proto::TCP | proto::UDP | proto::SCTP | proto::DCCP
    )
}

/// A long option that nothing loaded knows.
pub(crate) fn unknown_option(
    parser: &Parser<'_>,
    word: &Word,
    name: &str,
    value: Option<&Word>,
    protocol: Option<u8>,
    known: &[&str],
) -> Diagnostic {
    let span = (word.start, word.end);
    let error = |message: String| parser.error("unknown-option", span, message);
    let value_text = value.map_or("", |v| v.text.as_str());
    match name {
        "dport" | "sport" | "destination-port" | "source-port" | "tcp-flags" | "syn"
            if protocol.is_none() =>
        {
            return parser
                .error(
                    "port-without-protocol",
                    span,
                    format!("'{}' needs a protocol", word.text),
                )
                .help(if matches!(name, "syn" | "tcp-flags") {
                    format!("-p tcp before {}", word.text)
                } else {
                    format!("-p tcp (or udp, sctp) before {}", word.text)
                })
                .replace(word.start, word.end, format!("-p tcp {}", word.text));
        }
        "dport" | "sport" | "destination-port" | "source-port"
            if !protocol.is_some_and(has_ports) =>
        {
            let protocol = protocol.unwrap_or_default();
            let message = format!(
                "'{}' is no option of protocol {}",
                word.text,
                names::protocol_name(protocol)
            );
            if protocol != proto::UDPLITE {
                return error(message);
            }
            let side = if name.starts_with('d') {
                "dports"
            } else {
                "sports"
            };
            return error(message)
                .help(format!("-m multiport --{side} {value_text}"))
                .replace(word.start, word.end, format!("-m multiport --{side}"));
        }
        "port" | "ports" => {
            return error(format!("'{}' is an option of multiport", word.text))
                .help(format!(
                    "--dport {value_text}, or -m multiport --ports {value_text}"
                ))
                .replace(word.start, word.end, "--dport");
        }
        "dports" | "sports" => {
            return error(format!("'{}' is an option of multiport", word.text))
                .help(format!("-m multiport --{name} {value_text}"))
                .replace(word.start, word.end, format!("-m multiport --{name}"));
        }
        _ => {}
    }
    if let Some(now) = removed::option_now(name) {
        return error(format!("'{}' is gone from its match", word.text)).help(now);
    }
    let owners: Vec<&Extension> = catalogue::MATCHES
        .iter()
        .filter(|e| e.option(name).is_some())
        .collect();
    let fits = |e: &&&Extension| protocol.is_some_and(|p| e.protocols.contains(&p));
    let owner = owners.iter().find(fits).or(owners.first()).map(|e| e.name);
    if let Some(owner) = owner {
        return error(format!("'{}' needs its match loaded first", word.text))
            .help(format!("-m {owner} {}", word.text))
            .replace(word.start, word.end, format!("-m {owner} {}", word.text));
    }
    let target = catalogue::TARGETS.iter().find(|e| e.option(name).is_some());
    if let Some(target) = target {
        return error(format!(
            "'{}' is an option of the target {}",
            word.text, target.name
        ))
        .help(format!("-j {} {}", target.name, word.text));
    }
    let diagnostic = error(format!("unknown option '{}'", word.text));
    match nearest(name, known.iter().copied()) {
        Some(near) => {
            diagnostic
                .help(format!("--{near}"))
                .replace(word.start, word.end, format!("--{near}"))
        }
        None => diagnostic,
    }
}

/// `-m` with a name that is no match.
pub(crate) fn unknown_match(parser: &Parser<'_>, name: &Word, family: Family) -> Diagnostic {
    let other = match family {
        Family::V4 => Family::V6,
        Family::V6 => Family::V4,
    };
    let diagnostic = parser.error(
        "unknown-match",
        (name.start, name.end),
        format!("unknown match '{}'", name.text),
    );
    if catalogue::find_match(&name.text, other).is_some() {
        return diagnostic.help(format!("'{}' is a match of {other} rules only", name.text));
    }
    if let Some(now) = removed::match_now(&name.text) {
        return diagnostic.help(format!("'{}' is gone; now {now}", name.text));
    }
    if name.text == "udplite" {
        // The kernel has it, and no version of the program can load it.
        return diagnostic
            .help("iptables has none of that name; -m multiport goes with -p udplite");
    }
    let names = catalogue::MATCHES
        .iter()
        .filter(|e| e.knows(family))
        .map(|e| e.name);
    match nearest(&name.text, names) {
        Some(near) => diagnostic.help(near).replace(name.start, name.end, near),
        None => diagnostic,
    }
}
