//! What the process and this thread used of the processors.

use std::fs;
use std::time::Duration;

use super::Failure;

/// CPU time of this thread.
pub(crate) fn thread_cpu() -> Result<Duration, Failure> {
    let text = fs::read_to_string("/proc/thread-self/schedstat")?;
    Ok(Duration::from_nanos(text.split(' ').next().ok_or("no schedstat")?.parse()?))
}

/// CPU time of the whole process, in ticks of 10 ms.
pub(crate) fn process_cpu() -> Result<Duration, Failure> {
    let text = fs::read_to_string("/proc/self/stat")?;
    let after_name = text.rsplit(')').next().ok_or("no stat")?;
    let mut fields = after_name.split_whitespace().skip(11);
    let mut ticks = || fields.next().ok_or("no stat")?.parse::<u64>().map_err(Failure::from);
    Ok(Duration::from_millis((ticks()? + ticks()?) * 10))
}
