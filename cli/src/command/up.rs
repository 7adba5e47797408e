//! `kiln up`: a whole cluster on this machine.

/// Runs a whole cluster on this machine until SIGTERM or SIGINT.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(_args: Args) -> anyhow::Result<()> {
    anyhow::bail!("not yet")
}

/// Where `kiln up` keeps its data unless told otherwise: `kiln` in the user's data folder (XDG).
pub(crate) fn default_data() -> std::path::PathBuf {
    let home = |name: &str| {
        std::env::var_os(name)
            .map(std::path::PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    home("XDG_DATA_HOME")
        .or_else(|| home("HOME").map(|home| home.join(".local/share")))
        .unwrap_or_else(|| std::path::PathBuf::from("."))
        .join("kiln")
}
