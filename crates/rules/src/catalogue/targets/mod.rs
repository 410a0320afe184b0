//! What a rule can do by `-j`, a file each.

pub mod audit;
pub mod checksum;
pub mod classify;
pub mod clusterip;
pub mod connsecmark;
pub mod ct;
pub mod dscp;
pub mod ecn;
pub mod hl;
pub mod hmark;
pub mod idletimer;
pub mod led;
pub mod log;
pub mod mark;
pub mod nat;
pub mod nflog;
pub mod nfqueue;
pub mod npt;
pub mod queue;
pub mod rateest;
pub mod reject;
pub mod secmark;
pub mod set;
pub mod synproxy;
pub mod tcpmss;
pub mod tcpoptstrip;
pub mod tee;
pub mod tos;
pub mod tproxy;
pub mod trace;
pub mod ttl;
pub mod ulog;

use super::read::Loaded;
use super::row::{Extension, Reader};
use super::{Out, Spec, prelude};
use crate::model::{Hook, TableKind};
use crate::value::Fault;

/// From a list of variants and their models: the enum, the catalogue in the same order, reading and printing.
macro_rules! targets {
    ($($variant:ident($spec:ty)),* $(,)?) => {
        /// What happens to a packet that fits.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum Target {
            /// Nothing: the rule only counts.
            None,
            /// Let pass.
            Accept,
            /// Drop.
            Drop,
            /// Back to the calling chain.
            Return,
            /// To a chain, by its index in the table.
            Jump(usize),
            /// To a chain without coming back.
            Goto(usize),
            $(#[doc = concat!("See [`", stringify!($spec), "`].")] $variant($spec),)*
        }

        /// All targets that are extensions.
        pub static TARGETS: &[Extension] = &[
            $(<$spec as Spec>::ROW.read_by(Reader::Target(|l| <$spec>::read(l).map(Target::$variant)))),*
        ];

        #[repr(usize)]
        enum Index { $($variant),* }

        impl Target {
            /// Its row in the catalogue; `None` for verdicts and chains.
            pub fn extension(&self) -> Option<&'static Extension> {
                match self {
                    $(Target::$variant(_) => Some(&TARGETS[Index::$variant as usize]),)*
                    _ => None,
                }
            }

            /// Its options as iptables-save prints them.
            pub(crate) fn write(&self, out: &mut Out) {
                match self {
                    $(Target::$variant(t) => t.write(out),)*
                    _ => {}
                }
            }

            /// What `iptables -L` prints of it.
            pub(crate) fn list(&self, out: &mut Out) {
                match self {
                    $(Target::$variant(t) => t.list(out),)*
                    _ => {}
                }
            }

            /// Tables that take it; empty: all.
            pub fn tables(&self) -> &'static [TableKind] {
                match self {
                    $(Target::$variant(t) => t.tables(),)*
                    _ => &[],
                }
            }

            /// Hooks that take it; empty: all.
            pub fn hooks(&self) -> &'static [Hook] {
                match self {
                    $(Target::$variant(t) => t.hooks(),)*
                    _ => &[],
                }
            }
        }
    };
}

targets! {
    Audit(audit::Audit),
    Checksum(checksum::Checksum),
    Classify(classify::Classify),
    Clusterip(clusterip::Clusterip),
    Connmark(mark::Connmark),
    Connsecmark(connsecmark::Connsecmark),
    Ct(ct::Ct),
    Dnat(nat::Dnat),
    Dnpt(npt::Dnpt),
    Dscp(dscp::Dscp),
    Ecn(ecn::Ecn),
    Hl(hl::Hl),
    Hmark(hmark::Hmark),
    Idletimer(idletimer::Idletimer),
    Led(led::Led),
    Log(log::Log),
    Mark(mark::Mark),
    Masquerade(nat::Masquerade),
    Netmap(nat::Netmap),
    Nflog(nflog::Nflog),
    Nfqueue(nfqueue::Nfqueue),
    Notrack(ct::Notrack),
    Queue(queue::Queue),
    Rateest(rateest::Rateest),
    Redirect(nat::Redirect),
    Reject(reject::Reject),
    Secmark(secmark::Secmark),
    Set(set::Set),
    Snat(nat::Snat),
    Snpt(npt::Snpt),
    Synproxy(synproxy::Synproxy),
    Tcpmss(tcpmss::Tcpmss),
    Tcpoptstrip(tcpoptstrip::Tcpoptstrip),
    Tee(tee::Tee),
    Tos(tos::Tos),
    Tproxy(tproxy::Tproxy),
    Trace(trace::Trace),
    Ttl(ttl::Ttl),
    Ulog(ulog::Ulog),
}

impl Target {
    /// Reads the options of a loaded target.
    pub(crate) fn read(loaded: &Loaded) -> Result<Self, Fault> {
        loaded.check()?;
        match loaded.extension.reader {
            Reader::Target(read) => read(loaded),
            _ => Err(loaded.fault(crate::value::Bad::new(format!(
                "'{}' is no target",
                loaded.extension.name
            )))),
        }
    }
}
