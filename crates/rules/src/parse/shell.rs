//! Scripts: plain `iptables` and `ip6tables` lines, everything else named and passed over.

use palisade_wire::Family;

use super::command::{Place, apply};
use super::{Parser, rule};
use crate::diagnostic::{Severity, nearest};
use crate::lex::{Before, ShellLine, Word, shell_words};
use crate::model::TableKind;

/// Words that begin what is no plain command.
const SHELL_WORDS: [&str; 8] = [
    "if", "elif", "for", "while", "until", "case", "function", "select",
];

/// Reads a whole script.
pub(crate) fn parse(parser: &mut Parser<'_>, text: &str) {
    let mut at = 0;
    while at < text.len() {
        let end = logical_end(text, at);
        line(parser, &text[at..end], at);
        at = end;
    }
}

/// End of the line that starts at `at`, with lines that a backslash continues.
fn logical_end(text: &str, at: usize) -> usize {
    let mut end = at;
    loop {
        let next = text[end..].find('\n').map_or(text.len(), |n| end + n + 1);
        let body = text[at..next].trim_end_matches(['\n', '\r']);
        let backslashes = body.bytes().rev().take_while(|b| *b == b'\\').count();
        end = next;
        let comment = text[at..next].trim_start().starts_with('#');
        if backslashes.is_multiple_of(2) || next == text.len() || comment {
            return end;
        }
    }
}

fn line(parser: &mut Parser<'_>, text: &str, base: usize) {
    match shell_words(text, base) {
        ShellLine::NotPlain { start, end, what } => {
            // Only a line that concerns the rules is worth a word.
            if text.contains("tables") {
                let error = parser
                    .error(
                        "not-plain",
                        (start, end),
                        format!("not a plain command: {what}"),
                    )
                    .help("write the command out, or give the output of iptables-save");
                parser.report(error);
            }
        }
        ShellLine::Commands(commands) => {
            // Status of the list so far, as a shell keeps it.
            let mut succeeded = true;
            for (at, (before, words)) in commands.iter().enumerate() {
                let runs = match before {
                    Before::Nothing => true,
                    Before::And => succeeded,
                    Before::Or => !succeeded,
                };
                if !runs {
                    continue;
                }
                let reported = parser.diagnostics.len();
                succeeded = command(parser, words);
                // `-C RULE || -A RULE`: the failure is an answer.
                if matches!(commands.get(at + 1), Some((Before::Or, _))) {
                    forgive(parser, reported);
                }
            }
        }
    }
}

/// Takes back what was said about the state of the tables, where the script is prepared for it.
fn forgive(parser: &mut Parser<'_>, reported: usize) {
    let state = ["no-rule", "no-chain", "chain-exists", "chain-in-use"];
    let mut at = 0;
    parser.diagnostics.retain(|d| {
        at += 1;
        at <= reported || !state.contains(&d.code)
    });
}

