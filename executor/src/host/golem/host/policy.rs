//! What the guest chooses about its retries, its persistence and the repetition of its writes.

use kiln_proto::v1::{
    OptionValue, PersistenceLevelEntry, RetryPolicy, Value, oplog_entry::Entry,
    persistence_level_entry::Level, value::Kind,
};

use crate::{
    host::{
        HostState,
        dynamic::{Arguments, Interface},
        golem::shapes::{bool_value, field, option, record, u64_field},
        payload::u64_value,
    },
    replay::step::{self, StepError},
};

pub(super) fn add(interface: Interface) -> Interface {
    interface
        .function(&["get-retry-policy"], |state, _| {
            Box::pin(async { Ok(Some(policy_value(&state.control.retry_policy))) })
        })
        .function(&["set-retry-policy"], |state, arguments| {
            Box::pin(async { set_retry_policy(state, arguments) })
        })
        .function(&["get-oplog-persistence-level"], |state, _| {
            Box::pin(async { Ok(Some(level_value(state.control.level))) })
        })
        .function(&["set-oplog-persistence-level"], |state, arguments| {
            Box::pin(set_persistence_level(state, arguments))
        })
        .function(&["get-idempotence-mode"], |state, _| {
            Box::pin(async { Ok(Some(bool_value(state.control.is_idempotent))) })
        })
        .function(&["set-idempotence-mode"], |state, mut arguments| {
            Box::pin(async move {
                state.control.is_idempotent = arguments.bool()?;
                Ok(None)
            })
        })
}

fn set_retry_policy(state: &mut HostState, mut arguments: Arguments) -> wasmtime::Result<Option<Value>> {
    let policy = policy_of(&arguments.value()?)?;
    state.mark(
        "change-retry-policy",
        |entry| matches!(entry, Entry::ChangeRetryPolicy(_)),
        |_| Entry::ChangeRetryPolicy(policy),
    )?;
    state.control.retry_policy = policy;
    Ok(None)
}

fn policy_value(policy: &RetryPolicy) -> Value {
    let f64_value = |number| Value {
        kind: Some(Kind::F64Value(number)),
    };
    record([
        (
            "max-attempts",
            Value {
                kind: Some(Kind::U32Value(policy.max_attempts)),
            },
        ),
        ("min-delay", u64_value(policy.min_delay_ns)),
        ("max-delay", u64_value(policy.max_delay_ns)),
        ("multiplier", f64_value(policy.multiplier)),
        (
            "max-jitter-factor",
            option(policy.max_jitter_factor.map(f64_value)),
        ),
    ])
}

fn policy_of(value: &Value) -> wasmtime::Result<RetryPolicy> {
    let max_attempts = match field(value, &["max-attempts"])?.kind {
        Some(Kind::U32Value(number)) => number,
        _ => wasmtime::bail!("max-attempts is no u32"),
    };
    let multiplier = match field(value, &["multiplier"])?.kind {
        Some(Kind::F64Value(number)) => number,
        _ => wasmtime::bail!("multiplier is no f64"),
    };
    // Older shapes have no jitter.
    let max_jitter_factor = match field(value, &["max-jitter-factor"]).ok().map(|field| &field.kind) {
        Some(Some(Kind::Option(given))) => jitter_of(given),
        _ => None,
    };
    Ok(RetryPolicy {
        max_attempts,
        min_delay_ns: u64_field(value, "min-delay")?,
        max_delay_ns: u64_field(value, "max-delay")?,
        multiplier,
        max_jitter_factor,
    })
}

fn jitter_of(given: &OptionValue) -> Option<f64> {
    match given.value.as_ref()?.kind {
        Some(Kind::F64Value(factor)) => Some(factor),
        _ => None,
    }
}

pub(in crate::host::golem) fn level_value(level: Level) -> Value {
    let name = match level {
        Level::Smart => "smart",
        Level::PersistRemoteSideEffects => "persist-remote-side-effects",
        Level::PersistNothing => "persist-nothing",
    };
    Value {
        kind: Some(Kind::Variant(Box::new(kiln_proto::v1::VariantValue {
            case: Some(kiln_proto::v1::CaseName {
                name: name.to_owned(),
                index: 0,
            }),
            payload: None,
        }))),
    }
}

/// A zone without persistence that was left in an earlier life is run again without recording: its calls are made anew,
/// as is promised of such zones. One that was left open runs again and is recorded.
async fn set_persistence_level(
    state: &mut HostState,
    mut arguments: Arguments,
) -> wasmtime::Result<Option<Value>> {
    let level = match arguments.case()?.as_str() {
        "persist-nothing" => Level::PersistNothing,
        "persist-remote-side-effects" => Level::PersistRemoteSideEffects,
        _ => Level::Smart,
    };
    state.record_logs();
    state.control.level = level;
    if state.control.is_snapshotting {
        return Ok(None);
    }
    let persists_nothing = level == Level::PersistNothing;
    if !state.journal.is_live() {
        if persists_nothing {
            if !state.control.is_in_zone {
                state.journal.enter_zone().map_err(StepError::from)?;
                state.control.is_in_zone = true;
            }
            return Ok(None);
        }
        state.control.is_in_zone = false;
        step::expect_here(&state.journal, "change-persistence-level", |entry| {
            matches!(entry, Entry::ChangePersistenceLevel(_))
        })?;
        return Ok(None);
    }
    state.control.is_in_zone = false;
    state
        .journal
        .append(Entry::ChangePersistenceLevel(PersistenceLevelEntry {
            level: level.into(),
        }));
    state.journal.commit().await.map_err(StepError::from)?;
    Ok(None)
}
