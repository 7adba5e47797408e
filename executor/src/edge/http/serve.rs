use std::sync::Arc;

use axum::{
    body::Body,
    extract::{OriginalUri, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header::HOST},
    response::IntoResponse,
};
use kiln_proto::{
    Error,
    v1::{
        self, FieldValue, OptionValue, RecordValue, Value, ValueList, invoke_request::Arguments, value::Kind,
    },
};

use super::{
    error::Failure,
    extract::{Path, Whole},
    worker::{IDEMPOTENT_REPLAYED, header, trace_of},
};
use crate::{edge::Api, host::HANDLER_INTERFACE, route::Patience};

/// Passes a request on to a worker whose component serves HTTP. Beside the request's own idempotency key only what the guest
/// is meant to see goes through.
pub(super) async fn serve(
    State(api): State<Arc<Api>>,
    Path((component, worker, path)): Path<(String, String, String)>,
    OriginalUri(uri): OriginalUri,
    method: Method,
    headers: HeaderMap,
    Whole(body): Whole,
) -> Result<Response<Body>, Failure> {
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    let host = headers
        .get(HOST)
        .and_then(|host| host.to_str().ok())
        .unwrap_or("localhost");
    let request = record([
        ("method", text(method.as_str())),
        ("uri", text(&format!("http://{host}/{path}{query}"))),
        (
            "headers",
            list(headers.iter().filter(|(name, _)| *name != HOST).map(field)),
        ),
        (
            "body",
            value(Kind::Option(Box::new(OptionValue {
                value: (!body.is_empty()).then(|| Box::new(value(Kind::ByteList(body)))),
            }))),
        ),
    ]);
    let call = v1::InvokeRequest {
        worker: Some(v1::WorkerRef { component, worker }),
        function: format!("{HANDLER_INTERFACE}.{{handle}}"),
        idempotency_key: header(&headers, "idempotency-key"),
        no_wait: false,
        trace_context: trace_of(&headers),
        arguments: Some(Arguments::Typed(ValueList {
            values: vec![request],
        })),
        ..v1::InvokeRequest::default()
    };
    let reply = api.invoke(call, Patience::of(None)).await?;
    let mut response = reply
        .result
        .and_then(response_of)
        .ok_or_else(|| Error::internal("the handler gave no response"))?;
    if reply.replayed {
        response
            .headers_mut()
            .insert(IDEMPOTENT_REPLAYED, HeaderValue::from_static("true"));
    }
    Ok(response)
}

fn response_of(value: Value) -> Option<Response<Body>> {
    let Some(Kind::Record(record)) = value.kind else {
        return None;
    };
    let mut response = Body::empty().into_response();
    for FieldValue { name, value } in record.fields {
        match (name.as_str(), value?.kind?) {
            ("status", Kind::U16Value(status)) => {
                *response.status_mut() = StatusCode::from_u16(u16::try_from(status).ok()?).ok()?;
            }
            ("headers", Kind::List(list)) => add_headers(response.headers_mut(), list),
            ("body", Kind::ByteList(bytes)) => *response.body_mut() = Body::from(bytes),
            _ => {}
        }
    }
    Some(response)
}

/// Headers about the connection are this server's own.
fn add_headers(headers: &mut HeaderMap, fields: ValueList) {
    const OWN: [&str; 4] = ["content-length", "transfer-encoding", "connection", "keep-alive"];
    for pair in fields.values {
        let Some(Kind::Tuple(pair)) = pair.kind else {
            continue;
        };
        let mut texts = pair.values.into_iter().filter_map(|text| match text.kind {
            Some(Kind::StringValue(text)) => Some(text),
            _ => None,
        });
        let (Some(name), Some(text)) = (texts.next(), texts.next()) else {
            continue;
        };
        let (name, text) = (name.parse::<HeaderName>(), HeaderValue::try_from(text));
        if let (Ok(name), Ok(text)) = (name, text)
            && !OWN.contains(&name.as_str())
        {
            headers.append(name, text);
        }
    }
}

fn field((name, text_value): (&HeaderName, &HeaderValue)) -> Value {
    let text_value = String::from_utf8_lossy(text_value.as_bytes());
    value(Kind::Tuple(ValueList {
        values: vec![text(name.as_str()), text(&text_value)],
    }))
}

fn value(kind: Kind) -> Value {
    Value { kind: Some(kind) }
}

fn text(text: &str) -> Value {
    value(Kind::StringValue(text.to_owned()))
}

fn list(values: impl Iterator<Item = Value>) -> Value {
    value(Kind::List(ValueList {
        values: values.collect(),
    }))
}

fn record<const N: usize>(fields: [(&str, Value); N]) -> Value {
    let field = |(name, value): (&str, Value)| FieldValue {
        name: name.to_owned(),
        value: Some(value),
    };
    value(Kind::Record(RecordValue {
        fields: fields.into_iter().map(field).collect(),
    }))
}
