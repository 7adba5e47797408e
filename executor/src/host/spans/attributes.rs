use kiln_proto::{ids::WorkerId, v1::KeyValue};

use super::{SpanAt, Spans};
use crate::host::state::Invocation;

/// What is known of an invocation's own span.
pub(super) fn of_invocation(invocation: &Invocation, worker: &WorkerId) -> Vec<KeyValue> {
    vec![
        pair("name", "invoke-exported-function"),
        pair("idempotency_key", invocation.key.as_str()),
        pair("function_name", &invocation.function),
        pair("worker_id", &worker.urn()),
    ]
}

fn pair(key: &str, value: &str) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: value.to_owned(),
    }
}

impl Spans {
    pub(crate) fn set_attribute(&mut self, at: SpanAt, key: &str, value: &str) {
        let Some(span) = self.spans.get_mut(at.0) else {
            return;
        };
        match span.attributes.iter_mut().find(|pair| pair.key == key) {
            Some(pair) => value.clone_into(&mut pair.value),
            None => span.attributes.push(pair(key, value)),
        }
    }

    /// The attribute of a span, or with `inherited` of the nearest one above it that has it.
    pub(crate) fn attribute(&self, at: SpanAt, key: &str, inherited: bool) -> Option<&str> {
        let levels = if inherited { usize::MAX } else { 1 };
        self.upwards(at).take(levels).find_map(|span| self.own(span, key))
    }

    /// All attributes of a span, with `inherited` also those above it that are not set again further in.
    pub(crate) fn attributes(&self, at: SpanAt, inherited: bool) -> Vec<(&str, &str)> {
        let mut found: Vec<(&str, &str)> = Vec::new();
        let levels = if inherited { usize::MAX } else { 1 };
        for span in self.upwards(at).take(levels) {
            for pair in &self.spans[span.0].attributes {
                if !found.iter().any(|(key, _)| *key == pair.key) {
                    found.push((&pair.key, &pair.value));
                }
            }
        }
        found
    }

    /// The values of an attribute from a span outwards.
    pub(crate) fn chain<'s>(&'s self, at: SpanAt, key: &'s str) -> impl Iterator<Item = &'s str> {
        self.upwards(at).filter_map(move |span| self.own(span, key))
    }

    /// The chains of all attributes that a span or one above it has.
    pub(crate) fn chains(&self, at: SpanAt) -> Vec<(&str, Vec<&str>)> {
        let keys = self.attributes(at, true).into_iter().map(|(key, _)| key);
        keys.map(|key| (key, self.chain(at, key).collect())).collect()
    }

    fn own(&self, at: SpanAt, key: &str) -> Option<&str> {
        let pairs = &self.spans.get(at.0)?.attributes;
        pairs
            .iter()
            .find(|pair| pair.key == key)
            .map(|pair| pair.value.as_str())
    }

    fn upwards(&self, at: SpanAt) -> impl Iterator<Item = SpanAt> {
        let exists = Some(at).filter(|at| at.0 < self.spans.len());
        std::iter::successors(exists, |at| self.parent(*at))
    }
}
