//! Lints over a folder of rulesets: findings by lint, and a sample to read.
//!
//! `cargo run -p palisade-analysis --example survey -- FOLDER [--sample N | --of PART | --code PL001]`

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use palisade_analysis::{CATALOGUE, Finding, Source, check};
use palisade_rules::{Family, parse};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let option = |name: &str| {
        let at = arguments.iter().position(|a| a == name)?;
        arguments.get(at + 1).cloned()
    };
    let root = PathBuf::from(arguments.first().expect("a folder"));
    let mut files = Vec::new();
    collect(&root, &mut files);
    files.sort();
    let mut count: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    let mut all: Vec<(String, String, Finding)> = Vec::new();
    let (mut read, mut refused) = (0, 0);
    for path in &files {
        let Ok(bytes) = std::fs::read(path) else {
            continue;
        };
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let name = path
            .strip_prefix(&root)
            .unwrap_or(path)
            .display()
            .to_string();
        let family = if name.contains(".v6.") {
            Family::V6
        } else {
            Family::V4
        };
        let parsed = parse::auto(&text, family);
        // As the command does: where rules are missing, their absence is no finding.
        if parsed.has_errors() {
            refused += 1;
            continue;
        }
        read += 1;
        let begun = std::time::Instant::now();
        let found = check(&[Source {
            text: &text,
            parsed: &parsed,
        }]);
        if begun.elapsed().as_secs_f64() > 1.0 {
            eprintln!("slow: {name} {:?}", begun.elapsed());
        }
        let mut seen = Vec::new();
        for f in found {
            let entry = count.entry(f.lint.code).or_default();
            entry.0 += 1;
            if !seen.contains(&f.lint.code) {
                seen.push(f.lint.code);
                entry.1 += 1;
            }
            let at = text.get(f.start..f.end).unwrap_or_default().to_string();
            all.push((name.clone(), at, f));
        }
    }
    println!("{read} files, and {refused} with errors");
    for lint in CATALOGUE {
        let (findings, files) = count.get(lint.code).copied().unwrap_or_default();
        println!(
            "{} {:22} {findings:6} findings in {files:4} files",
            lint.code, lint.name
        );
    }
    let show = |(name, at, f): &(String, String, Finding)| {
        println!(
            "{name}:{} {} {}\n    {at}\n    {}",
            f.line,
            f.lint.code,
            f.message,
            f.notes.join("; ")
        );
    };
    if let Some(part) = option("--of") {
        all.iter()
            .filter(|(n, ..)| n.contains(&part))
            .for_each(show);
    } else if let Some(code) = option("--code") {
        all.iter()
            .filter(|(_, _, f)| f.lint.code == code)
            .for_each(show);
    } else if let Some(n) = option("--sample").and_then(|n| n.parse::<usize>().ok()) {
        // A fixed seed: the same sample for everybody.
        let mut state = 20_240_607u64;
        let mut picked = Vec::new();
        while picked.len() < n.min(all.len()) {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let at = (state >> 33) as usize % all.len();
            if !picked.contains(&at) {
                picked.push(at);
                show(&all[at]);
            }
        }
    }
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|e| e == "rules") {
            files.push(path);
        }
    }
}