/// Runs a command; whether it succeeds, as far as that is known.
fn command(parser: &mut Parser<'_>, words: &[Word]) -> bool {
    let mut words = words;
    // Environment assignments and sudo before the command.
    while let Some(first) = words.first() {
        let assignment = first.text.split_once('=').is_some_and(|(name, _)| {
            !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        });
        let sudo = matches!(
            first.text.as_str(),
            "sudo"
                | "doas"
                | "exec"
                | "env"
                | "command"
                | "nohup"
                | "time"
                | "$"
                | "then"
                | "do"
                | "else"
        );
        if !assignment && !sudo {
            break;
        }
        words = &words[1..];
        // `sudo -n`, `env -i`.
        while sudo && words.len() > 1 && words[0].text.starts_with('-') {
            words = &words[1..];
        }
    }
    let Some(name) = words.first() else {
        return true;
    };
    let program = name.text.rsplit('/').next().unwrap_or(&name.text);
    let family = match program {
        "iptables" | "iptables-legacy" | "iptables-nft" => Some(Family::V4),
        "ip6tables" | "ip6tables-legacy" | "ip6tables-nft" => Some(Family::V6),
        _ => None,
    };
    if let Some(family) = family {
        return run(parser, &words[1..], name, family);
    }
    // Bare rules, as people quote them.
    if name.text.starts_with('-')
        && name.text.len() > 1
        && name.text.is_char_boundary(2)
        && "AIDRCFZNXEPLSt".contains(&name.text[1..2])
    {
        return run(parser, words, name, Family::V4);
    }
    let span = (name.start, name.end);
    // What closes a compound command was told where it opened.
    if matches!(
        program,
        "then" | "else" | "fi" | "do" | "done" | "esac" | "{" | "}" | ";;"
    ) {
        return true;
    }
    match program {
        "false" => return false,
        "true" | ":" => {}
        "modprobe" | "insmod" => modprobe(parser, words),
        p if SHELL_WORDS.contains(&p) => {
            let note = parser
                .lines
                .diagnostic(Severity::Warning, "not-plain", span, format!("not a plain command: '{p}' is passed over, what it governs is read as if it always ran"));
            parser.report(note);
        }
        p if p.ends_with("tables-restore") || p.ends_with("tables-save") => {
            let note = parser
                .lines
                .diagnostic(
                    Severity::Warning,
                    "not-plain",
                    span,
                    format!("'{p}' in a script is not followed"),
                )
                .help("give the save file itself");
            parser.report(note);
        }
        p if nearest(p, ["iptables", "ip6tables"]).is_some() && p != "ip" => {
            let near = nearest(p, ["iptables", "ip6tables"]).unwrap_or("iptables");
            let error = parser
                .error("unknown-command", span, format!("unknown command '{p}'"))
                .help(near)
                .replace(name.start, name.end, near);
            parser.report(error);
        }
        p => {
            let note = parser.lines.diagnostic(
                Severity::Note,
                "other-command",
                span,
                format!("'{p}' is no iptables command and is passed over"),
            );
            parser.report(note);
        }
    }
    true
}

fn run(parser: &mut Parser<'_>, words: &[Word], name: &Word, family: Family) -> bool {
    let place = Place {
        family,
        kind: TableKind::Filter,
        restore: false,
    };
    if words.is_empty() {
        let error = parser
            .error(
                "no-command",
                (name.start, name.end),
                "no command in this line",
            )
            .help("-A CHAIN, -I CHAIN, -P CHAIN …")
            .said("no command specified");
        parser.report(error);
        return false;
    }
    match rule::read(parser, words, place, None) {
        Ok(Some(command)) => {
            let place = Place {
                kind: command.kind,
                ..place
            };
            apply(parser, &command, place, None)
        }
        Ok(None) => true,
        Err(rule::Refused) => false,
    }
}

/// `modprobe ip_conntrack_ftp` used to be enough for RELATED; it is not any more.
fn modprobe(parser: &mut Parser<'_>, words: &[Word]) {
    for word in words.iter().skip(1) {
        let Some(helper) = ["nf_conntrack_", "ip_conntrack_", "nf_nat_", "ip_nat_"]
            .iter()
            .find_map(|p| word.text.strip_prefix(p))
        else {
            continue;
        };
        let (protocol, port) = match helper {
            "ftp" => ("tcp", 21),
            "tftp" => ("udp", 69),
            "irc" => ("tcp", 6667),
            "sip" => ("udp", 5060),
            "amanda" => ("udp", 10080),
            "pptp" => ("tcp", 1723),
            _ => continue,
        };
        let fix = format!(
            "iptables -t raw -A PREROUTING -p {protocol} --dport {port} -j CT --helper {helper}"
        );
        let warning = parser
            .lines
            .diagnostic(
                Severity::Warning,
                "helper-not-assigned",
                (word.start, word.end),
                format!("loading '{}' assigns the {helper} helper to no connection", word.text),
            )
            .help(format!("helpers are assigned explicitly today: {fix} (and OUTPUT for connections of this host)"));
        let end = words.last().map_or(word.end, |w| w.end);
        parser.report(Diagnostic::replace(warning, words[0].start, end, fix));
    }
}

use crate::diagnostic::Diagnostic;
