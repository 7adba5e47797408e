//! The two RocksDB instances of a node and the typed view of a group's part of the state.

pub(crate) mod log_db;
mod moment;
mod reader;
pub(crate) mod state_db;
mod table;
mod transaction;
mod watermark;

pub(crate) use log_db::LogDb;
pub(crate) use moment::{Moment, Rows};
pub(crate) use reader::after_prefix;
pub use reader::{Reader, Row};
pub(crate) use state_db::StateDb;
pub use table::Table;
pub use transaction::Transaction;
