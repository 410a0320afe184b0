//! What a rule can test by `-m`, a file each.

pub mod addrtype;
pub mod ah;
pub mod bpf;
pub mod cgroup;
pub mod cluster;
pub mod comment;
pub mod connbytes;
pub mod connlabel;
pub mod connlimit;
pub mod connmark;
pub mod conntrack;
pub mod cpu;
pub mod dccp;
pub mod devgroup;
pub mod dscp;
pub mod ecn;
pub mod esp;
pub mod eui64;
pub mod frag;
pub mod hashlimit;
pub mod hbh;
pub mod helper;
pub mod icmp;
pub mod ipcomp;
pub mod iprange;
pub mod ipv6header;
pub mod ipvs;
pub mod length;
pub mod limit;
pub mod mac;
pub mod mark;
pub mod mh;
pub mod multiport;
pub mod nfacct;
pub mod numbers;
pub mod osf;
pub mod owner;
pub mod physdev;
pub mod pkttype;
pub mod policy;
mod ports;
pub mod quota;
pub mod rateest;
pub mod realm;
pub mod recent;
pub mod rpfilter;
pub mod rt;
pub mod sctp;
pub mod set;
pub mod socket;
pub mod srh;
pub mod statistic;
pub mod string;
pub mod tcp;
pub mod tcpmss;
pub mod time;
pub mod tos;
pub mod ttl;
pub mod u32;
pub mod udp;

use std::borrow::Cow;

use super::read::Loaded;
use super::row::{Extension, Reader};
use super::{Out, Spec, prelude};
use crate::model::{Hook, TableKind};
use crate::value::Fault;

/// Which end a match looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// Source.
    Source,
    /// Destination.
    Destination,
    /// Either.
    Either,
}

/// From a list of variants and their models: the enum, the catalogue in the same order, reading and printing.
macro_rules! matches {
    ($($variant:ident($spec:ty)),* $(,)?) => {
        /// One match.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum Match {
            $(#[doc = concat!("See [`", stringify!($spec), "`].")] $variant($spec),)*
        }

        /// All matches.
        pub static MATCHES: &[Extension] = &[
            $(<$spec as Spec>::ROW.read_by(Reader::Match(|l| <$spec>::read(l).map(Match::$variant)))),*
        ];

        #[repr(usize)]
        enum Index { $($variant),* }

        impl Match {
            /// Its row in the catalogue.
            pub fn extension(&self) -> &'static Extension {
                match self {
                    $(Match::$variant(_) => &MATCHES[Index::$variant as usize]),*
                }
            }

            /// Its options as iptables-save prints them.
            pub(crate) fn write(&self, out: &mut Out) {
                match self {
                    $(Match::$variant(m) => m.write(out)),*
                }
            }

            /// What `iptables -L` prints of it.
            pub(crate) fn list(&self, out: &mut Out) {
                match self {
                    $(Match::$variant(m) => m.list(out)),*
                }
            }

            /// Tables that take it; empty: all.
            pub fn tables(&self) -> &'static [TableKind] {
                match self {
                    $(Match::$variant(m) => m.tables()),*
                }
            }

            /// Hooks that take it; empty: all.
            pub fn hooks(&self) -> &'static [Hook] {
                match self {
                    $(Match::$variant(m) => m.hooks()),*
                }
            }
        }
    };
}

matches! {
    Addrtype(addrtype::Addrtype),
    Ah(ah::Ah),
    Ah6(ah::Ah6),
    Bpf(bpf::Bpf),
    Cgroup(cgroup::Cgroup),
    Cluster(cluster::Cluster),
    Comment(comment::Comment),
    Connbytes(connbytes::Connbytes),
    Connlabel(connlabel::Connlabel),
    Connlimit(connlimit::Connlimit),
    Connmark(connmark::Connmark),
    Conntrack(conntrack::Conntrack),
    Cpu(cpu::Cpu),
    Dccp(dccp::Dccp),
    Devgroup(devgroup::Devgroup),
    Dscp(dscp::Dscp),
    Dst(hbh::Dst),
    Ecn(ecn::Ecn),
    Esp(esp::Esp),
    Eui64(eui64::Eui64),
    Frag(frag::Frag),
    Hashlimit(hashlimit::Hashlimit),
    Hbh(hbh::Hbh),
    Helper(helper::Helper),
    Hl(ttl::Hl),
    Icmp(icmp::Icmp),
    Icmp6(icmp::Icmp6),
    Ipcomp(ipcomp::Ipcomp),
    Iprange(iprange::Iprange),
    Ipv6header(ipv6header::Ipv6header),
    Ipvs(ipvs::Ipvs),
    Length(length::Length),
    Limit(limit::Limit),
    Mac(mac::Mac),
    Mark(mark::Mark),
    Mh(mh::Mh),
    Multiport(multiport::Multiport),
    Nfacct(nfacct::Nfacct),
    Osf(osf::Osf),
    Owner(owner::Owner),
    Physdev(physdev::Physdev),
    Pkttype(pkttype::Pkttype),
    Policy(policy::Policy),
    Quota(quota::Quota),
    Rateest(rateest::Rateest),
    Realm(realm::Realm),
    Recent(recent::Recent),
    Rpfilter(rpfilter::Rpfilter),
    Rt(rt::Rt),
    Sctp(sctp::Sctp),
    Set(set::Set),
    Socket(socket::Socket),
    Srh(srh::Srh),
    State(conntrack::State),
    Statistic(statistic::Statistic),
    String(string::StringMatch),
    Tcp(tcp::Tcp),
    Tcpmss(tcpmss::Tcpmss),
    Time(time::Time),
    Tos(tos::Tos),
    Ttl(ttl::Ttl),
    U32(u32::U32),
    Udp(udp::Udp),
}

/// Matches as the program shows them: iptables-nft makes one of several of tcp or udp that it has written
/// in its own words, where the later option counts, and shows none that tests nothing.
pub(crate) fn shown(matches: &[Match]) -> Cow<'_, [Match]> {
    let native = |m: &Match| match m {
        Match::Tcp(tcp) => tcp.native,
        Match::Udp(udp) => udp.native,
        _ => false,
    };
    if !matches.iter().any(native) {
        return Cow::Borrowed(matches);
    }
    let mut shown: Vec<Match> = Vec::with_capacity(matches.len());
    for m in matches {
        let earlier = shown.iter_mut().find(|e| native(e));
        match (earlier, m) {
            (_, Match::Tcp(tcp)) if tcp.native && tcp.empty() => {}
            (_, Match::Udp(udp)) if udp.native && udp.empty() => {}
            (Some(Match::Tcp(earlier)), Match::Tcp(tcp)) if tcp.native => earlier.merge(tcp),
            (Some(Match::Udp(earlier)), Match::Udp(udp)) if udp.native => earlier.merge(udp),
            _ => shown.push(m.clone()),
        }
    }
    Cow::Owned(shown)
}

impl Match {
    /// Name as in `-m`.
    pub fn name(&self) -> &'static str {
        self.extension().name
    }

    /// Reads the options of a loaded match.
    pub(crate) fn read(loaded: &Loaded) -> Result<Self, Fault> {
        loaded.check()?;
        match loaded.extension.reader {
            Reader::Match(read) => read(loaded),
            _ => Err(loaded.fault(crate::value::Bad::new(format!(
                "'{}' is no match",
                loaded.extension.name
            )))),
        }
    }
}
