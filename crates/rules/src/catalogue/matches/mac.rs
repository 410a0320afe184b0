//! `-m mac`.

use super::prelude::*;

/// `-m mac`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mac(pub Not<[u8; 6]>);

impl Spec for Mac {
    const ROW: Extension = Extension::new("mac", Families::Both, "The Ethernet source.")
        .options(&[
            opt("mac-source", "XX:XX:XX:XX:XX:XX", "the sender's address")
                .not()
                .required(),
        ])
        .hooks(&[Hook::Prerouting, Hook::Input, Hook::Forward])
        .needs(&[Need::Link]);

    fn read(loaded: &Loaded) -> Result<Self, Fault> {
        loaded.need_not("mac-source", value::mac).map(Mac)
    }

    fn write(&self, out: &mut Out) {
        out.not("mac-source", &self.0, address);
    }

    fn list(&self, out: &mut Out) {
        let bang = if self.0.negated { "! " } else { "" };
        out.word(format_args!("MAC {bang}{}", address(&self.0.value)));
    }
}

fn address([a, b, c, d, e, f]: &[u8; 6]) -> String {
    format!("{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}")
}
