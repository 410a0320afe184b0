//! `-j MARK` and `-j CONNMARK`.

use super::prelude::*;

const VALUE: &str = "VALUE[/MASK]";

/// `-j MARK`: mark = (mark & !mask) ^ value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Mark {
    /// Value.
    pub value: u32,
    /// Mask.
    pub mask: u32,
}

const SETS: [&str; 5] = ["set-xmark", "set-mark", "and-mark", "or-mark", "xor-mark"];

/// The change that --set-mark and its siblings make, as value and mask.
fn change(l: &Loaded) -> Result<Option<(u32, u32)>, Fault> {
    if let Some((value, mask)) = l.plain("set-xmark", value::mark)? {
        return Ok(Some((value, mask)));
    }
    if let Some((value, mask)) = l.plain("set-mark", value::mark)? {
        return Ok(Some((value, mask | value)));
    }
    if let Some(bits) = l.plain("and-mark", read::word)? {
        return Ok(Some((0, !bits)));
    }
    if let Some(bits) = l.plain("or-mark", read::word)? {
        return Ok(Some((bits, bits)));
    }
    if let Some(bits) = l.plain("xor-mark", read::word)? {
        return Ok(Some((bits, 0)));
    }
    Ok(None)
}

const SET_XMARK: Opt = opt(
    "set-xmark",
    VALUE,
    "take the bits of MASK out, turn those of VALUE over",
)
.excludes(&["set-mark", "and-mark", "or-mark", "xor-mark"]);
const SET_MARK: Opt = opt(
    "set-mark",
    VALUE,
    "take the bits of MASK out, put those of VALUE in",
)
.excludes(&["set-xmark", "and-mark", "or-mark", "xor-mark"]);
const AND_MARK: Opt = opt("and-mark", "BITS", "keep these bits only").excludes(&[
    "set-xmark",
    "set-mark",
    "or-mark",
    "xor-mark",
]);
const OR_MARK: Opt = opt("or-mark", "BITS", "put these bits in").excludes(&[
    "set-xmark",
    "set-mark",
    "and-mark",
    "xor-mark",
]);
const XOR_MARK: Opt = opt("xor-mark", "BITS", "turn these bits over").excludes(&[
    "set-xmark",
    "set-mark",
    "and-mark",
    "or-mark",
]);

impl Spec for Mark {
    const ROW: Extension = Extension::new("MARK", Families::Both, "Changes the packet's mark.")
        .options(&[SET_XMARK, SET_MARK, AND_MARK, OR_MARK, XOR_MARK])
        .needs(&[Need::Mark]);

    fn read(loaded: &Loaded) -> Result<Self, Fault> {
        let (value, mask) = loaded.required(change(loaded)?, "set-xmark")?;
        Ok(Mark { value, mask })
    }

    fn write(&self, out: &mut Out) {
        out.opt(
            "set-xmark",
            format_args!("0x{:x}/0x{:x}", self.value, self.mask),
        );
    }

    fn list(&self, out: &mut Out) {
        out.word("MARK");
        list_change(out, self.value, self.mask);
    }
}

/// `-j CONNMARK`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Connmark {
    /// Connection mark = (mark & !mask) ^ value.
    Set {
        /// Value.
        value: u32,
        /// Mask.
        mask: u32,
    },
    /// Connection mark = (ctmark & !ctmask) ^ (nfmark & nfmask).
    Save {
        /// Mask of the packet's mark.
        nfmask: u32,
        /// Mask of the connection's mark.
        ctmask: u32,
    },
    /// Packet mark = (nfmark & !nfmask) ^ (ctmark & ctmask).
    Restore {
        /// Mask of the packet's mark.
        nfmask: u32,
        /// Mask of the connection's mark.
        ctmask: u32,
    },
}

