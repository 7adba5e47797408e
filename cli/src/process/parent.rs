use anyhow::{Context, bail};
use nix::{
    sys::{prctl, signal::Signal},
    unistd::{Pid, getppid},
};

/// Lets the kernel kill this process when the one that started it ends, however it ends. A parent that stops in an
/// orderly way has told this process before; one that died may be started again at once, and needs the ports and the data.
pub(crate) fn end_with_parent(parent: u32) -> anyhow::Result<()> {
    prctl::set_pdeathsig(Signal::SIGKILL).context("ask for a signal at the parent's end")?;
    // It may have ended before we asked.
    if getppid() != Pid::from_raw(i32::try_from(parent).context("a process id")?) {
        bail!("the parent process {parent} has ended");
    }
    Ok(())
}
