//! Interfaces that exist in several shapes under one name: one body a function, bound by the shape that the component
//! declares.
//!
//! * [`Catalog`] – the interfaces, and binding them to the imports of a component
//! * [`Interface`] – functions and resources of one interface, each under the names that it has in any of the shapes
//! * [`Bound`], [`define`] – one function of an import with its body and the shape in which it is declared
//! * [`Arguments`] – what a body is called with
//! * `conform` – a result in the shape that the component declares

mod arguments;
mod bind;
mod catalog;
mod conform;
mod handles;

pub(in crate::host) use arguments::Arguments;
pub(in crate::host) use bind::{Bound, Kinds, define};
pub(crate) use bind::{Imported, each_import};
pub(crate) use catalog::Catalog;
pub(in crate::host) use catalog::{BoxedBody, Interface, ResourceKind};
pub(in crate::host) use conform::conform;
pub(crate) use conform::{Unfit, names_in_dialects};
pub(in crate::host) use handles::handle;
