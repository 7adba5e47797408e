use axum::{
    Json,
    extract::rejection::{BytesRejection, PathRejection, QueryRejection},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use kiln_proto::{Error, ErrorCode};
use serde_json::json;

/// An error as HTTP tells it: a status, and `{"error":{"code","message","hint"}}`.
pub(super) struct Failure {
    status: StatusCode,
    error: Error,
}

impl Failure {
    /// An error that HTTP has a status of its own for.
    pub(super) fn with_status(status: StatusCode, error: Error) -> Self {
        Self { status, error }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::with_status(status(error.code), error)
    }
}

impl From<PathRejection> for Failure {
    fn from(rejection: PathRejection) -> Self {
        Self::with_status(rejection.status(), Error::invalid(rejection.body_text()))
    }
}

impl From<QueryRejection> for Failure {
    fn from(rejection: QueryRejection) -> Self {
        Self::with_status(rejection.status(), Error::invalid(rejection.body_text()))
    }
}

impl From<BytesRejection> for Failure {
    fn from(rejection: BytesRejection) -> Self {
        let error = match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => Error::limit_exceeded("the body is larger than it may be here")
                .with_hint(
                    "raise the limit in the configuration (`kiln config dump` shows it), or send less",
                ),
            _ => Error::invalid(rejection.body_text()),
        };
        Self::with_status(rejection.status(), error)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let Self { status, error } = self;
        let body = json!({"error": {
            "code": error.code.as_str_name(),
            "message": error.message,
            "hint": error.hint,
        }});
        (status, Json(body)).into_response()
    }
}

fn status(code: ErrorCode) -> StatusCode {
    match code {
        ErrorCode::Invalid => StatusCode::BAD_REQUEST,
        ErrorCode::NotFound => StatusCode::NOT_FOUND,
        ErrorCode::AlreadyExists | ErrorCode::Conflict | ErrorCode::Fenced => StatusCode::CONFLICT,
        ErrorCode::LimitExceeded => StatusCode::TOO_MANY_REQUESTS,
        ErrorCode::Unavailable | ErrorCode::NotOwner | ErrorCode::Interrupted => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        ErrorCode::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
        ErrorCode::WorkerFailed => StatusCode::UNPROCESSABLE_ENTITY,
        ErrorCode::Corrupt | ErrorCode::Internal | ErrorCode::Unspecified => {
            StatusCode::INTERNAL_SERVER_ERROR
        }
    }
}
