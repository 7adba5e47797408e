//! Components: from uploaded bytes to something that can be instantiated in microseconds.
//!
//! * [`Components`] – loads by digest: memory, then the cache on disk, then the compiler
//! * [`LoadedComponent`] – compiled, linked, with a table of its exported functions
//! * `contract` – how the runtime's interfaces are declared, for those who declare them otherwise
//! * [`FunctionRef`] – one exported function; [`Exports`] finds it by the names that users write
//! * [`Digest`] – the content address of a component

mod cache;
mod clients;
mod compile;
mod contract;
mod digest;
mod disk;
mod error;
mod exports;
mod function;
mod imports;
mod loaded;
mod lookup;
mod types;

pub use cache::{CacheOptions, Components};
pub use digest::Digest;
pub use error::Error;
pub use exports::Exports;
pub(crate) use exports::Target;
pub use function::{Function, FunctionName, FunctionRef, InterfaceName};
pub use loaded::LoadedComponent;
pub use lookup::UnknownFunction;
pub(crate) use types::{ResourceNames, signature};
