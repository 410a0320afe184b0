//! Helpers: protocols that announce further connections in their payload.
//!
//! A helper reads one packet through a [`Call`], which is all it can reach: the payload, the
//! connection's tuples, and the few things a helper may do (expect a connection, rewrite
//! payload). It never touches the table. To add one, read [`ftp`], write a sibling, and give it a row
//! in [`CATALOGUE`], a variant of [`HelperState`] if it remembers anything, and, if the connections that it
//! announces need more than to follow their parent, an arm in `arrived`.

mod amanda;
mod broadcast;
mod call;
pub mod ftp;
pub mod h323;
mod irc;
mod options;
pub mod pptp;
pub mod sane;
mod saved;
pub mod sip;
mod snmp;
#[cfg(test)]
pub(crate) mod testing;
mod tftp;

pub use call::{Call, Follower, Proposal, Surroundings};
pub use options::Options;

use palisade_wire::{Family, proto};

use crate::connection::Connection;
use crate::expect::{Expectation, Follow};
use crate::table::Conntrack;
use crate::tuple::Tuple;

/// Limits of one class of expectations (kernel `struct nf_conntrack_expect_policy`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Class {
    /// Expectations that one connection may have at a time; 0: any number.
    pub max: u16,
    /// Lifetime of an expectation, in seconds.
    pub timeout: u64,
}

/// What a helper says of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// It may pass.
    Pass,
    /// It must be dropped, and why.
    Drop(&'static str),
}

/// A helper of the kernel: its name for `-j CT --helper`, and what it reads.
#[derive(Clone, Copy, Debug)]
pub struct HelperInfo {
    /// Name, as rules spell it.
    pub name: &'static str,
    /// Protocol of the connection that it reads.
    pub protocol: u8,
    /// Port that the kernel registers it for.
    pub port: u16,
    /// Family that it is for; `None`: both.
    pub family: Option<Family>,
    /// Limits by class of expectation.
    pub classes: &'static [Class],
    /// Reads a packet; `None`: it can be assigned, and announces nothing here.
    inspect: Option<fn(&mut HelperState, &mut Call<'_, '_>) -> Word>,
}

impl HelperInfo {
    /// Whether it is evaluated here.
    pub fn evaluated(&self) -> bool {
        self.inspect.is_some()
    }

    /// Limits of a class under these options.
    pub(crate) fn class(&self, class: u8, options: &Options) -> Class {
        let own = self.classes.get(usize::from(class)).copied();
        options.class(
            self.name,
            own.unwrap_or(Class {
                max: 1,
                timeout: 300,
            }),
        )
    }
}

const fn class(max: u16, timeout: u64) -> Class {
    Class { max, timeout }
}

const fn row(
    name: &'static str,
    protocol: u8,
    port: u16,
    family: Option<Family>,
    classes: &'static [Class],
    inspect: Option<fn(&mut HelperState, &mut Call<'_, '_>) -> Word>,
) -> HelperInfo {
    HelperInfo {
        name,
        protocol,
        port,
        family,
        classes,
        inspect,
    }
}

const V4: Option<Family> = Some(Family::V4);

