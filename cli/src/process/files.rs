use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Lets this process open as many files as it is allowed to. A node with many shards holds many, and the usual
/// soft limit of 1024 is there for programs that use select(2).
pub(crate) fn raise_file_limit() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard));
    if let Err(error) = raised {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
}
