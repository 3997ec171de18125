//! Instants as text.

use portcullis_core::UnixTime;

/// `2026-11-24T09:30:00.123Z` (RFC 3339 section 5.6), in UTC. Without leap seconds, as the host's clock.
#[must_use]
pub fn rfc3339(time: UnixTime) -> String {
    let (days, second) = (time.as_secs() / 86_400, time.as_secs() % 86_400);
    let (year, month, day) = date(days);
    let (hour, minute, second, milli) =
        (second / 3600, second / 60 % 60, second % 60, time.as_millis() % 1000);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z")
}

/// The civil date of a day since 1970-01-01, after Hinnant, "chrono-Compatible Low-Level Date Algorithms": years
/// begin in March, so that the leap day is the last one.
fn date(days: u64) -> (u64, u64, u64) {
    // 719,468 days lie between 0000-03-01 and 1970-01-01; an era has 400 years, 146,097 days.
    let days = days.saturating_add(719_468);
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let leap_days =
        (day_of_era / 1460).saturating_sub(day_of_era / 36_524).saturating_add(day_of_era / 146_096);
    let year_of_era = day_of_era.saturating_sub(leap_days) / 365;
    let days_before =
        year_of_era.saturating_mul(365).saturating_add(year_of_era / 4).saturating_sub(year_of_era / 100);
    let day_of_year = day_of_era.saturating_sub(days_before);
    let shifted = day_of_year.saturating_mul(5).saturating_add(2) / 153;
    let day = day_of_year.saturating_sub(shifted.saturating_mul(153).saturating_add(2) / 5).saturating_add(1);
    let (month, next_year) =
        if shifted < 10 { (shifted.saturating_add(3), 0) } else { (shifted.saturating_sub(9), 1) };
    (era.saturating_mul(400).saturating_add(year_of_era).saturating_add(next_year), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    // covers: AUD-FLD-08, HOST-TRAP-08
    #[test]
    fn instants_are_utc() {
        for (milliseconds, expected) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399_999, "2000-02-28T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (951_868_800_000, "2000-03-01T00:00:00.000Z"),
            (1_709_164_800_000, "2024-02-29T00:00:00.000Z"),
            (1_735_689_599_123, "2024-12-31T23:59:59.123Z"),
            (1_795_512_600_007, "2026-11-24T09:30:00.007Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ] {
            let time = UnixTime::from_nanos(milliseconds * 1_000_000);
            assert_eq!(rfc3339(time), expected);
        }
        assert_eq!(rfc3339(UnixTime::from_nanos(u64::MAX)), "2554-07-21T23:34:33.709Z");
    }
}
