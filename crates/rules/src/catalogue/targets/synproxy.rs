//! `-j SYNPROXY`.

use super::prelude::*;
use crate::catalogue::words::Words;

/// `-j SYNPROXY`: answers SYNs by itself and opens the connection only to clients that answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Synproxy(pub Words);

impl Spec for Synproxy {
    const ROW: Extension = Extension::new(
        "SYNPROXY",
        Families::Both,
        "Answers SYNs by itself and opens the connection only to clients that answer.",
    )
    .options(&[
        opt("mss", "value", "").not().many(),
        opt("wscale", "value", "").not().many(),
        flag("sack-perm", "").not().many(),
        flag("timestamp", "").not().many(),
        flag("ecn", "").not().many(),
    ])
    .kept("its evaluation is not written yet");

    fn read(loaded: &Loaded) -> Result<Self, Fault> {
        Ok(Synproxy(Words::of(loaded)))
    }

    fn write(&self, out: &mut Out) {
        self.0.write(out);
    }
}
