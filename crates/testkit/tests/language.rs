//! The language without its extensions, held against the real programs: what they take and refuse, line by
//! line, and what they save. Cases that once surprised, our own rules, and lines by chance.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use palisade_capture::script::{self, RulesSource};
use palisade_rules::{Family, Severity, Tools, parse, print};
use palisade_testkit::real::{apart, asked, say};

/// Scripts and save files by chance, unless `PALISADE_LANGUAGE_SAMPLES` says another number.
const SAMPLES: u64 = 60;

/// A kind of text with whatever it is.
#[derive(Clone, Debug)]
enum Text {
    /// For iptables-restore.
    Save(Family, String),
    /// Commands, one a line.
    Script(String),
}

/// What a program did, or we: refused lines with the message, and what is saved in the end.
#[derive(Debug, Default, PartialEq)]
struct Outcome {
    refused: Vec<(usize, String)>,
    saved: String,
}

struct Ran {
    good: bool,
    stdout: String,
    stderr: String,
}

fn run(command: &mut Command, input: &[u8]) -> Ran {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|e| panic!("{command:?}: {e}"));
    // A program that stops early closes its end.
    let _ = child.stdin.take().expect("a pipe").write_all(input);
    let output = child.wait_with_output().expect("it ends");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ran {
        good: output.status.success(),
        stdout: text(&output.stdout),
        stderr: text(&output.stderr),
    }
}

/// What the program says, without its name, its version and what it says always.
fn message(stderr: &str) -> String {
    let lines: Vec<&str> = stderr
        .lines()
        .filter(|l| {
            ![
                "Try `",
                "Error occurred",
                "Perhaps ",
                "Warning: ",
                "Ignoring ",
            ]
            .iter()
            .any(|start| l.starts_with(start))
        })
        .collect();
    let text = lines.join("\n");
    let text = text.trim_end_matches('\n');
    match text.split_once("): ") {
        Some((program, rest)) if program.contains(" v1.") => rest.to_string(),
        _ => text.to_string(),
    }
}

fn saved(tools: Tools, family: Family) -> String {
    let program = match family {
        Family::V4 => "iptables",
        Family::V6 => "ip6tables",
    };
    let ran = run(
        &mut Command::new(format!("{program}-{}-save", tools.name())),
        b"",
    );
    ran.stdout
        .split_inclusive('\n')
        .filter(|l| !l.starts_with('#'))
        .collect()
}

fn real(text: &Text, tools: Tools) -> Outcome {
    let mut outcome = Outcome::default();
    match text {
        Text::Save(family, text) => {
            let program = match family {
                Family::V4 => "iptables",
                Family::V6 => "ip6tables",
            };
            let mut command = Command::new(format!("{program}-{}-restore", tools.name()));
            let ran = run(&mut command, text.as_bytes());
            if !ran.good {
                outcome.refused.push((0, message(&ran.stderr)));
                return outcome;
            }
            outcome.saved = saved(tools, *family);
        }
        Text::Script(text) => {
            for (number, line) in (1..).zip(text.lines()) {
                let line = match line.split_once(' ') {
                    Some((program, rest)) => format!("{program}-{} {rest}", tools.name()),
                    None => format!("{line}-{}", tools.name()),
                };
                let ran = run(Command::new("sh").arg("-c").arg(&line), b"");
                if !ran.good {
                    outcome.refused.push((number, message(&ran.stderr)));
                }
            }
            outcome.saved = saved(tools, Family::V4) + &saved(tools, Family::V6);
        }
    }
    outcome
}

fn ours(text: &Text, tools: Tools) -> Outcome {
    let options = parse::Options {
        tools,
        counters: false,
        ..parse::Options::default()
    };
    let parsed = match text {
        Text::Save(family, text) => parse::save_file_as(
            text,
            &parse::Options {
                family: *family,
                ..options
            },
        ),
        Text::Script(text) => parse::script_as(text, &options),
    };
    let mut outcome = Outcome::default();
    for d in &parsed.diagnostics {
        if d.severity != Severity::Error {
            continue;
        }
        let line = match text {
            Text::Save(..) => 0,
            Text::Script(_) => d.line as usize,
        };
        let said = d.said.clone().unwrap_or_default();
        match outcome.refused.iter_mut().find(|(l, _)| *l == line) {
            Some((_, first)) if first.is_empty() => *first = said,
            Some(_) => {}
            None => outcome.refused.push((line, said)),
        }
    }
    if matches!(text, Text::Save(..)) && !outcome.refused.is_empty() {
        return outcome;
    }
    for ruleset in [&parsed.v4, &parsed.v6].into_iter().flatten() {
        outcome.saved += &print::save_as(ruleset, false, tools);
    }
    outcome
}

