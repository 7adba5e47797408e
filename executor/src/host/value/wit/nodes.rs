//! Lists of nodes: written in pre-order, read with a bound on depth and on visits.

use kiln_proto::v1::{FieldValue, Value, value::Kind};

use super::{DEPTH_MAX, WitError};

/// Nodes that are being written.
#[derive(Default)]
pub(super) struct Writer {
    nodes: Vec<Value>,
}

impl Writer {
    /// Takes the place of a node before its children take theirs.
    pub(super) fn reserve(&mut self, depth: usize) -> Result<usize, WitError> {
        if depth > DEPTH_MAX {
            return Err(WitError::TooDeep);
        }
        self.nodes.push(Value::default());
        Ok(self.nodes.len() - 1)
    }

    pub(super) fn fill(&mut self, at: usize, node: Value) {
        self.nodes[at] = node;
    }

    /// The record that `wit-value` and `wit-type` are.
    pub(super) fn finish(self) -> Value {
        let nodes = self.nodes.into_iter().collect::<Value>();
        Value::record(vec![FieldValue::of("nodes", nodes)])
    }
}

/// A node's position as the contract's `node-index`.
pub(super) fn index(at: usize) -> Value {
    Kind::S32Value(i32::try_from(at).unwrap_or(i32::MAX)).into()
}

/// Nodes that are being read.
pub(super) struct Reader<'a> {
    nodes: &'a [Value],
    /// Visits that are left. Each node belongs to one parent, so that a list can neither loop nor multiply itself.
    left: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(tree: &'a Value) -> Result<Self, WitError> {
        let Some(Kind::List(nodes)) = field(tree, "nodes").and_then(|nodes| nodes.kind.as_ref()) else {
            return Err(WitError::NoNodes);
        };
        Ok(Self {
            nodes: &nodes.values,
            left: nodes.values.len(),
        })
    }

    /// Goes to a node.
    pub(super) fn visit(&mut self, at: usize, depth: usize) -> Result<&'a Value, WitError> {
        if depth > DEPTH_MAX {
            return Err(WitError::TooDeep);
        }
        let node = self.nodes.get(at).ok_or(WitError::NoNode(at as i64))?;
        self.left = self.left.checked_sub(1).ok_or(WitError::Shared)?;
        Ok(node)
    }
}

/// The case and payload of a node.
pub(super) fn case(node: &Value) -> Option<(&str, Option<&Value>)> {
    let Some(Kind::Variant(variant)) = &node.kind else {
        return None;
    };
    Some((variant.case.as_ref()?.name.as_str(), variant.payload.as_deref()))
}

/// A field of a record.
pub(super) fn field<'a>(record: &'a Value, name: &str) -> Option<&'a Value> {
    let Some(Kind::Record(record)) = &record.kind else {
        return None;
    };
    let field = record.fields.iter().find(|field| field.name == name)?;
    field.value.as_ref()
}

/// The position that a `node-index` names.
pub(super) fn position(value: &Value) -> Result<usize, WitError> {
    match value.kind {
        Some(Kind::S32Value(at)) => usize::try_from(at).map_err(|_| WitError::NoNode(at.into())),
        _ => Err(WitError::NoNodes),
    }
}

/// The elements of a list or tuple.
pub(super) fn items(value: Option<&Value>) -> Option<&[Value]> {
    match &value?.kind {
        Some(Kind::List(list) | Kind::Tuple(list)) => Some(&list.values),
        _ => None,
    }
}

/// The inside of an option.
pub(super) fn some(value: &Value) -> Option<Option<&Value>> {
    match &value.kind {
        Some(Kind::Option(option)) => Some(option.value.as_deref()),
        _ => None,
    }
}

pub(super) fn text(value: &Value) -> Option<&str> {
    match &value.kind {
        Some(Kind::StringValue(text)) => Some(text),
        _ => None,
    }
}
