//! Matches that look into packets, and targets that change them: which words the real programs take, what they
//! print again, and what they say when they refuse. `ext_payload.txt` has the commands.

use palisade_rules::{Family, Tools, parse, print};

/// A command and its ends: with the legacy tools, and with the nft tools where that differs.
struct Case {
    command: &'static str,
    legacy: &'static str,
    nft: Option<&'static str>,
}

fn cases() -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    for line in include_str!("ext_payload.txt").lines() {
        match (line.strip_prefix("  "), cases.last_mut()) {
            _ if line.is_empty() || line.starts_with('#') => {}
            (Some(end), Some(case)) => match end.strip_prefix("nft ") {
                Some(end) => case.nft = Some(end),
                None => case.legacy = end,
            },
            _ => cases.push(Case {
                command: line,
                legacy: "",
                nft: None,
            }),
        }
    }
    cases
}

/// The words behind `-A CHAIN`.
fn words(command: &str) -> &str {
    command.splitn(6, ' ').nth(5).unwrap_or_default()
}

/// The end of a command here: what is printed, or what is said.
fn end(command: &str, tools: Tools) -> Result<String, String> {
    let options = parse::Options {
        tools,
        ..parse::Options::default()
    };
    let parsed = parse::script_as(command, &options);
    if parsed.has_errors() {
        // One slip may be told twice; the real program tells it once.
        let said = parsed.diagnostics.iter().find_map(|d| d.said.as_deref());
        return Err(said.unwrap_or_default().to_string());
    }
    let family = match command.starts_with("ip6") {
        true => Family::V6,
        false => Family::V4,
    };
    let ruleset = parsed.family(family).expect("a ruleset");
    let saved = print::save_as(ruleset, false, tools);
    let rule = saved.lines().find_map(|line| line.strip_prefix("-A "));
    let (_, rule) = rule.and_then(|r| r.split_once(' ')).expect("a rule");
    Ok(rule.to_string())
}

#[test]
fn commands_end_as_with_the_real_programs() {
    let mut wrong = Vec::new();
    for case in cases() {
        let nft = case.nft.unwrap_or(case.legacy);
        for (tools, wanted) in [(Tools::Legacy, case.legacy), (Tools::Nft, nft)] {
            let got = end(case.command, tools);
            let fits = match (&got, wanted.split_once(' ').unwrap_or((wanted, ""))) {
                (Ok(rule), ("same", _)) => rule == words(case.command),
                (Ok(rule), ("save", text)) => rule == text,
                (Err(said), ("refused", text)) => said == text,
                (Err(said), ("kernel", _)) => said.contains("Invalid argument"),
                _ => false,
            };
            if !fits {
                let (tools, command) = (tools.name(), case.command);
                wrong.push(format!(
                    "{tools} {command}\n  want {wanted}\n  got  {got:?}"
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_saved_rule_is_read_again_as_the_same() {
    let mut saved = 0;
    for case in cases() {
        let Some(text) = case.legacy.strip_prefix("save ") else {
            continue;
        };
        let again = case.command.replace(words(case.command), text);
        assert_eq!(end(&again, Tools::Legacy).as_deref(), Ok(text), "{again}");
        saved += 1;
    }
    assert!(saved > 50, "the cases went missing");
}

#[test]
fn a_pinned_program_is_taken_without_looking_for_it() {
    let command = "iptables -t mangle -A FORWARD -m bpf --object-pinned /sys/fs/bpf/ours";
    assert_eq!(end(command, Tools::Legacy).as_deref(), Ok(words(command)));
}
