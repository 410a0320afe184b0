//! `-m cluster`.

use super::prelude::*;

/// `-m cluster`: the node of a cluster that a connection's source belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    /// Nodes of the cluster, 1 to 32.
    pub nodes: u32,
    /// Those meant, a bit each, the first one lowest.
    pub mine: Not<u32>,
    /// What the hash begins with.
    pub seed: u32,
}

impl Spec for Cluster {
    const ROW: Extension = Extension::new(
        "cluster",
        Families::Both,
        "The node of a cluster that a packet's source belongs to.",
    )
    .options(&[
        opt(
            "cluster-total-nodes",
            "NUMBER",
            "nodes of the cluster, 1 to 32",
        )
        .required(),
        opt(
            "cluster-local-node",
            "NUMBER",
            "the node that is meant, from 1",
        )
        .not()
        .excludes(&["cluster-local-nodemask"]),
        opt(
            "cluster-local-nodemask",
            "MASK",
            "the nodes that are meant, a bit each; up to 32",
        )
        .not()
        .excludes(&["cluster-local-node"]),
        opt("cluster-hash-seed", "NUMBER", "the same on all nodes").required(),
    ])
    .needs(&[Need::Connection]);

    fn read(l: &Loaded) -> Result<Self, Fault> {
        let small = |t: &str| match value::number(t, 32) {
            Ok(n @ 1..) => Ok(n as u32),
            _ => Err(Bad::new(format!("'{t}' is not a number from 1 to 32"))),
        };
        let nodes = l.need("cluster-total-nodes", small)?;
        let inside = |mask: u32| {
            if u64::from(mask) >= 1 << nodes {
                return Err(Bad::new(format!("the cluster has {nodes} nodes only")));
            }
            Ok(mask)
        };
        let node = l.not("cluster-local-node", |t| inside(1 << (small(t)? - 1)))?;
        // Greater masks the real program does not take, though it prints them.
        let mask = l.not("cluster-local-nodemask", |t| inside(small(t)?))?;
        let mine = node.or(mask);
        Ok(Cluster {
            nodes,
            mine: l.required(mine, "cluster-local-node")?,
            seed: l.need("cluster-hash-seed", read::word)?,
        })
    }

    fn write(&self, out: &mut Out) {
        out.not("cluster-local-nodemask", &self.mine, |m| {
            format!("{m:#010x}")
        });
        out.opt("cluster-total-nodes", self.nodes);
        out.opt("cluster-hash-seed", format_args!("{:#010x}", self.seed));
    }

    fn list(&self, out: &mut Out) {
        let bang = if self.mine.negated { "!" } else { "" };
        out.word(format_args!(
            "cluster {bang}node_mask={:#010x} total_nodes={} hash_seed={:#010x}",
            self.mine.value, self.nodes, self.seed
        ));
    }
}
