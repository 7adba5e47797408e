use kiln_proto::v1::{KeyValue, WorkerRecord};

/// Longer values are indexed by their beginning; whoever looks for one has to compare the whole.
const VALUE_BYTES_MAX: usize = 256;

/// Where a variable comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum VariableKind {
    /// The environment; upper and lower case of keys are the same.
    Env = 0,
    /// The configuration.
    Config = 1,
}

/// A variable with a value, as the index has it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Variable {
    kind: VariableKind,
    key: String,
    value: String,
}

impl Variable {
    /// A variable to look for.
    #[must_use]
    pub fn new(kind: VariableKind, key: &str, value: &str) -> Self {
        Self {
            kind,
            key: folded(kind, key),
            value: value.to_owned(),
        }
    }

    /// Kind, key and value, so that none is the beginning of another.
    pub(super) fn encode(&self) -> Vec<u8> {
        let value = self.value.as_bytes();
        let value = &value[..value.len().min(VALUE_BYTES_MAX)];
        [name(self.kind, &self.key).as_slice(), &length(value), value].concat()
    }
}

/// A variable without a value, for counters.
pub(super) fn name(kind: VariableKind, key: &str) -> Vec<u8> {
    [&[kind as u8], length(key.as_bytes()).as_slice(), key.as_bytes()].concat()
}

/// The spelling under which a key is indexed.
pub(super) fn folded(kind: VariableKind, key: &str) -> String {
    match kind {
        VariableKind::Env => key.to_ascii_lowercase(),
        VariableKind::Config => key.to_owned(),
    }
}

fn length(bytes: &[u8]) -> [u8; 4] {
    u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes()
}

/// The variables of a worker that its component declared as indexed, as far as the worker has them.
pub(super) fn indexed(record: &WorkerRecord) -> Vec<Variable> {
    let mut found = Vec::new();
    for (kind, key) in declared(record) {
        let pairs = match kind {
            VariableKind::Env => &record.env,
            VariableKind::Config => &record.config,
        };
        // The first of several counts, as for filters.
        let pair = pairs.iter().find(|pair| folded(kind, &pair.key) == key);
        found.extend(pair.map(|KeyValue { value, .. }| Variable::new(kind, &key, value)));
    }
    found
}

/// The keys that the component declared as indexed when the worker was created.
pub(super) fn declared(record: &WorkerRecord) -> Vec<(VariableKind, String)> {
    let of = |kind, keys: &[String]| {
        let mut keys: Vec<_> = keys.iter().map(|key| (kind, folded(kind, key))).collect();
        keys.sort_by(|a, b| a.1.cmp(&b.1));
        keys.dedup_by(|a, b| a.1 == b.1);
        keys
    };
    let mut declared = of(VariableKind::Env, &record.indexed_env);
    declared.extend(of(VariableKind::Config, &record.indexed_config));
    declared
}
