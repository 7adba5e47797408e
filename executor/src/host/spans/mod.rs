//! The spans of one invocation: a tree that begins with what its caller gave, goes on with the invocation's own span, and
//! grows with the spans that the guest starts (semantics.md §13).
//!
//! Ids of the invocation's own span and, without a caller's, of the trace follow from the idempotency key: they are the same
//! in every life of the worker without being recorded.

mod attributes;
mod ids;
#[cfg(test)]
mod tests;

use kiln_proto::{
    ids::WorkerId,
    v1::{self, InvocationContext, KeyValue, SpanStack},
};

use super::state::Invocation;

pub(crate) use ids::{call_span_id, invocation_span};

/// Spans that an invocation may start, with those of its callers.
const SPANS_MAX: usize = 10_000;

/// A span by its place in [`Spans`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SpanAt(usize);

/// The spans of one invocation.
#[derive(Debug)]
pub(crate) struct Spans {
    trace_id: String,
    trace_states: Vec<String>,
    /// Parents come before their children.
    spans: Vec<SpanState>,
    current: SpanAt,
}

#[derive(Debug)]
struct SpanState {
    id: String,
    start_ns: u64,
    parent: Option<SpanAt>,
    attributes: Vec<KeyValue>,
    /// It belongs to a caller.
    is_inherited: bool,
    /// Nothing but its id is known.
    #[cfg_attr(not(test), allow(dead_code, reason = "golem:rpc is to use it"))]
    is_external: bool,
    is_finished: bool,
}

impl Spans {
    /// The caller's spans, if any, and the invocation's own below them.
    pub(crate) fn of(invocation: &Invocation, worker: &WorkerId) -> Self {
        let (trace_id, own_id) = invocation_span(worker, &invocation.key, invocation.context.as_ref());
        let given = invocation.context.clone().unwrap_or_default();
        let mut spans = Self {
            trace_id,
            trace_states: given.trace_states,
            spans: Vec::new(),
            current: SpanAt(0),
        };
        // Innermost first on the wire; parents first here.
        let inherited = given.stacks.into_iter().next().unwrap_or_default().spans;
        for span in inherited.into_iter().rev() {
            spans.push(SpanState {
                id: span.span_id,
                start_ns: span.start_ns,
                parent: spans.last(),
                attributes: span.attributes,
                is_inherited: true,
                is_external: span.external,
                is_finished: false,
            });
        }
        spans.push(SpanState {
            id: own_id,
            start_ns: invocation.started_ns,
            parent: spans.last(),
            attributes: attributes::of_invocation(invocation, worker),
            is_inherited: false,
            is_external: false,
            is_finished: false,
        });
        spans
    }

    fn last(&self) -> Option<SpanAt> {
        self.spans.len().checked_sub(1).map(SpanAt)
    }

    fn push(&mut self, span: SpanState) -> SpanAt {
        self.spans.push(span);
        self.current = SpanAt(self.spans.len() - 1);
        self.current
    }

    /// False when an invocation has started more spans than it may.
    pub(crate) fn has_room(&self) -> bool {
        self.spans.len() < SPANS_MAX
    }

    pub(crate) fn current(&self) -> SpanAt {
        self.current
    }

    /// Starts a child of the current span, which becomes the current one.
    pub(crate) fn start(&mut self, id: String, attributes: Vec<KeyValue>, start_ns: u64) -> SpanAt {
        let parent = Some(self.current);
        self.push(SpanState {
            id,
            start_ns,
            parent,
            attributes,
            is_inherited: false,
            is_external: false,
            is_finished: false,
        })
    }

    /// Finishes a span; false when it was finished before. The current span is then the nearest one that is not finished.
    pub(crate) fn finish(&mut self, at: SpanAt) -> bool {
        let Some(span) = self.spans.get_mut(at.0).filter(|span| !span.is_finished) else {
            return false;
        };
        span.is_finished = true;
        while let Some(span) = self.spans.get(self.current.0).filter(|span| span.is_finished) {
            match span.parent {
                Some(parent) => self.current = parent,
                None => break,
            }
        }
        true
    }

    /// The spans that the guest has started and not finished, innermost first.
    pub(crate) fn open(&self) -> Vec<SpanAt> {
        let own = self
            .spans
            .iter()
            .rposition(|span| span.is_inherited)
            .map_or(0, |at| at + 1);
        let started = (own + 1..self.spans.len()).rev().map(SpanAt);
        started.filter(|at| !self.spans[at.0].is_finished).collect()
    }

    /// True when the span with this id is there: a guest may still hold one of an earlier invocation.
    pub(crate) fn has(&self, at: SpanAt, id: &str) -> bool {
        self.spans.get(at.0).is_some_and(|span| span.id == id)
    }

    pub(crate) fn trace_id(&self) -> &str {
        &self.trace_id
    }

    pub(crate) fn id(&self, at: SpanAt) -> &str {
        self.spans.get(at.0).map_or("", |span| span.id.as_str())
    }

    pub(crate) fn parent(&self, at: SpanAt) -> Option<SpanAt> {
        self.spans.get(at.0).and_then(|span| span.parent)
    }

    /// W3C headers that hand the trace on to others.
    pub(crate) fn headers(&self, at: SpanAt) -> Vec<(String, String)> {
        let [parent, states] = self.headers_of(self.id(at));
        vec![
            ("traceparent".to_owned(), parent),
            ("tracestate".to_owned(), states),
        ]
    }

    /// The values of `traceparent` and `tracestate` below a span with this id.
    pub(crate) fn headers_of(&self, span_id: &str) -> [String; 2] {
        let parent = format!("00-{}-{span_id}-00", self.trace_id);
        [parent, self.trace_states.join(",")]
    }

    /// What a callee gets: everything up to the current span.
    #[cfg_attr(not(test), allow(dead_code, reason = "golem:rpc is to use it"))]
    pub(crate) fn handed_on(&self) -> InvocationContext {
        let mut spans = Vec::new();
        let mut next = Some(self.current);
        while let Some(at) = next {
            let span = &self.spans[at.0];
            spans.push(v1::Span {
                span_id: span.id.clone(),
                start_ns: span.start_ns,
                parent: span.parent.map(|parent| self.id(parent).to_owned()),
                linked_stack: None,
                attributes: span.attributes.clone(),
                inherited: true,
                external: span.is_external,
            });
            next = span.parent;
        }
        InvocationContext {
            trace_id: self.trace_id.clone(),
            trace_states: self.trace_states.clone(),
            stacks: vec![SpanStack { spans }],
        }
    }
}
