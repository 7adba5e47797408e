//! `wasi:http/types.error-code` as the oplog keeps it.

use kiln_proto::v1::{Value, value::Kind};
use wasmtime_wasi_http::p2::bindings::http::types::{
    DnsErrorPayload, ErrorCode, FieldSizePayload, TlsAlertReceivedPayload,
};

use super::form;
use crate::host::payload::{string, text_of};

/// The cases without a payload: one list for both directions. Numbers are the cases' positions in the type.
macro_rules! plain_cases {
    ($($index:literal $name:literal $case:ident,)*) => {
        fn plain(code: &ErrorCode) -> Option<(&'static str, u32)> {
            match code {
                $(ErrorCode::$case => Some(($name, $index)),)*
                _ => None,
            }
        }

        fn of_plain(name: &str) -> Option<ErrorCode> {
            match name {
                $($name => Some(ErrorCode::$case),)*
                _ => None,
            }
        }
    };
}

plain_cases! {
    0 "DNS-timeout" DnsTimeout,
    2 "destination-not-found" DestinationNotFound,
    3 "destination-unavailable" DestinationUnavailable,
    4 "destination-IP-prohibited" DestinationIpProhibited,
    5 "destination-IP-unroutable" DestinationIpUnroutable,
    6 "connection-refused" ConnectionRefused,
    7 "connection-terminated" ConnectionTerminated,
    8 "connection-timeout" ConnectionTimeout,
    9 "connection-read-timeout" ConnectionReadTimeout,
    10 "connection-write-timeout" ConnectionWriteTimeout,
    11 "connection-limit-reached" ConnectionLimitReached,
    12 "TLS-protocol-error" TlsProtocolError,
    13 "TLS-certificate-error" TlsCertificateError,
    15 "HTTP-request-denied" HttpRequestDenied,
    16 "HTTP-request-length-required" HttpRequestLengthRequired,
    18 "HTTP-request-method-invalid" HttpRequestMethodInvalid,
    19 "HTTP-request-URI-invalid" HttpRequestUriInvalid,
    20 "HTTP-request-URI-too-long" HttpRequestUriTooLong,
    25 "HTTP-response-incomplete" HttpResponseIncomplete,
    33 "HTTP-response-timeout" HttpResponseTimeout,
    34 "HTTP-upgrade-failed" HttpUpgradeFailed,
    35 "HTTP-protocol-error" HttpProtocolError,
    36 "loop-detected" LoopDetected,
    37 "configuration-error" ConfigurationError,
}

pub(super) fn to_value(code: &ErrorCode) -> Value {
    if let Some((name, index)) = plain(code) {
        return form::variant(name, index, None);
    }
    let (name, index, payload) = with_payload(code);
    form::variant(name, index, Some(payload))
}

fn with_payload(code: &ErrorCode) -> (&'static str, u32, Value) {
    match code {
        ErrorCode::DnsError(error) => ("DNS-error", 1, dns_error(error)),
        ErrorCode::TlsAlertReceived(alert) => ("TLS-alert-received", 14, tls_alert(alert)),
        ErrorCode::HttpRequestBodySize(size) => ("HTTP-request-body-size", 17, number64(*size)),
        ErrorCode::HttpRequestHeaderSectionSize(size) => {
            ("HTTP-request-header-section-size", 21, number32(*size))
        }
        ErrorCode::HttpRequestHeaderSize(size) => (
            "HTTP-request-header-size",
            22,
            form::option(size.as_ref().map(field_size)),
        ),
        ErrorCode::HttpRequestTrailerSectionSize(size) => {
            ("HTTP-request-trailer-section-size", 23, number32(*size))
        }
        ErrorCode::HttpRequestTrailerSize(size) => ("HTTP-request-trailer-size", 24, field_size(size)),
        ErrorCode::HttpResponseHeaderSectionSize(size) => {
            ("HTTP-response-header-section-size", 26, number32(*size))
        }
        ErrorCode::HttpResponseHeaderSize(size) => ("HTTP-response-header-size", 27, field_size(size)),
        ErrorCode::HttpResponseBodySize(size) => ("HTTP-response-body-size", 28, number64(*size)),
        ErrorCode::HttpResponseTrailerSectionSize(size) => {
            ("HTTP-response-trailer-section-size", 29, number32(*size))
        }
        ErrorCode::HttpResponseTrailerSize(size) => ("HTTP-response-trailer-size", 30, field_size(size)),
        ErrorCode::HttpResponseTransferCoding(coding) => {
            ("HTTP-response-transfer-coding", 31, text(coding.as_deref()))
        }
        ErrorCode::HttpResponseContentCoding(coding) => {
            ("HTTP-response-content-coding", 32, text(coding.as_deref()))
        }
        ErrorCode::InternalError(message) => ("internal-error", 38, text(message.as_deref())),
        // All others are in the list above.
        _ => ("internal-error", 38, text(None)),
    }
}

