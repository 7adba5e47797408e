use std::{path::PathBuf, time::Duration};

use bytes::Bytes;
use kiln_executor::{
    BlobPlace, Executor, Limits, Options,
    host::{GuestLimits, HostOptions},
};
use kiln_proto::{
    Error,
    v1::{
        self, component_service_client::ComponentServiceClient, invoke_request::Arguments,
        shard_manager_service_server::ShardManagerServiceServer, shard_service_client::ShardServiceClient,
        upload_component_request::Part, worker_service_client::WorkerServiceClient,
    },
};
use kiln_store::Store;
use tempfile::TempDir;
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::{Channel, Endpoint, Server};

use crate::managers::PlayedManagers;

pub(crate) const SHARDS: u32 = 4;
const PATIENCE: Duration = Duration::from_secs(30);

/// An executor on its own data folder.
pub(crate) struct Node {
    pub(crate) store: Store,
    pub(crate) executor: Executor,
    pub(crate) workers: WorkerServiceClient<Channel>,
    pub(crate) components: ComponentServiceClient<Channel>,
    managers: PlayedManagers,
    data: TempDir,
    limits: Limits,
    guest: GuestLimits,
    blobs: BlobPlace,
    serving: JoinHandle<()>,
}

impl Node {
    pub(crate) async fn start() -> Self {
        Self::start_with(Limits::default()).await
    }

    pub(crate) async fn start_with(limits: Limits) -> Self {
        Self::start_bounded(limits, GuestLimits::default()).await
    }

    pub(crate) async fn start_bounded(limits: Limits, guest: GuestLimits) -> Self {
        let data = tempfile::tempdir().unwrap();
        Self::open(
            data,
            PlayedManagers::new(SHARDS),
            limits,
            guest,
            BlobPlace::default(),
        )
        .await
    }

    /// A node that keeps the bytes of objects in this place.
    pub(crate) async fn start_with_blobs(limits: Limits, blobs: BlobPlace) -> Self {
        let data = tempfile::tempdir().unwrap();
        let managers = PlayedManagers::new(SHARDS);
        Self::open(data, managers, limits, GuestLimits::default(), blobs).await
    }

    /// Stops everything and starts again on the same data.
    pub(crate) async fn restart(self) -> Self {
        let blobs = self.blobs.clone();
        self.restart_with_blobs(blobs).await
    }

    /// The same, after new contents were given another place.
    pub(crate) async fn restart_with_blobs(self, blobs: BlobPlace) -> Self {
        let (managers, limits, guest) = (self.managers.clone(), self.limits.clone(), self.guest.clone());
        Self::open(self.stop().await, managers, limits, guest, blobs).await
    }

    /// Stops everything; the data is left. A test that starts several nodes in turn has to: a node whose folder goes
    /// while it runs stops the whole process.
    pub(crate) async fn stop(self) -> TempDir {
        self.executor.shutdown().await;
        self.store.shutdown().await;
        self.serving.abort();
        let _ = self.serving.await;
        drop((self.executor, self.store, self.workers, self.components));
        self.data
    }

    async fn open(
        data: TempDir,
        managers: PlayedManagers,
        limits: Limits,
        guest: GuestLimits,
        blobs: BlobPlace,
    ) -> Self {
        let store = open_store(data.path().join("store")).await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let options = Options {
            address: address.clone(),
            managers: vec![address.clone()],
            cache_dir: data.path().join("components"),
            limits: limits.clone(),
            blobs: blobs.clone(),
            host: HostOptions {
                guest: guest.clone(),
                ..HostOptions::default()
            },
            ..Options::default()
        };
        let executor = Executor::start(options, Some(&store)).await.unwrap();
        let routes = executor
            .grpc_routes()
            .await
            .add_service(store.raft_service())
            .add_service(ShardManagerServiceServer::new(managers.clone()));
        let serving = tokio::spawn(async move {
            let incoming = TcpListenerStream::new(listener);
            let _ = Server::builder()
                .add_routes(routes)
                .serve_with_incoming(incoming)
                .await;
        });
        let channel = Endpoint::from_shared(format!("http://{address}"))
            .unwrap()
            .connect_lazy();
        for shard in 0..SHARDS {
            let request = v1::InitializeShardRequest {
                shard,
                members: vec![store.node_id().0],
            };
            ShardServiceClient::new(channel.clone())
                .initialize_shard(request)
                .await
                .unwrap();
        }
        tokio::time::timeout(PATIENCE, executor.ready())
            .await
            .expect("every shard has an owner");
        Self {
            store,
            executor,
            workers: WorkerServiceClient::new(channel.clone()),
            components: ComponentServiceClient::new(channel),
            managers,
            data,
            limits,
            guest,
            blobs,
            serving,
        }
    }

