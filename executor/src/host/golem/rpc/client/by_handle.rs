//! Resources of a worker in the arguments and results of its functions. The guest holds them as clients.

use kiln_proto::v1::{HandleValue, Value, value::Kind};
use wasmtime::component::Resource;

use super::Client;
use crate::host::{HostState, dynamic::conform, golem::rpc::connection::worker_of, value::Type};

/// Puts the worker's own handles into an argument in place of clients. A client that is given away is the guest's no more.
///
/// # Errors
/// For a client that stands for an interface.
pub(super) fn to_worker(state: &mut HostState, argument: &mut Value, ty: &Type) -> wasmtime::Result<()> {
    each_handle(argument, ty, &mut |handle, ty| {
        let rep = u32::try_from(handle.id)?;
        let client = match ty {
            Type::Own(_) => state.table.delete(Resource::<Client>::new_own(rep))?,
            _ => state.table.get(&Resource::<Client>::new_borrow(rep))?.clone(),
        };
        let Some(Kind::Handle(remote)) = client.remote.and_then(|remote| remote.kind) else {
            wasmtime::bail!("{} is no resource of {}", client.resource, client.worker);
        };
        *handle = remote;
        Ok(())
    })
}

/// A result with clients in place of the worker's handles.
///
/// # Errors
/// For a result of another shape, and for a handle that names no worker.
pub(super) fn to_guest(state: &mut HostState, result: Value, ty: &Type) -> wasmtime::Result<Value> {
    let mut result = conform(result, ty).map_err(|unfit| wasmtime::format_err!("{unfit}"))?;
    each_handle(&mut result, ty, &mut |handle, ty| {
        let (Type::Own(resource) | Type::Borrow(resource)) = ty else {
            return Ok(());
        };
        let client = Client {
            worker: worker_of(&handle.uri)?,
            resource: resource.clone(),
            remote: Some(Kind::Handle(handle.clone()).into()),
        };
        let rep = state.table.push(client)?.rep();
        *handle = HandleValue {
            uri: String::new(),
            id: rep.into(),
        };
        Ok(())
    })?;
    Ok(result)
}

/// Visits the handles in a value of this type, with their own types.
fn each_handle(
    value: &mut Value,
    ty: &Type,
    visit: &mut dyn FnMut(&mut HandleValue, &Type) -> wasmtime::Result<()>,
) -> wasmtime::Result<()> {
    let Some(kind) = &mut value.kind else {
        return Ok(());
    };
    match (kind, ty) {
        (Kind::Handle(handle), _) => visit(handle, ty),
        (Kind::List(list), Type::List(element) | Type::FixedList(element, _)) => list
            .values
            .iter_mut()
            .try_for_each(|value| each_handle(value, element, visit)),
        (Kind::Tuple(tuple), Type::Tuple(types)) => {
            let mut pairs = tuple.values.iter_mut().zip(&**types);
            pairs.try_for_each(|(value, ty)| each_handle(value, ty, visit))
        }
        (Kind::Record(record), Type::Record(fields)) => {
            let values = record.fields.iter_mut().map(|field| &mut field.value);
            let mut pairs = values.zip(&**fields);
            pairs.try_for_each(|(value, field)| within(value.as_mut(), Some(&field.ty), visit))
        }
        (Kind::Variant(variant), Type::Variant(cases)) => {
            let name = variant.case.as_ref().map_or("", |case| &case.name);
            let case = cases.iter().find(|case| *case.name == *name);
            let ty = case.and_then(|case| case.payload.as_ref());
            within(variant.payload.as_deref_mut(), ty, visit)
        }
        (Kind::Option(option), Type::Option(some)) => within(option.value.as_deref_mut(), Some(some), visit),
        (Kind::Result(result), Type::Result(sides)) => {
            let ty = if result.is_error { &sides.1 } else { &sides.0 };
            within(result.payload.as_deref_mut(), ty.as_ref(), visit)
        }
        _ => Ok(()),
    }
}

/// The same for what may be absent.
fn within(
    value: Option<&mut Value>,
    ty: Option<&Type>,
    visit: &mut dyn FnMut(&mut HandleValue, &Type) -> wasmtime::Result<()>,
) -> wasmtime::Result<()> {
    match (value, ty) {
        (Some(value), Some(ty)) => each_handle(value, ty, visit),
        _ => Ok(()),
    }
}
