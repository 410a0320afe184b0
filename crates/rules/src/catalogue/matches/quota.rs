//! `-m quota`.

use super::prelude::*;

/// `-m quota`: matches until so many bytes have matched. What is left is never printed: save and list show
/// the number that the rule was made with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quota(pub Not<u64>);

impl Spec for Quota {
    const ROW: Extension = Extension::new(
        "quota",
        Families::Both,
        "Matches until a number of bytes is used up.",
    )
    .options(&[opt("quota", "BYTES", "so many").not().required()])
    .needs(&[Need::Memory]);

    fn read(loaded: &Loaded) -> Result<Self, Fault> {
        loaded
            .need_not("quota", |t| value::number(t, u64::MAX))
            .map(Quota)
    }

    fn write(&self, out: &mut Out) {
        out.not("quota", &self.0, u64::to_string);
    }

    fn list(&self, out: &mut Out) {
        out.word(format_args!("quota: {} bytes", self.0.value));
    }
}
