//! `-j CLUSTERIP`.

use super::prelude::*;
use crate::catalogue::words::Words;

/// `-j CLUSTERIP`: shares an address among the nodes of a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clusterip(pub Words);

impl Spec for Clusterip {
    const ROW: Extension = Extension::new(
        "CLUSTERIP",
        Families::V4,
        "Shares an address among the nodes of a cluster.",
    )
    .options(&[
        flag("new", "").not().many(),
        opt("hashmode", "value", "").not().many(),
        opt("clustermac", "value", "").not().many(),
        opt("total-nodes", "value", "").not().many(),
        opt("local-node", "value", "").not().many(),
        opt("hash-init", "value", "").not().many(),
    ])
    .kept("its evaluation is not written yet");

    fn read(loaded: &Loaded) -> Result<Self, Fault> {
        Ok(Clusterip(Words::of(loaded)))
    }

    fn write(&self, out: &mut Out) {
        self.0.write(out);
    }
}
