//! `-m connbytes`.

use super::prelude::*;

/// `-m connbytes`: how much a connection has carried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connbytes {
    /// From first to last.
    pub range: Not<(u64, u64)>,
    /// What is counted.
    pub what: Counted,
    /// Whose packets.
    pub whose: Whose,
}

/// What a [`Connbytes`] counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Counted {
    /// Packets.
    Packets,
    /// Bytes.
    Bytes,
    /// Bytes of a packet on the average.
    Average,
}

/// Whose packets a [`Connbytes`] counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Whose {
    /// The opener's.
    Original,
    /// The answers.
    Reply,
    /// Both.
    Both,
}

const COUNTED: [(&str, Counted); 3] = [
    ("packets", Counted::Packets),
    ("bytes", Counted::Bytes),
    ("avgpkt", Counted::Average),
];

const WHOSE: [(&str, Whose); 3] = [
    ("original", Whose::Original),
    ("reply", Whose::Reply),
    ("both", Whose::Both),
];

fn one_of<T: Copy>(names: &[(&str, T)], what: &str) -> impl Fn(&str) -> Value<T> {
    move |t| {
        names
            .iter()
            .find(|(n, _)| *n == t)
            .map(|(_, v)| *v)
            .ok_or_else(|| {
                let known: Vec<&str> = names.iter().map(|(n, _)| *n).collect();
                Bad::new(format!("'{t}' is no {what}"))
                    .help(known.join(", "))
                    .said(format!("Unknown --{{option}} `{t}'"))
            })
    }
}

impl Connbytes {
    fn parts(&self, out: &mut Out, dashes: &str) {
        let (first, last) = self.range.value;
        out.bang(self.range.negated);
        let last = match last {
            0 | u64::MAX => String::new(),
            last => format!(":{last}"),
        };
        out.word(format_args!("{dashes}connbytes {first}{last}"));
    }

    fn names(&self) -> (&'static str, &'static str) {
        let what = COUNTED.iter().find(|(_, w)| *w == self.what);
        let whose = WHOSE.iter().find(|(_, w)| *w == self.whose);
        (what.map_or("", |(n, _)| n), whose.map_or("", |(n, _)| n))
    }
}

impl Spec for Connbytes {
    const ROW: Extension = Extension::new(
        "connbytes",
        Families::Both,
        "How much a connection has carried.",
    )
    .options(&[
        opt("connbytes", "FROM[:TO]", "so much; without TO, or more")
            .not()
            .required(),
        opt(
            "connbytes-dir",
            "DIRECTION",
            "whose: original, reply or both",
        )
        .required(),
        opt(
            "connbytes-mode",
            "WHAT",
            "of what: packets, bytes or avgpkt (bytes of a packet)",
        )
        .required(),
    ])
    .needs(&[Need::Connection]);

    fn read(l: &Loaded) -> Result<Self, Fault> {
        let mut range = l.need_not("connbytes", |t| match t.contains(':') {
            true => match value::number_range(t, u64::MAX)? {
                (first, last) if first > last => {
                    Err(Bad::new(format!("the range {first}:{last} is backwards"))
                        .help(format!("{last}:{first}"))
                        .said(format!("{first} should be less than {last}")))
                }
                range => Ok(range),
            },
            false => Ok((value::number(t, u64::MAX)?, u64::MAX)),
        })?;
        // The kernel is told of negation by a range that is the wrong way round.
        range.negated &= range.value.0 != range.value.1;
        Ok(Connbytes {
            range,
            what: l.need("connbytes-mode", one_of(&COUNTED, "mode of connbytes"))?,
            whose: l.need("connbytes-dir", one_of(&WHOSE, "direction of connbytes"))?,
        })
    }

    fn write(&self, out: &mut Out) {
        self.parts(out, "--");
        let (what, whose) = self.names();
        out.opt("connbytes-mode", what);
        out.opt("connbytes-dir", whose);
    }

    fn list(&self, out: &mut Out) {
        self.parts(out, "");
        let (what, whose) = self.names();
        out.word(format_args!(
            "connbytes mode {what} connbytes direction {whose}"
        ));
    }
}
