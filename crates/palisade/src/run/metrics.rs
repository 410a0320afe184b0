//! The page of figures in the text format of Prometheus (docs/metrics.md).

use std::fmt::{Display, Write};
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, SystemTime};

use palisade_engine::conntrack::Stats;
use palisade_live::Figures;
use palisade_live::tally::{Histogram, STATES, VERDICTS};
use palisade_rules::{Counters, Family, Ruleset};

use super::service::Service;
use super::state::Counts;

/// The page; with `rules`, what each rule has counted.
pub fn page(service: &Service, rules: bool) -> String {
    let mut page = Page::default();
    process(&mut page, service);
    packets(&mut page, service);
    for figure in service.figures.iter().flat_map(Figures::now) {
        page.gauge(&format!("palisade_backend_{}", figure.name), figure.help)
            .value(&[], figure.value);
    }
    table(&mut page, service);
    if rules {
        let both = service.gate.with(|engine, _| {
            [Family::V4, Family::V6].map(|family| engine.ruleset(family).map(|r| (family, r)))
        });
        let both: Vec<_> = both.into_iter().flatten().collect();
        by_rule(&mut page, &both);
    }
    page.text
}

fn process(page: &mut Page, service: &Service) {
    let began = service.began.duration_since(SystemTime::UNIX_EPOCH);
    page.gauge("palisade_info", "Version and backend, in labels.")
        .value(
            &[
                ("version", env!("CARGO_PKG_VERSION")),
                ("backend", service.backend),
            ],
            1,
        );
    page.gauge(
        "process_start_time_seconds",
        "When the process began, since the Unix epoch.",
    )
    .value(&[], began.unwrap_or_default().as_secs_f64());
    if let Some(policy) = service.standing_in() {
        page.gauge(
            "palisade_boot_policy",
            "There while a boot policy stands in for the rules.",
        )
        .value(&[("policy", policy.name())], 1);
    }
    let mut workers = page.gauge(
        "palisade_worker_turned_seconds",
        "Time since a worker last turned; one that lives turns several times a second.",
    );
    for (worker, pulse) in service.pulses.iter().enumerate() {
        let age = pulse.age().as_secs_f64();
        workers.value(&[("worker", &worker.to_string())], age);
    }
    let tally = service.gate.tally();
    page.counter(
        "palisade_panics_total",
        "Panics of workers that were caught.",
    )
    .value(&[], tally.panics());
    page.counter(
        "palisade_panic_packets_total",
        "Packets dropped without being judged, because of a panic.",
    )
    .value(&[], tally.lost());
    page.counter(
        "palisade_rule_changes_total",
        "Changes of the rules: reloads, commands, and their return.",
    )
    .value(&[], service.changes());
    page.counter(
        "palisade_reloads_refused_total",
        "Reloads by a signal that left the old rules in place.",
    )
    .value(&[], service.refused.load(Relaxed));
    page.counter(
        "palisade_messages_dropped_total",
        "Messages of the service that were not written: the log was not read fast enough.",
    )
    .value(&[], service.messages.dropped());
    if let Some(logged) = &service.logged {
        let mut ends = page.counter(
            "palisade_logged_total",
            "Events of LOG and NFLOG, by what became of them.",
        );
        for (end, events) in logged.by_end() {
            ends.value(&[("result", end)], events);
        }
    }
    if let Some(state) = &service.state {
        snapshots(page, &state.counts);
    }
}

/// Snapshots of the connections.
fn snapshots(page: &mut Page, counts: &Counts) {
    let mut results = page.counter(
        "palisade_snapshots_total",
        "Snapshots of the connections, by whether they are on the disk.",
    );
    results.value(&[("result", "written")], counts.written.load(Relaxed));
    results.value(&[("result", "failed")], counts.failed.load(Relaxed));
    page.gauge(
        "palisade_snapshot_time_seconds",
        "When the last snapshot was written, since the Unix epoch; 0: none yet.",
    )
    .value(&[], counts.last.load(Relaxed));
    page.gauge("palisade_snapshot_bytes", "Bytes of the last snapshot.")
        .value(&[], counts.bytes.load(Relaxed));
}

fn packets(page: &mut Page, service: &Service) {
    let tally = service.gate.tally();
    let verdicts = VERDICTS.map(|verdict| (verdict.name(), tally.of(verdict)));
    let states = STATES.map(|state| (state.name(), tally.in_state(state)));
    let mut both = |packets, bytes, label, what: &str, counts: &[(&str, (u64, u64))]| {
        let mut family = page.counter(packets, &format!("Packets by {what}."));
        for (name, (packets, _)) in counts {
            family.value(&[(label, name)], packets);
        }
        let mut family = page.counter(bytes, &format!("Bytes of IP by {what}."));
        for (name, (_, bytes)) in counts {
            family.value(&[(label, name)], bytes);
        }
    };
    both(
        "palisade_packets_total",
        "palisade_bytes_total",
        "verdict",
        "verdict",
        &verdicts,
    );
    both(
        "palisade_state_packets_total",
        "palisade_state_bytes_total",
        "state",
        "state of connection tracking, where they came to it",
        &states,
    );
    page.histogram(
        "palisade_batch_seconds",
        "Time to judge the packets that came together.",
        tally.batches(),
    );
    page.histogram(
        "palisade_packet_seconds",
        "Time to judge a packet: its batch's, divided evenly.",
        tally.packets(),
    );
}

