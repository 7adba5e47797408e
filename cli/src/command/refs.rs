//! How workers and pairs are written on the command line.

use std::path::PathBuf;

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

/// A file on this machine and where workers find it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FileRef {
    pub(crate) host: PathBuf,
    pub(crate) guest: String,
    pub(crate) writable: bool,
}

/// Reads `HOSTPATH=GUESTPATH[:ro|:rw]`.
pub(crate) fn file(text: &str) -> Result<FileRef, String> {
    let wrong = || "write HOSTPATH=GUESTPATH[:ro|:rw]".to_owned();
    let (host, rest) = text.split_once('=').ok_or_else(wrong)?;
    let (guest, writable) = match rest.rsplit_once(':') {
        Some((guest, "ro")) => (guest, false),
        Some((guest, "rw")) => (guest, true),
        _ => (rest, false),
    };
    if host.is_empty() || guest.is_empty() {
        return Err(wrong());
    }
    // A path without a slash is below the root, as the guest sees it.
    let guest = format!("/{}", guest.trim_start_matches('/'));
    Ok(FileRef {
        host: host.into(),
        guest,
        writable,
    })
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
        let of = |text: &str| file(text).map(|file| (file.guest, file.writable));
        assert_eq!(of("a.txt=/b/c.txt"), Ok(("/b/c.txt".into(), false)));
        assert_eq!(of("a.txt=b:rw"), Ok(("/b".into(), true)));
        assert_eq!(of("a.txt=/b:ro"), Ok(("/b".into(), false)));
        assert!(file("a.txt").is_err() && file("a.txt=").is_err() && file("=b").is_err());
    }
}
