//! `-m realm`.

use super::prelude::*;
use crate::catalogue::words::Words;

/// `-m realm`: the routing realm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Realm(pub Words);

impl Spec for Realm {
    const ROW: Extension = Extension::new("realm", Families::V4, "The routing realm.")
        .options(&[opt("realm", "value", "").not().many()])
        .kept("its evaluation is not written yet");

    fn read(loaded: &Loaded) -> Result<Self, Fault> {
        Ok(Realm(Words::of(loaded)))
    }

    fn write(&self, out: &mut Out) {
        self.0.write(out);
    }
}
