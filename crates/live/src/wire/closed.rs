//! What keeps the host's own stack from frames of the wire: a table of nf_tables whose chains drop everything that comes in
//! by its interfaces, behind the point where a backend sees it.
//!
//! ```text
//! table netdev palisade-A-B {
//!     chain a { type filter hook ingress device "A" priority -500; policy drop; }
//!     chain b { type filter hook ingress device "B" priority -500; policy drop; }
//! }
//! ```
//!
//! # Life cycle
//! Made before the first frame is taken; removed only when somebody says so. It outlives its process, however that ends: then
//! nobody hands frames on, and the host does not see them either. A new start replaces it.

use std::io;

use super::interface::Interface;
use crate::netlink::{Message, Protocol, Socket, flag};

const SUBSYSTEM: u16 = 10;
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
const NEW_TABLE: u16 = SUBSYSTEM << 8;
const DELETE_TABLE: u16 = SUBSYSTEM << 8 | 2;
const NEW_CHAIN: u16 = SUBSYSTEM << 8 | 3;

/// `NFPROTO_NETDEV`.
const NETDEV: u8 = 5;
/// `NF_NETDEV_INGRESS`.
const INGRESS: u32 = 0;
const PRIORITY: i32 = -500;
/// `NF_DROP`.
const DROP: u32 = 0;

/// Attributes.
mod attribute {
    pub(super) const TABLE_NAME: u16 = 1;
    pub(super) const CHAIN_TABLE: u16 = 1;
    pub(super) const CHAIN_NAME: u16 = 3;
    pub(super) const CHAIN_HOOK: u16 = 4;
    pub(super) const CHAIN_POLICY: u16 = 5;
    pub(super) const CHAIN_KIND: u16 = 7;
    pub(super) const HOOK_NUMBER: u16 = 1;
    pub(super) const HOOK_PRIORITY: u16 = 2;
    pub(super) const HOOK_DEVICE: u16 = 3;
}

/// Makes the table for two interfaces; one that a predecessor left is replaced.
pub(crate) fn close(ends: [&Interface; 2]) -> io::Result<()> {
    let name = name(ends.map(|end| end.name.as_str()));
    let mut orders = Orders::new()?;
    orders.table(NEW_TABLE, flag::CREATE, &name);
    orders.table(DELETE_TABLE, 0, &name);
    orders.table(NEW_TABLE, flag::CREATE, &name);
    for (end, chain) in ends.iter().zip(["a", "b"]) {
        orders
            .begin(NEW_CHAIN, flag::CREATE)
            .text(attribute::CHAIN_TABLE, &name)
            .text(attribute::CHAIN_NAME, chain)
            .nest(attribute::CHAIN_HOOK, |hook| {
                hook.be32(attribute::HOOK_NUMBER, INGRESS)
                    .be32(attribute::HOOK_PRIORITY, PRIORITY as u32)
                    .text(attribute::HOOK_DEVICE, &end.name);
            })
            .be32(attribute::CHAIN_POLICY, DROP)
            .text(attribute::CHAIN_KIND, "filter");
    }
    orders.commit()
}

/// Removes it; that there is none is no error.
pub(crate) fn open(ends: [&str; 2]) -> io::Result<()> {
    let mut orders = Orders::new()?;
    orders.table(DELETE_TABLE, 0, &name(ends));
    match orders.commit() {
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(()),
        done => done,
    }
}

fn name(ends: [&str; 2]) -> String {
    format!("palisade-{}-{}", ends[0], ends[1])
}

/// Orders that are carried out together or not at all.
struct Orders {
    socket: Socket,
    message: Message,
    last: u32,
}

impl Orders {
    fn new() -> io::Result<Self> {
        let mut message = Message::new();
        message
            .begin(BATCH_BEGIN, flag::REQUEST, 0)
            .netfilter(0, SUBSYSTEM);
        Ok(Orders {
            socket: Socket::open(Protocol::Netfilter, 0)?,
            message,
            last: 0,
        })
    }

    fn begin(&mut self, kind: u16, flags: u16) -> &mut Message {
        self.last = self.socket.next_sequence();
        self.message
            .begin(kind, flag::REQUEST | flag::ACK | flags, self.last)
            .netfilter(NETDEV, 0)
    }

    /// Something done with a table by its name.
    fn table(&mut self, kind: u16, flags: u16, name: &str) {
        self.begin(kind, flags).text(attribute::TABLE_NAME, name);
    }

    fn commit(mut self) -> io::Result<()> {
        self.message
            .begin(BATCH_END, flag::REQUEST, 0)
            .netfilter(0, SUBSYSTEM);
        self.socket.order(&self.message, self.last)
    }
}
