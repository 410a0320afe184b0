//! The command as a user runs it: exit codes, texts, formats.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn palisade(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_palisade"))
        .args(arguments)
        .current_dir(root())
        .stdin(Stdio::null())
        .output()
        .expect("palisade runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A rules file in a temporary directory.
fn rules_file(content: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().expect("temporary file");
    file.write_all(content.as_bytes()).expect("written");
    file
}

#[test]
fn wrong_commands_are_underlined_and_repaired() {
    // What people type, the underlined words, what the help must offer.
    let cases = [
        (
            "iptables -A INPUT -p tcp -m state NEW --state -j ACCEPT",
            "NEW --state",
            "-m state --state NEW",
        ),
        (
            "iptables -A INPUT -p tcp -m state NEW,ESTABLISHED,RELATED --state -j ACCEPT",
            "NEW,ESTABLISHED,RELATED --state",
            "--state NEW,ESTABLISHED,RELATED",
        ),
        (
            "iptables -A INPUT --dport 21 -m state --state NEW -j ACCEPT",
            "--dport",
            "-p tcp (or udp, sctp) before --dport",
        ),
        (
            "iptables -A INPUT -p tcp -dport 22 -j ACCEPT",
            "-dport",
            "--dport",
        ),
        (
            "iptables -A INPUT -p tcp -sport 22 -j ACCEPT",
            "-sport",
            "--sport",
        ),
        (
            "iptables -A input -p tcp --dport 22 -j ACCEPT",
            "input",
            "INPUT",
        ),
        (
            "iptables OUTPUT -p TCP --dport 20 -j ACCEPT",
            "OUTPUT",
            "-A OUTPUT",
        ),
        (
            "iptables -A INPUT -DROP",
            "-DROP",
            "-j DROP to drop what the rule matches, or -P INPUT DROP",
        ),
        (
            "iptables -A INPUT --proto tcp --port 22 -j ACCEPT",
            "--port",
            "--dport 22, or -m multiport --ports 22",
        ),
    ];
    for (line, underlined, help) in cases {
        let file = rules_file(line);
        let output = palisade(&["check", "--color", "never", file.path().to_str().unwrap()]);
        let shown = text(&output.stdout);
        assert_eq!(output.status.code(), Some(2), "{line}\n{shown}");
        let at = line.find(&format!(" {underlined}")).unwrap() + 1;
        let mark = format!("| {}{}\n", " ".repeat(at), "^".repeat(underlined.len()));
        assert!(shown.contains(&mark), "{line}: wrong underline\n{shown}");
        let advice = shown
            .lines()
            .find(|l| l.contains("help:"))
            .unwrap_or_default();
        assert!(advice.contains(help), "{line}: wrong help\n{shown}");
    }
    let file = rules_file("modprobe ip_conntrack_ftp\n");
    let output = palisade(&["check", file.path().to_str().unwrap()]);
    let shown = text(&output.stdout);
    assert!(
        shown.contains("-t raw -A PREROUTING -p tcp --dport 21 -j CT --helper ftp"),
        "{shown}"
    );
}

#[test]
fn an_ftp_session_names_parent_and_announcing_bytes() {
    let run = |rules: &str| {
        let output = palisade(&[
            "trace",
            "--rules",
            rules,
            "--pcap",
            "examples/captures/ftp-active.pcap",
            "--host",
            "examples/captures/host.toml",
            "--format",
            "json",
        ]);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        text(&output.stdout)
            .lines()
            .map(|l| serde_json::from_str::<serde_json::Value>(l).expect("JSON"))
            .collect::<Vec<_>>()
    };
    let with = run("examples/rules/ftp-server.rules");
    assert_eq!(
        (&with[0]["ctstate"], &with[1]["ctstate"]),
        (&"NEW".into(), &"ESTABLISHED".into())
    );
    let related: Vec<_> = with.iter().filter(|l| l["ctstate"] == "RELATED").collect();
    assert_eq!(related.len(), 1);
    assert_eq!(related[0]["ct"]["master"], 1);
    assert!(
        related[0]["why"]
            .as_str()
            .unwrap()
            .contains("PORT 203,0,113,9,")
    );
    let n = related[0]["n"].as_u64().unwrap();
    let without = run("examples/rules/ftp-server-no-helper.rules");
    let same = &without[(n - 1) as usize];
    assert_eq!((&same["n"], &same["ctstate"]), (&n.into(), &"NEW".into()));
    for (i, line) in with[..with.len() - 1].iter().enumerate() {
        assert_eq!(line["n"], i as u64 + 1);
    }
    assert!(with.last().unwrap()["summary"]["frames"].is_u64());
}

/// Every line of JSON has the fields of the schema, and no others.
#[test]
fn json_keeps_its_contract() {
    let schema = std::fs::read_to_string(root().join("docs/trace.schema.json")).expect("schema");
    let schema: serde_json::Value = serde_json::from_str(&schema).expect("schema");
    let packet = &schema["$defs"]["packet"];
    let fits = |value: &serde_json::Value, wanted: &serde_json::Value| {
        let one = |name: &str| match name {
            "null" => value.is_null(),
            "string" => value.is_string(),
            "number" => value.is_number(),
            "integer" => value.is_u64(),
            "boolean" => value.is_boolean(),
            "array" => value.is_array(),
            "object" => value.is_object(),
            other => panic!("schema type {other}"),
        };
        match wanted {
            serde_json::Value::String(name) => one(name),
            serde_json::Value::Array(names) => names.iter().any(|n| one(n.as_str().unwrap())),
            other => panic!("schema {other}"),
        }
    };
    let mut lines = 0;
    for capture in [
        "ftp-active",
        "ftp-epsv-v6",
        "http",
        "ping",
        "ping6",
        "traceroute-udp",
    ] {
        let pcap = format!("examples/captures/{capture}.pcap");
        let output = palisade(&[
            "trace",
            "--rules",
            "examples/rules/ftp-server.rules",
            "--pcap",
            &pcap,
            "--host",
            "examples/captures/host.toml",
            "--format",
            "json",
            "--hex",
        ]);
        for line in text(&output.stdout).lines() {
            let value: serde_json::Value = serde_json::from_str(line).expect("JSON");
            if value.get("summary").is_some() {
                continue;
            }
            lines += 1;
            for key in packet["required"].as_array().unwrap() {
                let key = key.as_str().unwrap();
                assert!(value.get(key).is_some(), "{key} missing in {line}");
            }
            for (key, field) in value.as_object().unwrap() {
                let wanted = &packet["properties"][key]["type"];
                assert!(fits(field, wanted), "{key} in {line}");
            }
        }
    }
    assert!(lines > 90);
}

#[test]
fn exit_codes_tell_yes_no_and_bad_input() {
    let script = |content: &str| {
        let file = rules_file(content);
        let output = palisade(&["trace", "--script", file.path().to_str().unwrap()]);
        (
            output.status.code(),
            text(&output.stdout) + &text(&output.stderr),
        )
    };
    let head = "interface wan0 203.0.113.1/24\nhost client 203.0.113.9\nrules {\n-A INPUT -p tcp --dport 22 -j DROP\n}\n";
    let (code, _) = script(&format!(
        "{head}client:40000 > wan0:22 tcp S\nexpect NEW DROP by INPUT 1\n"
    ));
    assert_eq!(code, Some(0));
    let (code, shown) = script(&format!(
        "{head}client:40000 > wan0:22 tcp S\nexpect NEW ACCEPT\n"
    ));
    assert_eq!(code, Some(1));
    assert!(
        shown.contains("expected") && shown.contains("DROP"),
        "{shown}"
    );
    let (code, shown) = script("interface wan0 nonsense\n");
    assert_eq!(code, Some(2), "{shown}");
    for arguments in [
        &["trace"][..],
        &["trace", "--pcap", "no-such-file.pcap"],
        &["trace", "--pcap", "Cargo.toml"],
        &[
            "trace",
            "--pcap",
            "examples/captures/ping.pcap",
            "--sysctl",
            "nf_conntrack_tcp_lose=1",
        ],
        &[
            "trace",
            "--pcap",
            "examples/captures/ping.pcap",
            "--only",
            "99",
        ],
        &[
            "trace",
            "--pcap",
            "examples/captures/ping.pcap",
            "--interface",
            "wan0",
        ],
        &["check", "no-such-file"],
    ] {
        let output = palisade(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(!output.stderr.is_empty(), "{arguments:?}");
    }
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_palisade"))
        .args(["trace", "--pcap", "examples/captures/ftp-active.pcap"])
        .current_dir(root())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("palisade runs");
    drop(child.stdout.take());
    assert_eq!(child.wait().expect("ends").code(), Some(0));
}

#[test]
fn colour_only_when_wanted() {
    let run = |color: &str| {
        text(
            &palisade(&[
                "trace",
                "--pcap",
                "examples/captures/ping.pcap",
                "--color",
                color,
            ])
            .stdout,
        )
    };
    assert!(!run("auto").contains('\u{1b}'));
    assert!(run("always").contains('\u{1b}'));
    assert!(!run("never").contains('\u{1b}'));
}

#[test]
fn accepted_packets_are_written_and_counters_and_table_shown() {
    let directory = tempfile::tempdir().expect("directory");
    let kept = directory.path().join("kept.pcap");
    let output = palisade(&[
        "trace",
        "--rules",
        "examples/rules/ftp-server.rules",
        "--pcap",
        "examples/captures/ping.pcap",
        "--host",
        "examples/captures/host.toml",
        "--counters",
        "--conntrack",
        "--write-accepted",
        kept.to_str().unwrap(),
    ]);
    let shown = text(&output.stdout);
    assert!(
        shown.contains("[3:252] -A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT")
            || shown.contains("-A FORWARD -p icmp -m icmp --icmp-type 8 -j ACCEPT"),
        "{shown}"
    );
    assert!(shown.contains("ipv4     2 icmp     1 "), "{shown}");
    let again = palisade(&[
        "trace",
        "--pcap",
        kept.to_str().unwrap(),
        "--format",
        "json",
        "--summary",
    ]);
    assert!(
        text(&again.stdout).contains("\"frames\":6"),
        "{}",
        text(&again.stdout)
    );
}

#[test]
fn fmt_prints_what_iptables_save_would() {
    let file = rules_file(
        "iptables -P INPUT DROP\niptables -A INPUT -p TCP --dport ssh -s 10.0.0.0/255.0.0.0 -j ACCEPT\n",
    );
    let output = palisade(&["fmt", file.path().to_str().unwrap()]);
    assert_eq!(
        text(&output.stdout),
        "*filter\n:INPUT DROP [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n\
         -A INPUT -s 10.0.0.0/8 -p tcp -m tcp --dport 22 -j ACCEPT\nCOMMIT\n"
    );
}

#[test]
fn fmt_keeps_comments_above_their_rules_when_asked() {
    let file = rules_file(
        "# Generated by iptables-save v1.8.9 on Sat Nov 21 11:05:37 2026\n\
         # our host\n*nat\n-A POSTROUTING -o eth0 -j MASQUERADE\nCOMMIT\n\
         # Completed on Sat Nov 21 11:05:37 2026\n\n\n\
         *filter\n# nobody in\n:INPUT DROP\n\n# ssh\n# from inside\n\
         -A INPUT -p tcp --dport ssh -s 10.0.0.1,10.0.0.2 -j ACCEPT\n\
         # done\nCOMMIT\n# the end\n",
    );
    let path = file.path().to_str().unwrap();
    let nat = "*nat\n:PREROUTING ACCEPT [0:0]\n:INPUT ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n\
               :POSTROUTING ACCEPT [0:0]\n-A POSTROUTING -o eth0 -j MASQUERADE\nCOMMIT\n";
    let filter = "*filter\n# nobody in\n:INPUT DROP [0:0]\n:FORWARD ACCEPT [0:0]\n\
                  :OUTPUT ACCEPT [0:0]\n\n# ssh\n# from inside\n\
                  -A INPUT -s 10.0.0.1/32 -p tcp -m tcp --dport 22 -j ACCEPT\n\
                  -A INPUT -s 10.0.0.2/32 -p tcp -m tcp --dport 22 -j ACCEPT\n\
                  # done\nCOMMIT\n";
    for tools in ["legacy", "nft"] {
        let output = palisade(&["fmt", "--keep-comments", "--as", tools, path]);
        // Both happen to print filter before nat, for reasons of their own.
        let expect = format!("{filter}# our host\n{nat}# the end\n");
        assert_eq!(text(&output.stdout), expect, "{tools}");
    }
    let plain = palisade(&["fmt", path]);
    assert!(!text(&plain.stdout).contains('#'));
}

#[test]
fn fmt_refuses_what_only_one_of_the_tools_refuses() {
    let file = rules_file("*filter\n:UNUSED [0:0]\nCOMMIT\n");
    let path = file.path().to_str().unwrap();
    assert_eq!(palisade(&["fmt", path]).status.code(), Some(2));
    let nft = palisade(&["fmt", "--as", "nft", path]);
    assert_eq!(nft.status.code(), Some(0), "{}", text(&nft.stderr));
}

#[test]
fn thresholds_of_a_host_file_need_no_order() {
    let run = |low: &str| {
        // The lower one comes second, in the file and in the alphabet.
        let host = rules_file(&format!(
            "[sysctls]\nipfrag_high_thresh = 1000\nipfrag_low_thresh = {low}\n"
        ));
        palisade(&[
            "trace",
            "--rules",
            "examples/rules/ftp-server.rules",
            "--pcap",
            "examples/captures/ftp-active.pcap",
            "--host",
            host.path().to_str().unwrap(),
            "--summary",
        ])
    };
    assert_eq!(run("500").status.code(), Some(0));
    let wrong = run("1001");
    assert_eq!(wrong.status.code(), Some(2));
    let shown = text(&wrong.stderr);
    assert!(shown.contains("'1000' is not a number from"), "{shown}");
}

#[test]
fn a_host_file_declares_timeout_policies_and_labels() {
    let rules = rules_file(
        "*raw\n:PREROUTING ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n-A PREROUTING -p tcp -j CT --timeout web\nCOMMIT\n\
         *filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n\
         -A FORWARD -m connlabel --label bulk --set -j ACCEPT\nCOMMIT\n",
    );
    for (host, code, says) in [
        (
            "[timeout.web]\nprotocol = \"tcp\"\nestablished = 100\n[labels]\nbulk = 5\n",
            0,
            "",
        ),
        (
            "[labels]\nbulk = 5\n",
            2,
            "there is no timeout policy 'web'; declare it: [timeout.web]",
        ),
        (
            "[timeout.web]\nprotocol = \"udp\"\n[labels]\nbulk = 5\n",
            2,
            "timeout policy 'web' is for udp, and the rule is for protocol 6",
        ),
        (
            "[timeout.web]\nprotocol = \"tcp\"\nreplied = 5\n",
            2,
            "tcp has no timeout 'replied'; it has syn_sent",
        ),
        (
            "[timeout.web]\nprotocol = \"tcp\"\n",
            2,
            "there is no connection label 'bulk'",
        ),
        ("[labels]\nbulk = 128\n", 2, "labels go from 0 to 127"),
    ] {
        let host = rules_file(host);
        let output = palisade(&[
            "trace",
            "--rules",
            rules.path().to_str().unwrap(),
            "--pcap",
            "examples/captures/ftp-active.pcap",
            "--host",
            host.path().to_str().unwrap(),
            "--summary",
        ]);
        let shown = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{shown}");
        assert!(shown.contains(says), "{shown}");
    }
}

#[test]
fn what_targets_change_is_told_and_the_host_file_says_an_mtu() {
    let rules = rules_file(
        "*mangle\n:PREROUTING ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n\
         -A PREROUTING -j TTL --ttl-set 9\n\
         -A PREROUTING -j DSCP --set-dscp-class EF\n\
         -A FORWARD -p tcp --tcp-flags SYN,RST SYN -j TCPMSS --clamp-mss-to-pmtu\n\
         -A FORWARD -p tcp -j TCPOPTSTRIP --strip-options timestamp,wscale\nCOMMIT\n",
    );
    for (host, mss) in [
        (
            "[interfaces.lan0]\nprefixes = [\"0.0.0.0/0\"]\nmtu = 1400\n",
            true,
        ),
        ("[interfaces.lan0]\nprefixes = [\"0.0.0.0/0\"]\n", false),
    ] {
        let host = rules_file(host);
        let output = palisade(&[
            "trace",
            "--rules",
            rules.path().to_str().unwrap(),
            "--pcap",
            "examples/captures/ftp-active.pcap",
            "--host",
            host.path().to_str().unwrap(),
            "--only",
            "1",
        ]);
        let shown = text(&output.stdout);
        for line in [
            "TTL 64 → 9",
            "DSCP 0x00 → 0x2e",
            "2 TCP options overwritten",
        ] {
            assert!(shown.contains(line), "{shown}");
        }
        assert_eq!(shown.contains("MSS 1460 → 1360"), mss, "{shown}");
    }
}

#[test]
fn a_set_that_is_not_given_leaves_packets_unknown_and_says_which() {
    let rules = rules_file(
        "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n\
         -A FORWARD -m set --match-set bad src -j DROP\n-A INPUT -m set --match-set bad src -j DROP\n\
         -A OUTPUT -m set --match-set bad src -j DROP\nCOMMIT\n",
    );
    let sets = rules_file("create bad hash:net\nadd bad 0.0.0.0/1\nadd bad 128.0.0.0/1\n");
    let other = rules_file("create bat hash:net\n");
    let broken = rules_file("create bad hash:ne\n");
    let host = rules_file(&format!("ipsets = \"{}\"\n", sets.path().display()));
    let path = |file: &tempfile::NamedTempFile| file.path().to_str().unwrap().to_string();
    for (extra, code, out, err) in [
        (None, 0, "UNKNOWN", "set bad is not given"),
        (Some(("--ipset", path(&sets))), 0, "DROP", ""),
        (Some(("--host", path(&host))), 0, "DROP", ""),
        (
            Some(("--ipset", path(&other))),
            2,
            "",
            "set bad does not exist",
        ),
        (
            Some(("--ipset", path(&broken))),
            2,
            "",
            "there is no set type 'hash:ne'",
        ),
    ] {
        let rules = path(&rules);
        let mut arguments = vec!["trace", "--rules", &rules, "--summary", "--pcap"];
        arguments.push("examples/captures/ftp-active.pcap");
        if let Some((option, file)) = &extra {
            arguments.extend([*option, file.as_str()]);
        }
        let run = palisade(&arguments);
        assert_eq!(
            run.status.code(),
            Some(code),
            "{extra:?}: {}",
            text(&run.stderr)
        );
        assert!(
            text(&run.stdout).contains(out),
            "{extra:?}: {}",
            text(&run.stdout)
        );
        assert!(
            text(&run.stderr).contains(err),
            "{extra:?}: {}",
            text(&run.stderr)
        );
    }
    let unknown = palisade(&[
        "trace",
        "--rules",
        &path(&rules),
        "--pcap",
        "examples/captures/ftp-active.pcap",
        "--only",
        "1",
    ]);
    let shown = text(&unknown.stdout);
    assert!(shown.contains("set bad is not given"), "{shown}");
    let check = palisade(&["check", "--ipset", &path(&sets), &path(&rules)]);
    assert_eq!(check.status.code(), Some(0), "{}", text(&check.stdout));
    let check = palisade(&["check", "--deny", "warnings", &path(&rules)]);
    assert_eq!(check.status.code(), Some(1), "{}", text(&check.stdout));
}

#[test]
fn the_host_file_says_what_no_packet_shows() {
    let rules = rules_file(
        "iptables -A FORWARD -m nfacct --nfacct-name web\n\
         iptables -A FORWARD -m cpu --cpu 0\n\
         iptables -A FORWARD -m cpu ! --cpu 0\n",
    );
    let host = std::fs::read_to_string(root().join("examples/captures/host.toml")).expect("host");
    let more = "processors = 1\n[nfacct.web]\nquota_packets = 14\npackets = 10\n";
    let told = rules_file(&format!("{more}{host}"));
    let trace = |host: &str| {
        let output = palisade(&[
            "trace",
            "--rules",
            rules.path().to_str().unwrap(),
            "--pcap",
            "examples/captures/ping.pcap",
            "--host",
            host,
            "--counters",
        ]);
        text(&output.stdout)
    };
    let shown = trace(told.path().to_str().unwrap());
    for line in [
        "[2:168] -A FORWARD -m nfacct --nfacct-name  web",
        "[6:504] -A FORWARD -m cpu --cpu 0",
        "[0:0] -A FORWARD -m cpu ! --cpu 0",
    ] {
        assert!(shown.contains(line), "{line}: {shown}");
    }
    // Nobody knows the processor, and an object without a quota always matches.
    let shown = trace("examples/captures/host.toml");
    for line in [
        "[6:504] -A FORWARD -m nfacct --nfacct-name  web",
        "[0:0] -A FORWARD -m cpu --cpu 0",
    ] {
        assert!(shown.contains(line), "{line}: {shown}");
    }
}

#[test]
fn host_names_are_looked_up_only_when_asked() {
    let folder = tempfile::tempdir().expect("a folder");
    let rules = folder.path().join("rules.v4");
    let text = "*filter\n-A INPUT -s no-such-host.invalid -j DROP\nCOMMIT\n";
    std::fs::write(&rules, text).expect("rules");
    let path = rules.to_str().expect("a path");
    let fmt = |arguments: &[&str]| {
        std::process::Command::new(env!("CARGO_BIN_EXE_palisade"))
            .args(arguments)
            .env("NO_COLOR", "1")
            .output()
            .expect("palisade runs")
    };
    let refused = fmt(&["fmt", path]);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(2));
    assert!(said.contains("names are not resolved here"), "{said}");
    assert!(said.contains("--resolve"), "{said}");
    // A name that nobody has is refused all the same.
    assert_eq!(fmt(&["fmt", "--resolve", path]).status.code(), Some(2));
}

/// Without packets: which chains are walked, and which are looked up.
#[test]
fn how_rules_are_found_is_told() {
    let mut rules = String::from("*filter\n:FORWARD ACCEPT [0:0]\n:FEW - [0:0]\n");
    for n in 0..40 {
        rules += &format!("-A FORWARD -s 10.0.0.{n} -j DROP\n");
    }
    rules += "-A FEW -j RETURN\nCOMMIT\n";
    let file = rules_file(&rules);
    let path = file.path().to_str().expect("path");
    let human = palisade(&["trace", "--rules", path, "--explain-program"]);
    assert_eq!(human.status.code(), Some(0), "{}", text(&human.stderr));
    let human = text(&human.stdout);
    assert!(
        human.contains("filter   FORWARD       40  tables "),
        "{human}"
    );
    assert!(
        human.contains("filter   FEW            1  walk "),
        "{human}"
    );
    let json = palisade(&[
        "trace",
        "--rules",
        path,
        "--explain-program",
        "--format",
        "json",
    ]);
    let lines: Vec<serde_json::Value> = text(&json.stdout)
        .lines()
        .map(|l| serde_json::from_str(l).expect("JSON"))
        .collect();
    assert_eq!(lines.len(), 4);
    let forward = &lines[1]["program"];
    assert_eq!(forward["chain"], "FORWARD");
    assert_eq!(forward["tables"], 1);
    assert_eq!(forward["longest"], 1);
}
