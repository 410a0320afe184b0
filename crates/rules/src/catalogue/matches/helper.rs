//! `-m helper`.

use super::prelude::*;

/// `-m helper`: name of the helper of the connection that announced this one; empty for any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Helper(pub Not<String>);

impl Spec for Helper {
    const ROW: Extension = Extension::new(
        "helper",
        Families::Both,
        "The helper that announced the connection.",
    )
    .options(&[opt("helper", "NAME", "such as ftp; empty for any")
        .not()
        .required()])
    .needs(&[Need::Connection]);

    fn read(loaded: &Loaded) -> Result<Self, Fault> {
        loaded.need_not("helper", read::cut(29)).map(Helper)
    }

    fn write(&self, out: &mut Out) {
        out.not("helper", &self.0, |name| write::quoted(name));
    }

    fn list(&self, out: &mut Out) {
        let bang = if self.0.negated { "! " } else { "" };
        out.word(format_args!("helper match {bang}\"{}\"", self.0.value));
    }
}
