//! Instants as text: RFC 3339.
//!
//! Written in UTC with exactly three decimals. Read with any offset and any number of decimals, of which
//! three count; `T` and `Z` in either case. A leap second (`23:59:60` in UTC) is read as the last
//! millisecond of its minute. Only the years 0000 to 9999 have a text: what lies outside is refused when
//! read, and written as the nearest instant inside.

use jiff::SignedDuration;
use jiff::civil::DateTime;
use ledger_core::limits::DAY_MS;
use ledger_core::time::Timestamp;

/// The first instant that has a text: `0000-01-01T00:00:00.000Z`.
pub const FIRST: Timestamp = Timestamp::from_millis(-62_167_219_200_000);

/// The last instant that has a text: `9999-12-31T23:59:59.999Z`.
pub const LAST: Timestamp = Timestamp::from_millis(253_402_300_799_999);

/// The text is no instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an instant, expected RFC 3339 such as 2026-03-01T10:00:00.000Z")]
pub struct InvalidInstant;

const EPOCH: DateTime = DateTime::constant(1970, 1, 1, 0, 0, 0, 0);
const MINUTE_MS: i64 = 60_000;

/// Writes an instant.
#[must_use]
pub fn format_instant(instant: Timestamp) -> String {
    let mut text = Vec::with_capacity(24);
    put_instant(&mut text, instant);
    // Digits and signs.
    String::from_utf8(text).unwrap_or_default()
}

