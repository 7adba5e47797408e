//! `kiln bench`: a load generator.

use clap::Subcommand;

use crate::args::Global;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Call workers as fast as they answer
    Invoke,
}

pub(crate) fn run(_global: &Global, _command: Command) -> anyhow::Result<()> {
    anyhow::bail!("not yet")
}
