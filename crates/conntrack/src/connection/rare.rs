//! What few connections have: another reply tuple, zones, a helper, a parent, a policy, labels, shifted sequence numbers.

use std::net::IpAddr;
use std::sync::Arc;

use super::{ConnId, Connection, RARE, Status, ZONED};
use crate::helper::HelperState;
use crate::nat::seqadj::Shift;
use crate::policy::PolicyId;
use crate::tuple::{Direction, Tuple, Zone};

/// What SYNPROXY remembers of a connection that it opened (kernel `struct nf_conn_synproxy`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Proxied {
    /// The sequence number that the client was told as the server's first.
    pub isn: u32,
    /// The time stamp that it was told.
    pub stamp: u32,
    /// How far the server's time stamps are ahead of those that the client is told.
    pub ahead: u32,
}

/// What few connections have.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rare {
    /// The reply tuple, where it is not the inverse of the original one.
    pub(super) reply: Option<Tuple>,
    zones: [Zone; 2],
    pub(crate) helper: Option<&'static str>,
    pub(crate) helper_state: HelperState,
    pub(crate) master: Option<u64>,
    pub(crate) master_id: Option<ConnId>,
    pub(crate) master_helper: Option<&'static str>,
    pub(crate) master_tuple: Option<Tuple>,
    pub(crate) masquerade: Option<Arc<str>>,
    pub(crate) policy: Option<PolicyId>,
    /// The helper that announced it, and the announcing bytes as text.
    pub(crate) announced: Option<(&'static str, Arc<str>)>,
    labels: u128,
    /// How far a helper shifted either direction's sequence numbers.
    pub(crate) shifts: Option<[Shift; 2]>,
    proxied: Option<Proxied>,
}

static NOTHING_RARE: Rare = Rare {
    reply: None,
    zones: [0; 2],
    helper: None,
    helper_state: HelperState::None,
    master: None,
    master_id: None,
    master_helper: None,
    master_tuple: None,
    masquerade: None,
    policy: None,
    announced: None,
    labels: 0,
    shifts: None,
    proxied: None,
};

impl Connection {
    /// What few connections have; of most nothing.
    #[inline]
    pub(crate) fn rare(&self) -> &Rare {
        self.rare.as_deref().unwrap_or(&NOTHING_RARE)
    }

    pub(crate) fn rare_mut(&mut self) -> &mut Rare {
        self.family |= RARE;
        self.rare.get_or_insert_default()
    }

    /// Whether both of its tuples stand under one hash.
    #[inline]
    pub(crate) fn single(&self) -> bool {
        match &self.rare {
            None => true,
            Some(rare) => rare.reply.is_none() && rare.zones[0] == rare.zones[1],
        }
    }

    /// Whether it has a zone in each direction.
    pub(crate) fn split(&self) -> bool {
        let [original, reply] = self.zones();
        original != reply
    }

    /// Bytes that it holds apart.
    pub(crate) fn memory_apart(&self) -> usize {
        self.rare.as_deref().map_or(0, size_of_val)
    }

    /// Gives it another reply tuple.
    pub(crate) fn set_reply(&mut self, reply: Tuple) {
        self.rare_mut().reply = Some(reply);
    }

    /// Zone id as seen in original and reply direction.
    #[inline]
    pub fn zones(&self) -> [Zone; 2] {
        self.rare().zones
    }

    /// The zone's id, whichever direction it holds in.
    pub fn zone_id(&self) -> Zone {
        let [a, b] = self.zones();
        a.max(b)
    }

    /// Gives it zones.
    pub(crate) fn set_zones(&mut self, zones: [Zone; 2]) {
        self.family |= ZONED;
        self.rare_mut().zones = zones;
    }

    /// The helper that reads this connection's payload.
    #[inline]
    pub fn helper(&self) -> Option<&'static str> {
        self.rare().helper
    }

    /// Display number of the connection that announced this one.
    pub fn master(&self) -> Option<u64> {
        self.rare().master
    }

    /// The original tuple of the connection that announced this one, which the kernel shows even when that one is gone.
    pub fn master_tuple(&self) -> Option<Tuple> {
        self.rare().master_tuple
    }

    /// The helper of the connection that announced this one: known even when that one is gone, as the
    /// kernel keeps it for as long as this one lives.
    pub fn master_helper(&self) -> Option<&'static str> {
        self.rare().master_helper
    }

    /// The interface whose address it is masqueraded with.
    pub fn masquerade(&self) -> Option<&str> {
        self.rare().masquerade.as_deref()
    }

    /// The timeout policy that a rule gave it; none: the sysctls hold.
    #[inline]
    pub fn policy(&self) -> Option<PolicyId> {
        self.rare().policy
    }

    /// What SYNPROXY remembers of it, if it opened it.
    pub fn proxied(&self) -> Option<Proxied> {
        self.rare().proxied
    }

    /// The same, to be changed.
    pub fn proxied_mut(&mut self) -> Option<&mut Proxied> {
        self.rare.as_deref_mut()?.proxied.as_mut()
    }

    pub(crate) fn set_proxied(&mut self) {
        self.rare_mut().proxied = Some(Proxied::default());
    }

    /// The original source of the connection that announced this one, and without one its own.
    pub fn first_source(&self) -> IpAddr {
        self.rare()
            .master_tuple
            .unwrap_or_else(|| self.tuple(Direction::Original))
            .source
    }

    /// Labels: bit 0 is label 0.
    pub fn labels(&self) -> u128 {
        self.rare().labels
    }

    /// Adds labels; none is ever taken away.
    pub fn set_labels(&mut self, bits: u128) {
        if bits != 0 {
            self.rare_mut().labels |= bits;
        }
    }

    /// Gives it other labels.
    pub(crate) fn replace_labels(&mut self, bits: u128) {
        if bits != self.labels() {
            self.rare_mut().labels = bits;
        }
    }

    /// Shifts all sequence numbers of a direction (kernel `nf_ct_seqadj_init`); by 0 nothing changes, not even a
    /// shift from before.
    pub fn shift(&mut self, direction: Direction, by: i32) {
        if by == 0 {
            return;
        }
        self.status.set(Status::SEQ_ADJUST);
        let shifts = self.rare_mut().shifts.get_or_insert_default();
        let shift = &mut shifts[direction.index()];
        (shift.before, shift.after) = (by, by);
    }
}
