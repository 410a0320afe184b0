//! What each case does. Everything that is not the work in question, and the proof that it was done, stands outside
//! the time that is taken.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use palisade_conntrack::{Config, State};
use palisade_engine::{Classifier, Engine, Evaluator, Fields, Host, Setup, Verdict};
use palisade_rules::{Counters, Family, Hook, Policy, Rule, Ruleset, TableKind, parse, synth};
use palisade_wire::{build, proto, tcp};

use super::case::{Case, Mix};
use super::clock::Stopwatch;
use super::figure::{Figure, Unit};
use super::lane::{BUFFERS, Lane, Subject, Tally, Want};
use super::packets::{Chance, Flows, Load, SERVER, Way, datagram_from};
use super::ruleset::{self, Entrance};

/// Packets of a round at most.
const MOST: u64 = 1 << 22;

/// Datagrams count as a stream, and their connection as assured, two seconds after the first.
const STREAM: Duration = Duration::from_secs(3);

/// Headers looked up in a round.
const LOOK_UPS: usize = 1 << 20;

/// Rules that a round appends.
const APPENDED: usize = 20;

/// How the cases are run.
pub struct Settings {
    /// Rounds.
    pub rounds: usize,
    /// Time that a round should take.
    pub budget: Duration,
    /// Packets of a round, if somebody said so.
    pub packets: Option<u64>,
    /// Sysctls, by name and value.
    pub sysctls: Vec<(String, String)>,
    /// Smaller where a case leaves its size open.
    pub quick: bool,
    /// Rules of the user, for the cases that take them.
    pub rules: Option<Ruleset>,
    /// Who walks the rules.
    pub evaluator: Evaluator,
}

/// Runs cases one after another.
pub struct Bench<'a> {
    pub(super) settings: &'a Settings,
    pub(super) lane: Lane,
    tell: &'a dyn Fn(&str),
}

impl<'a> Bench<'a> {
    /// Cases with these settings, in batches of so many packets; `tell` hears what is going on.
    pub fn new(settings: &'a Settings, batch: usize, tell: &'a dyn Fn(&str)) -> Self {
        Bench {
            settings,
            lane: Lane::new(batch),
            tell,
        }
    }

    /// Runs a case.
    ///
    /// # Errors
    /// The packets were not judged as the case needs it, or a sysctl is wrong.
    pub fn run(&mut self, case: Case) -> Result<Figure> {
        (self.tell)("being prepared");
        let figure = match case {
            Case::BytesPerConnection => self.bytes(),
            Case::Established(flows, mix) => self.established(case, flows, mix, 0),
            Case::EstablishedAt(rules) => self.established(case, 65_536, Mix::Udp, rules),
            Case::New(flows, mix) => self.new_connections(case, flows, mix),
            Case::Rules(rules) => self.rules(case, rules),
            Case::Classify(family, rules) => self.classify(case, family, rules),
            Case::Load(rules) => self.load(case, rules),
            Case::Append(rules) => self.append(case, rules),
            Case::Flood => self.flood(),
            Case::Threads(count) => self.threads(case, count),
        };
        figure.with_context(|| format!("case {case}"))
    }

    /// Settings of connection tracking for so many connections, as an administrator would choose them; the
    /// user's come last.
    pub(super) fn config(&self, connections: u32) -> Result<Config> {
        let room = u64::from(connections.next_power_of_two());
        let mut config = Config::default();
        config.max = config.max.max(room * 2);
        config.buckets = config.buckets.max(room).min(1 << 24);
        for (name, value) in &self.settings.sysctls {
            config.set(name, value)?;
        }
        Ok(config)
    }

    pub(super) fn setup(&self, rules: Ruleset, connections: u32) -> Result<Setup> {
        Ok(Setup {
            rules4: Some(rules),
            host: Host::new([IpAddr::V4(SERVER)], []),
            conntrack: self.config(connections)?,
            evaluator: self.settings.evaluator,
            ..Setup::default()
        })
    }

    /// The rules of a case with flows, and the way in through them.
    fn flow_setup(&self, connections: u32, mix: Mix, before: &str) -> Result<(Setup, Entrance)> {
        let Some(rules) = &self.settings.rules else {
            let setup = self.setup(ruleset::own(&ruleset::text(before, ""))?, connections)?;
            return Ok((setup, Entrance::own()));
        };
        let setup = self.setup(rules.clone(), connections)?;
        let entrance = ruleset::entrance(&setup, mix)?;
        Ok((setup, entrance))
    }

