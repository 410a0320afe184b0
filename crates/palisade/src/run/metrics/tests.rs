//! The page, read as a collector reads it, and held to what was judged and to docs/metrics.md.

use std::collections::BTreeMap;
use std::sync::Arc;

use palisade_engine::{Engine, Setup};
use palisade_live::backend::{Batch, memory};
use palisade_live::{Gate, Workers};
use palisade_rules::parse;
use palisade_wire::build;

use super::*;
use crate::run::boot::BootPolicy;
use crate::run::rule_log::{LogTo, RuleLog};
use crate::run::state::Store;

/// Samples by name and labels.
type Read = BTreeMap<String, f64>;

/// Reads a page; what is not of the format ends the test.
fn read(page: &str) -> (Read, BTreeMap<String, String>) {
    let mut kinds: BTreeMap<String, String> = BTreeMap::new();
    let mut samples = Read::new();
    let mut current = String::new();
    for line in page.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').expect("help");
            assert!(!help.is_empty() && !kinds.contains_key(name), "{line}");
            current = name.to_owned();
            continue;
        }
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect("a type");
            assert_eq!(name, current, "the type follows the help");
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
            kinds.insert(name.to_owned(), kind.to_owned());
            continue;
        }
        let (series, value) = line.rsplit_once(' ').expect("a value");
        let name = series.split('{').next().unwrap();
        let plain = name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        assert!(plain, "{line}");
        if let Some(labels) = series.strip_prefix(name).filter(|l| !l.is_empty()) {
            let inner = labels.strip_prefix('{').and_then(|l| l.strip_suffix('}'));
            for label in inner.expect("labels in braces").split(',') {
                let (_, value) = label.split_once('=').expect("a label");
                assert!(value.len() >= 2 && value.starts_with('"') && value.ends_with('"'));
            }
        }
        let of_family = match kinds[&current].as_str() {
            "histogram" => ["_bucket", "_sum", "_count"]
                .iter()
                .any(|end| name.strip_suffix(end) == Some(&current)),
            _ => name == current,
        };
        assert!(of_family, "{line} under {current}");
        let value: f64 = value.parse().expect("a number");
        assert!(value >= 0.0);
        assert!(
            samples.insert(series.to_owned(), value).is_none(),
            "{line} twice"
        );
    }
    (samples, kinds)
}

fn service(rules: &str) -> Service {
    let rules = parse::auto(rules, Family::V4);
    assert!(!rules.has_errors());
    let engine = Engine::new(Setup {
        rules4: rules.v4,
        ..Setup::default()
    });
    let gate = Arc::new(Gate::new(engine.unwrap()));
    let (_feed, backend) = memory::pair();
    let workers = Workers::start(&gate, vec![Box::new(backend)], |_| ()).unwrap();
    Service {
        pulses: workers.pulses().cloned().collect(),
        backend: "memory",
        policy: Some(BootPolicy::Drop),
        logged: Some(RuleLog::open(&LogTo::Stderr, None, 1, 0).unwrap().counts()),
        state: Some(Store::new(std::path::Path::new("state"))),
        ..Service::new(gate)
    }
}

#[test]
fn figures_are_those_of_the_packets() {
    let service =
        service("*filter\n:FORWARD ACCEPT\n-A FORWARD -p udp --dport 53 -j DROP\nCOMMIT\n");
    let ip = build::Ip::new(
        "192.0.2.1".parse().unwrap(),
        "198.51.100.1".parse().unwrap(),
    );
    let mut batch = Batch::new();
    for port in [53, 53, 80] {
        let frame = batch.add().unwrap();
        frame.bytes.extend(build::udp(&ip, 1000, port, b"12"));
    }
    service.gate.judge(&mut batch);
    let page = page(&service, true);
    let (samples, kinds) = read(&page);
    let wanted = [
        ("palisade_packets_total{verdict=\"DROP\"}", 2.0),
        ("palisade_packets_total{verdict=\"ACCEPT\"}", 1.0),
        ("palisade_bytes_total{verdict=\"DROP\"}", 60.0),
        ("palisade_state_packets_total{state=\"NEW\"}", 3.0),
        ("palisade_connections", 1.0),
        ("palisade_connections_max", 262_144.0),
        ("palisade_connections_inserted_total", 1.0),
        ("palisade_batch_seconds_count", 1.0),
        ("palisade_packet_seconds_count", 3.0),
        ("palisade_packet_seconds_bucket{le=\"+Inf\"}", 3.0),
        ("palisade_panics_total", 0.0),
        ("palisade_logged_total{result=\"suppressed\"}", 0.0),
        ("palisade_snapshots_total{result=\"failed\"}", 0.0),
        ("palisade_boot_policy{policy=\"drop\"}", 1.0),
        (
            "palisade_rule_packets_total{family=\"ipv4\",table=\"filter\",chain=\"FORWARD\",rule=\"1\"}",
            2.0,
        ),
        (
            "palisade_rule_bytes_total{family=\"ipv4\",table=\"filter\",chain=\"FORWARD\",rule=\"0\"}",
            30.0,
        ),
    ];
    for (series, value) in wanted {
        assert_eq!(samples.get(series), Some(&value), "{series}\n{page}");
    }
    let buckets = page
        .lines()
        .filter(|l| l.starts_with("palisade_packet_seconds_bucket"));
    let within: Vec<u64> = buckets
        .map(|l| l.rsplit_once(' ').unwrap().1.parse().unwrap())
        .collect();
    assert!(within.is_sorted(), "{within:?}");
    // Every name is explained, and no other.
    let docs = include_str!("../../../../../docs/metrics.md");
    for name in kinds.keys() {
        let known = [format!("`{name}`"), format!("`{name}{{")];
        let explained = known.iter().any(|word| docs.contains(word));
        assert!(explained, "{name} is not in docs/metrics.md");
    }
    for word in docs.split('`').filter(|w| w.starts_with("palisade_")) {
        let name = word.split('{').next().unwrap();
        let known = kinds.contains_key(name) || ELSEWHERE.contains(&name);
        assert!(known, "docs/metrics.md has {name}, the page does not");
    }
    service.gate.stop();
}

/// Names that only some services have.
const ELSEWHERE: &[&str] = &[
    "palisade_backend_queue_waiting",
    "palisade_backend_queue_full",
    "palisade_backend_queue_unread",
    "palisade_backend_…",
];

#[test]
fn labels_are_escaped() {
    let mut page = Page::default();
    page.gauge("palisade_x", "X.").value(&[("a", "q\"\\\n")], 1);
    assert!(page.text.ends_with("palisade_x{a=\"q\\\"\\\\\\n\"} 1\n"));
}

#[test]
fn bounds_of_buckets_are_exact() {
    assert_eq!(seconds(Duration::from_nanos(64)), "0.000000064");
    assert_eq!(seconds(Duration::from_nanos(1 << 29)), "0.536870912");
}
