use std::sync::Arc;

use crate::{
    component::FunctionName,
    host::value::{Signature, Type},
};

/// What a function of a client stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Role {
    /// Makes a client.
    Connect { resource: Arc<str>, worker: Named },
    /// Calls a function of this name and waits for the result.
    Call(Arc<str>),
    /// Queues a call.
    Send(Arc<str>),
    /// Begins a call; the result is fetched later.
    Begin(Arc<str>),
    /// Has a call made at a time, which comes behind the arguments.
    Schedule(Arc<str>),
    /// Waits for the result of a call that was begun.
    Subscribe,
    /// Fetches it.
    Fetch,
}

/// How a client is told which worker it stands for, before the arguments of the resource there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Named {
    /// By its name.
    Name,
    /// By its whole id, or its URI.
    Id,
    /// Any worker of a component, under a name of its own.
    Component,
    /// Any worker of the client's component.
    Nothing,
}

/// Results of calls that were begun have types of these names.
const FUTURE: &str = "future-";
const BLOCKING: &str = "blocking-";
const SCHEDULE: &str = "schedule-";
/// The resource that takes back a scheduled call.
pub(super) const TOKEN: &str = "cancellation-token";

/// True when a resource of this name stands for a result to come.
pub(super) fn is_future(resource: &str) -> bool {
    resource.starts_with(FUTURE)
}

impl Role {
    /// The role of a declared function. `others` are the functions that are declared beside it, as far as the component uses
    /// them.
    pub(super) fn of(name: &str, signature: &Signature, others: &[&str]) -> Option<Self> {
        match FunctionName::from_export(name) {
            FunctionName::Constructor { resource } => Some(Self::Connect {
                resource: resource.into(),
                worker: constructed_from(signature),
            }),
            FunctionName::Static { resource, function } if function == "custom" => Some(Self::Connect {
                resource: resource.into(),
                worker: custom_from(signature),
            }),
            FunctionName::Method { resource, method } if is_future(&resource) => match method.as_str() {
                "subscribe" => Some(Self::Subscribe),
                "get" => Some(Self::Fetch),
                _ => None,
            },
            FunctionName::Method { resource, method } => {
                let blocking = format!("[method]{resource}.{BLOCKING}{method}");
                let is_plain = others.contains(&blocking.as_str());
                Some(Self::of_method(&method, signature, is_plain))
            }
            _ => None,
        }
    }

    /// `is_plain` when a blocking variant of this very function is declared, so that its own name has no prefix.
    fn of_method(method: &str, signature: &Signature, is_plain: bool) -> Self {
        let result = match &signature.result {
            Some(Type::Own(resource)) => Some(&**resource),
            _ => None,
        };
        if result.is_some_and(is_future) {
            return Self::Begin(method.into());
        }
        if let Some(function) = method.strip_prefix(SCHEDULE)
            && result == Some(TOKEN)
        {
            return Self::Schedule(function.into());
        }
        match method.strip_prefix(BLOCKING) {
            Some(function) if !is_plain => Self::Call(function.into()),
            // The oldest generators made blocking functions only, under the plain name.
            _ if signature.result.is_some() => Self::Call(method.into()),
            _ => Self::Send(method.into()),
        }
    }
}

fn constructed_from(signature: &Signature) -> Named {
    let Some(first) = signature.params.first() else {
        return Named::Nothing;
    };
    match (&*first.name, &first.ty) {
        ("worker-name", Type::String) => Named::Name,
        ("location", Type::Record(_)) => Named::Id,
        _ => Named::Nothing,
    }
}

fn custom_from(signature: &Signature) -> Named {
    match signature.params.first().map(|param| &param.ty) {
        Some(Type::Record(fields)) if fields.iter().any(|field| &*field.name == "uuid") => Named::Component,
        _ => Named::Id,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::value::{Field, Param};

    fn signature(params: &[(&str, Type)], result: Option<Type>) -> Signature {
        let param = |(name, ty): &(&str, Type)| Param {
            name: (*name).into(),
            ty: ty.clone(),
        };
        Signature {
            params: params.iter().map(param).collect(),
            result,
        }
    }

    #[test]
    fn a_role_follows_from_name_and_shape() {
        let id = |field: &str| {
            let field = Field {
                name: field.into(),
                ty: Type::U64,
            };
            Type::Record([field].into())
        };
        let own = |name: &str| Some(Type::Own(name.into()));
        let connect = |worker| {
            Some(Role::Connect {
                resource: "api".into(),
                worker,
            })
        };
        let cases = [
            (
                "[constructor]api",
                vec![("worker-name", Type::String)],
                None,
                connect(Named::Name),
            ),
            (
                "[constructor]api",
                vec![("location", id("value"))],
                None,
                connect(Named::Id),
            ),
            ("[constructor]api", vec![], None, connect(Named::Nothing)),
            (
                "[static]api.custom",
                vec![("worker-id", id("component-id"))],
                own("api"),
                connect(Named::Id),
            ),
            (
                "[static]api.custom",
                vec![("component-id", id("uuid"))],
                own("api"),
                connect(Named::Component),
            ),
            ("[static]api.other", vec![], None, None),
            (
                "[method]api.blocking-add",
                vec![],
                None,
                Some(Role::Call("add".into())),
            ),
            ("[method]api.add", vec![], None, Some(Role::Send("add".into()))),
            (
                "[method]api.get",
                vec![],
                own("future-get-result"),
                Some(Role::Begin("get".into())),
            ),
            (
                "[method]api.get",
                vec![],
                Some(Type::U64),
                Some(Role::Call("get".into())),
            ),
            (
                "[method]api.schedule-add",
                vec![],
                own(TOKEN),
                Some(Role::Schedule("add".into())),
            ),
            (
                "[method]api.schedule-add",
                vec![],
                None,
                Some(Role::Send("schedule-add".into())),
            ),
            // The callee's function is called blocking-wait itself.
            (
                "[method]api.blocking-wait",
                vec![],
                None,
                Some(Role::Send("blocking-wait".into())),
            ),
            (
                "[method]api.blocking-blocking-wait",
                vec![],
                None,
                Some(Role::Call("blocking-wait".into())),
            ),
            (
                "[method]future-get-result.subscribe",
                vec![],
                own("pollable"),
                Some(Role::Subscribe),
            ),
            ("[method]future-get-result.get", vec![], None, Some(Role::Fetch)),
            ("add", vec![], None, None),
        ];
        let others = ["[method]api.blocking-blocking-wait"];
        for (name, params, result, expected) in cases {
            assert_eq!(
                Role::of(name, &signature(&params, result), &others),
                expected,
                "{name}"
            );
        }
    }
}
