//! `palisade help match NAME`, `help target NAME`, `help matches`, `help targets`: what the catalogue says.

use std::fmt::Write;
use std::io::Write as _;

use anyhow::{Result, bail};
use clap::CommandFactory;
use palisade_rules::catalogue::{Evaluation, Families, MATCHES, Need, Opt, TARGETS};
use palisade_rules::{Extension, diagnostic, names};

use crate::Exit;
use crate::args::{Arguments, HelpArguments};

/// Width of a page.
const WIDTH: usize = 78;

/// Runs `palisade help`.
pub fn run(arguments: &HelpArguments) -> Result<Exit> {
    let words: Vec<&str> = arguments.words.iter().map(String::as_str).collect();
    let text = match words.as_slice() {
        [] => Arguments::command().render_long_help().to_string(),
        ["matches"] => list("matches", MATCHES),
        ["targets"] => list("targets", TARGETS),
        [kind @ ("match" | "target"), name] => match find(kind, name) {
            Ok(rows) => rows
                .iter()
                .map(|row| page(kind, row))
                .collect::<Vec<_>>()
                .join("\n"),
            Err(message) => bail!("{message}"),
        },
        [command] => {
            let mut commands = Arguments::command();
            commands.build();
            match commands.find_subcommand_mut(command) {
                Some(found) => found.render_long_help().to_string(),
                None => bail!("{}", unknown(command)),
            }
        }
        _ => bail!("help match NAME, help target NAME, help matches or help targets"),
    };
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(Exit::Yes)
}

/// What to say of a word that is no command: it may be an extension.
fn unknown(word: &str) -> String {
    for (kind, rows) in [("match", MATCHES), ("target", TARGETS)] {
        if rows.iter().any(|row| row.is_called(word)) {
            return format!("'{word}' is a {kind}: palisade help {kind} {word}");
        }
    }
    let commands = Arguments::command();
    match diagnostic::nearest(
        word,
        commands.get_subcommands().map(clap::Command::get_name),
    ) {
        Some(near) => format!("there is no command '{word}'; {near}?"),
        None => format!("there is no command '{word}'"),
    }
}

/// The rows of a name: one, or one a family.
fn find(kind: &str, name: &str) -> Result<Vec<&'static Extension>, String> {
    let (rows, others, other) = match kind {
        "match" => (MATCHES, TARGETS, "target"),
        _ => (TARGETS, MATCHES, "match"),
    };
    let found: Vec<_> = rows.iter().filter(|row| row.is_called(name)).collect();
    if !found.is_empty() {
        return Ok(found);
    }
    if others.iter().any(|row| row.is_called(name)) {
        return Err(format!(
            "'{name}' is a {other}: palisade help {other} {name}"
        ));
    }
    // Large and small letters make no other word.
    let same = rows.iter().find(|row| row.name.eq_ignore_ascii_case(name));
    let near = same
        .map(|row| row.name)
        .or_else(|| diagnostic::nearest(name, rows.iter().map(|row| row.name)));
    Err(match near {
        Some(near) => format!("there is no {kind} '{name}'; {near}?"),
        None => format!(
            "there is no {kind} '{name}'; palisade help {kind}{} lists them",
            if kind == "match" { "es" } else { "s" }
        ),
    })
}

/// All of a kind, a line each.
fn list(what: &str, rows: &[Extension]) -> String {
    let mut text = format!(
        "All {what}; palisade help {} NAME says more.\n\n",
        match what {
            "matches" => "match",
            _ => "target",
        }
    );
    let wide = rows.iter().map(|row| row.name.len()).max().unwrap_or(0);
    for row in rows {
        let mark = if row.evaluated() { " " } else { "-" };
        let _ = writeln!(
            text,
            " {mark} {:wide$}  {}{}",
            row.name,
            row.about,
            of_one(row)
        );
    }
    text + "\n - read and printed, but not evaluated\n"
}

/// ` (IPv6)`, if only one family knows it.
fn of_one(row: &Extension) -> &'static str {
    match row.families {
        Families::Both => "",
        Families::V4 => " (IPv4)",
        Families::V6 => " (IPv6)",
    }
}

/// All that there is to say of an extension.
fn page(kind: &str, row: &Extension) -> String {
    let letter = if kind == "match" { "m" } else { "j" };
    let mut text = format!("-{letter} {}{}\n\n", row.name, of_one(row));
    text += &wrapped(row.about, 2);
    if !row.aliases.is_empty() {
        let _ = writeln!(text, "  Also called {}.", row.aliases.join(", "));
    }
    if !row.options.is_empty() {
        text += "\nOptions\n";
        for option in row.options {
            text += &described(option);
        }
    }
    text += "\nWhere\n";
    for (what, value) in facts(row) {
        let _ = writeln!(text, "  {what:<10} {value}");
    }
    let _ = writeln!(text, "\nEvaluated\n  {}", evaluated(row));
    let _ = writeln!(text, "\nExample\n  {}", example(kind, row));
    text
}

