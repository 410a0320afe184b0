//! The engine as a subject of packet scripts, made from a script as the kernel's namespace is.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use palisade_capture::report::Matched;
use palisade_capture::script::{
    ConnectionSeen, Observed, RuleName, RulesFamily, RulesSource, Script, Seen, Sent, Subject, Way,
    direction, input, observed, stamps, state,
};
use palisade_conntrack::nat::Preferred;
use palisade_conntrack::{Config, Direction, Entry, Tuple};
use palisade_engine::{Engine, Reassembly, Setup};
use palisade_rules::{Chain, Family, Ruleset, TableKind, ipset, parse};
use palisade_wire::{Packet, Timestamp, proto, tcp::Tcp, tcp::flags};

use crate::compare::{Counted, CounterName, Counters, Extras, PacketRecord, TestRecord};
use crate::kernel::{Hardware, SENDER, receiver, tracks};
use crate::tables::{Tables, connection_key, of_connection, of_expectation, of_sets};

/// The engine with a script's firewall.
#[derive(Debug)]
pub struct EngineSubject {
    inner: palisade_capture::script::EngineSubject,
    /// Whether states are to be shown: as on the kernel, where tracking changes what fragments do.
    track: bool,
    /// Whether traffic is counted (`nf_conntrack_acct`).
    counted: bool,
    /// What another subject showed, whose clock is followed.
    led: Option<Led>,
    /// Interfaces, by name.
    devices: Vec<(String, Hardware)>,
    extras: Extras,
}

/// When another subject's packets came, and how they left.
#[derive(Debug)]
struct Led {
    start: Option<Timestamp>,
    packets: std::vec::IntoIter<(Duration, Drawn)>,
    now: Duration,
    ended: Duration,
}

impl EngineSubject {
    /// Builds the firewall of `script`; rules files are relative to `base`.
    ///
    /// # Errors
    ///
    /// When rules cannot be read or have errors, or a setting is unknown.
    pub fn new(script: &Script, base: &Path) -> Result<EngineSubject> {
        let track = tracks(script, base)?;
        let setup = Setup {
            reassembly: if track {
                Reassembly::Always
            } else {
                Reassembly::Auto
            },
            ..setup(script, base)?
        };
        let engine = Engine::new(setup)?;
        // Rules may have turned it on.
        let counted = engine.conntrack().config().acct != 0;
        Ok(EngineSubject {
            inner: palisade_capture::script::EngineSubject::new(engine),
            track,
            counted,
            led: None,
            devices: (0..)
                .zip(&script.firewall.interfaces)
                .map(|(index, i)| (i.name.clone(), Hardware::of(i, index)))
                .collect(),
            extras: Extras::default(),
        })
    }

    /// The rules of both families.
    pub fn rulesets(&self) -> Vec<(Family, Ruleset)> {
        [Family::V4, Family::V6]
            .into_iter()
            .filter_map(|family| Some((family, self.inner.engine().ruleset(family)?)))
            .collect()
    }

    /// Follows another subject through the same test: packets come when they came there, and where ports
    /// are drawn by chance the other's are preferred. The real clock is not the script's, and rates and
    /// timeouts depend on it.
    pub fn following(mut self, test: &TestRecord) -> EngineSubject {
        let packets: Vec<(Duration, Drawn)> = test
            .packets
            .iter()
            .map(|p| (p.extras.elapsed, (drawn(p), cookie(p))))
            .collect();
        self.led = Some(Led {
            start: None,
            packets: packets.into_iter(),
            now: Duration::ZERO,
            ended: test.ended,
        });
        self
    }
}

impl Led {
    /// The moment of the next packet, which the script has at `time`, and what was drawn for it.
    fn next(&mut self, time: Timestamp) -> (Timestamp, Drawn) {
        let start = *self.start.get_or_insert(time);
        let (now, preferred) = self.packets.next().unwrap_or((self.now, Drawn::default()));
        self.now = now;
        (start + now, preferred)
    }
}

/// What was drawn for a packet: by translation, and a cookie of SYNPROXY with its time stamp.
type Drawn = (Preferred, Option<(u32, Option<u32>)>);

/// The cookie that a SYN was answered with.
fn cookie(packet: &PacketRecord) -> Option<(u32, Option<u32>)> {
    let Seen::Seen(Some(answer)) = &packet.answer else {
        return None;
    };
    let parsed = Packet::parse(answer).ok()?;
    let tcp = Tcp::new(parsed.transport()).filter(|_| parsed.protocol() == proto::TCP)?;
    let stamp = stamps(answer).map(|(value, _)| value);
    (tcp.has(flags::SYN) && tcp.has(flags::ACK)).then_some((tcp.seq().0, stamp))
}

