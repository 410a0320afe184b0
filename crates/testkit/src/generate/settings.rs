//! Kernel settings by chance.

use std::fmt::Write;

use palisade_conntrack::Config;

use super::chance::Chance;

/// Names, without `nf_conntrack_` where that is missing, and values worth trying.
const SETTINGS: [(&str, &[&str]); 31] = [
    ("tcp_loose", &["0", "1"]),
    ("tcp_be_liberal", &["0", "1"]),
    ("tcp_ignore_invalid_rst", &["0", "1"]),
    ("tcp_max_retrans", &["0", "1", "2", "5"]),
    ("checksum", &["1", "0"]),
    ("acct", &["1", "0"]),
    ("tcp_timeout_syn_sent", &["1", "77", "200"]),
    ("tcp_timeout_syn_recv", &["1", "50"]),
    ("tcp_timeout_established", &["2", "700", "100000"]),
    ("tcp_timeout_fin_wait", &["1", "33"]),
    ("tcp_timeout_close_wait", &["1", "90"]),
    ("tcp_timeout_last_ack", &["1", "20"]),
    ("tcp_timeout_time_wait", &["1", "99"]),
    ("tcp_timeout_close", &["1", "40"]),
    ("tcp_timeout_max_retrans", &["1", "66", "400"]),
    ("tcp_timeout_unacknowledged", &["1", "55", "400"]),
    ("udp_timeout", &["1", "22"]),
    ("udp_timeout_stream", &["1", "150"]),
    ("icmp_timeout", &["1", "44"]),
    ("icmpv6_timeout", &["1", "45"]),
    ("generic_timeout", &["1", "46"]),
    ("gre_timeout", &["1", "47"]),
    ("gre_timeout_stream", &["1", "48"]),
    ("frag6_timeout", &["1", "50"]),
    ("net.ipv4.ipfrag_time", &["1", "20"]),
    ("sctp_timeout_closed", &["1", "11"]),
    ("sctp_timeout_cookie_wait", &["1", "12"]),
    ("sctp_timeout_cookie_echoed", &["1", "13"]),
    ("sctp_timeout_established", &["2", "14"]),
    ("sctp_timeout_shutdown_sent", &["1", "15"]),
    ("sctp_timeout_heartbeat_sent", &["1", "16"]),
];

/// Adds a few settings, or none.
pub(super) fn add(chance: &mut Chance, text: &mut String, without: &[String]) {
    if chance.one_in(3) {
        return;
    }
    let mut said = Vec::new();
    for _ in 0..chance.below(6) {
        let at = chance.below(SETTINGS.len());
        let Some((name, values)) = SETTINGS.get(at).filter(|_| !said.contains(&at)) else {
            continue;
        };
        said.push(at);
        let name = match name.starts_with("net.") {
            true => (*name).to_owned(),
            false => format!("nf_conntrack_{name}"),
        };
        // What the engine refuses by name is no difference.
        if Config::default().set(&name, "1").is_err() || without.contains(&name) {
            continue;
        }
        let _ = writeln!(text, "sysctl {name}={}", chance.pick(values));
    }
}
