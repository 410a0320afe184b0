//! `-m limit`.

use super::prelude::*;

/// `-m limit`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Limit {
    /// Ten-thousandths of a second between packets (kernel `XT_LIMIT_SCALE`).
    pub average: u32,
    /// Packets at once.
    pub burst: u32,
}

impl Spec for Limit {
    const ROW: Extension = Extension::new(
        "limit",
        Families::Both,
        "Matches as long as a rate is not exceeded.",
    )
    .options(&[
        opt(
            "limit",
            "RATE[/UNIT]",
            "packets a second, minute, hour or day; 3/hour without it",
        ),
        opt(
            "limit-burst",
            "NUMBER",
            "packets at once before the rate counts; 5 without it",
        ),
    ])
    .needs(&[Need::Memory, Need::Clock]);

    fn read(loaded: &Loaded) -> Result<Self, Fault> {
        let average = loaded.plain("limit", value::rate)?;
        let average = average.unwrap_or(10_000 * 3600 / 3);
        let burst = loaded.plain("limit-burst", |t| value::number(t, 10_000))?;
        let burst = burst.unwrap_or(5) as u32;
        if loaded.tools == Tools::Nft {
            // The kernel's other packet filter takes 0 for the common burst.
            let burst = if burst == 0 { 5 } else { burst };
            return Ok(Limit { average, burst });
        }
        let at = loaded.find("limit-burst").or(loaded.find("limit"));
        let fault = |bad: Bad| match at {
            Some(given) => given.fault(bad),
            None => loaded.fault(bad),
        };
        if burst == 0 {
            return Err(fault(Bad::new("a burst of 0 never lets a packet pass")));
        }
        if credits(average.wrapping_mul(burst)) < credits(average) {
            return Err(fault(
                Bad::new("the kernel cannot count so many packets at once at so slow a rate")
                    .help("a smaller --limit-burst"),
            ));
        }
        Ok(Limit { average, burst })
    }

    fn write(&self, out: &mut Out) {
        out.opt("limit", rate(self.average));
        if self.burst != 5 {
            out.opt("limit-burst", self.burst);
        }
    }

    fn list(&self, out: &mut Out) {
        let average = rate(self.average);
        out.word(format_args!("limit: avg {average} burst {}", self.burst));
    }
}

/// What the kernel counts a span of ten-thousandths of a second as, at 250 jiffies a second, in the
/// width in which it counts (kernel `user2credits`).
fn credits(span: u32) -> u32 {
    const PER_SECOND: u32 = 250 * 128;
    if span > u32::MAX / PER_SECOND {
        (span / 10_000).wrapping_mul(PER_SECOND)
    } else {
        span * PER_SECOND / 10_000
    }
}

/// A rate in the largest unit that keeps it whole.
fn rate(average: u32) -> String {
    const UNITS: [(&str, u32); 4] = [
        ("day", 864_000_000),
        ("hour", 36_000_000),
        ("min", 600_000),
        ("sec", 10_000),
    ];
    let average = average.max(1);
    let mut chosen = UNITS[0];
    for (i, unit) in UNITS.iter().enumerate().skip(1) {
        let (_, ticks) = *unit;
        if average > ticks || ticks / average < ticks % average {
            break;
        }
        chosen = UNITS[i];
    }
    format!("{}/{}", chosen.1 / average, chosen.0)
}
