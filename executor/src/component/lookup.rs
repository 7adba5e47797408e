use super::{
    Exports, FunctionRef,
    function::{FunctionName, InterfaceName},
};

/// Why a function name leads to no function.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnknownFunction {
    /// The text is no function name.
    #[error("\"{text}\" is no function name; write `ns:pkg/interface@version.{{function}}` or `function`")]
    Malformed {
        /// What was written.
        text: String,
    },
    /// No function has this name.
    #[error("no function \"{text}\"; {}", suggest(similar, available))]
    NotFound {
        /// What was written.
        text: String,
        /// Functions with a similar name.
        similar: Vec<String>,
        /// All functions.
        available: Vec<String>,
    },
    /// Several functions fit.
    #[error("\"{text}\" is ambiguous: {}", candidates.join(", "))]
    Ambiguous {
        /// What was written.
        text: String,
        /// Those that fit.
        candidates: Vec<String>,
    },
}

/// Most functions that an error lists.
const LISTED_MAX: usize = 20;

fn suggest(similar: &[String], available: &[String]) -> String {
    if !similar.is_empty() {
        return format!("did you mean {}?", similar.join(" or "));
    }
    if available.is_empty() {
        return "the component exports no functions".to_owned();
    }
    let listed = available
        .iter()
        .take(LISTED_MAX)
        .map(String::as_str)
        .collect::<Vec<_>>()
        .join(", ");
    let more = available.len().saturating_sub(LISTED_MAX);
    if more == 0 {
        format!("there are {listed}")
    } else {
        format!("there are {listed} and {more} more")
    }
}

/// A function name as a user wrote it.
#[derive(Debug, PartialEq, Eq)]
struct Query {
    interface: Option<InterfaceName>,
    function: QueryName,
}

#[derive(Debug, PartialEq, Eq)]
enum QueryName {
    /// A plain function, or `resource.member` in the sugared form.
    Sugared(String),
    /// `[method]counter.inc-by` and its like.
    Exact(FunctionName),
}

impl Exports {
    /// Finds a function by `ns:pkg/iface@version.{func}`. The version, and the package too, may be left out where that is
    /// unambiguous; a bare `func` names one of the world, or the only one of that name.
    ///
    /// # Errors
    /// When there is none, or more than one, with what there is.
    pub fn find(&self, text: &str) -> Result<FunctionRef, UnknownFunction> {
        let query = parse(text).ok_or_else(|| UnknownFunction::Malformed {
            text: text.to_owned(),
        })?;
        let fitting: Vec<&FunctionRef> = self.iter().filter(|function| query.fits(function)).collect();
        // A world-level function is named completely by its bare name.
        let exact = fitting
            .iter()
            .find(|function| function.full_name == text || is_named(&query, function));
        match (exact, fitting.as_slice()) {
            (Some(function), _) => Ok((*function).clone()),
            (None, [function]) => Ok((*function).clone()),
            (None, []) => Err(self.not_found(text, &query)),
            (None, several) => {
                let candidates = several
                    .iter()
                    .map(|function| function.full_name.clone())
                    .collect();
                Err(UnknownFunction::Ambiguous {
                    text: text.to_owned(),
                    candidates,
                })
            }
        }
    }

    fn not_found(&self, text: &str, query: &Query) -> UnknownFunction {
        let wanted = query.function.to_string();
        let is_similar = |function: &&FunctionRef| {
            let name = function.name.to_string();
            name == wanted || distance(&name, &wanted) <= 1 + wanted.len() / 4
        };
        let similar = self
            .iter()
            .filter(is_similar)
            .map(|function| function.full_name.clone())
            .collect();
        let available = self.iter().map(|function| function.full_name.clone()).collect();
        UnknownFunction::NotFound {
            text: text.to_owned(),
            similar,
            available,
        }
    }
}

/// True when nothing was left out of the name.
fn is_named(query: &Query, function: &FunctionRef) -> bool {
    query.interface == function.interface
}

impl Query {
    fn fits(&self, function: &FunctionRef) -> bool {
        let interface_fits = match (&self.interface, &function.interface) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(wanted), Some(interface)) => {
                wanted.interface == interface.interface
                    && (wanted.package.is_none() || wanted.package == interface.package)
                    && (wanted.version.is_none() || wanted.version == interface.version)
            }
        };
        interface_fits
            && match &self.function {
                QueryName::Sugared(name) => function.name.to_string() == *name,
                QueryName::Exact(name) => function.name == *name || is_static(name, &function.name),
            }
    }
}

/// Callers may take a static function for a method; a resource has no two members of one name.
fn is_static(wanted: &FunctionName, found: &FunctionName) -> bool {
    matches!(
        (wanted, found),
        (FunctionName::Method { .. }, FunctionName::Static { .. }) if wanted.to_string() == found.to_string()
    )
}

impl std::fmt::Display for QueryName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Sugared(name) => f.write_str(name),
            Self::Exact(name) => name.fmt(f),
        }
    }
}

