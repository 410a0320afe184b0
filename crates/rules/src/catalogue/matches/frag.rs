//! `-m frag`.

use super::numbers::{self, Range, bang};
use super::prelude::*;

/// `-m frag`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frag {
    /// `--fragid`.
    pub id: Not<Range>,
    /// `--fraglen`, which the kernel takes and never looks at.
    pub length: Option<Not<u32>>,
    /// `--fragres`: the reserved bits are zero.
    pub reserved: bool,
    /// `--fragfirst`.
    pub first: bool,
    /// `--fragmore`.
    pub more: bool,
    /// `--fraglast`.
    pub last: bool,
}

impl Spec for Frag {
    const ROW: Extension = Extension::new("frag", Families::V6, "The fragment header of IPv6.")
        .options(&[
            opt(
                "fragid",
                "ID[:ID]",
                "the identification, or those of a range",
            )
            .not(),
            opt("fraglen", "BYTES", "has no effect").not(),
            flag("fragres", "the reserved bits are zero"),
            flag("fragfirst", "the first fragment, at offset 0"),
            flag("fragmore", "more fragments follow").excludes(&["fraglast"]),
            flag("fraglast", "no more fragments follow").excludes(&["fragmore"]),
        ])
        .needs(&[Need::Network]);

    fn read(loaded: &Loaded) -> Result<Self, Fault> {
        let id = loaded.not("fragid", numbers::range)?;
        Ok(Frag {
            id: id.unwrap_or_else(Range::any),
            length: loaded.not("fraglen", read::word)?,
            reserved: loaded.has("fragres"),
            first: loaded.has("fragfirst"),
            more: loaded.has("fragmore"),
            last: loaded.has("fraglast"),
        })
    }

    fn write(&self, out: &mut Out) {
        numbers::save(out, "fragid", &self.id);
        out.maybe("fraglen", &self.length, u32::to_string);
        for (set, name) in [
            (self.reserved, "fragres"),
            (self.first, "fragfirst"),
            (self.more, "fragmore"),
            (self.last, "fraglast"),
        ] {
            if set {
                out.flag(name);
            }
        }
    }

    fn list(&self, out: &mut Out) {
        out.word("frag ");
        out.text
            .push_str(&numbers::listed("id", &self.id).unwrap_or_default());
        if let Some(length) = &self.length {
            out.word(format_args!(
                "length:{}{}",
                bang(length.negated),
                length.value
            ));
        }
        for (set, name) in [
            (self.reserved, "reserved"),
            (self.first, "first"),
            (self.more, "more"),
            (self.last, "last"),
        ] {
            if set {
                out.word(name);
            }
        }
    }
}
