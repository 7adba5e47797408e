//! Whom the client asks, how often, and with which key: against servers that answer as scripted.
#![allow(missing_docs)]

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use kiln_client::{Client, Error, Options};
use kiln_proto::{
    ErrorCode,
    v1::{
        self, CountWorkersRequest, CountWorkersResponse, CreateWorkerRequest, CreateWorkerResponse,
        DeleteWorkerRequest, DeleteWorkerResponse, GetOplogRequest, GetOplogResponse, GetWorkerRequest,
        GetWorkerResponse, InterruptWorkerRequest, InterruptWorkerResponse, InvokeRequest, InvokeResponse,
        ListWorkersRequest, ListWorkersResponse, OwnerHint, ResumeWorkerRequest, ResumeWorkerResponse,
        WatchWorkersRequest, WatchWorkersResponse, WorkerInfo, WorkerRef,
        worker_service_server::{WorkerService, WorkerServiceServer},
    },
};
use tokio::net::TcpListener;
use tonic::{
    Request, Response, Status,
    transport::{Server, server::TcpIncoming},
};

/// Answers calls with scripted errors, then with success, and remembers the keys.
#[derive(Clone, Default)]
struct Scripted {
    errors: Arc<Mutex<VecDeque<Status>>>,
    keys: Arc<Mutex<Vec<String>>>,
}

impl Scripted {
    fn new(errors: impl IntoIterator<Item = Status>) -> Self {
        Self {
            errors: Arc::new(Mutex::new(errors.into_iter().collect())),
            keys: Arc::default(),
        }
    }

    fn keys(&self) -> Vec<String> {
        self.keys.lock().expect("no panic").clone()
    }

    fn next(&self) -> Result<(), Status> {
        self.errors
            .lock()
            .expect("no panic")
            .pop_front()
            .map_or(Ok(()), Err)
    }

    /// Serves on a free port until the test ends.
    async fn serve(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound").to_string();
        let service = WorkerServiceServer::new(self.clone());
        tokio::spawn(
            Server::builder()
                .add_service(service)
                .serve_with_incoming(TcpIncoming::from(listener)),
        );
        address
    }
}

/// Methods that no test calls, spelled out as `async_trait` would, which does not look into macros.
macro_rules! unused {
    ($($name:ident($request:ty) -> $response:ty,)*) => {
        $(fn $name<'a, 'b>(
            &'a self,
            _: Request<$request>,
        ) -> Pin<Box<dyn Future<Output = Result<Response<$response>, Status>> + Send + 'b>>
        where
            'a: 'b,
            Self: 'b,
        {
            Box::pin(std::future::ready(Err(Status::unimplemented(stringify!($name)))))
        })*
    };
}

#[tonic::async_trait]
impl WorkerService for Scripted {
    type StreamWorkersStream = tokio_stream::Empty<Result<ListWorkersResponse, Status>>;
    type WatchWorkersStream = tokio_stream::Empty<Result<WatchWorkersResponse, Status>>;
    type ConnectWorkerStream = tokio_stream::Empty<Result<v1::IndexedOplogEntry, Status>>;

    async fn invoke(&self, request: Request<InvokeRequest>) -> Result<Response<InvokeResponse>, Status> {
        let key = request.into_inner().idempotency_key;
        self.keys.lock().expect("no panic").push(key.clone());
        self.next()?;
        Ok(Response::new(InvokeResponse {
            idempotency_key: key,
            result: None,
            replayed: false,
        }))
    }

    async fn create_worker(
        &self,
        _: Request<CreateWorkerRequest>,
    ) -> Result<Response<CreateWorkerResponse>, Status> {
        self.next()?;
        Ok(Response::new(CreateWorkerResponse {
            worker: Some(WorkerInfo::default()),
        }))
    }

    async fn get_worker(&self, _: Request<GetWorkerRequest>) -> Result<Response<GetWorkerResponse>, Status> {
        let worker = WorkerInfo {
            args: vec!["a".into()],
            ..WorkerInfo::default()
        };
        Ok(Response::new(GetWorkerResponse { worker: Some(worker) }))
    }

    unused! {
        delete_worker(DeleteWorkerRequest) -> DeleteWorkerResponse,
        interrupt_worker(InterruptWorkerRequest) -> InterruptWorkerResponse,
        resume_worker(ResumeWorkerRequest) -> ResumeWorkerResponse,
        list_workers(ListWorkersRequest) -> ListWorkersResponse,
        count_workers(CountWorkersRequest) -> CountWorkersResponse,
        get_oplog(GetOplogRequest) -> GetOplogResponse,
        stream_workers(ListWorkersRequest) -> Self::StreamWorkersStream,
        watch_workers(WatchWorkersRequest) -> Self::WatchWorkersStream,
        get_files(v1::GetFilesRequest) -> v1::GetFilesResponse,
        update_worker(v1::UpdateWorkerRequest) -> v1::UpdateWorkerResponse,
        revert_worker(v1::RevertWorkerRequest) -> v1::RevertWorkerResponse,
        fork_worker(v1::ForkWorkerRequest) -> v1::ForkWorkerResponse,
        cancel_invocation(v1::CancelInvocationRequest) -> v1::CancelInvocationResponse,
        connect_worker(v1::ConnectWorkerRequest) -> Self::ConnectWorkerStream,
        complete_promise(v1::CompletePromiseRequest) -> v1::CompletePromiseResponse,
    }
}

