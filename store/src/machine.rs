use bytes::Bytes;

use crate::{Error, Transaction};

/// A replicated state machine over the tables of one group.
pub trait Machine: Send + Sync + 'static {
    /// Applies one committed command and returns its reply.
    ///
    /// It must be a pure function of the commands and the stored state: no clock, no randomness, no I/O beside
    /// `state`, since every replica and every restart applies the same commands and must come to the same state.
    ///
    /// # Errors
    /// Only for stored data or commands that do not check out: the group stops. A refusal is a reply.
    fn apply(&self, state: &mut Transaction<'_>, command: Bytes) -> Result<Bytes, Error>;

    /// Hears that what it has applied so far can be read.
    fn written(&self) {}

    /// Forgets everything that was cached from the tables: they have been replaced by a snapshot.
    fn reset(&self) {}
}
