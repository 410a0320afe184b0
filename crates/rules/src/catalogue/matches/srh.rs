//! `-m srh`.

use super::prelude::*;
use crate::catalogue::words::Words;

/// `-m srh`: the IPv6 segment routing header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Srh(pub Words);

impl Spec for Srh {
    const ROW: Extension = Extension::new("srh", Families::V6, "The IPv6 segment routing header.")
        .options(&[
            opt("srh-next-hdr", "value", "").not().many(),
            opt("srh-hdr-len-eq", "value", "").not().many(),
            opt("srh-hdr-len-gt", "value", "").not().many(),
            opt("srh-hdr-len-lt", "value", "").not().many(),
            opt("srh-segs-left-eq", "value", "").not().many(),
            opt("srh-segs-left-gt", "value", "").not().many(),
            opt("srh-segs-left-lt", "value", "").not().many(),
            opt("srh-last-entry-eq", "value", "").not().many(),
            opt("srh-last-entry-gt", "value", "").not().many(),
            opt("srh-last-entry-lt", "value", "").not().many(),
            opt("srh-tag", "value", "").not().many(),
            opt("srh-psid", "value", "").not().many(),
            opt("srh-nsid", "value", "").not().many(),
            opt("srh-lsid", "value", "").not().many(),
        ])
        .kept("its evaluation is not written yet");

    fn read(loaded: &Loaded) -> Result<Self, Fault> {
        Ok(Srh(Words::of(loaded)))
    }

    fn write(&self, out: &mut Out) {
        self.0.write(out);
    }
}
