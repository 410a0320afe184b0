//! `-m physdev`.

use super::prelude::*;

/// `-m physdev`: the ports of a bridge that a packet comes in by and leaves by.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Physdev {
    /// `--physdev-is-in`: it came in by a port of a bridge.
    pub is_in: Option<Not<()>>,
    /// `--physdev-in`: by this one.
    pub in_port: Option<Not<InterfacePattern>>,
    /// `--physdev-is-out`: it leaves by a port of a bridge.
    pub is_out: Option<Not<()>>,
    /// `--physdev-out`: by this one.
    pub out_port: Option<Not<InterfacePattern>>,
    /// `--physdev-is-bridged`: it goes from port to port and is not routed.
    pub is_bridged: Option<Not<()>>,
}

impl Spec for Physdev {
    const ROW: Extension = Extension::new(
        "physdev",
        Families::Both,
        "Ports of a bridge that a packet passes.",
    )
    .options(&[
        opt("physdev-in", "NAME[+]", "came in by this port").not(),
        opt("physdev-out", "NAME[+]", "leaves by this port").not(),
        flag("physdev-is-in", "came in by a port of a bridge").not(),
        flag("physdev-is-out", "leaves by a port of a bridge").not(),
        flag("physdev-is-bridged", "goes from port to port, unrouted").not(),
    ])
    .needs(&[Need::Link]);

    fn read(l: &Loaded) -> Result<Self, Fault> {
        if l.given.is_empty() {
            let bad = Bad::new("'physdev' needs one of its options")
                .help("--physdev-in NAME, --physdev-is-bridged, ...")
                .said("PHYSDEV: no physdev option specified")
                .missing();
            return Err(l.fault(bad));
        }
        Ok(Physdev {
            is_in: l.flag("physdev-is-in"),
            in_port: l.not("physdev-in", value::interface)?,
            is_out: l.flag("physdev-is-out"),
            out_port: l.not("physdev-out", value::interface)?,
            is_bridged: l.flag("physdev-is-bridged"),
        })
    }

    fn list(&self, out: &mut Out) {
        out.word("PHYSDEV match");
        self.write(out);
    }

    fn write(&self, out: &mut Out) {
        let flag = |out: &mut Out, name, not: &Option<Not<()>>| {
            if let Some(not) = not {
                out.bang(not.negated);
                out.flag(name);
            }
        };
        flag(out, "physdev-is-in", &self.is_in);
        out.maybe("physdev-in", &self.in_port, write::interface);
        flag(out, "physdev-is-out", &self.is_out);
        out.maybe("physdev-out", &self.out_port, write::interface);
        flag(out, "physdev-is-bridged", &self.is_bridged);
    }

    /// Kernel `physdev_mt_check`: where a packet of this host will leave the bridge is not known in OUTPUT.
    fn hooks(&self) -> &'static [Hook] {
        let bridged = self.is_bridged.as_ref().is_some_and(|not| !not.negated);
        if !bridged && (self.out_port.is_some() || self.is_out.is_some()) {
            &[
                Hook::Prerouting,
                Hook::Input,
                Hook::Forward,
                Hook::Postrouting,
            ]
        } else {
            &[]
        }
    }
}
