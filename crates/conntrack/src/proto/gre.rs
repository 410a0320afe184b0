//! GRE (kernel `nf_conntrack_proto_gre.c`): the keys that PPTP control connections agreed on.

use std::net::IpAddr;

use crate::config::Config;
use crate::connection::{ConnId, Connection, Status};
use crate::proto::Update;
use crate::tuple::Direction;

/// A packet with this destination key belongs to a call whose other end uses that source key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) master: ConnId,
    pub(crate) direction: Direction,
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    pub(crate) destination_key: u16,
    pub(crate) source_key: u16,
}

/// Keys of calls, two for each control connection at most (kernel `struct nf_ct_gre_keymap`).
#[derive(Clone, Debug, Default)]
pub(crate) struct GreKeys {
    list: Vec<Key>,
}

impl GreKeys {
    /// Adds a direction's keys; `false` when the control connection has others for it already (kernel
    /// `nf_ct_gre_keymap_add`).
    pub(crate) fn add(
        &mut self,
        master: ConnId,
        direction: Direction,
        (source, destination): (IpAddr, IpAddr),
        (source_key, destination_key): (u16, u16),
    ) -> bool {
        let key = Key {
            master,
            direction,
            source,
            destination,
            destination_key,
            source_key,
        };
        match self
            .list
            .iter()
            .find(|k| k.master == master && k.direction == direction)
        {
            // Said again: the source key is not looked at.
            Some(old) => {
                (old.source, old.destination, old.destination_key)
                    == (source, destination, destination_key)
            }
            None => {
                self.list.push(key);
                true
            }
        }
    }

    /// The source key of a packet; 0 when no call has the other (kernel `gre_keymap_lookup`).
    pub(crate) fn source_of(&self, source: IpAddr, destination: IpAddr, key: u16) -> u16 {
        self.list
            .iter()
            .find(|k| {
                k.source == source && k.destination == destination && k.destination_key == key
            })
            .map_or(0, |k| k.source_key)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Key> {
        self.list.iter()
    }

    /// Keeps a key of a snapshot.
    pub(crate) fn keep(&mut self, key: Key, master: ConnId) {
        self.list.push(Key { master, ..key });
    }

    /// Removes a control connection's keys (kernel `nf_ct_gre_keymap_destroy`).
    pub(crate) fn forget(&mut self, master: ConnId) {
        self.list.retain(|k| k.master != master);
    }
}

/// Kernel `nf_conntrack_gre_packet`.
pub(crate) fn update(connection: &mut Connection, config: &Config) -> Update {
    let mut timeout = config.gre_timeout;
    if connection.replied() {
        timeout = config.gre_timeout_stream;
        connection.status.set(Status::ASSURED);
    }
    Update::Valid {
        timeout: Some(timeout),
        ignored: None,
    }
}
