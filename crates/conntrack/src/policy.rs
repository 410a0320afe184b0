//! Timeout policies: what `-j CT --timeout NAME` gives a connection instead of the sysctls (kernel
//! `nfnetlink_cttimeout`, `nf_conntrack_timeout`).
//!
//! A policy is for one family and one protocol tracker. States that it does not name keep the sysctl's value,
//! as it is when the policy is made.

use std::num::NonZeroU16;

use palisade_wire::{Family, proto};
use thiserror::Error;

use crate::config::{Config, SECONDS};

/// Longest name (kernel `CTNL_TIMEOUT_NAME_MAX` less its terminator).
const MAX_NAME: usize = 31;

/// Where a state's timeout is kept.
type Field = fn(&mut Config) -> &mut u64;

/// A protocol that policies can be for.
#[derive(Debug)]
struct Protocol {
    /// As `nfct` has it.
    name: &'static str,
    /// IP protocol; 255 for all that have no tracker.
    number: u8,
    states: &'static [(&'static str, Field)],
}

/// The number of all protocols without a tracker (kernel `nf_conntrack_l4proto_generic`).
const GENERIC: u8 = 255;

const UDP_STATES: &[(&str, Field)] = &[
    ("unreplied", |c| &mut c.udp_timeout),
    ("replied", |c| &mut c.udp_timeout_stream),
];

/// Protocols and their states in the kernel's order, by the names that `nfct` has for them. It has none for
/// SCTP's `heartbeat_sent`, which the kernel takes all the same.
const PROTOCOLS: &[Protocol] = &[
    Protocol {
        name: "tcp",
        number: proto::TCP,
        states: &[
            ("syn_sent", |c| &mut c.tcp_timeout_syn_sent),
            ("syn_recv", |c| &mut c.tcp_timeout_syn_recv),
            ("established", |c| &mut c.tcp_timeout_established),
            ("fin_wait", |c| &mut c.tcp_timeout_fin_wait),
            ("close_wait", |c| &mut c.tcp_timeout_close_wait),
            ("last_ack", |c| &mut c.tcp_timeout_last_ack),
            ("time_wait", |c| &mut c.tcp_timeout_time_wait),
            ("close", |c| &mut c.tcp_timeout_close),
            ("syn_sent2", |c| &mut c.tcp_timeout_syn_sent2),
            ("retrans", |c| &mut c.tcp_timeout_max_retrans),
            ("unacknowledged", |c| &mut c.tcp_timeout_unacknowledged),
        ],
    },
    Protocol {
        name: "udp",
        number: proto::UDP,
        states: UDP_STATES,
    },
    Protocol {
        name: "udplite",
        number: proto::UDPLITE,
        states: UDP_STATES,
    },
    Protocol {
        name: "sctp",
        number: proto::SCTP,
        states: &[
            ("closed", |c| &mut c.sctp_timeout_closed),
            ("cookie_wait", |c| &mut c.sctp_timeout_cookie_wait),
            ("cookie_echoed", |c| &mut c.sctp_timeout_cookie_echoed),
            ("established", |c| &mut c.sctp_timeout_established),
            ("shutdown_sent", |c| &mut c.sctp_timeout_shutdown_sent),
            ("shutdown_recd", |c| &mut c.sctp_timeout_shutdown_recd),
            ("shutdown_ack_sent", |c| {
                &mut c.sctp_timeout_shutdown_ack_sent
            }),
            ("heartbeat_sent", |c| &mut c.sctp_timeout_heartbeat_sent),
        ],
    },
    Protocol {
        name: "icmp",
        number: proto::ICMP,
        states: &[("timeout", |c| &mut c.icmp_timeout)],
    },
    Protocol {
        name: "icmpv6",
        number: proto::ICMPV6,
        states: &[("timeout", |c| &mut c.icmpv6_timeout)],
    },
    Protocol {
        name: "gre",
        number: proto::GRE,
        states: &[
            ("unreplied", |c| &mut c.gre_timeout),
            ("replied", |c| &mut c.gre_timeout_stream),
        ],
    },
    Protocol {
        name: "generic",
        number: GENERIC,
        states: &[("timeout", |c| &mut c.generic_timeout)],
    },
];

