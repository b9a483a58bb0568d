//! `google.protobuf.Timestamp` and `Duration` as text and back.
//! Grammar: timestamp = RFC 3339 with `T` and `Z` in capitals, years 0001 to 9999, at most nine digits of a second;
//! duration = `-? digits ("." 1*9digit)? "s"`, at most ±315,576,000,000 s (see timestamp.proto and duration.proto).

const FIRST_SECOND: i64 = -62_135_596_800;
const LAST_SECOND: i64 = 253_402_300_799;
const LONGEST: i64 = 315_576_000_000;
const NANOS: i32 = 1_000_000_000;
const DAY: i64 = 86_400;

/// Writes a timestamp in UTC with 0, 3, 6 or 9 digits of a second, without quotes; an error says what is out of range.
pub(super) fn put_timestamp(out: &mut Vec<u8>, seconds: i64, nanos: i32) -> Result<(), String> {
    if !(FIRST_SECOND..=LAST_SECOND).contains(&seconds) {
        return Err(format!("a timestamp of {seconds} seconds is outside the years 0001 to 9999"));
    }
    if !(0..NANOS).contains(&nanos) {
        return Err(format!("a timestamp's nanos of {nanos} are outside 0 to 999999999"));
    }
    let (year, month, day) = civil(seconds.div_euclid(DAY));
    let time = seconds.rem_euclid(DAY);
    put_digits(out, year as u32, 4);
    out.push(b'-');
    put_digits(out, month, 2);
    out.push(b'-');
    put_digits(out, day, 2);
    out.push(b'T');
    put_digits(out, (time / 3600) as u32, 2);
    out.push(b':');
    put_digits(out, (time / 60 % 60) as u32, 2);
    out.push(b':');
    put_digits(out, (time % 60) as u32, 2);
    put_fraction(out, nanos.unsigned_abs());
    out.push(b'Z');
    Ok(())
}

/// Writes a duration with 0, 3, 6 or 9 digits of a second, without quotes; an error says what is wrong with it.
pub(super) fn put_duration(out: &mut Vec<u8>, seconds: i64, nanos: i32) -> Result<(), String> {
    check_duration(seconds, nanos)?;
    if seconds < 0 || nanos < 0 {
        out.push(b'-');
    }
    out.extend_from_slice(itoa::Buffer::new().format(seconds.unsigned_abs()).as_bytes());
    put_fraction(out, nanos.unsigned_abs());
    out.push(b's');
    Ok(())
}

fn check_duration(seconds: i64, nanos: i32) -> Result<(), String> {
    if !(-LONGEST..=LONGEST).contains(&seconds) {
        return Err(format!("a duration of {seconds} seconds is outside ±{LONGEST}"));
    }
    if nanos <= -NANOS || nanos >= NANOS {
        return Err(format!("a duration's nanos of {nanos} are outside ±999999999"));
    }
    if seconds < 0 && nanos > 0 || seconds > 0 && nanos < 0 {
        return Err(format!("a duration's seconds ({seconds}) and nanos ({nanos}) differ in sign"));
    }
    Ok(())
}

/// Reads an RFC 3339 timestamp as seconds since 1970 and nanoseconds.
pub(super) fn parse_timestamp(text: &str) -> Result<(i64, i32), String> {
    let expected = || format!("`{text}` is not an RFC 3339 timestamp such as `2024-05-17T08:30:00Z`");
    let bytes = text.as_bytes();
    let (Some(head), Some(mut rest)) = (bytes.get(..19), bytes.get(19..)) else { return Err(expected()) };
    let separators = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
    if separators.iter().any(|(at, byte)| head[*at] != *byte) {
        return Err(expected());
    }
    let number = |from: usize, to: usize| digits(&head[from..to]).ok_or_else(expected);
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    if !(1..=12).contains(&month)
        || day < 1
        || day > days_in(year, month)
        || hour > 23
        || minute > 59
        || second > 59
    {
        return Err(format!("`{text}` names a date or time that does not exist"));
    }
    let nanos = fraction(&mut rest).ok_or_else(expected)?;
    let offset = match *rest {
        [b'Z'] => 0,
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let (hours, minutes) =
                (digits(&[h1, h2]).ok_or_else(expected)?, digits(&[m1, m2]).ok_or_else(expected)?);
            if hours > 23 || minutes > 59 {
                return Err(expected());
            }
            let seconds = hours * 3600 + minutes * 60;
            if sign == b'+' { seconds } else { -seconds }
        }
        _ => return Err(expected()),
    };
    let seconds = days(year, month, day) * DAY + hour * 3600 + minute * 60 + second - offset;
    if !(FIRST_SECOND..=LAST_SECOND).contains(&seconds) {
        return Err(format!("`{text}` is outside the years 0001 to 9999"));
    }
    Ok((seconds, nanos))
}

/// Reads a duration such as `1.5s` as seconds and nanoseconds of one sign.
pub(super) fn parse_duration(text: &str) -> Result<(i64, i32), String> {
    let expected = || format!("`{text}` is not a duration in seconds such as `1.5s`");
    let body = text.strip_suffix('s').ok_or_else(expected)?;
    let (negative, body) = body.strip_prefix('-').map_or((false, body), |body| (true, body));
    let whole = body.bytes().take_while(u8::is_ascii_digit).count();
    let mut rest = &body.as_bytes()[whole..];
    let nanos = fraction(&mut rest).filter(|_| rest.is_empty() && whole > 0).ok_or_else(expected)?;
    // Thirteen digits are past the limit already; the leading zeros of a longer number are not worth reading.
    let seconds = if whole <= 13 { digits(&body.as_bytes()[..whole]) } else { None };
    let seconds = seconds.filter(|seconds| *seconds <= LONGEST);
    let seconds = seconds.ok_or_else(|| format!("`{text}` is outside ±{LONGEST} seconds"))?;
    Ok(if negative { (-seconds, -nanos) } else { (seconds, nanos) })
}