/// All helpers that rules may name.
#[rustfmt::skip]
pub const CATALOGUE: &[HelperInfo] = &[
    row("ftp", proto::TCP, 21, None, &[class(1, 300)], Some(ftp::inspect)),
    row("tftp", proto::UDP, 69, None, &[class(1, 300)], Some(tftp::inspect)),
    row("irc", proto::TCP, 6667, V4, &[class(8, 300)], Some(irc::inspect)),
    row("sip", proto::UDP, 5060, None, &[class(1, 180), class(4, 180), class(4, 180), class(2, 180)], Some(sip::inspect)),
    row("sip", proto::TCP, 5060, None, &[class(1, 180), class(4, 180), class(4, 180), class(2, 180)], Some(sip::inspect)),
    row("amanda", proto::UDP, 10080, None, &[class(4, 180)], Some(amanda::inspect)),
    row("pptp", proto::TCP, 1723, V4, &[class(2, 300)], Some(pptp::inspect)),
    row("RAS", proto::UDP, 1719, None, &[class(32, 240)], Some(h323::inspect_ras)),
    row("Q.931", proto::TCP, 1720, None, &[class(20, 240)], Some(h323::inspect_q931)),
    row("H.245", proto::TCP, 0, None, &[class(18, 240)], Some(h323::inspect_h245)),
    row("netbios-ns", proto::UDP, 137, V4, &[class(1, 3)], Some(broadcast::netbios_ns)),
    row("snmp", proto::UDP, 161, V4, &[class(1, 30)], Some(broadcast::snmp)),
    row("snmp_trap", proto::UDP, 162, V4, &[class(0, 180)], Some(snmp::trap)),
    row("sane", proto::TCP, 6566, None, &[class(1, 300)], Some(sane::inspect)),
];

/// A helper of this name, for whatever protocol.
pub fn by_name(name: &str) -> Option<&'static HelperInfo> {
    CATALOGUE.iter().find(|h| h.name == name)
}

/// The helper of this name that reads connections like this one (kernel
/// `__nf_conntrack_helper_find`).
pub fn for_tuple(name: &str, tuple: &Tuple) -> Option<&'static HelperInfo> {
    CATALOGUE.iter().find(|h| {
        h.name == name
            && h.protocol == tuple.protocol
            && h.family.is_none_or(|f| f == tuple.family())
    })
}

/// What a helper remembers between packets of one connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum HelperState {
    /// Nothing.
    #[default]
    None,
    /// FTP control connection.
    Ftp(Box<ftp::FtpState>),
    /// PPTP control connection.
    Pptp(Box<pptp::PptpState>),
    /// SANE control connection.
    Sane(sane::SaneState),
    /// SIP signalling.
    Sip(Box<sip::SipState>),
    /// A connection of an H.323 call.
    H323(Box<h323::H323State>),
}

/// Asks a connection's helper about one packet. Helpers that are not evaluated pass everything.
pub(crate) fn inspect(info: &HelperInfo, state: &mut HelperState, call: &mut Call<'_, '_>) -> Word {
    match info.inspect {
        Some(inspect) => inspect(state, call),
        None => Word::Pass,
    }
}

/// The connection that fulfils `expectation` has come: what its helper does with it before any rule sees
/// it (kernel `expectfn`).
pub(crate) fn arrived(follower: &mut Follower<'_>, expectation: &Expectation) {
    match expectation.follow {
        Follow::Nothing => {}
        Follow::Master => follower.follow_master(expectation),
        Follow::Pptp => pptp::arrived(follower, expectation),
        Follow::Sip => sip::arrived(follower, expectation),
        Follow::Q931 => h323::called(follower, expectation),
        Follow::CallForwarding => h323::call_forwarded(follower, expectation),
    }
}

/// A connection that has a helper has ended and is out of the table (kernel `nf_ct_helper_destroy`).
pub(crate) fn ended(table: &mut Conntrack, gone: &Connection) {
    if gone.helper() == Some("pptp") {
        pptp::ended(table, gone);
    }
}

/// The decimal digits at the start of `text` as a number, and how many they are. It wraps at 64 bits (kernel
/// `simple_strtoul`); without digits it is 0.
pub(crate) fn number(text: &[u8]) -> (u64, usize) {
    let digits = text.iter().take_while(|b| b.is_ascii_digit());
    digits.fold((0, 0), |(value, count): (u64, usize), byte| {
        let digit = u64::from(byte - b'0');
        (value.wrapping_mul(10).wrapping_add(digit), count + 1)
    })
}

/// Bytes as text for reasons: printable ASCII as it is, the rest escaped, at most 120 bytes.
pub(crate) fn quote(bytes: &[u8]) -> String {
    bytes
        .iter()
        .take(120)
        .flat_map(|b| std::ascii::escape_default(*b))
        .map(char::from)
        .collect()
}