/// Why a policy, or the use of one, was refused.
#[derive(Debug, Error, PartialEq, Eq, Clone)]
pub enum PolicyError {
    /// The name is empty or longer than the kernel's.
    #[error("'{name}' is no name for a timeout policy: 1 to {MAX_NAME} bytes without blanks are")]
    Name {
        /// As given.
        name: String,
    },
    /// Two policies of one name.
    #[error("there are two timeout policies '{name}'; give one of them another name")]
    Twice {
        /// The name.
        name: String,
    },
    /// No tracker of that name.
    #[error("'{protocol}' is no protocol with a timeout policy; there are {}", names(PROTOCOLS.iter().map(|p| p.name)))]
    Protocol {
        /// As given.
        protocol: String,
    },
    /// The protocol has no such state.
    #[error("{protocol} has no timeout '{state}'; it has {known}")]
    State {
        /// Protocol.
        protocol: &'static str,
        /// As given.
        state: String,
        /// The states' names.
        known: String,
    },
    /// Not a number of seconds in range.
    #[error("timeout '{state}': '{value}' is not a number of seconds from 0 to {SECONDS}")]
    Value {
        /// State.
        state: String,
        /// As given.
        value: String,
    },
    /// More policies than there are handles.
    #[error("more than {} timeout policies", u16::MAX)]
    Many,
    /// A rule names a policy that is not there.
    #[error(
        "there is no timeout policy '{name}'{}; declare it: [timeout.{name}] in the host file, or `timeout {name} …` in a packet script",
        near(known)
    )]
    Unknown {
        /// As the rule has it.
        name: String,
        /// Policies there are.
        known: Vec<String>,
    },
    /// A rule without `-p`, or with `! -p` (kernel `xt_ct_set_timeout`).
    #[error(
        "a rule with --timeout needs '-p {protocol}', which its policy '{name}' is for, and not negated"
    )]
    NoProtocol {
        /// The policy.
        name: String,
        /// Its protocol.
        protocol: &'static str,
    },
    /// The rule's protocol is not the policy's.
    #[error(
        "timeout policy '{name}' is for {policy}, and the rule is for protocol {rule}; use '-p {policy}' or a policy for the rule's protocol"
    )]
    OtherProtocol {
        /// The policy.
        name: String,
        /// Its protocol.
        policy: &'static str,
        /// The rule's, as a number.
        rule: u8,
    },
    /// The rule's family is not the policy's.
    #[error("timeout policy '{name}' is for {policy} and the rule for {rule}; the kernel wants a policy for each family: declare another with family \"{}\"", match rule { Family::V4 => "inet", Family::V6 => "inet6" })]
    OtherFamily {
        /// The policy.
        name: String,
        /// Its family.
        policy: Family,
        /// The rule's.
        rule: Family,
    },
}

fn names<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.collect::<Vec<_>>().join(", ")
}

fn near(known: &[String]) -> String {
    match known {
        [] => String::new(),
        known => format!(" (there are {})", names(known.iter().map(String::as_str))),
    }
}

/// A named set of timeouts for one protocol of one family.
#[derive(Clone, Debug)]
pub struct TimeoutPolicy {
    name: String,
    family: Family,
    protocol: &'static Protocol,
    seconds: Vec<(usize, u64)>,
}

impl PartialEq for TimeoutPolicy {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, self.family, self.protocol.number, &self.seconds)
            == (
                &other.name,
                other.family,
                other.protocol.number,
                &other.seconds,
            )
    }
}

impl Eq for TimeoutPolicy {}

impl TimeoutPolicy {
    /// A policy that changes nothing yet; `protocol` by the name that `nfct` has for it: `tcp`, `udp`,
    /// `udplite`, `sctp`, `icmp`, `icmpv6`, `gre` or `generic`.
    ///
    /// # Errors
    /// [`PolicyError::Name`], [`PolicyError::Protocol`].
    pub fn new(name: &str, family: Family, protocol: &str) -> Result<Self, PolicyError> {
        if name.is_empty() || name.len() > MAX_NAME || name.contains(char::is_whitespace) {
            return Err(PolicyError::Name { name: name.into() });
        }
        let protocol = PROTOCOLS
            .iter()
            .find(|p| p.name == protocol)
            .ok_or_else(|| PolicyError::Protocol {
                protocol: protocol.into(),
            })?;
        Ok(TimeoutPolicy {
            name: name.into(),
            family,
            protocol,
            seconds: Vec::new(),
        })
    }

