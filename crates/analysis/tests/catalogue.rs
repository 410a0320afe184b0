//! Every lint on its own examples, and the page that is made of them.

use std::path::Path;

use palisade_analysis::{CATALOGUE, Example, Finding, Source, check, reference};
use palisade_rules::{Family, Parsed, Severity, parse};

/// Parses an example and runs all lints; each finding comes with the text that it underlines.
fn found(example: &Example) -> Vec<(Finding, String)> {
    let texts: Vec<(&str, Parsed)> = [(example.v4, Family::V4), (example.v6, Family::V6)]
        .into_iter()
        .filter(|(text, _)| !text.is_empty())
        .map(|(text, family)| (text, parse::save_file(text, family)))
        .collect();
    for (text, parsed) in &texts {
        assert!(!parsed.has_errors(), "{text}: {:?}", parsed.diagnostics);
    }
    let sources: Vec<Source<'_>> = texts
        .iter()
        .map(|(text, parsed)| Source { text, parsed })
        .collect();
    check(&sources)
        .into_iter()
        .map(|f| {
            let at = sources[f.file].text[f.start..f.end].to_string();
            (f, at)
        })
        .collect()
}

#[test]
fn each_lint_finds_its_bad_example_once_at_its_place() {
    for lint in CATALOGUE {
        let all = found(&lint.bad);
        let mine: Vec<&(Finding, String)> = all
            .iter()
            .filter(|(f, _)| f.lint.code == lint.code)
            .collect();
        let [(finding, at)] = mine.as_slice() else {
            panic!(
                "{}: found {} times in {:?}",
                lint.code,
                mine.len(),
                lint.bad
            );
        };
        assert_eq!(at, lint.at, "{}: {}", lint.code, finding.message);
        let source = if lint.bad.v4.is_empty() || finding.file == 1 {
            lint.bad.v6
        } else {
            lint.bad.v4
        };
        let line = source.lines().nth(finding.line as usize - 1).unwrap();
        assert!(line.contains(lint.at), "{}: line {line}", lint.code);
        assert!(!finding.help.is_empty() && !finding.message.ends_with('.'));
    }
}

#[test]
fn no_lint_finds_its_good_example_and_no_good_example_deserves_a_warning() {
    for lint in CATALOGUE {
        for (finding, at) in found(&lint.good) {
            assert_ne!(finding.lint.code, lint.code, "{at}: {}", finding.message);
            assert!(
                finding.lint.severity < Severity::Warning,
                "the good example of {} shows {}: {}",
                lint.code,
                finding.lint.code,
                finding.message
            );
        }
    }
}

#[test]
fn what_a_lint_offers_as_an_edit_mends_its_bad_example() {
    let mut edits = 0;
    for lint in CATALOGUE.iter().filter(|l| !l.bad.v4.is_empty()) {
        for (finding, _) in found(&lint.bad) {
            let Some(edit) = finding
                .replacement
                .filter(|_| finding.lint.code == lint.code)
            else {
                continue;
            };
            edits += 1;
            let mut text = lint.bad.v4.to_string();
            text.replace_range(edit.start..edit.end, &edit.text);
            assert!(
                !codes(&text).contains(&lint.code),
                "{} finds its own repair:\n{text}",
                lint.code
            );
        }
    }
    assert!(edits >= 5, "{edits} edits");
}

#[test]
fn numbers_and_names_are_unique_and_in_order() {
    for (i, lint) in CATALOGUE.iter().enumerate() {
        assert_eq!(lint.code, format!("PL{i:03}"));
        assert!(CATALOGUE.iter().filter(|l| l.name == lint.name).count() == 1);
        assert!(
            lint.reason.len() > 150,
            "{}: a paragraph, please",
            lint.code
        );
    }
}

#[test]
fn the_page_of_lints_is_up_to_date() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/lints.md");
    let wanted = reference();
    if std::env::var_os("PALISADE_BLESS").is_some() {
        std::fs::write(&page, &wanted).expect("written");
    }
    let there = std::fs::read_to_string(&page).unwrap_or_default();
    assert!(
        there == wanted,
        "docs/lints.md differs from the catalogue; run this test with PALISADE_BLESS=1"
    );
}

