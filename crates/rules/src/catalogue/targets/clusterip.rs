//! `-j CLUSTERIP`.

use super::prelude::*;

/// What decides on the node that answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HashMode {
    /// The source address.
    Source,
    /// And the source port.
    SourcePort,
    /// And the destination port.
    Ports,
}

const MODES: [(&str, HashMode); 3] = [
    ("sourceip", HashMode::Source),
    ("sourceip-sourceport", HashMode::SourcePort),
    ("sourceip-sourceport-destport", HashMode::Ports),
];

/// A cluster that a rule makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Cluster {
    /// `--hashmode`.
    pub mode: HashMode,
    /// `--clustermac`.
    pub mac: [u8; 6],
    /// `--total-nodes`, up to 16.
    pub nodes: u16,
    /// `--local-node`, from 1.
    pub node: u16,
    /// `--hash-init`.
    pub seed: u32,
}

/// `-j CLUSTERIP`: shares an address among the nodes of a cluster; without options as an earlier rule for the
/// same address says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Clusterip(pub Option<Cluster>);

/// Most nodes of a cluster.
const NODES: u64 = 16;

fn nodes(text: &str) -> Value<u16> {
    value::number(text, NODES).map(|n| n as u16)
}

impl Spec for Clusterip {
    const ROW: Extension = Extension::new(
        "CLUSTERIP",
        Families::V4,
        "Shares an address among the nodes of a cluster.",
    )
    .options(&[
        flag("new", "makes the cluster"),
        opt(
            "hashmode",
            "sourceip|sourceip-sourceport|sourceip-sourceport-destport",
            "what decides on the node",
        ),
        opt(
            "clustermac",
            "MAC",
            "the group address that all nodes listen to",
        ),
        opt("total-nodes", "COUNT", "how many nodes there are, up to 16"),
        opt("local-node", "NUMBER", "which one this is, from 1"),
        opt("hash-init", "NUMBER", "where the hash begins"),
    ])
    .hooks(&[Hook::Input])
    .kept("Linux dropped it in version 6.3; the match cluster does the same");

    fn read(l: &Loaded) -> Result<Self, Fault> {
        if l.given.is_empty() {
            return Ok(Clusterip(None));
        }
        let together = "new, --hashmode, --clustermac, --total-nodes, --local-node or --hash-init";
        let mode = l.plain("hashmode", |text| {
            let found = MODES.iter().find(|(name, _)| *name == text);
            found.map(|(_, mode)| *mode).ok_or_else(|| {
                let names = MODES.map(|(name, _)| name);
                Bad::new(format!("'{text}' is none of {}", names.join(", ")))
                    .said(format!("Unknown hashmode \"{text}\""))
            })
        })?;
        let mac = l.plain("clustermac", |text| {
            let mac = value::mac(text)?;
            if mac[0] & 1 == 0 {
                return Err(Bad::new(format!("{text} is the address of one card"))
                    .help("a group address: the first byte is odd")
                    .said("MAC has to be a multicast ethernet address"));
            }
            Ok(mac)
        })?;
        let all = (
            mode,
            mac,
            l.plain("total-nodes", nodes)?,
            l.plain("local-node", nodes)?,
            l.plain("hash-init", read::word)?,
        );
        match all {
            (Some(mode), Some(mac), Some(nodes), Some(node), seed) if l.has("new") => {
                Ok(Clusterip(Some(Cluster {
                    mode,
                    mac,
                    nodes,
                    node,
                    seed: seed.unwrap_or(0),
                })))
            }
            _ => Err(l.missing(together)),
        }
    }

    fn list(&self, out: &mut Out) {
        out.word("CLUSTERIP");
        let Some(cluster) = &self.0 else { return };
        let mode = MODES.iter().find(|(_, m)| *m == cluster.mode);
        let [a, b, c, d, e, f] = cluster.mac;
        out.word(format_args!(
            "hashmode={} clustermac={a:02X}:{b:02X}:{c:02X}:{d:02X}:{e:02X}:{f:02X} total_nodes={} \
             local_node={} hash_init={}",
            mode.map_or("", |(name, _)| *name),
            cluster.nodes,
            cluster.node,
            cluster.seed
        ));
    }

    fn write(&self, out: &mut Out) {
        let Some(cluster) = &self.0 else { return };
        out.flag("new");
        let mode = MODES.iter().find(|(_, m)| *m == cluster.mode);
        out.opt("hashmode", mode.map_or("", |(name, _)| *name));
        let [a, b, c, d, e, f] = cluster.mac;
        out.opt(
            "clustermac",
            format_args!("{a:02X}:{b:02X}:{c:02X}:{d:02X}:{e:02X}:{f:02X}"),
        );
        out.opt("total-nodes", cluster.nodes);
        out.opt("local-node", cluster.node);
        out.opt("hash-init", cluster.seed);
    }
}
