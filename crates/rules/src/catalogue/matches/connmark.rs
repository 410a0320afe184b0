//! `-m connmark`.

use super::prelude::*;

/// `-m connmark`: value and mask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connmark(pub Not<(u32, u32)>);

impl Spec for Connmark {
    const ROW: Extension = Extension::new("connmark", Families::Both, "The connection's mark.")
        .options(&[opt(
            "mark",
            "VALUE[/MASK]",
            "the connection's mark, of which only MASK counts",
        )
        .not()
        .required()])
        .needs(&[Need::Connection]);

    fn read(loaded: &Loaded) -> Result<Self, Fault> {
        loaded.need_not("mark", value::mark).map(Connmark)
    }

    fn write(&self, out: &mut Out) {
        out.not("mark", &self.0, write::masked);
    }

    fn list(&self, out: &mut Out) {
        // The real program's blanks.
        let bang = if self.0.negated { "!" } else { "" };
        out.word(format_args!(
            "connmark match {bang} {}",
            write::masked(&self.0.value)
        ));
    }
}
