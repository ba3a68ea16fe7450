//! The bytes of a slot: a header in one sector, then JSON.
//!
//! ```text
//!  0  8  magic        16  8  sequence             32  8  length of what follows the header
//!  8  4  format       24  8  written at, Unix ms  40 32  SHA-256 of bytes 0 to 40 and the JSON
//! 12  4  zero         72     zeros to 512
//! ```
//! Numbers are little-endian. These places keep their meaning in every later format.

use crate::model::time::Time;
use sha2::{Digest as _, Sha256};

/// Bytes before the JSON.
pub const HEADER: usize = 512;
/// The format that is written.
pub const VERSION: u32 = 1;

const MAGIC: [u8; 8] = *b"cutslot\n";
const HASHED: usize = 40;

/// What a slot holds.
pub enum Seen {
    /// Nothing was ever written to it.
    Blank,
    /// Something that was not written to its end.
    Torn,
    /// Whole, of a format that is newer than ours.
    Newer(u32),
    /// Whole.
    Whole(Whole),
}

/// A slot that is whole.
pub struct Whole {
    /// Grows with every write.
    pub seq: u64,
    /// When it was written, if that is a date.
    pub at: Option<Time>,
    /// Where the JSON ends; it begins at [`HEADER`].
    pub end: usize,
}

/// The bytes of a slot with this JSON.
pub fn write(seq: u64, at: Time, json: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER + json.len());
    bytes.extend(MAGIC);
    bytes.extend(VERSION.to_le_bytes());
    bytes.extend([0; 4]);
    bytes.extend(seq.to_le_bytes());
    bytes.extend(at.timestamp_millis().to_le_bytes());
    bytes.extend((json.len() as u64).to_le_bytes());
    let hash = Sha256::new().chain_update(&bytes).chain_update(json).finalize();
    bytes.extend(hash);
    bytes.resize(HEADER, 0);
    bytes.extend(json);
    bytes
}

/// What a slot's bytes are.
pub fn read(bytes: &[u8]) -> Seen {
    match bytes.get(..HEADER) {
        Some(header) if header.iter().any(|&b| b != 0) => read_header(bytes).unwrap_or(Seen::Torn),
        _ => Seen::Blank,
    }
}

fn read_header(bytes: &[u8]) -> Option<Seen> {
    let length = usize::try_from(u64::from_le_bytes(at(bytes, 32)?)).ok()?;
    let end = HEADER.checked_add(length)?;
    let json = bytes.get(HEADER..end)?;
    let hash = Sha256::new().chain_update(bytes.get(..HASHED)?).chain_update(json).finalize();
    if at::<8>(bytes, 0)? != MAGIC || bytes.get(HASHED..HASHED + 32)? != hash.as_slice() {
        return None;
    }
    let version = u32::from_le_bytes(at(bytes, 8)?);
    if version > VERSION {
        return Some(Seen::Newer(version));
    }
    let written = i64::from_le_bytes(at(bytes, 24)?);
    Some(Seen::Whole(Whole { seq: u64::from_le_bytes(at(bytes, 16)?), at: Time::from_timestamp_millis(written), end }))
}

fn at<const N: usize>(bytes: &[u8], offset: usize) -> Option<[u8; N]> {
    bytes.get(offset..offset + N)?.try_into().ok()
}
