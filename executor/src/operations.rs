//! The public operations on one worker: here, or at the owner.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use kiln_proto::{
    Error,
    ids::{IdempotencyKey, OplogIndex, WorkerId},
    v1::{self, worker_service_client::WorkerServiceClient},
};
use prost::Message as _;
use tonic::{Response, Status, transport::Channel};

use crate::{
    route::{Operation, RemoteCall},
    shard::Owned,
    worker::{Answer, Create, Invoke, Message, info::worker_info},
};

const OPLOG_PAGE_DEFAULT: u32 = 100;
const OPLOG_PAGE_MAX: u32 = 1000;
/// Longest wait for an entry that is not there yet.
const OPLOG_WAIT_MAX: Duration = Duration::from_secs(20);
/// Bytes of entries on a page, so that it fits in a message.
const OPLOG_PAGE_BYTES: usize = 4 << 20;

/// A request and the worker that it is about.
pub(crate) struct On<T> {
    pub(crate) worker: WorkerId,
    pub(crate) request: Arc<T>,
}

impl<T> On<T> {
    pub(crate) fn new(worker: WorkerId, request: T) -> Arc<Self> {
        Arc::new(Self {
            worker,
            request: Arc::new(request),
        })
    }
}

/// An invocation with its key, the same for all attempts.
pub(crate) struct Invocation {
    worker: WorkerId,
    request: Arc<v1::InvokeRequest>,
    key: IdempotencyKey,
    /// The key was made for this call and no attempt has used it yet.
    key_is_fresh: AtomicBool,
}

impl Invocation {
    /// # Errors
    /// `INVALID` for a key that is too long.
    pub(crate) fn new(worker: WorkerId, mut request: v1::InvokeRequest) -> Result<Arc<Self>, Error> {
        let key_is_fresh = AtomicBool::new(request.idempotency_key.is_empty());
        let key = if request.idempotency_key.is_empty() {
            IdempotencyKey::random()
        } else {
            IdempotencyKey::new(&request.idempotency_key)?
        };
        request.idempotency_key = key.as_str().to_owned();
        Ok(Arc::new(Self {
            worker,
            request: Arc::new(request),
            key,
            key_is_fresh,
        }))
    }

    fn response(&self, answer: Answer) -> v1::InvokeResponse {
        v1::InvokeResponse {
            idempotency_key: self.key.as_str().to_owned(),
            result: answer.result,
            replayed: answer.replayed,
        }
    }
}

impl Operation for Invocation {
    type Reply = v1::InvokeResponse;

    async fn here(self: Arc<Self>, owned: Arc<Owned>) -> Result<v1::InvokeResponse, Error> {
        let answer = owned
            .ask(&self.worker, |reply| {
                Message::Invoke(Invoke {
                    request: self.request.clone(),
                    key: self.key.clone(),
                    key_is_fresh: self.key_is_fresh.swap(false, Ordering::Relaxed),
                    reply,
                })
            })
            .await?;
        Ok(self.response(answer))
    }

    async fn there(&self, call: RemoteCall) -> Result<Response<v1::InvokeResponse>, Status> {
        self.key_is_fresh.store(false, Ordering::Relaxed);
        client(&call).invoke(call.request((*self.request).clone())).await
    }
}

impl Operation for On<v1::CreateWorkerRequest> {
    type Reply = v1::CreateWorkerResponse;

    async fn here(self: Arc<Self>, owned: Arc<Owned>) -> Result<v1::CreateWorkerResponse, Error> {
        let message = |reply| {
            Message::Create(Create {
                request: self.request.clone(),
                reply,
            })
        };
        let record = owned.ask(&self.worker, message).await?;
        Ok(v1::CreateWorkerResponse {
            worker: Some(described(&owned, record).await?),
        })
    }

    async fn there(&self, call: RemoteCall) -> Result<Response<v1::CreateWorkerResponse>, Status> {
        client(&call)
            .create_worker(call.request((*self.request).clone()))
            .await
    }
}

impl Operation for On<v1::GetWorkerRequest> {
    type Reply = v1::GetWorkerResponse;

    async fn here(self: Arc<Self>, owned: Arc<Owned>) -> Result<v1::GetWorkerResponse, Error> {
        owned.shard.barrier().await?;
        let record = owned.record(&self.worker)?.ok_or_else(|| unknown(&self.worker))?;
        Ok(v1::GetWorkerResponse {
            worker: Some(described(&owned, record).await?),
        })
    }

    async fn there(&self, call: RemoteCall) -> Result<Response<v1::GetWorkerResponse>, Status> {
        client(&call)
            .get_worker(call.request((*self.request).clone()))
            .await
    }
}

impl Operation for On<v1::DeleteWorkerRequest> {
    type Reply = v1::DeleteWorkerResponse;

    async fn here(self: Arc<Self>, owned: Arc<Owned>) -> Result<v1::DeleteWorkerResponse, Error> {
        owned.ask(&self.worker, |reply| Message::Delete { reply }).await?;
        Ok(v1::DeleteWorkerResponse {})
    }