/// How a row is evaluated, in words.
fn evaluated(row: &Extension) -> String {
    match row.evaluation {
        Evaluation::Full => "yes, as the kernel does".to_string(),
        Evaluation::Kept(reason) => format!("no: {reason}"),
    }
}

/// Families, tables, chains, protocols, and what it looks at.
fn facts(row: &Extension) -> Vec<(&'static str, String)> {
    let list = |items: Vec<String>, all: &str| match items.is_empty() {
        true => all.to_string(),
        false => items.join(", "),
    };
    let families = match row.families {
        Families::Both => "IPv4 and IPv6",
        Families::V4 => "IPv4",
        Families::V6 => "IPv6",
    };
    let tables = row.tables.iter().map(|t| t.name().to_string()).collect();
    let chains = row.hooks.iter().map(|h| h.name().to_string()).collect();
    let protocols = row
        .protocols
        .iter()
        .map(|p| names::protocol_name(*p))
        .collect();
    let needs = row.needs.iter().map(|n| need(*n).to_string()).collect();
    vec![
        ("family", families.to_string()),
        ("tables", list(tables, "all")),
        ("chains", list(chains, "all, and those called from there")),
        ("protocols", list(protocols, "any")),
        ("looks at", list(needs, "the rule alone")),
    ]
}

fn need(need: Need) -> &'static str {
    match need {
        Need::Network => "the IP header",
        Need::Transport => "the transport header",
        Need::Payload => "the payload",
        Need::Link => "the link layer's header",
        Need::Interfaces => "the interfaces",
        Need::Connection => "the connection",
        Need::Mark => "the packet's mark",
        Need::Memory => "what rules remember",
        Need::Clock => "the time",
        Need::Host => "this host's addresses and routes",
        Need::Sets => "sets",
        Need::Sockets => "this host's sockets and processes",
        Need::Chance => "chance",
    }
}

/// An option with its values, and what may be said of it.
fn described(option: &Opt) -> String {
    let bang = if option.invert { "[!] " } else { "" };
    let names: Vec<String> = option.names().map(|n| format!("--{n}")).collect();
    let value = match option.value {
        "" => String::new(),
        value => format!(" {value}"),
    };
    let mut text = format!("  {bang}{}{value}\n", names.join(", "));
    let mut says = option.help.to_string();
    let mut add = |words: String| {
        if !says.is_empty() {
            says += "; ";
        }
        says += &words;
    };
    if option.required {
        add("must be there".to_string());
    }
    if option.repeat {
        add("may be repeated".to_string());
    }
    let dashed = |names: &[&str]| -> String {
        let names: Vec<String> = names.iter().map(|n| format!("--{n}")).collect();
        names.join(", ")
    };
    if !option.requires.is_empty() {
        add(format!("with {}", dashed(option.requires)));
    }
    if !option.excludes.is_empty() {
        add(format!("not with {}", dashed(option.excludes)));
    }
    if !says.is_empty() {
        text += &wrapped(&says, 8);
    }
    text
}

/// A text in lines, each set in.
fn wrapped(text: &str, indent: usize) -> String {
    let mut out = String::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        if !line.is_empty() && indent + line.chars().count() + 1 + word.chars().count() > WIDTH {
            let _ = writeln!(out, "{:indent$}{line}", "");
            line.clear();
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line += word;
    }
    if !line.is_empty() {
        let _ = writeln!(out, "{:indent$}{line}", "");
    }
    out
}

