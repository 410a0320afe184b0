//! How fast the language is read and printed, single-threaded, and how much memory a rule takes.
//!
//! The rules are a mix as found on real hosts and clusters: most with a protocol and a port, many with a
//! state or a comment, some with limits, sets of ports, marks and translation.

// What the macros of criterion make is public and has no words of its own.
#![allow(missing_docs)]

use std::fmt::Write;
use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use palisade_rules::{Family, Parsed, parse, print};

const RULES: usize = 100_000;

/// A save file of so many rules, in chains of a thousand.
fn save_file(rules: usize) -> String {
    let mut text =
        String::from("*filter\n:INPUT DROP [0:0]\n:FORWARD DROP [0:0]\n:OUTPUT ACCEPT [0:0]\n");
    let chains = rules.div_ceil(1000);
    for chain in 0..chains {
        let _ = writeln!(text, ":SERVICE-{chain:05} - [0:0]");
    }
    for n in 0..rules {
        let chain = n / 1000;
        let (a, b, c) = (n >> 16 & 255, n >> 8 & 255, n & 255);
        let port = 1024 + n % 60_000;
        let _ = write!(text, "-A SERVICE-{chain:05} ");
        let _ = match n % 10 {
            0 => writeln!(text, "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"),
            1 | 2 => writeln!(
                text,
                "-s 10.{a}.{b}.{c}/32 -p tcp -m tcp --dport {port} -j ACCEPT"
            ),
            3 => writeln!(
                text,
                "-d 172.16.{b}.{c}/32 -i eth0 -p udp -m udp --dport {port} -j DROP"
            ),
            4 => writeln!(
                text,
                "! -s 10.0.0.0/8 -d 10.{a}.{b}.{c}/32 -p tcp -m comment --comment \"ns/service-{n}:http cluster IP\" -m tcp --dport 80 -j MARK --set-xmark 0x4000/0x4000"
            ),
            5 => writeln!(
                text,
                "-p tcp -m state --state NEW -m tcp --dport {port} --tcp-flags FIN,SYN,RST,ACK SYN -j ACCEPT"
            ),
            6 => writeln!(
                text,
                "-s 192.168.{b}.0/24 -p tcp -m multiport --dports 80,443,{port} -m comment --comment \"web {n}\" -j ACCEPT"
            ),
            7 => writeln!(
                text,
                "-m limit --limit 3/min --limit-burst 10 -j LOG --log-prefix \"[UFW BLOCK {n}] \" --log-level 4"
            ),
            8 => writeln!(
                text,
                "-p icmp -m icmp --icmp-type 8 -s 10.{a}.{b}.{c} -j RETURN"
            ),
            _ => writeln!(
                text,
                "-s 203.0.{b}.{c}/32 -j REJECT --reject-with icmp-port-unreachable"
            ),
        };
    }
    for chain in 0..chains {
        let _ = writeln!(text, "-A INPUT -j SERVICE-{chain:05}");
    }
    text.push_str("COMMIT\n");
    text
}

/// A script that inserts at the head, deletes by specification and deletes chains.
fn script(rules: usize) -> String {
    let mut text = String::new();
    for n in 0..rules {
        let (a, b, c) = (n >> 16 & 255, n >> 8 & 255, n & 255);
        let _ = writeln!(text, "iptables -N C{n}");
        let _ = writeln!(text, "iptables -I INPUT 1 -s 10.{a}.{b}.{c} -j DROP");
    }
    for n in 0..rules {
        let (a, b, c) = (n >> 16 & 255, n >> 8 & 255, n & 255);
        let _ = writeln!(text, "iptables -X C{n}");
        let _ = writeln!(text, "iptables -D INPUT -s 10.{a}.{b}.{c} -j DROP");
    }
    text
}

fn read(text: &str) -> Parsed {
    let parsed = parse::save_file(text, Family::V4);
    assert!(!parsed.has_errors(), "{:?}", parsed.diagnostics.first());
    parsed
}

/// Resident memory of this process in bytes, where the system tells it.
fn resident() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:"))?;
    let kib: usize = line.split_whitespace().next()?.parse().ok()?;
    Some(kib * 1024)
}

fn memory(text: &str) {
    let before = resident();
    let parsed = read(text);
    if let (Some(before), Some(after)) = (before, resident()) {
        println!(
            "{RULES} rules take {} bytes each, {} of them the rule itself",
            after.saturating_sub(before) / RULES,
            size_of::<palisade_rules::Rule>()
        );
    }
    drop(black_box(parsed));
}

fn language(c: &mut Criterion) {
    let text = save_file(RULES);
    memory(&text);
    let mut group = c.benchmark_group("language");
    group.sample_size(10);
    group.throughput(Throughput::Elements(RULES as u64));
    group.bench_function(BenchmarkId::new("parse", RULES), |b| {
        b.iter(|| read(black_box(&text)));
    });
    let parsed = read(&text);
    let ruleset = parsed.family(Family::V4).expect("rules");
    group.bench_function(BenchmarkId::new("print", RULES), |b| {
        b.iter(|| print::save(black_box(ruleset), false));
    });
    let text = script(RULES);
    group.bench_function(BenchmarkId::new("insert and delete", RULES), |b| {
        b.iter(|| {
            let parsed = parse::script(black_box(&text));
            assert!(!parsed.has_errors(), "{:?}", parsed.diagnostics.first());
        });
    });
    group.finish();
}

criterion_group!(benches, language);
criterion_main!(benches);
