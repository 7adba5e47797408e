use axum::{extract::FromRequestParts, http::request::Parts};
use kiln_proto::Error;

use super::error::Failure;

/// Query parameters, of which some may come several times.
pub(super) struct Parameters(Vec<(String, String)>);

impl<S: Sync> FromRequestParts<S> for Parameters {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        Ok(Self::parse(parts.uri.query().unwrap_or_default())?)
    }
}

impl Parameters {
    fn parse(query: &str) -> Result<Self, Error> {
        let pairs = query.split('&').filter(|pair| !pair.is_empty());
        let decoded = pairs.map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Ok((unescape(name)?, unescape(value)?))
        });
        decoded.collect::<Result<_, _>>().map(Self)
    }

    pub(super) fn all(&self, name: &str) -> Vec<String> {
        self.0
            .iter()
            .filter(|(known, _)| known == name)
            .map(|(_, value)| value.clone())
            .collect()
    }

    pub(super) fn number(&self, name: &str) -> Result<u64, Error> {
        match self.all(name).pop() {
            None => Ok(0),
            Some(text) => text
                .parse()
                .map_err(|_| Error::invalid(format!("{name}: \"{text}\" is no number"))),
        }
    }

    pub(super) fn flag(&self, name: &str) -> Result<bool, Error> {
        match self.all(name).pop().as_deref() {
            None | Some("false") => Ok(false),
            Some("" | "true") => Ok(true),
            Some(text) => Err(Error::invalid(format!(
                "{name}: \"{text}\" is neither true nor false"
            ))),
        }
    }
}

/// Undoes percent-encoding and `+`, as forms have it.
fn unescape(text: &str) -> Result<String, Error> {
    let malformed = || Error::invalid("the query is not properly percent-encoded");
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        match first {
            b'+' => bytes.push(b' '),
            b'%' => {
                let (digits, after) = rest.split_at_checked(2).ok_or_else(malformed)?;
                let digits = std::str::from_utf8(digits).map_err(|_| malformed())?;
                bytes.push(u8::from_str_radix(digits, 16).map_err(|_| malformed())?);
                rest = after;
            }
            other => bytes.push(*other),
        }
    }
    String::from_utf8(bytes).map_err(|_| malformed())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_queries_as_forms_send_them() {
        let query =
            Parameters::parse("filter=name+%3D+a&filter=status%3Didle&precise=true&limit=5").expect("valid");
        assert_eq!(query.all("filter"), ["name = a", "status=idle"]);
        assert!(query.flag("precise").expect("a flag"));
        assert_eq!(query.number("limit").expect("a number"), 5);
        assert!(Parameters::parse("a=%f").is_err() && Parameters::parse("a=%ff").is_err());
    }
}
