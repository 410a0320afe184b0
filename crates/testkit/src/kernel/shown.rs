//! Reading what the kernel's tools print: rules with counters, the connection table.

use std::collections::BTreeMap;

use palisade_capture::script::{ConnectionSeen, RuleName, RuleNumber, Seen, TupleSeen};
use palisade_wire::{Packet, proto};

use crate::compare::CounterName;

/// A rule or policy as the kernel has it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Rule {
    /// The rule's words, or the policy's.
    pub text: String,
    /// Packets counted.
    pub packets: u64,
    /// Bytes counted.
    pub bytes: u64,
}

impl Rule {
    /// Whether a packet that matches it last, and goes no further, was dropped by it, with or without an answer.
    pub fn drops(&self) -> bool {
        self.text == "DROP"
            || self.rejects()
            || matches!(
                self.target(),
                // Nobody listens to any queue.
                Some("DROP" | "NFQUEUE" | "QUEUE" | "TPROXY" | "SYNPROXY")
            )
    }

    /// Whether it is a rule of REJECT.
    pub fn rejects(&self) -> bool {
        self.target() == Some("REJECT")
    }

    fn target(&self) -> Option<&str> {
        let mut words = self.text.split(' ');
        words.find(|w| *w == "-j")?;
        words.next()
    }
}

/// What `iptables-save -c` (`ip6tables-save -c` with `v6`) printed.
pub fn rules(v6: bool, text: &str) -> BTreeMap<CounterName, Rule> {
    let mut found = BTreeMap::new();
    let mut table = "";
    let mut numbers: BTreeMap<&str, u32> = BTreeMap::new();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix('*') {
            table = name;
            numbers.clear();
        } else if let Some(chain) = line.strip_prefix(':') {
            let mut words = chain.split(' ');
            let (chain, policy) = (words.next(), words.next());
            let counted = words.next().and_then(counted);
            // A chain of the user's own has `-` for a policy, and counts nothing.
            if let (Some(chain), Some(policy), Some((packets, bytes))) = (chain, policy, counted)
                && policy != "-"
            {
                let rule = Rule {
                    text: policy.to_owned(),
                    packets,
                    bytes,
                };
                found.insert(CounterName::new(v6, table, chain, 0), rule);
            }
        } else if let Some((counters, rest)) = line.split_once(' ')
            && let Some((packets, bytes)) = counted(counters)
            && let Some(chain) = rest.split(' ').nth(1)
        {
            let number = numbers.entry(chain).or_default();
            *number += 1;
            let rule = Rule {
                text: rest.to_owned(),
                packets,
                bytes,
            };
            found.insert(CounterName::new(v6, table, chain, *number), rule);
        }
    }
    found
}

/// `[packets:bytes]`.
fn counted(word: &str) -> Option<(u64, u64)> {
    let (packets, bytes) = word.strip_prefix('[')?.strip_suffix(']')?.split_once(':')?;
    Some((packets.parse().ok()?, bytes.parse().ok()?))
}

/// A trace of iptables: `TRACE: filter:INPUT:rule:2 `. `None` for anything else, and for the
/// return from a chain, which decides nothing.
pub fn traced(words: &str) -> Option<RuleName> {
    let mut parts = words.strip_prefix("TRACE: ")?.trim_end().split(':');
    let (table, chain) = (parts.next()?, parts.next()?);
    let rule = match (parts.next()?, parts.next()?) {
        ("rule", number) => RuleNumber::Number(number.parse().ok()?),
        ("policy", _) => RuleNumber::Policy,
        _ => return None,
    };
    Some(RuleName {
        table: table.to_owned(),
        chain: chain.to_owned(),
        rule,
    })
}

/// A connection with the words of its original direction that tell it apart.
#[derive(Clone, PartialEq, Debug)]
pub struct Connection {
    /// What the script compares.
    pub seen: ConnectionSeen,
    original: TupleSeen,
    /// ICMP identifier of the queries that have one.
    icmp_id: Option<u16>,
}

/// The entries that `conntrack -L -o id,extended` printed.
pub fn connections(text: &str) -> Vec<Connection> {
    text.lines().filter_map(connection).collect()
}

