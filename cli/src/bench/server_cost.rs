//! What the servers spend: processor time from /proc, commits and synced writes from their own counters.

use std::{collections::BTreeSet, fs, path::PathBuf};

use kiln_client::{Client, Options};
use kiln_proto::v1::NodeStatus;

/// The server processes of a cluster. Processor time is only known of those on this machine.
#[derive(Debug)]
pub(crate) struct Servers {
    nodes: Vec<Client>,
    pids: BTreeSet<u32>,
}

/// Sums over all servers since their start.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Cost {
    /// `None` when no server runs on this machine.
    pub(crate) cpu_ms: Option<f64>,
    pub(crate) commits: u64,
    pub(crate) log_syncs: u64,
}

impl Servers {
    /// Finds the nodes that are alive, and their processes: those that nodes report, and the `kiln up` that started them.
    pub(crate) async fn find(client: &Client) -> anyhow::Result<Self> {
        let mut nodes = Vec::new();
        let mut pids = BTreeSet::new();
        for node in client.nodes().await? {
            if node.status() == NodeStatus::Dead {
                continue;
            }
            if is_kiln(node.pid) {
                pids.insert(node.pid);
                pids.extend(parent(node.pid).filter(|parent| is_kiln(*parent)));
            }
            if let Ok(address) = node.address.parse() {
                nodes.push(Client::new(Options {
                    direct: false,
                    ..Options::new(vec![address])
                })?);
            }
        }
        Ok(Self { nodes, pids })
    }

    /// Reads all counters now.
    pub(crate) async fn cost(&self) -> anyhow::Result<Cost> {
        let cpu_ms: Option<Vec<f64>> = self.pids.iter().map(|pid| cpu_ms(*pid)).collect();
        let mut cost = Cost {
            cpu_ms: cpu_ms.filter(|all| !all.is_empty()).map(|all| all.iter().sum()),
            ..Cost::default()
        };
        for node in &self.nodes {
            // A node without shards, as a manager, counts only its own log.
            if let Ok(stats) = node.stats().await {
                cost.commits += stats.commits;
                cost.log_syncs += stats.log_syncs;
            }
        }
        Ok(cost)
    }
}

impl Cost {
    /// What was spent since an earlier reading.
    pub(crate) fn since(&self, before: &Self) -> Self {
        Self {
            cpu_ms: self.cpu_ms.zip(before.cpu_ms).map(|(now, before)| now - before),
            commits: self.commits.saturating_sub(before.commits),
            log_syncs: self.log_syncs.saturating_sub(before.log_syncs),
        }
    }
}

/// Processor time that a process has used, user and system.
pub(crate) fn cpu_ms(pid: u32) -> Option<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let ticks: u64 = [stat_field(&stat, 14)?, stat_field(&stat, 15)?].iter().sum();
    let ticks_a_second = nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK).ok()??;
    Some(ticks as f64 * 1000.0 / ticks_a_second as f64)
}

fn parent(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat_field(&stat, 4)?.try_into().ok()
}

/// A field of `/proc/PID/stat`, counted from 1 as in proc(5). The second may contain spaces and parentheses.
fn stat_field(stat: &str, number: usize) -> Option<u64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_whitespace().nth(number - 3)?.parse().ok()
}

/// True when the process runs the same program as this one.
fn is_kiln(pid: u32) -> bool {
    let program = |pid: &str| fs::read_link(PathBuf::from("/proc").join(pid).join("exe")).ok();
    let name = |path: PathBuf| {
        path.file_name()
            .map(|name| name.to_string_lossy().trim_end_matches(" (deleted)").to_owned())
    };
    let (own, other) = (
        program("self").and_then(name),
        program(&pid.to_string()).and_then(name),
    );
    own.is_some() && own == other
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_after_a_strange_name() {
        let stat = "77 (a) b) c) S 5 77 77 0 -1 4194560 1 0 0 0 120 30 0 0";
        assert_eq!(stat_field(stat, 4), Some(5));
        assert_eq!(
            (stat_field(stat, 14), stat_field(stat, 15)),
            (Some(120), Some(30))
        );
    }

    #[test]
    fn this_process_has_used_time_and_is_itself() {
        assert!(cpu_ms(std::process::id()).is_some());
        assert!(is_kiln(std::process::id()));
        assert!(!is_kiln(0));
    }
}
