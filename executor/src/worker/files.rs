//! Looking into a worker's folder: it is only there while the worker is loaded, and only looked at between invocations.

use std::ops::ControlFlow;

use kiln_proto::{
    Error,
    v1::{GetFilesResponse, get_files_response},
};

use super::{Actor, desk::Desk, mailbox::Files};
use crate::host::{FilesError, Found};

/// What a message has beside the bytes of a file.
const ENVELOPE_BYTES: u64 = 4 << 10;

impl Actor {
    /// Takes a request while nothing runs. The worker is loaded for it.
    pub(super) fn look_into_files(&mut self, files: Files) -> ControlFlow<()> {
        match self.seat.existing() {
            Ok(_) => {
                self.desk.files.push(files);
                self.desk.is_wanted = true;
            }
            Err(error) => {
                let _ = files.reply.send(Err(error));
            }
        }
        ControlFlow::Continue(())
    }

    /// Answers those who wait, if the worker is loaded.
    pub(super) async fn answer_files(&mut self) {
        let Some(resident) = self.body.as_mut().and_then(|body| body.resident.as_mut()) else {
            return;
        };
        let bytes_max = (self.seat.context.limits.message_bytes_max as u64).saturating_sub(ENVELOPE_BYTES);
        for Files { path, reply } in self.desk.files.drain(..) {
            let found = resident.instance.files(&path, bytes_max).await;
            // Whoever has gone away needs no answer.
            let _ = reply.send(found.map(response).map_err(|error| refusal(&error)));
        }
    }
}

impl Desk {
    /// Tells those who wait to look into the folder that they cannot.
    pub(super) fn refuse_files(&mut self, error: &Error) {
        for files in self.files.drain(..) {
            let _ = files.reply.send(Err(error.clone()));
        }
    }

    /// The worker left memory in the middle of an invocation.
    pub(super) fn refuse_files_while_suspended(&mut self) {
        self.refuse_files(&Error::conflict(
            "the worker waits in the middle of an invocation; its files can be read when that has ended",
        ));
    }
}

fn response(found: Found) -> GetFilesResponse {
    GetFilesResponse {
        found: Some(match found {
            Found::Folder(folder) => get_files_response::Found::Folder(folder),
            Found::File(bytes) => get_files_response::Found::File(bytes.into()),
        }),
    }
}

fn refusal(error: &FilesError) -> Error {
    let text = error.to_string();
    match error {
        FilesError::NoFolder | FilesError::Path { .. } => Error::not_found(text),
        FilesError::TooLong { .. } => Error::limit_exceeded(text),
        FilesError::Io(_) => Error::internal(text),
    }
}
