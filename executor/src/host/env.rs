//! The environment variables that a guest sees.

use kiln_proto::ids::{ComponentVersion, WorkerId};

/// Names that Kiln sets itself, in the order in which guests see them.
const RESERVED: [&str; 4] = [
    "GOLEM_AGENT_ID",
    "GOLEM_WORKER_NAME",
    "GOLEM_COMPONENT_ID",
    "GOLEM_COMPONENT_VERSION",
];

/// Merges the worker's variables over the component's and adds those that say who the worker is, last and in fixed order.
#[must_use]
pub fn guest_environment(
    component: &[(String, String)],
    worker: &[(String, String)],
    id: &WorkerId,
    version: ComponentVersion,
) -> Vec<(String, String)> {
    let mut merged: Vec<(String, String)> =
        Vec::with_capacity(component.len() + worker.len() + RESERVED.len());
    let given = component
        .iter()
        .chain(worker)
        .filter(|(name, _)| !RESERVED.contains(&name.as_str()));
    for (name, value) in given {
        match merged.iter_mut().find(|(known, _)| known == name) {
            Some((_, old)) => old.clone_from(value),
            None => merged.push((name.clone(), value.clone())),
        }
    }
    let name = id.name.to_string();
    let identity = [name.clone(), name, id.component.to_string(), version.to_string()];
    merged.extend(RESERVED.iter().map(|name| (*name).to_owned()).zip(identity));
    merged
}

#[cfg(test)]
mod tests {
    use kiln_proto::ids::ComponentId;

    use super::*;

    fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
        list.iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn worker_wins_and_identity_comes_last() {
        let id = WorkerId {
            component: ComponentId(uuid::Uuid::nil()),
            name: "w".parse().expect("a valid name"),
        };
        let component = pairs(&[("A", "1"), ("GOLEM_WORKER_NAME", "forged"), ("B", "2")]);
        let environment = guest_environment(
            &component,
            &pairs(&[("B", "3"), ("C", "4")]),
            &id,
            ComponentVersion(7),
        );
        let expected = pairs(&[
            ("A", "1"),
            ("B", "3"),
            ("C", "4"),
            ("GOLEM_AGENT_ID", "w"),
            ("GOLEM_WORKER_NAME", "w"),
            ("GOLEM_COMPONENT_ID", "00000000-0000-0000-0000-000000000000"),
            ("GOLEM_COMPONENT_VERSION", "7"),
        ]);
        assert_eq!(environment, expected);
    }
}
