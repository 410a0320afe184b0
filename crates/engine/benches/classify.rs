//! How fast rules are found, one core; what the structures take, and how long they are made.
//!
//! Headers are aimed at the rules, as ClassBench aims them, and come in no order: with many rules a look-up waits for
//! memory as it would between packets of many connections.

// What the macros of criterion make is public and has no words of its own.
#![allow(missing_docs)]

use std::hint::black_box;
use std::net::IpAddr;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use palisade_engine::{Classifier, Fields};
use palisade_rules::synth::{self, Filter, Header};
use palisade_rules::{Family, Rule};

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

fn sets() -> Vec<(String, Vec<Filter>)> {
    let mut sets = Vec::new();
    for rules in [10, 1000, 10_000, 100_000] {
        sets.push((format!("addresses {rules}"), synth::addresses(rules)));
    }
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

criterion_group!(benches, find, build);
criterion_main!(benches);
