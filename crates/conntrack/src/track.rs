//! What connection tracking is told about a packet, and what it says of it.

use crate::State;
use crate::connection::ConnId;
use crate::policy::PolicyId;
use crate::proto::tcp::TcpStep;
use crate::reason::{DropReason, Invalid, Reason};
use crate::tuple::{Direction, Zone};

/// Where a packet meets connection tracking.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TrackHook {
    /// From the network: checksums are verified if `nf_conntrack_checksum` is 1.
    Prerouting,
    /// Made here: checksums are taken for right.
    Output,
    /// From anywhere, with checksums that hardware is still to fill in (kernel `CHECKSUM_PARTIAL`): taken for right.
    Unfinished,
}

/// A zone that rules assign (`-j CT --zone`, `--zone-orig`, `--zone-reply`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ZoneSpec {
    /// Zone id.
    pub id: Zone,
    /// Holds in original direction.
    pub original: bool,
    /// Holds in reply direction.
    pub reply: bool,
}

impl Default for ZoneSpec {
    fn default() -> Self {
        ZoneSpec {
            id: 0,
            original: true,
            reply: true,
        }
    }
}

impl ZoneSpec {
    pub(crate) fn ids(self) -> [Zone; 2] {
        [
            if self.original { self.id } else { 0 },
            if self.reply { self.id } else { 0 },
        ]
    }
}

/// What `-j CT` says about connections that do not exist yet.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Template {
    /// Zone of lookup and creation.
    pub zone: ZoneSpec,
    /// Helper for a new connection, a name of [`helper::CATALOGUE`](crate::helper::CATALOGUE).
    pub helper: Option<&'static str>,
    /// Timeout policy of a new connection, from [`Conntrack::policy`](crate::Conntrack::policy).
    pub policy: Option<PolicyId>,
    /// SYNPROXY opens the connection.
    pub proxied: bool,
}

/// What connection tracking says of a packet; kept beside the packet until it leaves.
#[derive(Clone, Debug)]
pub struct Track {
    /// State.
    pub state: State,
    /// Direction within the connection; original where there is none.
    pub direction: Direction,
    /// The connection; for an ICMP error, the quoted one.
    pub connection: Option<ConnId>,
    /// The connection was made by this packet and is not confirmed.
    pub fresh: bool,
    /// The packet ended the connection: out of the hash already, it goes with the packet.
    pub dying: bool,
    /// Its checksum was looked at and is right; nobody looks again.
    pub(crate) verified: bool,
    /// Set when the packet must be dropped here.
    pub drop: Option<DropReason>,
    /// Why.
    pub reason: Reason,
    /// Window arithmetic, when asked for with [`Conntrack::set_explain`](crate::Conntrack::set_explain).
    pub tcp: Option<Box<TcpStep>>,
}

impl Track {
    /// A packet exempted by a raw rule.
    pub fn untracked() -> Self {
        Track::none(State::Untracked, Reason::NotTracked)
    }

    pub(crate) fn none(state: State, reason: Reason) -> Self {
        Track {
            state,
            direction: Direction::Original,
            connection: None,
            fresh: false,
            dying: false,
            verified: false,
            drop: None,
            reason,
            tcp: None,
        }
    }

    pub(crate) fn invalid(why: Invalid) -> Self {
        Track::none(State::Invalid, Reason::Invalid(why))
    }
}

/// An expectation that a packet announced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announced {
    /// Helper.
    pub helper: &'static str,
    /// The announcing bytes, as text.
    pub text: String,
}

/// What happened when a packet left.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Leave {
    /// Set when the packet must be dropped after all.
    pub drop: Option<DropReason>,
    /// Expectation made.
    pub announced: Option<Announced>,
}
