//! This process and the operating system.

mod files;
mod logging;
mod parent;
mod patience;
mod signals;

pub(crate) use files::raise_file_limit;
pub(crate) use logging::start_logging;
pub(crate) use parent::end_with_parent;
pub(crate) use patience::patiently;
pub(crate) use signals::Shutdown;
