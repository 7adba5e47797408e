use std::sync::{Arc, atomic::Ordering};

use bytes::Bytes;
use kiln_proto::v1::{
    ShardCommand, ShardCommandReply, ShardOperation, shard_operation::Operation, shard_operation_reply::Reply,
};
use prost::Message;
use tokio::sync::{Semaphore, mpsc, oneshot};

use super::{machine::ShardMachine, storage};
use crate::{Error, Group};

/// Operations that may wait to be merged.
const QUEUE_LENGTH: usize = 4096;

/// Commands under way at the same time. While they are, the next one gathers: more would only make smaller ones.
const COMMANDS_MAX: usize = 4;

/// A command takes no more operations beyond these limits.
const COMMAND_OPERATIONS_MAX: usize = 1024;
const COMMAND_BYTES_MAX: usize = 1 << 20;

struct Proposal {
    operation: Operation,
    answer: oneshot::Sender<Result<Reply, Error>>,
}

/// Merges the operations of a shard's workers into few Raft entries.
#[derive(Clone)]
pub(super) struct Proposer {
    queue: mpsc::Sender<Proposal>,
}

impl Proposer {
    pub(super) fn start(group: Group<ShardMachine>) -> Self {
        let (queue, proposals) = mpsc::channel(QUEUE_LENGTH);
        tokio::spawn(run(group, proposals));
        Self { queue }
    }

    pub(super) async fn propose(&self, operation: Operation) -> Result<Reply, Error> {
        let (answer, answered) = oneshot::channel();
        self.queue
            .send(Proposal { operation, answer })
            .await
            .map_err(|_| Error::Stopped)?;
        answered.await.map_err(|_| Error::Stopped)?
    }
}

async fn run(group: Group<ShardMachine>, mut proposals: mpsc::Receiver<Proposal>) {
    let slots = Arc::new(Semaphore::new(COMMANDS_MAX));
    while let Some(first) = proposals.recv().await {
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else {
            return;
        };
        let (operations, answers) = gather(first, &mut proposals);
        group
            .node()
            .counters
            .operations
            .fetch_add(answers.len() as u64, Ordering::Relaxed);
        let group = group.clone();
        tokio::spawn(async move {
            let reply = group
                .propose(ShardCommand { operations }.encode_to_vec().into())
                .await;
            drop(slot);
            answer(answers, reply);
        });
    }
}

type Answers = Vec<oneshot::Sender<Result<Reply, Error>>>;

fn gather(first: Proposal, proposals: &mut mpsc::Receiver<Proposal>) -> (Vec<ShardOperation>, Answers) {
    let mut operations = Vec::new();
    let mut answers = Vec::new();
    let mut bytes = 0;
    let mut next = Some(first);
    while let Some(Proposal { operation, answer }) = next {
        bytes += weight(&operation);
        operations.push(ShardOperation {
            operation: Some(operation),
        });
        answers.push(answer);
        let is_full = operations.len() >= COMMAND_OPERATIONS_MAX || bytes >= COMMAND_BYTES_MAX;
        next = if is_full { None } else { proposals.try_recv().ok() };
    }
    (operations, answers)
}

/// Bytes that an operation adds to a command, about.
fn weight(operation: &Operation) -> usize {
    match operation {
        Operation::Append(append) => append.entries.iter().map(Bytes::len).sum(),
        other => storage::weight(other),
    }
}

/// Gives each its own reply. Whoever has gone away since does not care.
fn answer(answers: Answers, reply: Result<Bytes, Error>) {
    let replies = reply.and_then(|reply| {
        ShardCommandReply::decode(reply)
            .map_err(|error| Error::Corrupt(format!("the reply to a shard command does not decode: {error}")))
    });
    match replies {
        Ok(replies) => {
            for (answer, reply) in answers.into_iter().zip(replies.replies) {
                let _ = answer.send(
                    reply
                        .reply
                        .ok_or_else(|| Error::Corrupt("a shard operation has no reply".into())),
                );
            }
        }
        Err(error) => {
            for answer in answers {
                let _ = answer.send(Err(error.for_another()));
            }
        }
    }
}
