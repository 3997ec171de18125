//! The date of `Expires`, as a browser reads it.

use portcullis_core::UnixTime;

const MONTHS: [&[u8; 3]; 12] =
    [b"jan", b"feb", b"mar", b"apr", b"may", b"jun", b"jul", b"aug", b"sep", b"oct", b"nov", b"dec"];

/// Days of a year before the first of each month, without a leap day.
const DAYS_BEFORE: [u64; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];

/// Reads a date by the lenient algorithm of RFC 6265bis section 5.1.1; none for what is no date, which a browser
/// ignores together with its attribute. A date before 1970 is the epoch: past is past. One pass, no allocation.
#[must_use]
pub fn parse(text: &[u8]) -> Option<UnixTime> {
    let (mut time, mut day, mut month, mut year) = (None, None, None, None);
    for token in text.split(|byte| is_delimiter(*byte)).filter(|token| !token.is_empty()) {
        // The first token that can be a part is it: the order below is the standard's.
        if let (None, Some(found)) = (time, time_of_day(token)) {
            time = Some(found);
        } else if let (None, Some(found)) = (day, number(token, 1, 2)) {
            day = Some(found);
        } else if let (None, Some(found)) = (month, month_index(token)) {
            month = Some(found);
        } else if let (None, Some(found)) = (year, number(token, 2, 4)) {
            year = Some(found);
        }
    }
    let year = match year? {
        year @ 70..=99 => year.saturating_add(1900),
        year @ 0..=69 => year.saturating_add(2000),
        year => year,
    };
    let (month, day, (hour, minute, second)) = (month?, day?, time?);
    if year < 1601 || !(1..=days_of(year, month)).contains(&day) || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let days = days_until(year, month)?.saturating_add(day).saturating_sub(1);
    let hours = days.saturating_mul(24).saturating_add(hour);
    let minutes = hours.saturating_mul(60).saturating_add(minute);
    Some(if year < 1970 {
        UnixTime::default()
    } else {
        UnixTime::from_secs(minutes.saturating_mul(60).saturating_add(second))
    })
}

const fn is_delimiter(byte: u8) -> bool {
    matches!(byte, b'\t' | 0x20..=0x2f | 0x3b..=0x40 | 0x5b..=0x60 | 0x7b..=0x7e)
}

/// `min` to `max` digits; what follows a byte that is no digit does not matter.
fn number(token: &[u8], min: usize, max: usize) -> Option<u64> {
    let digits = token.iter().take_while(|byte| byte.is_ascii_digit());
    if !(min..=max).contains(&digits.clone().count()) {
        return None;
    }
    Some(digits.fold(0, |number: u64, digit| {
        number.saturating_mul(10).saturating_add(u64::from(digit.saturating_sub(b'0')))
    }))
}

/// Hour, minute and second, each of one or two digits, in whatever range.
fn time_of_day(token: &[u8]) -> Option<(u64, u64, u64)> {
    let mut parts = token.splitn(3, |byte| *byte == b':');
    let (hour, minute, second) = (parts.next()?, parts.next()?, parts.next()?);
    let whole = |part: &[u8]| part.iter().all(u8::is_ascii_digit).then(|| number(part, 1, 2)).flatten();
    Some((whole(hour)?, whole(minute)?, number(second, 1, 2)?))
}

/// 0 for January.
fn month_index(token: &[u8]) -> Option<usize> {
    let start = token.first_chunk::<3>()?;
    MONTHS.iter().position(|month| month.eq_ignore_ascii_case(start))
}

const fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

fn days_of(year: u64, month: usize) -> u64 {
    match month {
        1 if is_leap(year) => 29,
        1 => 28,
        3 | 5 | 8 | 10 => 30,
        _ => 31,
    }
}

