//! The guest's request as it is sent.

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::{
    HeaderMap, Method, Request, Uri,
    header::{CONTENT_LENGTH, HOST, HeaderName, HeaderValue},
    http::{request::Parts, uri::Scheme as UriScheme},
};
use kiln_proto::v1::Value;
use wasmtime_wasi_http::{
    WasiBody,
    p2::{
        bindings::http::types::{ErrorCode, Scheme},
        types::HostOutgoingRequest,
    },
};

use super::form;
use crate::host::payload::string;

/// The header under which servers find the key of a request.
pub(super) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// W3C trace context.
pub(super) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// W3C trace context, what vendors add to it.
pub(super) const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// Builds the request. What is wrong with it is the same in every life of the worker.
pub(super) fn build(request: HostOutgoingRequest) -> Result<(Parts, WasiBody), ErrorCode> {
    let headers: HeaderMap = request.headers.into();
    if request.body.is_none() && content_length(&headers)?.is_some_and(|length| length != 0) {
        return Err(ErrorCode::HttpRequestBodySize(Some(0)));
    }
    let method: Method = request
        .method
        .try_into()
        .map_err(|_| ErrorCode::HttpRequestMethodInvalid)?;
    let authority = request.authority.unwrap_or_default();
    let uri = uri(request.scheme.as_ref(), &authority, request.path_with_query)?;
    let host = HeaderValue::from_str(&authority).map_err(|_| ErrorCode::HttpRequestUriInvalid)?;
    let (mut parts, ()) = Request::new(()).into_parts();
    parts.method = method;
    parts.uri = uri;
    parts.headers = headers;
    parts.headers.insert(HOST, host);
    let body = request.body.unwrap_or_else(nothing);
    Ok((parts, body))
}

fn nothing() -> WasiBody {
    Empty::<Bytes>::new()
        .map_err(|never| match never {})
        .boxed_unsync()
}

fn uri(scheme: Option<&Scheme>, authority: &str, path: Option<String>) -> Result<Uri, ErrorCode> {
    let scheme = match scheme {
        Some(Scheme::Http) => UriScheme::HTTP,
        None | Some(Scheme::Https) => UriScheme::HTTPS,
        Some(Scheme::Other(_)) => return Err(ErrorCode::HttpProtocolError),
    };
    Uri::builder()
        .scheme(scheme)
        .authority(authority)
        .path_and_query(path.unwrap_or_default())
        .build()
        .map_err(|_| ErrorCode::HttpRequestUriInvalid)
}

fn content_length(headers: &HeaderMap) -> Result<Option<u64>, ErrorCode> {
    let malformed = || ErrorCode::InternalError(Some("a content-length that is no number".to_owned()));
    let Some(value) = headers.get(CONTENT_LENGTH) else {
        return Ok(None);
    };
    let text = value.to_str().map_err(|_| malformed())?;
    text.parse().map(Some).map_err(|_| malformed())
}

/// What the oplog says about the request beside each of its answers.
pub(super) fn describe(parts: &Parts) -> Value {
    form::record([
        ("method", string(parts.method.as_str())),
        ("uri", string(&parts.uri.to_string())),
    ])
}

/// Adds headers that the guest has not set itself.
pub(super) fn add_headers(headers: &mut HeaderMap, added: impl IntoIterator<Item = (HeaderName, String)>) {
    for (name, value) in added {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.entry(name).or_insert(value);
        }
    }
}
