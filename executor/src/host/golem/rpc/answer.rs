//! Results of calls: as they are recorded, and as guests see them.

use kiln_proto::{
    Error, ErrorCode,
    v1::{Value, value::Kind},
};

use crate::host::{payload::string, value::wit::value_to_wit};

/// A call's outcome as it is recorded: `result<tuple, rpc-error>`, the tuple with the function's result if it has one.
pub(super) fn recorded(outcome: Result<Option<Value>, Error>) -> Value {
    let ok = |result: Option<Value>| Some(Value::tuple(result.into_iter().collect()));
    Value::result(outcome.map(ok).map_err(|error| Some(rpc_error(&error))))
}

/// A recorded outcome with its values in the flat form that guests take.
pub(super) fn flat(recorded: Value) -> Value {
    match recorded.kind {
        Some(Kind::Result(result)) if !result.is_error => {
            let value = result.payload.as_deref().map(value_to_wit).transpose();
            Value::result(value.map_err(|error| {
                let text = format!("the result cannot be passed on: {error}");
                Some(Value::variant("protocol-error", Some(string(&text))))
            }))
        }
        kind => Value { kind },
    }
}

/// An outcome of a function without a result of its own: `result<_, rpc-error>`.
pub(super) fn acknowledged(outcome: Result<(), Error>) -> Value {
    Value::result(outcome.map(|()| None).map_err(|error| Some(rpc_error(&error))))
}

fn rpc_error(error: &Error) -> Value {
    let case = match error.code {
        ErrorCode::NotFound => "not-found",
        ErrorCode::Invalid => "protocol-error",
        _ => "remote-internal-error",
    };
    Value::variant(case, Some(string(&error.message)))
}

/// An error that may pass: a callee that is too busy counts among them.
pub(super) fn passing(error: Error) -> Error {
    match error.code {
        ErrorCode::LimitExceeded => Error::unavailable(error.message).with_hint(error.hint),
        _ => error,
    }
}
