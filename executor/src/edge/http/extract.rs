//! What handlers take out of a request. What cannot be taken out is told as every other error is.

use axum::{
    body::Bytes,
    extract::{FromRequest, FromRequestParts, Request},
};
use kiln_proto::Error;
use serde_json::Value;

use super::error::Failure;

/// The parts of the path that have names.
#[derive(FromRequestParts)]
#[from_request(via(axum::extract::Path), rejection(Failure))]
pub(super) struct Path<T>(pub(super) T);

/// The query, where each parameter comes once.
#[derive(FromRequestParts)]
#[from_request(via(axum::extract::Query), rejection(Failure))]
pub(super) struct Query<T>(pub(super) T);

/// The whole body, within the route's limit.
pub(super) struct Whole(pub(super) Bytes);

/// A body of text.
pub(super) struct Text(pub(super) String);

/// A body of JSON, whatever the request calls it.
pub(super) struct JsonBody(pub(super) Value);

impl<S: Send + Sync> FromRequest<S> for Whole {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &S) -> Result<Self, Failure> {
        Ok(Self(Bytes::from_request(request, state).await?))
    }
}

impl<S: Send + Sync> FromRequest<S> for Text {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &S) -> Result<Self, Failure> {
        let Whole(body) = Whole::from_request(request, state).await?;
        let text = String::from_utf8(body.into());
        let text = text.map_err(|error| Error::invalid(format!("the body is no text: {error}")))?;
        Ok(Self(text))
    }
}

impl<S: Send + Sync> FromRequest<S> for JsonBody {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &S) -> Result<Self, Failure> {
        let Whole(body) = Whole::from_request(request, state).await?;
        let json = serde_json::from_slice(&body);
        let json = json.map_err(|error| Error::invalid(format!("the body is no JSON: {error}")))?;
        Ok(Self(json))
    }
}
