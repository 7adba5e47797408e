//! How large a filter may be, wherever it comes from.

use kiln_proto::Error;

use super::{Filter, TextTest};

/// Deepest nesting: judging recurses.
pub(super) const DEPTH_MAX: usize = 32;
/// Comparisons in a filter, all `--filter`s together.
pub(super) const COMPARISONS_MAX: usize = 256;
/// Longest text in a comparison, in bytes.
const TEXT_BYTES_MAX: usize = 8 << 10;

/// Refuses a filter that would cost too much.
///
/// # Errors
/// `INVALID` with the limit.
pub(super) fn check(filter: &Filter) -> Result<(), Error> {
    let comparisons = measure(filter, 0)?;
    if comparisons > COMPARISONS_MAX {
        return Err(Error::invalid(format!(
            "a filter has at most {COMPARISONS_MAX} comparisons, this one has {comparisons}"
        )));
    }
    Ok(())
}

/// The number of comparisons and empty lists.
fn measure(filter: &Filter, depth: usize) -> Result<usize, Error> {
    // Two levels of lists for each level of the grammar: `or` within `and`.
    if depth > 2 * DEPTH_MAX {
        return Err(Error::invalid(format!("filters nest at most {DEPTH_MAX} deep")));
    }
    let text = |test: &TextTest, key: &str| {
        if test.value.len().max(key.len()) > TEXT_BYTES_MAX {
            return Err(Error::invalid(format!(
                "a text in a filter has at most {TEXT_BYTES_MAX} bytes"
            )));
        }
        Ok(1)
    };
    match filter {
        Filter::All(filters) | Filter::Any(filters) => {
            let mut sum = usize::from(filters.is_empty());
            for filter in filters {
                sum += measure(filter, depth + 1)?;
            }
            Ok(sum)
        }
        Filter::Not(filter) => measure(filter, depth + 1),
        Filter::Name(test) => text(test, ""),
        Filter::Env(key, test) | Filter::Config(key, test) => text(test, key),
        Filter::Status(..) | Filter::Version(..) | Filter::CreatedAt(..) => Ok(1),
    }
}
