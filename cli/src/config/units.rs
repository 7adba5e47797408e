use std::{fmt, str::FromStr, time::Duration};

use bytesize::ByteSize;
use serde::{Deserialize, Serialize};

/// A size in bytes, written as `64MiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "String")]
pub(crate) struct Size(pub(crate) u64);

/// A duration, written as `10s`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct Span(pub(crate) Duration);

/// How a size may be written: with a unit, or as a number of bytes.
#[derive(Deserialize)]
#[serde(untagged, expecting = "a size like \"64MiB\"")]
enum Written {
    Bytes(u64),
    Text(String),
}

impl Size {
    /// The size where the machine counts in its own words.
    pub(crate) fn bytes(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl TryFrom<Written> for Size {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        match written {
            Written::Bytes(bytes) => Ok(Self(bytes)),
            Written::Text(text) => text.parse(),
        }
    }
}

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let size: ByteSize = text
            .parse()
            .map_err(|_| format!("\"{text}\" is no size; write for example 64MiB"))?;
        Ok(Self(size.as_u64()))
    }
}

impl fmt::Display for Size {
    /// In the largest unit that keeps it exact.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
        let unit = units
            .into_iter()
            .find(|(_, factor)| self.0 != 0 && self.0.is_multiple_of(*factor));
        match unit {
            Some((name, factor)) => write!(f, "{}{name}", self.0 / factor),
            None => write!(f, "{}B", self.0),
        }
    }
}

impl From<Size> for String {
    fn from(size: Size) -> Self {
        size.to_string()
    }
}

impl TryFrom<String> for Span {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        humantime::parse_duration(&text)
            .map(Self)
            .map_err(|error| format!("\"{text}\" is no duration ({error}); write for example 10s"))
    }
}

impl From<Span> for String {
    fn from(span: Span) -> Self {
        humantime::format_duration(span.0).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_durations() {
        for (text, bytes) in [
            ("64MiB", 64 << 20),
            ("1.5 KiB", 1536),
            ("10", 10),
            ("2GB", 2_000_000_000),
        ] {
            assert_eq!(text.parse(), Ok(Size(bytes)), "{text}");
        }
        for size in [Size(0), Size(1536), Size(64 << 20), Size(3 << 30), Size(1001)] {
            assert_eq!(size.to_string().parse(), Ok(size));
        }
        assert!("many".parse::<Size>().is_err());
        assert_eq!(
            Span::try_from("1m 30s".to_owned()),
            Ok(Span(Duration::from_secs(90)))
        );
        assert!(Span::try_from("soon".to_owned()).is_err());
    }
}
