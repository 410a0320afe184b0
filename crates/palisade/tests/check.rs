//! `palisade check`: what people read for broken files, lints, formats, exit codes.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests")
        .join(name)
}

fn check_in(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_palisade"))
        .arg("check")
        .args(["--color", "never"])
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .expect("palisade runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Files in a temporary folder.
fn files(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, content) in files {
        std::fs::write(folder.path().join(name), content).expect("written");
    }
    folder
}

const GOOD: &str = "*filter\n:INPUT DROP [0:0]\n:FORWARD DROP [0:0]\n:OUTPUT ACCEPT [0:0]\n\
    -A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n-A INPUT -i lo -j ACCEPT\n\
    -A INPUT -m conntrack --ctstate INVALID -j DROP\n-A INPUT -p tcp --dport 443 -j ACCEPT\nCOMMIT\n";

/// [`GOOD`] with a warning (PL018) and a note (PL006).
const ODD: &str = "*filter\n:INPUT DROP [0:0]\n:FORWARD DROP [0:0]\n:OUTPUT ACCEPT [0:0]\n:later - [0:0]\n\
    -A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n-A INPUT -i lo -j ACCEPT\n\
    -A INPUT -m conntrack --ctstate INVALID -j DROP\n-A INPUT -p tcp --dport 443 -j ACCEPT\n\
    -A INPUT -j later\n-A INPUT -p tcp --dport 443 -j ACCEPT\nCOMMIT\n";

#[test]
fn broken_files_are_told_as_a_person_would_like_it() {
    let folder = folder("broken");
    let mut names: Vec<String> = std::fs::read_dir(&folder)
        .expect("the folder")
        .filter_map(|e| e.ok()?.file_name().into_string().ok())
        .filter(|n| n.ends_with(".rules"))
        .collect();
    names.sort();
    assert!(names.len() >= 30, "{} files", names.len());
    let mut differing = Vec::new();
    for name in names {
        let output = check_in(&folder, &[&name]);
        let shown = text(&output.stdout);
        assert_eq!(text(&output.stderr), "", "{name}");
        let expected = folder.join(name.replace(".rules", ".expected"));
        if std::env::var_os("PALISADE_BLESS").is_some() {
            std::fs::write(&expected, &shown).expect("written");
        }
        if std::fs::read_to_string(&expected).unwrap_or_default() != shown {
            differing.push(format!("{name}:\n{shown}"));
        }
        let modprobe = name.starts_with("08");
        assert_eq!(
            output.status.code(),
            Some(if modprobe { 0 } else { 2 }),
            "{name}"
        );
    }
    assert!(
        differing.is_empty(),
        "other output than stored (PALISADE_BLESS=1 stores it):\n{}",
        differing.join("\n")
    );
}

#[test]
fn an_offered_edit_mends_what_it_was_offered_for() {
    let broken = folder("broken");
    let mut edits = 0;
    for entry in std::fs::read_dir(&broken).expect("the folder").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.ends_with(".rules") {
            continue;
        }
        let source = std::fs::read_to_string(entry.path()).expect("text");
        let findings = json(&check_in(&broken, &["--format", "json", &name]));
        for finding in &findings {
            let edit = &finding["replacement"];
            let (Some(start), Some(end)) = (edit["start"].as_u64(), edit["end"].as_u64()) else {
                continue;
            };
            edits += 1;
            let mut mended = source.clone();
            mended.replace_range(start as usize..end as usize, edit["text"].as_str().unwrap());
            let dir = files(&[("mended.rules", &mended)]);
            let after = json(&check_in(dir.path(), &["--format", "json", "mended.rules"]));
            let same = |f: &Value| {
                f["code"] == finding["code"]
                    && f["line"] == finding["line"]
                    && f["message"] == finding["message"]
            };
            assert!(!after.iter().any(same), "{name}: {finding}\n{mended}");
        }
    }
    assert!(edits >= 25, "{edits} edits");
}

fn json(output: &Output) -> Vec<Value> {
    text(&output.stdout)
        .lines()
        .map(|l| serde_json::from_str(l).expect("an object a line"))
        .collect()
}

#[test]
fn exit_codes_follow_what_is_denied_and_allowed() {
    let dir = files(&[
        ("good.rules", GOOD),
        ("odd.rules", ODD),
        ("bad.rules", "iptables -A INPUT -j DORP\n"),
    ]);
    let cases: [(&[&str], i32); 12] = [
        (&["good.rules"], 0),
        (&["good.rules", "--deny", "warnings"], 0),
        (&["odd.rules"], 0),
        (&["odd.rules", "--deny", "warnings"], 1),
        (&["odd.rules", "--deny", "PL006"], 1),
        (&["odd.rules", "--deny", "empty-chain"], 1),
        (&["odd.rules", "--deny", "PL001,PL002"], 0),
        (&["odd.rules", "--deny", "warnings", "--allow", "PL018"], 0),
        (
            &[
                "odd.rules",
                "--deny",
                "warnings,PL006",
                "--allow",
                "pl018,PL006",
            ],
            0,
        ),
        (&["bad.rules"], 2),
        (&["bad.rules", "odd.rules", "--deny", "warnings"], 2),
        (&["odd.rules", "--allow", "PL999"], 2),
    ];
    for (arguments, code) in cases {
        let output = check_in(dir.path(), arguments);
        assert_eq!(
            output.status.code(),
            Some(code),
            "{arguments:?}: {}",
            text(&output.stdout)
        );
    }
    assert_eq!(check_in(dir.path(), &[]).status.code(), Some(2));
}

