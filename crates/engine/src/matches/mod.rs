//! What each match means: one function a match, each with the kernel's semantics.

mod addresses;
mod bpf;
mod chunks;
pub(crate) mod connection;
mod connlimit;
mod count;
mod fields;
mod hashlimit;
pub(crate) mod headers;
mod host;
mod ipsec;
mod limit;
mod link;
mod payload;
mod rates;
mod recent;
mod sets;
mod states;
mod time;
mod transport;

pub(crate) use count::Draws;
pub use count::{Account, AccountQuota};
pub(crate) use hashlimit::ports_offset;
pub use limit::{Jiffies, Limits};
pub(crate) use payload::Patterns;
pub use recent::RecentLists;
pub(crate) use states::States;
pub(crate) use transport::ports_fit;

use std::net::IpAddr;

use palisade_conntrack::{Conntrack, Track};
use palisade_rules::matches::statistic::Choice;
use palisade_rules::matches::{Side, ttl::Test};
use palisade_rules::{Hook, Match};
use palisade_wire::{Packet, Timestamp, proto};

use crate::host::Host;
use crate::input::{Bridge, LinkInfo};
use crate::linear::RawState;
use crate::socket::Sender;
use crate::tee;

/// What a rule can look at beside the packet.
#[derive(Clone, Copy)]
pub(crate) struct Facts<'a> {
    pub(crate) hook: Hook,
    pub(crate) in_interface: &'a str,
    pub(crate) out_interface: &'a str,
    pub(crate) link: &'a LinkInfo,
    pub(crate) host: &'a Host,
    pub(crate) bridge: &'a Bridge,
    /// Made by a program of this host.
    pub(crate) made_here: bool,
    pub(crate) sender: &'a Sender,
    /// Its transport checksum is still to be filled in.
    pub(crate) unfinished: bool,
    pub(crate) now: Timestamp,
}

impl<'a> Facts<'a> {
    /// Together with the packet as it is now.
    #[inline]
    pub(crate) fn with(&'a self, packet: Packet<'a>) -> Context<'a> {
        Context {
            packet,
            facts: self,
        }
    }

    /// On its way out: the socket that it belongs to is its sender's, not its receiver's.
    pub(crate) fn sender_counts(&self) -> bool {
        matches!(self.hook, Hook::Output | Hook::Postrouting)
    }
}

/// Everything a rule can look at.
pub(crate) struct Context<'a> {
    pub(crate) packet: Packet<'a>,
    /// What is known beside it.
    facts: &'a Facts<'a>,
}

impl<'a> std::ops::Deref for Context<'a> {
    type Target = Facts<'a>;

    #[inline]
    fn deref(&self) -> &Facts<'a> {
        self.facts
    }
}

/// What rules may change, and the state they share.
pub(crate) struct Shared<'a> {
    pub(crate) conntrack: &'a mut Conntrack,
    pub(crate) states: &'a mut States,
    pub(crate) track: Option<&'a Track>,
    pub(crate) raw: &'a mut RawState,
    pub(crate) mark: u32,
    /// The socket that it is for, when that is settled.
    pub(crate) socket: Option<usize>,
    /// The frame counts as one to this host from now on, whatever it was (`-m cluster`).
    pub(crate) frame_is_ours: bool,
    /// Copies that rules ask for; `None` for a copy, of which none is made.
    pub(crate) copies: Option<Vec<tee::Asked>>,
}

/// Result of a match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Yes,
    No,
    /// Not evaluated.
    Unknown,
    /// The packet is too broken: drop it (kernel `hotdrop`).
    HotDrop,
    /// As [`HotDrop`](Self::HotDrop), but the rule counts and its target acts before: a negated test of a
    /// broken packet.
    YesThenDrop,
}

impl From<bool> for Answer {
    #[inline]
    fn from(yes: bool) -> Self {
        if yes { Answer::Yes } else { Answer::No }
    }
}