/// Ports, or the identifier, that a packet left with, or had when it was last seen.
fn drawn(packet: &PacketRecord) -> Preferred {
    let bytes = match (&packet.left, &packet.extras.last) {
        (Seen::Seen(Some(bytes)), _) | (_, Some(bytes)) => bytes,
        _ => return Preferred::default(),
    };
    let Ok(packet) = Packet::parse(bytes) else {
        return Preferred::default();
    };
    let word = |at: usize| {
        let two = packet.transport().get(at..)?.first_chunk()?;
        Some(u16::from_be_bytes(*two))
    };
    match packet.protocol() {
        proto::ICMP | proto::ICMPV6 => Preferred {
            source: word(4),
            destination: word(4),
        },
        proto::TCP | proto::UDP | proto::UDPLITE | proto::SCTP => Preferred {
            source: word(0),
            destination: word(2),
        },
        _ => Preferred::default(),
    }
}

/// What an engine for `script` is made of; rules files are relative to `base`.
///
/// # Errors
///
/// When rules cannot be read or have errors, or a setting is unknown.
pub fn setup(script: &Script, base: &Path) -> Result<Setup> {
    let (rules4, rules6) = rules(script, base)?;
    let mut conntrack = Config::default();
    for sysctl in &script.sysctls {
        conntrack.set(&sysctl.name, &sysctl.value)?;
    }
    for timeout in &script.timeouts {
        conntrack.add_policy(timeout.policy.clone())?;
    }
    Ok(Setup {
        rules4,
        rules6,
        host: script.host(),
        conntrack,
        ipsets: ipsets(script, base)?,
        ..Setup::default()
    })
}

/// The text of rules or sets.
pub(crate) fn text_of(source: &RulesSource, base: &Path) -> Result<String> {
    match source {
        RulesSource::Inline { text, .. } => Ok(text.clone()),
        RulesSource::File(name) => {
            let path = base.join(name);
            std::fs::read_to_string(&path).with_context(|| path.display().to_string())
        }
    }
}

fn ipsets(script: &Script, base: &Path) -> Result<ipset::Sets> {
    let mut sets = ipset::Sets::default();
    for statement in &script.ipsets {
        let parsed = ipset::parse_onto(sets, &text_of(&statement.source, base)?);
        if parsed.has_errors() {
            bail!("{:?}", parsed.diagnostics);
        }
        sets = parsed.sets;
    }
    Ok(sets)
}

/// The script's rules of both families. Save files replace tables; commands add to what is there, so
/// they are read as one text.
fn rules(script: &Script, base: &Path) -> Result<(Option<Ruleset>, Option<Ruleset>)> {
    let (mut four, mut six) = (None, None);
    let mut commands = String::new();
    for rules in &script.rules {
        let text = match &rules.source {
            RulesSource::Inline { text, .. } => text.clone(),
            RulesSource::File(name) => std::fs::read_to_string(base.join(name))
                .with_context(|| format!("rules in {name}"))?,
        };
        if !text.lines().any(|l| l.starts_with('*')) {
            commands += &text;
            commands.push('\n');
            continue;
        }
        let family = match rules.family {
            RulesFamily::ByText => Family::V4,
            RulesFamily::V6 => Family::V6,
        };
        let parsed = parse::auto(&text, family);
        if parsed.has_errors() {
            bail!("{:?}", parsed.diagnostics);
        }
        replace(&mut four, parsed.v4);
        replace(&mut six, parsed.v6);
    }
    if !commands.is_empty() {
        let parsed = parse::auto(&commands, Family::V4);
        if parsed.has_errors() {
            bail!("{:?}", parsed.diagnostics);
        }
        replace(&mut four, parsed.v4);
        replace(&mut six, parsed.v6);
    }
    Ok((four, six))
}

fn replace(all: &mut Option<Ruleset>, new: Option<Ruleset>) {
    let (Some(all), Some(new)) = (all.as_mut(), &new) else {
        *all = all.take().or(new);
        return;
    };
    all.tables
        .retain(|old| new.tables.iter().all(|t| t.kind != old.kind));
    all.tables.extend(new.tables.iter().cloned());
}

