use anyhow::{Context, bail};
use nix::{
    sys::{prctl, signal::Signal},
    unistd::{Pid, getppid},
};

/// Lets the kernel stop this process when the one that started it ends, however it ends.
pub(crate) fn end_with_parent(parent: u32) -> anyhow::Result<()> {
    prctl::set_pdeathsig(Signal::SIGTERM).context("ask for a signal at the parent's end")?;
    // It may have ended before we asked.
    if getppid() != Pid::from_raw(i32::try_from(parent).context("a process id")?) {
        bail!("the parent process {parent} has ended");
    }
    Ok(())
}
