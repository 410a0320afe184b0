//! The Linux kernel as a subject of packet scripts.
//!
//! # Overview
//!
//! A [`KernelSubject`] is a network namespace with the script's interfaces (TAP devices, whose other end
//! we hold), addresses, routes, settings and rules (loaded by the legacy iptables, so that the kernel's
//! own `ip_tables` judges). A packet that arrives is written to a TAP device, one that the firewall sends
//! itself goes through a raw socket. [`watch`] tells what became of it; counters and the connection table
//! are asked of the tools that administrators use.
//!
//! # What is seen
//!
//! State, direction, verdict, the rules that matched, the one that decided, the answer of REJECT, the
//! mark of an accepted packet, and the connection where the packet's own ports name it. Not seen: rules
//! that were only looked at, parents, reasons.
//!
//! # Life cycle
//!
//! One subject a test, each on a namespace of its own; making it moves the calling thread there. It ends
//! when the value is dropped and the thread has ended or made another.
//!
//! # Time
//!
//! The kernel's clock is the real one. Where a script lets time pass the subject waits until as much has
//! really passed; packets that follow each other closely come as they come.

mod chains;
mod namespace;
mod netlink;
mod options;
mod shown;
pub(crate) mod socket;
mod tables;
pub mod watch;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::net::{IpAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::sys::socket::{MsgFlags, SockaddrIn, SockaddrIn6, sendto, setsockopt, sockopt};
use palisade_capture::script::{
    Action, CheckKind, ConnectionSeen, Direction, FrameKind, Item, Observed, RuleName, RulesSource,
    Script, Seen, Sent, State, Step, Subject, Verdict, Way,
};
use palisade_rules::ipset;
use palisade_wire::{Packet, Timestamp, checksum, proto, tcp::Tcp, tcp::flags};

pub(crate) use self::namespace::Hardware;
use self::namespace::{Device, Namespace};
pub use self::namespace::{Tools, find};
use self::shown::{Connection, Rule};
use self::watch::Line;
use crate::compare::{Counted, CounterName, Counters, Extras};
use crate::tables::{Tables, of_sets};

/// Hardware address of everybody who sends to the firewall, unless the script says another.
pub(crate) const SENDER: [u8; 6] = [2, 0, 0, 0, 0, 0x99];

/// Why the kernel cannot be asked here, or `None` when it can.
pub fn unavailable() -> Option<String> {
    for tool in [
        "iptables-legacy",
        "ip6tables-legacy",
        "iptables-nft",
        "ip6tables-nft",
        "nft",
        "ipset",
        "conntrack",
        "ip",
    ] {
        if let Err(e) = namespace::find(tool) {
            return Some(e.to_string());
        }
    }
    // On a thread of its own: whoever enters a namespace stays there.
    let empty = palisade_capture::script::parse("interface pal0 192.0.2.1/24\n").0;
    let tried = std::thread::spawn(move || {
        Namespace::enter(&empty, Path::new("."), true, Tools::Legacy)
            .map(drop)
            .map_err(|e| format!("{e:#}"))
    });
    match tried.join() {
        Ok(result) => result.err(),
        Err(_) => Some("entering a namespace failed".to_owned()),
    }
}

/// The kernel with a script's firewall loaded.
pub struct KernelSubject {
    namespace: Namespace,
    track: bool,
    tools: Tools,
    /// Whether anybody asks for connections: looking takes longer than sending.
    connections_wanted: bool,
    has_sets: bool,
    rules: BTreeMap<CounterName, Rule>,
    /// Sockets that the firewall's own packets leave by, by user and group.
    raw: BTreeMap<(u32, u32), [OwnedFd; 2]>,
    clock: Option<(Timestamp, Instant)>,
    extras: Extras,
    faults: Vec<String>,
}

impl KernelSubject {
    /// Builds the firewall of `script` in a new namespace of the calling thread; rules files are
    /// relative to `base`.
    ///
    /// # Errors
    ///
    /// When rights or tools are missing or the kernel refuses the rules.
    pub fn new(script: &Script, base: &Path, tools: Tools) -> Result<KernelSubject> {
        let track = tracks(script, base)?;
        let namespace = Namespace::enter(script, base, track, tools)?;
        let mut subject = KernelSubject {
            namespace,
            track,
            tools,
            connections_wanted: script
                .tests
                .iter()
                .any(|t| asks(&t.steps, about_connection)),
            has_sets: !script.ipsets.is_empty(),
            rules: BTreeMap::new(),
            raw: BTreeMap::new(),
            clock: None,
            extras: Extras::default(),
            faults: Vec::new(),
        };
        subject.rules = subject.saved()?;
        Ok(subject)
    }

