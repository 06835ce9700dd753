//! Points of time as people write them and as statements hold them: seconds since 1970, UTC.

use crate::failure::Failure;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Now, in seconds since 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// A date (its first second), a date with a time in UTC (RFC 3339), or seconds since 1970.
pub(crate) fn parse(text: &str) -> Result<u64, Failure> {
    let seconds = text.parse().ok();
    let whole = if text.len() == DATE_BYTES { format!("{text}T00:00:00Z") } else { text.to_owned() };
    let date = || whole.parse::<der::DateTime>().ok().map(|date| date.unix_duration().as_secs());
    seconds.or_else(date).ok_or_else(|| {
        Failure::new("is no point of time", text, "write 2027-01-31, 2027-01-31T12:00:00Z or seconds since 1970")
    })
}

/// RFC 3339 in UTC.
pub(crate) fn print(seconds: u64) -> String {
    let date = der::DateTime::from_unix_duration(Duration::from_secs(seconds));
    date.map_or_else(|_| format!("{seconds} s since 1970"), |date| date.to_string())
}

/// Bytes of `2027-01-31`.
const DATE_BYTES: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_a_time_and_seconds_mean_the_same_and_come_back() {
        for text in ["2027-01-31", "2027-01-31T00:00:00Z", "1801353600"] {
            assert_eq!(parse(text), Ok(1_801_353_600), "{text}");
        }
        assert_eq!(print(1_801_353_600), "2027-01-31T00:00:00Z");
        for text in ["", "31.1.2027", "2027-02-30", "2027-01-31T00:00:00+01:00", "-1"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
