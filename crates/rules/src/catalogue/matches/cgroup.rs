//! `-m cgroup`.

use super::prelude::*;

/// `-m cgroup`: the control group of the socket that sends or receives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cgroup {
    /// `--path`: it, or one below it.
    Path(Not<String>),
    /// `--cgroup`: its class for traffic (`net_cls.classid`).
    Class(Not<u32>),
}

impl Spec for Cgroup {
    const ROW: Extension = Extension::new(
        "cgroup",
        Families::Both,
        "The control group of the socket that sends or receives.",
    )
    .options(&[
        opt("path", "PATH", "this group or one below it").not(),
        opt("cgroup", "CLASS", "a group with this net_cls class")
            .not()
            .excludes(&["path"]),
    ])
    .hooks(&[Hook::Input, Hook::Output, Hook::Postrouting])
    .needs(&[Need::Sockets]);

    fn read(l: &Loaded) -> Result<Self, Fault> {
        if let Some(path) = l.not("path", read::cut(511))? {
            return Ok(Cgroup::Path(path));
        }
        l.need_not("cgroup", read::word).map(Cgroup::Class)
    }

    fn list(&self, out: &mut Out) {
        out.word("cgroup");
        match self {
            Cgroup::Path(path) => {
                out.bang(path.negated);
                out.word(&path.value);
            }
            Cgroup::Class(class) => {
                out.bang(class.negated);
                out.word(class.value);
            }
        }
    }

    fn write(&self, out: &mut Out) {
        match self {
            Cgroup::Path(path) => out.not("path", path, |p| write::quoted(p)),
            Cgroup::Class(class) => out.not("cgroup", class, u32::to_string),
        }
    }
}
