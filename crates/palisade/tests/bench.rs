//! `palisade bench` as a user runs it: names, figures, refusals. How fast anything is, is not asked here.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

fn bench(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_palisade"))
        .arg("bench")
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .expect("palisade runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The objects that cases print.
fn objects(arguments: &[&str]) -> Vec<Value> {
    let mut all = vec!["--quick", "--format", "json"];
    all.extend(arguments);
    let output = bench(&all);
    assert!(
        output.status.success(),
        "{arguments:?}: {}",
        text(&output.stderr)
    );
    assert_eq!(text(&output.stderr), "", "silent without a terminal");
    let lines = text(&output.stdout);
    let object = |line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
    lines.lines().map(object).collect()
}

fn check_object(object: &Value, case: &str, unit: &str) {
    assert_eq!(object["case"], case);
    let number = |name: &str| {
        object[name]
            .as_f64()
            .unwrap_or_else(|| panic!("{case}: {name} in {object}"))
    };
    let (middle, min, max) = (number(unit), number("min"), number("max"));
    assert!(0.0 < min && min <= middle && middle <= max, "{object}");
    assert!(number("rounds") >= 1.0, "{object}");
    if unit == "ns" {
        assert!(number("packets") >= 1.0, "{object}");
    }
}

#[test]
fn every_case_prints_what_its_name_promises() {
    let cases = [
        ("bytes-per-connection", "bytes"),
        ("established-1", "ns"),
        ("established-4096", "ns"),
        ("established-1-tcp", "ns"),
        ("established-4096-tcp", "ns"),
        ("established-100-mixed", "ns"),
        ("new-4096", "ns"),
        ("new-1000-tcp", "ns"),
        ("rules-10", "ns"),
        ("rules-100", "ns"),
        ("classify-acl-100", "ns"),
        ("classify-fw-100", "ns"),
        ("classify-ipc-100", "ns"),
        ("established-at-10", "ns"),
        ("established-at-100", "ns"),
        ("load-1000", "ms"),
        ("append-1000", "ms"),
        ("flood", "ns"),
        ("threads-2", "ratio"),
        ("threads-3", "ratio"),
    ];
    let names: Vec<&str> = cases.iter().map(|(name, _)| *name).collect();
    let objects = objects(&["--cases", &names.join(",")]);
    assert_eq!(objects.len(), cases.len());
    for (object, (case, unit)) in objects.iter().zip(cases) {
        check_object(object, case, unit);
    }
    let of = |case: &str| objects.iter().find(|o| o["case"] == case).expect("a case");
    assert_eq!(of("bytes-per-connection")["must"], 160.0);
    assert_eq!(of("rules-100")["must"]["case"], "rules-10");
    assert!(of("rules-100")["met"].is_boolean());
    assert_eq!(of("established-1")["kernel"][0], 276.0);
    let flood = of("flood");
    assert_eq!(flood["established_sent"], flood["established_passed"]);
    assert_eq!(flood["entries"], flood["entries_allowed"]);
}

#[test]
fn rounds_packets_batch_flows_and_mix_are_as_asked() {
    let asked = [
        "--rounds",
        "3",
        "--packets",
        "100",
        "--batch",
        "7",
        "--flows",
        "50",
        "--mix",
        "mixed",
    ];
    let objects = objects(&asked);
    let cases: Vec<_> = objects
        .iter()
        .map(|o| o["case"].as_str().expect("a name"))
        .collect();
    assert_eq!(cases, ["established-50-mixed", "new-50-mixed"]);
    check_object(&objects[0], "established-50-mixed", "ns");
    assert_eq!(
        (&objects[0]["rounds"], &objects[0]["packets"]),
        (&3.into(), &300.into())
    );
    assert_eq!(objects[1]["packets"], 150);
}

#[test]
fn people_get_a_table() {
    let output = bench(&["--quick", "--cases", "established-1,rules-10"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let table = text(&output.stdout);
    let mut lines = table.lines();
    let head = lines.next().expect("a head");
    for column in [
        "case", "median", "min", "max", "spread", "instr", "must", "aim", "kernel",
    ] {
        assert!(head.contains(column), "{column}: {head}");
    }
    let row = lines.next().expect("a row");
    let words: Vec<&str> = row.split_whitespace().collect();
    assert_eq!(words[0], "established-1");
    for word in &words[1..4] {
        assert!(word.parse::<f64>().is_ok_and(|n| n > 0.0), "{word}: {row}");
    }
    assert!(row.contains("≤ 40") && row.ends_with(" 276"), "{row}");
    assert!(
        lines.next().is_some_and(|row| row.starts_with("rules-10 ")),
        "{table}"
    );
    assert!(table.contains("not on this machine"), "{table}");
}

#[test]
fn unknown_cases_get_the_nearest_one() {
    for (cases, said) in [
        (
            "estblished-65536",
            "there is no case 'estblished-65536'; established-65536?",
        ),
        ("rules-10,flod", "there is no case 'flod'; flood?"),
        ("rules-0", "there is no case 'rules-0'; rules-10?"),
        ("x*", "palisade bench --list names them"),
    ] {
        let output = bench(&["--quick", "--cases", cases]);
        assert_eq!(output.status.code(), Some(2), "{cases}");
        assert!(
            text(&output.stderr).contains(said),
            "{}",
            text(&output.stderr)
        );
        assert_eq!(text(&output.stdout), "");
    }
}

#[test]
fn packets_that_are_judged_otherwise_give_no_figure() {
    // The table has no room for the connections that the case is about.
    let full = ["--sysctl", "net.netfilter.nf_conntrack_max=64"];
    for cases in ["new-1000", "established-1000", "bytes-per-connection"] {
        let output = bench(&[&["--quick", "--cases", cases], &full[..]].concat());
        assert_eq!(output.status.code(), Some(2), "{cases}");
        let said = text(&output.stderr);
        assert!(
            said.contains(&format!("case {cases}")) && said.contains("not judged as they must be"),
            "{said}"
        );
        assert!(said.contains("table"), "{said}");
        assert!(!text(&output.stdout).contains(cases), "{cases}");
    }
}

#[test]
fn wrong_arguments_are_refused() {
    for (arguments, said) in [
        (&["--sysctl", "nf_conntrack_mux=1"][..], "nf_conntrack_max"),
        (&["--sysctl", "nf_conntrack_max"], "NAME=VALUE"),
        (&["--batch", "0"], "--batch"),
        (&["--rounds", "0"], "--rounds"),
        (&["--flows", "16777217"], "16777216 flows"),
        (&["--mix", "sctp"], "udp"),
        (&["--rules", "nowhere.rules"], "nowhere.rules"),
    ] {
        let output = bench(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        let told = text(&output.stderr);
        assert!(told.contains(said), "{arguments:?}: {told}");
        assert_eq!(text(&output.stdout), "");
    }
}

/// Rules in a temporary file.
fn rules(content: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().expect("temporary file");
    file.write_all(content.as_bytes()).expect("written");
    file
}

#[test]
fn rules_of_ones_own_are_entered_where_they_are_open() {
    let file = rules(
        "*filter\n:INPUT DROP [0:0]\n:FORWARD DROP [0:0]\n:OUTPUT ACCEPT [0:0]\n\
         -A INPUT -m conntrack --ctstate ESTABLISHED -j ACCEPT\n\
         -A INPUT -i wan7 -p tcp -m tcp --dport 2022 -j ACCEPT\n\
         -A INPUT -i wan7 -p udp -m udp --dport 2053 -j ACCEPT\nCOMMIT\n",
    );
    let path = file.path().to_str().expect("a path");
    for mix in ["udp", "tcp", "mixed"] {
        let objects = objects(&[
            "--rules",
            path,
            "--flows",
            "100",
            "--mix",
            mix,
            "--packets",
            "500",
        ]);
        assert_eq!(objects.len(), 2, "{mix}");
        for object in &objects {
            assert_eq!(object["passed"], object["packets"], "{mix}: {object}");
            assert!(object.get("warning").is_none(), "{mix}: {object}");
        }
    }
}

#[test]
fn rules_that_let_nothing_in_are_told_of() {
    let file = rules("*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -p udp -j DROP\nCOMMIT\n");
    let path = file.path().to_str().expect("a path");
    let objects = objects(&[
        "--rules",
        path,
        "--cases",
        "established-10",
        "--packets",
        "500",
    ]);
    assert_eq!(objects[0]["passed"], 0);
    let warning = objects[0]["warning"].as_str().expect("a warning");
    assert!(
        warning.contains("did not pass") && warning.contains("filter INPUT rule 1"),
        "{warning}"
    );

    let other = bench(&["--rules", path, "--cases", "rules-10"]);
    assert_eq!(other.status.code(), Some(2));
    assert!(
        text(&other.stderr).contains("rules-10"),
        "{}",
        text(&other.stderr)
    );

    let broken = rules("*filter\n-A INPUT --dport 22 -j ACCEPT\nCOMMIT\n");
    let output = bench(&[
        "--quick",
        "--rules",
        broken.path().to_str().expect("a path"),
    ]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        text(&output.stderr).contains("--dport"),
        "{}",
        text(&output.stderr)
    );
}

#[test]
fn the_list_of_cases_is_in_the_manual() {
    let output = bench(&["--list"]);
    assert!(output.status.success());
    let manual = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/performance.md");
    let manual = std::fs::read_to_string(manual).expect("docs/performance.md");
    let list = text(&output.stdout);
    assert!(list.lines().count() > 20, "{list}");
    for line in list.lines() {
        let name = line.split_whitespace().next().expect("a name");
        // The manual has a row for each kind, with the numbers that are in the list.
        let kind = name
            .trim_end_matches("-tcp")
            .trim_end_matches(|c: char| c.is_ascii_digit());
        assert!(
            manual.contains(&format!("`{kind}")),
            "{name} is not in docs/performance.md"
        );
    }
}
