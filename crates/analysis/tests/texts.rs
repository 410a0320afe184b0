//! Texts of all sorts: broken ones, and what well-known programs generate.

use std::path::Path;

use palisade_analysis::{CATALOGUE, Source, check};
use palisade_rules::{Family, parse};

/// A small generator with a seed.
struct Chance(u64);

impl Chance {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % n.max(1)
    }
}

/// Words that change what a rule is, some of them of several bytes.
const WORDS: &[&str] = &[
    "-j",
    "blocklist",
    "-g",
    "RETURN",
    "!",
    "ü",
    "😀",
    "#",
    "# palisade: allow PL005 ü",
    "\n",
    "\r\n",
    "INPUT",
    "-p",
    "tcp",
    "udp",
    "--dport",
    "0:65535",
    "65535",
    "-s",
    "0.0.0.0/0",
    "-i",
    "lo",
    "+",
    "-m",
    "state",
    "--state",
    "NEW",
    "limit",
    "--limit",
    "1/s",
    "recent",
    "--set",
    "COMMIT",
    "*nat",
    "*filter",
    ":x",
    "-",
    "-P",
    "-N",
];

#[test]
fn any_text_is_survived_and_every_finding_lies_within_it() {
    let mut chance = Chance(3);
    let mut found = 0;
    for _ in 0..4000 {
        let example = CATALOGUE[chance.below(CATALOGUE.len())];
        let mut text = format!("{}{}", example.bad.v4, example.good.v4);
        if chance.below(2) == 0 {
            text = text
                .replace("-A ", "iptables -A ")
                .replace(':', "iptables -N ");
        }
        for _ in 0..=chance.below(4) {
            let words: Vec<&str> = text.split(' ').collect();
            let mut words: Vec<String> = words.into_iter().map(String::from).collect();
            let at = chance.below(words.len());
            match chance.below(3) {
                0 => words[at] = WORDS[chance.below(WORDS.len())].to_string(),
                1 => words.insert(at, WORDS[chance.below(WORDS.len())].to_string()),
                _ => drop(words.remove(at)),
            }
            text = words.join(" ");
        }
        let parsed = parse::auto(&text, Family::V4);
        for f in check(&[Source {
            text: &text,
            parsed: &parsed,
        }]) {
            found += 1;
            let at = text.get(f.start..f.end);
            assert!(
                at.is_some(),
                "{} at {}..{} of:\n{text}",
                f.lint.code,
                f.start,
                f.end
            );
            if let Some(edit) = f.replacement {
                assert!(
                    text.get(edit.start..edit.end).is_some(),
                    "{}:\n{text}",
                    f.lint.code
                );
            }
        }
    }
    assert!(found > 1000, "{found} findings");
}

#[test]
fn what_programs_generate_raises_no_false_alarm() {
    // What may be said of them: ssh is open if somebody opened it, and a rule of the user that an earlier one
    // of his overrides. A code means that each finding of it was read and is true.
    let expected: [(&str, &[&str]); 6] = [
        ("moby", &[]),
        ("istio", &[]),
        ("antrea", &[]),
        ("generated-shorewall", &[]),
        ("generated-firewalld", &["PL012"]),
        ("generated-ufw", &["PL005", "PL012"]),
    ];
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus/rulesets");
    if !root.is_dir() {
        eprintln!("SKIPPED: no corpus of rulesets beside the project");
        return;
    }
    for (folder, codes) in expected {
        let mut read = 0;
        for entry in std::fs::read_dir(root.join(folder))
            .expect(folder)
            .flatten()
        {
            let name = entry.file_name().to_string_lossy().into_owned();
            if !name.ends_with(".rules") {
                continue;
            }
            let family = match name.contains(".v6.") {
                true => Family::V6,
                false => Family::V4,
            };
            let text = std::fs::read_to_string(entry.path()).expect("text");
            let parsed = parse::auto(&text, family);
            if parsed.has_errors() {
                continue;
            }
            read += 1;
            for f in check(&[Source {
                text: &text,
                parsed: &parsed,
            }]) {
                assert!(
                    codes.contains(&f.lint.code),
                    "{folder}/{name}:{}: {} {}",
                    f.line,
                    f.lint.code,
                    f.message
                );
            }
        }
        assert!(read > 0, "{folder} has no rules that are read");
    }
}
