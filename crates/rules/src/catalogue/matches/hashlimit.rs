//! `-m hashlimit`.

use super::prelude::*;

/// `-m hashlimit`: a rate limit for each address or port by itself (revision 3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hashlimit {
    /// `--hashlimit-name`: rules of a family that name the same table share it.
    pub name: String,
    /// Matches what is over the limit; else what is within.
    pub above: bool,
    /// The rate: of packets, microseconds from one to the next; of bytes, what sixteen of them cost, where a second
    /// earns 2^32.
    pub average: u64,
    /// The rate is one of bytes.
    pub bytes: bool,
    /// Packets at once; of bytes, how many times the credit of a second may be had again.
    pub burst: u64,
    /// What tells entries apart.
    pub mode: Mode,
    /// Bits of the source that count.
    pub source_prefix: u8,
    /// Bits of the destination that count.
    pub destination_prefix: u8,
    /// Buckets; 0: by the kernel's memory.
    pub size: u32,
    /// Entries at most; 0: eight for each bucket.
    pub max: u32,
    /// Milliseconds between collections of what has expired.
    pub gc_interval: u32,
    /// Milliseconds after which an entry that nobody asks for expires.
    pub expire: u32,
    /// `--hashlimit-rate-match`: seconds over which the rate is measured; `None`: a bucket of credits.
    pub rate_interval: Option<u32>,
    /// `--hashlimit-rate-interval` without `--hashlimit-rate-match`, which only a listing shows; 0: not there.
    pub idle_interval: u32,
}

/// What tells entries of a [`Hashlimit`] table apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Mode {
    /// `srcip`.
    pub source: bool,
    /// `srcport`.
    pub source_port: bool,
    /// `dstip`.
    pub destination: bool,
    /// `dstport`.
    pub destination_port: bool,
}

/// Packets at once without `--hashlimit-burst`.
const BURST: u64 = 5;
/// Most packets at once.
const BURST_MAX: u64 = 1_000_000;
/// What the real program says of another burst.
const BURST_SAID: &str = "bad value for option \"--hashlimit-burst\", or out of range (1-1000000).";
/// Milliseconds between collections, unless said.
const GC_INTERVAL: u32 = 1000;
/// Kernel `XT_HASHLIMIT_SCALE_v2`.
const SCALE: u64 = 1_000_000;
/// Kernel `HASHLIMIT_MAX_SIZE`: larger tables are made so large.
const SIZE_MAX: u32 = 1_048_576;
/// Milliseconds after which entries of byte rates expire, without and with a burst.
const EXPIRE_BYTES: [u32; 2] = [15_000, 60_000];

/// What sixteen bytes cost at so many bytes a second.
fn cost(bytes: u64) -> Option<u64> {
    let chunks = (bytes >> 4) as u32;
    chunks
        .checked_add(1)
        .map(|chunks| u64::from(u32::MAX / chunks))
}

/// Bytes a second at a cost.
fn bytes(cost: u64) -> u64 {
    let rate = u64::from(u32::MAX)
        .checked_div(cost)
        .unwrap_or(u64::from(u32::MAX));
    rate.wrapping_sub(1).wrapping_shl(4)
}

/// The digits at the beginning, as `atoll` reads them.
fn leading(text: &str) -> u64 {
    let end = text.bytes().take_while(u8::is_ascii_digit).count();
    text[..end].parse().unwrap_or(u64::MAX * u64::from(end > 0))
}

fn factor(unit: Option<u8>) -> u64 {
    match unit {
        Some(b'm') => 1 << 20,
        Some(b'k') => 1 << 10,
        _ => 1,
    }
}

/// A rate as written.
struct Rate {
    average: u64,
    bytes: bool,
    /// Seconds of its unit.
    seconds: u32,
}

fn rate(text: &str) -> Value<Rate> {
    let bad = || {
        Bad::new(format!("'{text}' is not a rate"))
            .help("a number with /second, /minute, /hour or /day, or with b/s, kb/s or mb/s")
            .said(format!(
                "{{extension}}: Bad value for \"--{{option}}\" option: \"{text}\""
            ))
    };
    let count = leading(text);
    if let Some(at) = text.find("b/s")
        && at > 0
        && count > 0
    {
        let rate = count.wrapping_mul(factor(text.as_bytes().get(at - 1).copied()));
        let average = cost(rate).ok_or_else(bad)?;
        // A kernel cost of 1 comes to no credit at all.
        if average < 2 {
            return Err(Bad::new(format!("the rate {text} is too high")));
        }
        return Ok(Rate {
            average,
            bytes: true,
            seconds: 15,
        });
    }
    let seconds = match text.split_once('/') {
        None => 1,
        Some((_, unit)) => {
            let unit = unit.to_ascii_lowercase();
            [
                ("second", 1),
                ("minute", 60),
                ("hour", 3600),
                ("day", 86_400),
            ]
            .iter()
            .find(|(name, _)| !unit.is_empty() && name.starts_with(&unit))
            .map(|(_, s)| *s)
            .ok_or_else(bad)?
        }
    };
    let average = (SCALE * u64::from(seconds))
        .checked_div(count)
        .ok_or_else(bad)?;
    if average == 0 {
        return Err(Bad::new(format!("the rate {text} is too fast"))
            .help("at most a packet each microsecond")
            .said(format!("Rate too fast \"{text}\"")));
    }
    Ok(Rate {
        average,
        bytes: false,
        seconds,
    })
}

