//! The sysctls of connection tracking, by the kernel's names and with its defaults.

use thiserror::Error;

/// Why a sysctl was refused.
#[derive(Debug, Error, PartialEq, Eq, Clone)]
pub enum ConfigError {
    /// No sysctl of that name concerns connection tracking.
    #[error("unknown sysctl '{name}'{}", suggestion.as_ref().map(|s| format!("; did you mean '{s}'?")).unwrap_or_default())]
    Unknown {
        /// The name as given.
        name: String,
        /// The nearest known name, if one is near.
        suggestion: Option<String>,
    },
    /// The value is not a number in the sysctl's range.
    #[error("sysctl '{name}': '{value}' is not a number from {min} to {max}")]
    Value {
        /// Full name without `net.netfilter.`.
        name: String,
        /// The value as given.
        value: String,
        /// Smallest value taken.
        min: u64,
        /// Largest value taken.
        max: u64,
    },
    /// Known to the kernel, without effect here.
    #[error("sysctl '{name}' is not supported: {why}")]
    Unsupported {
        /// The name as given.
        name: String,
        /// Why.
        why: &'static str,
    },
}

/// Declares the sysctls once: field, kernel name, default, range.
macro_rules! sysctls {
    ($($(#[$doc:meta])* $field:ident = $name:literal, $default:expr, $max:expr;)*) => {
        /// Settings of a connection table. Times are in seconds.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct Config {
            $($(#[$doc])* pub $field: u64,)*
            /// Key of the table's hash. Give each deployment its own secret; replay keeps the default.
            pub hash_seed: (u64, u64),
            /// Module options of helpers.
            pub helpers: crate::helper::Options,
            /// Timeout in SYN_SENT2: no sysctl sets it, a timeout policy may.
            pub tcp_timeout_syn_sent2: u64,
            /// Timeout policies that rules may name (`-j CT --timeout`).
            pub policies: Vec<crate::policy::TimeoutPolicy>,
            /// Names of connection labels, as `/etc/xtables/connlabel.conf` gives them.
            pub labels: std::collections::BTreeMap<String, u8>,
        }

        impl Default for Config {
            fn default() -> Self {
                Config { $($field: $default,)* hash_seed: (0x7061_6c69_7361_6465, 0x636f_6e6e_7472_6163), helpers: crate::helper::Options::default(), tcp_timeout_syn_sent2: 120, policies: Vec::new(), labels: Default::default() }
            }
        }

        impl Config {
            /// Names of all sysctls that are honoured, without `net.netfilter.` or `net.ipv4.`.
            pub fn names() -> &'static [&'static str] {
                &[$($name,)*]
            }

            /// The value of a sysctl, by any form of its name.
            pub fn value(&self, name: &str) -> Option<u64> {
                match short(name) {
                    $($name => Some(self.$field),)*
                    _ => None,
                }
            }

            fn assign(&mut self, name: &str, value: &str) -> Option<Result<(), ConfigError>> {
                match name {
                    $($name => Some(match value.trim().parse::<u64>() {
                        Ok(v) if v <= $max => { self.$field = v; Ok(()) }
                        _ => Err(ConfigError::Value { name: name.to_string(), value: value.to_string(), min: 0, max: $max }),
                    }),)*
                    _ => None,
                }
            }
        }
    };
}

/// The longest timeout that a kernel of 250 ticks a second takes (`proc_dointvec_jiffies`).
pub(crate) const SECONDS: u64 = i32::MAX as u64 / 250;

sysctls! {
    /// Entries at most; 0 means no limit.
    max = "nf_conntrack_max", 262_144, i32::MAX as u64;
    /// Hash buckets; early drop looks at eight neighbouring ones.
    buckets = "nf_conntrack_buckets", 262_144, 1 << 24;
    /// Expectations at most.
    expect_max = "nf_conntrack_expect_max", 4096, i32::MAX as u64;
    /// Verify transport checksums at PREROUTING.
    checksum = "nf_conntrack_checksum", 1, 1;
    /// Count packets and bytes per connection (shown by `--conntrack`).
    acct = "nf_conntrack_acct", 0, 1;
    /// Remember when each connection entered the table (shown by `--conntrack`).
    timestamp = "nf_conntrack_timestamp", 0, 1;
    /// Pick up TCP connections in the middle.
    tcp_loose = "nf_conntrack_tcp_loose", 1, 1;
    /// Treat out-of-window segments as valid, except RST.
    tcp_be_liberal = "nf_conntrack_tcp_be_liberal", 0, 1;
    /// Accept RST below what was acknowledged.
    tcp_ignore_invalid_rst = "nf_conntrack_tcp_ignore_invalid_rst", 0, 1;
    /// Identical ACKs after which the shorter retransmission timeout holds.
    tcp_max_retrans = "nf_conntrack_tcp_max_retrans", 3, 255;
    /// Timeout in SYN_SENT (that in SYN_SENT2 is 120 seconds, whatever this says; only a policy changes it).
    tcp_timeout_syn_sent = "nf_conntrack_tcp_timeout_syn_sent", 120, SECONDS;
    /// Timeout in SYN_RECV.
    tcp_timeout_syn_recv = "nf_conntrack_tcp_timeout_syn_recv", 60, SECONDS;
    /// Timeout in ESTABLISHED.
    tcp_timeout_established = "nf_conntrack_tcp_timeout_established", 432_000, SECONDS;
    /// Timeout in FIN_WAIT.
    tcp_timeout_fin_wait = "nf_conntrack_tcp_timeout_fin_wait", 120, SECONDS;
    /// Timeout in CLOSE_WAIT.
    tcp_timeout_close_wait = "nf_conntrack_tcp_timeout_close_wait", 60, SECONDS;
    /// Timeout in LAST_ACK.
    tcp_timeout_last_ack = "nf_conntrack_tcp_timeout_last_ack", 30, SECONDS;
    /// Timeout in TIME_WAIT.
    tcp_timeout_time_wait = "nf_conntrack_tcp_timeout_time_wait", 120, SECONDS;
    /// Timeout in CLOSE.
    tcp_timeout_close = "nf_conntrack_tcp_timeout_close", 10, SECONDS;
    /// Upper bound of the timeout after too many retransmissions.
    tcp_timeout_max_retrans = "nf_conntrack_tcp_timeout_max_retrans", 300, SECONDS;
    /// Upper bound of the timeout while data is unacknowledged.
    tcp_timeout_unacknowledged = "nf_conntrack_tcp_timeout_unacknowledged", 300, SECONDS;
    /// UDP timeout before the flow counts as a stream.
    udp_timeout = "nf_conntrack_udp_timeout", 30, SECONDS;
    /// UDP timeout of a stream.
    udp_timeout_stream = "nf_conntrack_udp_timeout_stream", 120, SECONDS;
    /// SCTP timeout after the first INIT, and in CLOSED.
    sctp_timeout_closed = "nf_conntrack_sctp_timeout_closed", 10, SECONDS;
    /// SCTP timeout in COOKIE_WAIT.
    sctp_timeout_cookie_wait = "nf_conntrack_sctp_timeout_cookie_wait", 3, SECONDS;
    /// SCTP timeout in COOKIE_ECHOED.
    sctp_timeout_cookie_echoed = "nf_conntrack_sctp_timeout_cookie_echoed", 3, SECONDS;
    /// SCTP timeout in ESTABLISHED.
    sctp_timeout_established = "nf_conntrack_sctp_timeout_established", 210, SECONDS;
    /// SCTP timeout in SHUTDOWN_SENT.
    sctp_timeout_shutdown_sent = "nf_conntrack_sctp_timeout_shutdown_sent", 3, SECONDS;
    /// SCTP timeout in SHUTDOWN_RECD.
    sctp_timeout_shutdown_recd = "nf_conntrack_sctp_timeout_shutdown_recd", 3, SECONDS;
    /// SCTP timeout in SHUTDOWN_ACK_SENT.
    sctp_timeout_shutdown_ack_sent = "nf_conntrack_sctp_timeout_shutdown_ack_sent", 3, SECONDS;
    /// SCTP timeout of a flow that a HEARTBEAT began.
    sctp_timeout_heartbeat_sent = "nf_conntrack_sctp_timeout_heartbeat_sent", 30, SECONDS;
    /// ICMP query timeout.
    icmp_timeout = "nf_conntrack_icmp_timeout", 30, SECONDS;
    /// ICMPv6 query timeout.
    icmpv6_timeout = "nf_conntrack_icmpv6_timeout", 30, SECONDS;
    /// GRE timeout before a reply.
    gre_timeout = "nf_conntrack_gre_timeout", 30, SECONDS;
    /// GRE timeout after a reply.
    gre_timeout_stream = "nf_conntrack_gre_timeout_stream", 180, SECONDS;
    /// Timeout of protocols without a tracker.
    generic_timeout = "nf_conntrack_generic_timeout", 600, SECONDS;
    /// Time that IPv4 fragments wait for the rest.
    ipfrag_time = "ipfrag_time", 30, SECONDS;
    /// Bytes that IPv4 fragments may occupy; a new fragment beyond it is dropped.
    ipfrag_high_thresh = "ipfrag_high_thresh", 4_194_304, i64::MAX as u64;
    /// Least value that `ipfrag_high_thresh` may be set to; without other effect, as in the kernel.
    ipfrag_low_thresh = "ipfrag_low_thresh", 3_145_728, i64::MAX as u64;
    /// Fragments from one source that may arrive between two of a datagram; 0: any number.
    ipfrag_max_dist = "ipfrag_max_dist", 64, i32::MAX as u64;
    /// Time that IPv6 fragments wait for the rest.
    frag6_timeout = "nf_conntrack_frag6_timeout", 60, SECONDS;
    /// Bytes that IPv6 fragments may occupy.
    frag6_high_thresh = "nf_conntrack_frag6_high_thresh", 4_194_304, i64::MAX as u64;
    /// Least value that `nf_conntrack_frag6_high_thresh` may be set to; without other effect.
    frag6_low_thresh = "nf_conntrack_frag6_low_thresh", 3_145_728, i64::MAX as u64;
}

/// Sysctls of the kernel's connection tracking that are refused by name.
const UNSUPPORTED: &[(&str, &str)] = &[
    (
        "nf_conntrack_helper",
        "automatic helper assignment was removed from the kernel; assign one with -j CT --helper",
    ),
    ("nf_conntrack_count", "it is a reading, not a setting"),
    ("nf_conntrack_events", "it concerns event listeners only"),
    (
        "nf_conntrack_log_invalid",
        "the reason of every INVALID packet is told anyway",
    ),
    (
        "nf_hooks_lwtunnel",
        "routes with lightweight tunnels are not evaluated",
    ),
    (
        "nf_log_all_netns",
        "it concerns the kernel's log, and network namespaces, only",
    ),
    (
        "nf_conntrack_tcp_timeout_offload",
        "rules cannot offload connections to flow tables here",
    ),
    (
        "nf_conntrack_udp_timeout_offload",
        "rules cannot offload connections to flow tables here",
    ),
    (
        "nf_flowtable_tcp_timeout",
        "rules cannot offload connections to flow tables here",
    ),
    (
        "nf_flowtable_udp_timeout",
        "rules cannot offload connections to flow tables here",
    ),
    (
        "ipfrag_secret_interval",
        "the kernel itself takes it without effect",
    ),
    (
        "ip6frag_time",
        "it concerns reassembly by the host behind the rules; set nf_conntrack_frag6_timeout",
    ),
    (
        "ip6frag_high_thresh",
        "it concerns reassembly by the host behind the rules; set nf_conntrack_frag6_high_thresh",
    ),
    (
        "ip6frag_low_thresh",
        "it concerns reassembly by the host behind the rules; set nf_conntrack_frag6_low_thresh",
    ),
];

impl Config {
    /// Sets a sysctl: `net.netfilter.nf_conntrack_max`, `net/netfilter/nf_conntrack_max`,
    /// `nf_conntrack_max` and `tcp_loose` (the unambiguous rest of the name) all work, and so do module options
    /// of helpers: `nf_conntrack_ftp.loose`.
    ///
    /// # Errors
    /// [`ConfigError`], and nothing is changed.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), ConfigError> {
        if let Some(result) = self.helpers.set(name.trim(), value) {
            return result.map_err(|max| ConfigError::Value {
                name: name.to_string(),
                value: value.to_string(),
                min: 0,
                max,
            });
        }
        let key = short(name);
        let prefixed = format!("nf_conntrack_{key}");
        let before = self.clone();
        for full in [key, &prefixed] {
            let Some(result) = self.assign(full, value) else {
                continue;
            };
            let checked = result.and_then(|()| self.within(full, value));
            if checked.is_err() {
                *self = before;
            }
            return checked;
        }
        if let Some((_, why)) = UNSUPPORTED
            .iter()
            .find(|(n, _)| *n == key || *n == prefixed)
        {
            return Err(ConfigError::Unsupported {
                name: name.to_string(),
                why,
            });
        }
        if key.starts_with("nf_conntrack_dccp_") {
            return Err(ConfigError::Unsupported {
                name: name.to_string(),
                why: "the kernel no longer tracks DCCP; its flows use nf_conntrack_generic_timeout",
            });
        }
        Err(ConfigError::Unknown {
            name: name.to_string(),
            suggestion: nearest(key),
        })
    }
}

/// Labels that a connection can have (kernel `NF_CT_LABELS_MAX_SIZE` bytes).
pub const LABELS: u8 = 128;

impl Config {
    /// The number that a `--label` stands for: itself below [`LABELS`], or a name's.
    pub fn label(&self, text: &str) -> Option<u8> {
        match text.parse() {
            Ok(number) => Some(number),
            Err(_) => self.labels.get(text).copied(),
        }
        .filter(|number| *number < LABELS)
    }
}

impl Config {
    /// The bounds that are not 0 and a constant: what the kernel keeps at 1 or more, and the thresholds
    /// that bound each other, in the order in which they are set.
    fn within(&self, name: &str, value: &str) -> Result<(), ConfigError> {
        let largest = i64::MAX as u64;
        let (now, min, max) = match name {
            "nf_conntrack_expect_max" => (self.expect_max, 1, i32::MAX as u64),
            "nf_conntrack_buckets" => (self.buckets, 1, 1 << 24),
            "ipfrag_high_thresh" => (self.ipfrag_high_thresh, self.ipfrag_low_thresh, largest),
            "ipfrag_low_thresh" => (self.ipfrag_low_thresh, 0, self.ipfrag_high_thresh),
            "nf_conntrack_frag6_high_thresh" => {
                (self.frag6_high_thresh, self.frag6_low_thresh, largest)
            }
            "nf_conntrack_frag6_low_thresh" => (self.frag6_low_thresh, 0, self.frag6_high_thresh),
            _ => return Ok(()),
        };
        if (min..=max).contains(&now) {
            return Ok(());
        }
        Err(ConfigError::Value {
            name: name.to_string(),
            value: value.to_string(),
            min,
            max,
        })
    }
}

/// The last component of a dotted or slashed sysctl name.
fn short(name: &str) -> &str {
    name.trim().rsplit(['.', '/']).next().unwrap_or(name)
}

/// The known name with the smallest edit distance, if at most a third of it differs.
fn nearest(key: &str) -> Option<String> {
    if key.len() > 64 {
        return None;
    }
    Config::names()
        .iter()
        .map(|name| (strsim::levenshtein(key, name), *name))
        .min()
        .filter(|(distance, name)| distance * 3 <= name.len())
        .map(|(_, name)| name.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_every_spelling() {
        let mut config = Config::default();
        for name in [
            "net.netfilter.nf_conntrack_tcp_loose",
            "net/netfilter/nf_conntrack_tcp_loose",
            "nf_conntrack_tcp_loose",
            "tcp_loose",
        ] {
            config.tcp_loose = 1;
            config.set(name, "0").unwrap();
            assert_eq!(config.tcp_loose, 0, "{name}");
        }
    }

    #[test]
    fn a_threshold_is_lowered_after_the_one_below_it() {
        let mut config = Config::default();
        config.set("net.ipv4.ipfrag_low_thresh", "1000").unwrap();
        config.set("net.ipv4.ipfrag_high_thresh", "1000").unwrap();
        assert!(config.set("net.ipv4.ipfrag_low_thresh", "1001").is_err());
        assert_eq!(config.ipfrag_low_thresh, 1000);
    }

    /// Every file of `/proc/sys/net/netfilter` and every `ipfrag` and `ip6frag` file of Linux 6.18, with
    /// the value that a new network namespace has (where it is a setting).
    const KERNEL: &str = include_str!("../tests/sysctls-6.18.txt");

    #[test]
    fn every_sysctl_of_the_kernel_is_honoured_with_its_default_or_refused_by_name() {
        let config = Config::default();
        let (mut honoured, mut refused) = (0, 0);
        for line in KERNEL.lines().filter(|l| !l.starts_with('#')) {
            let (name, value) = line.split_once(" = ").unwrap();
            match config.value(name) {
                Some(ours) => {
                    assert_eq!(ours.to_string(), value, "{name}");
                    config.clone().set(name, value).unwrap();
                    honoured += 1;
                }
                None => {
                    let refusal = config.clone().set(name, value);
                    assert!(
                        matches!(refusal, Err(ConfigError::Unsupported { .. })),
                        "{name}: {refusal:?}"
                    );
                    refused += 1;
                }
            }
        }
        assert_eq!((honoured, refused), (42, 7));
        assert_eq!(honoured, Config::names().len());
    }

    #[test]
    fn refusals_say_why() {
        let mut config = Config::default();
        let cases = [
            ("nf_conntrack_helper", "1", "assign one with -j CT --helper"),
            (
                "nf_conntrack_tcp_lose",
                "1",
                "did you mean 'nf_conntrack_tcp_loose'?",
            ),
            ("nf_conntrack_tcp_loose", "2", "not a number from 0 to 1"),
            ("nf_conntrack_max", "many", "not a number"),
            ("nf_conntrack_expect_max", "0", "not a number from 1 to"),
            ("nf_conntrack_buckets", "0", "not a number from 1 to"),
            (
                "nf_conntrack_udp_timeout",
                "8589935",
                "not a number from 0 to 8589934",
            ),
            // The thresholds bound each other.
            (
                "net.ipv4.ipfrag_high_thresh",
                "1000",
                "not a number from 3145728 to",
            ),
            (
                "nf_conntrack_frag6_low_thresh",
                "4194305",
                "not a number from 0 to 4194304",
            ),
            (
                "net.ipv6.ip6frag_time",
                "10",
                "set nf_conntrack_frag6_timeout",
            ),
            ("vm.swappiness", "1", "unknown sysctl"),
        ];
        for (name, value, expect) in cases {
            let text = config.set(name, value).unwrap_err().to_string();
            assert!(text.contains(expect), "{text}");
        }
        assert_eq!(config, Config::default());
    }
}