    /// With our own rules everything must be judged as the case says.
    fn check(&self, tally: &Tally) -> Result<()> {
        match self.settings.rules {
            None => tally.check(),
            Some(_) => Ok(()),
        }
    }

    /// Sends one packet of each flow.
    pub(super) fn each(
        &mut self,
        subject: &mut Subject,
        count: u32,
        state: State,
        mut packet: impl FnMut(u32) -> (Vec<u8>, Way),
    ) -> Tally {
        let mut flow = 0..count;
        let mut load = || packet(flow.next().unwrap_or_default());
        let want = Want::accepted(state);
        self.lane.send(subject, &mut load, u64::from(count), want)
    }

    /// Makes all flows and answers them, until their connections are assured.
    pub(super) fn establish(&mut self, subject: &mut Subject, flows: &mut Flows) -> Result<()> {
        let count = flows.count();
        let mut tally = self.each(subject, count, State::New, |flow| flows.first(flow));
        tally.add(self.each(subject, count, State::Established, |f| flows.answer(f)));
        subject.now = subject.now + STREAM;
        tally.add(self.each(subject, count, State::Established, |f| flows.complete(f)));
        // Of TCP data and its acknowledgement, too.
        for _ in 0..2 {
            tally.add(self.each(subject, count, State::Established, |f| flows.further(f)));
        }
        self.check(&tally)
    }

    /// Warms up, then sends packets in rounds.
    fn rounds(
        &mut self,
        subject: &mut Subject,
        load: &mut dyn Load,
        want: Want,
        figure: &mut Figure,
    ) -> Result<()> {
        (self.tell)("warming up");
        let enough = self.settings.budget / 4;
        let mut count = 64;
        let warm = loop {
            let tally = self.lane.send(subject, load, count, want);
            self.check(&tally)?;
            if tally.elapsed >= enough || count >= MOST / 4 {
                break tally;
            }
            count *= 2;
        };
        let fitting = self.settings.budget.as_nanos() as f64 / warm.ns().max(0.1);
        let count = self.settings.packets.unwrap_or(fitting as u64);
        let count = count.clamp(64, MOST.max(self.settings.packets.unwrap_or(0)));
        for round in 1..=self.settings.rounds {
            (self.tell)(&format!("round {round} of {}", self.settings.rounds));
            let tally = self.lane.send(subject, load, count, want);
            self.check(&tally)?;
            figure.add(tally.ns(), &tally);
        }
        Ok(())
    }

    fn established(&mut self, case: Case, count: u32, mix: Mix, before: u32) -> Result<Figure> {
        let address_rules = match before {
            0 => String::new(),
            _ => ruleset::address_rules(&ruleset::addresses()[..before as usize]),
        };
        let (setup, entrance) = self.flow_setup(count, mix, &address_rules)?;
        let mut subject = Subject::new(setup, &entrance.interface)?;
        let mut flows = Flows::new(count, mix, entrance.ports);
        self.establish(&mut subject, &mut flows)?;
        let mut figure = Figure::new(case, Unit::Nanoseconds);
        let mut chance = Chance::new(6);
        let mut load = || flows.further(chance.below(count));
        let want = Want::accepted(State::Established);
        self.rounds(&mut subject, &mut load, want, &mut figure)?;
        if self.settings.rules.is_some() {
            figure.tell_of_others(&entrance);
            return Ok(figure);
        }
        // The rule in question took all that came but the first packet of each flow.
        let (rules, _) = input(&subject.engine)?;
        let took = rules.get(before as usize).map_or(0, |r| r.packets);
        let all = subject.sent[Way::In as usize] - u64::from(count);
        ensure!(
            took == all,
            "the ESTABLISHED rule counted {took} packets of {all}"
        );
        let entries = subject.engine.conntrack().len();
        ensure!(
            entries == count as usize,
            "{entries} connections of {count}"
        );
        Ok(figure)
    }

