//! Lengths of time as people write them.

use std::time::Duration;

const DAY: u64 = 24 * 60 * 60;

/// `540 s`, `5 min`, `1 h`, `30 days`, `2 weeks`, `6 months`, `3 years`; a whole number and a unit. A month is counted
/// as 31 days and a year as 366, so that "at least three years" is never a day short.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text[..digits].parse().ok()?;
    let unit = match text[digits..].trim_start() {
        "s" | "second" | "seconds" => 1,
        "min" | "minute" | "minutes" => 60,
        "h" | "hour" | "hours" => 60 * 60,
        "d" | "day" | "days" => DAY,
        "week" | "weeks" => 7 * DAY,
        "month" | "months" => 31 * DAY,
        "year" | "years" => 366 * DAY,
        _ => return None,
    };
    // 1,000 years: beyond it additions to a date overflow.
    number.checked_mul(unit).filter(|seconds| *seconds <= 1000 * 366 * DAY).map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time() {
        for (text, seconds) in [
            ("540 s", Some(540)),
            ("540s", Some(540)),
            ("5 min", Some(300)),
            ("1 hour", Some(3600)),
            ("30 days", Some(30 * DAY)),
            ("2 weeks", Some(14 * DAY)),
            ("3 years", Some(3 * 366 * DAY)),
            ("0 s", Some(0)),
            ("540", None),
            ("s", None),
            ("-1 s", None),
            ("1.5 h", None),
            ("3 fortnights", None),
            ("99999999999999999999 s", None),
            ("9999999999 years", None),
            ("", None),
        ] {
            assert_eq!(parse_duration(text), seconds.map(Duration::from_secs), "{text}");
        }
    }
}
