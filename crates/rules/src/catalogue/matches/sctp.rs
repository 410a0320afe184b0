//! `-m sctp`.

use super::prelude::*;
use crate::catalogue::words::Words;

/// `-m sctp`: ports and chunks of SCTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sctp(pub Words);

impl Spec for Sctp {
    const ROW: Extension = Extension::new("sctp", Families::Both, "Ports and chunks of SCTP.")
        .protocols(&[proto::SCTP])
        .options(&[
            opt("sport", "value", "")
                .alias(&["source-port"])
                .not()
                .many(),
            opt("dport", "value", "")
                .alias(&["destination-port"])
                .not()
                .many(),
            opt("chunk-types", "value", "").two().not().many(),
        ])
        .kept("its evaluation is not written yet");

    fn read(loaded: &Loaded) -> Result<Self, Fault> {
        Ok(Sctp(Words::of(loaded)))
    }

    fn write(&self, out: &mut Out) {
        self.0.write(out);
    }
}
