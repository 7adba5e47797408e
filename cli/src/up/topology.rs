use std::{fs, io::ErrorKind, net::TcpListener, path::Path};

use anyhow::Context;
use kiln_client::Error;
use serde::{Deserialize, Serialize};

use crate::config::Role;

const FILE: &str = "topology.json";
const SHARDS_DEFAULT: u32 = 16;
/// Ports for the nodes are looked for here: below the range from which the system gives ports to clients, so that
/// they are still free at the next start.
const PORTS: std::ops::Range<u16> = 20_000..32_000;
const PORT_TRIES_MAX: u32 = 1000;

/// Which nodes a data folder holds and where they listen: chosen at the first start, and the same ever after,
/// because the nodes know each other by these addresses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Topology {
    pub(super) processes: bool,
    pub(super) shards: u32,
    pub(super) replication_factor: u32,
    pub(super) nodes: Vec<Member>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Member {
    /// Also the name of its folder.
    pub(super) name: String,
    pub(super) role: Role,
    /// Where it serves gRPC to the other nodes.
    pub(super) address: String,
}

/// What the command line asks for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wish {
    pub(super) nodes: Option<u32>,
    pub(super) processes: bool,
    pub(super) shards: Option<u32>,
}

impl Topology {
    /// The topology of a data folder, or a new one for an empty folder.
    ///
    /// # Errors
    /// `CONFLICT` when the folder holds another one than asked for.
    pub(super) fn open(data: &Path, wish: Wish) -> anyhow::Result<Self> {
        let file = data.join(FILE);
        match fs::read(&file) {
            Ok(text) => {
                let topology: Self = serde_json::from_slice(&text)
                    .with_context(|| format!("{} is damaged", file.display()))?;
                topology.check(wish)?;
                Ok(topology)
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let topology = Self::new(wish)?;
                topology.write(&file)?;
                Ok(topology)
            }
            Err(error) => Err(error).with_context(|| format!("read {}", file.display())),
        }
    }

    /// gRPC addresses of the managers.
    pub(super) fn managers(&self) -> Vec<String> {
        let managers = self.nodes.iter().filter(|node| node.role != Role::Executor);
        managers.map(|node| node.address.clone()).collect()
    }

    fn executors(&self) -> u32 {
        let executors = self.nodes.iter().filter(|node| node.role != Role::Manager);
        u32::try_from(executors.count()).unwrap_or(u32::MAX)
    }

    fn new(wish: Wish) -> anyhow::Result<Self> {
        let nodes = wish.nodes.unwrap_or(1);
        let shards = wish.shards.unwrap_or(SHARDS_DEFAULT);
        if !shards.is_power_of_two() || shards > kiln_proto::hash::SHARDS_MAX {
            return Err(Error::invalid(format!("--shards {shards} is no power of two up to 4096")).into());
        }
        let managers = if nodes < 3 { 1 } else { 3 };
        let mut members = Vec::new();
        if wish.processes {
            members.extend((1..=managers).map(|number| (format!("manager-{number}"), Role::Manager)));
            members.extend((1..=nodes).map(|number| (format!("executor-{number}"), Role::Executor)));
        } else {
            let role = |number| {
                if number <= managers {
                    Role::All
                } else {
                    Role::Executor
                }
            };
            members.extend((1..=nodes).map(|number| (format!("node-{number}"), role(number))));
        }
        let addresses = free_addresses(members.len())?;
        let member = |((name, role), address)| Member { name, role, address };
        Ok(Self {
            processes: wish.processes,
            shards,
            replication_factor: if nodes < 3 { 1 } else { 3 },
            nodes: members.into_iter().zip(addresses).map(member).collect(),
        })
    }

    fn check(&self, wish: Wish) -> Result<(), Error> {
        let mut differences = Vec::new();
        let executors = self.executors();
        if wish.nodes.is_some_and(|nodes| nodes != executors) {
            differences.push(format!("--nodes {executors}"));
        }
        if wish.shards.is_some_and(|shards| shards != self.shards) {
            differences.push(format!("--shards {}", self.shards));
        }
        // Without the flag, the folder decides.
        if wish.processes && !self.processes {
            differences.push("no --processes".to_owned());
        }
        if differences.is_empty() {
            return Ok(());
        }
        Err(Error::conflict(format!(
            "the data folder was made with {}",
            differences.join(" and ")
        ))
        .with_hint("leave these flags out, or name another folder with --data"))
    }

    fn write(&self, file: &Path) -> anyhow::Result<()> {
        let text = serde_json::to_vec_pretty(self).context("encode the topology")?;
        // Renamed into place, so that a crash never leaves half of it.
        let draft = file.with_extension("draft");
        fs::write(&draft, text)
            .and_then(|()| fs::File::open(&draft)?.sync_all())
            .and_then(|()| fs::rename(&draft, file))
            .with_context(|| format!("write {}", file.display()))
    }
}

/// Loopback addresses that nobody listens on.
fn free_addresses(count: usize) -> anyhow::Result<Vec<String>> {
    // All are held until the last is found, so that none comes twice.
    let mut held = Vec::new();
    for _ in 0..PORT_TRIES_MAX {
        if held.len() == count {
            break;
        }
        held.extend(TcpListener::bind(("127.0.0.1", rand::random_range(PORTS))).ok());
    }
    anyhow::ensure!(
        held.len() == count,
        "no free ports between {} and {}",
        PORTS.start,
        PORTS.end
    );
    held.iter()
        .map(|listener| Ok(listener.local_addr()?.to_string()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: Wish = Wish {
        nodes: None,
        processes: false,
        shards: None,
    };

    #[test]
    fn stays_the_same() {
        let folder = tempfile::tempdir().expect("a folder");
        let first = Topology::open(
            folder.path(),
            Wish {
                nodes: Some(4),
                ..NONE
            },
        )
        .expect("new");
        assert_eq!(
            (
                first.managers().len(),
                first.executors(),
                first.replication_factor
            ),
            (3, 4, 3)
        );
        assert_eq!(Topology::open(folder.path(), NONE).expect("the same"), first);
        assert_eq!(
            Topology::open(
                folder.path(),
                Wish {
                    nodes: Some(4),
                    ..NONE
                }
            )
            .expect("the same"),
            first
        );
    }

    #[test]
    fn another_wish_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        Topology::open(folder.path(), NONE).expect("new");
        for wish in [
            Wish {
                nodes: Some(3),
                ..NONE
            },
            Wish {
                shards: Some(4),
                ..NONE
            },
            Wish {
                processes: true,
                ..NONE
            },
        ] {
            let error = Topology::open(folder.path(), wish).expect_err("refused");
            assert!(
                error
                    .downcast_ref::<Error>()
                    .is_some_and(|e| e.code == kiln_proto::ErrorCode::Conflict)
            );
        }
        let folder = tempfile::tempdir().expect("a folder");
        assert!(
            Topology::open(
                folder.path(),
                Wish {
                    shards: Some(3),
                    ..NONE
                }
            )
            .is_err()
        );
    }

    #[test]
    fn processes_are_managers_and_executors() {
        let topology = Topology::new(Wish {
            nodes: Some(3),
            processes: true,
            shards: None,
        })
        .expect("valid");
        let names: Vec<&str> = topology.nodes.iter().map(|node| node.name.as_str()).collect();
        assert_eq!(
            names,
            [
                "manager-1",
                "manager-2",
                "manager-3",
                "executor-1",
                "executor-2",
                "executor-3"
            ]
        );
    }
}
