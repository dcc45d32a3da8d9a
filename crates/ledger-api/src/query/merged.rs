//! Several streams of a shard as one, in order of position: a tenant's records and those of its apps.

use std::iter::Peekable;

use ledger_core::ids::{AppKey, ClientKey};
use ledger_record::record::{Record, Stream};
use ledger_store::ReadError;

use super::shards::Moment;

/// A tenant's records and those of some apps, one of each in memory.
pub(super) fn records_of<'m>(
    moment: &'m Moment<'m>,
    client: &ClientKey,
    apps: &[AppKey],
) -> Result<impl Iterator<Item = Result<Record, ReadError>> + use<'m>, ReadError> {
    let mut streams = vec![moment.snapshot.records(&Stream::Tenant(client.clone()), 1)?.peekable()];
    for app in apps {
        streams.push(moment.snapshot.records(&Stream::App(app.clone()), 1)?.peekable());
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
