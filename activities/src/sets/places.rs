//! What each record of a population is, by its place in the order of arrival: two bits a record.

use std::fs;
use std::ops::Range;
use std::path::Path;

use engine::failure::{Class, Failure};
use engine::private;

use super::{Firsts, key};

const BITS: u64 = u64::BITS as u64;

/// What a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mark {
    /// The first of its group.
    First,
    /// In no group.
    Alone,
    /// In a group that has a better one.
    Other,
}

/// What each record of a population is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Places {
    records: u64,
    first: Vec<u64>,
    alone: Vec<u64>,
}

impl Places {
    /// All are [`Mark::Other`].
    pub(crate) fn new(records: u64) -> Self {
        let words = vec![0; index(records.div_ceil(BITS))];
        Self { records, first: words.clone(), alone: words }
    }

    pub(crate) fn set(&mut self, place: u64, mark: Mark) {
        let words = match mark {
            Mark::First => &mut self.first,
            Mark::Alone => &mut self.alone,
            Mark::Other => return,
        };
        if let Some(word) = words.get_mut(index(place / BITS)) {
            *word |= 1 << (place % BITS);
        }
    }

    pub(crate) fn get(&self, place: u64) -> Mark {
        let is_set = |words: &[u64]| words.get(index(place / BITS)).is_some_and(|word| word >> (place % BITS) & 1 == 1);
        if is_set(&self.first) {
            Mark::First
        } else if is_set(&self.alone) {
            Mark::Alone
        } else {
            Mark::Other
        }
    }

    /// How many records in these places are firsts, and how many are alone.
    pub(crate) fn count(&self, places: Range<u64>) -> (u64, u64) {
        (count(&self.first, &places), count(&self.alone, &places))
    }
}

impl Firsts {
    /// Writes them to a file, durably, and returns its checksum.
    ///
    /// # Errors
    /// Where the disk does not take it.
    pub(crate) fn save(&self, path: &Path) -> Result<String, Failure> {
        let Places { records, first, alone } = &self.places;
        let mut words = vec![*records];
        words.extend(first.iter().chain(alone));
        for (key, place) in &self.repeated {
            words.extend(key::halves(*key));
            words.push(*place);
        }
        let bytes: Vec<u8> = words.into_iter().flat_map(u64::to_le_bytes).collect();
        private::replace(path, &bytes)
            .map_err(|error| Failure::io(format!("cannot write {}", path.display()), &error))?;
        Ok(blake3::hash(&bytes).to_hex().to_string())
    }

    /// Reads them from the file that has this checksum.
    ///
    /// # Errors
    /// Where the file is missing or is not the one that was written.
    pub(crate) fn load(path: &Path, checksum: &str) -> Result<Self, Failure> {
        let bytes = fs::read(path).map_err(|error| Failure::io(format!("cannot read {}", path.display()), &error))?;
        let sound = blake3::hash(&bytes).to_hex().as_str() == checksum;
        let words: Vec<u64> = bytes.as_chunks().0.iter().map(|word| u64::from_le_bytes(*word)).collect();
        sound.then(|| Self::of_words(&words)).flatten().ok_or_else(|| {
            let message = format!("{} is not the file that was written", path.display());
            Failure::new(Class::Storage, message).help("stop the run and start the workflow again")
        })
    }

    fn of_words(words: &[u64]) -> Option<Self> {
        let (records, words) = words.split_first()?;
        let length = index(records.div_ceil(BITS));
        let (first, words) = words.split_at_checked(length)?;
        let (alone, words) = words.split_at_checked(length)?;
        let places = Places { records: *records, first: first.to_vec(), alone: alone.to_vec() };
        let repeated = words.as_chunks().0.iter().map(|[high, low, place]| (key::whole(*high, *low), *place));
        Some(Self { places, repeated: repeated.collect() })
    }
}

fn count(words: &[u64], places: &Range<u64>) -> u64 {
    let mut count = 0;
    let mut place = places.start;
    while place < places.end {
        let next = ((place / BITS + 1) * BITS).min(places.end);
        let word = words.get(index(place / BITS)).copied().unwrap_or_default() >> (place % BITS);
        let width = next - place;
        let mask = if width == BITS { u64::MAX } else { (1 << width) - 1 };
        count += u64::from((word & mask).count_ones());
        place = next;
    }
    count
}

/// A population whose bits do not fit into the address space could not be read either.
fn index(words: u64) -> usize {
    usize::try_from(words).unwrap_or(usize::MAX)
}
