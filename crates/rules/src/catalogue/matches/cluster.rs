//! `-m cluster`.

use super::prelude::*;
use crate::catalogue::words::Words;

/// `-m cluster`: the node of a cluster that a packet's source belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster(pub Words);

impl Spec for Cluster {
    const ROW: Extension = Extension::new(
        "cluster",
        Families::Both,
        "The node of a cluster that a packet's source belongs to.",
    )
    .options(&[
        opt("cluster-total-nodes", "value", "").not().many(),
        opt("cluster-local-node", "value", "").not().many(),
        opt("cluster-local-nodemask", "value", "").not().many(),
        opt("cluster-hash-seed", "value", "").not().many(),
    ])
    .kept("its evaluation is not written yet");

    fn read(loaded: &Loaded) -> Result<Self, Fault> {
        Ok(Cluster(Words::of(loaded)))
    }

    fn write(&self, out: &mut Out) {
        self.0.write(out);
    }
}