    fn new_connections(&mut self, case: Case, count: u32, mix: Mix) -> Result<Figure> {
        let (setup, entrance) = self.flow_setup(count, mix, "")?;
        let mut figure = Figure::new(case, Unit::Nanoseconds);
        let order = Chance::new(7).permutation(count);
        let mut subject = Subject::new(setup, &entrance.interface)?;
        // The first time the memory is new to the process, too: that is not what a round should find.
        for round in 0..=self.settings.rounds {
            (self.tell)(&format!("round {round} of {}", self.settings.rounds));
            subject.engine.conntrack_mut().end_all();
            let before = subject.engine.conntrack().stats().inserted;
            let mut flows = Flows::new(count, mix, entrance.ports);
            let tally = self.each(&mut subject, count, State::New, |flow| {
                flows.first(order[flow as usize])
            });
            self.check(&tally)?;
            if self.settings.rules.is_none() {
                let entries = subject.engine.conntrack().stats().inserted - before;
                ensure!(
                    entries == u64::from(count),
                    "{entries} connections of {count}"
                );
            }
            match round {
                0 => figure.more("first", tally.ns()),
                _ => figure.add(tally.ns(), &tally),
            }
        }
        if self.settings.rules.is_some() {
            figure.tell_of_others(&entrance);
        }
        Ok(figure)
    }

    fn rules(&mut self, case: Case, count: u32) -> Result<Figure> {
        let addresses = ruleset::addresses();
        let (named, others) = addresses.split_at(count as usize);
        let text = ruleset::text("", &ruleset::address_rules(named));
        let setup = self.setup(ruleset::own(&text)?, 1)?;
        let mut subject = Subject::new(setup, ruleset::INTERFACE)?;
        let mut figure = Figure::new(case, Unit::Nanoseconds);
        let mut chance = Chance::new(8);
        let mut load = || {
            let source = others[chance.below(others.len() as u32) as usize];
            // No rule opens this port.
            (
                datagram_from(source, 1024 | chance.next() as u16, 9),
                Way::In,
            )
        };
        let want = Want {
            verdict: Verdict::Drop,
            state: State::New,
        };
        self.rounds(&mut subject, &mut load, want, &mut figure)?;
        let (_, policy) = input(&subject.engine)?;
        let sent = subject.sent[Way::In as usize];
        ensure!(
            policy.packets == sent,
            "the policy counted {} packets of {sent}",
            policy.packets
        );
        ensure!(
            subject.engine.conntrack().is_empty(),
            "dropped packets left connections"
        );
        Ok(figure)
    }

    fn classify(&mut self, case: Case, family: synth::Family, count: u32) -> Result<Figure> {
        let mut filters = synth::filters(family, count as usize, 1);
        // What is accepted would be inserted, and that is another case.
        for filter in &mut filters {
            filter.accept = false;
        }
        let mut headers = synth::headers(&filters, BUFFERS * 2, 1);
        headers.retain(|h| [h.source, h.destination].into_iter().all(routed));
        headers.truncate(BUFFERS);
        let mut rules = synth::ruleset(&filters, Hook::Forward);
        let first = established_rule()?;
        let chains = rules.tables.iter_mut().flat_map(|t| &mut t.chains);
        for chain in chains.filter(|c| c.builtin == Some(Hook::Forward)) {
            chain.policy = Policy::Drop;
            chain.rules.insert(0, first.clone());
        }
        let setup = self.setup(rules, 1)?;
        let mut subject = Subject::new(setup, ruleset::INTERFACE)?;
        let want = Want {
            verdict: Verdict::Drop,
            state: State::New,
        };
        let mut figure = Figure::new(case, Unit::Nanoseconds);
        self.look_up(&filters, &headers, &mut figure)?;
        let mut whole = Figure::new(case, Unit::Nanoseconds);
        let mut at = headers.iter().cycle();
        let mut load = || (at.next().map(aimed).unwrap_or_default(), Way::In);
        // Some of them, and the rules that must have taken them.
        let sample = headers.len().min(256);
        let tally = self.lane.send(&mut subject, &mut load, sample as u64, want);
        tally.check()?;
        let mut expected = vec![0; filters.len() + 1];
        for header in &headers[..sample] {
            let rule = filters.iter().position(|f| f.contains(header));
            expected[rule.unwrap_or(filters.len())] += 1;
        }
        let (counted, policy) = counters(&subject.engine, Hook::Forward)?;
        let counted = counted.iter().skip(1).chain([&policy]).map(|c| c.packets);
        ensure!(
            counted.eq(expected),
            "packets were taken by other rules than those that they are for"
        );
        self.rounds(&mut subject, &mut load, want, &mut whole)?;
        let packet = whole.median();
        (figure.packets, figure.right) = (whole.packets, whole.right);
        figure.more("packet", super::report::rounded(packet));
        figure.notes.push(format!(
            "all of a new packet that is dropped: {packet:.0} ns"
        ));
        let (counted, policy) = counters(&subject.engine, Hook::Forward)?;
        let all: u64 = counted.iter().map(|c| c.packets).sum::<u64>() + policy.packets;
        let sent = subject.sent[Way::In as usize];
        ensure!(
            all == sent,
            "rules and policy counted {all} packets of {sent}"
        );
        Ok(figure)
    }

