//! The language: lines as people write them, and how iptables-save 1.8.9 prints them.

use palisade_rules::{Family, Severity, parse, print};
use proptest::prelude::*;

/// Command lines behind `iptables -A INPUT` (or with their own command) and the printed rule; each was
/// loaded and printed by iptables-legacy 1.8.9.
const LINES: &[(&str, &str)] = &[
    (
        "-A INPUT -p TCP --dport ssh -j ACCEPT",
        "-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT",
    ),
    (
        "-A INPUT --proto 6 --destination-port 80:90 -j DROP",
        "-A INPUT -p tcp -m tcp --dport 80:90 -j DROP",
    ),
    (
        "-A INPUT ! -s 10.1.2.3/255.255.0.0 -j DROP",
        "-A INPUT ! -s 10.1.0.0/16 -j DROP",
    ),
    (
        "-A INPUT -p tcp --syn",
        "-A INPUT -p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN",
    ),
    (
        "-A INPUT -p tcp ! --syn -m state --state NEW -j DROP",
        "-A INPUT -p tcp -m tcp ! --tcp-flags FIN,SYN,RST,ACK SYN -m state --state NEW -j DROP",
    ),
    (
        "-A INPUT -p icmp --icmp-type echo-request -j ACCEPT",
        "-A INPUT -p icmp -m icmp --icmp-type 8 -j ACCEPT",
    ),
    (
        "-A INPUT -p icmp --icmp-type 3/4 -j ACCEPT",
        "-A INPUT -p icmp -m icmp --icmp-type 3/4 -j ACCEPT",
    ),
    (
        "-A INPUT -m limit --limit 6/m --limit-burst 10 -j LOG --log-prefix=x",
        "-A INPUT -m limit --limit 6/min --limit-burst 10 -j LOG --log-prefix x",
    ),
    (
        "-A INPUT -j LOG --log-prefix \"two words\" --log-level info",
        "-A INPUT -j LOG --log-prefix \"two words\" --log-level 6",
    ),
    (
        "-A INPUT -j REJECT",
        "-A INPUT -j REJECT --reject-with icmp-port-unreachable",
    ),
    (
        "-A INPUT -p tcp -j REJECT --reject-with tcp-reset",
        "-A INPUT -p tcp -j REJECT --reject-with tcp-reset",
    ),
    (
        "-A INPUT -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT",
        "-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
    ),
    (
        "-A INPUT -p tcp -m multiport --dports 80,443,8000:8080 -j ACCEPT",
        "-A INPUT -p tcp -m multiport --dports 80,443,8000:8080 -j ACCEPT",
    ),
    (
        "-A INPUT -m iprange --src-range 10.9.8.7-10.9.8.10 -j ACCEPT",
        "-A INPUT -m iprange --src-range 10.9.8.7-10.9.8.10 -j ACCEPT",
    ),
    (
        "-A INPUT -m recent --set",
        "-A INPUT -m recent --set --name DEFAULT --mask 255.255.255.255 --rsource",
    ),
    (
        "-A INPUT -m recent --update --seconds 100 --hitcount 10 -j DROP",
        "-A INPUT -m recent --update --seconds 100 --hitcount 10 --name DEFAULT --mask 255.255.255.255 --rsource -j DROP",
    ),
    (
        "-A INPUT -m mark ! --mark 0x10/0xf0 -j DROP",
        "-A INPUT -m mark ! --mark 0x10/0xf0 -j DROP",
    ),
    (
        "-A INPUT -m addrtype --dst-type BROADCAST,MULTICAST -j DROP",
        "-A INPUT -m addrtype --dst-type BROADCAST,MULTICAST -j DROP",
    ),
    (
        "-A INPUT -m length --length 100: -j DROP",
        "-A INPUT -m length --length 100:65535 -j DROP",
    ),
    (
        "-A INPUT -m ttl --ttl-lt 5 -j DROP",
        "-A INPUT -m ttl --ttl-lt 5 -j DROP",
    ),
    (
        "-A INPUT -m mac --mac-source 00:11:22:AA:bb:cc -j DROP",
        "-A INPUT -m mac --mac-source 00:11:22:aa:bb:cc -j DROP",
    ),
    (
        "-A INPUT -m pkttype ! --pkt-type unicast -j DROP",
        "-A INPUT -m pkttype ! --pkt-type unicast -j DROP",
    ),
    (
        "-A INPUT -m helper ! --helper ftp -j DROP",
        "-A INPUT -m helper ! --helper ftp -j DROP",
    ),
    (
        "-A INPUT -m helper --helper \"\" -j DROP",
        "-A INPUT -m helper --helper \"\" -j DROP",
    ),
    // Cut off without a word.
    (
        "-A INPUT -m helper --helper aaaaaaaaaabbbbbbbbbbcccccccccddd -j DROP",
        "-A INPUT -m helper --helper aaaaaaaaaabbbbbbbbbbccccccccc -j DROP",
    ),
    (
        "-A INPUT -m comment --comment \"say \\\"hi\\\"\" -j ACCEPT",
        "-A INPUT -m comment --comment \"say \\\"hi\\\"\" -j ACCEPT",
    ),
    (
        "-A FORWARD -i eth+ ! -o lo -f -j ACCEPT",
        "-A FORWARD -i eth+ ! -o lo -f -j ACCEPT",
    ),
];

