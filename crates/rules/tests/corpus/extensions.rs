//! iptables' own extension tests: each line taken or refused, and saved, as the real tool did.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::Path;

use palisade_rules::{Family, Parsed, Severity, TableKind, Tools, parse, print};

use crate::share;

/// Extensions whose recorded run says nothing of the language, with the reason; their lines are held against what
/// the test itself expects.
const BY_THE_TEST: &[(&str, &str)] = &[
    ("libip6t_ipvs", NO_IPVS),
    ("libipt_ipvs", NO_IPVS),
    ("libxt_ipvs", NO_IPVS),
    (
        "libxt_LED",
        "the kernel of the recorded run has no LED target",
    ),
    (
        "libxt_SECMARK",
        "the kernel of the recorded run has no policy of SELinux",
    ),
    (
        "libxt_rateest",
        "the estimators were not there in the recorded run",
    ),
];

const NO_IPVS: &str = "the kernel of the recorded run has no match ipvs";

/// Extensions of which some lines end otherwise, with the reason.
const REASONS: &[(&str, &str)] = &[(
    "libxt_nfacct",
    "accounting objects are not rules: whichever a rule names is taken to exist",
)];

/// Lines of one extension: all, and those that are treated as the real tool treats them.
#[derive(Default, Clone, Copy)]
struct Tally {
    lines: usize,
    equal: usize,
}

/// The first `-A` line of a table's save.
fn saved(parsed: &Parsed, family: Family, table: &str, tools: Tools) -> Option<String> {
    let ruleset = parsed.family(family)?;
    let table = ruleset.table(TableKind::by_name(table)?)?;
    let chain = table.chains.iter().find(|c| !c.rules.is_empty())?;
    Some(print::rule_as(
        table,
        chain,
        chain.rules.first()?,
        family,
        tools,
    ))
}

/// The share in hundredths of a percent, rounded down.
fn share_of(tally: Tally) -> usize {
    tally.equal * 10_000 / tally.lines.max(1)
}

const HEAD: &str = "# How the language compares with the real tools

Written by the test `corpus` of the crate `palisade-rules`. iptables' own extension tests, each line as
`iptables-legacy` and as `iptables-nft` 1.8.9 took it on Linux 6.18: *equal* when both refuse it, or both take it
and print the same line. Lines that the recorded run could not judge are held against what the test expects:

";

#[test]
fn extension_tests_end_as_with_the_real_tools() {
    let Some((_, results)) = share::open("iptables-extensions", "results-1.8.9.json") else {
        return;
    };
    let mut tallies: BTreeMap<String, [Tally; 2]> = BTreeMap::new();
    let mut all = Tally::default();
    // Extension and line, with the tools and what the real one does.
    let mut differing: BTreeMap<(String, String), BTreeSet<String>> = BTreeMap::new();
    let (mut messages, mut same_messages) = (0, 0);
    for (file, entries) in results["results"].as_object().expect("results") {
        let name = file.trim_end_matches(".t");
        for entry in entries.as_array().expect("entries") {
            let tools = match entry["backend"].as_str() {
                Some("nft") => Tools::Nft,
                _ => Tools::Legacy,
            };
            let text = |key: &str| entry[key].as_str().unwrap_or("").to_string();
            let (program, chain, table, args) =
                (text("cmd"), text("chain"), text("table"), text("args"));
            let family = match program.as_str() {
                "ip6tables" => Family::V6,
                _ => Family::V4,
            };
            let line = format!("{program} -t {table} -A {chain} {args}\n");
            let options = parse::Options {
                tools,
                sets: Some(Vec::new()),
                ..parse::Options::default()
            };
            let parsed = parse::script_as(&line, &options);
            let error = parsed
                .diagnostics
                .iter()
                .find(|d| d.severity == Severity::Error);
            let by_the_test = BY_THE_TEST.iter().any(|(n, _)| *n == name);
            let real = match by_the_test {
                true => (text("expect") != "FAIL").then(|| text("expect_save")),
                false => (entry["got_rc"] == 0).then(|| text("got_save")),
            };
            let ours = match error {
                Some(_) => None,
                None => Some(saved(&parsed, family, &table, tools).unwrap_or_default()),
            };
            if let (Some(d), None, false) = (error, &real, by_the_test) {
                messages += 1;
                let got = text("got_error");
                let said = parsed.diagnostics.iter().find(|d| d.said.is_some());
                let d = said.unwrap_or(d);
                if d.said.as_deref() == Some(share::message(&got)) {
                    same_messages += 1;
                } else if share::show() {
                    println!("message {name} {args}: real {got:?}, ours {:?} {d}", d.said);
                }
            }
            let tally = &mut tallies.entry(name.to_string()).or_default()[tools as usize];
            tally.lines += 1;
            all.lines += 1;
            if ours == real {
                tally.equal += 1;
                all.equal += 1;
                continue;
            }
            let what = match (&real, &ours) {
                (None, _) => "refuses it",
                (_, None) => "takes it",
                _ => "prints another line",
            };
            differing
                .entry((name.to_string(), args.clone()))
                .or_default()
                .insert(format!("{} {what}", tools.name()));
            if share::show() {
                println!(
                    "{name}:{} ({}): {line}     real {}\n     ours {}",
                    entry["line"],
                    tools.name(),
                    real.unwrap_or_else(|| text("got_error")),
                    ours.unwrap_or_else(|| error.map_or(String::new(), ToString::to_string)),
                );
            }
        }
    }
    let mut table = String::from(
        "| tests | legacy lines | equal | nft lines | equal | differing |\n|---|---|---|---|---|---|\n",
    );
    for (name, [legacy, nft]) in &tallies {
        let differing = legacy.lines + nft.lines - legacy.equal - nft.equal;
        let _ = writeln!(
            table,
            "| {name} | {} | {} | {} | {} | {differing} |",
            legacy.lines, legacy.equal, nft.lines, nft.equal
        );
    }
    let share = share_of(all);
    let sum = format!(
        "All: {} lines, {} equal, {}.{:02} %\n",
        all.lines,
        all.equal,
        share / 100,
        share % 100
    );
    println!("iptables' own extension tests: {sum}{same_messages} of {messages} messages alike");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/conformance-language.md");
    if std::env::var_os("PALISADE_WRITE_DOCS").is_some() {
        let mut rest = String::new();
        for ((name, args), whats) in &differing {
            let reason = REASONS.iter().find(|(n, _)| n == name);
            let reason = reason.map_or("to be mended", |(_, r)| r);
            let whats: Vec<&str> = whats.iter().map(String::as_str).collect();
            let _ = writeln!(rest, "- {name}: `{args}` ({}): {reason}", whats.join(", "));
        }
        let own: String = BY_THE_TEST
            .iter()
            .map(|(name, reason)| format!("- {name}: {reason}\n"))
            .collect();
        let text = format!("{HEAD}{own}\n{sum}\n{table}\n## Lines that end otherwise\n\n{rest}");
        std::fs::write(&path, text).expect("docs/conformance-language.md");
        return;
    }
    let written = std::fs::read_to_string(&path).expect("docs/conformance-language.md");
    let claimed: usize = written
        .lines()
        .find_map(|l| l.strip_prefix("All: "))
        .and_then(|l| l.split(' ').nth(2))
        .and_then(|n| n.parse().ok())
        .expect("the sum in docs/conformance-language.md");
    assert!(
        all.equal >= claimed,
        "{} lines are as with the real tools, docs/conformance-language.md says {claimed}",
        all.equal
    );
}