    /// Uploads one of the built guests under its own name.
    pub(crate) async fn upload(&self, guest: &str) -> v1::ComponentVersion {
        self.upload_bytes(guest, &guest_bytes(guest), false)
            .await
            .unwrap()
    }

    pub(crate) async fn upload_bytes(
        &self,
        name: &str,
        bytes: &[u8],
        update: bool,
    ) -> Result<v1::ComponentVersion, Error> {
        let header = v1::UploadHeader {
            name: name.into(),
            update,
            ..v1::UploadHeader::default()
        };
        self.upload_as(header, bytes).await
    }

    /// The same, with a variable by which its workers are found fast.
    pub(crate) async fn upload_indexed(&self, guest: &str, variable: &str) -> v1::ComponentVersion {
        let header = v1::UploadHeader {
            name: guest.into(),
            indexed_env: vec![variable.into()],
            ..v1::UploadHeader::default()
        };
        self.upload_as(header, &guest_bytes(guest)).await.unwrap()
    }

    /// The same, with files: path, contents, and whether it may be written to.
    pub(crate) async fn upload_with_files(
        &self,
        guest: &str,
        files: &[(&str, &str, bool)],
    ) -> Result<v1::ComponentVersion, Error> {
        let file = |(path, contents, writable): &(&str, &str, bool)| v1::InitialFile {
            path: (*path).into(),
            writable: *writable,
            size: contents.len() as u64,
            ..v1::InitialFile::default()
        };
        let header = v1::UploadHeader {
            name: guest.into(),
            files: files.iter().map(file).collect(),
            ..v1::UploadHeader::default()
        };
        let contents: Vec<Bytes> = files
            .iter()
            .map(|(_, contents, _)| Bytes::copy_from_slice(contents.as_bytes()))
            .collect();
        self.upload_all(header, &guest_bytes(guest), contents).await
    }

    /// A component each of whose invocations begins with a fresh instance.
    pub(crate) async fn upload_ephemeral(&self, name: &str, bytes: &[u8]) -> v1::ComponentVersion {
        let header = v1::UploadHeader {
            name: name.into(),
            ephemeral: true,
            ..v1::UploadHeader::default()
        };
        self.upload_as(header, bytes).await.unwrap()
    }

    pub(crate) async fn upload_as(
        &self,
        header: v1::UploadHeader,
        bytes: &[u8],
    ) -> Result<v1::ComponentVersion, Error> {
        self.upload_all(header, bytes, Vec::new()).await
    }

    async fn upload_all(
        &self,
        header: v1::UploadHeader,
        bytes: &[u8],
        files: Vec<Bytes>,
    ) -> Result<v1::ComponentVersion, Error> {
        let mut parts = vec![v1::UploadComponentRequest {
            part: Some(Part::Header(header)),
        }];
        for chunk in bytes.chunks(1 << 20) {
            let chunk = Bytes::copy_from_slice(chunk);
            parts.push(v1::UploadComponentRequest {
                part: Some(Part::Chunk(chunk)),
            });
        }
        parts.extend(files.into_iter().map(|file| v1::UploadComponentRequest {
            part: Some(Part::FileChunk(file)),
        }));
        let reply = self
            .components
            .clone()
            .upload_component(tokio_stream::iter(parts))
            .await?;
        Ok(reply.into_inner().component.unwrap())
    }

    /// Calls a function with WAVE arguments; an empty key asks for a fresh one.
    pub(crate) async fn call(
        &self,
        worker: &str,
        function: &str,
        arguments: &[&str],
        key: &str,
    ) -> Result<v1::InvokeResponse, Error> {
        self.invoke(invocation(worker, function, arguments, key)).await
    }

    pub(crate) async fn invoke(&self, request: v1::InvokeRequest) -> Result<v1::InvokeResponse, Error> {
        let reply = tokio::time::timeout(PATIENCE, self.workers.clone().invoke(request))
            .await
            .expect("an answer");
        Ok(reply?.into_inner())
    }

    /// The same, with the result as WAVE text.
    pub(crate) async fn wave(
        &self,
        worker: &str,
        function: &str,
        arguments: &[&str],
    ) -> Result<String, Error> {
        let reply = self.call(worker, function, arguments, "").await?;
        Ok(reply
            .result
            .as_ref()
            .map(kiln_proto::convert::to_wave)
            .unwrap_or_default())
    }

    pub(crate) async fn get(&self, worker: &str) -> Result<v1::WorkerInfo, Error> {
        let request = v1::GetWorkerRequest {
            worker: Some(reference(worker)),
        };
        Ok(self
            .workers
            .clone()
            .get_worker(request)
            .await?
            .into_inner()
            .worker
            .unwrap())
    }

