//! Timeout policies by chance, and rules that give them to connections.

use std::fmt::Write;

use super::chance::Chance;

/// What a script with policies covers.
pub(super) const ABOUT: &str = "timeout policies";

/// Protocols as `-p` has them and as policies have them, and their states.
const PROTOCOLS: [(&str, &str, &[&str]); 7] = [
    (
        "tcp",
        "tcp",
        &[
            "syn_sent",
            "syn_recv",
            "established",
            "fin_wait",
            "close_wait",
            "last_ack",
            "time_wait",
            "close",
            "syn_sent2",
            "retrans",
            "unacknowledged",
        ],
    ),
    ("udp", "udp", &["unreplied", "replied"]),
    ("udplite", "udplite", &["unreplied", "replied"]),
    (
        "sctp",
        "sctp",
        &[
            "closed",
            "cookie_wait",
            "cookie_echoed",
            "established",
            "shutdown_sent",
            "shutdown_ack_sent",
            "heartbeat_sent",
        ],
    ),
    ("icmp", "icmp", &["timeout"]),
    ("gre", "gre", &["unreplied", "replied"]),
    ("253", "generic", &["timeout"]),
];

/// The protocols of a family: `-p`, and the policy's.
fn protocols(
    six: bool,
) -> impl Iterator<Item = (&'static str, &'static str, &'static [&'static str])> {
    PROTOCOLS
        .iter()
        .map(move |&(rule, policy, states)| match policy {
            "icmp" if six => ("ipv6-icmp", "icmpv6", states),
            _ => (rule, policy, states),
        })
}

/// A policy for every protocol of both families.
pub(super) fn declare(chance: &mut Chance, text: &mut String) {
    for six in [false, true] {
        let family = if six { "inet6" } else { "inet" };
        for (_, policy, states) in protocols(six) {
            let _ = write!(text, "timeout {policy}-{family} {family} {policy}");
            for state in states {
                if chance.below(3) > 0 {
                    let seconds = chance.pick(&["1", "4", "70", "500", "5000"]);
                    let _ = write!(text, " {state}={seconds}");
                }
            }
            text.push('\n');
        }
    }
}

/// Rules that use some.
pub(super) fn use_some(chance: &mut Chance, text: &mut String, six: bool) {
    let family = if six { "inet6" } else { "inet" };
    for (rule, policy, _) in protocols(six) {
        for chain in ["PREROUTING", "OUTPUT"] {
            if chance.one_in(2) {
                let zone = if chance.one_in(8) { " --zone 1" } else { "" };
                let _ = writeln!(
                    text,
                    "-A {chain} -p {rule} -j CT --timeout {policy}-{family}{zone}"
                );
            }
        }
    }
}