/// Takes `.` and one to nine digits off the front, as nanoseconds; nothing there is zero.
fn fraction(rest: &mut &[u8]) -> Option<i32> {
    let Some((b'.', after)) = rest.split_first() else { return Some(0) };
    let length = after.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if !(1..=9).contains(&length) {
        return None;
    }
    *rest = &after[length..];
    let value = digits(&after[..length])? * 10i64.pow(9 - length as u32);
    i32::try_from(value).ok()
}

/// At most thirteen digits as a number.
fn digits(text: &[u8]) -> Option<i64> {
    if text.len() > 13 {
        return None;
    }
    text.iter()
        .try_fold(0i64, |value, byte| byte.is_ascii_digit().then(|| value * 10 + i64::from(byte - b'0')))
}

fn put_digits(out: &mut Vec<u8>, value: u32, width: u32) {
    for place in (0..width).rev() {
        out.push(b'0' + (value / 10u32.pow(place) % 10) as u8);
    }
}

fn put_fraction(out: &mut Vec<u8>, nanos: u32) {
    if nanos == 0 {
        return;
    }
    out.push(b'.');
    if nanos.is_multiple_of(1_000_000) {
        put_digits(out, nanos / 1_000_000, 3);
    } else if nanos.is_multiple_of(1_000) {
        put_digits(out, nanos / 1_000, 6);
    } else {
        put_digits(out, nanos, 9);
    }
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Days from 1970-01-01 to a date of the proleptic Gregorian calendar (Howard Hinnant's `days_from_civil`).
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// The date that many days after 1970-01-01 (`civil_from_days`).
fn civil(days: i64) -> (i64, u32, u32) {
    let days = days + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month as u32, day as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_round_trip() {
        for text in [
            "0001-01-01T00:00:00Z",
            "9999-12-31T23:59:59.999999999Z",
            "1970-01-01T00:00:00Z",
            "1969-12-31T23:59:59.500Z",
            "2000-02-29T12:34:56.000001Z",
            "1900-03-01T00:00:00.120Z",
        ] {
            let (seconds, nanos) = parse_timestamp(text).unwrap();
            let mut out = Vec::new();
            put_timestamp(&mut out, seconds, nanos).unwrap();
            assert_eq!(String::from_utf8(out).unwrap(), text);
        }
    }

    #[test]
    fn timestamps_as_written_elsewhere() {
        for (text, want) in [
            ("1970-01-01T01:00:00+01:00", Some((0, 0))),
            ("1969-12-31T16:00:00.5-08:00", Some((0, 500_000_000))),
            ("0001-01-01T00:00:00+01:00", None),
            ("1970-01-01t00:00:00Z", None),
            ("1970-01-01T00:00:00z", None),
            ("1970-01-01 00:00:00Z", None),
            ("1970-01-01T00:00:00", None),
            ("1970-01-01T00:00:00.Z", None),
            ("1970-01-01T00:00:00.0123456789Z", None),
            ("1970-01-01T00:00:00+0100", None),
            ("1970-01-01T00:00:00+24:00", None),
            ("1970-02-30T00:00:00Z", None),
            ("1970-01-01T24:00:00Z", None),
            ("1970-01-01T00:00:60Z", None),
            ("1900-02-29T00:00:00Z", None),
            ("+970-01-01T00:00:00Z", None),
            ("ä970-01-01T00:00:00Z", None),
            ("", None),
        ] {
            assert_eq!(parse_timestamp(text).ok(), want, "{text}");
        }
        assert!(put_timestamp(&mut Vec::new(), LAST_SECOND + 1, 0).is_err());
        assert!(put_timestamp(&mut Vec::new(), FIRST_SECOND - 1, 0).is_err());
        assert!(put_timestamp(&mut Vec::new(), 0, -1).is_err());
    }

    #[test]
    fn durations() {
        for (text, want, back) in [
            ("1.5s", Some((1, 500_000_000)), "1.500s"),
            ("0s", Some((0, 0)), "0s"),
            ("-0.5s", Some((0, -500_000_000)), "-0.500s"),
            ("-315576000000.999999999s", Some((-315_576_000_000, -999_999_999)), "-315576000000.999999999s"),
            ("1.000001s", Some((1, 1_000)), "1.000001s"),
            ("315576000001s", None, ""),
            ("1", None, ""),
            ("s", None, ""),
            ("1.s", None, ""),
            (".5s", None, ""),
            ("+1s", None, ""),
            ("1 s", None, ""),
            ("99999999999999999999s", None, ""),
        ] {
            let parsed = parse_duration(text).ok();
            assert_eq!(parsed, want, "{text}");
            if let Some((seconds, nanos)) = parsed {
                let mut out = Vec::new();
                put_duration(&mut out, seconds, nanos).unwrap();
                assert_eq!(String::from_utf8(out).unwrap(), back);
            }
        }
        assert!(put_duration(&mut Vec::new(), 1, -1).is_err());
        assert!(put_duration(&mut Vec::new(), -1, 1).is_err());
        assert!(put_duration(&mut Vec::new(), 0, NANOS).is_err());
    }

    #[test]
    fn every_day_round_trips() {
        for day in (FIRST_SECOND / DAY..=LAST_SECOND / DAY).step_by(97) {
            let (year, month, of_month) = civil(day);
            assert_eq!(days(year, i64::from(month), i64::from(of_month)), day);
        }
    }
}