    /// Looking up alone: the rule that a header is for, among all of them.
    fn look_up(
        &self,
        filters: &[synth::Filter],
        headers: &[synth::Header],
        figure: &mut Figure,
    ) -> Result<()> {
        let rules = synth::ruleset(filters, Hook::Forward);
        let chains = rules.tables.iter().flat_map(|t| &t.chains);
        let mut chains = chains.filter(|c| c.builtin == Some(Hook::Forward));
        let chain = chains.next().context("no chain")?;
        let classifier = Classifier::new(&chain.rules, Family::V4);
        let fields: Vec<Fields> = headers.iter().map(fields).collect();
        for (header, fields) in headers.iter().zip(&fields).take(256) {
            let rule = filters.iter().position(|f| f.contains(header));
            let found = classifier.find(fields, 0).map(|rule| rule as usize);
            ensure!(
                found == rule,
                "a header is found rule {found:?}, not {rule:?}"
            );
        }
        let times = (LOOK_UPS / fields.len().max(1)).max(1);
        for round in 0..=self.settings.rounds {
            (self.tell)(&format!("round {round} of {}", self.settings.rounds));
            let start = Stopwatch::start();
            for fields in std::iter::repeat_n(&fields, times).flatten() {
                std::hint::black_box(classifier.find(fields, 0));
            }
            let elapsed = start.elapsed().as_nanos() as f64;
            if round > 0 {
                figure.samples.push(elapsed / (times * fields.len()) as f64);
            }
        }
        Ok(())
    }

    fn load(&mut self, case: Case, count: u32) -> Result<Figure> {
        let text = ruleset::large(count);
        let mut figure = Figure::new(case, Unit::Milliseconds);
        for round in 0..=self.settings.rounds {
            (self.tell)(&format!("round {round} of {}", self.settings.rounds));
            let start = Stopwatch::start();
            let parsed = parse::save_file(&text, Family::V4);
            let rules = parsed.v4.context("no rules")?;
            let engine = Engine::new(self.setup(rules, 1)?)?;
            let elapsed = start.elapsed();
            ensure!(
                parsed.diagnostics.is_empty(),
                "{:?}",
                parsed.diagnostics.first()
            );
            let usual = input(&Engine::new(
                self.setup(ruleset::own(&ruleset::text("", ""))?, 1)?,
            )?)?;
            let ready = input(&engine)?.0.len() - usual.0.len();
            ensure!(ready == count as usize, "{ready} rules of {count}");
            if round > 0 {
                figure.samples.push(elapsed.as_secs_f64() * 1e3);
            }
        }
        Ok(figure)
    }

