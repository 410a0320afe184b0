//! `-m realm`.

use super::prelude::*;

/// `-m realm`: the realms of the route that a packet takes, source in the upper half, and a mask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Realm(pub Not<(u32, u32)>);

/// `/etc/iproute2/rt_realms` as it is installed.
const NAMES: [(&str, u32); 1] = [("cosmos", 0)];

impl Spec for Realm {
    const ROW: Extension = Extension::new("realm", Families::V4, "The routing realm.")
        .options(&[opt("realm", "REALM[/MASK]", "of the packet's route")
            .not()
            .required()])
        .hooks(&[Hook::Input, Hook::Forward, Hook::Output, Hook::Postrouting])
        .needs(&[Need::Host]);

    fn read(l: &Loaded) -> Result<Self, Fault> {
        let realm = |t: &str| value::named_mark(t, &NAMES, "/etc/iproute2/rt_realms");
        l.need_not("realm", realm).map(Realm)
    }

    fn list(&self, out: &mut Out) {
        out.bang(self.0.negated);
        let names: &[_] = if out.numeric { &[] } else { &NAMES };
        out.word(format_args!(
            "realm {}",
            write::named_mark(&self.0.value, names)
        ));
    }

    fn write(&self, out: &mut Out) {
        out.not("realm", &self.0, |realm| write::named_mark(realm, &NAMES));
    }
}
