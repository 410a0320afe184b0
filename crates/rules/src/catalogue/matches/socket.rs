//! `-m socket`.

use super::prelude::*;

/// `-m socket`: whether this host has a socket that the packet would be for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Socket {
    /// `--transparent`: only one that may be bound to addresses of others.
    pub transparent: bool,
    /// `--nowildcard`: one that listens on all addresses will do as well.
    pub wildcard: bool,
    /// `--restore-skmark`: the packet gets its mark.
    pub restore_mark: bool,
}

impl Spec for Socket {
    const ROW: Extension = Extension::new(
        "socket",
        Families::Both,
        "Whether there is a socket for the packet.",
    )
    .options(&[
        flag("transparent", "only transparent sockets"),
        flag("nowildcard", "those that listen on all addresses, too"),
        flag("restore-skmark", "the packet's mark becomes the socket's"),
    ])
    .hooks(&[Hook::Prerouting, Hook::Input])
    .needs(&[Need::Sockets, Need::Transport]);

    fn read(l: &Loaded) -> Result<Self, Fault> {
        Ok(Socket {
            transparent: l.has("transparent"),
            wildcard: l.has("nowildcard"),
            restore_mark: l.has("restore-skmark"),
        })
    }

    fn list(&self, out: &mut Out) {
        out.word("socket");
        self.write(out);
    }

    fn write(&self, out: &mut Out) {
        for (name, given) in [
            ("transparent", self.transparent),
            ("nowildcard", self.wildcard),
            ("restore-skmark", self.restore_mark),
        ] {
            if given {
                out.flag(name);
            }
        }
    }
}