/// Counts of what was held against each other.
#[derive(Default)]
struct Tally {
    texts: usize,
    messages: usize,
    other_messages: Vec<String>,
    differences: Vec<String>,
}

impl Tally {
    fn compare(&mut self, name: &str, text: &Text) {
        for tools in Tools::BOTH {
            self.texts += 1;
            let real = apart(|| real(text, tools));
            let ours = ours(text, tools);
            let lines = |outcome: &Outcome| -> Vec<usize> {
                outcome.refused.iter().map(|(line, _)| *line).collect()
            };
            let shown = match text {
                Text::Save(_, text) | Text::Script(text) => text,
            };
            let (a, b) = (lines(&ours), lines(&real));
            let only = |x: &[usize], y: &[usize], outcome: &Outcome| -> Vec<String> {
                outcome
                    .refused
                    .iter()
                    .filter(|(l, _)| x.contains(l) && !y.contains(l))
                    .map(|(l, said)| {
                        let line = shown.lines().nth(l.wrapping_sub(1)).unwrap_or(shown);
                        format!("{line}\n      {said}")
                    })
                    .collect()
            };
            if a != b {
                self.differences.push(format!(
                    "{name} ({}):\n  refused by us only: {}\n  refused by the real program only: {}",
                    tools.name(),
                    only(&a, &b, &ours).join("\n    "),
                    only(&b, &a, &real).join("\n    "),
                ));
                continue;
            }
            for ((_, said), (line, wanted)) in ours.refused.iter().zip(&real.refused) {
                self.messages += 1;
                if said != wanted {
                    let line = shown.lines().nth(line.wrapping_sub(1)).unwrap_or(shown);
                    self.other_messages.push(format!(
                        "{line} ({})\n  ours {said:?}\n  real {wanted:?}",
                        tools.name()
                    ));
                }
            }
            if ours.saved != real.saved {
                let at = ours
                    .saved
                    .lines()
                    .zip(real.saved.lines())
                    .find(|(x, y)| x != y);
                let at = at.map_or(
                    format!("ours:\n{}real:\n{}", ours.saved, real.saved),
                    |(x, y)| format!("  ours {x}\n  real {y}"),
                );
                self.differences
                    .push(format!("{name} ({}) saves:\n{at}\n{shown}", tools.name()));
            }
        }
    }

    fn end(&self, what: &str) {
        say(&format!(
            "{what}: {} texts, {} of {} messages as the real program says them",
            self.texts,
            self.messages - self.other_messages.len(),
            self.messages
        ));
        if std::env::var_os("PALISADE_SHOW").is_some() {
            say(&self.other_messages.join("\n"));
        }
        assert!(
            self.differences.is_empty(),
            "{} differ:\n{}",
            self.differences.len(),
            self.differences.join("\n")
        );
    }
}

/// The blocks of `language.cases`.
fn cases() -> Vec<(String, Text)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/language.cases");
    let text = std::fs::read_to_string(path).expect("language.cases");
    let mut found: Vec<(String, Text)> = Vec::new();
    for block in text.split("=== ").skip(1) {
        let (kind, body) = block.split_once('\n').expect("a kind of text");
        let unescaped = || {
            body.trim_end_matches('\n')
                .replace("\\n", "\n")
                .replace("\\r", "\r")
        };
        let text = match kind {
            "restore" => Text::Save(Family::V4, body.to_string()),
            "restore6" => Text::Save(Family::V6, body.to_string()),
            "bytes" => Text::Save(Family::V4, unescaped()),
            "script" => Text::Script(body.to_string()),
            other => panic!("a kind of case that is not known: {other}"),
        };
        let first = body.lines().next().unwrap_or_default();
        found.push((format!("case {} {first:?}", found.len() + 1), text));
    }
    found
}

#[test]
fn cases_end_as_with_the_real_programs() {
    if !asked("THE REAL PROGRAMS WERE") {
        return;
    }
    let mut tally = Tally::default();
    for (name, text) in cases() {
        tally.compare(&name, &text);
    }
    tally.end("cases of the language");
}

fn files(folder: &str, extension: &str) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut found: Vec<PathBuf> = std::fs::read_dir(root)
        .expect("a folder of the repository")
        .map(|e| e.expect("a directory entry").path())
        .filter(|p| p.extension().is_some_and(|e| e == extension))
        .collect();
    found.sort();
    found
}