/// Rules that show the common use, where the frame of the options alone would not.
const EXAMPLES: &[(&str, &str)] = &[
    (
        "addrtype",
        "-A INPUT -m addrtype --dst-type BROADCAST -j DROP",
    ),
    ("ah", "-A INPUT -p ah -m ah --ahspi 500:600 -j ACCEPT"),
    (
        "comment",
        "-A INPUT -s 10.0.0.0/8 -m comment --comment \"the office\" -j ACCEPT",
    ),
    ("connlabel", "-A FORWARD -m connlabel --label 3 -j ACCEPT"),
    (
        "connlimit",
        "-A INPUT -p tcp --syn --dport 22 -m connlimit --connlimit-above 3 -j REJECT",
    ),
    (
        "conntrack",
        "-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
    ),
    (
        "hashlimit",
        "-A INPUT -p tcp --syn -m hashlimit --hashlimit-above 10/minute --hashlimit-mode srcip --hashlimit-name syn -j DROP",
    ),
    (
        "helper",
        "-A INPUT -m conntrack --ctstate RELATED -m helper --helper ftp -j ACCEPT",
    ),
    ("hl", "-A INPUT -m hl --hl-lt 64 -j DROP"),
    (
        "icmp",
        "-A INPUT -p icmp --icmp-type echo-request -j ACCEPT",
    ),
    (
        "icmp6",
        "-A INPUT -p ipv6-icmp --icmpv6-type neighbour-solicitation -j ACCEPT",
    ),
    (
        "iprange",
        "-A INPUT -m iprange --src-range 10.0.0.5-10.0.0.9 -j ACCEPT",
    ),
    (
        "length",
        "-A INPUT -p icmp -m length --length 85:65535 -j DROP",
    ),
    (
        "limit",
        "-A INPUT -m limit --limit 5/minute --limit-burst 10 -j LOG",
    ),
    (
        "mac",
        "-A FORWARD -m mac ! --mac-source 00:11:22:33:44:55 -j DROP",
    ),
    ("mark", "-A FORWARD -m mark --mark 0x1/0xff -j ACCEPT"),
    (
        "multiport",
        "-A INPUT -p tcp -m multiport --dports 22,80,443 -j ACCEPT",
    ),
    (
        "pkttype",
        "-A INPUT -m pkttype --pkt-type broadcast -j DROP",
    ),
    (
        "recent",
        "-A INPUT -p tcp --dport 22 -m recent --update --seconds 60 --hitcount 4 --name ssh -j DROP",
    ),
    (
        "state",
        "-A INPUT -m state --state RELATED,ESTABLISHED -j ACCEPT",
    ),
    (
        "string",
        "-A FORWARD -p tcp --dport 80 -m string --string \"/admin\" --algo bm -j REJECT",
    ),
    ("tcp", "-A INPUT -p tcp --dport 22 --syn -j ACCEPT"),
    ("ttl", "-A INPUT -m ttl --ttl-lt 5 -j DROP"),
    ("udp", "-A INPUT -p udp --dport 53 -j ACCEPT"),
    (
        "CONNMARK",
        "-t mangle -A PREROUTING -j CONNMARK --restore-mark",
    ),
    (
        "CT",
        "-t raw -A PREROUTING -p tcp --dport 21 -j CT --helper ftp",
    ),
    (
        "DNAT",
        "-t nat -A PREROUTING -p tcp --dport 80 -j DNAT --to-destination 10.0.0.5:8080",
    ),
    (
        "DNPT",
        "-t mangle -A PREROUTING -d 2001:db8:1::/64 -j DNPT --src-pfx 2001:db8:1::/64 --dst-pfx fd00::/64",
    ),
    ("LOG", "-A INPUT -j LOG --log-prefix \"dropped: \""),
    (
        "MARK",
        "-t mangle -A PREROUTING -i eth0 -j MARK --set-mark 1",
    ),
    ("MASQUERADE", "-t nat -A POSTROUTING -o eth0 -j MASQUERADE"),
    (
        "NETMAP",
        "-t nat -A PREROUTING -d 192.0.2.0/24 -j NETMAP --to 10.0.0.0/24",
    ),
    (
        "NFLOG",
        "-A INPUT -j NFLOG --nflog-group 2 --nflog-prefix \"dropped\"",
    ),
    (
        "NOTRACK",
        "-t raw -A PREROUTING -p udp --dport 53 -j NOTRACK",
    ),
    (
        "REDIRECT",
        "-t nat -A PREROUTING -p tcp --dport 80 -j REDIRECT --to-ports 3128",
    ),
    (
        "REJECT",
        "-A INPUT -p tcp -j REJECT --reject-with tcp-reset",
    ),
    (
        "SNAT",
        "-t nat -A POSTROUTING -o eth0 -j SNAT --to-source 192.0.2.1",
    ),
    (
        "SNPT",
        "-t mangle -A POSTROUTING -s fd00::/64 -j SNPT --src-pfx fd00::/64 --dst-pfx 2001:db8:1::/64",
    ),
];

