use std::time::Duration;

use tokio::time::Instant;
use tonic::metadata::MetadataMap;

/// Answers leave this much before the caller's deadline, so that they arrive and say more than "time out".
const MARGIN_MAX: Duration = Duration::from_millis(50);

/// How long a caller waits, and how far the call has come.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// Until when an answer is of use; `None` when the caller waits as long as it takes.
    pub(crate) deadline: Option<Instant>,
    /// Nodes that have passed the call on.
    pub(crate) hops: u32,
}

impl Patience {
    /// Reads `grpc-timeout` and `kiln-hops`; without a time-out, `default` holds.
    pub(crate) fn from_metadata(metadata: &MetadataMap, default: Option<Duration>) -> Self {
        let text = |name: &str| metadata.get(name)?.to_str().ok();
        let timeout = text("grpc-timeout")
            .and_then(parse_timeout)
            .map(|timeout| timeout - (timeout / 10).min(MARGIN_MAX));
        Self {
            deadline: timeout
                .or(default)
                .and_then(|timeout| Instant::now().checked_add(timeout)),
            hops: text("kiln-hops").and_then(|hops| hops.parse().ok()).unwrap_or(0),
        }
    }

    /// A caller on this node.
    pub(crate) fn of(timeout: Option<Duration>) -> Self {
        Self {
            deadline: timeout.and_then(|timeout| Instant::now().checked_add(timeout)),
            hops: 0,
        }
    }

    /// What is left of the time.
    pub(crate) fn remaining(&self) -> Option<Duration> {
        self.deadline
            .map(|deadline| deadline.saturating_duration_since(Instant::now()))
    }
}

/// `grpc-timeout`: at most eight digits and a unit.
fn parse_timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.len() > 8 {
        return None;
    }
    let number: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(number * 3600)),
        "M" => Some(Duration::from_secs(number * 60)),
        "S" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_millis(number)),
        "u" => Some(Duration::from_micros(number)),
        "n" => Some(Duration::from_nanos(number)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_all_units_and_nothing_else() {
        let cases = [
            ("2S", Some(Duration::from_secs(2))),
            ("150m", Some(Duration::from_millis(150))),
            ("1H", Some(Duration::from_secs(3600))),
            ("99999999n", Some(Duration::from_nanos(99_999_999))),
            ("123456789S", None),
            ("S", None),
            ("", None),
            ("5x", None),
            ("ß", None),
        ];
        for (text, expected) in cases {
            assert_eq!(parse_timeout(text), expected, "{text}");
        }
    }
}
