//! `-m string`.

use super::prelude::*;
use crate::catalogue::words::Words;

/// `-m string`: a text somewhere in the packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StringMatch(pub Words);

impl Spec for StringMatch {
    const ROW: Extension =
        Extension::new("string", Families::Both, "A text somewhere in the packet.")
            .options(&[
                opt("algo", "value", "").not().many(),
                opt("from", "value", "").not().many(),
                opt("to", "value", "").not().many(),
                flag("icase", "").not().many(),
                opt("string", "value", "").not().many(),
                opt("hex-string", "value", "").not().many(),
            ])
            .kept("its evaluation is not written yet");

    fn read(loaded: &Loaded) -> Result<Self, Fault> {
        Ok(StringMatch(Words::of(loaded)))
    }

    fn write(&self, out: &mut Out) {
        self.0.write(out);
    }
}