    /// Sets a state's timeout in seconds, states by the names that `nfct` has for them in small letters; a
    /// later word replaces an earlier one.
    ///
    /// # Errors
    /// [`PolicyError::State`], [`PolicyError::Value`].
    pub fn set(&mut self, state: &str, value: &str) -> Result<(), PolicyError> {
        let states = self.protocol.states;
        let at = states
            .iter()
            .position(|(name, _)| *name == state)
            .ok_or_else(|| PolicyError::State {
                protocol: self.protocol.name,
                state: state.into(),
                known: names(states.iter().map(|(name, _)| *name)),
            })?;
        let seconds = value.parse().ok().filter(|n| *n <= SECONDS);
        let seconds = seconds.ok_or_else(|| PolicyError::Value {
            state: state.into(),
            value: value.into(),
        })?;
        self.seconds.retain(|(other, _)| *other != at);
        self.seconds.push((at, seconds));
        Ok(())
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its family.
    pub fn family(&self) -> Family {
        self.family
    }

    /// Its protocol's name.
    pub fn protocol(&self) -> &'static str {
        self.protocol.name
    }

    /// Its protocol's number; 255 for `generic`.
    pub fn protocol_number(&self) -> u8 {
        self.protocol.number
    }

    /// States that it sets by the kernel's numbers for them (`enum ctattr_timeout_tcp` and its likes), and their
    /// seconds.
    pub fn timeouts(&self) -> impl Iterator<Item = (u16, u64)> + '_ {
        self.seconds.iter().map(|&(at, n)| (at as u16 + 1, n))
    }

    /// Whether a rule may use it: of `family`, with `-p protocol` (`None`: none, or a negated one; kernel
    /// `xt_ct_set_timeout`, `nf_ct_set_timeout`).
    ///
    /// # Errors
    /// What is wrong.
    pub fn fits(&self, family: Family, protocol: Option<u8>) -> Result<(), PolicyError> {
        let name = || self.name.clone();
        // 0 is what iptables writes for `-p all`.
        let Some(protocol) = protocol.filter(|p| *p != 0) else {
            return Err(PolicyError::NoProtocol {
                name: name(),
                protocol: self.protocol.name,
            });
        };
        if self.family != family {
            return Err(PolicyError::OtherFamily {
                name: name(),
                policy: self.family,
                rule: family,
            });
        }
        let tracker = PROTOCOLS
            .iter()
            .find(|p| p.number == protocol)
            .map_or(GENERIC, |p| p.number);
        if tracker != self.protocol.number {
            return Err(PolicyError::OtherProtocol {
                name: name(),
                policy: self.protocol.name,
                rule: protocol,
            });
        }
        Ok(())
    }

    /// The settings that its connections' tracker goes by.
    fn resolve(&self, config: &Config) -> Config {
        let mut config = config.clone();
        config.policies.clear();
        for &(at, seconds) in &self.seconds {
            if let Some((_, field)) = self.protocol.states.get(at) {
                *field(&mut config) = seconds;
            }
        }
        config
    }
}

/// Handle of a policy in a [`Conntrack`](crate::Conntrack).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PolicyId(NonZeroU16);

/// The policies of a table, resolved.
#[derive(Clone, Debug, Default)]
pub(crate) struct Policies(Vec<(String, Config)>);

impl Policies {
    pub(crate) fn new(config: &Config) -> Self {
        Policies(
            config
                .policies
                .iter()
                .map(|p| (p.name.clone(), p.resolve(config)))
                .collect(),
        )
    }

    pub(crate) fn find(&self, name: &str) -> Option<PolicyId> {
        let at = self.0.iter().position(|(n, _)| n == name)?;
        Some(PolicyId(NonZeroU16::new(u16::try_from(at + 1).ok()?)?))
    }

    /// The name of a policy.
    pub(crate) fn name(&self, id: PolicyId) -> Option<&str> {
        let policy = self.0.get(usize::from(id.0.get()) - 1);
        policy.map(|(name, _)| name.as_str())
    }

    /// The settings of a connection: its policy's, or the table's.
    #[inline]
    pub(crate) fn of<'a>(&'a self, policy: Option<PolicyId>, config: &'a Config) -> &'a Config {
        match policy {
            None => config,
            Some(PolicyId(id)) => self
                .0
                .get(usize::from(id.get()) - 1)
                .map_or(config, |(_, policy)| policy),
        }
    }
}

