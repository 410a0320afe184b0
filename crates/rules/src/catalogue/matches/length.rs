//! `-m length`.

use super::prelude::*;

/// `-m length`: first and last length of the IP packet, in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Length(pub Not<(u16, u16)>);

impl Spec for Length {
    const ROW: Extension = Extension::new("length", Families::Both, "The length of the packet.")
        .options(&[
            opt("length", "BYTES[:BYTES]", "of the IP packet, or a range")
                .not()
                .required(),
        ])
        .needs(&[Need::Network]);

    fn read(loaded: &Loaded) -> Result<Self, Fault> {
        let range = |t: &str| value::number_range(t, 65_535).map(|(a, b)| (a as u16, b as u16));
        loaded.need_not("length", range).map(Length)
    }

    fn write(&self, out: &mut Out) {
        out.not("length", &self.0, |(a, b)| write::range(a, b));
    }

    fn list(&self, out: &mut Out) {
        let (first, last) = self.0.value;
        let bang = if self.0.negated { "!" } else { "" };
        out.word(format_args!("length {bang}{}", write::range(first, last)));
    }
}
