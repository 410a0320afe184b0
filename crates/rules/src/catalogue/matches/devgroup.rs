//! `-m devgroup`.

use super::prelude::*;

/// `-m devgroup`: the groups of the interfaces (`ip link set dev NAME group NUMBER`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Devgroup {
    /// `--src-group`: of the interface that the packet came in by, and mask.
    pub source: Option<Not<(u32, u32)>>,
    /// `--dst-group`: of the interface that it leaves by, and mask.
    pub destination: Option<Not<(u32, u32)>>,
}

/// `/etc/iproute2/group` as it is installed.
const NAMES: [(&str, u32); 1] = [("default", 0)];

impl Spec for Devgroup {
    const ROW: Extension = Extension::new("devgroup", Families::Both, "The group of an interface.")
        .options(&[
            opt(
                "src-group",
                "GROUP[/MASK]",
                "of the interface it came in by",
            )
            .not(),
            opt("dst-group", "GROUP[/MASK]", "of the interface it leaves by").not(),
        ])
        .needs(&[Need::Host, Need::Interfaces]);

    fn read(l: &Loaded) -> Result<Self, Fault> {
        let group = |t: &str| value::named_mark(t, &NAMES, "/etc/iproute2/group");
        let (source, destination) = (l.not("src-group", group)?, l.not("dst-group", group)?);
        if source.is_none() && destination.is_none() {
            let bad = Bad::new("'devgroup' needs --src-group or --dst-group")
                .said("devgroup match: You must specify either '--src-group' or '--dst-group'")
                .missing();
            return Err(l.fault(bad));
        }
        Ok(Devgroup {
            source,
            destination,
        })
    }

    fn list(&self, out: &mut Out) {
        for (name, group) in [
            ("src-group", &self.source),
            ("dst-group", &self.destination),
        ] {
            if let Some(group) = group {
                out.bang(group.negated);
                let names: &[_] = if out.numeric { &[] } else { &NAMES };
                out.word(format_args!(
                    "{name} {}",
                    write::named_mark(&group.value, names)
                ));
            }
        }
    }

    fn write(&self, out: &mut Out) {
        let show = |group: &(u32, u32)| write::named_mark(group, &NAMES);
        out.maybe("src-group", &self.source, show);
        out.maybe("dst-group", &self.destination, show);
    }

    /// Kernel `devgroup_mt_checkentry`.
    fn hooks(&self) -> &'static [Hook] {
        match (&self.source, &self.destination) {
            (Some(_), Some(_)) => &[Hook::Forward],
            (Some(_), None) => &[Hook::Prerouting, Hook::Input, Hook::Forward],
            _ => &[Hook::Forward, Hook::Output, Hook::Postrouting],
        }
    }
}