#[test]
fn our_own_rules_are_saved_as_by_the_real_programs() {
    if !asked("THE REAL PROGRAMS WERE") {
        return;
    }
    let mut tally = Tally::default();
    for path in files("../../examples/rules", "rules") {
        let name = path.display().to_string();
        let family = match name.contains('6') {
            true => Family::V6,
            false => Family::V4,
        };
        let text = std::fs::read_to_string(&path).expect("rules");
        if parse::is_save_file(&text) {
            tally.compare(&name, &Text::Save(family, text));
        }
    }
    for path in files("scenarios", "pal") {
        let text = std::fs::read_to_string(&path).expect("a scenario");
        // What needs policies or labels of the host is for the scenarios' own test.
        if text.contains("\ntimeout ") || text.contains("\nlabel ") {
            continue;
        }
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        for rules in script::parse(&text).0.rules {
            let RulesSource::Inline { text, .. } = rules.source else {
                continue;
            };
            let lines: Vec<&str> = text.lines().map(str::trim).collect();
            let lines: Vec<&str> = lines.into_iter().filter(|l| !l.is_empty()).collect();
            // Commands only, and none that needs sets made first.
            let plain = |l: &&str| {
                l.contains("tables ") && !l.contains("-match-set") && !l.contains("-j SET ")
            };
            if lines.iter().all(plain) && !parse::is_save_file(&text) {
                tally.compare(&name, &Text::Script(lines.join("\n") + "\n"));
            }
        }
    }
    tally.end("our own rules");
}

/// Numbers by chance that a seed determines.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len())]
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }
}

const CHAINS: &[&str] = &[
    "INPUT", "FORWARD", "OUTPUT", "a", "b", "c", "a", "b", "FORWARD",
];
const PARTS: &[&str] = &[
    "-s 10.0.0.1",
    "-s 10.1/16",
    "-s 10.1.2.3/255.0.255.0",
    "-s 1.1.1.1,2.2.2.2",
    "-s any/0",
    "-d 10.0.0.0/8",
    "-d 3.3.3.3,4.4.4.4/24",
    "-d 0x0a.1.2.3",
    "-d 1.2.3.4/33",
    "-d host.invalid",
    "! -s 10.0.0.0/8",
    "! -d 1.1.1.1,2.2.2.2",
    "-s ! 1.2.3.4",
    "-s1.2.3.4",
    "--source=1.1.1.1",
    "--src 1.1.1.1",
    "--dst 9.9.9.9",
    "--dest 9.9.9.9",
    "-p tcp",
    "-p udp",
    "-p 6",
    "-p 0x11",
    "-p all",
    "! -p tcp",
    "-p icmp",
    "-p gre",
    "-p 200",
    "-p 300",
    "-ptcp",
    "-p TCP",
    "--proto udp",
    "-i eth0",
    "-i eth+",
    "! -i lo",
    "-i +",
    "-o wan0",
    "! -o tun+",
    "-o eth0",
    "-i averyveryverylongname",
    "-f",
    "! -f",
    "-c 3 4",
    "-c 5,6",
    "-c 7",
    "-m comment --comment hello",
    "-m comment --comment 'two words'",
    "-p tcp --dport 22",
    "-p tcp --dport ssh",
    "-p udp --sport 1:1023",
    "-p tcp --syn",
    "-p tcp ! --syn",
    "-p tcp -m tcp --dp 80",
    "-p udp -m udp --sport 53 --dport :1024",
    "--dport 22",
    "-m state --state NEW",
    "-m state --st ESTABLISHED,RELATED",
    "-m conntrack --ctstate INVALID",
    "! -m state --state NEW",
    "-m limit --limit 3/min",
    "-m limit --limit-burst 7",
    "-m nosuchmatch",
    "-n",
    "-v",
    "--",
    "!",
    "stray",
    "--nosuchoption",
    "-q",
    "-4",
    "-w",
    "-w 3",
];
const TARGETS: &[&str] = &[
    "-j ACCEPT",
    "-j DROP",
    "-j RETURN",
    "-j a",
    "-j b",
    "-j c",
    "-g a",
    "-g b",
    "-j REJECT",
    "-j LOG",
    "-j LOG --log-prefix 'x y'",
    "-j nosuch",
    "-j accept",
    "--jump DROP",
    "-jDROP",
    "",
    "",
    "-j ACCEPT",
    "-j DROP",
    "-j a",
    "-j INPUT",
];