impl Spec for Connmark {
    const ROW: Extension = Extension::new(
        "CONNMARK",
        Families::Both,
        "Changes the connection's mark, or copies it from or to the packet's.",
    )
    .options(&[
        SET_XMARK,
        SET_MARK,
        AND_MARK,
        OR_MARK,
        XOR_MARK,
        flag("save-mark", "copy the packet's mark to the connection").excludes(&[
            "restore-mark",
            "set-xmark",
            "set-mark",
            "and-mark",
            "or-mark",
            "xor-mark",
        ]),
        flag("restore-mark", "copy the connection's mark to the packet").excludes(&[
            "save-mark",
            "set-xmark",
            "set-mark",
            "and-mark",
            "or-mark",
            "xor-mark",
        ]),
        opt("mask", "BITS", "both masks at once").excludes(&["nfmask", "ctmask"]),
        opt("nfmask", "BITS", "bits of the packet's mark").excludes(&["mask"]),
        opt("ctmask", "BITS", "bits of the connection's mark").excludes(&["mask"]),
    ])
    .needs(&[Need::Mark, Need::Connection]);

    fn read(l: &Loaded) -> Result<Self, Fault> {
        if let Some((value, mut mask)) = change(l)? {
            // A mask of its own counts if it stands behind the value.
            let behind = |g: &&read::Given| !SETS.contains(&g.option.name);
            for given in l.given.iter().rev().take_while(behind) {
                if matches!(given.option.name, "mask" | "ctmask") {
                    mask = given.parse(0, read::word)?;
                }
            }
            return Ok(Connmark::Set { value, mask });
        }
        let both = l.plain("mask", read::word)?;
        let nfmask = l.plain("nfmask", read::word)?.or(both).unwrap_or(u32::MAX);
        let ctmask = l.plain("ctmask", read::word)?.or(both).unwrap_or(u32::MAX);
        if l.has("save-mark") {
            Ok(Connmark::Save { nfmask, ctmask })
        } else if l.has("restore-mark") {
            Ok(Connmark::Restore { nfmask, ctmask })
        } else {
            Err(l.missing("set-xmark, --save-mark or --restore-mark"))
        }
    }

    fn write(&self, out: &mut Out) {
        match self {
            Connmark::Set { value, mask } => {
                out.opt("set-xmark", format_args!("0x{value:x}/0x{mask:x}"));
            }
            Connmark::Save { nfmask, ctmask } | Connmark::Restore { nfmask, ctmask } => {
                out.flag(match self {
                    Connmark::Save { .. } => "save-mark",
                    _ => "restore-mark",
                });
                out.opt("nfmask", format_args!("0x{nfmask:x}"));
                out.opt("ctmask", format_args!("0x{ctmask:x}"));
            }
        }
    }

    fn list(&self, out: &mut Out) {
        out.word("CONNMARK");
        let (word, (first, one), (second, other)) = match *self {
            Connmark::Set { value, mask } => return list_change(out, value, mask),
            Connmark::Save { nfmask, ctmask } => ("save", ("nfmask", nfmask), ("ctmask", ctmask)),
            Connmark::Restore { nfmask, ctmask } => {
                ("restore", ("ctmask", ctmask), ("nfmask", nfmask))
            }
        };
        out.word(word);
        match (one, other) {
            (u32::MAX, u32::MAX) => {}
            (one, other) if one == other => out.word(format_args!("mask 0x{one:x}")),
            _ => out.word(format_args!("{first} 0x{one:x} {second} ~0x{other:x}")),
        }
    }
}

/// A change as `iptables -L` tells it: by the plainest word for it.
fn list_change(out: &mut Out, value: u32, mask: u32) {
    let text = match (value, mask) {
        (0, mask) => format!("and 0x{:x}", !mask),
        (value, mask) if value == mask => format!("or 0x{value:x}"),
        (value, 0) => format!("xor 0x{value:x}"),
        (value, u32::MAX) => format!("set 0x{value:x}"),
        (value, mask) => format!("xset 0x{value:x}/0x{mask:x}"),
    };
    out.word(text);
}
