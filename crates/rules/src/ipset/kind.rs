//! The types of sets.

use palisade_wire::Family;

/// A part of an element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// An address.
    Ip,
    /// A network.
    Net,
    /// A protocol and a port.
    Port,
    /// A port of TCP or UDP, the protocol not kept.
    BarePort,
    /// A hardware address.
    Mac,
    /// A packet mark.
    Mark,
    /// An interface.
    Interface,
    /// The name of a set.
    Set,
}

/// A type of set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // named as their types
pub enum Kind {
    BitmapIp,
    BitmapIpMac,
    BitmapPort,
    HashIp,
    HashMac,
    HashIpMac,
    HashIpMark,
    HashIpPort,
    HashIpPortIp,
    HashIpPortNet,
    HashNet,
    HashNetNet,
    HashNetPort,
    HashNetPortNet,
    HashNetIface,
    ListSet,
}

impl Kind {
    /// All types.
    pub const ALL: [Kind; 16] = [
        Kind::BitmapIp,
        Kind::BitmapIpMac,
        Kind::BitmapPort,
        Kind::HashIp,
        Kind::HashMac,
        Kind::HashIpMac,
        Kind::HashIpMark,
        Kind::HashIpPort,
        Kind::HashIpPortIp,
        Kind::HashIpPortNet,
        Kind::HashNet,
        Kind::HashNetNet,
        Kind::HashNetPort,
        Kind::HashNetPortNet,
        Kind::HashNetIface,
        Kind::ListSet,
    ];

    /// Name, the older name that ipset still reads, and the parts of an element.
    fn row(self) -> (&'static str, &'static str, &'static [Part]) {
        use Part::{BarePort, Interface, Ip, Mac, Mark, Net, Port, Set};
        match self {
            Kind::BitmapIp => ("bitmap:ip", "ipmap", &[Ip]),
            Kind::BitmapIpMac => ("bitmap:ip,mac", "macipmap", &[Ip, Mac]),
            Kind::BitmapPort => ("bitmap:port", "portmap", &[BarePort]),
            Kind::HashIp => ("hash:ip", "iphash", &[Ip]),
            Kind::HashMac => ("hash:mac", "machash", &[Mac]),
            Kind::HashIpMac => ("hash:ip,mac", "ipmachash", &[Ip, Mac]),
            Kind::HashIpMark => ("hash:ip,mark", "ipmarkhash", &[Ip, Mark]),
            Kind::HashIpPort => ("hash:ip,port", "ipporthash", &[Ip, Port]),
            Kind::HashIpPortIp => ("hash:ip,port,ip", "ipportiphash", &[Ip, Port, Ip]),
            Kind::HashIpPortNet => ("hash:ip,port,net", "ipportnethash", &[Ip, Port, Net]),
            Kind::HashNet => ("hash:net", "nethash", &[Net]),
            Kind::HashNetNet => ("hash:net,net", "netnethash", &[Net, Net]),
            Kind::HashNetPort => ("hash:net,port", "netporthash", &[Net, Port]),
            Kind::HashNetPortNet => ("hash:net,port,net", "netportnethash", &[Net, Port, Net]),
            Kind::HashNetIface => ("hash:net,iface", "netifacehash", &[Net, Interface]),
            Kind::ListSet => ("list:set", "setlist", &[Set]),
        }
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        self.row().0
    }

    /// The type of a name, or of the name it had before ipset 5.
    pub fn by_name(name: &str) -> Option<Kind> {
        Kind::ALL
            .into_iter()
            .find(|k| k.row().0 == name || k.row().1 == name)
    }

    /// The parts of an element.
    pub fn parts(self) -> &'static [Part] {
        self.row().2
    }

    /// Flags (`src`, `dst`) that a rule has to give at least.
    pub fn dimension(self) -> usize {
        self.parts().len()
    }

    /// Whether its storage is a bitmap over a range.
    pub fn is_bitmap(self) -> bool {
        matches!(self, Kind::BitmapIp | Kind::BitmapIpMac | Kind::BitmapPort)
    }

    /// Whether its storage is a hash table.
    pub fn is_hash(self) -> bool {
        !self.is_bitmap() && self != Kind::ListSet
    }

    /// Whether sets of the type hold addresses of one family (`None`: neither), and which if only one is possible.
    pub fn families(self) -> &'static [Family] {
        match self {
            Kind::BitmapPort | Kind::HashMac | Kind::ListSet => &[],
            Kind::BitmapIp | Kind::BitmapIpMac => &[Family::V4],
            _ => &[Family::V4, Family::V6],
        }
    }

    /// Whether elements may say `nomatch`.
    pub fn has_nomatch(self) -> bool {
        self.parts().contains(&Part::Net)
    }

    /// Whether networks of prefix length 0 can be stored (kernel `IP_SET_HASH_WITH_NET0`).
    pub fn takes_whole_internet(self) -> bool {
        matches!(self, Kind::HashNetIface | Kind::HashNetPortNet)
    }
}
