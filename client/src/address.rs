use std::{fmt, str::FromStr};

use kiln_proto::Error;

/// `host:port` of a gRPC listener.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Address(String);

impl Address {
    /// The address as a URI.
    #[must_use]
    pub fn uri(&self) -> String {
        format!("http://{}", self.0)
    }

    /// `host:port`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Reads a list of addresses separated by commas.
    ///
    /// # Errors
    /// `INVALID` when one is malformed or there is none.
    pub fn parse_list(text: &str) -> Result<Vec<Self>, Error> {
        text.split(',').map(|part| part.trim().parse()).collect()
    }
}

impl FromStr for Address {
    type Err = Error;

    /// Reads `host:port` or `http://host:port`.
    fn from_str(text: &str) -> Result<Self, Error> {
        let invalid = |why: &str| {
            Error::invalid(format!("\"{text}\" is not an endpoint: {why}"))
                .with_hint("write host:port or http://host:port")
        };
        if text.starts_with("https://") {
            return Err(invalid("TLS is not supported"));
        }
        let authority = text.strip_prefix("http://").unwrap_or(text).trim_end_matches('/');
        let (host, port) = authority
            .rsplit_once(':')
            .ok_or_else(|| invalid("the port is missing"))?;
        if host.is_empty() || host.contains(['/', '@', ' ']) {
            return Err(invalid("the host is missing or malformed"));
        }
        port.parse::<u16>()
            .map_err(|_| invalid("the port is not a number up to 65535"))?;
        Ok(Self(authority.to_owned()))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::Address;

    #[test]
    fn forms() {
        for good in [
            "127.0.0.1:7400",
            "http://127.0.0.1:7400/",
            "[::1]:7400",
            "executor-1:7400",
        ] {
            assert!(good.parse::<Address>().is_ok(), "{good}");
        }
        for bad in ["", "localhost", "https://a:1", "a:b", ":1", "a:70000", "a/b:1"] {
            assert!(bad.parse::<Address>().is_err(), "{bad}");
        }
        let list = Address::parse_list("a:1, http://b:2").expect("valid");
        assert_eq!(
            list.iter().map(Address::as_str).collect::<Vec<_>>(),
            ["a:1", "b:2"]
        );
    }
}