impl Subject for EngineSubject {
    fn packet(&mut self, sent: &Sent<'_>) -> Observed {
        let (time, preferred) = match &mut self.led {
            Some(led) => led.next(sent.time),
            None => (sent.time, Drawn::default()),
        };
        let (preferred, cookie) = preferred;
        self.inner.engine_mut().prefer(preferred);
        self.inner.engine_mut().prefer_cookie(cookie);
        let mut input = input(sent);
        input.time = time;
        if let Way::In(name) = &sent.way {
            input.link.source_mac = input.link.source_mac.or(Some(SENDER));
            let device = self.devices.iter().find(|(device, _)| device == name);
            input.link.destination_mac = device.map(|(_, hardware)| receiver(hardware, sent));
        }
        let mut matched = Matched::default();
        let outcome = self.inner.engine_mut().process(&input, &mut matched);
        let mut observed = observed(self.inner.engine(), &outcome, &matched, &sent.bytes, time);
        let reply = outcome.reply.as_ref();
        self.extras = Extras {
            answer_left: Seen::Seen(reply.and_then(|r| r.sent.clone())),
            answer_state: match self.track {
                true => Seen::Seen((
                    reply.and_then(|r| r.state).map(state),
                    reply.and_then(|r| r.direction).map(direction),
                )),
                false => Seen::Unseen,
            },
            further: Seen::Seen(outcome.further.map(|r| (r.made, r.sent))),
            ..Extras::default()
        };
        if !self.track {
            (observed.state, observed.direction) = (Seen::Unseen, Seen::Unseen);
        }
        if self.led.is_some()
            && let Seen::Seen(Some(connection)) = &mut observed.connection
        {
            connection.timeout_slack = 2;
        }
        observed
    }

    fn counters(&mut self, v6: bool, rule: &RuleName) -> Option<(u64, u64)> {
        self.inner.counters(v6, rule)
    }

    fn connections(&mut self, now: Timestamp) -> Vec<ConnectionSeen> {
        let now = self.moment(now);
        let mut all = self.inner.connections(now);
        if self.led.is_some() {
            all.iter_mut().for_each(|c| c.timeout_slack = 2);
        }
        all
    }

    fn expectations(&mut self, now: Timestamp) -> u64 {
        let now = self.moment(now);
        self.inner.expectations(now)
    }
}

impl EngineSubject {
    /// The moment that the script calls `now`: the followed subject's clock is not behind the script's.
    fn moment(&self, now: Timestamp) -> Timestamp {
        match &self.led {
            Some(Led {
                start: Some(start),
                now: since,
                ..
            }) => now.max(*start + *since),
            _ => now,
        }
    }
}

impl Counted for EngineSubject {
    fn all_counters(&mut self) -> Counters {
        let mut all = Counters::new();
        for (v6, family) in [(false, Family::V4), (true, Family::V6)] {
            for table in self
                .inner
                .engine()
                .ruleset(family)
                .iter()
                .flat_map(|r| &r.tables)
            {
                for chain in &table.chains {
                    counters_of(v6, table.kind, chain, &mut all);
                }
            }
        }
        all
    }

    fn tables(&mut self, now: Timestamp) -> Tables {
        let now = match &self.led {
            // At the end the followed subject took its time to look.
            Some(led) if led.packets.len() == 0 => {
                self.moment(now).max(led.start.unwrap_or(now) + led.ended)
            }
            _ => self.moment(now),
        };
        let engine = self.inner.engine_mut();
        engine.expire(now);
        let table = engine.conntrack();
        let mut tables = Tables::default();
        let originals: HashMap<u64, Tuple> = table
            .connections()
            .map(|c| (c.number(), c.tuple(Direction::Original)))
            .collect();
        let parent = |number: u64| originals.get(&number).copied();
        // Where nothing asks for tracking the kernel has no table.
        let confirmed = |c: &Entry<'_>| self.track && c.confirmed();
        for connection in table.connections().filter(confirmed) {
            let key = connection_key(&connection.tuple(Direction::Original), connection.zones());
            let parent = connection.master_tuple();
            let entry = of_connection(connection, parent.as_ref(), self.counted, now);
            tables.connections.insert(key, entry);
        }
        for expectation in table.expectations() {
            let parent = parent(expectation.parent);
            let (key, entry) = of_expectation(expectation, parent.as_ref(), now);
            tables.expectations.insert(key, entry);
        }
        for (name, entries) in engine.recent().contents() {
            let mut addresses: Vec<String> = entries
                .iter()
                .map(|(address, moments)| format!("{address} {moments}"))
                .collect();
            addresses.sort();
            tables.recent.insert(name.to_owned(), addresses);
        }
        tables.sets = of_sets(&engine.ipsets().contents(now));
        tables
    }

    fn elapsed(&self) -> Duration {
        self.led.as_ref().map_or(Duration::ZERO, |led| led.now)
    }

    fn extras(&mut self) -> Extras {
        std::mem::take(&mut self.extras)
    }
}

fn counters_of(v6: bool, table: TableKind, chain: &Chain, all: &mut Counters) {
    let name = |number| CounterName::new(v6, table.name(), &chain.name, number);
    if chain.builtin.is_some() {
        all.insert(name(0), (chain.counters.packets, chain.counters.bytes));
    }
    for (number, rule) in (1..).zip(&chain.rules) {
        all.insert(name(number), (rule.counters.packets, rule.counters.bytes));
    }
}