/// Codes found in a text, in order.
fn codes(text: &str) -> Vec<&'static str> {
    let parsed = parse::auto(text, Family::V4);
    assert!(!parsed.has_errors(), "{text}: {:?}", parsed.diagnostics);
    check(&[Source {
        text,
        parsed: &parsed,
    }])
    .into_iter()
    .map(|f| f.lint.code)
    .collect()
}

#[test]
fn comments_allow_for_a_line_for_the_next_line_and_for_a_file() {
    let log = "-A INPUT -p tcp --dport 2323 -j LOG";
    let cases = [
        (format!("*filter\n{log}\nCOMMIT\n"), vec!["PL008"]),
        (
            format!("*filter\n# palisade: allow PL008 wanted\n{log}\nCOMMIT\n"),
            vec![],
        ),
        (
            format!("# palisade: allow pl008\n*filter\n{log}\nCOMMIT\n"),
            vec![],
        ),
        // A comment that speaks of another line does not help, and is told so.
        (
            format!(
                "*filter\n# palisade: allow PL008\n-A INPUT -s 192.0.2.1 -j DROP\n{log}\nCOMMIT\n"
            ),
            vec!["PL000", "PL008"],
        ),
        (
            format!("iptables {log} # palisade: allow PL008 wanted\n"),
            vec![],
        ),
        (
            format!(
                "iptables -P INPUT ACCEPT\n# palisade: allow PL008, PL001 wanted\niptables {log}\n"
            ),
            vec!["PL000"],
        ),
        (
            format!("*filter\n# palisade: allow PL999\n{log}\nCOMMIT\n"),
            vec!["PL000", "PL008"],
        ),
    ];
    for (text, expect) in cases {
        assert_eq!(codes(&text), expect, "{text}");
    }
}

/// A ruleset of Docker with port 8080 published to a container's port 80, and INPUT as given.
fn docker(input: &str) -> String {
    format!(
        "*nat\n:PREROUTING ACCEPT [0:0]\n:DOCKER - [0:0]\n-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER\n\
         -A DOCKER ! -i docker0 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.17.0.2:80\nCOMMIT\n\
         *filter\n{input}:FORWARD DROP [0:0]\n:DOCKER - [0:0]\n\
         -A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n-A FORWARD -o docker0 -j DOCKER\n\
         -A FORWARD -i docker0 -j ACCEPT\n\
         -A DOCKER -d 172.17.0.2/32 ! -i docker0 -o docker0 -p tcp -m tcp --dport 80 -j ACCEPT\nCOMMIT\n"
    )
}

