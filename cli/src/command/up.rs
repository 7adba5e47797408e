//! `kiln up`: a whole cluster on this machine.

/// Runs a whole cluster on this machine until SIGTERM or SIGINT.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(_args: Args) -> anyhow::Result<()> {
    anyhow::bail!("not yet")
}
