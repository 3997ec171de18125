//! Dates, times and durations: RFC 3339.

use super::all_digits;

/// RFC 3339 section 5.6 `date-time`.
pub(super) fn date_time(text: &str) -> bool {
    text.split_once(['T', 't']).is_some_and(|(day, clock)| date(day) && time(clock))
}

/// RFC 3339 `full-date`.
pub(super) fn date(text: &str) -> bool {
    let mut parts = text.split('-');
    let [Some(year), Some(month), Some(day), None] = [parts.next(), parts.next(), parts.next(), parts.next()]
    else {
        return false;
    };
    let (Some(year), Some(month), Some(day)) = (digits(year, 4), digits(month, 2), digits(day, 2)) else {
        return false;
    };
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let last = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => return false,
    };
    (1..=last).contains(&day)
}

/// RFC 3339 `full-time`. Second 60 only at 23:59 UTC, where leap seconds are.
pub(super) fn time(text: &str) -> bool {
    let (clock, offset) = match text.find(['Z', 'z', '+', '-']).and_then(|at| text.split_at_checked(at)) {
        Some((clock, "Z" | "z")) => (clock, 0),
        Some((clock, offset)) => {
            let Some((hours, minutes)) = offset.get(1..).and_then(|offset| offset.split_once(':')) else {
                return false;
            };
            let (Some(hours @ 0..=23), Some(minutes @ 0..=59)) = (digits(hours, 2), digits(minutes, 2))
            else {
                return false;
            };
            let size = i64::from(hours).saturating_mul(60).saturating_add(i64::from(minutes));
            (clock, if offset.starts_with('-') { size.saturating_neg() } else { size })
        }
        None => return false,
    };
    let (clock, fraction) =
        clock.split_once('.').map_or((clock, None), |(clock, fraction)| (clock, Some(fraction)));
    if fraction.is_some_and(|fraction| fraction.is_empty() || !all_digits(fraction)) {
        return false;
    }
    let mut parts = clock.split(':');
    let [Some(hour), Some(minute), Some(second), None] =
        [parts.next(), parts.next(), parts.next(), parts.next()]
    else {
        return false;
    };
    match (digits(hour, 2), digits(minute, 2), digits(second, 2)) {
        (Some(0..=23), Some(0..=59), Some(0..=59)) => true,
        (Some(hour @ 0..=23), Some(minute @ 0..=59), Some(60)) => {
            let local = i64::from(hour).saturating_mul(60).saturating_add(i64::from(minute));
            local.saturating_sub(offset).rem_euclid(1440) == 1439
        }
        _ => false,
    }
}

/// RFC 3339 appendix A `duration` (ISO 8601).
pub(super) fn duration(text: &str) -> bool {
    let Some(rest) = text.strip_prefix('P') else {
        return false;
    };
    if let Some(weeks) = rest.strip_suffix('W') {
        return !weeks.is_empty() && all_digits(weeks);
    }
    let (day, clock) = rest.split_once('T').map_or((rest, None), |(day, clock)| (day, Some(clock)));
    let clock_fits = clock.is_none_or(|clock| !clock.is_empty() && units(clock, "HMS"));
    clock_fits && units(day, "YMD") && !(day.is_empty() && clock.is_none())
}

/// Numbers with units, in this order and without a gap, as the grammar of RFC 3339 has it.
fn units(text: &str, order: &str) -> bool {
    let mut rest = text;
    let mut last = None;
    while !rest.is_empty() {
        let Some((number, unit)) =
            rest.find(|c: char| !c.is_ascii_digit()).and_then(|at| rest.split_at_checked(at))
        else {
            return false;
        };
        let Some(place) = unit.chars().next().and_then(|unit| order.find(unit)) else {
            return false;
        };
        if number.is_empty() || last.is_some_and(|last: usize| place != last.saturating_add(1)) {
            return false;
        }
        last = Some(place);
        rest = unit.get(1..).unwrap_or_default();
    }
    true
}

/// A number of exactly `count` ASCII digits.
fn digits(text: &str, count: usize) -> Option<u32> {
    if text.len() == count && all_digits(text) { text.parse().ok() } else { None }
}
