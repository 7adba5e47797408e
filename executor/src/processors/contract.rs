use kiln_proto::{
    ids::OplogIndex,
    v1::{Value, value::Kind},
};

use crate::component::{FunctionRef, LoadedComponent, UnknownFunction};

/// The function of a processor, in whatever version of the contract.
pub(super) const PROCESS: &str = "golem:api/oplog-processor.{process}";
/// Before version 1.1.7 that is a method of a resource, which is made first.
pub(super) const RESOURCE_PROCESS: &str = "golem:api/oplog-processor.{processor.process}";
pub(super) const RESOURCE_NEW: &str = "golem:api/oplog-processor.{processor.new}";

/// How a component processes oplogs.
pub(crate) enum Contract {
    /// By a function.
    Function { process: FunctionRef },
    /// By a method of a resource.
    Resource { new: FunctionRef, process: FunctionRef },
}

impl Contract {
    /// What a component exports of it.
    ///
    /// # Errors
    /// When it processes no oplogs.
    pub(crate) fn of(component: &LoadedComponent) -> Result<Self, UnknownFunction> {
        match component.function(RESOURCE_PROCESS) {
            Ok(process) => Ok(Self::Resource {
                new: component.function(RESOURCE_NEW)?,
                process,
            }),
            Err(_) => Ok(Self::Function {
                process: component.function(PROCESS)?,
            }),
        }
    }
}

/// True for the name under which a call of `process` is recorded.
pub(super) fn is_process(function: &str) -> bool {
    function.starts_with("golem:api/oplog-processor")
        && (function.ends_with(".{process}") || function.ends_with(".{processor.process}"))
}

/// The index of a batch's first entry, which comes before the entries.
pub(super) fn first_index(request: &[Value]) -> Option<OplogIndex> {
    let [.., first, _] = request else { return None };
    match first.kind {
        Some(Kind::U64Value(index)) => Some(OplogIndex(index)),
        _ => None,
    }
}