#[test]
fn what_surrounds_a_rule_decides() {
    let drop = ":INPUT DROP [0:0]\n-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n-A INPUT -i lo -j ACCEPT\n";
    let closed = |rules: &str| {
        let services = if rules.contains("services") {
            ":services - [0:0]\n"
        } else {
            ""
        };
        format!(
            "*filter\n:INPUT DROP [0:0]\n{services}-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n\
             -A INPUT -i lo -j ACCEPT\n{rules}COMMIT\n"
        )
    };
    let cases: Vec<(&str, String, &[&str])> = vec![
        ("Docker alone is no alarm", docker(":INPUT ACCEPT [0:0]\n"), &[]),
        ("a published port passes by a closed INPUT", docker(drop), &["PL015"]),
        (
            "INVALID is dropped in the chain that was called before",
            closed("-A INPUT -j services\n-A INPUT -p tcp --dport 443 -j ACCEPT\n-A services -m state --state INVALID -j DROP\n"),
            &[],
        ),
        (
            "INVALID reaches a port two chains deep",
            closed("-A INPUT -i eth0 -j services\n-A services -p tcp --dport 443 -j ACCEPT\n"),
            &["PL001"],
        ),
        (
            "RETURN leaves the rules behind it to nobody",
            closed("-A INPUT -p tcp -j services\n-A INPUT -p tcp --dport 443 -m state --state INVALID -j DROP\n-A services -j RETURN\n-A services -p tcp --dport 443 -j ACCEPT\n"),
            &["PL013"],
        ),
        (
            "a rule behind a chain that ends every packet",
            closed("-A INPUT -j services\n-A INPUT -p udp --dport 53 -j ACCEPT\n-A services -p udp --dport 123 -j ACCEPT\n-A services -j DROP\n"),
            &["PL013"],
        ),
        (
            "a limit does not shadow",
            closed("-A INPUT -p udp -m limit --limit 5/sec -j ACCEPT\n-A INPUT -p udp --dport 53 -j ACCEPT\n"),
            &[],
        ),
        (
            "what exceeds a limit is accepted by others together with the policy",
            "*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -p tcp --syn -m limit --limit 5/sec -j ACCEPT\n-A INPUT -i lo -j ACCEPT\nCOMMIT\n".into(),
            &["PL017"],
        ),
        (
            "what exceeds a limit may be refused on the way",
            "*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -p tcp --syn -m limit --limit 5/sec -j ACCEPT\n-A INPUT -p tcp --dport 25 -j DROP\nCOMMIT\n".into(),
            &[],
        ),
        (
            "a mark may change between two equal questions",
            closed("-A INPUT -m mark --mark 1 -j DROP\n-A INPUT -j services\n-A INPUT -m mark --mark 1 -p udp -j ACCEPT\n-A services -p udp -j MARK --set-mark 1\n"),
            &[],
        ),
        (
            "the wider negation shadows",
            closed("-A INPUT ! -s 10.0.0.0/8 -p udp -j DROP\n-A INPUT -s 192.0.2.0/24 -p udp --dport 53 -j ACCEPT\n"),
            &["PL005"],
        ),
        (
            "ssh behind a count is no open door",
            closed("-A INPUT -p tcp --dport 22 -m state --state NEW -m recent --name ssh --set\n-A INPUT -p tcp --syn --dport 22 -m recent --name ssh --update --seconds 60 --hitcount 4 -j DROP\n-A INPUT -p tcp --syn --dport 22 -m state --state NEW -j ACCEPT\n"),
            &[],
        ),
        (
            "ssh behind a chain of fail2ban is no open door",
            closed("-A INPUT -p tcp -m multiport --dports 22 -j services\n-A INPUT -p tcp --dport 22 --syn -m state --state NEW -j ACCEPT\n-A services -s 192.0.2.1 -j DROP\n")
                .replace("services", "f2b-sshd"),
            &[],
        ),
        (
            "a blocklist leaves the rest to the policy",
            "*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -s 192.0.2.1 -p tcp --dport 25 -j ACCEPT\n-A INPUT -p tcp --dport 25 -j DROP\nCOMMIT\n".into(),
            &[],
        ),
    ];
    for (what, text, expect) in cases {
        assert_eq!(codes(&text), expect, "{what}:\n{text}");
    }
}

#[test]
fn counters_tell_what_the_move_would_save() {
    // 1000 packets: 10 of them new to four ports, the rest established.
    let text = "*filter\n:INPUT DROP [0:0]\n[0:0] -A INPUT -i lo -j ACCEPT\n[4:400] -A INPUT -p udp --dport 53 -j ACCEPT\n\
                [3:300] -A INPUT -p udp --dport 123 -j ACCEPT\n[3:300] -A INPUT -p udp --dport 514 -j ACCEPT\n\
                [990:99000] -A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\nCOMMIT\n";
    let parsed = parse::save_file(text, Family::V4);
    let found = check(&[Source {
        text,
        parsed: &parsed,
    }]);
    let late = found
        .iter()
        .find(|f| f.lint.code == "PL002")
        .expect("PL002");
    // Before: 1000 + 1000 + 996 + 993 + 990. After: 1000 + 10 + 10 + 6 + 3.
    assert_eq!(
        late.message,
        "5.0 rules are asked per packet of INPUT; with this rule first it would be 1.0"
    );
}
