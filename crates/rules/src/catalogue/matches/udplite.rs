//! `-m udplite`.

use super::prelude::*;
use crate::catalogue::words::Words;

/// `-m udplite`: ports of UDP-Lite.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Udplite(pub Words);

impl Spec for Udplite {
    const ROW: Extension = Extension::new("udplite", Families::Both, "Ports of UDP-Lite.")
        .protocols(&[proto::UDPLITE])
        .options(&[
            opt("sport", "value", "")
                .alias(&["source-port"])
                .not()
                .many(),
            opt("dport", "value", "")
                .alias(&["destination-port"])
                .not()
                .many(),
        ])
        .kept("its evaluation is not written yet");

    fn read(loaded: &Loaded) -> Result<Self, Fault> {
        Ok(Udplite(Words::of(loaded)))
    }

    fn write(&self, out: &mut Out) {
        self.0.write(out);
    }
}
