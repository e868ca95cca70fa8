//! The frames of a ledger's file, and what a crash may leave of them.
//!
//! ```text
//!   file   magic 8 │ salt 8 │ frame │ frame │ …
//!   frame  salt 8 │ length 4 │ kind 1 │ synced 8 │ checksum 16 │ payload
//! ```
//!
//! `synced` is how much of the file was durable when the frame was written. The checksum covers the frame's own place,
//! so a frame is only ever one where it was written. Where a frame is not sound, and a later one that is says that this
//! place was durable, the file is damaged; else it is the rest of a write that a crash cut short, of which nobody was
//! told that it is durable, and nothing followed from it.

use std::io::{self, Read, Seek, SeekFrom};

use bytes::Bytes;

/// The first bytes of the file; the last of them is the version of the format.
const MAGIC: [u8; 8] = *b"CAMPEXP1";
/// Unlike in every file, so that no payload holds the beginning of a frame but by intent.
pub(super) type Salt = [u8; 8];
/// Where the first frame begins.
pub(super) const HEAD: u64 = 16;
/// The bytes of a frame before its payload.
const FRAME_HEAD: usize = 8 + 4 + 1 + 8 + 16;
/// How much is read at once when what follows a bad frame is looked at.
const SCAN_BYTES: usize = 1024 * 1024;

/// The head of a new file.
pub(super) fn head(salt: Salt) -> Vec<u8> {
    [MAGIC, salt].concat()
}

/// Adds a frame to what will be written at `at`.
pub(super) fn put(buffer: &mut Vec<u8>, salt: Salt, at: u64, synced: u64, kind: u8, payload: &[u8]) -> io::Result<()> {
    let length = u32::try_from(payload.len()).map_err(|_| io::Error::other("an entry has more than 4 GiB"))?;
    let at = at + buffer.len() as u64;
    let sum = checksum(salt, at, synced, kind, payload);
    buffer.extend_from_slice(&salt);
    buffer.extend_from_slice(&length.to_le_bytes());
    buffer.push(kind);
    buffer.extend_from_slice(&synced.to_le_bytes());
    buffer.extend_from_slice(&sum);
    buffer.extend_from_slice(payload);
    Ok(())
}

fn checksum(salt: Salt, at: u64, synced: u64, kind: u8, payload: &[u8]) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&salt).update(&at.to_le_bytes()).update(&synced.to_le_bytes()).update(&[kind]).update(payload);
    let mut sum = [0; 16];
    hasher.finalize_xof().fill(&mut sum);
    sum
}

/// A sound frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Frame {
    /// Where it begins.
    pub(super) at: u64,
    pub(super) kind: u8,
    synced: u64,
    pub(super) payload: Bytes,
}

impl Frame {
    /// Where the next one begins.
    pub(super) fn end(&self) -> u64 {
        self.at + (FRAME_HEAD + self.payload.len()) as u64
    }
}

/// What is wrong with a file.
#[derive(Debug)]
pub(super) enum Unsound {
    Io(io::Error),
    /// It was changed by somebody else, or the disk lost a part of it.
    Damaged {
        at: u64,
    },
    /// It is no file of ours.
    Foreign,
}

impl From<io::Error> for Unsound {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Reads the salt; `None` where a crash came before the head was complete.
pub(super) fn read_head(file: &mut (impl Read + Seek), length: u64) -> Result<Option<Salt>, Unsound> {
    if length < HEAD {
        return Ok(None);
    }
    file.seek(SeekFrom::Start(0))?;
    let mut head = [0; 16];
    file.read_exact(&mut head)?;
    let (magic, salt) = head.split_at(8);
    let same = magic.iter().zip(MAGIC).take_while(|(found, wanted)| *found == wanted).count();
    match magic.split_at(same) {
        (_, []) => Ok(salt.first_chunk().copied()),
        // A crash may have left the length of the file and not yet all of its content.
        (_, rest) if rest.iter().all(|byte| *byte == 0) => Ok(None),
        _ => Err(Unsound::Foreign),
    }
}

/// The frame at a place; `None` where there is no sound one.
pub(super) fn read(file: &mut (impl Read + Seek), salt: Salt, at: u64, length: u64) -> io::Result<Option<Frame>> {
    if at + FRAME_HEAD as u64 > length {
        return Ok(None);
    }
    file.seek(SeekFrom::Start(at))?;
    let mut head = [0; FRAME_HEAD];
    file.read_exact(&mut head)?;
    let Some((found, rest)) = head.split_first_chunk::<8>() else { return Ok(None) };
    let Some((size, rest)) = rest.split_first_chunk::<4>() else { return Ok(None) };
    let Some(([kind], rest)) = rest.split_first_chunk::<1>() else { return Ok(None) };
    let Some((synced, sum)) = rest.split_first_chunk::<8>() else { return Ok(None) };
    let (size, synced) = (u32::from_le_bytes(*size), u64::from_le_bytes(*synced));
    if *found != salt || at + FRAME_HEAD as u64 + u64::from(size) > length || synced > at {
        return Ok(None);
    }
    let mut payload = vec![0; size as usize];
    file.read_exact(&mut payload)?;
    let sound = checksum(salt, at, synced, *kind, &payload) == *sum;
    Ok(sound.then(|| Frame { at, kind: *kind, synced, payload: Bytes::from(payload) }))
}

/// Calls `each` for every frame from the first on, and tells where the next one is to be written.
pub(super) fn read_all<E: From<Unsound>>(
    file: &mut (impl Read + Seek),
    salt: Salt,
    length: u64,
    mut each: impl FnMut(Frame) -> Result<(), E>,
) -> Result<u64, E> {
    let mut at = HEAD;
    while let Some(frame) = read(file, salt, at, length).map_err(Unsound::from)? {
        at = frame.end();
        each(frame)?;
    }
    match follows(file, salt, at, length).map_err(Unsound::from)? {
        true => Err(Unsound::Damaged { at }.into()),
        false => Ok(at),
    }
}

/// Whether a sound frame behind `at` says that the file was durable beyond `at`.
fn follows(file: &mut (impl Read + Seek), salt: Salt, at: u64, length: u64) -> io::Result<bool> {
    let mut from = at + 1;
    while from < length {
        file.seek(SeekFrom::Start(from))?;
        let mut block = Vec::new();
        // Blocks overlap by what the beginning of a frame needs.
        file.by_ref().take((SCAN_BYTES + salt.len()) as u64).read_to_end(&mut block)?;
        for (place, _) in block.windows(salt.len()).enumerate().filter(|(_, bytes)| *bytes == salt) {
            if let Some(frame) = read(file, salt, from + place as u64, length)?
                && frame.synced > at
            {
                return Ok(true);
            }
        }
        from += SCAN_BYTES as u64;
    }
    Ok(false)
}
