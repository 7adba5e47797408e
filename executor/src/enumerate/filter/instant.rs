/// `2026-01-31T12:00:00[.123]Z` or with an offset such as `+01:00`, as nanoseconds since the Unix epoch.
pub(super) fn parse_instant(text: &str) -> Option<u64> {
    let (date, rest) = text.split_once(['T', 't', ' '])?;
    let mut parts = date.splitn(3, '-').map(number);
    let (year, month, day) = (parts.next()??, parts.next()??, parts.next()??);
    let (time, offset_s) = split_offset(rest)?;
    let (time, fraction_ns) = match time.split_once('.') {
        Some((time, digits)) => (time, fraction(digits)?),
        None => (time, 0),
    };
    let mut parts = time.splitn(3, ':').map(number);
    let (hour, minute, second) = (parts.next()??, parts.next()??, parts.next()??);
    let is_valid =
        (1..=12).contains(&month) && (1..=31).contains(&day) && hour < 24 && minute < 60 && second <= 60;
    if !is_valid || !(1970..=2500).contains(&year) {
        return None;
    }
    let seconds = days_from_civil(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - offset_s;
    u64::try_from(seconds)
        .ok()?
        .checked_mul(1_000_000_000)?
        .checked_add(fraction_ns)
}

fn number(text: &str) -> Option<i64> {
    let is_plain = !text.is_empty() && text.len() <= 4 && text.bytes().all(|byte| byte.is_ascii_digit());
    is_plain.then(|| text.parse().ok())?
}

fn split_offset(text: &str) -> Option<(&str, i64)> {
    if let Some(time) = text.strip_suffix(['Z', 'z']) {
        return Some((time, 0));
    }
    let at = text.rfind(['+', '-'])?;
    let (hours, minutes) = text[at + 1..].split_once(':')?;
    let offset_s = number(hours)? * 3600 + number(minutes)? * 60;
    Some((
        &text[..at],
        if text[at..].starts_with('-') {
            -offset_s
        } else {
            offset_s
        },
    ))
}

fn fraction(digits: &str) -> Option<u64> {
    if digits.is_empty() || digits.len() > 9 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits
        .parse::<u64>()
        .ok()?
        .checked_mul(10u64.pow(9 - u32::try_from(digits.len()).ok()?))
}

/// Days from 1970-01-01 to a Gregorian date.
/// Source: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", `days_from_civil`.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year / 400;
    let year_of_era = year - era * 400;
    let shifted_month = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * shifted_month + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
mod tests {
    use kiln_proto::convert::rfc3339;

    use super::*;

    #[test]
    fn reads_what_is_printed() {
        for ns in [0, 951_782_400_123_000_000, 1_795_564_799_999_000_000] {
            assert_eq!(parse_instant(&rfc3339(ns)), Some(ns));
        }
    }

    #[test]
    fn reads_offsets_and_refuses_nonsense() {
        assert_eq!(parse_instant("1970-01-01T01:00:00+01:00"), Some(0));
        for text in [
            "",
            "yesterday",
            "2026-13-01T00:00:00Z",
            "2026-01-01",
            "2026-01-01T25:00:00Z",
            "9999999-1-1T0:0:0Z",
        ] {
            assert_eq!(parse_instant(text), None, "{text}");
        }
    }
}