/// A burst, and whether it is plain (without a suffix).
fn burst(text: &str) -> Value<u64> {
    let bad =
        || Bad::new(format!("'{text}' is not a burst from 1 to {BURST_MAX}")).said(BURST_SAID);
    let end = text.bytes().take_while(u8::is_ascii_alphanumeric).count();
    let digits = match text.strip_prefix("0x") {
        Some(hex) => 2 + hex.bytes().take_while(u8::is_ascii_hexdigit).count(),
        None => text.bytes().take_while(u8::is_ascii_digit).count(),
    };
    let number = value::number(text.get(..digits).unwrap_or(""), u64::MAX).map_err(|_| bad())?;
    let unit = text.as_bytes().get(digits).copied();
    if number == 0 || (unit.is_none() && number > BURST_MAX) || end == 0 {
        return Err(bad());
    }
    Ok(number.wrapping_mul(factor(unit)))
}

fn mode(text: &str) -> Value<Mode> {
    let mut mode = Mode::default();
    for word in text.split([',', '|']).filter(|w| !w.is_empty()) {
        match word {
            "dstip" => mode.destination = true,
            "srcip" => mode.source = true,
            "srcport" => mode.source_port = true,
            "dstport" => mode.destination_port = true,
            _ => {
                return Err(Bad::new(format!("'{word}' is no mode of hashlimit"))
                    .help("srcip, srcport, dstip or dstport")
                    .said(format!(
                        "{{extension}}: Bad value for \"--{{option}}\" option: \"{text}\""
                    )));
            }
        }
    }
    Ok(mode)
}

/// Names of files that /proc takes (kernel `xt_check_proc_name`).
fn name(text: &str) -> Value<String> {
    let text = read::cut(255)(text)?;
    if text.is_empty() || text == "." || text == ".." || text.contains('/') {
        return Err(
            Bad::new(format!("'{text}' cannot be the name of a table")).help("a name without '/'")
        );
    }
    Ok(text)
}

/// What a credit is worth (kernel `user2credits` at 250 ticks a second), wrapped as the kernel does.
fn credits(user: u64) -> u64 {
    user.wrapping_mul((250 << 39) / SCALE)
}

impl Hashlimit {
    /// Kernel `hashlimit_mt_check_common`.
    fn check(&self) -> Result<(), Bad> {
        if self.gc_interval == 0 || self.expire == 0 {
            return Err(Bad::new(
                "--hashlimit-htable-gcinterval and --hashlimit-htable-expire cannot be 0",
            ));
        }
        if self.rate_interval.is_some() {
            if self.average == 0 || self.average > u64::from(u32::MAX) {
                return Err(Bad::new("the rate cannot be measured: it is too high"));
            }
        } else if !self.bytes {
            let all = credits(self.average.wrapping_mul(self.burst));
            if self.burst == 0 || all < credits(self.average) {
                return Err(Bad::new(format!(
                    "a burst of {} is too much at so slow a rate: the kernel cannot count so far",
                    self.burst
                ))
                .help("a smaller --hashlimit-burst"));
            }
        }
        Ok(())
    }

    /// The rate as printed, and milliseconds after which entries expire that go without saying.
    fn rate(&self) -> (String, u32) {
        if self.bytes {
            let rate = bytes(self.average);
            let (unit, of) = [("m", 1 << 20), ("k", 1 << 10)]
                .into_iter()
                .find(|(_, of)| rate >= *of && cost(rate & !(of - 1)) == Some(self.average))
                .unwrap_or(("", 1));
            let with_burst = usize::from(self.burst != 0);
            return (format!("{}{unit}b/s", rate / of), EXPIRE_BYTES[with_burst]);
        }
        const UNITS: [(&str, u64); 4] = [
            ("day", 86_400 * SCALE),
            ("hour", 3600 * SCALE),
            ("min", 60 * SCALE),
            ("sec", SCALE),
        ];
        let period = self.average.max(1);
        let mut chosen = UNITS[0];
        for unit in &UNITS[1..] {
            if period > unit.1 || unit.1 / period < unit.1 % period {
                break;
            }
            chosen = *unit;
        }
        let rate = format!("{}/{}", chosen.1 / period, chosen.0);
        (rate, (chosen.1 / SCALE * 1000) as u32)
    }

