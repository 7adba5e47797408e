//! Header fields as the oplog keeps them: a list of names and values, in order.

use hyper::{
    HeaderMap,
    header::{HeaderName, HeaderValue},
};
use kiln_proto::v1::Value;

use super::form;
use crate::host::payload::{list_of, string, text_of};

pub(super) fn to_value(headers: &HeaderMap) -> Value {
    list_of(headers.iter().map(|(name, value)| {
        let value = bytes::Bytes::copy_from_slice(value.as_bytes());
        form::tuple(string(name.as_str()), form::bytes(value))
    }))
}

pub(super) fn of_value(value: Value) -> HeaderMap {
    form::items_of(value).into_iter().filter_map(field).collect()
}

fn field(pair: Value) -> Option<(HeaderName, HeaderValue)> {
    let mut pair = form::items_of(pair).into_iter();
    let name = text_of(pair.next()?)?;
    let value = form::bytes_of(pair.next()?);
    Some((name.parse().ok()?, HeaderValue::from_maybe_shared(value).ok()?))
}