    fn saved(&self) -> Result<BTreeMap<CounterName, Rule>> {
        let mut all = BTreeMap::new();
        for (v6, tool) in [(false, "iptables-save"), (true, "ip6tables-save")] {
            all.extend(shown::rules(v6, &self.namespace.feed(tool, &["-c"], "")?));
        }
        Ok(all)
    }

    fn table(&self, family: &str) -> Result<Vec<Connection>> {
        let arguments = ["-L", "-f", family, "-o", "id,extended"];
        Ok(shown::connections(&self.namespace.feed(
            "conntrack",
            &arguments,
            "",
        )?))
    }

    /// Keeps a fault of the subject itself, for [`Counted::faults`].
    fn kept<T: Default>(&mut self, what: &str, result: Result<T>) -> T {
        result.unwrap_or_else(|e| {
            self.faults.push(format!("{what}: {e:#}"));
            T::default()
        })
    }

    /// Waits until as much time has passed since the first packet as the script says.
    fn wait(&mut self, moment: Timestamp) {
        let (first, begun) = *self.clock.get_or_insert((moment, Instant::now()));
        let due = moment.since(first).saturating_sub(begun.elapsed());
        if due > Duration::ZERO {
            std::thread::sleep(due);
        }
    }

    fn carry(&mut self, sent: &Sent<'_>) -> Result<()> {
        match &sent.way {
            Way::In(name) => {
                let device = self.namespace.devices.iter().find(|d| d.name == *name);
                let device = device.with_context(|| format!("no interface {name}"))?;
                device.tap.send(&frame(device, sent))?;
                Ok(())
            }
            Way::ByAddress => self.send_own(sent, None),
            Way::Out(name) => self.send_own(sent, Some(name)),
        }
    }

    /// Sends a packet of the firewall's own, headers and all.
    fn send_own(&mut self, sent: &Sent<'_>, device: Option<&str>) -> Result<()> {
        let packet = Packet::parse(&sent.bytes).context("a raw socket takes only whole packets")?;
        let [v4, v6] = match self.raw.entry(sent.owner) {
            Entry::Occupied(open) => open.into_mut(),
            Entry::Vacant(none) => none.insert(socket::raw(sent.owner)?),
        };
        let result = match packet.destination() {
            IpAddr::V4(to) => {
                setsockopt(v4, sockopt::BindToDevice, &device.unwrap_or("").into())?;
                let to = SockaddrIn::from(SocketAddrV4::new(to, 0));
                sendto(v4.as_raw_fd(), &sent.bytes, &to, MsgFlags::empty())
            }
            IpAddr::V6(to) => {
                setsockopt(v6, sockopt::BindToDevice, &device.unwrap_or("").into())?;
                let to = SockaddrIn6::from(SocketAddrV6::new(to, 0, 0, 0));
                sendto(v6.as_raw_fd(), &sent.bytes, &to, MsgFlags::empty())
            }
        };
        match result {
            // EPERM: a rule dropped it, or our own last chain did.
            Ok(_) | Err(nix::errno::Errno::EPERM) => Ok(()),
            Err(e) => Err(e).context("sending from the firewall itself"),
        }
    }

