//! `-m comment`.

use super::prelude::*;

/// `-m comment`: always matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comment(pub String);

impl Spec for Comment {
    const ROW: Extension = Extension::new("comment", Families::Both, "A remark on the rule.")
        .options(&[opt("comment", "TEXT", "at most 255 bytes").required()]);

    fn read(loaded: &Loaded) -> Result<Self, Fault> {
        loaded.need("comment", read::cut(255)).map(Comment)
    }

    fn write(&self, out: &mut Out) {
        out.opt("comment", write::quoted(&self.0));
    }

    fn list(&self, out: &mut Out) {
        out.word(format_args!("/* {} */", self.0));
    }
}
