//! `-m owner`.

use super::prelude::*;
use crate::catalogue::words::Words;

/// `-m owner`: who owns the socket that made a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner(pub Words);

impl Spec for Owner {
    const ROW: Extension = Extension::new(
        "owner",
        Families::Both,
        "Who owns the socket that made a packet.",
    )
    .options(&[
        opt("uid-owner", "value", "").not().many(),
        opt("gid-owner", "value", "").not().many(),
        flag("socket-exists", "").not().many(),
        flag("suppl-groups", "").not().many(),
    ])
    .kept("its evaluation is not written yet");

    fn read(loaded: &Loaded) -> Result<Self, Fault> {
        Ok(Owner(Words::of(loaded)))
    }

    fn write(&self, out: &mut Out) {
        self.0.write(out);
    }
}