/// Parts that are IPv4's, for IPv6.
const FOR_V6: &[(&str, &str)] = &[
    ("10.0.0.1", "fd00::1"),
    ("10.1/16", "fd00::/16"),
    ("10.1.2.3/255.0.255.0", "fd00::3/ffff:0:ffff::"),
    ("1.1.1.1,2.2.2.2", "fd00::1,::ffff:1.2.3.4"),
    ("10.0.0.0/8", "2001:db8::/32"),
    ("3.3.3.3,4.4.4.4/24", "::1,fe80::1/10"),
    ("0x0a.1.2.3", "::1.2.3.4"),
    ("1.2.3.4/33", "fd00::1/129"),
    ("9.9.9.9", "fd00::9"),
    ("1.1.1.1", "fd00::11"),
    ("-p icmp", "-p ipv6-icmp"),
    ("-4", "-6"),
    ("iptables ", "ip6tables "),
];

/// A rule of parts by chance.
fn rule(chance: &mut Chance) -> String {
    let mut words = Vec::new();
    for _ in 0..chance.below(4) {
        words.push(chance.one(PARTS));
    }
    words.push(chance.one(TARGETS));
    if chance.one_in(8) {
        words.reverse();
    }
    words.retain(|w| !w.is_empty());
    words.join(" ")
}

fn command(chance: &mut Chance) -> String {
    let chain = chance.one(CHAINS);
    let number = chance.below(4);
    match chance.below(24) {
        0 | 1 => format!("-N {chain}"),
        2 => format!("-X {}", chance.one(&["", "a", "b", "c", "INPUT"])),
        // iptables-nft renames a built-in chain, which then is none of its own: nothing to follow.
        3 => format!(
            "-E {} {}",
            chance.one(&["a", "b", "c"]),
            chance.one(&["a", "b", "d", "LOG", "INPUT"])
        ),
        4 => format!(
            "-P {chain} {}",
            chance.one(&["DROP", "ACCEPT", "REJECT", ""])
        ),
        5 => format!("-F {}", chance.one(&["", "a", "b", "INPUT"])),
        6 => format!("-D {chain} {number}"),
        7 => format!("-Z {}", chance.one(&["", chain])),
        8..=10 => format!("-I {chain} {number} {}", rule(chance)),
        11 => format!("-I {chain} {}", rule(chance)),
        12 => format!("-R {chain} {number} {}", rule(chance)),
        13 => format!("-D {chain} {}", rule(chance)),
        14 => format!("-C {chain} {}", rule(chance)),
        _ => format!("-A {chain} {}", rule(chance)),
    }
}

#[test]
fn lines_by_chance_end_as_with_the_real_programs() {
    if !asked("THE REAL PROGRAMS WERE") {
        return;
    }
    let samples = std::env::var("PALISADE_LANGUAGE_SAMPLES")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(SAMPLES);
    let seed: u64 = std::env::var("PALISADE_LANGUAGE_SEED")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(0);
    let mut tally = Tally::default();
    for sample in 0..samples {
        let mut chance = Chance(seed.wrapping_add(sample));
        let mut text = String::new();
        let script = !chance.one_in(2);
        if script {
            for _ in 0..12 {
                let table = chance.one(&[
                    "",
                    "",
                    "",
                    "",
                    "-t filter ",
                    "-t mangle ",
                    "-t nat ",
                    "-t raw ",
                    "-t no ",
                ]);
                text += &format!("iptables {table}{}\n", command(&mut chance));
            }
            if chance.one_in(3) {
                for (v4, v6) in FOR_V6 {
                    text = text.replace(v4, v6);
                }
            }
            tally.compare(&format!("sample {sample}"), &Text::Script(text));
        } else {
            text += "*filter\n:a - [0:0]\n:b - [0:0]\n:c ACCEPT\n"
                .replace("ACCEPT", chance.one(&["-", "-", "ACCEPT"]))
                .as_str();
            let mut lines = 0;
            while lines < 3 {
                let command = command(&mut chance).replace('\'', "\"");
                // iptables-nft-restore 1.8.9 dies of `-R`.
                if command.starts_with("-R") {
                    continue;
                }
                lines += 1;
                let counters = chance.one(&["", "", "[1:2] ", "[1:2"]);
                text += &format!("{counters}{command}\n");
            }
            text += chance.one(&[
                "COMMIT\n",
                "COMMIT\n",
                "COMMIT\n",
                "COMMIT",
                "COMMIT \n",
                "",
            ]);
            tally.compare(&format!("sample {sample}"), &Text::Save(Family::V4, text));
        }
    }
    tally.end("lines by chance");
}
