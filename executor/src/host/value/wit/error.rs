/// Why a `wit-value` or `wit-type` cannot be read or written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum WitError {
    /// A node that is not there.
    #[error("node {0} does not exist")]
    NoNode(i64),
    /// Nodes that contain themselves, or that several others contain.
    #[error("a node is used more than once")]
    Shared,
    /// Too much nesting.
    #[error("values nest at most {} deep", super::DEPTH_MAX)]
    TooDeep,
    /// A node that does not fit its type.
    #[error("node {node}: expected {expected}, got {found}")]
    Unfit {
        /// Its position.
        node: usize,
        /// The type.
        expected: String,
        /// The node's own kind.
        found: String,
    },
    /// A kind of value or type that the flat form does not have.
    #[error("{0} has no flat form")]
    NoForm(&'static str),
    /// Something else than a list of nodes.
    #[error("expected a list of nodes")]
    NoNodes,
}