    /// Reads a packet's fate out of what was said about it.
    ///
    /// `kept`: whether the kernel holds more of fragments than before.
    fn judge(&mut self, bytes: &[u8], lines: &[Line], kept: bool) -> Observed {
        let v6 = bytes.first().is_some_and(|b| b >> 4 == 6);
        // An answer is made and goes its way in the middle of the packet's own, which ends after it.
        // Its sender may be translated by then: what was last said of the packet tells its addresses too.
        let is_answer = |at: usize| {
            let before = at.checked_sub(1).and_then(|before| lines.get(before));
            lines.get(at).is_some_and(|l| {
                l.words == "answer"
                    && (proxied(&l.packet, bytes)
                        || answers(&l.packet, bytes)
                        || before.is_some_and(|b| answers(&l.packet, &b.packet)))
            })
        };
        let (lines, of_answer) = match (0..lines.len()).find(|at| is_answer(*at)) {
            Some(at) => lines.split_at(at),
            None => (lines, [].as_slice()),
        };
        // An answer that is rejected may be answered in its turn.
        let next = of_answer.iter().skip(1).position(|l| l.words == "answer");
        let (of_answer, of_next) = match next {
            Some(at) => of_answer.split_at(at + 1),
            None => (of_answer, [].as_slice()),
        };
        let said = |words: &str| lines.iter().find(|l| l.words == words);
        let seen = lines
            .iter()
            .rfind(|l| !l.packet.is_empty() && l.words != "foreign");
        self.extras.last = seen.map(|l| l.packet.clone());
        let mut observed = Observed::default();
        if self.track {
            let (state, direction) = tracked(lines);
            observed.state = Seen::Seen(state);
            observed.direction = Seen::Seen(direction);
        }
        let matched: Vec<(RuleName, u8)> = lines
            .iter()
            .filter_map(|l| Some((shown::traced(&l.words)?, l.hook)))
            .collect();
        let rule = |name: &RuleName| self.rules.get(&CounterName::of(v6, name));
        let accepted = said("left").or_else(|| said("delivered"));
        let last = matched.last();
        let dropping = last.filter(|(name, _)| rule(name).is_some_and(Rule::drops));
        let taken =
            accepted.is_none() && of_answer.first().is_some_and(|l| proxied(&l.packet, bytes));
        let rejected = match self.tools {
            _ if taken => false,
            Tools::Legacy => last.is_some_and(|(name, _)| rule(name).is_some_and(Rule::rejects)),
            // Nothing tells which rule matched: only the answer shows.
            Tools::Nft => accepted.is_none() && answer_of(lines, of_answer, bytes).is_some(),
        };
        let piece = Packet::parse(bytes).is_ok_and(|p| p.fragment().is_some());
        let arrived = said("arrived").is_some() && said("whole").is_none();
        observed.verdict = match accepted {
            Some(_) => Seen::Seen(Verdict::Accept),
            None if rejected => Seen::Seen(Verdict::Reject),
            None if taken => Seen::Seen(Verdict::Stolen),
            // IPv6's queue shows nothing of itself: held or destroyed, nobody can tell.
            None if piece && v6 && arrived => Seen::Unseen,
            // A piece said twice, or one that destroys its datagram, is gone.
            None if piece && !v6 && kept => Seen::Seen(Verdict::Stolen),
            None => Seen::Seen(Verdict::Drop),
        };
        let answer = answer_of(lines, of_answer, bytes);
        let answer = answer.filter(|_| accepted.is_none() && (rejected || taken));
        observed.answer = Seen::Seen(answer.map(|l| match taken {
            true => finished(&l.packet),
            false => l.packet.clone(),
        }));
        observed.left = Seen::Seen(accepted.map(|l| finished(&l.packet)));
        let left = of_answer
            .iter()
            .find(|l| l.words == "left" || l.words == "delivered");
        self.extras.answer_left = Seen::Seen(left.map(|l| finished(&l.packet)));
        let further = of_next.first().map(|made| {
            let left = of_next
                .iter()
                .find(|l| l.words == "left" || l.words == "delivered");
            (finished(&made.packet), left.map(|l| finished(&l.packet)))
        });
        self.extras.further = Seen::Seen(further.filter(|_| taken));
        if self.track {
            self.extras.answer_state = Seen::Seen(tracked(of_answer));
        }
        let decided = match accepted {
            Some(_) => matched.iter().rfind(|(name, _)| name.table == "filter"),
            None => dropping,
        };
        if self.tools == Tools::Legacy {
            observed.by = Seen::Seen(decided.map(|(name, _)| name.clone()));
        }
        if let Some(line) = accepted {
            observed.mark = Seen::Seen(line.mark);
        }
        let end = accepted.map(|l| l.hook).or(dropping.map(|(_, hook)| *hook));
        let hooks = ["PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"];
        if let Some(hook) = end.and_then(|h| hooks.get(usize::from(h))) {
            observed.hook = Seen::Seen((*hook).to_owned());
        }
        if self.tools == Tools::Legacy {
            observed.matched = Seen::Seen(matched.into_iter().map(|(name, _)| name).collect());
        }
        observed
    }
}

impl Subject for KernelSubject {
    fn packet(&mut self, sent: &Sent<'_>) -> Observed {
        self.wait(sent.time);
        let place = format!("line {}", sent.step.span.line);
        let held = fragments_held();
        let begun = self.clock.map_or_else(Instant::now, |(_, begun)| begun);
        self.extras = Extras {
            elapsed: begun.elapsed(),
            ..Extras::default()
        };
        let carried = self.carry(sent);
        self.kept(&place, carried);
        let lines = self.namespace.watch.lines();
        let lines = self.kept(&place, lines);
        let mut observed = self.judge(&sent.bytes, &lines, fragments_held() > held);
        let tracked = match observed.state {
            Seen::Seen(state) => !matches!(state, None | Some(State::Invalid | State::Untracked)),
            Seen::Unseen => false,
        };
        if tracked && self.connections_wanted {
            let v6 = sent.bytes.first().is_some_and(|b| b >> 4 == 6);
            let table = self.table(if v6 { "ipv6" } else { "ipv4" });
            let table = self.kept(&place, table);
            if let Some(found) = shown::of_packet(&table, &sent.bytes) {
                observed.connection = Seen::Seen(Some(found.seen.clone()));
            }
        }
        observed
    }