#[test]
fn a_lint_is_drawn_with_its_number_note_and_help() {
    let dir = files(&[("odd.rules", ODD)]);
    let shown = text(&check_in(dir.path(), &["odd.rules", "--allow", "PL006"]).stdout);
    let expected = "\
warning[PL018]: the same as rule 4 of INPUT (line 9)
  --> odd.rules:11:1
   |
11 | -A INPUT -p tcp --dport 443 -j ACCEPT
   | ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
   = help: delete the second one; in scripts ask first: iptables -C … || iptables -A …

0 errors, 1 warning, 0 notes; palisade check --explain PL… tells more
";
    assert_eq!(shown, expected);
}

#[test]
fn two_files_of_one_host_are_compared_whatever_tells_their_family() {
    let v6 = GOOD.replace("443", "8443").replace(
        "-A INPUT -i lo",
        "-A INPUT -p ipv6-icmp -j ACCEPT\n-A INPUT -i lo",
    );
    let dir = files(&[("a.rules", GOOD), ("b.rules", &v6)]);
    for arguments in [
        &["a.rules", "b.rules"][..],
        &["a.rules", "--rules6", "b.rules"],
    ] {
        let found = json(&check_in(
            dir.path(),
            &[&["--format", "json"], arguments].concat(),
        ));
        let of = |file: &str| {
            found
                .iter()
                .find(|f| f["file"] == file && f["code"] == "PL011")
                .map(|f| f["message"].as_str().unwrap_or_default().to_string())
        };
        assert_eq!(
            of("a.rules").as_deref(),
            Some("open by IPv4 and closed by IPv6: tcp 443")
        );
        assert_eq!(
            of("b.rules").as_deref(),
            Some("open by IPv6 and closed by IPv4: tcp 8443")
        );
    }
    // One family alone has nothing to differ from.
    let alone = text(&check_in(dir.path(), &["a.rules", "a.rules"]).stdout);
    assert!(!alone.contains("PL011"), "{alone}");
}

#[test]
fn sarif_names_rules_regions_and_fixes() {
    let dir = files(&[
        ("odd rules", ODD),
        (
            "bad.sh",
            "# 😀\niptables -A INPUT -m comment --comment '😀' -p tcp -dport 22 -j ACCEPT\n",
        ),
    ]);
    let output = check_in(dir.path(), &["--format", "sarif", "bad.sh", "odd rules"]);
    let log: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(log["version"], "2.1.0");
    let run = &log["runs"][0];
    assert_eq!(run["columnKind"], "utf16CodeUnits");
    let rules = run["tool"]["driver"]["rules"].as_array().expect("rules");
    let results = run["results"].as_array().expect("results");
    for result in results {
        let rule = &rules[result["ruleIndex"].as_u64().expect("index") as usize];
        assert_eq!(rule["id"], result["ruleId"]);
    }
    let found = |id: &str| results.iter().find(|r| r["ruleId"] == id).expect(id);
    let dash = found("one-dash");
    let region = &dash["locations"][0]["physicalLocation"]["region"];
    // The face is one character and two UTF-16 code units.
    assert_eq!(
        (region["startLine"].as_u64(), region["startColumn"].as_u64()),
        (Some(2), Some(52))
    );
    assert_eq!(
        (region["endLine"].as_u64(), region["endColumn"].as_u64()),
        (Some(2), Some(58))
    );
    let replacement = &dash["fixes"][0]["artifactChanges"][0]["replacements"][0];
    assert_eq!(replacement["insertedContent"]["text"], "--dport");
    let twice = found("PL018");
    assert_eq!(twice["level"], "warning");
    assert_eq!(
        twice["locations"][0]["physicalLocation"]["artifactLocation"]["uri"],
        "odd%20rules"
    );
}

#[test]
fn every_lint_explains_itself_and_stands_in_the_list() {
    let dir = files(&[]);
    let list = text(&check_in(dir.path(), &["--list-lints"]).stdout);
    assert!(list.lines().count() > 20, "{list}");
    for line in list.lines() {
        let mut words = line.split_whitespace();
        let (code, name) = (words.next().unwrap(), words.nth(1).unwrap());
        let by_code = check_in(dir.path(), &["--explain", code]);
        assert_eq!(by_code.status.code(), Some(0));
        let shown = text(&by_code.stdout);
        assert!(shown.starts_with(&format!("{code} {name} (")), "{shown}");
        for part in ["What to do: ", "\nBad", "\nGood"] {
            assert!(shown.contains(part), "{code}: no {part}");
        }
        assert_eq!(
            text(&check_in(dir.path(), &["--explain", name]).stdout),
            shown
        );
    }
    let wrong = check_in(dir.path(), &["--explain", "PL01"]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(text(&wrong.stderr).contains("there is no lint 'PL01'"));
}

#[test]
fn a_capture_measures_what_moving_established_first_saves() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let measured = |rules: &str, more: &[&str]| {
        let rules = format!("examples/rules/{rules}.rules");
        let arguments = [
            &[
                rules.as_str(),
                "--pcap",
                "examples/captures/http.pcap",
                "--format",
                "json",
            ],
            more,
        ];
        json(&check_in(&root, &arguments.concat()))
            .into_iter()
            .find(|f| f["code"] == "PL002")
            .map(|f| {
                (
                    f["line"].as_u64(),
                    f["message"].as_str().unwrap_or_default().to_string(),
                )
            })
    };
    assert_eq!(
        measured("webserver-established-last", &[]),
        Some((
            Some(9),
            "a packet of INPUT is asked 2.7 rules in this capture; with this rule first 1.2"
                .to_string()
        ))
    );
    assert_eq!(
        measured("webserver-established-last", &["--allow", "PL002"]),
        None
    );
    assert_eq!(measured("webserver-established-first", &[]), None);
    let wrong = check_in(
        &root,
        &["examples/rules/icmp.rules", "--pcap", "no-such.pcap"],
    );
    assert_eq!(wrong.status.code(), Some(2));
}
