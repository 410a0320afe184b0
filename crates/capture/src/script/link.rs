//! How a packet reaches the firewall.

/// Way and link layer of a packet.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Link {
    /// The way.
    pub way: Way,
    /// Source hardware address.
    pub source_mac: Option<[u8; 6]>,
    /// To whom the frame was addressed.
    pub kind: FrameKind,
    /// User and group of the socket that sends it, of a packet of the firewall's own.
    pub owner: (u32, u32),
}

/// Where a packet meets the firewall.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Way {
    /// By its addresses: from a local address it is sent by the firewall itself, else it arrives on
    /// the interface behind which the source lies.
    #[default]
    ByAddress,
    /// `in wan0`: arrives there, whatever the source.
    In(String),
    /// `out wan0`: sent by the firewall itself through there.
    Out(String),
}

/// To whom a frame was addressed, as `-m pkttype` sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum FrameKind {
    /// By the destination address: broadcast, multicast or the firewall.
    #[default]
    ByAddress,
    /// The firewall.
    Host,
    /// Everybody.
    Broadcast,
    /// A group.
    Multicast,
}
