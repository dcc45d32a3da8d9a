//! CRC-32C, as RocksDB writes it beside each fragment of its write-ahead log: eight bytes at a time, by tables.

const POLYNOMIAL: u32 = 0x82f6_3b78;

/// What RocksDB adds, so that a checksum over bytes that hold checksums is none of them.
const MASK_DELTA: u32 = 0xa282_ead8;

static TABLES: [[u32; 256]; 8] = tables();

/// A checksum over the bytes so far.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Crc32c(u32);

impl Default for Crc32c {
    fn default() -> Self {
        Self(!0)
    }
}

impl Crc32c {
    pub(crate) fn over(self, bytes: &[u8]) -> Self {
        let (eights, rest) = bytes.as_chunks::<8>();
        let register = eights.iter().fold(self.0, |register, eight| {
            let mixed = u64::from_le_bytes(*eight) ^ u64::from(register);
            let of = |byte: usize| TABLES[7 - byte][usize::from(mixed.to_le_bytes()[byte])];
            (0..8).fold(0, |sum, byte| sum ^ of(byte))
        });
        Self(rest.iter().fold(register, |register, byte| {
            (register >> 8) ^ TABLES[0][usize::from(register.to_le_bytes()[0] ^ byte)]
        }))
    }

    /// As it is written.
    pub(crate) const fn masked(self) -> u32 {
        (!self.0).rotate_right(15).wrapping_add(MASK_DELTA)
    }
}

const fn tables() -> [[u32; 256]; 8] {
    let mut tables = [[0; 256]; 8];
    let mut byte: u32 = 0;
    while byte < 256 {
        let mut register = byte;
        let mut bit = 0;
        while bit < 8 {
            register = if register & 1 == 1 { (register >> 1) ^ POLYNOMIAL } else { register >> 1 };
            bit += 1;
        }
        tables[0][byte as usize] = register;
        byte += 1;
    }
    let mut table = 1;
    while table < 8 {
        let mut byte = 0;
        while byte < 256 {
            let before = tables[table - 1][byte];
            tables[table][byte] = (before >> 8) ^ tables[0][(before & 0xff) as usize];
            byte += 1;
        }
        table += 1;
    }
    tables
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_check_value_of_the_catalogue() {
        let checksum = |bytes: &[u8]| !Crc32c::default().over(bytes).0;
        assert_eq!(checksum(b"123456789"), 0xe306_9283);
        assert_eq!(checksum(&[0; 32]), 0x8a91_36aa);
        let text = b"in pieces of any length it is the same";
        for cut in 0..text.len() {
            assert_eq!(!Crc32c::default().over(&text[..cut]).over(&text[cut..]).0, checksum(text));
        }
    }
}
