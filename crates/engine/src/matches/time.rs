//! time: the hour, the day and the date of a packet (kernel `xt_time.c`).

use palisade_rules::matches::time::Time;
use palisade_wire::Timestamp;

const DAY: i64 = 86_400;

/// Any day of the month.
const ALL_MONTH_DAYS: u32 = 0xffff_fffe;

/// Day of the month of a number of days since 1970.
fn day_of_month(days: i64) -> u32 {
    // Years begin in March here, and eras of 400 of them on the first of March of the year 0.
    let of_era = (days + 719_468).rem_euclid(146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    (of_year - (153 * month + 2) / 5 + 1) as u32
}

/// Kernel `time_mt`; the time zone in minutes west of Greenwich.
pub(super) fn time(rule: &Time, now: Timestamp, minutes_west: i32) -> bool {
    let mut stamp = (now.0 / 1_000_000_000) as i64;
    if rule.kernel_zone {
        stamp -= 60 * i64::from(minutes_west);
    }
    let (first, last) = rule.dates;
    if stamp < i64::from(first) || stamp > i64::from(last) {
        return false;
    }
    let second = stamp.rem_euclid(DAY) as u32;
    let (start, stop) = rule.day;
    if start < stop {
        if second < start || second > stop {
            return false;
        }
    } else {
        if second < start && second > stop {
            return false;
        }
        // What lasts over midnight belongs to the day before.
        if rule.contiguous && second <= stop {
            stamp -= DAY;
        }
    }
    let days = stamp.div_euclid(DAY);
    // 1970 began on a Thursday, the fourth day.
    let week_day = (days + 3).rem_euclid(7) + 1;
    if rule.week_days & (1u32 << week_day) as u8 == 0 {
        return false;
    }
    rule.month_days == ALL_MONTH_DAYS || rule.month_days & (1 << day_of_month(days)) != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(dates: (u32, u32), day: (u32, u32), week_days: u8, month_days: u32) -> Time {
        Time {
            dates,
            day,
            month_days,
            week_days,
            kernel_zone: false,
            contiguous: false,
        }
    }

    const ALWAYS: (u32, u32) = (0, u32::MAX);
    const ALL_DAY: (u32, u32) = (0, 86_399);

    #[test]
    fn days_of_months_around_leap_days() {
        // 1970-01-01, 1970-12-31, 2000-02-29, 2000-03-01, 2023-02-28, 2023-03-01, 2024-02-29, 2024-12-31.
        for (days, right) in [
            (0, 1),
            (364, 31),
            (11_016, 29),
            (11_017, 1),
            (19_416, 28),
            (19_417, 1),
            (19_782, 29),
            (20_088, 31),
        ] {
            assert_eq!(day_of_month(days), right, "{days}");
        }
    }

    #[test]
    fn ends_of_ranges_belong_to_them_and_nights_go_over_midnight() {
        // 2024-02-29 is a Thursday; its midnight.
        let thursday = 19_782 * 86_400;
        let at = |second: i64| Timestamp::new((thursday + second) as u64, 999_999_999);
        let night = (22 * 3600, 2 * 3600);
        let on_thursday = 1 << 4;
        let rows: [(Time, i64, bool); 14] = [
            (rule(ALWAYS, (3600, 7200), 0xfe, ALL_MONTH_DAYS), 3600, true),
            (rule(ALWAYS, (3600, 7200), 0xfe, ALL_MONTH_DAYS), 7200, true),
            (
                rule(ALWAYS, (3600, 7200), 0xfe, ALL_MONTH_DAYS),
                7201,
                false,
            ),
            (rule(ALWAYS, night, 0xfe, ALL_MONTH_DAYS), 7200, true),
            (rule(ALWAYS, night, 0xfe, ALL_MONTH_DAYS), 7201, false),
            (rule(ALWAYS, night, 0xfe, ALL_MONTH_DAYS), 22 * 3600, true),
            // Without --contiguous the night of Thursday is two: before dawn and before midnight.
            (rule(ALWAYS, night, on_thursday, ALL_MONTH_DAYS), 3600, true),
            (
                rule(ALWAYS, night, on_thursday, ALL_MONTH_DAYS),
                23 * 3600,
                true,
            ),
            (
                rule(ALWAYS, night, on_thursday, ALL_MONTH_DAYS),
                25 * 3600,
                false,
            ),
            // The same second is no range around midnight: it is all day.
            (rule(ALWAYS, (60, 60), 0xfe, ALL_MONTH_DAYS), 5000, true),
            (rule(ALWAYS, ALL_DAY, 0xfe, 1 << 29), 0, true),
            (rule(ALWAYS, ALL_DAY, 0xfe, 1 << 29), 86_400, false),
            (
                rule(
                    (thursday as u32, thursday as u32),
                    ALL_DAY,
                    0xfe,
                    ALL_MONTH_DAYS,
                ),
                0,
                true,
            ),
            (
                rule(
                    (thursday as u32, thursday as u32),
                    ALL_DAY,
                    0xfe,
                    ALL_MONTH_DAYS,
                ),
                1,
                false,
            ),
        ];
        for (at_row, (rule, second, right)) in rows.into_iter().enumerate() {
            assert_eq!(time(&rule, at(second), 0), right, "row {at_row}");
        }
    }

    #[test]
    fn a_contiguous_night_belongs_to_the_day_on_which_it_began() {
        let thursday = 19_782 * 86_400;
        let night = Time {
            contiguous: true,
            ..rule(ALWAYS, (22 * 3600, 2 * 3600), 1 << 4, ALL_MONTH_DAYS)
        };
        for (second, right) in [(3600, false), (23 * 3600, true), (25 * 3600, true)] {
            assert_eq!(
                time(&night, Timestamp::new(thursday + second, 0), 0),
                right,
                "{second}"
            );
        }
    }

    #[test]
    fn the_zone_counts_with_kerneltz_only() {
        let noon = rule(ALWAYS, (12 * 3600, 12 * 3600 + 59), 0xfe, ALL_MONTH_DAYS);
        let local = Time {
            kernel_zone: true,
            ..noon.clone()
        };
        // Berlin in winter lies an hour east.
        let eleven = Timestamp::new(11 * 3600, 0);
        assert!(!time(&noon, eleven, -60));
        assert!(time(&local, eleven, -60));
    }
}