    fn counters(&mut self, v6: bool, rule: &RuleName) -> Option<(u64, u64)> {
        let saved = self.saved();
        let rules = self.kept("counters", saved);
        let found = rules.get(&CounterName::of(v6, rule))?;
        Some((found.packets, found.bytes))
    }

    fn connections(&mut self, now: Timestamp) -> Vec<ConnectionSeen> {
        self.wait(now);
        let both = self.table("ipv4").and_then(|mut all| {
            all.extend(self.table("ipv6")?);
            Ok(all)
        });
        let all = self.kept("the connection table", both);
        all.into_iter().map(|c| c.seen).collect()
    }

    fn expectations(&mut self, now: Timestamp) -> u64 {
        self.wait(now);
        let listed = ["ipv4", "ipv6"].map(|family| {
            let listed = self
                .namespace
                .feed("conntrack", &["-L", "expect", "-f", family], "");
            self.kept("expectations", listed).lines().count() as u64
        });
        listed.iter().sum()
    }
}

impl Counted for KernelSubject {
    fn all_counters(&mut self) -> Counters {
        let saved = self.saved();
        let rules = self.kept("counters", saved);
        rules
            .into_iter()
            .map(|(name, rule)| (name, (rule.packets, rule.bytes)))
            .collect()
    }

    fn tables(&mut self, _: Timestamp) -> Tables {
        let read = tables::read(&mut self.namespace.asking);
        let mut tables = self.kept("tables", read);
        if self.has_sets {
            let saved = self.namespace.feed("ipset", &["save"], "");
            let parsed = ipset::parse(&self.kept("sets", saved));
            let faults = parsed.diagnostics.iter().map(ToString::to_string);
            self.faults.extend(faults);
            tables.sets = of_sets(&parsed.sets);
        }
        tables
    }

    fn elapsed(&self) -> Duration {
        self.clock
            .map_or(Duration::ZERO, |(_, begun)| begun.elapsed())
    }

    fn extras(&mut self) -> Extras {
        std::mem::take(&mut self.extras)
    }

    fn blind(&self) -> bool {
        self.tools == Tools::Nft
    }

