//! Matches and targets that ask what the host knows, line by line as iptables 1.8.9 takes, prints and lists them, legacy
//! and nft alike: owner, physdev, rpfilter, socket, cgroup, devgroup, realm, osf, ipvs, NFQUEUE, TPROXY, SYNPROXY,
//! SECMARK, CONNSECMARK; and what is gone.

use palisade_rules::{Diagnostic, Family, Severity, TableKind, Tools, parse, print};

/// `FAMILY TABLE CHAIN OPTIONS => what is saved`; `=` where that is what was written.
const SAVED: &str = r#"
4 filter OUTPUT -m owner --uid-owner 1 --socket-exists ! --gid-owner 2 => -m owner --socket-exists --uid-owner 1 ! --gid-owner 2
4 filter OUTPUT -m owner ! --socket-exists => =
4 filter OUTPUT -m owner --uid-owner nobody => -m owner --uid-owner 65534
4 filter OUTPUT -m owner --uid-owner 4294967294 => =
4 filter OUTPUT -m owner --uid-owner 5:7 => -m owner --uid-owner 5-7
4 filter OUTPUT -m owner --uid-owner 0x10-0x20 => -m owner --uid-owner 16-32
4 filter OUTPUT -m owner --uid-owner 010 => -m owner --uid-owner 8
6 mangle POSTROUTING -m owner --gid-owner 5 --suppl-groups => =
4 filter FORWARD -m physdev --physdev-out eth0 => =
4 filter OUTPUT -m physdev --physdev-out eth0 --physdev-is-bridged => =
4 filter OUTPUT -m physdev --physdev-is-in => =
4 filter INPUT -m physdev --physdev-in eth+ ! --physdev-is-in => -m physdev ! --physdev-is-in --physdev-in eth+
4 filter INPUT -m physdev --physdev-in + => =
4 mangle PREROUTING -m rpfilter --invert --loose --validmark --accept-local => -m rpfilter --loose --validmark --accept-local --invert
6 raw PREROUTING -m rpfilter => =
4 filter INPUT -m socket => =
4 mangle PREROUTING -m socket --restore-skmark --nowildcard --transparent => -m socket --transparent --nowildcard --restore-skmark
4 filter OUTPUT -m cgroup ! --cgroup 0x10 => -m cgroup ! --cgroup 16
4 filter OUTPUT -m cgroup --path / => -m cgroup --path "/"
4 filter INPUT -m devgroup --src-group 0 => -m devgroup --src-group default
4 filter INPUT -m devgroup ! --src-group 7/0xffffffff => -m devgroup ! --src-group 0x7
4 filter FORWARD -m devgroup --src-group 7 --dst-group 0x3/0x7 => -m devgroup --src-group 0x7 --dst-group 0x3/0x7
4 filter INPUT -m realm ! --realm 7/0xf => -m realm ! --realm 0x7/0xf
4 filter INPUT -m realm --realm 0 => -m realm --realm cosmos
4 filter INPUT -p tcp -m osf ! --genre Linux --ttl 2 --log 1 => =
4 filter INPUT -p tcp -m osf --genre abcdefghijklmnopqrstuvwxyzabcdefghijklmnop => -p tcp -m osf --genre abcdefghijklmnopqrstuvwxyzabcde
4 filter INPUT -m ipvs --vproto tcp --vaddr 1.2.3.4/255.255.0.0 --vdir reply --vmethod masq => -m ipvs --vproto 6 --vaddr 1.2.3.4/16 --vdir REPLY --vmethod MASQ
4 filter INPUT -m ipvs ! --ipvs => =
4 filter INPUT -j NFQUEUE => -j NFQUEUE --queue-num 0
4 filter INPUT -j NFQUEUE --queue-balance 4: => -j NFQUEUE --queue-balance 4:65535
4 filter INPUT -j NFQUEUE --queue-balance 0:6 --queue-cpu-fanout --queue-bypass => -j NFQUEUE --queue-balance 0:6 --queue-bypass --queue-cpu-fanout
4 nat PREROUTING -j NFQUEUE --queue-num 0x10 => -j NFQUEUE --queue-num 16
4 mangle PREROUTING -p tcp -j TPROXY --on-port 0 => -p tcp -j TPROXY --on-port 0 --on-ip 0.0.0.0 --tproxy-mark 0x0/0x0
4 mangle PREROUTING -p tcp -j TPROXY --on-port http --on-ip 10.1.2 => -p tcp -j TPROXY --on-port 80 --on-ip 10.1.0.2 --tproxy-mark 0x0/0x0
6 mangle PREROUTING -p udp -j TPROXY --on-port 80 --tproxy-mark 1 => -p udp -j TPROXY --on-port 80 --on-ip :: --tproxy-mark 0x1/0xffffffff
4 filter INPUT -p tcp -j SYNPROXY --mss 1460 --sack-perm --wscale 7 --ecn --timestamp => -p tcp -j SYNPROXY --sack-perm --timestamp --wscale 7 --mss 1460 --ecn
4 filter INPUT -p tcp -j SYNPROXY --mss 65536 --wscale 300 => -p tcp -j SYNPROXY --wscale 44 --mss 0
6 mangle FORWARD -p tcp -j SYNPROXY => =
4 mangle INPUT -j CONNSECMARK --save => =
4 security INPUT -j SECMARK --selctx system_u:object_r:x_t:s0 => =
"#;

