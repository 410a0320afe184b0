//! `-m rpfilter`.

use super::prelude::*;

/// `-m rpfilter`: whether an answer would leave by the interface that the packet came in by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Rpfilter {
    /// `--loose`: by any interface will do.
    pub loose: bool,
    /// `--validmark`: the route is asked for with the packet's mark.
    pub mark: bool,
    /// `--accept-local`: a source of this host's own will do.
    pub accept_local: bool,
    /// `--invert`: fits what fails.
    pub invert: bool,
}

impl Rpfilter {
    fn flags(&self) -> [(&'static str, bool); 4] {
        [
            ("loose", self.loose),
            ("validmark", self.mark),
            ("accept-local", self.accept_local),
            ("invert", self.invert),
        ]
    }
}

impl Spec for Rpfilter {
    const ROW: Extension = Extension::new(
        "rpfilter",
        Families::Both,
        "Whether an answer would leave by the interface that the packet came in by.",
    )
    .options(&[
        flag("loose", "a route by any interface will do"),
        flag("validmark", "the route for the packet's mark"),
        flag("accept-local", "addresses of this host will do as sources"),
        flag("invert", "fits what has no such route"),
    ])
    .tables(&[TableKind::Raw, TableKind::Mangle])
    .hooks(&[Hook::Prerouting])
    .needs(&[Need::Host, Need::Interfaces]);

    fn read(l: &Loaded) -> Result<Self, Fault> {
        Ok(Rpfilter {
            loose: l.has("loose"),
            mark: l.has("validmark"),
            accept_local: l.has("accept-local"),
            invert: l.has("invert"),
        })
    }

    fn list(&self, out: &mut Out) {
        out.word("rpfilter");
        for (name, given) in self.flags() {
            if given {
                out.word(name);
            }
        }
    }

    fn write(&self, out: &mut Out) {
        for (name, given) in self.flags() {
            if given {
                out.flag(name);
            }
        }
    }
}