fn table(page: &mut Page, service: &Service) {
    let (live, max, memory, expectations, stats, fragments) = service.gate.with(|engine, _| {
        let table = engine.conntrack();
        (
            table.len(),
            table.config().max,
            table.memory(),
            table.expectations().count(),
            *table.stats(),
            [Family::V4, Family::V6].map(|family| engine.fragments_held(family)),
        )
    });
    let Stats {
        inserted,
        invalid,
        table_full,
        early_drop,
        expired,
        peak,
        made: _,
    } = stats;
    page.gauge("palisade_connections", "Connections in the table.")
        .value(&[], live);
    page.gauge(
        "palisade_connections_max",
        "Connections that there is room for (nf_conntrack_max); 0: no bound.",
    )
    .value(&[], max);
    page.gauge("palisade_connections_peak", "Most connections at a time.")
        .value(&[], peak);
    page.gauge("palisade_table_bytes", "Memory of the connection table.")
        .value(&[], memory);
    page.gauge("palisade_expectations", "Connections that helpers expect.")
        .value(&[], expectations);
    let counters = [
        (
            "palisade_connections_inserted_total",
            "Connections that were made.",
            inserted,
        ),
        (
            "palisade_connections_expired_total",
            "Connections that ended by their timeout.",
            expired,
        ),
        (
            "palisade_early_drops_total",
            "Connections that gave way to a new one in a full table.",
            early_drop,
        ),
        (
            "palisade_table_full_total",
            "Packets dropped because the table was full.",
            table_full,
        ),
        (
            "palisade_invalid_total",
            "Packets that connection tracking found invalid.",
            invalid,
        ),
    ];
    for (name, help, value) in counters {
        page.counter(name, help).value(&[], value);
    }
    let mut held = page.gauge(
        "palisade_fragment_bytes",
        "Memory of fragments that wait for others.",
    );
    for (family, bytes) in ["ipv4", "ipv6"].into_iter().zip(fragments) {
        held.value(&[("family", family)], bytes);
    }
}

/// What rules and policies have counted.
fn by_rule(page: &mut Page, both: &[(Family, Ruleset)]) {
    type Read = fn(Counters) -> u64;
    let kinds: [(&str, &str, Read); 2] = [
        (
            "palisade_rule_packets_total",
            "Packets by rule; rule 0 is the policy.",
            |c| c.packets,
        ),
        (
            "palisade_rule_bytes_total",
            "Bytes by rule; rule 0 is the policy.",
            |c| c.bytes,
        ),
    ];
    for (name, help, read) in kinds {
        let mut family = page.counter(name, help);
        for (ip, ruleset) in both {
            let ip = match ip {
                Family::V4 => "ipv4",
                Family::V6 => "ipv6",
            };
            for table in &ruleset.tables {
                for chain in &table.chains {
                    let policy = chain.builtin.map(|_| (0, chain.counters));
                    let rules = (1..).zip(chain.rules.iter().map(|rule| rule.counters));
                    for (number, counters) in policy.into_iter().chain(rules) {
                        let labels = [
                            ("family", ip),
                            ("table", table.kind.name()),
                            ("chain", &chain.name),
                            ("rule", &number.to_string()),
                        ];
                        family.value(&labels, read(counters));
                    }
                }
            }
        }
    }
}

/// A page as it grows.
#[derive(Debug, Default)]
struct Page {
    text: String,
}

/// Samples of one name.
struct Samples<'a> {
    page: &'a mut Page,
    name: String,
}

impl Page {
    fn counter(&mut self, name: &str, help: &str) -> Samples<'_> {
        self.family(name, help, "counter")
    }

    fn gauge(&mut self, name: &str, help: &str) -> Samples<'_> {
        self.family(name, help, "gauge")
    }

    fn family(&mut self, name: &str, help: &str, kind: &str) -> Samples<'_> {
        let text = &mut self.text;
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        Samples {
            page: self,
            name: name.to_owned(),
        }
    }

    fn histogram(&mut self, name: &str, help: &str, histogram: &Histogram) {
        let (buckets, count, sum) = histogram.read();
        let mut samples = self.family(name, help, "histogram");
        samples.name = format!("{name}_bucket");
        for (upper, within) in buckets {
            samples.value(&[("le", &seconds(upper))], within);
        }
        samples.value(&[("le", "+Inf")], count);
        samples.name = format!("{name}_sum");
        samples.value(&[], sum.as_secs_f64());
        samples.name = format!("{name}_count");
        samples.value(&[], count);
    }
}

/// Seconds without noise: powers of two of nanoseconds are exact with nine digits.
fn seconds(time: Duration) -> String {
    let text = format!("{}.{:09}", time.as_secs(), time.subsec_nanos());
    text.trim_end_matches('0').to_owned()
}

impl Samples<'_> {
    fn value(&mut self, labels: &[(&str, &str)], value: impl Display) {
        let text = &mut self.page.text;
        text.push_str(&self.name);
        for (at, (name, value)) in labels.iter().enumerate() {
            let _ = write!(text, "{}{name}=\"", if at == 0 { '{' } else { ',' });
            for c in value.chars() {
                match c {
                    '\\' => text.push_str("\\\\"),
                    '"' => text.push_str("\\\""),
                    '\n' => text.push_str("\\n"),
                    c => text.push(c),
                }
            }
            text.push('"');
        }
        if !labels.is_empty() {
            text.push('}');
        }
        let _ = writeln!(text, " {value}");
    }
}

#[cfg(test)]
mod tests;
