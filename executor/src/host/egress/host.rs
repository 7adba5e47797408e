use std::{convert::Infallible, fmt, str::FromStr};

/// A host name, or with a leading `*.` all names below one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPattern(String);

impl HostPattern {
    /// True when the name fits; letter case and a final dot do not count.
    #[must_use]
    pub fn fits(&self, host: &str) -> bool {
        let host = normal(host);
        match self.0.strip_prefix("*.") {
            Some(domain) => host
                .strip_suffix(domain)
                .is_some_and(|rest| rest.len() > 1 && rest.ends_with('.')),
            None => self.0 == "*" || host == self.0,
        }
    }
}

fn normal(host: &str) -> String {
    let bare = host.strip_suffix('.').unwrap_or(host);
    let bare = bare
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(bare);
    bare.to_ascii_lowercase()
}

impl FromStr for HostPattern {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(normal(text.trim())))
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fits_names_and_domains() {
        let cases = [
            ("example.com", "EXAMPLE.com.", true),
            ("example.com", "www.example.com", false),
            ("*.example.com", "www.example.com", true),
            ("*.example.com", "a.b.example.com", true),
            ("*.example.com", "example.com", false),
            ("*.example.com", "badexample.com", false),
            ("*", "anything", true),
            ("::1", "[::1]", true),
        ];
        for (pattern, host, expected) in cases {
            let Ok(pattern) = pattern.parse::<HostPattern>();
            assert_eq!(pattern.fits(host), expected, "{pattern} {host}");
        }
    }
}
