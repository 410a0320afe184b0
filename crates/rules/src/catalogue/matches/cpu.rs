//! `-m cpu`.

use super::prelude::*;

/// `-m cpu`: the processor that handles the packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cpu(pub Not<u32>);

impl Spec for Cpu {
    const ROW: Extension = Extension::new(
        "cpu",
        Families::Both,
        "The processor that handles the packet.",
    )
    .options(&[opt("cpu", "NUMBER", "its number, from 0").not().required()])
    .needs(&[Need::Host]);

    fn read(loaded: &Loaded) -> Result<Self, Fault> {
        loaded.need_not("cpu", read::word).map(Cpu)
    }

    fn write(&self, out: &mut Out) {
        out.not("cpu", &self.0, u32::to_string);
    }

    fn list(&self, out: &mut Out) {
        let bang = if self.0.negated { "! " } else { "" };
        out.word(format_args!("cpu {bang}{}", self.0.value));
    }
}