impl Config {
    /// Adds a timeout policy.
    ///
    /// # Errors
    /// [`PolicyError::Twice`] when there is one of its name, [`PolicyError::Many`].
    pub fn add_policy(&mut self, policy: TimeoutPolicy) -> Result<(), PolicyError> {
        if self.policies.iter().any(|p| p.name == policy.name) {
            return Err(PolicyError::Twice { name: policy.name });
        }
        if self.policies.len() >= usize::from(u16::MAX) {
            return Err(PolicyError::Many);
        }
        self.policies.push(policy);
        Ok(())
    }

    /// The policy that a rule names, if it may use it; see [`TimeoutPolicy::fits`].
    ///
    /// # Errors
    /// [`PolicyError::Unknown`], or why it may not.
    pub fn policy_for(
        &self,
        name: &str,
        family: Family,
        protocol: Option<u8>,
    ) -> Result<&TimeoutPolicy, PolicyError> {
        let policy = self
            .policies
            .iter()
            .find(|p| p.name == name)
            .ok_or_else(|| PolicyError::Unknown {
                name: name.into(),
                known: self.policies.iter().map(|p| p.name.clone()).collect(),
            })?;
        policy.fits(family, protocol)?;
        Ok(policy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_of_every_protocol_has_a_timeout_of_its_own() {
        for protocol in PROTOCOLS {
            for (state, _) in protocol.states {
                let mut policy = TimeoutPolicy::new("p", Family::V4, protocol.name).unwrap();
                policy.set(state, "77").unwrap();
                let mut resolved = policy.resolve(&Config::default());
                for (other, field) in protocol.states {
                    let name = format!("{} {state} {other}", protocol.name);
                    assert_eq!(*field(&mut resolved) == 77, state == other, "{name}");
                }
            }
        }
    }

    #[test]
    fn a_state_that_is_not_named_keeps_the_sysctl() {
        let mut config = Config::default();
        config.set("nf_conntrack_tcp_timeout_close", "99").unwrap();
        let mut policy = TimeoutPolicy::new("p", Family::V4, "tcp").unwrap();
        policy.set("established", "100").unwrap();
        let resolved = policy.resolve(&config);
        assert_eq!(resolved.tcp_timeout_close, 99);
        assert_eq!(resolved.tcp_timeout_established, 100);
    }

    #[test]
    fn what_is_refused_says_what_would_do() {
        let policy = |protocol| TimeoutPolicy::new("p", Family::V4, protocol);
        let mut tcp = policy("tcp").unwrap();
        let long = "x".repeat(32);
        for (error, part) in [
            (policy("dccp").unwrap_err(), "tcp, udp, udplite"),
            (
                TimeoutPolicy::new(&long, Family::V4, "tcp").unwrap_err(),
                "1 to 31 bytes",
            ),
            (tcp.set("replied", "1").unwrap_err(), "it has syn_sent"),
            (tcp.set("close", "-1").unwrap_err(), "from 0 to 8589934"),
            (tcp.fits(Family::V4, None).unwrap_err(), "needs '-p tcp'"),
            (tcp.fits(Family::V4, Some(0)).unwrap_err(), "needs '-p tcp'"),
            (
                tcp.fits(Family::V4, Some(17)).unwrap_err(),
                "the rule is for protocol 17",
            ),
            (
                tcp.fits(Family::V6, Some(6)).unwrap_err(),
                "family \"inet6\"",
            ),
            (
                Config::default()
                    .policy_for("web", Family::V4, Some(6))
                    .unwrap_err(),
                "[timeout.web]",
            ),
        ] {
            assert!(error.to_string().contains(part), "{error}");
        }
        let mut config = Config::default();
        config.add_policy(tcp.clone()).unwrap();
        assert!(config.add_policy(tcp).is_err());
    }

    #[test]
    fn what_has_no_tracker_takes_the_generic_policy() {
        let generic = TimeoutPolicy::new("p", Family::V4, "generic").unwrap();
        assert_eq!(generic.fits(Family::V4, Some(proto::ESP)), Ok(()));
        assert!(generic.fits(Family::V4, Some(proto::GRE)).is_err());
    }
}
