//! Places where a test can kill the process: right behind a chosen entry of a chosen worker's oplog.
//!
//! Only builds with debug assertions have them, and only where `KILN_CRASH_POINTS` names a folder. A file in it with the name
//! of a worker says which point is wanted: `append 7` or `commit 7`. The first life of the worker that comes to it leaves the
//! number of the last entry and that of its process in `NAME.hit`, and goes no further: whoever wrote the file kills the process
//! then.

use kiln_proto::ids::{OplogIndex, WorkerId};

/// What has just happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Point {
    /// An entry waits for its commit.
    Append,
    /// Entries are durable, and nobody has been told.
    Commit,
}

#[cfg(not(debug_assertions))]
pub(super) fn pass(_: Point, _: &WorkerId, _: OplogIndex) {}

#[cfg(debug_assertions)]
pub(super) fn pass(point: Point, worker: &WorkerId, last: OplogIndex) {
    static FOLDER: std::sync::LazyLock<Option<std::path::PathBuf>> =
        std::sync::LazyLock::new(|| std::env::var_os("KILN_CRASH_POINTS").map(Into::into));
    if let Some(folder) = &*FOLDER
        && is_wanted(folder, point, worker, last)
    {
        loop {
            std::thread::park();
        }
    }
}

/// True once for the life of the worker that comes to the wanted point.
#[cfg(debug_assertions)]
fn is_wanted(folder: &std::path::Path, point: Point, worker: &WorkerId, last: OplogIndex) -> bool {
    let wanted = folder.join(worker.name.as_str());
    let Ok(text) = std::fs::read_to_string(&wanted) else {
        return false;
    };
    let index = match (point, text.split_once(' ')) {
        (Point::Append, Some(("append", index))) | (Point::Commit, Some(("commit", index))) => index,
        _ => return false,
    };
    let is_there = index.parse().is_ok_and(|index| last >= OplogIndex(index));
    let hit = format!("{last} {}\n", std::process::id());
    // Whoever removes it is the first.
    is_there
        && std::fs::remove_file(&wanted).is_ok()
        && std::fs::write(folder.join(format!("{}.hit", worker.name)), hit).is_ok()
}

#[cfg(all(test, debug_assertions))]
mod tests {
    use kiln_proto::ids::ComponentId;

    use super::*;

    #[test]
    fn a_point_is_met_once_and_says_where() {
        let folder = tempfile::tempdir().expect("a folder");
        let worker = WorkerId {
            component: ComponentId(uuid::Uuid::nil()),
            name: "w".parse().expect("a name"),
        };
        let meets = |point, last| is_wanted(folder.path(), point, &worker, OplogIndex(last));
        assert!(!meets(Point::Append, 7), "none is wanted");
        std::fs::write(folder.path().join("w"), "commit 7").expect("a writable folder");
        assert!(!meets(Point::Append, 7) && !meets(Point::Commit, 6));
        assert!(meets(Point::Commit, 9));
        assert!(!meets(Point::Commit, 9), "once");
        let hit = std::fs::read_to_string(folder.path().join("w.hit")).expect("a hit");
        assert_eq!(hit, format!("9 {}\n", std::process::id()));
    }
}
