//! Moments as people write them.

use std::fmt::Write;

use palisade_wire::Timestamp;

const DAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

/// A moment by the calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Date {
    year: i64,
    /// From 1.
    month: u8,
    /// From 1.
    day: u8,
    /// From 0, which is Sunday.
    weekday: u8,
    hour: u8,
    minute: u8,
    second: u8,
}

/// Whole seconds of the clock.
pub(super) fn seconds(time: Timestamp) -> u64 {
    time.0 / 1_000_000_000
}

impl Date {
    /// A moment where clocks are `east` seconds ahead.
    pub(super) fn of(time: Timestamp, east: i32) -> Date {
        let all = seconds(time) as i64 + i64::from(east);
        let (days, rest) = (all.div_euclid(86_400), all.rem_euclid(86_400));
        // Days from 1 March of the year 0, in eras of 400 years.
        let shifted = days + 719_468;
        let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
        let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
        let day_of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let from_march = (5 * day_of_year + 2) / 153;
        let day = (day_of_year - (153 * from_march + 2) / 5 + 1) as u8;
        let month = if from_march < 10 {
            from_march + 3
        } else {
            from_march - 9
        } as u8;
        Date {
            year: year_of_era + era * 400 + i64::from(month <= 2),
            month,
            day,
            // 1970 began on a Thursday.
            weekday: (days + 4).rem_euclid(7) as u8,
            hour: (rest / 3_600) as u8,
            minute: (rest / 60 % 60) as u8,
            second: (rest % 60) as u8,
        }
    }

    /// As `ctime` writes it.
    pub(super) fn line(self) -> String {
        let weekday = DAYS.get(usize::from(self.weekday)).copied().unwrap_or("");
        let month = usize::from(self.month).checked_sub(1);
        let month = month.and_then(|m| MONTHS.get(m)).copied().unwrap_or("");
        format!(
            "{weekday} {month} {:>2} {:02}:{:02}:{:02} {}",
            self.day, self.hour, self.minute, self.second, self.year
        )
    }

    /// As XML has it.
    pub(super) fn xml(self, to: &mut String) {
        let _ = write!(
            to,
            "<hour>{}</hour><min>{:02}</min><sec>{:02}</sec><wday>{}</wday><day>{}</day><month>{}</month><year>{}</year>",
            self.hour,
            self.minute,
            self.second,
            self.weekday + 1,
            self.day,
            self.month,
            self.year
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_written_as_ctime_writes_them() {
        for (seconds, east, expect) in [
            (0, 0, "Thu Jan  1 00:00:00 1970"),
            (1_795_278_945, 0, "Sat Nov 21 16:35:45 2026"),
            (951_782_400, 0, "Tue Feb 29 00:00:00 2000"),
            (4_102_444_799, 0, "Thu Dec 31 23:59:59 2099"),
            (0, -3_600, "Wed Dec 31 23:00:00 1969"),
            (1_795_278_945, 7_200, "Sat Nov 21 18:35:45 2026"),
        ] {
            assert_eq!(Date::of(Timestamp::new(seconds, 5), east).line(), expect);
        }
    }
}