/// Evaluates one match; `slot` numbers the state of a stateful one.
#[inline]
pub(crate) fn evaluate(
    m: &Match,
    slot: Option<u32>,
    context: &Context<'_>,
    shared: &mut Shared<'_>,
) -> Answer {
    let packet = &context.packet;
    match m {
        Match::Tcp(rule) => transport::tcp(rule, packet),
        Match::Udp(rule) => transport::udp(rule, packet),
        Match::Icmp(rule) => transport::icmp(&rule.0, packet),
        Match::Icmp6(rule) => transport::icmp(&rule.0, packet),
        Match::Multiport(rule) => transport::multiport(rule, packet),
        Match::State(rule) => connection::state(&rule.0, shared).into(),
        Match::Conntrack(rule) => {
            connection::conntrack(rule, shared, packet.family(), context.now).into()
        }
        Match::Limit(_) => {
            shared.states.touched.0 = true;
            slot.is_some_and(|slot| shared.states.limits.take(slot, context.now))
                .into()
        }
        Match::Recent(rule) => {
            let forwarded = !context.out_interface.is_empty() && !context.made_here;
            shared.states.touched.0 = true;
            let recent = &mut shared.states.recent;
            slot.is_some_and(|slot| recent.check(slot, rule, packet, forwarded, context.now))
                .into()
        }
        Match::Mark(rule) => {
            let (value, mask) = rule.0.value;
            rule.0.apply(shared.mark & mask == value).into()
        }
        Match::Comment(_) => Answer::Yes,
        Match::Iprange(rule) => addresses::iprange(rule, packet).into(),
        Match::Addrtype(rule) => addresses::addrtype(rule, context).into(),
        Match::Length(rule) => {
            let (first, last) = rule.0.value;
            let range = usize::from(first)..=usize::from(last);
            rule.0.apply(range.contains(&ip_length(packet))).into()
        }
        Match::Ttl(rule) => ttl(rule.0, packet).into(),
        Match::Hl(rule) => ttl(rule.0, packet).into(),
        Match::Mac(rule) => link::mac(&rule.0, context).into(),
        Match::Pkttype(rule) => link::pkttype(&rule.0, context).into(),
        Match::Connlabel(rule) => slot
            .is_some_and(|label| connection::label(rule, label, shared))
            .into(),
        Match::Set(rule) => match slot {
            Some(slot) => {
                shared.states.touched.0 = true;
                sets::asked(rule, slot, context, shared).into()
            }
            None => Answer::Unknown,
        },
        Match::Connmark(rule) => connection::mark(&rule.0, shared).into(),
        Match::Connbytes(rule) => connection::bytes(rule, shared).into(),
        Match::Cluster(rule) => connection::cluster(rule, context, shared).into(),
        Match::Connlimit(rule) => {
            let asked = connlimit::Asked {
                packet,
                track: shared.track,
                now: context.now,
            };
            shared.states.touched.0 = true;
            let counts = &mut shared.states.connlimits;
            slot.map_or(Answer::Unknown, |slot| {
                counts.check(slot, rule, &asked, shared.conntrack)
            })
        }
        Match::Hashlimit(rule) => {
            shared.states.touched.0 = true;
            let tables = &mut shared.states.hashlimits;
            slot.map_or(Answer::Unknown, |slot| {
                tables.check(slot, rule, packet, context.now)
            })
        }
        Match::Statistic(rule) => {
            shared.states.touched.0 = true;
            let hit = match rule.0.value {
                Choice::Random(chance) => shared.states.draws.hits(chance),
                Choice::Nth { every, .. } => {
                    slot.is_some_and(|slot| shared.states.counts.nth(slot, every))
                }
            };
            rule.0.apply(hit).into()
        }
        Match::Quota(rule) => {
            let length = ip_length(packet) as u64;
            shared.states.touched.0 = true;
            let enough = slot.is_some_and(|slot| shared.states.counts.spend(slot, length));
            rule.0.apply(enough).into()
        }
        Match::Nfacct(_) => {
            shared.states.touched.0 = true;
            let length = ip_length(packet) as u64;
            slot.is_some_and(|slot| shared.states.accounts.count(slot, length))
                .into()
        }
        Match::Rateest(rule) => {
            shared.states.touched.0 = true;
            shared.states.estimators.compare(rule, context.now).into()
        }
        Match::Time(rule) => {
            let wall = shared.states.wall(context.now);
            time::time(rule, wall, context.host.minutes_west).into()
        }
        Match::Cpu(rule) => match processor(rule.0.value, context.host.processors) {
            Some(here) => rule.0.apply(here).into(),
            None => Answer::Unknown,
        },
        Match::Helper(rule) => connection::helper(&rule.0, shared).into(),
        Match::Physdev(rule) => host::physdev(rule, context).into(),
        Match::Owner(rule) => host::owner(rule, context),
        Match::Socket(rule) => host::socket(rule, context, shared),
        Match::Cgroup(rule) => host::cgroup(rule, context, shared),
        Match::Devgroup(rule) => host::devgroup(rule, context).into(),
        Match::Realm(rule) => host::realm(rule, context).into(),
        Match::Rpfilter(rule) => host::rpfilter(rule, context, shared.mark),
        Match::Ipvs(rule) => host::ipvs(rule).into(),
        Match::Osf(_) => host::osf(context),
        Match::Sctp(rule) => chunks::sctp(rule, packet),
        Match::Dccp(rule) => chunks::dccp(rule, packet),
        Match::Esp(rule) => ipsec::esp(rule, packet),
        Match::Ah(rule) => ipsec::ah(rule, packet),
        Match::Ipcomp(rule) => ipsec::ipcomp(rule, packet),
        Match::Mh(rule) => ipsec::mh(rule, packet),
        Match::Policy(rule) => ipsec::policy(rule).into(),
        Match::Ah6(rule) => headers::ah(rule, packet),
        Match::Frag(rule) => headers::frag(rule, packet),
        Match::Hbh(rule) => headers::options(&rule.0, proto::HOPOPTS, packet),
        Match::Dst(rule) => headers::options(&rule.0, proto::DSTOPTS, packet),
        Match::Rt(rule) => headers::rt(rule, packet),
        Match::Ipv6header(rule) => headers::ipv6header(rule, packet),
        Match::Srh(rule) => headers::srh(rule, packet).into(),
        Match::Eui64(_) => headers::eui64(context).into(),
        Match::String(rule) => slot.map_or(Answer::Unknown, |slot| {
            shared.states.patterns.find(slot, rule, packet)
        }),
        Match::U32(rule) => payload::u32(rule, packet),
        Match::Bpf(rule) => bpf::bpf(rule, context, shared.mark),
        Match::Dscp(rule) => fields::dscp(rule, packet).into(),
        Match::Tos(rule) => fields::tos(rule, packet).into(),
        Match::Ecn(rule) => fields::ecn(rule, packet).into(),
        Match::Tcpmss(rule) => fields::tcpmss(rule, packet),
    }
}

/// Whether a processor handles the packet (kernel `cpu_mt`): known of a host with a single one, and of those that a
/// host does not have, which are 8,192 and more of any.
fn processor(number: u32, of: Option<u32>) -> Option<bool> {
    match of {
        Some(1) => Some(number == 0),
        of => (number >= of.unwrap_or(8192)).then_some(false),
    }
}

/// Kernel `ttl_mt`, `hl_mt6`.
fn ttl(test: Test, packet: &Packet<'_>) -> bool {
    let ttl = packet.ttl();
    match test {
        Test::Equal(n) => ttl == n,
        Test::Differs(n) => ttl != n,
        Test::Less(n) => ttl < n,
        Test::Greater(n) => ttl > n,
    }
}

/// Bytes that `length` and the counters see: the IPv4 total length, the whole IPv6 packet.
#[inline]
pub(crate) fn ip_length(packet: &Packet<'_>) -> usize {
    packet.declared_len()
}

/// The address that a side names.
pub(crate) fn side_address(side: Side, packet: &Packet<'_>) -> IpAddr {
    match side {
        Side::Destination => packet.destination(),
        _ => packet.source(),
    }
}
