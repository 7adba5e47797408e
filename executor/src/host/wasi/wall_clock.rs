use std::time::Duration;

use kiln_proto::v1::{FieldValue, RecordValue, Value, value::Kind};
use wasmtime_wasi::p2::bindings::clocks::wall_clock::{Datetime, Host};

use crate::host::{HostState, payload::NOTHING};

impl Host for HostState {
    fn now(&mut self) -> wasmtime::Result<Datetime> {
        let response = self.read_local("wall_clock::now", NOTHING, |state| {
            value_of(state.outside.wall_clock())
        })?;
        Ok(datetime_of(response))
    }

    fn resolution(&mut self) -> wasmtime::Result<Datetime> {
        let response = self.read_local("wall_clock::resolution", NOTHING, |_| {
            value_of(Duration::from_nanos(1))
        })?;
        Ok(datetime_of(response))
    }
}

fn value_of(time: Duration) -> Value {
    datetime(Datetime {
        seconds: time.as_secs(),
        nanoseconds: time.subsec_nanos(),
    })
}

/// A moment as the oplog keeps it.
pub(super) fn datetime(time: Datetime) -> Value {
    let field = |name: &str, kind| FieldValue {
        name: name.to_owned(),
        value: Some(Value { kind: Some(kind) }),
    };
    let fields = vec![
        field("seconds", Kind::U64Value(time.seconds)),
        field("nanoseconds", Kind::U32Value(time.nanoseconds)),
    ];
    Value {
        kind: Some(Kind::Record(RecordValue { fields })),
    }
}

/// The moment that `datetime` wrote.
pub(super) fn datetime_of(value: Value) -> Datetime {
    let mut time = Datetime {
        seconds: 0,
        nanoseconds: 0,
    };
    let fields = match value.kind {
        Some(Kind::Record(record)) => record.fields,
        _ => Vec::new(),
    };
    for kind in fields.into_iter().filter_map(|field| field.value?.kind) {
        match kind {
            Kind::U64Value(seconds) => time.seconds = seconds,
            Kind::U32Value(nanoseconds) => time.nanoseconds = nanoseconds,
            _ => {}
        }
    }
    time
}
