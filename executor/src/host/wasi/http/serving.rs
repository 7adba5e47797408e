//! `wasi:http/incoming-handler` as a function: a record with a request in, a record with the response out. Both are recorded
//! with the invocation, so nothing in between has to be.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    Method, Request, Response, StatusCode, Uri,
    header::{HOST, HeaderValue},
};
use kiln_proto::v1::{Value, value::Kind};
use tokio::{sync::oneshot, time::timeout};
use wasmtime::{
    AsContextMut,
    component::{Resource, ResourceAny},
};
use wasmtime_wasi::runtime::{AbortOnDropJoinHandle, spawn};
use wasmtime_wasi_http::{
    WasiBody, WasiHttpView,
    p2::{
        bindings::http::types::{ErrorCode, Scheme},
        types::HostResponseOutparam,
    },
};

use super::form;
use crate::host::{
    HostState,
    payload::{list_of, string, text_of},
    value::{Field, Param, Signature, Type},
};

/// Under this name the handler is called.
pub(crate) const INTERFACE: &str = "golem:http/incoming-handler";
/// The interface that a component exports.
pub(crate) const EXPORTED: &str = "wasi:http/incoming-handler";
/// How long the rest of a body may take once the handler has returned. A handler that has not finished its body by then
/// never will.
const REST_MAX: Duration = Duration::from_secs(1);

/// What the handler answers, or that it could not.
type Answer = Result<Response<Bytes>, String>;

/// `handle: func(request) -> response`.
pub(crate) fn handler_signature() -> Signature {
    let fields = Type::List(Arc::new(Type::Tuple([Type::String, Type::String].into())));
    let bytes = || Type::List(Arc::new(Type::U8));
    let record = |fields: Vec<(&str, Type)>| {
        let field = |(name, ty): (&str, Type)| Field {
            name: name.into(),
            ty,
        };
        Type::Record(fields.into_iter().map(field).collect())
    };
    let request = record(vec![
        ("method", Type::String),
        ("uri", Type::String),
        ("headers", fields.clone()),
        ("body", Type::Option(Arc::new(bytes()))),
    ]);
    let response = record(vec![
        ("status", Type::U16),
        ("headers", fields),
        ("body", bytes()),
    ]);
    Signature {
        params: vec![Param {
            name: "request".into(),
            ty: request,
        }],
        result: Some(response),
    }
}

/// A handler's arguments, and where its answer will come.
pub(in crate::host) struct Served {
    pub(in crate::host) request: ResourceAny,
    pub(in crate::host) out: ResourceAny,
    out_rep: u32,
    gathered: AbortOnDropJoinHandle<Answer>,
}

/// Makes the guest's view of a request. One that is no proper request is answered at once.
pub(in crate::host) fn begin(
    mut store: impl AsContextMut<Data = HostState>,
    request: Value,
) -> wasmtime::Result<Result<Served, Value>> {
    let request = match request_of(request) {
        Ok(request) => request,
        Err(problem) => return Ok(Err(problem_value(StatusCode::BAD_REQUEST, problem))),
    };
    let body_bytes_max = store
        .as_context_mut()
        .data()
        .http
        .client
        .network
        .http
        .served_body_bytes_max;
    let (send, receive) = oneshot::channel();
    let mut context = store.as_context_mut();
    let mut view = context.data_mut().http();
    let request = view.new_incoming_request(scheme(request.uri()), request)?;
    let out = view.new_response_outparam(send)?;
    let out_rep = out.rep();
    Ok(Ok(Served {
        request: request.try_into_resource_any(store.as_context_mut())?,
        out: out.try_into_resource_any(store.as_context_mut())?,
        out_rep,
        gathered: spawn(gather(receive, body_bytes_max)),
    }))
}

/// The handler has returned: waits for its response.
pub(in crate::host) async fn end(state: &mut HostState, served: Served) -> Value {
    // Not set, and never dropped either: nobody will answer any more.
    let _ = state
        .table
        .delete(Resource::<HostResponseOutparam>::new_own(served.out_rep));
    let answer = timeout(REST_MAX, served.gathered).await;
    let answer = answer.unwrap_or_else(|_| Err("the component has not finished its response".to_owned()));
    response_value(answer)
}

async fn gather(
    receive: oneshot::Receiver<Result<Response<WasiBody>, ErrorCode>>,
    body_bytes_max: usize,
) -> Answer {
    let response = receive
        .await
        .map_err(|_| "the component gave no response".to_owned())?
        .map_err(|code| format!("the component failed: {code}"))?;
    let (parts, body) = response.into_parts();
    let body = Limited::new(body, body_bytes_max)
        .collect()
        .await
        .map_err(|error| format!("the response's body: {error}"))?;
    Ok(Response::from_parts(parts, body.to_bytes()))
}

fn scheme(uri: &Uri) -> Scheme {
    match uri.scheme_str() {
        Some("https") => Scheme::Https,
        _ => Scheme::Http,
    }
}

fn request_of(mut value: Value) -> Result<Request<WasiBody>, String> {
    let mut text = |name| text_of(form::take_field(&mut value, name)).unwrap_or_default();
    let (method, uri) = (text("method"), text("uri"));
    let mut request = Request::builder()
        .method(Method::from_bytes(method.as_bytes()).map_err(|error| error.to_string())?)
        .uri(uri);
    for pair in form::items_of(form::take_field(&mut value, "headers")) {
        let mut pair = form::items_of(pair).into_iter().filter_map(text_of);
        if let (Some(name), Some(text)) = (pair.next(), pair.next()) {
            request = request.header(
                name,
                HeaderValue::from_bytes(text.as_bytes()).map_err(|error| error.to_string())?,
            );
        }
    }
    let body = form::option_of(form::take_field(&mut value, "body")).map(form::bytes_of);
    let body = Full::new(body.unwrap_or_default()).map_err(|never| match never {});
    let mut request = request
        .body(body.boxed_unsync())
        .map_err(|error| error.to_string())?;
    if request.uri().authority().is_none() && !request.headers().contains_key(HOST) {
        request
            .headers_mut()
            .insert(HOST, HeaderValue::from_static("localhost"));
    }
    Ok(request)
}

fn response_value(answer: Answer) -> Value {
    let response = match answer {
        Ok(response) => response,
        Err(problem) => return problem_value(StatusCode::INTERNAL_SERVER_ERROR, problem),
    };
    let headers = response.headers().iter().map(|(name, value)| {
        let value = String::from_utf8_lossy(value.as_bytes());
        form::tuple(string(name.as_str()), string(&value))
    });
    form::record([
        (
            "status",
            form::value(Kind::U16Value(response.status().as_u16().into())),
        ),
        ("headers", list_of(headers)),
        ("body", form::bytes(response.body().clone())),
    ])
}

fn problem_value(status: StatusCode, problem: String) -> Value {
    form::record([
        ("status", form::value(Kind::U16Value(status.as_u16().into()))),
        ("headers", list_of(std::iter::empty())),
        ("body", form::bytes(problem.into())),
    ])
}