fn v4(text: &str) -> (String, Vec<palisade_rules::Diagnostic>) {
    let parsed = parse::script(text);
    let errors = parsed
        .diagnostics
        .iter()
        .filter(|d| d.severity == Severity::Error)
        .cloned()
        .collect();
    (
        parsed.v4.map_or(String::new(), |r| print::save(&r, false)),
        errors,
    )
}

#[test]
fn lines_print_as_iptables_save_prints_them() {
    for (line, expect) in LINES {
        let (printed, errors) = v4(&format!("iptables {line}\n"));
        assert!(errors.is_empty(), "{line}: {errors:?}");
        assert!(printed.lines().any(|l| l == *expect), "{line}\n{printed}");
    }
}

/// Asks the real tool, where it is: the table above is its word, not ours.
#[test]
fn the_real_tool_prints_the_same() {
    let script: String = LINES
        .iter()
        .map(|(line, _)| format!("iptables-legacy {line} || exit 1\n"))
        .collect();
    let run = std::process::Command::new("unshare")
        .args([
            "-n",
            "sh",
            "-c",
            &format!("{script}iptables-legacy-save -t filter"),
        ])
        .output();
    let printed = match run {
        Ok(output) if output.status.success() => {
            String::from_utf8_lossy(&output.stdout).into_owned()
        }
        other => {
            assert!(
                std::env::var_os("PALISADE_REQUIRE_KERNEL").is_none(),
                "needs root, unshare and iptables-legacy: {other:?}"
            );
            eprintln!("SKIPPED: needs root, unshare and iptables-legacy");
            return;
        }
    };
    let real: Vec<&str> = printed.lines().filter(|l| l.starts_with("-A ")).collect();
    let ours: Vec<&str> = LINES.iter().map(|(_, expect)| *expect).collect();
    for line in &ours {
        assert!(
            real.contains(line),
            "the real tool does not print {line}\n{printed}"
        );
    }
}

