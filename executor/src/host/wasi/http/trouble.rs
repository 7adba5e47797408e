//! What can go wrong on the wire: what the guest sees of it, and whether another attempt may help.

use std::{error::Error as _, io};

use wasmtime_wasi_http::{RequestOptions, p2::bindings::http::types::ErrorCode};

pub(super) fn of_hyper(error: &hyper::Error) -> ErrorCode {
    // What a body of ours reports comes back as the cause.
    let own = error
        .source()
        .and_then(|cause| cause.downcast_ref::<wasmtime_wasi_http::Error>());
    if let Some(wasmtime_wasi_http::Error::HttpRequestBodySize(size)) = own {
        return ErrorCode::HttpRequestBodySize(*size);
    }
    if error.is_timeout() {
        ErrorCode::HttpResponseTimeout
    } else if error.is_parse_too_large() {
        ErrorCode::HttpResponseHeaderSectionSize(None)
    } else if error.is_parse() {
        ErrorCode::HttpProtocolError
    } else if error.is_incomplete_message() {
        ErrorCode::HttpResponseIncomplete
    } else if error.is_canceled() || error.is_closed() || error.is_body_write_aborted() || is_io(error) {
        ErrorCode::ConnectionTerminated
    } else {
        ErrorCode::HttpProtocolError
    }
}

fn is_io(error: &hyper::Error) -> bool {
    error.source().is_some_and(|cause| cause.is::<io::Error>())
}

pub(super) fn of_connect(error: &io::Error) -> ErrorCode {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => ErrorCode::ConnectionRefused,
        io::ErrorKind::TimedOut => ErrorCode::ConnectionTimeout,
        io::ErrorKind::NetworkUnreachable | io::ErrorKind::HostUnreachable => {
            ErrorCode::DestinationIpUnroutable
        }
        _ => ErrorCode::DestinationUnavailable,
    }
}

pub(super) fn of_tls(error: &io::Error) -> ErrorCode {
    let cause = error
        .get_ref()
        .and_then(|cause| cause.downcast_ref::<rustls::Error>());
    match cause {
        Some(rustls::Error::InvalidCertificate(_)) => ErrorCode::TlsCertificateError,
        Some(_) => ErrorCode::TlsProtocolError,
        None => ErrorCode::ConnectionTerminated,
    }
}

/// True when the same request may fare better a little later. A time-out that the guest has set itself is its own affair.
pub(super) fn is_passing(code: &ErrorCode, options: RequestOptions) -> bool {
    match code {
        ErrorCode::ConnectionTimeout => options.connect_timeout.is_none(),
        ErrorCode::ConnectionReadTimeout => {
            options.first_byte_timeout.is_none() && options.between_bytes_timeout.is_none()
        }
        ErrorCode::DnsTimeout
        | ErrorCode::DnsError(_)
        | ErrorCode::DestinationNotFound
        | ErrorCode::DestinationUnavailable
        | ErrorCode::DestinationIpUnroutable
        | ErrorCode::ConnectionRefused
        | ErrorCode::ConnectionTerminated
        | ErrorCode::ConnectionWriteTimeout
        | ErrorCode::ConnectionLimitReached
        | ErrorCode::HttpResponseIncomplete
        | ErrorCode::HttpResponseTimeout => true,
        _ => false,
    }
}