    fn faults(&mut self) -> Vec<String> {
        std::mem::take(&mut self.faults)
    }
}

/// State and direction that our chains saw first.
fn tracked(lines: &[Line]) -> (Option<State>, Option<Direction>) {
    let state = lines.iter().find_map(|l| l.words.strip_prefix("state "));
    let mut words = state.unwrap_or_default().split(' ');
    let (state, direction) = (words.next(), words.next());
    let state = State::ALL.into_iter().find(|s| Some(s.word()) == state);
    let direction = match direction {
        Some("original") => Some(Direction::Original),
        Some("reply") => Some(Direction::Reply),
        _ => None,
    };
    (state, direction)
}

/// A packet with the transport checksum that its device would put in: where the kernel made or rewrote the
/// segment, the field holds only the sum of the pseudo-header until then.
fn finished(packet: &[u8]) -> Vec<u8> {
    let mut bytes = packet.to_vec();
    let Ok(parsed) = Packet::parse(packet) else {
        return bytes;
    };
    let transport = parsed.transport();
    // A helper may have rewritten an ICMP error as if it were the datagram that it quotes.
    let candidates: &[(u8, usize)] = match parsed.protocol() {
        proto::TCP => &[(proto::TCP, 16)],
        proto::UDP => &[(proto::UDP, 6)],
        proto::ICMP | proto::ICMPV6 => &[(proto::UDP, 6), (proto::TCP, 16)],
        _ => return bytes,
    };
    for &(protocol, offset) in candidates {
        let pseudo = checksum::pseudo_header(
            parsed.source(),
            parsed.destination(),
            protocol,
            transport.len(),
        );
        let partial = !checksum::finish(pseudo);
        if transport.get(offset..offset + 2) != Some(&partial.to_be_bytes()) {
            continue;
        }
        let field = parsed.transport_offset() + offset;
        bytes[field..field + 2].fill(0);
        let data = &bytes[parsed.transport_offset()..];
        let sum = match checksum::finish(checksum::add(pseudo, data)) {
            0 if protocol == proto::UDP => 0xffff,
            sum => sum,
        };
        bytes[field..field + 2].copy_from_slice(&sum.to_be_bytes());
        break;
    }
    bytes
}

/// The answer of REJECT: the first that was let go on, or the first that was not.
fn answer_of<'l>(lines: &'l [Line], of_answer: &'l [Line], bytes: &[u8]) -> Option<&'l Line> {
    let foreign = |l: &&Line| l.words == "foreign" && answers(&l.packet, bytes);
    of_answer.first().or_else(|| lines.iter().find(foreign))
}

/// Whether one of the machine's packets is a segment between the ends of `asked`, as SYNPROXY makes them.
fn proxied(packet: &[u8], asked: &[u8]) -> bool {
    let ends = |bytes: &[u8]| {
        let packet = Packet::parse(bytes).ok()?;
        let tcp = Tcp::new(packet.transport()).filter(|_| packet.protocol() == proto::TCP)?;
        let mut ends = [
            (packet.source(), tcp.source_port()),
            (packet.destination(), tcp.destination_port()),
        ];
        ends.sort();
        Some((ends, tcp.has(flags::RST)))
    };
    match (ends(packet), ends(asked)) {
        (Some((made, false)), Some((asked, _))) => made == asked,
        _ => false,
    }
}

/// Whether one of the machine's packets can be REJECT's answer to `asked`: a reset or an ICMP message
/// "unreachable" to its sender; not a report to a multicast group that happened to be due.
fn answers(packet: &[u8], asked: &[u8]) -> bool {
    let (Ok(packet), Ok(asked)) = (Packet::parse(packet), Packet::parse(asked)) else {
        return false;
    };
    let byte = |at: usize| packet.transport().get(at).copied().unwrap_or(0);
    packet.destination() == asked.source()
        && match packet.protocol() {
            proto::TCP => byte(13) & flags::RST != 0,
            proto::ICMP => byte(0) == 3,
            proto::ICMPV6 => byte(0) == 1,
            _ => false,
        }
}

/// Bytes of IPv4 fragments that wait in the thread's namespace.
fn fragments_held() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/net/sockstat").unwrap_or_default();
    let line = text.lines().find_map(|l| l.strip_prefix("FRAG:"));
    let memory = line.and_then(|l| l.split(' ').next_back());
    memory.and_then(|m| m.parse().ok()).unwrap_or(0)
}

