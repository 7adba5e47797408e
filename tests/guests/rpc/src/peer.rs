//! Another worker of the same component, and values in the form in which it takes and gives them.

use crate::bindings::golem::rpc::types::{
    parse_uuid, uuid_to_string, CancellationToken, ComponentId, FutureInvokeResult, RpcError, WasmRpc, WitNode,
    WitValue, WorkerId,
};
use crate::bindings::wasi::clocks::wall_clock::{self, Datetime};

pub struct Peer(WasmRpc);

impl Peer {
    pub fn of(name: &str) -> Self {
        Self(WasmRpc::new(&WorkerId {
            component_id: component_id(),
            worker_name: name.into(),
        }))
    }

    /// A worker of the component with this id.
    pub fn elsewhere(component: &str, name: &str) -> Self {
        Self(WasmRpc::new(&WorkerId {
            component_id: ComponentId {
                uuid: parse_uuid(component).expect("a UUID"),
            },
            worker_name: name.into(),
        }))
    }

    pub fn ephemeral() -> Self {
        Self(WasmRpc::ephemeral(component_id()))
    }

    pub fn call(&self, function: &str, arguments: &[WitValue]) -> Result<WitValue, String> {
        self.0.invoke_and_await(&full(function), arguments).map_err(in_words)
    }

    pub fn send(&self, function: &str, arguments: &[WitValue]) -> Result<(), String> {
        self.0.invoke(&full(function), arguments).map_err(in_words)
    }

    pub fn begin(&self, function: &str, arguments: &[WitValue]) -> FutureInvokeResult {
        self.0.async_invoke_and_await(&full(function), arguments)
    }

    pub fn schedule(&self, ms: u64, function: &str, arguments: &[WitValue]) {
        self.0.schedule_invocation(in_a_while(ms), &full(function), arguments);
    }

    pub fn schedule_cancelable(&self, ms: u64, function: &str, arguments: &[WitValue]) -> CancellationToken {
        self.0.schedule_cancelable_invocation(in_a_while(ms), &full(function), arguments)
    }
}

pub fn wait(future: &FutureInvokeResult) -> Result<WitValue, String> {
    loop {
        if let Some(answer) = future.get() {
            return answer.map_err(in_words);
        }
        future.subscribe().block();
    }
}

fn component_id() -> ComponentId {
    let text = std::env::var("GOLEM_COMPONENT_ID").expect("every worker knows its component");
    let uuid = parse_uuid(&text).expect("a UUID");
    assert_eq!(uuid_to_string(uuid), text);
    ComponentId { uuid }
}

/// Functions of this component go by their bare names.
fn full(function: &str) -> String {
    match function.contains('/') {
        true => function.into(),
        false => format!("test:rpc/api@0.1.0.{{{function}}}"),
    }
}

fn in_a_while(ms: u64) -> Datetime {
    let now = wall_clock::now();
    let nanoseconds = u64::from(now.nanoseconds) + ms % 1000 * 1_000_000;
    Datetime {
        seconds: now.seconds + ms / 1000 + nanoseconds / 1_000_000_000,
        nanoseconds: (nanoseconds % 1_000_000_000) as u32,
    }
}

fn in_words(error: RpcError) -> String {
    match error {
        RpcError::ProtocolError(text) => format!("protocol-error: {text}"),
        RpcError::Denied(text) => format!("denied: {text}"),
        RpcError::NotFound(text) => format!("not-found: {text}"),
        RpcError::RemoteInternalError(text) => format!("remote-internal-error: {text}"),
    }
}

pub fn flat(node: WitNode) -> WitValue {
    nested(vec![node])
}

pub fn nested(nodes: Vec<WitNode>) -> WitValue {
    WitValue { nodes }
}

/// The one value in the tuple that a function's result comes in, if it has no children.
pub fn inner(answer: WitValue) -> Result<WitValue, String> {
    match answer.nodes.as_slice() {
        [WitNode::TupleValue(children), value] if children == &[1] => Ok(flat(value.clone())),
        other => Err(format!("unexpected: {other:?}")),
    }
}

pub fn number(answer: WitValue) -> Result<u64, String> {
    match inner(answer)?.nodes.as_slice() {
        [WitNode::PrimU64(number)] => Ok(*number),
        other => Err(format!("unexpected: {other:?}")),
    }
}

pub fn text(answer: WitValue) -> Result<String, String> {
    match inner(answer)?.nodes.as_slice() {
        [WitNode::PrimString(text)] => Ok(text.clone()),
        other => Err(format!("unexpected: {other:?}")),
    }
}

/// What `result<string, string>` holds.
pub fn text_in_result(answer: &WitValue) -> Result<String, String> {
    match answer.nodes.as_slice() {
        [WitNode::TupleValue(_), WitNode::ResultValue(Ok(Some(2))), WitNode::PrimString(text)] => Ok(text.clone()),
        [WitNode::TupleValue(_), WitNode::ResultValue(Err(Some(2))), WitNode::PrimString(text)] => Err(text.clone()),
        other => Err(format!("unexpected: {other:?}")),
    }
}

/// What `result<list<u64>, string>` holds.
pub fn numbers(answer: &WitValue) -> Result<Vec<u64>, String> {
    match answer.nodes.as_slice() {
        [WitNode::TupleValue(_), WitNode::ResultValue(Ok(Some(2))), WitNode::ListValue(_), numbers @ ..] => numbers
            .iter()
            .map(|node| match node {
                WitNode::PrimU64(number) => Ok(*number),
                other => Err(format!("unexpected: {other:?}")),
            })
            .collect(),
        [WitNode::TupleValue(_), WitNode::ResultValue(Err(Some(2))), WitNode::PrimString(text)] => Err(text.clone()),
        other => Err(format!("unexpected: {other:?}")),
    }
}