/// A rule that shows it.
fn example(kind: &str, row: &Extension) -> String {
    let program = match row.families {
        Families::V6 => "ip6tables",
        _ => "iptables",
    };
    if let Some((_, rule)) = EXAMPLES.iter().find(|(name, _)| *name == row.name) {
        return format!("{program} {rule}");
    }
    let table = match row.tables.first() {
        Some(table) if table.name() != "filter" => format!("-t {} ", table.name()),
        _ => String::new(),
    };
    let common = if row.tables.iter().any(|t| t.name() != "filter") {
        "PREROUTING"
    } else {
        "INPUT"
    };
    let chain = row.hooks.first().map_or(common, |h| h.name());
    let protocol = match row.protocols.first() {
        Some(number) => format!("-p {} ", names::protocol_name(*number)),
        None => String::new(),
    };
    let options: String = row
        .options
        .iter()
        .filter(|o| o.required)
        .map(|o| format!(" --{} {}", o.name, o.value).trim_end().to_string())
        .collect();
    let (letter, rest) = match kind {
        "match" => ("m", " -j ACCEPT"),
        _ => ("j", ""),
    };
    format!(
        "{program} {table}-A {chain} {protocol}-{letter} {}{options}{rest}",
        row.name
    )
}

/// The table of all extensions, as `docs/extensions.md` has it.
#[cfg(test)]
fn table() -> String {
    let mut text = String::from(
        "# Matches and targets\n\n\
         Made from the catalogue by the test `extensions_md_is_up_to_date` of the crate `palisade`;\n\
         `palisade help match NAME` and `palisade help target NAME` say more of each.\n",
    );
    for (title, rows) in [("Matches", MATCHES), ("Targets", TARGETS)] {
        let count = rows.iter().filter(|row| row.evaluated()).count();
        let _ = write!(
            text,
            "\n## {title}\n\n{} of {} are evaluated.\n\n| name | family | what it does | options | evaluated |\n|---|---|---|---|---|\n",
            count,
            rows.len()
        );
        for row in rows {
            let family = match row.families {
                Families::Both => "both",
                Families::V4 => "IPv4",
                Families::V6 => "IPv6",
            };
            let options: Vec<String> = row
                .options
                .iter()
                .map(|o| {
                    let bang = if o.invert { "[!] " } else { "" };
                    format!("`{bang}--{}`", o.name)
                })
                .collect();
            let evaluated = match row.evaluation {
                Evaluation::Full => "yes".to_string(),
                Evaluation::Kept(reason) => reason.to_string(),
            };
            let _ = writeln!(
                text,
                "| `{}` | {family} | {} | {} | {evaluated} |",
                row.name,
                row.about,
                options.join(" ")
            );
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use palisade_rules::{Family, TableKind, parse};

    use super::*;

    #[test]
    fn extensions_md_is_up_to_date() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/extensions.md");
        if std::env::var_os("PALISADE_WRITE_DOCS").is_some() {
            std::fs::write(&path, table()).expect("docs/extensions.md");
        }
        let written = std::fs::read_to_string(&path).expect("docs/extensions.md");
        assert!(
            written == table(),
            "docs/extensions.md is not what the catalogue says; write it with PALISADE_WRITE_DOCS=1"
        );
    }

    #[test]
    fn the_examples_are_rules_that_are_taken() {
        for (kind, rows) in [("match", MATCHES), ("target", TARGETS)] {
            for row in rows {
                let Some((name, _)) = EXAMPLES.iter().find(|(name, _)| *name == row.name) else {
                    continue;
                };
                let parsed = parse::script(&format!("{}\n", example(kind, row)));
                assert!(!parsed.has_errors(), "{name}: {:?}", parsed.diagnostics);
                let family = if row.knows(Family::V4) {
                    Family::V4
                } else {
                    Family::V6
                };
                let rules = parsed.family(family).expect("rules");
                let there = TableKind::ALL.iter().filter_map(|kind| rules.table(*kind));
                let count: usize = there.flat_map(|t| &t.chains).map(|c| c.rules.len()).sum();
                assert_eq!(count, 1, "{name}");
            }
        }
        for (name, _) in EXAMPLES {
            let known = MATCHES.iter().chain(TARGETS).any(|row| row.name == *name);
            assert!(known, "{name} is no extension");
        }
    }

    #[test]
    fn an_unknown_name_gets_the_nearest_one() {
        let said = |kind, name| find(kind, name).expect_err("unknown");
        assert!(said("match", "contrack").contains("conntrack?"));
        assert!(said("target", "masquerade").contains("MASQUERADE?"));
        assert!(said("match", "REJECT").contains("help target REJECT"));
        assert!(unknown("recent").contains("help match recent"));
    }

    #[test]
    fn a_page_says_what_there_is_to_say() {
        let page: String = find("match", "recent")
            .expect("recent")
            .iter()
            .map(|r| page("match", r))
            .collect();
        for words in [
            "-m recent",
            "--seconds SECONDS",
            "[!] --rcheck",
            "looks at",
            "the time",
            "yes, as the kernel does",
            "Example",
        ] {
            assert!(page.contains(words), "{words}: {page}");
        }
    }
}