    async fn there(&self, call: RemoteCall) -> Result<Response<v1::DeleteWorkerResponse>, Status> {
        client(&call)
            .delete_worker(call.request((*self.request).clone()))
            .await
    }
}

impl Operation for On<v1::InterruptWorkerRequest> {
    type Reply = v1::InterruptWorkerResponse;

    async fn here(self: Arc<Self>, owned: Arc<Owned>) -> Result<v1::InterruptWorkerResponse, Error> {
        let recover_immediately = self.request.recover_immediately;
        owned
            .ask(&self.worker, |reply| Message::Interrupt {
                recover_immediately,
                reply,
            })
            .await?;
        Ok(v1::InterruptWorkerResponse {})
    }

    async fn there(&self, call: RemoteCall) -> Result<Response<v1::InterruptWorkerResponse>, Status> {
        client(&call)
            .interrupt_worker(call.request((*self.request).clone()))
            .await
    }
}

impl Operation for On<v1::ResumeWorkerRequest> {
    type Reply = v1::ResumeWorkerResponse;

    async fn here(self: Arc<Self>, owned: Arc<Owned>) -> Result<v1::ResumeWorkerResponse, Error> {
        let force = self.request.force;
        owned
            .ask(&self.worker, |reply| Message::Resume { force, reply })
            .await?;
        Ok(v1::ResumeWorkerResponse {})
    }

    async fn there(&self, call: RemoteCall) -> Result<Response<v1::ResumeWorkerResponse>, Status> {
        client(&call)
            .resume_worker(call.request((*self.request).clone()))
            .await
    }
}

impl Operation for On<v1::GetOplogRequest> {
    type Reply = v1::GetOplogResponse;

    async fn here(self: Arc<Self>, owned: Arc<Owned>) -> Result<v1::GetOplogResponse, Error> {
        let from = self.request.from.max(1);
        if self.request.wait_ms > 0 {
            let wait_max = Duration::from_millis(self.request.wait_ms.into()).min(OPLOG_WAIT_MAX);
            // How it ends shows in what is read then.
            let _ = tokio::time::timeout(wait_max, entry_at(&owned, &self.worker, from)).await;
        }
        owned.shard.barrier().await?;
        let record = owned.record(&self.worker)?.ok_or_else(|| unknown(&self.worker))?;
        let limit = match self.request.limit {
            0 => OPLOG_PAGE_DEFAULT,
            limit => limit.min(OPLOG_PAGE_MAX),
        };
        let page =
            owned
                .shard
                .read_oplog(&self.worker, OplogIndex(from), limit as usize, OPLOG_PAGE_BYTES)?;
        let mut entries = Vec::with_capacity(page.len());
        for (index, bytes) in page {
            let entry = v1::OplogEntry::decode(bytes).map_err(|_| {
                Error::corrupt(format!("entry {index} of worker {} cannot be read", self.worker))
            })?;
            entries.push(v1::IndexedOplogEntry {
                index: index.0,
                entry: Some(entry),
            });
        }
        let next = entries.last().map_or(0, |last| last.index + 1);
        Ok(v1::GetOplogResponse {
            entries,
            next: if next > record.oplog_index { 0 } else { next },
        })
    }

    async fn there(&self, call: RemoteCall) -> Result<Response<v1::GetOplogResponse>, Status> {
        client(&call)
            .get_oplog(call.request((*self.request).clone()))
            .await
    }
}

/// Waits until a worker's oplog reaches an index, or the worker is no more.
async fn entry_at(owned: &Owned, worker: &WorkerId, index: u64) -> Result<(), Error> {
    let mut turns = owned.shard.follow(worker);
    let mut leadership = owned.shard.group().leadership();
    while let Some(record) = owned.shard.worker(worker)?
        && record.oplog_index < index
        && !owned.is_closed()
    {
        tokio::select! {
            _ = turns.changed() => {}
            _ = leadership.changed() => return Ok(()),
        }
    }
    Ok(())
}

async fn described(owned: &Owned, record: v1::WorkerRecord) -> Result<v1::WorkerInfo, Error> {
    let id = record
        .worker_id
        .as_ref()
        .ok_or_else(|| Error::corrupt("a worker record has no identity"))?;
    let id = WorkerId::try_from(id)?;
    let name = owned
        .context()
        .registry
        .name_of(id.component, record.component_version.into())
        .await;
    worker_info(record, name, owned.id())
}

fn unknown(worker: &WorkerId) -> Error {
    Error::not_found(format!("worker {worker} does not exist"))
}

pub(crate) fn client(call: &RemoteCall) -> WorkerServiceClient<Channel> {
    WorkerServiceClient::new(call.channel.clone())
        .max_decoding_message_size(call.message_bytes_max)
        .max_encoding_message_size(call.message_bytes_max)
}
