//! `-j RATEEST`.

use super::prelude::*;
use crate::catalogue::matches::rateest::decimal;

/// `-j RATEEST`: feeds a rate estimator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rateest {
    /// Its name; all rules of both families that name it feed the same one.
    pub name: String,
    /// It measures every 2^n quarters of a second.
    pub interval: u8,
    /// A new measurement weighs 1/2^n.
    pub ewma_log: u8,
}

/// A time in microseconds, which is what a number without a unit means.
fn time(text: &str) -> Value<u32> {
    let bad = || Bad::new(format!("'{text}' is not a time")).help("a number with s, ms or us");
    let (number, unit) = decimal(text).ok_or_else(bad)?;
    let scale = match unit.to_ascii_lowercase().as_str() {
        "s" | "sec" | "secs" => 1e6,
        "ms" | "msec" | "msecs" => 1e3,
        "" | "us" | "usec" | "usecs" => 1.,
        _ => return Err(bad()),
    };
    Ok((number * scale) as u32)
}

fn show(microseconds: u32) -> String {
    let time = f64::from(microseconds);
    match microseconds {
        1_000_000.. => format!("{:.1}s", time / 1e6),
        1000.. => format!("{:.1}ms", time / 1e3),
        _ => format!("{microseconds}us"),
    }
}

impl Rateest {
    fn parts(&self, out: &mut Out, dashes: &str) {
        let interval = 250_000u32 << self.interval.min(12);
        let average = interval.wrapping_mul(1 << self.ewma_log.min(31));
        for (name, value) in [
            ("name", self.name.clone()),
            ("interval", show(interval)),
            ("ewmalog", show(average)),
        ] {
            out.word(format_args!("{dashes}{name} {value}"));
        }
    }
}

impl Spec for Rateest {
    const ROW: Extension = Extension::new("RATEEST", Families::Both, "Feeds a rate estimator.")
        .options(&[
            opt("rateest-name", "NAME", "the estimator's name").required(),
            opt(
                "rateest-interval",
                "TIME",
                "how often it measures, up to 8s",
            )
            .required(),
            opt("rateest-ewmalog", "TIME", "over which the average is taken").required(),
        ])
        .needs(&[Need::Memory, Need::Clock]);

    fn read(l: &Loaded) -> Result<Self, Fault> {
        let time = |name: &str| l.need(name, time);
        let (interval, average) = (time("rateest-interval")?, time("rateest-ewmalog")?);
        let steps = (0..=5).find(|n| interval <= 250_000 << n);
        let Some(steps) = steps else {
            return Err(l.fault(
                Bad::new("the interval is too long")
                    .help("at most 8s")
                    .said("RATEEST: interval value is too large"),
            ));
        };
        // The first weight with which the average would take longer than asked for, less one.
        let too_long = (1..31).find(|n| {
            let weight = 1.0 - 1.0 / f64::from(1u32 << n);
            f64::from(interval) / -weight.ln() > f64::from(average)
        });
        match too_long {
            Some(n @ 2..) => Ok(Rateest {
                name: l.need("rateest-name", read::cut(15))?,
                interval: steps,
                ewma_log: n - 1,
            }),
            _ => Err(l.fault(
                Bad::new("the time of the average does not go with the interval")
                    .help("--rateest-ewmalog of at least twice the interval")
                    .said("RATEEST: ewmalog value is out of range"),
            )),
        }
    }

    fn write(&self, out: &mut Out) {
        self.parts(out, "--rateest-");
    }

    fn list(&self, out: &mut Out) {
        self.parts(out, "");
    }
}