    /// What lies at a path of the worker's folder.
    pub(crate) async fn files(
        &self,
        worker: &str,
        path: &str,
    ) -> Result<v1::get_files_response::Found, Error> {
        let request = v1::GetFilesRequest {
            worker: Some(reference(worker)),
            path: path.into(),
        };
        let reply = self.workers.clone().get_files(request).await?;
        Ok(reply.into_inner().found.unwrap())
    }

    /// The worker's oplog, as names of kinds.
    pub(crate) async fn kinds(&self, worker: &str) -> Vec<String> {
        let entries = self.entries(worker).await;
        let kind = |entry: &serde_json::Value| entry["type"].as_str().unwrap().to_owned();
        entries.iter().map(kind).collect()
    }

    /// The worker's oplog, as the CLI shows it.
    pub(crate) async fn entries(&self, worker: &str) -> Vec<serde_json::Value> {
        let request = v1::GetOplogRequest {
            worker: Some(reference(worker)),
            ..v1::GetOplogRequest::default()
        };
        let page = self
            .workers
            .clone()
            .get_oplog(request)
            .await
            .unwrap()
            .into_inner();
        page.entries
            .iter()
            .map(kiln_proto::convert::json::oplog_entry)
            .collect()
    }

    /// Indexes of the entries that a query finds, read in pages.
    pub(crate) async fn search(&self, worker: &str, query: &str, limit: u32) -> Result<Vec<u64>, Error> {
        let mut request = v1::GetOplogRequest {
            worker: Some(reference(worker)),
            from: 1,
            limit,
            query: query.to_owned(),
            ..v1::GetOplogRequest::default()
        };
        let mut found = Vec::new();
        while request.from != 0 {
            let page = self
                .workers
                .clone()
                .get_oplog(request.clone())
                .await?
                .into_inner();
            assert!(page.entries.len() <= limit as usize);
            found.extend(page.entries.iter().map(|entry| entry.index));
            request.from = page.next;
        }
        Ok(found)
    }

    pub(crate) async fn interrupt(&self, worker: &str, recover_immediately: bool) -> Result<(), Error> {
        let request = v1::InterruptWorkerRequest {
            worker: Some(reference(worker)),
            recover_immediately,
        };
        self.workers.clone().interrupt_worker(request).await?;
        Ok(())
    }

    pub(crate) async fn resume(&self, worker: &str) -> Result<(), Error> {
        let request = v1::ResumeWorkerRequest {
            worker: Some(reference(worker)),
            force: false,
        };
        self.workers.clone().resume_worker(request).await?;
        Ok(())
    }

    pub(crate) async fn delete(&self, worker: &str) -> Result<(), Error> {
        let request = v1::DeleteWorkerRequest {
            worker: Some(reference(worker)),
        };
        self.workers.clone().delete_worker(request).await?;
        Ok(())
    }

    /// Waits until the worker has the status.
    pub(crate) async fn until(&self, worker: &str, status: v1::WorkerStatus) -> v1::WorkerInfo {
        let reached = async {
            loop {
                if let Ok(info) = self.get(worker).await
                    && info.status() == status
                {
                    return info;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(PATIENCE, reached)
            .await
            .unwrap_or_else(|_| panic!("{worker} never became {status:?}"))
    }
}

pub(crate) async fn open_store(path: PathBuf) -> Store {
    let opened = async {
        loop {
            // After a restart the files may be held for a moment by tasks that are ending.
            match Store::open(kiln_store::Options::new(&path)).await {
                Ok(store) => return store,
                Err(kiln_store::Error::Conflict(_)) => tokio::time::sleep(Duration::from_millis(20)).await,
                Err(error) => panic!("{error}"),
            }
        }
    };
    tokio::time::timeout(PATIENCE, opened)
        .await
        .expect("the store opens")
}

pub(crate) fn guest_bytes(guest: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../tests/guests/built")
        .join(format!("{guest}.wasm"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// `COMPONENT/WORKER`.
pub(crate) fn reference(worker: &str) -> v1::WorkerRef {
    let (component, worker) = worker.split_once('/').unwrap();
    v1::WorkerRef {
        component: component.into(),
        worker: worker.into(),
    }
}

pub(crate) fn invocation(worker: &str, function: &str, arguments: &[&str], key: &str) -> v1::InvokeRequest {
    let values = arguments.iter().map(|text| (*text).to_owned()).collect();
    v1::InvokeRequest {
        worker: Some(reference(worker)),
        function: function.into(),
        arguments: Some(Arguments::Wave(v1::WaveArguments { values })),
        idempotency_key: key.into(),
        ..v1::InvokeRequest::default()
    }
}
