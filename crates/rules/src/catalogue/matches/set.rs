//! `-m set`.

use super::prelude::*;

/// A set, and which ends of the packet are the parts of an element.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SetRef {
    /// Name.
    pub name: String,
    /// For each part: whether it is `src` (kernel `IPSET_DIM_…_SRC`).
    pub sources: Vec<bool>,
}

impl SetRef {
    /// From the two words of an option.
    pub(crate) fn read(l: &Loaded, given: &read::Given) -> Result<Self, Fault> {
        let name = given.parse(0, |t| {
            if t.len() > 31 {
                return Err(Bad::new(format!("the set name '{t}' is too long"))
                    .help("at most 31 characters")
                    .said(format!("setname `{t}' too long, max 31 characters.")));
            }
            if l.sets.as_ref().is_some_and(|s| !s.iter().any(|s| s == t)) {
                let bad = Bad::new(format!("set {t} does not exist")).code("no-set");
                return Err(bad.said(match given.word.text.as_str() {
                    // Said first, and no fault by itself.
                    "--set" => "--set option deprecated, please use --match-set".to_string(),
                    _ => format!("Set {t} doesn't exist."),
                }));
            }
            Ok(t.to_string())
        })?;
        let sources = given.parse(1, |t| {
            // What follows the three letters is not looked at.
            let flag = |flag: &str| match flag.get(..3) {
                Some("src") => Some(true),
                Some("dst") => Some(false),
                _ => None,
            };
            let help = "src or dst for each part, such as src,dst";
            let flags: Option<Vec<bool>> = t.split(',').take(6).map(flag).collect();
            let Some(flags) = flags else {
                return Err(Bad::new(format!("'{t}' is no list of src and dst"))
                    .help(help)
                    .said("You must spefify (the comma separated list of) 'src' or 'dst'."));
            };
            if t.split(',').nth(6).is_some() {
                return Err(Bad::new("a set has at most six parts")
                    .help(help)
                    .said("Can't be more src/dst options than 6."));
            }
            Ok(flags)
        })?;
        Ok(SetRef { name, sources })
    }

    /// As iptables-save prints it.
    pub(crate) fn write(&self, option: &str, out: &mut Out) {
        let flags: Vec<&str> = self
            .sources
            .iter()
            .map(|source| if *source { "src" } else { "dst" })
            .collect();
        let name = write::as_word(&self.name);
        out.opt(option, format_args!("{name} {}", flags.join(",")));
    }
}

/// How a counter has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Op {
    /// Equal.
    Equal,
    /// Different.
    Differs,
    /// Less.
    Less,
    /// Greater.
    Greater,
}

/// What a counter of the element is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Count {
    /// How.
    pub op: Op,
    /// With what.
    pub value: u64,
}

impl Count {
    /// Whether a counter is so.
    pub fn fits(self, counter: u64) -> bool {
        match self.op {
            Op::Equal => counter == self.value,
            Op::Differs => counter != self.value,
            Op::Less => counter < self.value,
            Op::Greater => counter > self.value,
        }
    }
}

/// `-m set`: whether addresses or ports are in a set (ipset).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Set {
    /// The set.
    pub set: Not<SetRef>,
    /// `--return-nomatch`: elements that say `nomatch` are what is looked for.
    pub return_nomatch: bool,
    /// `! --update-counters`: the element does not count the packet.
    pub keep_counters: bool,
    /// `! --update-subcounters`: elements of the sets of a list do not count it.
    pub keep_subcounters: bool,
    /// `--packets-…`.
    pub packets: Option<Count>,
    /// `--bytes-…`.
    pub bytes: Option<Count>,
}

const COUNTS: [(&str, Op); 3] = [("eq", Op::Equal), ("lt", Op::Less), ("gt", Op::Greater)];

/// The comparison of a counter; one only, and only `eq` can be negated.
fn count(l: &Loaded, what: &str) -> Result<Option<Count>, Fault> {
    let mut found = None;
    for (suffix, op) in COUNTS {
        let name = format!("{what}-{suffix}");
        for given in l.all(&name) {
            if found.is_some() {
                let bad = format!(
                    "only one of --{what}-eq, --{what}-lt and --{what}-gt can stand in a rule"
                );
                return Err(given.fault(Bad::new(bad)));
            }
            let value = given.parse(0, |t| value::number(t, u64::MAX))?;
            let op = if given.negated { Op::Differs } else { op };
            found = Some(Count { op, value });
        }
    }
    Ok(found)
}

fn write_count(what: &str, count: Option<Count>, out: &mut Out) {
    if let Some(Count { op, value }) = count {
        out.bang(op == Op::Differs);
        let suffix = COUNTS.iter().find(|(_, o)| *o == op).map_or("eq", |c| c.0);
        out.opt(&format!("{what}-{suffix}"), value);
    }
}

impl Spec for Set {
    const ROW: Extension = Extension::new(
        "set",
        Families::Both,
        "Whether addresses or ports are in a set (ipset).",
    )
    .options(&[
        opt(
            "match-set",
            "NAME FLAGS",
            "the set, and src or dst for each part",
        )
        .two()
        .not()
        .required()
        .alias(&["set"]),
        flag(
            "return-nomatch",
            "elements that say nomatch are what is looked for",
        )
        .many(),
        flag(
            "update-counters",
            "the element counts the packet; negated: it does not",
        )
        .not()
        .many(),
        flag("update-subcounters", "as that, in the sets of a list")
            .not()
            .many(),
        opt(
            "packets-eq",
            "NUMBER",
            "the element counted so many packets",
        )
        .not()
        .many(),
        opt("packets-lt", "NUMBER", "fewer packets").many(),
        opt("packets-gt", "NUMBER", "more packets").many(),
        opt("bytes-eq", "NUMBER", "the element counted so many bytes")
            .not()
            .many(),
        opt("bytes-lt", "NUMBER", "fewer bytes").many(),
        opt("bytes-gt", "NUMBER", "more bytes").many(),
    ])
    .needs(&[
        Need::Sets,
        Need::Network,
        Need::Transport,
        Need::Memory,
        Need::Clock,
    ]);

    fn read(l: &Loaded) -> Result<Self, Fault> {
        let given = l.required(l.find("match-set"), "match-set")?;
        let negated = |name: &str| l.all(name).any(|g| g.negated);
        Ok(Set {
            set: Not {
                negated: given.negated,
                value: SetRef::read(l, given)?,
            },
            return_nomatch: l.has("return-nomatch"),
            keep_counters: negated("update-counters"),
            keep_subcounters: negated("update-subcounters"),
            packets: count(l, "packets")?,
            bytes: count(l, "bytes")?,
        })
    }

    fn write(&self, out: &mut Out) {
        out.bang(self.set.negated);
        self.set.value.write("match-set", out);
        if self.return_nomatch {
            out.flag("return-nomatch");
        }
        for (keep, name) in [
            (self.keep_counters, "update-counters"),
            (self.keep_subcounters, "update-subcounters"),
        ] {
            if keep {
                out.bang(true);
                out.flag(name);
            }
        }
        write_count("packets", self.packets, out);
        write_count("bytes", self.bytes, out);
    }
}