    /// The burst as printed.
    fn shown_burst(&self) -> String {
        if !self.bytes {
            return self.burst.to_string();
        }
        let all = bytes(self.average).wrapping_mul(self.burst);
        let (unit, of) = [("m", 1 << 20), ("k", 1 << 10)]
            .into_iter()
            .find(|(_, of)| all >= *of)
            .unwrap_or(("", 1));
        format!("{}{unit}b", all / of)
    }

    fn shown_mode(&self, between: &str) -> Option<String> {
        let mode = self.mode;
        let words: Vec<&str> = [
            ("srcip", mode.source),
            ("srcport", mode.source_port),
            ("dstip", mode.destination),
            ("dstport", mode.destination_port),
        ]
        .into_iter()
        .filter_map(|(word, on)| on.then_some(word))
        .collect();
        (!words.is_empty()).then(|| words.join(between))
    }

    /// What save and list print alike, by names that begin with `dashes`.
    fn rest(&self, out: &mut Out, dashes: &str, usual_expire: u32) {
        let all = match out.family {
            Family::V4 => 32,
            Family::V6 => 128,
        };
        let named = |name: &str, value: u32| format!("{dashes}{name} {value}");
        for (name, value, usual) in [
            ("htable-size", self.size, 0),
            ("htable-max", self.max, 0),
            ("htable-gcinterval", self.gc_interval, GC_INTERVAL),
            ("htable-expire", self.expire, usual_expire),
            ("srcmask", u32::from(self.source_prefix), all),
            ("dstmask", u32::from(self.destination_prefix), all),
        ] {
            if value != usual {
                out.word(named(name, value));
            }
        }
        if let Some(interval) = self.rate_interval {
            out.word(format_args!("{dashes}rate-match"));
            if interval != 1 {
                out.word(named("rate-interval", interval));
            }
        }
    }
}

impl Spec for Hashlimit {
    const ROW: Extension = Extension::new(
        "hashlimit",
        Families::Both,
        "A rate limit for each address or port by itself.",
    )
    .options(&[
        opt(
            "hashlimit-upto",
            "RATE",
            "what is within the rate: packets a second, minute, hour or day, or bytes as 10kb/s",
        )
        .alias(&["hashlimit"])
        .not()
        .excludes(&["hashlimit-above"]),
        opt("hashlimit-above", "RATE", "what exceeds the rate")
            .not()
            .excludes(&["hashlimit-upto"]),
        opt(
            "hashlimit-burst",
            "NUMBER",
            "packets (5 unless said) or bytes at once before the rate counts",
        ),
        opt(
            "hashlimit-mode",
            "WHAT[,WHAT]",
            "a limit for each srcip, srcport, dstip, dstport; one for all without it",
        ),
        opt(
            "hashlimit-srcmask",
            "LENGTH",
            "how much of a source makes a network",
        ),
        opt(
            "hashlimit-dstmask",
            "LENGTH",
            "how much of a destination makes a network",
        ),
        opt(
            "hashlimit-name",
            "NAME",
            "name of the table; rules with the same name share it",
        )
        .required(),
        opt("hashlimit-htable-size", "NUMBER", "buckets of the table"),
        opt(
            "hashlimit-htable-max",
            "NUMBER",
            "entries of the table at most",
        ),
        opt(
            "hashlimit-htable-expire",
            "MILLISECONDS",
            "after which an idle entry is forgotten",
        ),
        opt(
            "hashlimit-htable-gcinterval",
            "MILLISECONDS",
            "how often idle entries are looked for",
        ),
        flag("hashlimit-rate-match", "measure the rate, do not limit it"),
        opt(
            "hashlimit-rate-interval",
            "SECONDS",
            "over which the rate is measured",
        ),
    ])
    .needs(&[Need::Network, Need::Transport, Need::Memory, Need::Clock]);

