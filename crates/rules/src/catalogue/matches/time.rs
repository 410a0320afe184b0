//! `-m time`.

use super::prelude::*;

/// `-m time`: the time of day, the day, the date.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Time {
    /// First and last second since 1970.
    pub dates: (u32, u32),
    /// First and last second of the day; the first may be later than the last, and the time is then that
    /// around midnight.
    pub day: (u32, u32),
    /// Days of the month, a bit each, the first one bit 1.
    pub month_days: u32,
    /// Days of the week, a bit each, Monday bit 1, Sunday bit 7.
    pub week_days: u8,
    /// By the kernel's time zone, not UTC.
    pub kernel_zone: bool,
    /// What begins before midnight belongs to the day on which it began.
    pub contiguous: bool,
}

/// Any day of the month.
const ALL_MONTH_DAYS: u32 = 0xffff_fffe;
/// Any day of the week.
const ALL_WEEK_DAYS: u8 = 0xfe;
/// The last second of a day.
const LAST_SECOND: u32 = 86_399;
/// The end without `--datestop`; iptables-save prints it all the same.
const LAST_DATE: u32 = i32::MAX as u32;

const WEEK_DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

/// Digits at the beginning and what follows them; no digits count as 0.
fn digits(text: &str) -> (u32, &str) {
    let end = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, rest) = text.split_at(end);
    (
        number
            .parse()
            .unwrap_or(if end == 0 { 0 } else { u32::MAX }),
        rest,
    )
}

/// Days from 1970 to a date of the proleptic Gregorian calendar; days and months may run over, as for `mktime`.
fn days(year: u32, month: u32, day: u32) -> i64 {
    let (year, month) = match month {
        0 => (i64::from(year) - 1, 12),
        month => (i64::from(year), i64::from(month)),
    };
    // Years begin in March, so that the day that leap years add comes last.
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468 + i64::from(day)
        - 1
}

/// Year, month and day of a number of days since 1970.
fn date(days: u32) -> (u32, u32, u32) {
    let mut year = 1970 + days / 366;
    while self::days(year + 1, 1, 1) <= i64::from(days) {
        year += 1;
    }
    let month = (1..=12)
        .rev()
        .find(|month| self::days(year, *month, 1) <= i64::from(days))
        .unwrap_or(1);
    (
        year,
        month,
        (i64::from(days) - self::days(year, month, 1)) as u32 + 1,
    )
}

/// `YYYY[-MM[-DD[Thh[:mm[:ss]]]]]`.
fn moment(text: &str) -> Value<u32> {
    let bad = || {
        Bad::new(format!("'{text}' is not a date"))
            .help("YYYY[-MM[-DD[Thh[:mm[:ss]]]]], 1970 to 2038")
            .said(format!(
                "Invalid date \"{text}\" specified. Should be YYYY[-MM[-DD[Thh[:mm[:ss]]]]]"
            ))
    };
    // Each number: what ends it, and how large it may be.
    const PARTS: [(char, u32); 6] = [
        ('-', 2038),
        ('-', 12),
        ('T', 31),
        (':', 23),
        (':', 59),
        ('\0', 59),
    ];
    let mut numbers = [1970, 1, 1, 0, 0, 0];
    let mut rest = text;
    for (number, (end, most)) in numbers.iter_mut().zip(PARTS) {
        let (value, after) = digits(rest);
        *number = value;
        if value > most || !(after.is_empty() || after.starts_with(end)) {
            return Err(bad());
        }
        match after.strip_prefix(end) {
            Some(after) => rest = after,
            None => break,
        }
    }
    let [year, month, day, hour, minute, second] = numbers;
    if year < 1970 {
        return Err(bad());
    }
    let seconds = days(year, month, day) * 86_400 + i64::from(hour * 3600 + minute * 60 + second);
    u32::try_from(seconds).map_err(|_| bad())
}

