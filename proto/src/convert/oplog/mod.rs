//! Oplog entries as others see them: a kind and named fields, with the names of the guest contract's `golem:api/oplog`.
//!
//! * [`kind_name`] – the kinds
//! * [`fields`] – the fields of an entry; [`Form`] says how times, ids and the guest's own values look
//!
//! The table of names is here alone. Guests, gRPC, HTTP and the command line get the same fields in their own form.
//! The fields are a superset of what any version of the contract has; whoever needs less drops the others.

mod call;
mod fields;
mod kind;
mod span;

use uuid::Uuid;

use crate::{
    ids::ComponentId,
    v1::{FieldValue, KeyValue, Value, WorkerId},
};

pub use fields::fields;
pub use kind::kind_name;

/// How an audience sees what has no one natural form.
pub trait Form {
    /// A moment, from nanoseconds since the Unix epoch.
    fn time(&self, ns: u64) -> Value;
    /// The id of a component.
    fn component_id(&self, id: ComponentId) -> Value;
    /// Names with values: environment or configuration.
    fn pairs(&self, pairs: &[KeyValue]) -> Value;
    /// A value of a type that only the guest knows: an argument, a result, a request; absent when there is none.
    fn embedded(&self, value: Option<&Value>) -> Value;
    /// What every worker has alike, since there is one account and one project.
    fn owner(&self) -> Vec<FieldValue>;
}

/// A UUID as the guest contract's record of two halves.
#[must_use]
pub fn uuid_halves(uuid: Uuid) -> Value {
    let (high, low) = uuid.as_u64_pair();
    Value::record(vec![
        FieldValue::of("high-bits", high),
        FieldValue::of("low-bits", low),
    ])
}

fn worker_id(id: &WorkerId, form: &dyn Form) -> Value {
    let component = ComponentId::from_slice(&id.component_id).unwrap_or(ComponentId(Uuid::nil()));
    Value::record(vec![
        FieldValue::of("component-id", form.component_id(component)),
        FieldValue::of("worker-name", &id.name),
    ])
}
