//! Several streams of a shard as one, in order of position: a tenant's records and those of its apps.

use std::collections::BTreeMap;
use std::iter::Peekable;

use ledger_core::ids::{AppKey, ClientKey};
use ledger_record::record::{Record, Stream};
use ledger_store::ReadError;

use super::shards::ShardSnapshot;

/// The next seq of each stream; from 1 where there is none.
pub(crate) type Seqs = BTreeMap<Stream, u64>;

/// A tenant's records and those of some apps, one of each in memory.
pub(crate) fn records_of<'m>(
    shard: &'m ShardSnapshot<'m>,
    client: &ClientKey,
    apps: &[AppKey],
    from: &Seqs,
) -> Result<impl Iterator<Item = Result<Record, ReadError>> + use<'m>, ReadError> {
    let of_tenant = std::iter::once(Stream::Tenant(client.clone()));
    let mut streams = Vec::new();
    for stream in of_tenant.chain(apps.iter().cloned().map(Stream::App)) {
        let from = from.get(&stream).copied().unwrap_or(1);
        streams.push(shard.snapshot.records(&stream, from)?.peekable());
    }
    Ok(std::iter::from_fn(move || first(&mut streams)))
}

fn first<S>(streams: &mut [Peekable<S>]) -> Option<Result<Record, ReadError>>
where
    S: Iterator<Item = Result<Record, ReadError>>,
{
    // What cannot be read comes at once.
    let position = |record: &Result<Record, ReadError>| record.as_ref().map_or(0, |record| record.position);
    let heads = streams.iter_mut().enumerate();
    let (_, next) = heads.filter_map(|(at, stream)| Some((position(stream.peek()?), at))).min()?;
    streams[next].next()
}