/// `hh:mm[:ss]`.
fn clock(text: &str) -> Value<u32> {
    let bad = || {
        Bad::new(format!("'{text}' is not a time of day"))
            .help("hh:mm[:ss], from 00:00 to 23:59:59")
    };
    let (hour, rest) = digits(text);
    let (minute, rest) = digits(rest.strip_prefix(':').ok_or_else(bad)?);
    let (second, rest) = match rest.strip_prefix(':') {
        Some(rest) => digits(rest),
        None => (0, rest),
    };
    if hour > 23 || minute > 59 || second > 59 || !rest.is_empty() {
        return Err(bad());
    }
    Ok(hour * 3600 + minute * 60 + second)
}

/// The parts between commas, cut to so many bytes; an empty one at the end does not count.
fn parts(text: &str, most: usize) -> Result<Vec<String>, Bad> {
    let mut parts: Vec<&str> = text.split(',').collect();
    if parts.last() == Some(&"") {
        parts.pop();
    }
    parts.into_iter().map(read::cut(most)).collect()
}

fn month_days(text: &str) -> Value<u32> {
    let mut set = 0;
    for day in parts(text, 2)? {
        // No digits at all are day 0, which never comes.
        let number = if day.is_empty() {
            Ok(0)
        } else {
            value::number(&day, 31)
        };
        match number {
            Ok(day) => set |= 1 << day,
            Err(_) => {
                return Err(Bad::new(format!("'{day}' is not a day of a month"))
                    .help("1 to 31")
                    .said(format!("{day} is not a valid day for --monthdays")));
            }
        }
    }
    Ok(set)
}

fn week_days(text: &str) -> Value<u8> {
    let mut set = 0u32;
    for day in parts(text, 3)? {
        let bad = || {
            Bad::new(format!("'{day}' is not a day of the week"))
                .help("Mon, Tue, Wed, Thu, Fri, Sat or Sun, or 1 to 7 from Monday")
                .said(format!("{day} is not a valid day specifier"))
        };
        if let Ok(number) = value::number(&day, 999) {
            if number == 0 {
                return Err(bad()
                    .help("the week begins with Monday, 1")
                    .said("No, the week does NOT begin with Sunday."));
            }
            // Numbers beyond the week are taken, and mean nothing.
            set |= 1u32.wrapping_shl(number as u32);
            continue;
        }
        let known = WEEK_DAYS
            .iter()
            .position(|name| day.get(..2) == name.get(..2))
            .ok_or_else(bad)?;
        set |= 2 << known;
    }
    Ok(set as u8)
}

/// `hh:mm:ss`.
fn show_clock(second: u32) -> String {
    let (minute, second) = (second / 60, second % 60);
    format!("{:02}:{:02}:{second:02}", minute / 60, minute % 60)
}

fn show_moment(moment: u32, between: char) -> String {
    let (year, month, day) = date(moment / 86_400);
    let clock = show_clock(moment % 86_400);
    format!("{year:04}-{month:02}-{day:02}{between}{clock}")
}

impl Time {
    fn month_words(&self, endings: bool) -> String {
        let words: Vec<String> = (1..=31)
            .filter(|day| self.month_days & (1 << day) != 0)
            .map(|day| match day % 10 {
                _ if !endings => day.to_string(),
                1 => format!("{day}st"),
                2 => format!("{day}nd"),
                3 => format!("{day}rd"),
                _ => format!("{day}th"),
            })
            .collect();
        words.join(",")
    }

    fn week_words(&self) -> String {
        let words: Vec<&str> = WEEK_DAYS
            .iter()
            .enumerate()
            .filter(|(at, _)| self.week_days & (2 << at) != 0)
            .map(|(_, name)| *name)
            .collect();
        words.join(",")
    }
}

impl Spec for Time {
    const ROW: Extension = Extension::new(
        "time",
        Families::Both,
        "The time of day, the day, the date.",
    )
    .options(&[
        opt("datestart", "DATE", "from YYYY[-MM[-DD[Thh[:mm[:ss]]]]]"),
        opt("datestop", "DATE", "until then"),
        opt("timestart", "TIME", "each day from hh:mm[:ss]"),
        opt("timestop", "TIME", "until then; may be the next day"),
        opt("monthdays", "DAY[,DAY]", "on these days of the month").not(),
        opt(
            "weekdays",
            "DAY[,DAY]",
            "on these days of the week, as Mon or 1",
        )
        .not(),
        flag("kerneltz", "by the kernel's time zone, not UTC").excludes(&["utc"]),
        flag("utc", "by UTC (so without it)").excludes(&["localtz", "kerneltz"]),
        flag("localtz", "old name of --kerneltz").excludes(&["utc"]),
        flag(
            "contiguous",
            "what lasts over midnight belongs to the day on which it began",
        ),
    ])
    .needs(&[Need::Clock]);