fn client(endpoints: &[&str]) -> Client {
    let endpoints = endpoints
        .iter()
        .map(|address| address.parse().expect("valid"))
        .collect();
    Client::new(Options {
        deadline: Duration::from_secs(5),
        ..Options::new(endpoints)
    })
    .expect("valid")
}

fn worker() -> WorkerRef {
    WorkerRef {
        component: "counter".into(),
        worker: "c1".into(),
    }
}

fn invocation() -> InvokeRequest {
    InvokeRequest {
        worker: Some(worker()),
        function: "f".into(),
        ..InvokeRequest::default()
    }
}

fn not_owner(address: &str) -> Status {
    Error::not_owner(OwnerHint {
        shard: 0,
        node_id: 1,
        address: address.into(),
    })
    .into()
}

/// An address where nobody listens.
async fn nobody() -> String {
    TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port")
        .local_addr()
        .expect("bound")
        .to_string()
}

#[tokio::test]
async fn all_attempts_carry_one_key() {
    let server = Scripted::new([
        Error::unavailable("no quorum").into(),
        Status::unavailable("connection reset"),
        not_owner(""),
        Error::fenced("an old epoch").into(),
    ]);
    let response = client(&[&server.serve().await])
        .invoke(invocation())
        .await
        .expect("it succeeds in the end");
    let keys = server.keys();
    assert_eq!(keys.len(), 5);
    assert!(
        keys.iter().all(|key| *key == response.idempotency_key),
        "{keys:?}"
    );
}

#[tokio::test]
async fn a_hint_is_followed_at_once() {
    let owner = Scripted::default();
    let other = Scripted::new([not_owner(&owner.serve().await)]);
    client(&[&other.serve().await])
        .invoke(invocation())
        .await
        .expect("the owner answers");
    assert_eq!((other.keys().len(), owner.keys().len()), (1, 1));
}

#[tokio::test]
async fn an_owner_out_of_reach_is_asked_through_the_endpoint() {
    let away = nobody().await;
    let endpoint = Scripted::new([not_owner(&away), not_owner(&away)]);
    client(&[&endpoint.serve().await])
        .invoke(invocation())
        .await
        .expect("the endpoint forwards");
    assert_eq!(endpoint.keys().len(), 3);
}

#[tokio::test]
async fn a_dead_endpoint_is_passed_over() {
    let alive = Scripted::default();
    client(&[&nobody().await, &alive.serve().await])
        .invoke(invocation())
        .await
        .expect("the other one answers");
    assert_eq!(alive.keys().len(), 1);
}

#[tokio::test]
async fn what_a_retry_cannot_change_is_told_at_once() {
    let server = Scripted::new([Error::worker_failed("it trapped").into()]);
    let error = client(&[&server.serve().await])
        .invoke(invocation())
        .await
        .expect_err("it failed");
    assert_eq!(
        (error.code, error.message.as_str()),
        (ErrorCode::WorkerFailed, "it trapped")
    );
    assert_eq!(server.keys().len(), 1);
}

#[tokio::test]
async fn the_deadline_ends_all() {
    let server =
        Scripted::new((0..1000).map(|_| Status::from(Error::unavailable("2 of 3 replicas are away"))));
    let mut options = Options::new(vec![server.serve().await.parse().expect("valid")]);
    options.deadline = Duration::from_millis(300);
    let started = Instant::now();
    let error = Client::new(options)
        .expect("valid")
        .invoke(invocation())
        .await
        .expect_err("no success");
    assert!(started.elapsed() < Duration::from_secs(2));
    assert_eq!(error.code, ErrorCode::Unavailable);
    assert!(error.message.contains("2 of 3 replicas are away"), "{error}");
}

#[tokio::test]
async fn a_worker_created_by_a_lost_attempt_is_ours() {
    let lost_then_exists = || {
        [
            Status::unavailable("connection reset"),
            Error::already_exists("c1").into(),
        ]
    };
    let request = |arg: &str| CreateWorkerRequest {
        worker: Some(worker()),
        args: vec![arg.into()],
        ..CreateWorkerRequest::default()
    };
    let server = Scripted::new(lost_then_exists());
    client(&[&server.serve().await])
        .create_worker(request("a"))
        .await
        .expect("the same arguments");
    let server = Scripted::new(lost_then_exists());
    let error = client(&[&server.serve().await])
        .create_worker(request("b"))
        .await
        .expect_err("another's");
    assert_eq!(error.code, ErrorCode::AlreadyExists);
}