#[test]
fn what_iptables_refuses_is_refused_with_a_place() {
    for (line, code) in [
        ("-A INPUT -p tcp --dport 90:80 -j DROP", "bad-value"),
        ("-A INPUT -p tcp --dport 70000 -j DROP", "bad-value"),
        ("-A INPUT -s 10.0.0.0/33 -j DROP", "bad-address"),
        ("-A INPUT -s example.org -j DROP", "bad-address"),
        ("-A INPUT -s ! 10.0.0.1 -j DROP", "old-negation"),
        ("-A OUTPUT -i eth0 -j DROP", "interface-in-chain"),
        ("-A INPUT -o eth0 -j DROP", "interface-in-chain"),
        ("-A INPUT -j NOWHERE", "unknown-target"),
        ("-A INPUT -j CT --notrack", "target-in-table"),
        ("-t nat -A PREROUTING -j REJECT", "target-in-table"),
        ("-A INPUT -m stat --state NEW", "unknown-match"),
        ("-A INPUT -m state --state FRESH", "bad-value"),
        ("-A INPUT -m tcp --dport 22", "match-needs-protocol"),
        (
            "-A INPUT -m udp --destination-port 2401 -j DROP",
            "match-needs-protocol",
        ),
        ("-A INPUT -j OUTPUT", "unknown-target"),
        (
            "-t nat -A PREROUTING -d 10.0.0.1 -j REDIRECT --to-ports 2402",
            "target-needs-protocol",
        ),
        (
            "-A INPUT -p udp -j REJECT --reject-with tcp-reset",
            "target-needs-protocol",
        ),
        ("-P INPUT REJECT", "bad-policy"),
        ("-N INPUT", "chain-exists"),
        ("-D INPUT 3", "no-rule"),
        ("-A INPUT -s 10.0.0.1 -s 10.0.0.2", "repeated-option"),
        ("-A INPUT --unknown 3", "unknown-option"),
    ] {
        let (_, errors) = v4(&format!("iptables {line}\n"));
        assert!(errors.iter().any(|e| e.code == code), "{line}: {errors:?}");
    }
}

#[test]
fn loops_of_chains_are_refused() {
    // The kernel sees a loop only once something leads into it.
    let lines = "iptables -N a\niptables -N b\niptables -A a -j b\niptables -A b -j a\n";
    let (_, errors) = v4(lines);
    assert!(errors.is_empty(), "{errors:?}");
    let (_, errors) = v4(&format!("{lines}iptables -A INPUT -j a\n"));
    assert!(errors.iter().any(|e| e.code == "chain-loop"), "{errors:?}");
}

#[test]
fn all_errors_of_a_file_come_in_one_go() {
    let (_, errors) =
        v4("iptables -A input -j DROP\niptables -A INPUT -dport 3\niptables -A INPUT -j DORP\n");
    let lines: Vec<u32> = errors.iter().map(|e| e.line).collect();
    assert_eq!(lines, [1, 2, 3]);
}

proptest! {
    #[test]
    fn any_text_is_survived(text in any::<String>()) {
        for family in [Family::V4, Family::V6] {
            for d in parse::save_file(&text, family).diagnostics {
                prop_assert!(text.get(d.start..d.end).is_some());
            }
        }
        for d in parse::script(&text).diagnostics {
            prop_assert!(text.get(d.start..d.end).is_some());
        }
    }

    #[test]
    fn shuffled_words_are_survived_and_what_is_taken_prints_and_parses_back(
        words in proptest::collection::vec((0..LINES.len(), any::<prop::sample::Index>()), 1..14),
        save in any::<bool>(),
    ) {
        let mut line = String::from("-A INPUT");
        for (at, word) in words {
            let all: Vec<&str> = LINES[at].0.split(' ').collect();
            line.push(' ');
            line.push_str(all[word.index(all.len())]);
        }
        let text = if save { format!("*filter\n{line}\nCOMMIT\n") } else { line };
        let parsed = parse::auto(&text, Family::V4);
        if !parsed.has_errors() && let Some(rules) = parsed.v4 {
            let printed = print::save(&rules, true);
            let again = parse::save_file(&printed, Family::V4);
            prop_assert!(!again.has_errors(), "{printed}\n{:?}", again.diagnostics);
            prop_assert_eq!(print::save(&again.v4.unwrap(), true), printed);
        }
    }

    #[test]
    fn printing_and_parsing_are_inverse(picks in proptest::collection::vec((0..LINES.len(), any::<u32>(), any::<u32>()), 0..10)) {
        let mut text = String::from("*filter\n:INPUT DROP [1:2]\n");
        for (at, packets, bytes) in picks {
            text.push_str(&format!("[{packets}:{bytes}] {}\n", LINES[at].1));
        }
        text.push_str("COMMIT\n");
        let first = parse::save_file(&text, Family::V4);
        prop_assert!(!first.has_errors(), "{:?}", first.diagnostics);
        let printed = print::save(first.v4.as_ref().unwrap(), true);
        let second = parse::save_file(&printed, Family::V4).v4.unwrap();
        prop_assert_eq!(print::save(&second, true), printed);
    }
}
