//! How fast rules are found, one core; what the structures take, and how long they are made.
//!
//! Headers are aimed at the rules, as ClassBench aims them, and come in no order: with many rules a look-up waits for
//! memory as it would between packets of many connections.

// What the macros of criterion make is public and has no words of its own.
#![allow(missing_docs)]

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use palisade_engine::{Classifier, Engine, Fields, Setup};
use palisade_rules::synth::{self, Filter, Header};
use palisade_rules::{Family, Hook, PortRange, Rule, TableKind};
use palisade_wire::proto;

const HEADERS: usize = 65_536;

fn fields(header: &Header) -> Fields {
    Fields {
        source: IpAddr::V4(header.source),
        destination: IpAddr::V4(header.destination),
        protocol: header.protocol,
        source_port: header.source_port,
        destination_port: header.destination_port,
    }
}

/// Rules in another order: what scope sorts, and an early end by it, is gone.
fn shuffled(filters: &[Filter]) -> Vec<Filter> {
    let mut keyed: Vec<(u64, Filter)> = (1u64..)
        .map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29))
        .map(|n| n.wrapping_mul(0xbf58_476d_1ce4_e5b9))
        .zip(filters.iter().copied())
        .collect();
    keyed.sort_by_key(|(key, _)| *key);
    keyed.into_iter().map(|(_, filter)| filter).collect()
}

/// Rules that differ in ranges of ports alone.
fn ranges(rules: u16) -> Vec<Filter> {
    let everywhere = synth::Prefix {
        address: Ipv4Addr::UNSPECIFIED,
        length: 0,
    };
    (0..rules)
        .map(|n| {
            let first = n.wrapping_mul(40503) % 60_000;
            Filter {
                source: everywhere,
                destination: everywhere,
                protocol: Some(proto::TCP),
                source_ports: PortRange {
                    first: 0,
                    last: u16::MAX,
                },
                destination_ports: PortRange {
                    first,
                    last: first + n % 64,
                },
                accept: false,
            }
        })
        .collect()
}

fn sets() -> Vec<(String, Vec<Filter>)> {
    let mut sets = Vec::new();
    for rules in [10, 1000, 10_000, 100_000] {
        sets.push((format!("addresses {rules}"), synth::addresses(rules)));
    }
    sets.push(("ranges of ports 1000".to_string(), ranges(1000)));
    for family in synth::Family::ALL {
        for rules in [1000, 10_000, 100_000] {
            let filters = synth::filters(family, rules, 1);
            if rules == 10_000 {
                let name = format!("{} {rules} shuffled", family.name());
                sets.push((name, shuffled(&filters)));
            }
            sets.push((format!("{} {rules}", family.name()), filters));
        }
    }
    sets
}

fn find(c: &mut Criterion) {
    let mut group = c.benchmark_group("find");
    group.throughput(Throughput::Elements(HEADERS as u64));
    for (name, filters) in sets() {
        let rules: Vec<Rule> = filters.iter().map(Filter::rule).collect();
        let classifier = Classifier::new(&rules, Family::V4);
        let shape = classifier.shape();
        println!(
            "{name}: {} bytes a rule; {shape:?}",
            shape.bytes / rules.len()
        );
        let headers: Vec<Fields> = synth::headers(&filters, HEADERS, 1)
            .iter()
            .map(fields)
            .collect();
        group.bench_function(BenchmarkId::from_parameter(&name), |b| {
            b.iter(|| {
                headers
                    .iter()
                    .filter_map(|header| classifier.find(black_box(header), 0))
                    .map(u64::from)
                    .sum::<u64>()
            });
        });
    }
    group.finish();
}

fn build(c: &mut Criterion) {
    let mut group = c.benchmark_group("build");
    group.sample_size(10);
    for (name, filters) in sets() {
        let rules: Vec<Rule> = filters.iter().map(Filter::rule).collect();
        group.throughput(Throughput::Elements(rules.len() as u64));
        group.bench_function(BenchmarkId::from_parameter(&name), |b| {
            b.iter(|| Classifier::new(black_box(&rules), Family::V4));
        });
    }
    group.finish();
}

/// A rule more, a thousand times, in an engine of 100,000 rules. Rules stay, so that this is no loop of criterion's.
fn append(_: &mut Criterion) {
    const RULES: usize = 100_000;
    const MORE: usize = 1000;
    let mut sets = vec![("addresses", synth::addresses(RULES + MORE))];
    for family in synth::Family::ALL {
        sets.push((family.name(), synth::filters(family, RULES + MORE, 1)));
    }
    for (name, filters) in sets {
        let filters = shuffled(&filters);
        let (first, more) = filters.split_at(RULES);
        let setup = Setup {
            rules4: Some(synth::ruleset(first, Hook::Forward)),
            ..Setup::default()
        };
        let begin = Instant::now();
        let mut engine = Engine::new(setup).expect("rules that run");
        let made = begin.elapsed();
        let mut times: Vec<Duration> = more
            .iter()
            .map(|filter| {
                let rule = filter.rule();
                let begin = Instant::now();
                let done = engine.append(Family::V4, TableKind::Filter, "FORWARD", rule);
                let taken = begin.elapsed();
                done.expect("a rule that runs");
                taken
            })
            .collect();
        times.sort();
        println!(
            "{name} {RULES}: engine made in {made:?}; a rule appended in {:?} (median), {:?} (slowest)",
            times[MORE / 2],
            times[MORE - 1]
        );
    }
}

criterion_group!(benches, find, build, append);
criterion_main!(benches);
