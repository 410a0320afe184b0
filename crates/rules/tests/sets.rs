//! `-m set` and `-j SET` as iptables 1.8.9 takes, refuses and prints them.

use palisade_rules::{Family, Severity, ipset, parse, print};

const SETS: &str = "create s hash:ip,port\ncreate s6 hash:ip family inet6\ncreate l list:set\n\
     create a-b.c hash:ip\n";

/// The rule as it is printed, or the first error.
fn outcome(table: &str, rule: &str) -> Result<String, String> {
    let text = format!("*{table}\n{rule}\nCOMMIT\n");
    let parsed = parse::auto(&text, Family::V4);
    let ruleset = parsed.v4.as_ref().expect("a table");
    let sets = ipset::parse(SETS).sets;
    let found = ipset::check(&text, ruleset, Some(&sets));
    let all = parsed.diagnostics.iter().chain(&found);
    if let Some(error) = all.into_iter().find(|d| d.severity == Severity::Error) {
        return Err(error.code.to_string());
    }
    let saved = print::save(ruleset, false);
    let line = saved.lines().find(|l| l.starts_with("-A"));
    Ok(line.unwrap_or_default().to_string())
}

#[test]
fn rules_with_sets_are_printed_as_by_iptables_save() {
    for (typed, printed) in [
        ("--match-set s src,dst", "--match-set s src,dst"),
        (
            "! --match-set s src,dst,dst,src,dst,src",
            "! --match-set s src,dst,dst,src,dst,src",
        ),
        // What follows the three letters is not looked at.
        ("--match-set s srcx,dstination", "--match-set s src,dst"),
        ("--set s src,dst", "--match-set s src,dst"),
        ("--match-set a-b.c src", "--match-set a-b.c src"),
        (
            "--match-set l src --update-counters ! --update-subcounters",
            "--match-set l src ! --update-subcounters",
        ),
        (
            "--bytes-gt 0x10 ! --packets-eq 5 --return-nomatch ! --update-counters --match-set l src",
            "--match-set l src --return-nomatch ! --update-counters ! --packets-eq 5 --bytes-gt 16",
        ),
    ] {
        let wanted = format!("-A INPUT -m set {printed}");
        let got = outcome("filter", &format!("-A INPUT -m set {typed}"));
        assert_eq!(got, Ok(wanted), "{typed}");
    }
    for (typed, printed) in [
        ("--add-set s src,dst", "--add-set s src,dst"),
        (
            "--timeout 5 --exist --add-set s src --del-set l dst",
            "--add-set s src --exist --timeout 5 --del-set l dst",
        ),
        (
            "--map-set s src --map-prio --map-queue --map-mark --add-set l dst",
            "--add-set l dst --map-set s src --map-mark --map-prio --map-queue",
        ),
        // The real program reads over the `!`, and takes the last of several times.
        (
            "! --add-set s src --timeout 5 --timeout 6",
            "--add-set s src --timeout 6",
        ),
    ] {
        let wanted = format!("-A FORWARD -j SET {printed}");
        let got = outcome("mangle", &format!("-A FORWARD -j SET {typed}"));
        assert_eq!(got, Ok(wanted), "{typed}");
    }
}

#[test]
fn what_iptables_refuses_of_sets_is_an_error() {
    for (table, rule) in [
        ("filter", "-A INPUT -m set"),
        ("filter", "-A INPUT -m set --match-set s"),
        ("filter", "-A INPUT -m set --match-set s foo"),
        (
            "filter",
            "-A INPUT -m set --match-set s src,dst,src,dst,src,dst,src",
        ),
        (
            "filter",
            "-A INPUT -m set --match-set s src --match-set s src",
        ),
        ("filter", "-A INPUT -m set --match-set nope src"),
        ("filter", "-A INPUT -m set --match-set s6 src"),
        (
            "filter",
            "-A INPUT -m set --match-set s src ! --return-nomatch",
        ),
        (
            "filter",
            "-A INPUT -m set --match-set s src ! --packets-lt 5",
        ),
        (
            "filter",
            "-A INPUT -m set --match-set s src --packets-lt 5 --packets-gt 2",
        ),
        (
            "filter",
            "-A INPUT -m set --match-set s src --packets-lt 18446744073709551616",
        ),
        (
            "filter",
            "-A INPUT -m set --match-set abcdefghijabcdefghijabcdefghijkl src",
        ),
        ("filter", "-A INPUT -j SET"),
        ("filter", "-A INPUT -j SET --del-set s src --timeout 5"),
        ("filter", "-A INPUT -j SET --del-set s src --exist"),
        ("filter", "-A INPUT -j SET --add-set s src --add-set s src"),
        (
            "filter",
            "-A INPUT -j SET --add-set s src --timeout 4294967295",
        ),
        ("filter", "-A INPUT -j SET --map-set s src --map-mark"),
        ("mangle", "-A INPUT -j SET --map-set s src --map-prio"),
        ("mangle", "-A FORWARD -j SET --map-set s src"),
        ("mangle", "-A FORWARD -j SET --map-mark"),
    ] {
        assert!(outcome(table, rule).is_err(), "{rule}");
    }
}

#[test]
fn without_sets_each_name_is_warned_of_once() {
    let text = "-A INPUT -m set --match-set bad src -j DROP\n-A INPUT -m set --match-set bad dst -j DROP\n\
         -A INPUT -j SET --add-set seen src\n";
    let parsed = parse::auto(text, Family::V4);
    assert!(!parsed.has_errors());
    let found = ipset::check(text, parsed.v4.as_ref().expect("rules"), None);
    let told: Vec<(u32, &str)> = found
        .iter()
        .map(|d| (d.line, &text[d.start..d.end]))
        .collect();
    assert_eq!(told, [(1, "bad"), (3, "seen")]);
    assert!(found.iter().all(|d| d.severity == Severity::Warning));
}

#[test]
fn too_few_flags_never_match_and_a_wrong_name_is_repaired() {
    let sets = ipset::parse(SETS).sets;
    for (rule, code, help) in [
        (
            "-A INPUT -m set --match-set s src -j DROP\n",
            "set-flags",
            "such as src,dst",
        ),
        (
            "-A INPUT -m set --match-set a-b.d src -j DROP\n",
            "no-set",
            "a-b.c",
        ),
    ] {
        let parsed = parse::auto(rule, Family::V4);
        let found = ipset::check(rule, parsed.v4.as_ref().expect("rules"), Some(&sets));
        assert_eq!(found.len(), 1, "{rule}");
        assert_eq!(
            (found[0].code, found[0].help.as_deref()),
            (code, Some(help))
        );
    }
}
