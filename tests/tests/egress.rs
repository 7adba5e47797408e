//! The cluster's own listeners are closed to guests, even where the addresses that they are at are open.

use anyhow::{Result, ensure};
use kiln_tests::client::PatientClient;
use kiln_tests::cluster::{Cluster, Shape};
use kiln_tests::guests;
use kiln_tests::server::Server;
use kiln_tests::wait::eventually;

const LOOPBACK: (&str, &str) = ("KILN_EXECUTOR__EGRESS__ALLOW_ADDRESSES", "[\"127.0.0.0/8\"]");
const OWN: (&str, &str) = ("KILN_EXECUTOR__EGRESS__ALLOW_OWN", "true");

const SHAPE: Shape = Shape {
    managers: 1,
    executors: 2,
    shards: 2,
    replication_factor: 1,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guests_reach_servers_and_no_node_of_the_cluster() -> Result<()> {
    let (cluster, client) = start(&[LOOPBACK]).await?;
    let server = Server::start().await?;
    let answer = fetch(&client, "POST", &format!("{}/echo?by=me", server.address)).await?;
    ensure!(answer.starts_with("ok({status: 200"), "{answer}");
    for node in cluster.nodes() {
        for address in [node.address, node.http_address()] {
            for name in [address.to_string(), format!("localhost:{}", address.port())] {
                // A node learns of the others a moment after it has joined them.
                eventually(
                    &format!("{name} of {} is closed", node.name),
                    PATIENCE,
                    async || {
                        let answer = fetch(&client, "GET", &format!("{name}/healthz")).await?;
                        ensure!(answer.contains("DestinationIpProhibited"), "{answer}");
                        Ok(Some(()))
                    },
                )
                .await?;
            }
        }
    }
    cluster.finish()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_can_be_opened_to_its_guests() -> Result<()> {
    let (cluster, client) = start(&[LOOPBACK, OWN]).await?;
    let answer = fetch(
        &client,
        "GET",
        &format!("{}/healthz", cluster.executor(2).http_address()),
    )
    .await?;
    ensure!(answer.starts_with("ok({status: 200"), "{answer}");
    cluster.finish()
}

const PATIENCE: std::time::Duration = std::time::Duration::from_secs(20);

async fn start(settings: &[(&str, &str)]) -> Result<(Cluster, PatientClient)> {
    let cluster = Cluster::start_with(SHAPE, settings).await?;
    cluster
        .add_component("outgoing", &guests::path("outgoing"))
        .await?;
    let client = PatientClient::new(&cluster, PATIENCE)?;
    Ok((cluster, client))
}

/// What a guest gets from `http://TO`.
async fn fetch(client: &PatientClient, method: &str, to: &str) -> Result<String> {
    let (method, url) = (format!("\"{method}\""), format!("\"http://{to}\""));
    let arguments = [method.as_str(), &url, "[]", "none"];
    Ok(client.wave("outgoing/g", "api.{fetch}", &arguments, "").await?)
}
