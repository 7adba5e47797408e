//! Functions that only take values apart and put them together. They touch nothing, so that nothing is recorded.

use kiln_proto::v1::Value;
use uuid::Uuid;

use crate::host::{
    dynamic::{Arguments, Interface},
    golem::shapes::{field, uuid, uuid_of},
    payload::string,
};

pub(super) fn add(interface: Interface) -> Interface {
    interface
        .function(&["parse-uuid"], |_, arguments| {
            Box::pin(async { parse_uuid(arguments) })
        })
        .function(&["uuid-to-string"], |_, arguments| {
            Box::pin(async { uuid_to_string(arguments) })
        })
        .function(&["extract-value"], |_, arguments| {
            Box::pin(async { part(arguments, "value") })
        })
        .function(&["extract-type"], |_, arguments| {
            Box::pin(async { part(arguments, "typ") })
        })
}

fn parse_uuid(mut arguments: Arguments) -> wasmtime::Result<Option<Value>> {
    let text = arguments.string()?;
    let parsed = Uuid::parse_str(&text)
        .map(|id| Some(uuid(id)))
        .map_err(|error| Some(string(&error.to_string())));
    Ok(Some(Value::result(parsed)))
}

fn uuid_to_string(mut arguments: Arguments) -> wasmtime::Result<Option<Value>> {
    let id = uuid_of(&arguments.value()?)?;
    Ok(Some(string(&id.to_string())))
}

/// A field of a `value-and-type`.
fn part(mut arguments: Arguments, name: &str) -> wasmtime::Result<Option<Value>> {
    Ok(Some(field(&arguments.value()?, &[name])?.clone()))
}
