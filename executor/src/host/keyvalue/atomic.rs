use kiln_proto::v1::{CompareAndSwap, Value, combine_key::Combination};
use wasmtime::component::Resource;

use super::{bindings::wasi::keyvalue::atomic::Host, error::Outcome, types::Bucket};
use crate::{
    host::{
        HostState,
        payload::{string, u64_of, u64_value},
        recorded::{StorageBegun, boolean, is_true, tuple},
    },
    replay::Kind as CallKind,
};

impl Host for HostState {
    async fn increment(
        &mut self,
        bucket: Resource<Bucket>,
        key: String,
        delta: u64,
    ) -> wasmtime::Result<Outcome<u64>> {
        let combination = Combination::Increment(delta);
        let operands = [u64_value(delta)];
        let sum = self
            .combine(
                "golem keyvalue::atomic::increment",
                &bucket,
                key,
                combination,
                operands,
            )
            .await?;
        let sum = sum.map(|reply| u64_of(&reply));
        self.key_outcome(sum)
    }

    async fn compare_and_swap(
        &mut self,
        bucket: Resource<Bucket>,
        key: String,
        old: u64,
        new: u64,
    ) -> wasmtime::Result<Outcome<bool>> {
        let combination = Combination::CompareAndSwap(CompareAndSwap { old, new });
        let operands = [u64_value(old), u64_value(new)];
        let swapped = self
            .combine(
                "golem keyvalue::atomic::compare_and_swap",
                &bucket,
                key,
                combination,
                operands,
            )
            .await?;
        let swapped = swapped.map(|reply| is_true(&reply));
        self.key_outcome(swapped)
    }
}

impl HostState {
    async fn combine<const N: usize>(
        &mut self,
        function: &'static str,
        bucket: &Resource<Bucket>,
        key: String,
        combination: Combination,
        operands: [Value; N],
    ) -> wasmtime::Result<Result<Value, String>> {
        let bucket = self.bucket_name(bucket)?;
        let request = tuple([string(&bucket), string(&key)].into_iter().chain(operands));
        let is_increment = matches!(combination, Combination::Increment(_));
        match self
            .begin_storage(function, CallKind::WriteRemote, request)
            .await?
        {
            StorageBegun::Recorded(outcome) => Ok(outcome),
            StorageBegun::New(call) => {
                let writer = call.writer.clone();
                let reply = call
                    .storage
                    .combine_key(&call.application, &bucket, &key, combination, writer)
                    .await;
                let value = reply.map(|reply| match is_increment {
                    true => u64_value(reply.number),
                    false => boolean(reply.swapped),
                });
                self.end_storage(call, value).await
            }
        }
    }
}
