/// Exit code of a node that stopped because it could not trust its storage.
const EXIT_CODE: i32 = 70;

/// Stops the process: going on could acknowledge what is not stored.
pub(crate) fn stop(what: &str, why: &dyn std::error::Error) -> ! {
    let cause = why.source().map(|cause| format!(": {cause}")).unwrap_or_default();
    tracing::error!(error = %why, cause, "{what}; this node stops");
    std::process::exit(EXIT_CODE)
}
