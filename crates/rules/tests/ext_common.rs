//! The common extensions, rule by rule: taken or refused, and saved, as iptables 1.8.9 did.

use palisade_rules::{Family, Parsed, Severity, TableKind, Tools, parse, print};

const RECORDED: &str = include_str!("ext_common.tsv");

fn read(line: &str, tools: Tools) -> Parsed {
    let options = parse::Options {
        tools,
        ..parse::Options::default()
    };
    parse::script_as(line, &options)
}

/// The rule as it is saved, without `-A CHAIN`; `None` when it is refused.
fn saved(line: &str, family: Family, table: &str, tools: Tools) -> Option<String> {
    let parsed = read(line, tools);
    if parsed
        .diagnostics
        .iter()
        .any(|d| d.severity == Severity::Error)
    {
        return None;
    }
    let table = parsed
        .family(family)?
        .table(TableKind::by_name(table).expect("a table"))?;
    let chain = table.chains.iter().find(|c| !c.rules.is_empty())?;
    let text = print::rule_as(table, chain, chain.rules.first()?, family, tools);
    let head = format!("-A {}", chain.name);
    Some(text.strip_prefix(&head)?.trim_start().to_string())
}

#[test]
fn every_recorded_rule_is_taken_and_saved_as_the_real_programs_do() {
    let mut differing = Vec::new();
    let mut cases = 0;
    for row in RECORDED.lines().filter(|l| !l.starts_with('#')) {
        let fields: Vec<&str> = row.split('\t').collect();
        let [families, tools, table, chain, args, recorded] = fields[..] else {
            panic!("six fields: {row}");
        };
        let wanted = match recorded {
            "refused" => None,
            "=" => Some(args),
            text => Some(text),
        };
        for family in families.chars() {
            let (family, program) = match family {
                '6' => (Family::V6, "ip6tables"),
                _ => (Family::V4, "iptables"),
            };
            for tools in tools.chars() {
                let tools = match tools {
                    'n' => Tools::Nft,
                    _ => Tools::Legacy,
                };
                cases += 1;
                let line = format!("{program} -t {table} -A {chain} {args}\n");
                let ours = saved(&line, family, table, tools);
                if ours.as_deref() != wanted {
                    differing.push(format!(
                        "{} {line}  real {wanted:?}\n  ours {ours:?}",
                        tools.name()
                    ));
                }
            }
        }
    }
    assert!(cases > 3000, "{cases} cases");
    assert!(differing.is_empty(), "{}", differing.join("\n"));
}

/// What is wrong with a rule, in our words.
fn complaint(line: &str) -> String {
    let parsed = read(line, Tools::Legacy);
    let error = parsed
        .diagnostics
        .iter()
        .find(|d| d.severity == Severity::Error);
    error.map_or(String::new(), ToString::to_string)
}

#[test]
fn a_refused_value_is_named_with_a_repair() {
    for (rule, words) in [
        ("-A INPUT -p tcp --dport htpt", "'htpt' is neither a port"),
        ("-A INPUT -p tcp --dport 90:80", "help: 80:90"),
        (
            "-A INPUT -p tcp -m multiport --dports 90:80",
            "does not go up",
        ),
        ("-A INPUT -m multiport --ports 1 -p tcp", "before it"),
        ("-A INPUT -m limit --limit 1/day", "a smaller --limit-burst"),
        ("-A INPUT -m conntrack --ctstate RELATD", "help: RELATED"),
        (
            "-A INPUT -m recent --set --name a/b",
            "cannot be the name of a list",
        ),
        ("-A INPUT -p icmp --icmp-type timestamp-re", "ambiguous"),
        (
            "-A INPUT -p icmp --icmp-type echo-requst",
            "help: echo-request",
        ),
        (
            "-A INPUT -m addrtype --src-type LOCAL --limit-iface-out",
            "INPUT",
        ),
        (
            "-t raw -A PREROUTING -j CT --ctevents relatd",
            "help: related",
        ),
    ] {
        let said = complaint(&format!("iptables {rule}\n"));
        assert!(said.contains(words), "{rule}: {said}");
    }
}

#[test]
fn ipv6_has_no_broadcast_addresses_to_test_for() {
    let rule = "-A INPUT -m addrtype --src-type BROADCAST";
    assert_eq!(complaint(&format!("iptables {rule}\n")), "");
    let said = complaint(&format!("ip6tables {rule}\n"));
    assert!(said.contains("BROADCAST"), "{said}");
}
