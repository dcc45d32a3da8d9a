//! Event ids: `UUIDv7` (RFC 9562), which sort by the time of their call.

use ledger_core::ids::EventId;
use ledger_core::time::Timestamp;

/// A new id of this time; none, if the system gives no randomness or the time is none of these centuries.
pub(crate) fn new_id(time: Timestamp) -> Option<EventId> {
    let mut random = [0; 10];
    getrandom::fill(&mut random).ok()?;
    EventId::new(uuid_v7(u64::try_from(time.as_millis()).ok()?, random)).ok()
}

fn uuid_v7(ms: u64, random: [u8; 10]) -> String {
    let [a, b, rest @ ..] = random;
    let version = 0x7000 | (u16::from_be_bytes([a, b]) & 0x0fff);
    let tail = rest.iter().fold(0_u64, |tail, byte| (tail << 8) | u64::from(*byte));
    let tail = (tail & 0x3fff_ffff_ffff_ffff) | 0x8000_0000_0000_0000;
    let (high, low) = ((ms >> 16) & 0xffff_ffff, ms & 0xffff);
    format!("{high:08x}-{low:04x}-{version:04x}-{:04x}-{:012x}", tail >> 48, tail & 0xffff_ffff_ffff)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_those_of_the_standard() {
        // The example of RFC 9562, A.6.
        let random = [0x0c, 0xc3, 0x18, 0xc4, 0xdc, 0x0c, 0x0c, 0x07, 0x39, 0x8f];
        assert_eq!(uuid_v7(0x017F_22E2_79B0, random), "017f22e2-79b0-7cc3-98c4-dc0c0c07398f");
        let (one, other) =
            (new_id(Timestamp::from_millis(1)).unwrap(), new_id(Timestamp::from_millis(2)).unwrap());
        assert!(one < other && one.as_str().len() == 36);
        assert!(new_id(Timestamp::from_millis(-1)).is_none());
    }
}
