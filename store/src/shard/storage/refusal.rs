use kiln_proto::v1::{StorageReply, storage_reply::Refusal};

/// The reply of an operation that changed nothing.
pub(super) fn refuse(refusal: Refusal) -> StorageReply {
    StorageReply {
        refusal: refusal.into(),
        ..StorageReply::default()
    }
}