fn parse(text: &str) -> Option<Query> {
    let (interface, function) = match text.split_once(".{") {
        Some((interface, rest)) => (Some(InterfaceName::parse(interface)), rest.strip_suffix('}')?),
        None => (
            None,
            text.strip_prefix('{')
                .and_then(|rest| rest.strip_suffix('}'))
                .unwrap_or(text),
        ),
    };
    if function.is_empty() || function.contains(['{', '}', ' ', '/', ':']) {
        return None;
    }
    let function = match function.strip_prefix("[drop]") {
        Some(resource) => QueryName::Exact(FunctionName::Drop {
            resource: resource.to_owned(),
        }),
        None if function.starts_with('[') => QueryName::Exact(FunctionName::from_export(function)),
        None => QueryName::Sugared(function.to_owned()),
    };
    Some(Query { interface, function })
}

/// Levenshtein's edit distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::value::Signature;

    fn exports(names: &[(&str, &str)]) -> Exports {
        let function = |(slot, (interface, name)): (usize, &(&str, &str))| {
            let interface = (!interface.is_empty()).then(|| InterfaceName::parse(interface));
            let name = match name.strip_prefix("[drop]") {
                Some(resource) => FunctionName::Drop {
                    resource: resource.to_owned(),
                },
                None => FunctionName::from_export(name),
            };
            FunctionRef::new(
                interface,
                name,
                Signature {
                    params: Vec::new(),
                    result: None,
                },
                slot,
            )
        };
        Exports::from_functions(names.iter().enumerate().map(function).collect())
    }

    fn sample() -> Exports {
        exports(&[
            ("test:counter/api@0.1.0", "increment"),
            ("test:counter/api@0.1.0", "get"),
            ("other:pkg/api@1.0.0", "get"),
            ("other:pkg/api@2.0.0", "get"),
            ("test:counter/things@0.1.0", "[constructor]counter"),
            ("test:counter/things@0.1.0", "[method]counter.inc-by"),
            ("test:counter/things@0.1.0", "[static]counter.merge"),
            ("test:counter/things@0.1.0", "[drop]counter"),
            ("", "get"),
        ])
    }

    #[test]
    fn finds_by_every_allowed_form() {
        let things = "test:counter/things@0.1.0";
        let cases = [
            (
                "test:counter/api@0.1.0.{increment}",
                "test:counter/api@0.1.0.{increment}".to_owned(),
            ),
            (
                "test:counter/api.{increment}",
                "test:counter/api@0.1.0.{increment}".to_owned(),
            ),
            ("api.{increment}", "test:counter/api@0.1.0.{increment}".to_owned()),
            ("increment", "test:counter/api@0.1.0.{increment}".to_owned()),
            (
                "test:counter/api.{get}",
                "test:counter/api@0.1.0.{get}".to_owned(),
            ),
            (
                "other:pkg/api@2.0.0.{get}",
                "other:pkg/api@2.0.0.{get}".to_owned(),
            ),
            ("get", "get".to_owned()),
            ("things.{counter.new}", format!("{things}.{{counter.new}}")),
            (
                "things.{[constructor]counter}",
                format!("{things}.{{counter.new}}"),
            ),
            ("things.{counter.inc-by}", format!("{things}.{{counter.inc-by}}")),
            (
                "things.{[method]counter.inc-by}",
                format!("{things}.{{counter.inc-by}}"),
            ),
            (
                "things.{[static]counter.merge}",
                format!("{things}.{{counter.merge}}"),
            ),
            (
                "things.{[method]counter.merge}",
                format!("{things}.{{counter.merge}}"),
            ),
            ("things.{counter.merge}", format!("{things}.{{counter.merge}}")),
            ("things.{[drop]counter}", format!("{things}.{{counter.drop}}")),
            ("counter.drop", format!("{things}.{{counter.drop}}")),
        ];
        for (text, expected) in cases {
            assert_eq!(
                sample().find(text).map(|function| function.full_name.clone()),
                Ok(expected),
                "{text}"
            );
        }
    }

    #[test]
    fn says_what_is_wrong_and_what_there_is() {
        let cases = [
            (
                "api.{get}",
                "\"api.{get}\" is ambiguous: test:counter/api@0.1.0.{get}, other:pkg/api@1.0.0.{get}, other:pkg/api@2.0.0.{get}",
            ),
            (
                "api.{incremnt}",
                "no function \"api.{incremnt}\"; did you mean test:counter/api@0.1.0.{increment}?",
            ),
            (
                "api.{get",
                "\"api.{get\" is no function name; write `ns:pkg/interface@version.{function}` or `function`",
            ),
            (
                "",
                "\"\" is no function name; write `ns:pkg/interface@version.{function}` or `function`",
            ),
        ];
        for (text, expected) in cases {
            let error = sample()
                .find(text)
                .map(|function| function.full_name.clone())
                .expect_err(text);
            assert_eq!(error.to_string(), expected);
        }
        let error = exports(&[("a:b/c", "run")])
            .find("something-else")
            .expect_err("there is none");
        assert_eq!(
            error.to_string(),
            "no function \"something-else\"; there are a:b/c.{run}"
        );
    }
}