/// `FAMILY TABLE CHAIN OPTIONS => a part of what is said`, help included.
const REFUSED: &str = r#"
4 filter OUTPUT -m owner => --uid-owner
4 filter OUTPUT -m owner --uid-owner 4294967295 => 4294967295
4 filter OUTPUT -m owner --uid-owner 5- => number
4 filter OUTPUT -m owner --uid-owner 7-5 => backwards
4 filter OUTPUT -m owner --suppl-groups --gid-owner 5 => behind
4 filter OUTPUT -m owner --pid-owner 7 => --uid-owner
4 filter INPUT -m owner --uid-owner 1 => INPUT
4 filter OUTPUT -m physdev --physdev-is-out => OUTPUT
4 filter OUTPUT -m physdev --physdev-is-out ! --physdev-is-bridged => OUTPUT
4 filter INPUT -m physdev => physdev
4 filter INPUT -m physdev --physdev-in abcdefghijklmnop => 15 bytes
4 filter INPUT -m rpfilter => rpfilter
4 mangle PREROUTING -m rpfilter ! --loose => !
4 nat PREROUTING -m rpfilter => rpfilter
4 mangle FORWARD -m socket => socket
4 filter INPUT -m devgroup --dst-group 7 => INPUT
4 filter FORWARD -m devgroup --src-group nope => nope
4 filter INPUT -m realm --realm nope => nope
6 filter INPUT -m realm --realm 7 => IPv4
4 filter FORWARD -m cgroup --cgroup 1 => cgroup
4 filter OUTPUT -m cgroup --cgroup 1 --path / => together
4 filter INPUT -m ipvs ! --ipvs --vport 4 => beside
4 filter INPUT -j NFQUEUE --queue-balance 4 => 4
4 filter INPUT -j NFQUEUE --queue-balance 4:4 => ascending
4 filter INPUT -j NFQUEUE --queue-balance 0:65535 => 65536
4 filter INPUT -j NFQUEUE --queue-num 1 --queue-cpu-fanout => queue-balance
4 mangle PREROUTING -j TPROXY --on-port 80 => -p tcp
4 mangle PREROUTING -p tcp -j TPROXY => on-port
4 mangle FORWARD -p tcp -j TPROXY --on-port 80 => TPROXY
4 filter INPUT -p udp -j SYNPROXY => -p tcp
4 filter OUTPUT -p tcp -j SYNPROXY => SYNPROXY
4 filter INPUT -j CONNSECMARK --restore => CONNSECMARK
4 mangle INPUT -j CONNSECMARK --restore --save => together
4 filter INPUT -p udp -m osf --genre Linux => -p tcp
4 filter INPUT -j ULOG --ulog-nlgroup 2 --ulog-prefix x --ulog-qthreshold 5 => -j NFLOG --nflog-group 2 --nflog-prefix x --nflog-threshold 5
4 filter INPUT -m unclean => INVALID
4 filter INPUT -m dstlimit => hashlimit
4 nat PREROUTING -j MIRROR => REJECT
4 nat POSTROUTING -j SAME --to 1.2.3.4-1.2.3.7 => --persistent
4 nat PREROUTING -j BALANCE => --to-destination
4 mangle PREROUTING -j ROUTE --oif eth0 => fwmark
"#;

fn rows(text: &str) -> impl Iterator<Item = (Family, TableKind, String, &str, &str)> {
    text.lines().filter(|l| !l.is_empty()).map(|line| {
        let (given, wanted) = line.split_once(" => ").expect("a row has two sides");
        let mut words = given.splitn(4, ' ');
        let mut word = || {
            words
                .next()
                .expect("a family, a table, a chain and options")
        };
        let family = match word() {
            "6" => Family::V6,
            _ => Family::V4,
        };
        let table = TableKind::by_name(word()).expect("a table");
        let chain = word().to_string();
        (family, table, chain, word(), wanted)
    })
}

fn read(family: Family, table: TableKind, chain: &str, rule: &str, tools: Tools) -> parse::Parsed {
    let program = match family {
        Family::V4 => "iptables",
        Family::V6 => "ip6tables",
    };
    let options = parse::Options {
        tools,
        ..parse::Options::default()
    };
    let line = format!("{program} -t {} -A {chain} {rule}\n", table.name());
    parse::script_as(&line, &options)
}

fn errors(parsed: &parse::Parsed) -> Vec<&Diagnostic> {
    let all = parsed.diagnostics.iter();
    all.filter(|d| d.severity == Severity::Error).collect()
}

#[test]
fn lines_print_as_both_tools_print_them() {
    for tools in Tools::BOTH {
        for (family, kind, chain, rule, wanted) in rows(SAVED) {
            let parsed = read(family, kind, &chain, rule, tools);
            assert!(errors(&parsed).is_empty(), "{rule}: {:?}", errors(&parsed));
            let table = parsed
                .family(family)
                .and_then(|r| r.table(kind))
                .expect("a table");
            let chain = table
                .chains
                .iter()
                .find(|c| !c.rules.is_empty())
                .expect("a chain");
            let saved = print::rule_as(table, chain, &chain.rules[0], family, tools);
            let wanted = if wanted == "=" { rule } else { wanted };
            assert_eq!(
                saved,
                format!("-A {} {wanted}", chain.name),
                "{}",
                tools.name()
            );
        }
    }
}

#[test]
fn what_is_refused_is_told_with_what_to_do() {
    for (family, kind, chain, rule, wanted) in rows(REFUSED) {
        let parsed = read(family, kind, &chain, rule, Tools::Legacy);
        let told: String = errors(&parsed).iter().map(|d| d.to_string()).collect();
        assert!(!told.is_empty(), "{rule} is taken");
        assert!(told.contains(wanted), "{rule}: {told}");
    }
}

#[test]
fn only_the_old_tools_know_the_old_queue() {
    for (tools, faults) in [(Tools::Legacy, 0), (Tools::Nft, 1)] {
        let parsed = read(Family::V4, TableKind::Filter, "INPUT", "-j QUEUE", tools);
        assert_eq!(errors(&parsed).len(), faults, "{}", tools.name());
    }
}
