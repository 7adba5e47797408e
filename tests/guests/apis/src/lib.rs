//! Reads oplogs, starts spans and makes calls of its own durable, in the dialect of workers.

#[rustfmt::skip]
mod bindings;

use std::cell::{Cell, RefCell};

use bindings::{
    exports::test::apis::api::Guest,
    golem::{
        api::{
            context::{self, Attribute, AttributeValue, Span},
            host,
            oplog::{GetOplog, OplogEntry, SearchOplog},
        },
        durability::durability::{
            self, DurableFunctionType, LazyInitializedPollable,
        },
        rpc::types::{NamedWitTypeNode, ValueAndType, WitNode, WitType, WitTypeNode, WitValue, WorkerId},
    },
    wasi::clocks::monotonic_clock,
};

thread_local! {
    static EFFECTS: Cell<u64> = const { Cell::new(0) };
    static KEPT: RefCell<Vec<Span>> = const { RefCell::new(Vec::new()) };
}

fn effect() {
    EFFECTS.set(EFFECTS.get() + 1);
}

fn worker(name: String) -> WorkerId {
    let this = host::get_self_metadata().worker_id;
    if name.is_empty() {
        return this;
    }
    WorkerId {
        component_id: this.component_id,
        worker_name: name,
    }
}

fn kind(entry: &OplogEntry) -> String {
    let text = match entry {
        OplogEntry::PendingWorkerInvocation(_) => "pending-invocation",
        OplogEntry::Create(create) => return format!("create {}", create.worker_id.worker_name),
        OplogEntry::ImportedFunctionInvoked(call) => return call.function_name.clone(),
        OplogEntry::ExportedFunctionInvoked(call) => {
            return format!("invoked {} with {:?}", call.function_name, call.request)
        }
        OplogEntry::ExportedFunctionCompleted(done) => return format!("completed {:?}", done.response.is_some()),
        OplogEntry::StartSpan(span) => return format!("start-span {:?}", span.attributes.len()),
        OplogEntry::FinishSpan(_) => "finish-span",
        OplogEntry::SetSpanAttribute(set) => return format!("set-span-attribute {}", set.key),
        OplogEntry::BeginRemoteWrite(_) => "begin-remote-write",
        OplogEntry::EndRemoteWrite(_) => "end-remote-write",
        _ => "other",
    };
    text.to_owned()
}

fn typed(number: u64) -> ValueAndType {
    ValueAndType {
        value: WitValue {
            nodes: vec![WitNode::PrimU64(number)],
        },
        typ: WitType {
            nodes: vec![NamedWitTypeNode {
                name: None,
                owner: None,
                type_: WitTypeNode::PrimU64Type,
            }],
        },
    }
}

fn text(value: &AttributeValue) -> String {
    let AttributeValue::String(text) = value;
    text.clone()
}

struct Apis;

impl Guest for Apis {
    fn read(name: String, start: u64) -> Vec<String> {
        let reading = GetOplog::new(&worker(name), start);
        let mut kinds = Vec::new();
        while let Some(page) = reading.get_next() {
            kinds.extend(page.iter().map(kind));
        }
        kinds
    }

    fn search(name: String, query: String) -> Vec<(u64, String)> {
        let search = SearchOplog::new(&worker(name), &query);
        let mut found = Vec::new();
        while let Some(page) = search.get_next() {
            found.extend(page.iter().map(|(index, entry)| (*index, kind(entry))));
        }
        found
    }

    fn span(name: String, value: String) -> Vec<String> {
        let outer = context::start_span("outer");
        outer.set_attribute("color", &AttributeValue::String("red".into()));
        let inner = context::start_span(&name);
        inner.set_attributes(&[Attribute {
            key: "value".into(),
            value: AttributeValue::String(value),
        }]);
        let here = context::current_context();
        let chain = here.get_attribute_chain("name");
        let parent = here.parent().expect("the outer span");
        let headers = here.trace_context_headers();
        let seen = vec![
            here.trace_id(),
            here.span_id(),
            parent.span_id(),
            here.get_attribute("value", false).as_ref().map(text).unwrap_or_default(),
            here.get_attribute("color", false).as_ref().map(text).unwrap_or_default(),
            here.get_attribute("color", true).as_ref().map(text).unwrap_or_default(),
            chain.iter().map(text).collect::<Vec<_>>().join(" < "),
            here.get_attributes(false).len().to_string(),
            here.get_attribute_chains().len().to_string(),
            headers.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" "),
            inner.started_at().seconds.to_string(),
        ];
        inner.finish();
        drop(outer);
        let back = context::current_context();
        assert!(back.get_attribute("color", true).is_none());
        seen
    }

    fn keep_span(name: String) {
        KEPT.with_borrow_mut(|kept| kept.push(context::start_span(&name)));
    }

    fn twice(input: u64) -> u64 {
        const NAME: &str = "test::apis::twice";
        durability::observe_function_call("test::apis", "twice");
        let kind = DurableFunctionType::ReadRemote;
        let begin = durability::begin_durable_function(kind);
        let value = if durability::current_durable_execution_state().is_live {
            effect();
            durability::persist_typed_durable_function_invocation(NAME, &typed(input), &typed(input * 2), kind);
            input * 2
        } else {
            let call = durability::read_persisted_typed_durable_function_invocation();
            assert_eq!(call.function_name, NAME);
            assert!(matches!(call.function_type, DurableFunctionType::ReadRemote));
            assert_eq!(call.response.typ.nodes.len(), 1);
            match call.response.value.nodes[..] {
                [WitNode::PrimU64(value)] => value,
                _ => panic!("another value came back: {:?}", call.response.value),
            }
        };
        durability::end_durable_function(kind, begin, false);
        value
    }

    fn write(text: String) -> String {
        const NAME: &str = "test::apis::write";
        let whole = DurableFunctionType::WriteRemoteBatched(None);
        let begin = durability::begin_durable_function(whole);
        let step = DurableFunctionType::WriteRemoteBatched(Some(begin));
        let mut result = String::new();
        for part in ["first", "second"] {
            if durability::current_durable_execution_state().is_live {
                effect();
                let response = format!("{part} {text}");
                durability::persist_durable_function_invocation(NAME, part.as_bytes(), response.as_bytes(), step);
                result = response;
            } else {
                let call = durability::read_persisted_durable_function_invocation();
                assert!(matches!(
                    call.function_type,
                    DurableFunctionType::WriteRemoteBatched(Some(index)) if index == begin
                ));
                result = String::from_utf8(call.response).expect("text");
            }
        }
        durability::end_durable_function(whole, begin, true);
        result
    }

    fn lazy(ms: u64) -> bool {
        let lazy = LazyInitializedPollable::new();
        let pollable = lazy.subscribe();
        let before = pollable.ready();
        lazy.set(monotonic_clock::subscribe_duration(ms * 1_000_000));
        pollable.block();
        !before && pollable.ready()
    }

    fn effects() -> u64 {
        EFFECTS.get()
    }
}

bindings::export!(Apis with_types_in bindings);
