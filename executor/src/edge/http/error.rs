use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use kiln_proto::{Error, ErrorCode};
use serde_json::json;

/// An error as HTTP tells it: a status, and `{"error":{"code","message","hint"}}`.
pub(super) struct Failure(Error);

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let Self(error) = self;
        let body = json!({"error": {
            "code": error.code.as_str_name(),
            "message": error.message,
            "hint": error.hint,
        }});
        (status(error.code), Json(body)).into_response()
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