    fn read(l: &Loaded) -> Result<Self, Fault> {
        let date = |name: &str, usual: u32| l.plain(name, moment).map(|d| d.unwrap_or(usual));
        let clock = |name: &str, usual: u32| l.plain(name, clock).map(|c| c.unwrap_or(usual));
        let month_days = l
            .not("monthdays", month_days)?
            .map(|days| days.value ^ if days.negated { ALL_MONTH_DAYS } else { 0 });
        let week_days = l
            .not("weekdays", week_days)?
            .map(|days| days.value ^ if days.negated { ALL_WEEK_DAYS } else { 0 });
        let rule = Time {
            dates: (date("datestart", 0)?, date("datestop", LAST_DATE)?),
            day: (clock("timestart", 0)?, clock("timestop", LAST_SECOND)?),
            month_days: month_days.unwrap_or(ALL_MONTH_DAYS),
            week_days: week_days.unwrap_or(ALL_WEEK_DAYS),
            kernel_zone: l.has("kerneltz") || l.has("localtz"),
            contiguous: l.has("contiguous"),
        };
        if let Some(given) = l.find("contiguous")
            && rule.day.0 < rule.day.1
        {
            return Err(given.fault(
                Bad::new("--contiguous is for times that last over midnight")
                    .help("--timestart later than --timestop")
                    .said("time: --contiguous only makes sense when stoptime is smaller than starttime"),
            ));
        }
        Ok(rule)
    }

    fn write(&self, out: &mut Out) {
        if self.day != (0, LAST_SECOND) {
            out.opt("timestart", show_clock(self.day.0));
            out.opt("timestop", show_clock(self.day.1));
        }
        if self.month_days != ALL_MONTH_DAYS {
            out.opt("monthdays", self.month_words(false));
        }
        if self.week_days != ALL_WEEK_DAYS {
            out.opt("weekdays", self.week_words());
        }
        for (name, date) in [("datestart", self.dates.0), ("datestop", self.dates.1)] {
            if date != 0 {
                out.opt(name, show_moment(date, 'T'));
            }
        }
        if self.kernel_zone {
            out.flag("kerneltz");
        }
        if self.contiguous {
            out.flag("contiguous");
        }
    }

    fn list(&self, out: &mut Out) {
        out.word("TIME");
        if self.day != (0, LAST_SECOND) {
            let (from, to) = (show_clock(self.day.0), show_clock(self.day.1));
            out.word(format_args!("from {from} to {to}"));
        }
        if self.week_days != ALL_WEEK_DAYS {
            out.word(format_args!("on {}", self.week_words()));
        }
        if self.month_days != ALL_MONTH_DAYS {
            out.word(format_args!("on {}", self.month_words(true)));
        }
        if self.dates.0 != 0 {
            out.word(format_args!(
                "starting from {}",
                show_moment(self.dates.0, ' ')
            ));
        }
        if self.dates.1 != LAST_DATE {
            out.word("until date");
            if self.dates.1 != 0 {
                out.word(show_moment(self.dates.1, ' '));
            }
        }
        if !self.kernel_zone {
            out.word("UTC");
        }
        if self.contiguous {
            out.word("contiguous");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_day_of_the_clock_has_its_date_and_back() {
        for day in 0..=u32::MAX / 86_400 {
            let (year, month, of_month) = date(day);
            assert_eq!(days(year, month, of_month), i64::from(day), "{day}");
            assert!((1..=31).contains(&of_month) && (1..=12).contains(&month));
        }
        assert_eq!(date(LAST_DATE / 86_400), (2038, 1, 19));
    }
}
