//! Positions and queries between nodes.

use bytes::Bytes;
use kiln_proto::{
    Error,
    ids::{ComponentId, ShardId, WorkerId},
    v1::{self, shard_position},
};
use kiln_store::{Position, WorkerNumber};

use super::{Count, Scan, filter::Filter, local::Wanted};

pub(super) fn wire_position(position: &Position) -> v1::ShardPosition {
    let position = match position {
        Position::Number(number) => shard_position::Position::Number(number.0),
        Position::Created(component, created_at_ns, number) => {
            shard_position::Position::Created(v1::CreatedPosition {
                component_id: Bytes::copy_from_slice(component.as_bytes()),
                created_at_ns: *created_at_ns,
                number: number.0,
            })
        }
        Position::Name(worker) => shard_position::Position::Name(worker.into()),
    };
    v1::ShardPosition {
        position: Some(position),
    }
}

pub(super) fn position_of(position: &v1::ShardPosition) -> Result<Position, Error> {
    let position = position.position.as_ref();
    Ok(
        match position.ok_or_else(|| Error::invalid("a position is empty"))? {
            shard_position::Position::Number(number) => Position::Number(WorkerNumber(*number)),
            shard_position::Position::Created(created) => Position::Created(
                ComponentId::from_slice(&created.component_id)?,
                created.created_at_ns,
                WorkerNumber(created.number),
            ),
            shard_position::Position::Name(worker) => Position::Name(WorkerId::try_from(worker)?),
        },
    )
}

impl Wanted {
    pub(super) fn component_bytes(&self) -> Bytes {
        self.component.map_or_else(Bytes::new, |component| {
            Bytes::copy_from_slice(component.as_bytes())
        })
    }

    pub(super) fn read(component: &[u8], filter: Option<&v1::FilterNode>) -> Result<Self, Error> {
        let filter = filter.ok_or_else(|| Error::invalid("the query has no filter"))?;
        Ok(Self {
            component: (!component.is_empty())
                .then(|| ComponentId::from_slice(component))
                .transpose()?,
            filter: Filter::try_from(filter)?,
        })
    }
}

impl From<&Scan> for v1::ScanShardRequest {
    fn from(scan: &Scan) -> Self {
        Self {
            shard: scan.shard.0,
            component_id: scan.wanted.component_bytes(),
            filter: Some((&scan.wanted.filter).into()),
            precise: scan.precise,
            limit: u32::try_from(scan.limit).unwrap_or(u32::MAX),
            after: scan.after.clone(),
            whole_pages: scan.whole_pages,
        }
    }
}

impl TryFrom<v1::ScanShardRequest> for Scan {
    type Error = Error;

    fn try_from(request: v1::ScanShardRequest) -> Result<Self, Error> {
        Ok(Self {
            shard: ShardId(request.shard),
            wanted: Wanted::read(&request.component_id, request.filter.as_ref())?,
            precise: request.precise,
            limit: request.limit as usize,
            after: request.after,
            whole_pages: request.whole_pages,
        })
    }
}

impl From<&Count> for v1::CountShardRequest {
    fn from(count: &Count) -> Self {
        Self {
            shard: count.shard.0,
            component_id: count.wanted.component_bytes(),
            filter: Some((&count.wanted.filter).into()),
            precise: count.precise,
        }
    }
}

impl TryFrom<v1::CountShardRequest> for Count {
    type Error = Error;

    fn try_from(request: v1::CountShardRequest) -> Result<Self, Error> {
        Ok(Self {
            shard: ShardId(request.shard),
            wanted: Wanted::read(&request.component_id, request.filter.as_ref())?,
            precise: request.precise,
        })
    }
}
