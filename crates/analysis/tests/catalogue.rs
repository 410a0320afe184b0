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
