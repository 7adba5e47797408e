use kiln_proto::v1::{BlobContainer, BlobUsage, ChangeBlobs, StorageReply, change_blobs::Change};

use super::{super::record, containers, contents, objects, rows, writer};
use crate::{Error, Table, Transaction};

/// An application's blob directory while a command changes it.
///
/// The whole of it is in one shard. So an object moves from container to container at once for all readers, contents are
/// shared by copies with exact counts, and quotas hold exactly.
pub(super) struct Directory<'a> {
    pub(super) application: &'a str,
    pub(super) at_ns: u64,
    pub(super) garbage_due_ns: u64,
    objects_max: u64,
    bytes_max: u64,
    usage: BlobUsage,
}

/// Applies one change of a directory.
pub(super) fn change(state: &mut Transaction<'_>, change: &ChangeBlobs) -> Result<StorageReply, Error> {
    writer::once(state, change.writer.as_ref(), change.at_ns, |state| {
        let mut directory = Directory::load(state, change)?;
        let reply = match &change.change {
            Some(Change::CreateContainer(name)) => containers::create(state, &mut directory, name)?,
            Some(Change::DeleteContainer(name)) => containers::delete(state, &mut directory, name)?,
            Some(Change::ClearContainer(name)) => containers::clear(state, &mut directory, name)?,
            Some(Change::SweepContainer(dead)) => containers::sweep(state, &directory, dead)?,
            Some(Change::AnnounceContent(content)) => contents::announce(state, &directory, content)?,
            Some(Change::DropGarbage(garbage)) => contents::collect(state, garbage)?,
            Some(Change::PostponeGarbage(garbage)) => contents::postpone(state, &directory, garbage)?,
            Some(Change::DropPins(pins)) => contents::drop_pins(state, pins),
            Some(Change::PutObject(put)) => objects::put(state, &mut directory, put)?,
            Some(Change::DeleteObjects(delete)) => objects::delete(state, &mut directory, delete)?,
            Some(Change::CopyObject(copy)) => objects::copy(state, &mut directory, copy)?,
            Some(Change::PinObject(pin)) => objects::pin(state, &directory, pin)?,
            None => super::done(),
        };
        directory.store(state);
        Ok(reply)
    })
}

impl<'a> Directory<'a> {
    fn load(state: &Transaction<'_>, change: &'a ChangeBlobs) -> Result<Self, Error> {
        let usage = state.get(Table::Blob, &rows::blob_usage(&change.application))?;
        Ok(Self {
            application: &change.application,
            at_ns: change.at_ns,
            garbage_due_ns: change.garbage_due_ns,
            objects_max: change.objects_max,
            bytes_max: change.bytes_max,
            usage: usage.map_or(Ok(BlobUsage::default()), |row| {
                record::decode("an application's use of blobs", &row)
            })?,
        })
    }

    /// Another container.
    pub(super) fn add_container(&mut self) {
        self.usage.containers += 1;
    }

    /// A container goes, and what is in it counts no longer.
    pub(super) fn remove_container(&mut self, container: &BlobContainer) -> Result<(), Error> {
        decrease(&mut self.usage.containers, 1)?;
        self.remove_objects(container.objects, container.bytes)
    }

    /// The quota allows an object of `size` in place of one of `replaced`, or beside all others.
    pub(super) fn has_room(&self, replaced: Option<u64>, size: u64) -> bool {
        let objects = self.usage.objects + 1 - u64::from(replaced.is_some());
        let bytes = self
            .usage
            .bytes
            .saturating_sub(replaced.unwrap_or(0))
            .saturating_add(size);
        let fits = |value: u64, max: u64| max == 0 || value <= max;
        fits(objects, self.objects_max) && fits(bytes, self.bytes_max)
    }

    /// An object that is moved does not count twice, not even for a moment.
    pub(super) fn make_room(&mut self, size: u64) {
        self.objects_max += u64::from(self.objects_max > 0);
        if self.bytes_max > 0 {
            self.bytes_max = self.bytes_max.saturating_add(size);
        }
    }

    pub(super) fn add_object(&mut self, size: u64) {
        self.usage.objects += 1;
        self.usage.bytes = self.usage.bytes.saturating_add(size);
    }

    pub(super) fn remove_objects(&mut self, objects: u64, bytes: u64) -> Result<(), Error> {
        decrease(&mut self.usage.objects, objects)?;
        decrease(&mut self.usage.bytes, bytes)
    }

    fn store(self, state: &mut Transaction<'_>) {
        let key = rows::blob_usage(self.application);
        if self.usage == BlobUsage::default() {
            state.delete(Table::Blob, key);
        } else {
            state.put(Table::Blob, key, record::encode(&self.usage));
        }
    }
}

/// Counters of this directory never go below zero.
pub(super) fn decrease(counter: &mut u64, by: u64) -> Result<(), Error> {
    let less = counter.checked_sub(by);
    *counter = less.ok_or_else(|| Error::Corrupt("a count of blobs is negative".into()))?;
    Ok(())
}
