//! `kiln completion`.

use clap::CommandFactory;
use clap_complete::Shell;

use super::line;
use crate::args::Cli;

/// Prints a completion script, for example: kiln completion bash > ~/.local/share/bash-completion/completions/kiln
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "kiln", &mut script);
    line(String::from_utf8_lossy(&script).trim_end())
}