pub(super) fn of_value(value: Value) -> ErrorCode {
    let (name, payload) = form::variant_of(value);
    if let Some(code) = of_plain(&name) {
        return code;
    }
    let payload = payload.unwrap_or_default();
    match name.as_str() {
        "DNS-error" => ErrorCode::DnsError(dns_error_of(payload)),
        "TLS-alert-received" => ErrorCode::TlsAlertReceived(tls_alert_of(payload)),
        "HTTP-request-body-size" => ErrorCode::HttpRequestBodySize(number64_of(payload)),
        "HTTP-request-header-section-size" => ErrorCode::HttpRequestHeaderSectionSize(number32_of(payload)),
        "HTTP-request-header-size" => {
            ErrorCode::HttpRequestHeaderSize(form::option_of(payload).map(field_size_of))
        }
        "HTTP-request-trailer-section-size" => ErrorCode::HttpRequestTrailerSectionSize(number32_of(payload)),
        "HTTP-request-trailer-size" => ErrorCode::HttpRequestTrailerSize(field_size_of(payload)),
        "HTTP-response-header-section-size" => ErrorCode::HttpResponseHeaderSectionSize(number32_of(payload)),
        "HTTP-response-header-size" => ErrorCode::HttpResponseHeaderSize(field_size_of(payload)),
        "HTTP-response-body-size" => ErrorCode::HttpResponseBodySize(number64_of(payload)),
        "HTTP-response-trailer-section-size" => {
            ErrorCode::HttpResponseTrailerSectionSize(number32_of(payload))
        }
        "HTTP-response-trailer-size" => ErrorCode::HttpResponseTrailerSize(field_size_of(payload)),
        "HTTP-response-transfer-coding" => ErrorCode::HttpResponseTransferCoding(optional_text_of(payload)),
        "HTTP-response-content-coding" => ErrorCode::HttpResponseContentCoding(optional_text_of(payload)),
        _ => ErrorCode::InternalError(optional_text_of(payload)),
    }
}

fn dns_error(error: &DnsErrorPayload) -> Value {
    let code = error
        .info_code
        .map(|code| form::value(Kind::U16Value(code.into())));
    form::record([
        ("rcode", text(error.rcode.as_deref())),
        ("info-code", form::option(code)),
    ])
}

fn dns_error_of(mut value: Value) -> DnsErrorPayload {
    DnsErrorPayload {
        rcode: optional_text_of(form::take_field(&mut value, "rcode")),
        info_code: small_of(form::take_field(&mut value, "info-code")),
    }
}

fn tls_alert(alert: &TlsAlertReceivedPayload) -> Value {
    let id = alert.alert_id.map(|id| form::value(Kind::U8Value(id.into())));
    form::record([
        ("alert-id", form::option(id)),
        ("alert-message", text(alert.alert_message.as_deref())),
    ])
}

fn tls_alert_of(mut value: Value) -> TlsAlertReceivedPayload {
    TlsAlertReceivedPayload {
        alert_id: small_of(form::take_field(&mut value, "alert-id")),
        alert_message: optional_text_of(form::take_field(&mut value, "alert-message")),
    }
}

fn field_size(size: &FieldSizePayload) -> Value {
    form::record([
        ("field-name", text(size.field_name.as_deref())),
        ("field-size", number32(size.field_size)),
    ])
}

fn field_size_of(mut value: Value) -> FieldSizePayload {
    FieldSizePayload {
        field_name: optional_text_of(form::take_field(&mut value, "field-name")),
        field_size: number32_of(form::take_field(&mut value, "field-size")),
    }
}

fn text(text: Option<&str>) -> Value {
    form::option(text.map(string))
}

fn optional_text_of(value: Value) -> Option<String> {
    form::option_of(value).and_then(text_of)
}

fn number32(number: Option<u32>) -> Value {
    form::option(number.map(|number| form::value(Kind::U32Value(number))))
}

fn number32_of(value: Value) -> Option<u32> {
    small_of(value)
}

fn number64(number: Option<u64>) -> Value {
    form::option(number.map(|number| form::value(Kind::U64Value(number))))
}

fn number64_of(value: Value) -> Option<u64> {
    match form::option_of(value)?.kind? {
        Kind::U64Value(number) => Some(number),
        _ => None,
    }
}

fn small_of<N: TryFrom<u32>>(value: Value) -> Option<N> {
    match form::option_of(value)?.kind? {
        Kind::U8Value(number) | Kind::U16Value(number) | Kind::U32Value(number) => number.try_into().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_payload_is_read_back() {
        let size = || FieldSizePayload {
            field_name: Some("x".into()),
            field_size: Some(7),
        };
        let codes = [
            ErrorCode::ConnectionRefused,
            ErrorCode::ConfigurationError,
            ErrorCode::DnsError(DnsErrorPayload {
                rcode: Some("NXDOMAIN".into()),
                info_code: Some(3),
            }),
            ErrorCode::TlsAlertReceived(TlsAlertReceivedPayload {
                alert_id: Some(40),
                alert_message: None,
            }),
            ErrorCode::HttpRequestBodySize(Some(u64::MAX)),
            ErrorCode::HttpRequestHeaderSize(Some(size())),
            ErrorCode::HttpRequestHeaderSize(None),
            ErrorCode::HttpResponseTrailerSize(size()),
            ErrorCode::HttpResponseHeaderSectionSize(Some(9)),
            ErrorCode::HttpResponseContentCoding(Some("br".into())),
            ErrorCode::InternalError(Some("why".into())),
        ];
        for code in codes {
            let read = of_value(to_value(&code));
            assert_eq!(format!("{read:?}"), format!("{code:?}"));
        }
    }
}
