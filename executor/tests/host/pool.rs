use kiln_executor::{
    component::{CacheOptions, Components},
    host::{Engine, HostOptions, Instance, StartError},
};

use crate::fixture::{Worker, built, ok};

async fn with_engine(options: &HostOptions) -> (Worker, tempfile::TempDir) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let engine = Engine::new(options).expect("an engine");
    let components = Components::new(&engine, CacheOptions::new(dir.path().to_owned())).expect("a cache");
    let mut worker = Worker::of(built("counter")).await;
    worker.component = components
        .add(built("counter").into())
        .await
        .expect("a component");
    (worker, dir)
}

#[tokio::test]
async fn a_full_pool_has_no_room_until_an_instance_is_dropped() {
    let options = HostOptions {
        instances_max: 1,
        memory_bytes_max: 4 << 20,
        ..HostOptions::default()
    };
    let (worker, _dir) = with_engine(&options).await;
    let first = worker.start().await;
    let second = Instance::start(&worker.component, worker.context.clone(), worker.journal()).await;
    assert!(matches!(second.map(|_| ()), Err(StartError::NoRoom { .. })));
    drop(first);
    let mut again = worker.start().await;
    assert_eq!(ok(&mut again, "increment", &["1"]).await, "1");
}

#[tokio::test]
async fn without_address_space_for_a_pool_instances_are_made_one_by_one() {
    let options = HostOptions {
        instances_max: 100_000_000,
        ..HostOptions::default()
    };
    let (worker, _dir) = with_engine(&options).await;
    let mut instance = worker.start().await;
    assert_eq!(ok(&mut instance, "increment", &["1"]).await, "1");
}
