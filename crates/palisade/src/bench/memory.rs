//! Cases about memory: what a connection costs, and what a flood may cost.

use anyhow::{Context, Result, ensure};
use palisade_conntrack::State;

use super::case::{Case, Mix};
use super::figure::{Figure, Unit};
use super::lane::{BUFFERS, Subject, Tally, Want};
use super::packets::{Chance, Flows, PORTS, Way, forged_syn};
use super::ruleset;
use super::work::Bench;

/// Connections that must live through the flood.
const BYSTANDERS: u32 = 1000;

/// What the process occupies, in bytes.
fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib * 1024)
}

impl Bench<'_> {
    /// Memory of a connection, by what the table holds for entries and index, and what the process grew by.
    pub(super) fn bytes(&mut self) -> Result<Figure> {
        let count: u32 = if self.settings.quick {
            65_536
        } else {
            1_048_576
        };
        let setup = self.setup(ruleset::own(&ruleset::text("", ""))?, count)?;
        // What buffers and allocator need once.
        let mut small = Subject::new(setup.clone(), ruleset::INTERFACE)?;
        let mut flows = Flows::new(count, Mix::Udp, PORTS);
        let first = count.min(BUFFERS as u32);
        self.each(&mut small, first, State::New, |flow| flows.first(flow))
            .check()?;
        drop(small);
        let before = resident();
        let mut subject = Subject::new(setup, ruleset::INTERFACE)?;
        let tally = self.each(&mut subject, count, State::New, |flow| flows.first(flow));
        tally.check()?;
        let table = subject.engine.conntrack();
        let entries = table.len();
        ensure!(
            entries == count as usize,
            "{entries} connections of {count}"
        );
        let mut figure = Figure::new(Case::BytesPerConnection, Unit::Bytes);
        let each = |bytes: u64| bytes as f64 / f64::from(count);
        figure.samples.push(each(table.memory() as u64));
        figure.more("connections", count);
        let grown = before.zip(resident()).map(|(b, now)| now.saturating_sub(b));
        figure.more("resident", grown.map(each));
        Ok(figure)
    }

    /// Forged SYNs against a table that is full after the first of them, and connections that go on meanwhile.
    pub(super) fn flood(&mut self) -> Result<Figure> {
        let (max, syns): (u32, u64) = match self.settings.quick {
            true => (16_384, 100_000),
            false => (1_048_576, 10_000_000),
        };
        let mut setup = self.setup(ruleset::own(&ruleset::text("", ""))?, max)?;
        setup.conntrack.max = u64::from(max);
        let mut subject = Subject::new(setup, ruleset::INTERFACE)?;
        let mut bystanders = Flows::new(BYSTANDERS, Mix::Tcp, PORTS);
        self.establish(&mut subject, &mut bystanders)?;
        let mut chance = Chance::new(9);
        let before = resident();
        let mut figure = Figure::new(Case::Flood, Unit::Nanoseconds);
        let (mut full, mut passing) = (None, Tally::default());
        let rounds = self.settings.rounds.max(1) as u64;
        let mut flood = Tally::default();
        for round in 0..rounds {
            let mut this = Tally::default();
            let mut left = syns * (round + 1) / rounds - syns * round / rounds;
            while left > 0 {
                let now = left.min(BUFFERS as u64 / 4);
                let mut load = || (forged_syn(&mut chance), Way::In);
                let want = Want::accepted(State::New);
                this.add(self.lane.send(&mut subject, &mut load, now, want));
                passing.add(
                    self.each(&mut subject, BYSTANDERS, State::Established, |flow| {
                        bystanders.further(flow)
                    }),
                );
                left -= now;
                if full.is_none() && subject.engine.conntrack().len() >= max as usize {
                    full = Some(resident());
                }
            }
            figure.add(this.ns(), &this);
            flood.add(this);
        }
        let table = subject.engine.conntrack();
        ensure!(
            table.len() <= max as usize,
            "{} entries, {max} allowed",
            table.len()
        );
        let full = full.context("the table did not become full")?;
        figure.more("syns", flood.packets);
        figure.more("syns_accepted", flood.right);
        figure.more("established_sent", passing.packets);
        figure.more("established_passed", passing.right);
        figure.more("established_ns", passing.ns());
        figure.more("entries", table.len());
        figure.more("entries_allowed", max);
        figure.more("early_drops", table.stats().early_drop);
        figure.more("table_full", table.stats().table_full);
        for (name, value) in [
            ("resident_before", before),
            ("resident_full", full),
            ("resident_after", resident()),
        ] {
            figure.more(name, value);
        }
        figure.notes.push(format!(
            "{} of {} established packets passed at {:.0} ns; {} entries of {max}, {} early drops, {} SYNs found no room; \
             memory {} before, {} when the table was full, {} at the end",
            passing.right,
            passing.packets,
            passing.ns(),
            table.len(),
            table.stats().early_drop,
            table.stats().table_full,
            megabytes(before),
            megabytes(full),
            megabytes(resident()),
        ));
        if let Some(wrong) = passing.wrong {
            figure.fault = Some(format!("not all established packets passed: {wrong}"));
        }
        Ok(figure)
    }
}

fn megabytes(bytes: Option<u64>) -> String {
    match bytes {
        Some(bytes) => format!("{} MB", bytes / 1_000_000),
        None => "unknown".into(),
    }
}
