//! Encodings of what the Raft library hands us, for the log and for the wire.
//!
//! Small records are postcard behind a version byte. Entries, which carry the payload, have a layout of their own, so
//! that decoding is a slice of what came in and not a copy.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use openraft::{EntryPayload, raft::AppendEntriesRequest, vote::RaftLeaderId};
use serde::{Serialize, de::DeserializeOwned};

use super::types::{Command, CommittedLeaderId, Entry, LogId, Membership, Types, Vote};
use crate::Error;

/// The version of all records here.
const VERSION: u8 = 1;

const BLANK: u8 = 0;
const NORMAL: u8 = 1;
const MEMBERSHIP: u8 = 2;

/// Version, kind, term, index.
const ENTRY_HEADER: usize = 1 + 1 + 8 + 8;

/// Encodes a small record.
pub(crate) fn encode<T: Serialize>(record: &T) -> Vec<u8> {
    postcard::to_extend(record, vec![VERSION]).expect("records of the Raft library are plain data")
}

/// Decodes a small record; `what` names it in the error.
pub(crate) fn decode<T: DeserializeOwned>(what: &'static str, bytes: &[u8]) -> Result<T, Error> {
    match bytes.split_first() {
        Some((&VERSION, record)) => postcard::from_bytes(record)
            .map_err(|error| Error::Corrupt(format!("{what} does not decode: {error}"))),
        Some((version, _)) => Err(Error::Corrupt(format!(
            "{what} has the unknown version {version}"
        ))),
        None => Err(Error::Corrupt(format!("{what} is empty"))),
    }
}

/// The log id of an entry of a term.
pub(crate) fn log_id(term: u64, index: u64) -> LogId {
    // The node id is not part of a committed leader's id when there is one leader a term.
    let leader: CommittedLeaderId =
        <Types as openraft::RaftTypeConfig>::LeaderId::new(term, 0).to_committed();
    LogId::new(leader, index)
}

/// Encodes a log entry.
pub(crate) fn encode_entry(entry: &Entry, to: &mut BytesMut) {
    let (kind, body) = match &entry.payload {
        EntryPayload::Blank => (BLANK, Bytes::new()),
        EntryPayload::Normal(command) => (NORMAL, command.0.clone()),
        EntryPayload::Membership(membership) => (MEMBERSHIP, encode(membership).into()),
    };
    to.reserve(ENTRY_HEADER + body.len());
    to.put_u8(VERSION);
    to.put_u8(kind);
    to.put_u64_le(entry.log_id.leader_id.term);
    to.put_u64_le(entry.log_id.index);
    to.put_slice(&body);
}

/// Decodes a log entry; a command in it is a slice of `bytes`.
pub(crate) fn decode_entry(mut bytes: Bytes) -> Result<Entry, Error> {
    if bytes.len() < ENTRY_HEADER {
        return Err(Error::Corrupt("a log entry is too short".into()));
    }
    let (version, kind) = (bytes.get_u8(), bytes.get_u8());
    if version != VERSION {
        return Err(Error::Corrupt(format!(
            "a log entry has the unknown version {version}"
        )));
    }
    let log_id = log_id(bytes.get_u64_le(), bytes.get_u64_le());
    let payload = match kind {
        BLANK => EntryPayload::Blank,
        NORMAL => EntryPayload::Normal(Command(bytes)),
        MEMBERSHIP => EntryPayload::Membership(decode::<Membership>("a membership entry", &bytes)?),
        kind => return Err(Error::Corrupt(format!("a log entry has the unknown kind {kind}"))),
    };
    Ok(Entry { log_id, payload })
}

/// The log id of an encoded entry.
pub(crate) fn entry_log_id(bytes: &[u8]) -> Result<LogId, Error> {
    decode_entry(Bytes::copy_from_slice(bytes)).map(|entry| entry.log_id)
}

/// Encodes an append request: header, then entries, each behind its length.
pub(crate) fn encode_append(request: &AppendEntriesRequest<Types>) -> Bytes {
    let header = encode(&(&request.vote, &request.prev_log_id, &request.leader_commit));
    let mut bytes = BytesMut::with_capacity(64 + header.len());
    put_framed(&mut bytes, |to| to.put_slice(&header));
    for entry in &request.entries {
        put_framed(&mut bytes, |to| encode_entry(entry, to));
    }
    bytes.freeze()
}

/// Decodes an append request; commands in it are slices of `bytes`.
pub(crate) fn decode_append(mut bytes: Bytes) -> Result<AppendEntriesRequest<Types>, Error> {
    type Header = (Vote, Option<LogId>, Option<LogId>);
    let header = get_framed(&mut bytes)?;
    let (vote, prev_log_id, leader_commit) = decode::<Header>("an append request", &header)?;
    let mut entries = Vec::new();
    while bytes.has_remaining() {
        entries.push(decode_entry(get_framed(&mut bytes)?)?);
    }
    Ok(AppendEntriesRequest {
        vote,
        prev_log_id,
        entries,
        leader_commit,
    })
}

fn put_framed(to: &mut BytesMut, put: impl FnOnce(&mut BytesMut)) {
    let start = to.len();
    to.put_u32_le(0);
    put(to);
    let length = u32::try_from(to.len() - start - 4).expect("a message is far below 4 GiB");
    to[start..start + 4].copy_from_slice(&length.to_le_bytes());
}

fn get_framed(from: &mut Bytes) -> Result<Bytes, Error> {
    let short = || Error::Corrupt("an append request is cut off".into());
    let length = from.try_get_u32_le().map_err(|_| short())? as usize;
    if from.remaining() < length {
        return Err(short());
    }
    Ok(from.split_to(length))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries() -> Vec<Entry> {
        let membership = Membership::new_with_defaults(vec![[1, 2, 3].into()], [4]);
        vec![
            Entry {
                log_id: log_id(1, 1),
                payload: EntryPayload::Blank,
            },
            Entry {
                log_id: log_id(2, 2),
                payload: EntryPayload::Membership(membership),
            },
            Entry {
                log_id: log_id(7, 3),
                payload: EntryPayload::Normal(Command(Bytes::from_static(b"abc"))),
            },
            Entry {
                log_id: log_id(7, 4),
                payload: EntryPayload::Normal(Command(Bytes::new())),
            },
        ]
    }

    #[test]
    fn an_append_survives_the_wire() {
        let request = AppendEntriesRequest {
            vote: Vote::new_committed(7, 3),
            prev_log_id: Some(log_id(1, 0)),
            entries: entries(),
            leader_commit: None,
        };
        let decoded = decode_append(encode_append(&request)).expect("decodes");
        assert_eq!(format!("{decoded:?}"), format!("{request:?}"));
        assert!(decoded.entries == request.entries);
    }

    #[test]
    fn a_cut_append_is_refused() {
        let request = AppendEntriesRequest {
            vote: Vote::new_committed(7, 3),
            prev_log_id: None,
            entries: entries(),
            leader_commit: Some(log_id(1, 1)),
        };
        let bytes = encode_append(&request);
        let whole = bytes.len();
        let refused = (0..whole)
            .filter(|length| decode_append(bytes.slice(..*length)).is_err())
            .count();
        // A cut between two entries leaves a shorter, well-formed request: the frame's own length guards that.
        assert!(refused >= whole - entries().len() - 1, "{refused} of {whole}");
    }
}
