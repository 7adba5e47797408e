//! Is given the oplogs of other workers.

#[rustfmt::skip]
mod bindings;

use std::cell::RefCell;

use bindings::exports::golem::api::oplog_processor::{
    AccountInfo, ComponentId, Guest as Processor, OplogEntry, OplogIndex, WorkerId, WorkerMetadata,
};
use bindings::exports::test::processor::api::Guest;

thread_local! {
    static SEEN: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
    static REFUSED: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
}

struct Component;

impl Guest for Component {
    fn seen() -> Vec<String> {
        SEEN.with_borrow(Vec::clone)
    }
}

impl Processor for Component {
    fn process(
        _account: AccountInfo,
        config: Vec<(String, String)>,
        component: ComponentId,
        worker: WorkerId,
        metadata: WorkerMetadata,
        first: OplogIndex,
        entries: Vec<OplogEntry>,
    ) -> Result<(), String> {
        assert!(config.is_empty());
        assert_eq!(component.uuid.high_bits, worker.component_id.uuid.high_bits);
        assert_eq!(metadata.worker_id.worker_name, worker.worker_name);
        let kinds: Vec<&str> = entries.iter().map(kind).collect();
        // What says "refuse me" is refused the first time.
        let refuses = entries.iter().any(|entry| match entry {
            OplogEntry::ExportedFunctionInvoked(call) => call.idempotency_key == "refuse me",
            _ => false,
        });
        if refuses && REFUSED.with_borrow(|refused| !refused.contains(&first)) {
            REFUSED.with_borrow_mut(|refused| refused.push(first));
            return Err("not yet".to_owned());
        }
        SEEN.with_borrow_mut(|seen| seen.push(format!("{} {first} {}", worker.worker_name, kinds.join(" "))));
        Ok(())
    }
}

fn kind(entry: &OplogEntry) -> &'static str {
    match entry {
        OplogEntry::Create(_) => "create",
        OplogEntry::PendingWorkerInvocation(_) => "pending",
        OplogEntry::ExportedFunctionInvoked(_) => "invoked",
        OplogEntry::ExportedFunctionCompleted(_) => "completed",
        _ => "other",
    }
}

bindings::export!(Component with_types_in bindings);
