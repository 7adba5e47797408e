//! `wasi:filesystem`: each worker has a folder of its own, which replay fills again.
//!
//! What a guest does to its files is not recorded, since the same calls lead to the same files. Only the times of files are,
//! as they come from a clock. Everything else that differs between machines (the order of a listing, inode numbers, sizes of
//! folders, when a read or write is done) is made the same everywhere.
//!
//! * `folder` – the folder, and what it may hold
//! * `initial` – files that come with the component
//! * `browse` – how operators look into the folder
//! * `quota` – how much it holds
//! * `descriptor` – the calls on files and folders; `paths` has those that name a path
//! * `times` – the recorded times
//! * `listing` – sorted entries of a folder
//! * `numbers` – what stands in for inode numbers
//! * `reader`, `writer` – streams over files

mod browse;
mod descriptor;
mod folder;
mod initial;
mod listing;
mod numbers;
mod paths;
mod quota;
mod reader;
mod times;
mod writer;

pub use browse::{FilesError, Found};
pub(in crate::host) use folder::Folder;
pub use initial::InitialFile;
