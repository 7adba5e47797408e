use kiln_proto::{
    ids::{ComponentId, IdempotencyKey, WorkerId},
    v1::{InvocationContext, KeyValue, Span, SpanStack},
};

use super::{Invocation, Spans};

fn worker(name: &str) -> WorkerId {
    WorkerId {
        component: ComponentId(uuid::Uuid::nil()),
        name: name.parse().expect("a valid name"),
    }
}

fn invocation(context: Option<InvocationContext>) -> Invocation {
    Invocation {
        key: IdempotencyKey::new("k").expect("a valid key"),
        function: "f".into(),
        started_ns: 7,
        context,
    }
}

fn name(value: &str) -> Vec<KeyValue> {
    vec![KeyValue {
        key: "name".into(),
        value: value.into(),
    }]
}

#[test]
fn without_a_caller_the_ids_follow_from_the_key() {
    let spans = Spans::of(&invocation(None), &worker("w"));
    let again = Spans::of(&invocation(None), &worker("w"));
    let other = Spans::of(&invocation(None), &worker("x"));
    assert_eq!(spans.trace_id(), again.trace_id());
    assert_eq!(spans.id(spans.current()), again.id(again.current()));
    assert_ne!(spans.trace_id(), other.trace_id());
    assert_eq!(
        (spans.trace_id().len(), spans.id(spans.current()).len()),
        (32, 16)
    );
}

#[test]
fn a_span_becomes_current_until_it_is_finished() {
    let mut spans = Spans::of(&invocation(None), &worker("w"));
    let own = spans.current();
    let outer = spans.start("a".into(), name("outer"), 1);
    let inner = spans.start("b".into(), name("inner"), 2);
    assert_eq!(spans.parent(inner), Some(outer));
    assert_eq!(spans.open(), [inner, outer]);
    assert!(spans.finish(outer), "out of order");
    assert_eq!(spans.current(), inner);
    assert!(spans.finish(inner) && !spans.finish(inner));
    assert_eq!(spans.current(), own);
    assert!(spans.open().is_empty());
}

#[test]
fn attributes_are_looked_up_outwards() {
    let caller = Span {
        span_id: "00f067aa0ba902b7".into(),
        external: true,
        ..Span::default()
    };
    let between = Span {
        span_id: "00f067aa0ba902b8".into(),
        attributes: vec![KeyValue {
            key: "tenant".into(),
            value: "t1".into(),
        }],
        ..Span::default()
    };
    let context = InvocationContext {
        trace_id: "0af7651916cd43dd8448eb211c80319c".into(),
        trace_states: vec!["a=1".into(), "b=2".into()],
        stacks: vec![SpanStack {
            spans: vec![between, caller],
        }],
    };
    let mut spans = Spans::of(&invocation(Some(context)), &worker("w"));
    let span = spans.start("000000000000000a".into(), name("step"), 1);
    spans.set_attribute(span, "color", "red");
    spans.set_attribute(span, "color", "blue");
    assert_eq!(spans.attribute(span, "color", false), Some("blue"));
    assert_eq!(spans.attribute(span, "tenant", false), None);
    assert_eq!(spans.attribute(span, "tenant", true), Some("t1"));
    let chain: Vec<_> = spans.chain(span, "name").collect();
    assert_eq!(chain, ["step", "invoke-exported-function"]);
    assert_eq!(
        spans.attributes(span, false),
        [("name", "step"), ("color", "blue")]
    );
    assert!(spans.chains(span).contains(&("tenant", vec!["t1"])));
    assert_eq!(
        spans.headers(span),
        [
            (
                "traceparent".to_owned(),
                "00-0af7651916cd43dd8448eb211c80319c-000000000000000a-00".to_owned()
            ),
            ("tracestate".to_owned(), "a=1,b=2".to_owned()),
        ]
    );
    let handed_on = spans.handed_on();
    assert_eq!(handed_on.trace_states, ["a=1", "b=2"]);
    let ids: Vec<_> = handed_on.stacks[0]
        .spans
        .iter()
        .map(|span| span.span_id.as_str())
        .collect();
    assert_eq!(
        (ids[0], ids[3], ids.len()),
        ("000000000000000a", "00f067aa0ba902b7", 4)
    );
    let callee = Spans::of(&invocation(Some(handed_on)), &worker("callee"));
    assert_eq!(callee.attribute(callee.current(), "color", true), Some("blue"));
    assert!(callee.open().is_empty());
}