/// Appends the text of an instant: every answer and every payload holds a few.
pub(super) fn put_instant(out: &mut Vec<u8>, instant: Timestamp) {
    let ms = instant.clamp(FIRST, LAST).as_millis();
    // Within the clamp the calendar has every instant.
    let at = EPOCH.checked_add(SignedDuration::from_millis(ms)).unwrap_or(EPOCH);
    let mut text = *b"0000-00-00T00:00:00.000Z";
    for (number, end) in [
        (at.year(), 4),
        (at.month().into(), 7),
        (at.day().into(), 10),
        (at.hour().into(), 13),
        (at.minute().into(), 16),
        (at.second().into(), 19),
        (at.millisecond(), 23),
    ] {
        let (mut rest, mut digits) = (number.unsigned_abs(), text[..end].iter_mut().rev());
        while let (1.., Some(digit)) = (rest, digits.next()) {
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
    }
    out.extend_from_slice(&text);
}

/// Reads an instant, cutting off what is finer than a millisecond.
pub fn parse_instant(text: &str) -> Result<Timestamp, InvalidInstant> {
    let (date_time, rest) = text.split_at_checked(SECONDS_SHAPE.len()).ok_or(InvalidInstant)?;
    if !has_shape(date_time.as_bytes(), SECONDS_SHAPE) {
        return Err(InvalidInstant);
    }
    let civil: DateTime = date_time.parse().map_err(|_| InvalidInstant)?;
    let (millis, offset) = split_fraction(rest)?;
    let offset_ms = offset_minutes(offset)? * MINUTE_MS;
    let whole_ms = milliseconds(civil.duration_since(EPOCH))? - offset_ms;
    let ms = if date_time.ends_with("60") {
        // The calendar reads it as second 59.
        if whole_ms.rem_euclid(DAY_MS) != DAY_MS - 1000 {
            return Err(InvalidInstant);
        }
        whole_ms + 999
    } else {
        whole_ms + millis
    };
    let instant = Timestamp::from_millis(ms);
    if (FIRST..=LAST).contains(&instant) { Ok(instant) } else { Err(InvalidInstant) }
}

const SECONDS_SHAPE: &[u8] = b"0000-00-00T00:00:00";

/// The calendar alone would take more than RFC 3339: other separators, years with a sign.
fn has_shape(text: &[u8], shape: &[u8]) -> bool {
    text.len() == shape.len()
        && text.iter().zip(shape).all(|(byte, expected)| match expected {
            b'0' => byte.is_ascii_digit(),
            _ => byte.eq_ignore_ascii_case(expected),
        })
}

/// The milliseconds of `.123…`, and what follows.
fn split_fraction(rest: &str) -> Result<(i64, &str), InvalidInstant> {
    let Some(decimals) = rest.strip_prefix('.') else {
        return Ok((0, rest));
    };
    let end = decimals.bytes().take_while(u8::is_ascii_digit).count();
    if end == 0 {
        return Err(InvalidInstant);
    }
    let (digits, rest) = decimals.split_at(end);
    let digit = |place: usize| digits.as_bytes().get(place).map_or(0, |byte| i64::from(byte - b'0'));
    Ok((digit(0) * 100 + digit(1) * 10 + digit(2), rest))
}

/// The minutes that local time is ahead of UTC.
fn offset_minutes(text: &str) -> Result<i64, InvalidInstant> {
    let bytes = text.as_bytes();
    if matches!(bytes, [b'Z' | b'z']) {
        return Ok(0);
    }
    if !has_shape(bytes.get(1..).unwrap_or_default(), b"00:00") {
        return Err(InvalidInstant);
    }
    let two = |at: usize| i64::from(bytes[at] - b'0') * 10 + i64::from(bytes[at + 1] - b'0');
    let (hours, minutes) = (two(1), two(4));
    match bytes[0] {
        _ if hours > 23 || minutes > 59 => Err(InvalidInstant),
        b'+' => Ok(hours * 60 + minutes),
        b'-' => Ok(-(hours * 60 + minutes)),
        _ => Err(InvalidInstant),
    }
}

fn milliseconds(duration: SignedDuration) -> Result<i64, InvalidInstant> {
    i64::try_from(duration.as_millis()).map_err(|_| InvalidInstant)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ms(text: &str) -> Option<i64> {
        parse_instant(text).ok().map(Timestamp::as_millis)
    }

    #[test]
    fn reads_what_rfc_3339_allows() {
        let noon = Some(1_772_366_400_000);
        for text in [
            "2026-03-01T12:00:00Z",
            "2026-03-01t12:00:00z",
            "2026-03-01T12:00:00.000Z",
            "2026-03-01T12:00:00.0009999999999999Z",
            "2026-03-01T13:30:00+01:30",
            "2026-02-28T23:00:00-13:00",
            "2026-03-01T12:00:00-00:00",
        ] {
            assert_eq!(ms(text), noon, "{text}");
        }
        assert_eq!(ms("2026-03-01T12:00:00.1Z"), noon.map(|ms| ms + 100));
        assert_eq!(ms("1969-12-31T23:59:59.9999Z"), Some(-1));
    }

    #[test]
    fn a_leap_second_ends_its_minute() {
        assert_eq!(ms("2016-12-31T23:59:60Z"), ms("2016-12-31T23:59:59.999Z"));
        assert_eq!(ms("2017-01-01T00:59:60.5+01:00"), ms("2016-12-31T23:59:59.999Z"));
        assert_eq!(ms("2016-12-31T22:59:60Z"), None);
    }

    #[test]
    fn refuses_everything_else() {
        for text in [
            "",
            "2026-03-01",
            "2026-03-01 12:00:00Z",
            "2026-03-01T12:00:00",
            "2026-03-01T12:00Z",
            "2026-03-01T12:00:00.Z",
            "2026-03-01T12:00:00,5Z",
            "2026-03-01T12:00:00+0100",
            "2026-03-01T12:00:00+24:00",
            "2026-03-01T12:00:00+01:60",
            "2026-03-01T12:00:00*01:00",
            "2026-03-01T12:00:00Z[UTC]",
            "2026-03-01T12:00:00Z ",
            "2026-02-29T12:00:00Z",
            "2026-13-01T12:00:00Z",
            "2026-03-00T12:00:00Z",
            "2026-03-01T24:00:00Z",
            "2026-03-01T12:60:00Z",
            "2026-03-01T12:00:61Z",
            "+002026-03-01T12:00:00Z",
            "20260301T120000Z",
            "0000-01-01T00:00:00+00:01",
            "9999-12-31T23:59:59-00:01",
            "２026-03-01T12:00:00Z",
            "1772366400000",
        ] {
            assert_eq!(ms(text), None, "{text}");
        }
    }

    #[test]
    fn instants_without_a_text_are_written_as_the_nearest() {
        for (instant, text) in [
            (Timestamp::MIN, "0000-01-01T00:00:00.000Z"),
            (FIRST, "0000-01-01T00:00:00.000Z"),
            (LAST, "9999-12-31T23:59:59.999Z"),
            (Timestamp::MAX, "9999-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(format_instant(instant), text);
        }
    }

    proptest! {
        #[test]
        fn is_read_as_it_was_written(ms in FIRST.as_millis()..=LAST.as_millis()) {
            let text = format_instant(Timestamp::from_millis(ms));
            prop_assert_eq!(text.len(), 24);
            prop_assert_eq!(parse_instant(&text), Ok(Timestamp::from_millis(ms)));
        }

        #[test]
        fn never_panics(text in "\\PC{0,40}", ms: i64) {
            let _ = parse_instant(&text);
            let _ = format_instant(Timestamp::from_millis(ms));
        }
    }
}
