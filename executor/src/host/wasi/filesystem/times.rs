use std::{
    fs::FileTimes,
    time::{Duration, SystemTime},
};

use kiln_proto::v1::{FieldValue, OptionValue, Payload, RecordValue, Value, value::Kind};
use wasmtime_wasi::p2::bindings::{clocks::wall_clock::Datetime, filesystem::types::DescriptorStat};

use crate::{
    host::{HostState, wasi::wall_clock},
    replay::Kind as CallKind,
};

const ACCESSED: &str = "data-access-timestamp";
const MODIFIED: &str = "data-modification-timestamp";
const CHANGED: &str = "status-change-timestamp";

/// The times of a file as they are recorded.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Times {
    accessed: Option<Datetime>,
    modified: Option<Datetime>,
    changed: Option<Datetime>,
}

impl Times {
    /// What to set a file to, so that it shows these times from now on.
    pub(super) fn for_file(&self) -> FileTimes {
        let mut times = FileTimes::new();
        if let Some(accessed) = self.accessed.and_then(system_time) {
            times = times.set_accessed(accessed);
        }
        if let Some(modified) = self.modified.and_then(system_time) {
            times = times.set_modified(modified);
        }
        times
    }

    pub(super) fn accessed(&self) -> Option<Datetime> {
        self.accessed
    }

    pub(super) fn modified(&self) -> Option<Datetime> {
        self.modified
    }

    fn of(stat: &DescriptorStat) -> Self {
        Self {
            accessed: stat.data_access_timestamp,
            modified: stat.data_modification_timestamp,
            changed: stat.status_change_timestamp,
        }
    }

    fn show(&self, stat: &mut DescriptorStat) {
        stat.data_access_timestamp = self.accessed;
        stat.data_modification_timestamp = self.modified;
        stat.status_change_timestamp = self.changed;
    }

    fn to_value(self) -> Value {
        let field = |name: &str, time: Option<Datetime>| FieldValue {
            name: name.to_owned(),
            value: Some(Value {
                kind: Some(Kind::Option(Box::new(OptionValue {
                    value: time.map(|time| Box::new(wall_clock::datetime(time))),
                }))),
            }),
        };
        let fields = vec![
            field(ACCESSED, self.accessed),
            field(MODIFIED, self.modified),
            field(CHANGED, self.changed),
        ];
        Value {
            kind: Some(Kind::Record(RecordValue { fields })),
        }
    }

    fn from_value(value: Value) -> Self {
        let mut times = Self::default();
        let fields = match value.kind {
            Some(Kind::Record(record)) => record.fields,
            _ => Vec::new(),
        };
        for field in fields {
            let Some(Kind::Option(option)) = field.value.and_then(|value| value.kind) else {
                continue;
            };
            let time = option.value.map(|value| wall_clock::datetime_of(*value));
            match field.name.as_str() {
                ACCESSED => times.accessed = time,
                MODIFIED => times.modified = time,
                CHANGED => times.changed = time,
                _ => {}
            }
        }
        times
    }
}

fn system_time(time: Datetime) -> Option<SystemTime> {
    let since =
        Duration::from_secs(time.seconds).checked_add(Duration::from_nanos(time.nanoseconds.into()))?;
    SystemTime::UNIX_EPOCH.checked_add(since)
}

impl HostState {
    /// Records the times in `stat`, or while replaying puts the recorded ones there and returns them.
    pub(super) fn record_times(
        &mut self,
        function: &'static str,
        request: Payload,
        stat: &mut DescriptorStat,
    ) -> wasmtime::Result<Option<Times>> {
        if let Some(recorded) = self.recorded(function, &request)? {
            let times = Times::from_value(recorded);
            times.show(stat);
            return Ok(Some(times));
        }
        self.record(function, CallKind::ReadLocal, request, Times::of(stat).to_value());
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn are_read_as_they_were_written() {
        let times = Times {
            accessed: Some(Datetime {
                seconds: 1,
                nanoseconds: 2,
            }),
            modified: None,
            changed: Some(Datetime {
                seconds: 3,
                nanoseconds: 0,
            }),
        };
        let again = Times::from_value(times.to_value());
        assert_eq!(format!("{again:?}"), format!("{times:?}"));
    }
}