/// Whom the frame of a packet is for.
pub(crate) fn receiver(hardware: &Hardware, sent: &Sent<'_>) -> [u8; 6] {
    const BROADCAST: [u8; 6] = [0xff; 6];
    let to = match Packet::parse(&sent.bytes).map(|p| p.destination()) {
        Ok(IpAddr::V4(a)) if a.is_broadcast() || hardware.broadcasts.contains(&a) => BROADCAST,
        Ok(IpAddr::V4(a)) if a.is_multicast() => {
            let [_, b, c, d] = a.octets();
            [1, 0, 0x5e, b & 0x7f, c, d]
        }
        Ok(IpAddr::V6(a)) if a.is_multicast() => {
            let [.., a, b, c, d] = a.octets();
            [0x33, 0x33, a, b, c, d]
        }
        _ => hardware.mac,
    };
    match sent.kind {
        FrameKind::ByAddress => to,
        FrameKind::Host => hardware.mac,
        FrameKind::Broadcast => BROADCAST,
        FrameKind::Multicast => [1, 0, 0x5e, 0, 0, 1],
    }
}

/// The Ethernet frame around a packet.
fn frame(device: &Device, sent: &Sent<'_>) -> Vec<u8> {
    let v6 = sent.bytes.first().is_some_and(|b| b >> 4 == 6);
    let to = receiver(&device.hardware, sent);
    let ethertype: u16 = if v6 { 0x86dd } else { 0x0800 };
    let mut frame = to.to_vec();
    frame.extend(sent.source_mac.unwrap_or(SENDER));
    frame.extend(ethertype.to_be_bytes());
    frame.extend(&sent.bytes);
    frame
}

/// Whether connections are to be tracked: because the rules ask for it, or the script's expectations.
///
/// Without either nothing may ask, or fragments would be reassembled that the rules see one by one.
pub(crate) fn tracks(script: &Script, base: &Path) -> Result<bool> {
    const WORDS: [&str; 17] = [
        "conntrack",
        "state",
        "CT",
        "NOTRACK",
        "connmark",
        "CONNMARK",
        "helper",
        "connbytes",
        "connlimit",
        "cluster",
        "SNAT",
        "DNAT",
        "MASQUERADE",
        "REDIRECT",
        "NETMAP",
        "SYNPROXY",
        "CONNSECMARK",
    ];
    for rules in &script.rules {
        let text = match &rules.source {
            RulesSource::Inline { text, .. } => text.clone(),
            RulesSource::File(name) => std::fs::read_to_string(base.join(name))
                .with_context(|| format!("rules in {name}"))?,
        };
        if text.split_whitespace().any(|w| WORDS.contains(&w)) {
            return Ok(true);
        }
    }
    let about = |i: &Item| about_connection(i) || matches!(i, Item::State(_) | Item::Direction(_));
    Ok(script.tests.iter().any(|t| asks(&t.steps, about)))
}

fn about_connection(item: &Item) -> bool {
    matches!(
        item,
        Item::ConnectionMark(_)
            | Item::Helper(_)
            | Item::Parent(_)
            | Item::SameConnection(_)
            | Item::TcpState(_)
            | Item::SctpState(_)
            | Item::Assured(_)
            | Item::Replied(_)
            | Item::Timeout(_)
    )
}

/// Whether any expectation has such an item, or looks at the connection table.
fn asks(steps: &[Step], about: fn(&Item) -> bool) -> bool {
    steps.iter().any(|step| {
        let items = step.expectations.iter().flat_map(|e| &e.items);
        let below = match &step.action {
            Action::Repeat { steps, .. } => asks(steps, about),
            Action::Check(check) => !matches!(check.what, CheckKind::Counters { .. }),
            _ => false,
        };
        below || items.into_iter().any(|(item, _)| about(item))
    })
}