fn connection(line: &str) -> Option<Connection> {
    let words: Vec<&str> = line.split_whitespace().collect();
    // Words of the original direction stand before those of the reply, so the first is meant.
    let first = |key: &str| words.iter().find_map(|w| w.strip_prefix(key));
    let protocol: u8 = words.get(3)?.parse().ok()?;
    let port = |key| first(key).and_then(|p| p.parse().ok());
    let original = TupleSeen {
        protocol,
        source: first("src=")?.parse().ok()?,
        destination: first("dst=")?.parse().ok()?,
        source_port: port("sport="),
        destination_port: port("dport="),
    };
    let state =
        matches!(protocol, proto::TCP | proto::SCTP).then(|| words.get(5).map(|s| (*s).to_owned()));
    // The kernel's number stands last: an ICMP tuple has an `id=` of its own.
    let numbers: Vec<&str> = words.iter().filter_map(|w| w.strip_prefix("id=")).collect();
    let id = numbers.last().and_then(|n| n.parse().ok());
    let icmp = matches!(protocol, proto::ICMP | proto::ICMPV6);
    Some(Connection {
        seen: ConnectionSeen {
            id: id.map_or(Seen::Unseen, Seen::Seen),
            parent: Seen::Unseen,
            original: Seen::Seen(original),
            mark: Seen::Seen(port_or_zero(first("mark="))),
            helper: Seen::Seen(first("helper=").map(str::to_owned)),
            state: Seen::Seen(state.flatten()),
            assured: Seen::Seen(words.contains(&"[ASSURED]")),
            replied: Seen::Seen(!words.contains(&"[UNREPLIED]")),
            timeout: Seen::Seen(words.get(4).and_then(|t| t.parse().ok()).unwrap_or(0)),
            timeout_slack: 2,
        },
        original,
        icmp_id: numbers
            .first()
            .filter(|_| icmp)
            .and_then(|n| n.parse().ok()),
    })
}

fn port_or_zero(word: Option<&str>) -> u32 {
    word.and_then(|m| m.parse().ok()).unwrap_or(0)
}

/// The entry a packet belongs to by its own addresses and ports, in either direction.
///
/// `None` too for what has no ports to tell by: later fragments, ICMP errors.
pub fn of_packet<'c>(table: &'c [Connection], bytes: &[u8]) -> Option<&'c Connection> {
    let packet = Packet::parse(bytes).ok()?;
    if packet.fragment().is_some() {
        return None;
    }
    let transport = packet.transport();
    let word = |at: usize| {
        let two = transport.get(at..)?.first_chunk()?;
        Some(u16::from_be_bytes(*two))
    };
    let protocol = packet.protocol();
    let (mut ports, mut id) = ((None, None), None);
    match protocol {
        proto::TCP | proto::UDP | proto::UDPLITE | proto::SCTP => {
            ports = (Some(word(0)?), Some(word(2)?))
        }
        proto::ICMP if matches!(transport.first()?, 0 | 8 | 13..=18) => id = Some(word(4)?),
        proto::ICMPV6 if matches!(transport.first()?, 128 | 129) => id = Some(word(4)?),
        proto::ICMP | proto::ICMPV6 => return None,
        _ => {}
    }
    table.iter().find(|c| {
        let tuple = &c.original;
        let forth = tuple.source == packet.source()
            && tuple.destination == packet.destination()
            && (tuple.source_port, tuple.destination_port) == ports;
        let back = tuple.source == packet.destination()
            && tuple.destination == packet.source()
            && (tuple.destination_port, tuple.source_port) == ports;
        tuple.protocol == protocol && (forth || back) && c.icmp_id == id
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_saved_rule_has_its_number_within_its_chain_and_a_policy_has_none() {
        let text = "*filter\n:INPUT DROP [3:180]\n:own - [0:0]\n\
                    [1:60] -A own -j RETURN\n[2:120] -A INPUT -j own\n[5:9] -A INPUT -j REJECT --reject-with tcp-reset\nCOMMIT\n";
        let rules = rules(false, text);
        let names: Vec<String> = rules.keys().map(ToString::to_string).collect();
        let wanted = [
            "filter INPUT policy",
            "filter INPUT 1",
            "filter INPUT 2",
            "filter own 1",
        ];
        assert_eq!(names, wanted);
        let drops: Vec<(bool, bool)> = rules.values().map(|r| (r.drops(), r.rejects())).collect();
        let wanted = [(true, false), (false, false), (true, true), (false, false)];
        assert_eq!(drops, wanted);
        assert_eq!(
            rules.values().map(|r| r.bytes).sum::<u64>(),
            180 + 120 + 9 + 60
        );
    }

    #[test]
    fn a_trace_names_rule_and_policy_but_not_the_return() {
        let name = |words| traced(words).map(|r| r.to_string());
        assert_eq!(
            name("TRACE: raw:OUTPUT:rule:2 "),
            Some("raw OUTPUT 2".into())
        );
        assert_eq!(
            name("TRACE: filter:INPUT:policy:4 "),
            Some("policy filter INPUT".into())
        );
        assert_eq!(name("TRACE: filter:own:return:4 "), None);
        assert_eq!(name("arrived"), None);
    }

    #[test]
    fn the_id_of_an_icmp_tuple_is_not_the_connections_number() {
        let line = "ipv4     2 icmp     1 29 src=10.0.0.1 dst=10.0.0.2 type=8 code=0 id=7 [UNREPLIED] \
                    src=10.0.0.2 dst=10.0.0.1 type=0 code=0 id=7 mark=5 use=1 id=3311";
        let table = connections(line);
        let [connection] = table.as_slice() else {
            panic!("one entry expected: {table:?}");
        };
        assert_eq!(connection.icmp_id, Some(7));
        assert_eq!(connection.seen.id, Seen::Seen(3311));
        assert_eq!(connection.seen.mark, Seen::Seen(5));
        assert_eq!(connection.seen.replied, Seen::Seen(false));
    }
}
