//! How workers and pairs are written on the command line.

use kiln_proto::v1::{KeyValue, WorkerRef};

/// Reads `COMPONENT/WORKER`.
pub(crate) fn worker(text: &str) -> Result<WorkerRef, String> {
    match text.split_once('/') {
        Some((component, worker)) if !component.is_empty() && !worker.is_empty() => Ok(WorkerRef {
            component: component.to_owned(),
            worker: worker.to_owned(),
        }),
        _ => Err("write COMPONENT/WORKER".to_owned()),
    }
}

/// Reads `KEY=VALUE`.
pub(crate) fn pair(text: &str) -> Result<KeyValue, String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok(KeyValue {
            key: key.to_owned(),
            value: value.to_owned(),
        }),
        _ => Err("write KEY=VALUE".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        assert!(worker("counter/c1").is_ok());
        assert!(
            ["", "counter", "/c1", "counter/"]
                .iter()
                .all(|text| worker(text).is_err())
        );
        assert_eq!(
            pair("A=b=c").map(|pair| (pair.key, pair.value)),
            Ok(("A".into(), "b=c".into()))
        );
        assert!(pair("=x").is_err());
    }
}