    fn read(l: &Loaded) -> Result<Self, Fault> {
        let upto = l.not("hashlimit-upto", rate)?;
        let above = l.not("hashlimit-above", rate)?;
        let (rate, above) = match (upto, above) {
            (Some(rate), _) => (rate.value, rate.negated),
            (_, Some(rate)) => (rate.value, !rate.negated),
            _ => return Err(l.missing("hashlimit-upto or --hashlimit-above")),
        };
        let all = match l.family {
            Family::V4 => 32,
            Family::V6 => 128,
        };
        let prefix = |name: &str| {
            l.plain(name, |t| {
                value::prefix(t, l.family)?
                    .ok_or_else(|| Bad::new(format!("'{t}' is a mask with holes")))
            })
            .map(|p| p.unwrap_or(all))
        };
        let mut average = rate.average;
        let mut burst = l.plain("hashlimit-burst", burst)?;
        let expire = l.plain("hashlimit-htable-expire", read::word)?;
        let mut usual_expire = rate.seconds * 1000;
        if rate.bytes {
            let unit = bytes(average);
            if let Some(given) = burst {
                if given < unit || unit == 0 {
                    let bad = format!("a burst cannot be smaller than {unit} bytes at this rate");
                    let bad = Bad::new(bad).help(format!("--hashlimit-burst {unit}b"));
                    let said = format!("burst cannot be smaller than {unit}b");
                    return Err(l.fault(bad.said(said)));
                }
                // In 32 bits, as the real program divides.
                let times = u64::from(given as u32) / unit + u64::from(given % unit != 0);
                burst = Some(u64::from(times as u32));
                usual_expire = EXPIRE_BYTES[1];
            }
        } else if burst.is_some_and(|b| b > BURST_MAX) {
            let bad = Bad::new(format!("a burst is at most {BURST_MAX} packets"));
            return Err(l.fault(bad.said(BURST_SAID)));
        }
        let interval = l.plain("hashlimit-rate-interval", |t| match leading(t) {
            0 => Err(Bad::new(format!("'{t}' is not a number of seconds"))),
            n => Ok(n.min(i32::MAX as u64) as u32),
        })?;
        let rate_interval = l.has("hashlimit-rate-match").then(|| {
            let unit = if rate.bytes { 1 } else { rate.seconds };
            interval.unwrap_or(unit)
        });
        if rate_interval.is_some() && !rate.bytes {
            average /= u64::from(rate.seconds);
        }
        let at_most = |name: &str| {
            l.plain(name, read::word)
                .map(|n| n.unwrap_or(0).min(SIZE_MAX))
        };
        let rule = Hashlimit {
            name: l.need("hashlimit-name", name)?,
            above,
            average,
            bytes: rate.bytes,
            burst: burst.unwrap_or(if rate.bytes { 0 } else { BURST }),
            mode: l.plain("hashlimit-mode", mode)?.unwrap_or_default(),
            source_prefix: prefix("hashlimit-srcmask")?,
            destination_prefix: prefix("hashlimit-dstmask")?,
            size: at_most("hashlimit-htable-size")?,
            max: at_most("hashlimit-htable-max")?,
            gc_interval: l
                .plain("hashlimit-htable-gcinterval", read::word)?
                .unwrap_or(GC_INTERVAL),
            expire: expire.unwrap_or(usual_expire),
            rate_interval,
            idle_interval: match rate_interval {
                Some(_) => 0,
                None => interval.unwrap_or(0),
            },
        };
        rule.check().map_err(|bad| l.fault(bad))?;
        Ok(rule)
    }

    fn write(&self, out: &mut Out) {
        let option = match self.above {
            true => "hashlimit-above",
            false => "hashlimit-upto",
        };
        let (rate, expire) = self.rate();
        out.opt(option, rate);
        if !self.bytes || self.burst != 0 {
            out.opt("hashlimit-burst", self.shown_burst());
        }
        if let Some(mode) = self.shown_mode(",") {
            out.opt("hashlimit-mode", mode);
        }
        out.opt("hashlimit-name", &self.name);
        self.rest(out, "--hashlimit-", expire);
    }

    fn list(&self, out: &mut Out) {
        out.word(match self.above {
            true => "limit: above",
            false => "limit: up to",
        });
        // Other than when it is saved, the rate is that of all of the interval.
        let interval = self.rate_interval.unwrap_or(self.idle_interval.max(1));
        let shown = Hashlimit {
            average: match self.bytes {
                true => self.average,
                false => self.average.wrapping_mul(interval.into()),
            },
            ..self.clone()
        };
        let (rate, expire) = shown.rate();
        out.word(rate);
        if !self.bytes || self.burst != 0 {
            out.word(format_args!("burst {}", self.shown_burst()));
        }
        if let Some(mode) = self.shown_mode("-") {
            out.word(format_args!("mode {mode}"));
        }
        self.rest(out, "", expire);
    }
}
