//! `-m socket`.

use super::prelude::*;
use crate::catalogue::words::Words;

/// `-m socket`: whether there is a socket for the packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Socket(pub Words);

impl Spec for Socket {
    const ROW: Extension = Extension::new(
        "socket",
        Families::Both,
        "Whether there is a socket for the packet.",
    )
    .options(&[
        flag("transparent", "").not().many(),
        flag("nowildcard", "").not().many(),
        flag("restore-skmark", "").not().many(),
    ])
    .kept("its evaluation is not written yet");

    fn read(loaded: &Loaded) -> Result<Self, Fault> {
        Ok(Socket(Words::of(loaded)))
    }

    fn write(&self, out: &mut Out) {
        self.0.write(out);
    }
}
