//! What people type wrong, and what they meant.

use palisade_wire::{Family, proto};

use super::Parser;
use super::removed;
use crate::catalogue::{self, Extension};
use crate::diagnostic::{Diagnostic, nearest};
use crate::lex::Word;
use crate::model::Hook;
use crate::names;
use crate::value::Bad;

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
    if let Some(before) = at.checked_sub(1).and_then(|b| words.get(b))
        && before.text.ends_with(',')
    {
        let list = format!("{}{}", before.text, word.text);
        return parser
            .error(
                "stray-word",
                (before.start, word.end),
                "a space stands inside a list",
            )
            .help(list.clone())
            .replace(before.start, word.end, list);
    }
    parser.error(
        "stray-word",
        span,
        format!("'{}' belongs to no option", word.text),
    )
}

/// Dashes of typesetting, which word processors and web pages put in place of `-` and `--`.
const LONG_DASHES: [char; 4] = ['–', '—', '―', '−'];

/// Whether a word begins with a dash of typesetting.
pub(crate) fn is_long_dash(text: &str) -> bool {
    text.starts_with(LONG_DASHES)
}

/// `–dport`: an option behind a dash of typesetting.
pub(crate) fn long_dash(parser: &Parser<'_>, word: &Word) -> Option<Diagnostic> {
    if !is_long_dash(&word.text) {
        return None;
    }
    let name = word.text.trim_start_matches(LONG_DASHES);
    let dashes = if name.chars().count() > 1 { "--" } else { "-" };
    let typed = format!("{dashes}{name}");
    Some(
        parser
            .error(
                "long-dash",
                (word.start, word.end),
                format!(
                    "a long dash stands before '{name}', pasted from a page that turns -- into one"
                ),
            )
            .help(typed.clone())
            .replace(word.start, word.end, typed),
    )
}

/// `“several words”`: quotes of typesetting hold nothing together. Each such phrase is reported; the words come
/// back with the phrases as one word each.
pub(crate) fn typographic_quotes(parser: &mut Parser<'_>, words: &[Word]) -> Option<Vec<Word>> {
    const OPENING: [char; 5] = ['“', '„', '”', '‘', '’'];
    const CLOSING: [char; 3] = ['”', '“', '’'];
    let opens = |w: &Word| w.text.starts_with(OPENING) && !w.text.contains(char::is_whitespace);
    if !words.iter().any(opens) {
        return None;
    }
    let mut mended = Vec::with_capacity(words.len());
    let mut found = false;
    let mut at = 0;
    while let Some(word) = words.get(at) {
        let last = (opens(word) && !word.text.ends_with(CLOSING))
            .then(|| {
                words[at + 1..]
                    .iter()
                    .position(|w| w.text.ends_with(CLOSING))
            })
            .flatten();
        let Some(last) = last.map(|n| at + 1 + n) else {
            mended.push(word.clone());
            at += 1;
            continue;
        };
        let phrase = words[at..=last]
            .iter()
            .map(|w| w.text.as_str())
            .collect::<Vec<_>>()
            .join(" ");
        let text = phrase
            .trim_start_matches(OPENING)
            .trim_end_matches(CLOSING)
            .to_string();
        let span = (word.start, words[last].end);
        let quoted = format!("\"{text}\"");
        let error = parser
            .error(
                "typographic-quotes",
                span,
                "typographic quotes do not hold words together",
            )
            .help(quoted.clone())
            .replace(span.0, span.1, quoted);
        // The real program stops at the second word of the phrase, which belongs to no option.
        let error = match (found, words.get(at + 1)) {
            (false, Some(next)) => error.said(format!("Bad argument `{}'", next.text)),
            _ => error,
        };
        parser.report(error);
        found = true;
        mended.push(Word {
            text,
            start: span.0,
            end: span.1,
        });
        at = last + 1;
    }
    found.then_some(mended)
}

/// An option at the end of the line that wants a value; `known` is what its extension calls the value.
pub(crate) fn missing_value(
    parser: &Parser<'_>,
    option: &Word,
    known: Option<&'static str>,
) -> Diagnostic {
    let diagnostic = parser.error(
        "missing-value",
        (option.start, option.end),
        format!("option '{}' needs a value", option.text),
    );
    let what = match option.text.as_str() {
        "-j" | "--jump" => "a target (ACCEPT, DROP, REJECT, LOG …) or a chain",
        "-g" | "--goto" => "a chain",
        "-m" | "--match" => "the name of a match, such as conntrack",
        "-p" | "--protocol" => "a protocol, such as tcp",
        "-s" | "-d" | "--source" | "--destination" => "an address, such as 192.0.2.0/24",
        "-i" | "-o" | "--in-interface" | "--out-interface" => "an interface, such as eth0",
        "-t" | "--table" => "filter, nat, mangle, raw or security",
        "-A" | "-I" | "-D" | "-R" | "-N" | "-P" | "-C" => "a chain, such as INPUT",
        _ => match known.filter(|k| !k.is_empty()) {
            Some(value) => return diagnostic.help(format!("{} {value}", option.text)),
            None => return diagnostic,
        },
    };
    diagnostic.help(what)
}

/// `-p` with a name that is no protocol, and the number of what was meant.
pub(crate) fn unknown_protocol(
    parser: &Parser<'_>,
    word: &Word,
    bad: Bad,
) -> (Diagnostic, Option<u8>) {
    let mut diagnostic = parser.error("bad-value", (word.start, word.end), bad.message);
    diagnostic.said = bad.said.map(String::from);
    diagnostic.help = bad.help;
    let usual = [
        "tcp",
        "udp",
        "icmp",
        "ipv6-icmp",
        "icmpv6",
        "sctp",
        "esp",
        "ah",
        "gre",
        "all",
    ];
    let near = nearest(&word.text.to_ascii_lowercase(), usual);
    if let Some(near) = near {
        diagnostic = diagnostic.help(near).replace(word.start, word.end, near);
    }
    (diagnostic, near.and_then(crate::names::protocol_number))
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
    (protocol, family): (Option<u8>, Family),
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
        "state" if known.contains(&"ctstate") => {
            return error(
                "'--state' is an option of the match state; conntrack calls it --ctstate"
                    .to_string(),
            )
            .help("--ctstate")
            .replace(word.start, word.end, "--ctstate");
        }
        "icmp-type" if family == Family::V6 => {
            return error("'--icmp-type' is for IPv4; IPv6 has ICMP of its own".to_string())
                .help("-p ipv6-icmp --icmpv6-type");
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
