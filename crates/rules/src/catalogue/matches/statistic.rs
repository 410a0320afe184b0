//! `-m statistic`.

use super::prelude::*;

/// `-m statistic`: every nth packet, or packets by chance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statistic(pub Not<Choice>);

/// Which packets a [`Statistic`] chooses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Choice {
    /// By chance: so many of 2^31.
    Random(u32),
    /// Regularly.
    Nth {
        /// One of so many.
        every: u32,
        /// The first one is the packet of this number, from 0.
        packet: u32,
    },
}

/// Certainty, for [`Choice::Random`].
const ONE: f64 = 2_147_483_648.0;

fn probability(text: &str) -> Value<u32> {
    match text.parse::<f64>() {
        Ok(p) if (0.0..=1.0).contains(&p) => Ok((p * ONE).round() as u32),
        _ => Err(Bad::new(format!("'{text}' is not a probability"))
            .help("a number from 0 to 1")
            .said("{extension}: bad value for option \"--{option}\", or out of range (0-1).")),
    }
}

impl Statistic {
    fn parts(&self, out: &mut Out, dashes: &str) {
        let bang = if self.0.negated { " !" } else { "" };
        match self.0.value {
            Choice::Random(chance) => out.word(format_args!(
                "{dashes}mode random{bang} {dashes}probability {:.11}",
                f64::from(chance) / ONE
            )),
            Choice::Nth { every, packet } => {
                out.word(format_args!("{dashes}mode nth{bang} {dashes}every {every}"));
                if packet != 0 || !dashes.is_empty() {
                    out.word(format_args!("{dashes}packet {packet}"));
                }
            }
        }
    }
}

impl Spec for Statistic {
    const ROW: Extension = Extension::new(
        "statistic",
        Families::Both,
        "Every nth packet, or packets by chance.",
    )
    .options(&[
        opt("mode", "MODE", "random or nth").required(),
        opt("probability", "NUMBER", "of random: from 0 to 1")
            .not()
            .excludes(&["every", "packet"]),
        opt("every", "NUMBER", "of nth: one packet of so many")
            .not()
            .excludes(&["probability"])
            .requires(&["packet"]),
        opt("packet", "NUMBER", "of nth: which one, from 0")
            .excludes(&["probability"])
            .requires(&["every"]),
    ])
    .needs(&[Need::Memory, Need::Chance]);

    fn read(l: &Loaded) -> Result<Self, Fault> {
        let random = l.need("mode", |t| match t {
            "random" => Ok(true),
            "nth" => Ok(false),
            _ => Err(Bad::new(format!("'{t}' is no mode of statistic"))
                .help("random or nth")
                .said(format!("Bad mode \"{t}\""))),
        })?;
        if random {
            let chance = l.need_not("probability", probability)?;
            return Ok(Statistic(Not {
                negated: chance.negated,
                value: Choice::Random(chance.value),
            }));
        }
        let every = l.need_not("every", |t| match read::word(t)? {
            0 => Err(Bad::new("--every counts from 1")),
            n => Ok(n),
        })?;
        let packet = l.need("packet", |t| {
            let packet = read::word(t)?;
            if packet >= every.value {
                let bad = format!("there is no packet {packet} among {}", every.value);
                let bad = Bad::new(bad).help(format!("0 to {}", every.value - 1));
                return Err(bad.said("the --packet p must be 0 <= p <= n-1"));
            }
            Ok(packet)
        })?;
        Ok(Statistic(Not {
            negated: every.negated,
            value: Choice::Nth {
                every: every.value,
                packet,
            },
        }))
    }

    fn write(&self, out: &mut Out) {
        self.parts(out, "--");
    }

    fn list(&self, out: &mut Out) {
        out.word("statistic");
        self.parts(out, "");
    }
}