    /// A round is the mean of some rules, each with the first packet that it takes; the largest of all is told beside.
    fn append(&mut self, case: Case, count: u32) -> Result<Figure> {
        let rules = ruleset::own(&ruleset::large(count))?;
        let mut subject = Subject::new(self.setup(rules, 1)?, ruleset::INTERFACE)?;
        let before = input(&subject.engine)?.0.len();
        let mut figure = Figure::new(case, Unit::Milliseconds);
        let mut sources = ruleset::addresses().into_iter();
        let mut largest = Duration::ZERO;
        for round in 0..=self.settings.rounds {
            (self.tell)(&format!("round {round} of {}", self.settings.rounds));
            let mut elapsed = Duration::ZERO;
            for source in sources.by_ref().take(APPENDED) {
                let text = format!("iptables -A INPUT -s {source}/32 -j ACCEPT\n");
                let datagram = |port| (datagram_from(source, port, 9), Way::In);
                let dropped = Want {
                    verdict: Verdict::Drop,
                    state: State::New,
                };
                let passed = Want::accepted(State::New);
                let load = &mut || datagram(1024);
                self.lane.send(&mut subject, load, 1, dropped).check()?;
                let start = Stopwatch::start();
                append(&mut subject.engine, &text)?;
                let mut this = start.elapsed();
                // What is put off until a packet comes is part of it.
                let load = &mut || datagram(1025);
                let tally = self.lane.send(&mut subject, load, 1, passed);
                tally.check()?;
                this += tally.elapsed;
                elapsed += this;
                // What the warm-up pays is told, too.
                largest = largest.max(this);
            }
            if round > 0 {
                let mean = elapsed.as_secs_f64() / APPENDED as f64;
                figure.samples.push(mean * 1e3);
            }
        }
        let more = input(&subject.engine)?.0.len() - before;
        let all = (self.settings.rounds + 1) * APPENDED;
        ensure!(more == all, "{more} rules of {all} were appended");
        figure.more(
            "largest",
            super::report::rounded(largest.as_secs_f64() * 1e3),
        );
        figure.notes.push(format!(
            "the slowest of {all} took {:.3} ms",
            largest.as_secs_f64() * 1e3
        ));
        Ok(figure)
    }
}

/// Appends the rule of a command.
fn append(engine: &mut Engine, text: &str) -> Result<()> {
    let parsed = parse::script(text);
    ensure!(
        parsed.diagnostics.is_empty(),
        "{:?}",
        parsed.diagnostics.first()
    );
    let tables = parsed.v4.into_iter().flat_map(|rules| rules.tables);
    for table in tables {
        for chain in table.chains {
            for rule in chain.rules {
                engine.append(Family::V4, table.kind, &chain.name, rule)?;
            }
        }
    }
    Ok(())
}

/// The rule for ESTABLISHED alone.
fn established_rule() -> Result<Rule> {
    let rules = ruleset::own(&ruleset::text("", ""))?;
    let table = rules.table(TableKind::Filter);
    let mut chains = table.into_iter().flat_map(|t| &t.chains);
    let first = chains.find_map(|chain| chain.rules.first());
    first.cloned().context("no rules")
}

/// Whether packets from and to an address get as far as the rules.
fn routed(address: std::net::Ipv4Addr) -> bool {
    !(address.octets()[0] == 0
        || address.octets()[0] >= 224
        || address.is_loopback()
        || address == SERVER)
}

/// A first packet with the fields of a header.
fn fields(header: &synth::Header) -> Fields {
    Fields {
        source: header.source.into(),
        destination: header.destination.into(),
        protocol: header.protocol,
        source_port: header.source_port,
        destination_port: header.destination_port,
    }
}

fn aimed(header: &synth::Header) -> Vec<u8> {
    let ip = build::Ip::new(header.source.into(), header.destination.into());
    match header.protocol {
        proto::TCP => {
            let syn = build::Tcp {
                source_port: header.source_port,
                destination_port: header.destination_port,
                flags: tcp::flags::SYN,
                window: 64_240,
                ..build::Tcp::default()
            };
            build::tcp(&ip, &syn, &[])
        }
        proto::UDP => build::udp(&ip, header.source_port, header.destination_port, &[0; 22]),
        proto::ICMP => build::icmp(&ip, 8, 0, [0, 1, 0, 1], &[0; 22]),
        other => build::raw(&ip, other, &[0; 30]),
    }
}

/// Counters of the rules of a chain, and of its policy.
fn counters(engine: &Engine, hook: Hook) -> Result<(Vec<Counters>, Counters)> {
    let rules = engine.ruleset(Family::V4).context("no rules")?;
    let table = rules.table(TableKind::Filter);
    let mut chains = table.into_iter().flat_map(|t| &t.chains);
    let Some(chain) = chains.find(|c| c.builtin == Some(hook)) else {
        bail!("no chain {}", hook.name());
    };
    let counters = chain.rules.iter().map(|r| r.counters).collect();
    Ok((counters, chain.counters))
}

/// Those of INPUT.
fn input(engine: &Engine) -> Result<(Vec<Counters>, Counters)> {
    counters(engine, Hook::Input)
}
