//! `-m srh`.

use super::numbers::bang;
use super::prelude::*;

/// `-m srh`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Srh {
    /// `--srh-next-hdr`.
    pub next: Option<Not<u8>>,
    /// `--srh-hdr-len-…`: the length field.
    pub length: Compared,
    /// `--srh-segs-left-…`.
    pub left: Compared,
    /// `--srh-last-entry-…`.
    pub last: Compared,
    /// `--srh-tag`. The kernel compares it in the machine's byte order with bytes of the network's.
    pub tag: Option<Not<u16>>,
    /// `--srh-psid`: the segment before.
    pub previous_segment: Option<Not<Net>>,
    /// `--srh-nsid`: the segment that is next.
    pub next_segment: Option<Not<Net>>,
    /// `--srh-lsid`: the last segment.
    pub last_segment: Option<Not<Net>>,
}

/// Comparisons of one field. They share one number, that of the option that stands last.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Compared {
    /// The number of all three.
    pub number: u8,
    /// Equal; negated: not equal.
    pub equal: Option<Not<()>>,
    /// Greater; negated: not greater.
    pub greater: Option<Not<()>>,
    /// Less; negated: not less.
    pub less: Option<Not<()>>,
}

const LENGTH: [&str; 3] = ["srh-hdr-len-eq", "srh-hdr-len-gt", "srh-hdr-len-lt"];
const LEFT: [&str; 3] = ["srh-segs-left-eq", "srh-segs-left-gt", "srh-segs-left-lt"];
const LAST: [&str; 3] = [
    "srh-last-entry-eq",
    "srh-last-entry-gt",
    "srh-last-entry-lt",
];

impl Compared {
    fn read(loaded: &Loaded, names: [&str; 3]) -> Result<Self, Fault> {
        let mut number = 0;
        for given in &loaded.given {
            if names.contains(&given.option.name) {
                number = given.parse(0, read::byte)?;
            }
        }
        let [equal, greater, less] = names.map(|name| loaded.flag(name));
        Ok(Compared {
            number,
            equal,
            greater,
            less,
        })
    }

    /// Whether a field passes all three.
    pub fn fits(&self, field: u8) -> bool {
        let fits = |not: &Option<Not<()>>, plain: bool| not.as_ref().is_none_or(|n| n.apply(plain));
        fits(&self.equal, field == self.number)
            && fits(&self.greater, field > self.number)
            && fits(&self.less, field < self.number)
    }

    fn each(&self, names: [&'static str; 3]) -> impl Iterator<Item = (&'static str, bool, u8)> {
        let tests = [&self.equal, &self.greater, &self.less].map(|t| t.as_ref().map(|n| n.negated));
        let number = self.number;
        names
            .into_iter()
            .zip(tests)
            .filter_map(move |(name, negated)| negated.map(|n| (name, n, number)))
    }
}

impl Srh {
    fn segments(&self) -> [(&'static str, &Option<Not<Net>>); 3] {
        [
            ("srh-psid", &self.previous_segment),
            ("srh-nsid", &self.next_segment),
            ("srh-lsid", &self.last_segment),
        ]
    }

    fn compared(&self) -> impl Iterator<Item = (&'static str, bool, u8)> {
        self.length
            .each(LENGTH)
            .chain(self.left.each(LEFT))
            .chain(self.last.each(LAST))
    }
}

/// With its length, whatever it is.
fn segment(net: &Net) -> String {
    format!(
        "{}/{}",
        write::address(net.address),
        write::prefix_length(net.mask).unwrap_or(128)
    )
}

impl Spec for Srh {
    const ROW: Extension =
        Extension::new("srh", Families::V6, "The segment routing header of IPv6.")
            .options(&[
                opt("srh-next-hdr", "NUMBER", "the next header").not(),
                opt(LENGTH[0], "NUMBER", "the length field is equal").not(),
                opt(LENGTH[1], "NUMBER", "the length field is greater").not(),
                opt(LENGTH[2], "NUMBER", "the length field is less").not(),
                opt(LEFT[0], "NUMBER", "segments left are equal").not(),
                opt(LEFT[1], "NUMBER", "segments left are more").not(),
                opt(LEFT[2], "NUMBER", "segments left are fewer").not(),
                opt(LAST[0], "NUMBER", "the last entry is equal").not(),
                opt(LAST[1], "NUMBER", "the last entry is greater").not(),
                opt(LAST[2], "NUMBER", "the last entry is less").not(),
                opt(
                    "srh-tag",
                    "NUMBER",
                    "the tag, its bytes as this machine has them",
                )
                .not(),
                opt("srh-psid", "ADDRESS[/MASK]", "the segment before").not(),
                opt("srh-nsid", "ADDRESS[/MASK]", "the segment that is next").not(),
                opt("srh-lsid", "ADDRESS[/MASK]", "the last segment").not(),
            ])
            .needs(&[Need::Network]);

    fn read(loaded: &Loaded) -> Result<Self, Fault> {
        let segment = |name: &str| loaded.not(name, |t| value::host_mask(t, loaded.family));
        Ok(Srh {
            next: loaded.not("srh-next-hdr", read::byte)?,
            length: Compared::read(loaded, LENGTH)?,
            left: Compared::read(loaded, LEFT)?,
            last: Compared::read(loaded, LAST)?,
            tag: loaded.not("srh-tag", read::short)?,
            previous_segment: segment("srh-psid")?,
            next_segment: segment("srh-nsid")?,
            last_segment: segment("srh-lsid")?,
        })
    }

    fn write(&self, out: &mut Out) {
        out.maybe("srh-next-hdr", &self.next, u8::to_string);
        for (name, negated, number) in self.compared() {
            out.bang(negated);
            out.opt(name, number);
        }
        out.maybe("srh-tag", &self.tag, u16::to_string);
        for (name, not) in self.segments() {
            out.maybe(name, not, segment);
        }
    }

    fn list(&self, out: &mut Out) {
        let short = |name: &'static str| name.strip_prefix("srh-").unwrap_or(name);
        out.word("srh");
        if let Some(not) = &self.next {
            out.word(format_args!("next-hdr:{}{}", bang(not.negated), not.value));
        }
        for (name, negated, number) in self.compared() {
            out.word(format_args!("{}:{}{number}", short(name), bang(negated)));
        }
        if let Some(not) = &self.tag {
            out.word(format_args!("tag:{}{}", bang(not.negated), not.value));
        }
        for (name, not) in self.segments() {
            if let Some(not) = not {
                let text = segment(&not.value);
                out.word(format_args!("{} {} {text}", short(name), bang(not.negated)));
            }
        }
    }
}
