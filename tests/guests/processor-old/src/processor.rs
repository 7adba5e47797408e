//! The same for both old versions.

use std::cell::{Cell, RefCell};

use crate::bindings::exports::golem::api::oplog_processor::{
    AccountInfo, ComponentId, Guest as Processors, GuestProcessor, OplogEntry, OplogIndex, WorkerId,
    WorkerMetadata,
};
use crate::bindings::exports::test::processor::api::Guest;

thread_local! {
    static IS_MADE: Cell<bool> = const { Cell::new(false) };
    static SEEN: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

pub struct Component;

impl Guest for Component {
    fn seen() -> Vec<String> {
        SEEN.with_borrow(Vec::clone)
    }
}

impl Processors for Component {
    type Processor = Processor;
}

pub struct Processor {
    component: ComponentId,
    refused: RefCell<Vec<OplogIndex>>,
}

impl GuestProcessor for Processor {
    fn new(_account: AccountInfo, component: ComponentId, config: Vec<(String, String)>) -> Self {
        assert!(config.is_empty());
        assert!(!IS_MADE.replace(true), "one for each worker");
        Self {
            component,
            refused: RefCell::default(),
        }
    }

    fn process(
        &self,
        worker: WorkerId,
        metadata: WorkerMetadata,
        first: OplogIndex,
        entries: Vec<OplogEntry>,
    ) -> Result<(), String> {
        assert_eq!(
            self.component.uuid.high_bits,
            worker.component_id.uuid.high_bits
        );
        assert_eq!(metadata.worker_id.worker_name, worker.worker_name);
        // What says "refuse me" is refused the first time.
        let refuses = entries.iter().any(|entry| match entry {
            OplogEntry::ExportedFunctionInvoked(call) => call.idempotency_key == "refuse me",
            _ => false,
        });
        if refuses && !self.refused.borrow().contains(&first) {
            self.refused.borrow_mut().push(first);
            return Err("not yet".to_owned());
        }
        let kinds: Vec<&str> = entries.iter().map(kind).collect();
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
