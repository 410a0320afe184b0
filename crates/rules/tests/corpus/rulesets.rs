//! Rulesets of hosts, products and generators: accepted and refused as iptables-restore does,
//! printed as iptables-save does.

use palisade_rules::{Family, Parsed, Severity, Tools, parse, print};

use crate::share;

/// What differs, with the reason: file, tools, what.
const EXCEPTIONS: &[(&str, Tools, &str)] = &[
    (SELINUX, Tools::Legacy, NO_POLICY),
    (SELINUX, Tools::Nft, NO_POLICY),
    (TOR, Tools::Legacy, NO_USER),
    (TOR, Tools::Nft, NO_USER),
];

const SELINUX: &str = "github-hosts/Ivandiaztnd__jack2-network-appliance__etc_selinux_refpolicy-targeted_contexts_netfilter_contexts.v4.rules";
const NO_POLICY: &str =
    "SECMARK wants a policy of SELinux, which the kernel of the recorded run did not have";
const TOR: &str = "github-hosts/neg-serg__system_etc__etc_iptables_iptables.rules.v4.rules";
const NO_USER: &str = "--uid-owner tor: a user that the machine of the recorded run did not have";

/// The text with the repairs that were made before the real tool took it.
fn repaired(text: &str, repairs: &[&str]) -> String {
    let mut text = text.to_string();
    for repair in repairs {
        match *repair {
            "crlf->lf" => text = text.replace("\r\n", "\n"),
            "newline added at end of file" => text.push('\n'),
            "text after the last COMMIT removed" => {
                let end = text.rfind("\nCOMMIT").map_or(text.len(), |at| at + 7);
                text.truncate(end);
                text.push('\n');
            }
            "blanks after COMMIT removed" => {
                text = text
                    .lines()
                    .map(|l| {
                        let bare = l.trim_end();
                        format!("{}\n", if bare == "COMMIT" { bare } else { l })
                    })
                    .collect();
            }
            "MAC XX:XX:XX:XX:XX:XX -> 00:00:5E:00:53:01" => {
                text = text.replace("XX:XX:XX:XX:XX:XX", "00:00:5E:00:53:01");
            }
            "old '-s ! x' -> '! -s x'" => {
                text = text
                    .lines()
                    .map(|line| {
                        let mut words: Vec<&str> = line.split(' ').collect();
                        for i in 1..words.len() {
                            if words[i] == "!" && words[i - 1].starts_with('-') {
                                words.swap(i, i - 1);
                            }
                        }
                        words.join(" ") + "\n"
                    })
                    .collect();
            }
            other => panic!("a repair that is not known here: {other}"),
        }
    }
    text
}

fn first_error(parsed: &Parsed) -> String {
    parsed
        .diagnostics
        .iter()
        .find(|d| d.severity == Severity::Error)
        .map_or("accepted".to_string(), ToString::to_string)
}

#[test]
fn rulesets_are_taken_and_printed_as_the_real_tools_do() {
    let Some((root, index)) = share::open("rulesets", "index.json") else {
        return;
    };
    let mut differences: Vec<(String, Tools, String)> = Vec::new();
    let (mut judged, mut printed) = (0, 0);
    for entry in index["rulesets"].as_array().expect("rulesets") {
        let file = entry["file"].as_str().expect("file");
        let family = match entry["family"].as_i64() {
            Some(6) => Family::V6,
            _ => Family::V4,
        };
        let bytes = std::fs::read(root.join(file)).expect("a ruleset of the index");
        let text = String::from_utf8_lossy(&bytes);
        for tools in Tools::BOTH {
            let real = share::of(entry, tools);
            let options = parse::Options {
                family,
                tools,
                noflush: entry["restore_flags"] == "--noflush",
                counters: false,
                ..parse::Options::default()
            };
            let mut parsed = parse::save_file_as(&text, &options);
            let mut differ = |what: String| differences.push((file.to_string(), tools, what));
            judged += 1;
            let accepted = real["load_rc"] == 0;
            if parsed.has_errors() == accepted {
                differ(format!(
                    "real {} {}, ours {}",
                    real["load_rc"],
                    real["load_error"],
                    first_error(&parsed)
                ));
                continue;
            }
            // What `--test` says, where it did not want sets that were made later.
            let tested = parsed
                .diagnostics
                .iter()
                .all(|d| d.severity != Severity::Error || d.by_kernel);
            if real["ipsets_needed"].is_null() {
                judged += 1;
                if tested != (real["test_rc"] == 0) {
                    differ(format!(
                        "--test: real {} {}, ours {}",
                        real["test_rc"],
                        real["test_error"],
                        first_error(&parsed)
                    ));
                }
            }
            let canonical = &entry["canonical"];
            let Some(save) = canonical[tools.name()]
                .as_str()
                .or(canonical["both"].as_str())
            else {
                continue;
            };
            if !accepted {
                let Some(repairs) = real["repairs"].as_array() else {
                    continue;
                };
                let repairs: Vec<&str> = repairs.iter().filter_map(|r| r.as_str()).collect();
                parsed = parse::save_file_as(&repaired(&text, &repairs), &options);
            }
            let path = root.join(file).with_file_name(save);
            let expect = std::fs::read_to_string(&path).expect("a canonical save");
            let expect = share::without_comments(&expect);
            printed += 1;
            let ours = match parsed.family(family) {
                _ if parsed.has_errors() => {
                    differ(format!("mended, ours {}", first_error(&parsed)));
                    continue;
                }
                Some(ruleset) => print::save_as(ruleset, false, tools),
                None => String::new(),
            };
            if let Some(difference) = share::first_difference(&ours, &expect) {
                differ(difference);
            }
        }
    }
    let known = |(file, tools, _): &&(String, Tools, String)| {
        EXCEPTIONS.iter().any(|(f, t, _)| f == file && t == tools)
    };
    println!(
        "{judged} judgements and {printed} saves over rulesets, {} differ",
        differences.len()
    );
    for (file, tools, reason) in EXCEPTIONS {
        println!("exception {file} ({}): {reason}", tools.name());
    }
    if share::show() {
        for (file, tools, what) in &differences {
            println!("{file} ({}): {what}", tools.name());
        }
    }
    let left = differences.iter().filter(|d| !known(d)).count();
    assert_eq!(left, 0, "differences that are not known");
}