/// Days from the epoch to the first of a month; 0 for a year before it.
fn days_until(year: u64, month: usize) -> Option<u64> {
    let before = year.checked_sub(1)?;
    // 477 leap days from the year 1 to 1969.
    let leap_days =
        (before / 4).saturating_sub(before / 100).saturating_add(before / 400).saturating_sub(477);
    let leap_day = u64::from(month > 1 && is_leap(year));
    let days = year.saturating_sub(1970).saturating_mul(365).saturating_add(leap_days);
    Some(days.saturating_add(*DAYS_BEFORE.get(month)?).saturating_add(leap_day))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn dates_are_read_as_browsers_do() {
        for (text, expected) in [
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(784_111_777)),
            ("Sunday, 06-Nov-94 08:49:37 GMT", Some(784_111_777)),
            ("Sun Nov  6 08:49:37 1994", Some(784_111_777)),
            ("6 november 94 8:49:37", Some(784_111_777)),
            ("1994/Nov/6 08:49:37 +0000", Some(784_111_777)),
            ("Thu, 01 Jan 1970 00:00:00 GMT", Some(0)),
            ("Wed, 31 Dec 1969 23:59:59 GMT", Some(0)),
            ("Mon, 01 Jan 1601 00:00:00 GMT", Some(0)),
            ("Thu, 29 Feb 2024 00:00:00 GMT", Some(1_709_164_800)),
            ("Fri, 01 Mar 2024 00:00:00 GMT", Some(1_709_251_200)),
            ("Tue, 29 Feb 2000 12:00:00 GMT", Some(951_825_600)),
            ("Tue, 19 Jan 2038 03:14:08 GMT", Some(2_147_483_648)),
            ("01 Jan 69 00:00:00", Some(3_124_224_000)),
            ("01 Jan 70 00:00:00", Some(0)),
            // A list of one part more than needed: the first of each kind counts.
            ("06 Nov 1994 08:49:37 07 Dec 1995 09:50:38", Some(784_111_777)),
            ("Sun, 06 Nov 1994 08:49:37x GMT", Some(784_111_777)),
            ("Fri, 29 Feb 2100 00:00:00 GMT", None),
            ("Wed, 29 Feb 2023 00:00:00 GMT", None),
            ("31 Apr 2024 00:00:00", None),
            ("00 Apr 2024 00:00:00", None),
            ("01 Jan 1600 00:00:00", None),
            ("01 Jan 999 00:00:00", None),
            ("01 Jan 20240 00:00:00", None),
            ("01 Jan 2024 24:00:00", None),
            ("01 Jan 2024 00:60:00", None),
            ("01 Jan 2024 00:00:60", None),
            ("01 Jan 2024 00:00", None),
            ("01 Jan 2024 000:00:00", None),
            ("01 Jan 2024 0x:00:00", None),
            ("01 Foo 2024 00:00:00", None),
            ("2024-01-01T00:00:00Z", None),
            ("0", None),
            ("", None),
        ] {
            assert_eq!(parse(text.as_bytes()), expected.map(UnixTime::from_secs), "{text}");
        }
        // Beyond the clock's end, which is still the future.
        assert_eq!(parse(b"31 Dec 9999 23:59:59"), Some(UnixTime::from_secs(u64::MAX)));
    }

    #[test]
    fn every_day_of_five_centuries_is_counted_once() {
        let mut days = 0_u64..;
        for year in 1970..2470 {
            for (month, name) in MONTHS.iter().enumerate() {
                for day in 1..=31 {
                    let text = format!("{day} {} {year} 23:59:59", name.escape_ascii());
                    let found = parse(text.as_bytes()).map(|date| date.as_secs() / 86_400);
                    let expected = if day <= days_of(year, month) { days.next() } else { None };
                    assert_eq!(found, expected, "{text}");
                }
            }
        }
        // As Gregory's calendar has them: 365.2425 a year.
        assert_eq!(days.next(), Some(182_622));
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_date_or_none(text in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = parse(&text);
        }
    }
}
