//! `-m mark`.

use super::prelude::*;

/// `-m mark`: value and mask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark(pub Not<(u32, u32)>);

impl Spec for Mark {
    const ROW: Extension = Extension::new("mark", Families::Both, "The packet's mark.")
        .options(&[opt(
            "mark",
            "VALUE[/MASK]",
            "the mark, of which only MASK counts",
        )
        .not()
        .required()])
        .needs(&[Need::Mark]);

    fn read(loaded: &Loaded) -> Result<Self, Fault> {
        loaded.need_not("mark", value::mark).map(Mark)
    }

    fn write(&self, out: &mut Out) {
        out.not("mark", &self.0, write::masked);
    }

    fn list(&self, out: &mut Out) {
        let bang = if self.0.negated { "! " } else { "" };
        out.word(format_args!(
            "mark match {bang}{}",
            write::masked(&self.0.value)
        ));
    }
}
