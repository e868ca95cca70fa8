//! How keys and values are written.

use engine::event::{EVENT_VERSION, Recorded};
use engine::outside::store::{
    EVENT_BYTES_MAX, OPTION_BYTES_MAX, OptionValue, RunEntry, RunId, StoreError, WorkflowRuns,
};
use engine::run::RunHead;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::disk::{damaged, failed};

/// The format of the store that this build writes. Format 1 had no run heads but the number of events, and no records of
/// workflows; a store of it is upgraded when it is opened.
pub(crate) const FORMAT: u64 = 2;
/// The oldest format that is upgraded.
pub(crate) const FORMAT_MIN: u64 = 1;

/// The longest name of an option that is kept, in bytes: a little more than may be set, for names that the engine derives.
pub(crate) const OPTION_NAME_BYTES_MAX: usize = 256;

pub(crate) const META: &[u8] = b"meta";
pub(crate) const HEADS: &[u8] = b"h/";
pub(crate) const OPTIONS: &[u8] = b"o/";
pub(crate) const OPEN: &[u8] = b"u/";
pub(crate) const WORKFLOWS: &[u8] = b"w/";

/// BLAKE3.
pub(crate) type Sum = [u8; 32];

/// What is true of the whole store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Meta {
    pub(crate) format: u64,
    /// The folder's id, made with it.
    #[serde(default)]
    pub(crate) folder: String,
    /// One more at each open: who finds another than its own must not write.
    pub(crate) epoch: u64,
    /// Commits so far; the witness must not know of more.
    pub(crate) commits: u64,
    pub(crate) runs: u64,
    pub(crate) options: u64,
    /// The checksums of all options, each XORed with the others, so that one that vanished is noticed.
    pub(crate) options_sum: Sum,
    /// How many runs are open: not over, or owing alerts.
    #[serde(default)]
    pub(crate) open: u64,
}

impl Meta {
    /// Of a folder that is made now.
    pub(crate) fn new(folder: String) -> Self {
        let options_sum = Sum::default();
        Self { format: FORMAT, folder, epoch: 0, commits: 0, runs: 0, options: 0, options_sum, open: 0 }
    }

    pub(crate) fn encode(&self) -> Result<Vec<u8>, StoreError> {
        seal(META, self)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, StoreError> {
        #[derive(Deserialize)]
        struct Format {
            format: u64,
        }
        const WHAT: &str = "the store's own record";
        // The format is looked at first: a newer one may have other fields.
        let Format { format } = unseal(META, bytes, WHAT)?;
        if !(FORMAT_MIN..=FORMAT).contains(&format) {
            return Err(StoreError::Format { what: "the store".to_owned(), found: format, known: FORMAT });
        }
        unseal(META, bytes, WHAT)
    }

    /// Adds an option's checksum, or takes it away.
    pub(crate) fn toggle_option(&mut self, sealed: &[u8]) {
        for (sum, byte) in self.options_sum.iter_mut().zip(sealed) {
            *sum ^= byte;
        }
    }
}

/// What is true of a whole run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Head {
    /// How many events it has.
    pub(crate) events: u64,
    /// Its place among all runs, from 0.
    pub(crate) began: u64,
    /// The chain after its last event.
    pub(crate) chain: Sum,
    /// The run in short.
    #[serde(default)]
    pub(crate) run: RunHead,
}

impl Head {
    pub(crate) fn new(run: &RunId, began: u64) -> Self {
        Self { events: 0, began, chain: chain_start(run), run: RunHead::default() }
    }

    pub(crate) fn is_open(&self) -> bool {
        !self.run.status().is_over() || self.run.owed > 0
    }

    pub(crate) fn entry(self, id: RunId) -> RunEntry {
        RunEntry { id, place: self.began, events: self.events, head: self.run }
    }

    pub(crate) fn encode(&self, run: &RunId) -> Result<Vec<u8>, StoreError> {
        seal(&head_key(run), self)
    }

    pub(crate) fn decode(run: &RunId, bytes: &[u8]) -> Result<Self, StoreError> {
        unseal(&head_key(run), bytes, &format!("the journal of run {run}"))
    }
}

pub(crate) fn head_key(run: &RunId) -> Vec<u8> {
    [HEADS, run.as_str().as_bytes()].concat()
}

/// The key under which the name of the run at this place among all is.
pub(crate) fn place_key(place: u64) -> Vec<u8> {
    [b"n/", &place.to_be_bytes()[..]].concat()
}

/// The key that is there while the run is open.
pub(crate) fn open_key(run: &RunId) -> Vec<u8> {
    [OPEN, run.as_str().as_bytes()].concat()
}

pub(crate) fn workflow_key(name: &str) -> Vec<u8> {
    [WORKFLOWS, name.as_bytes()].concat()
}

pub(crate) fn event_key(run: &RunId, number: u64) -> Vec<u8> {
    [b"e/", run.as_str().as_bytes(), b"/", &number.to_be_bytes()].concat()
}

pub(crate) fn option_key(name: &str) -> Vec<u8> {
    [OPTIONS, name.as_bytes()].concat()
}

/// The end of the keys that begin with `prefix`, which ends in a `/`.
pub(crate) fn after(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    if let Some(last) = end.last_mut() {
        *last += 1;
    }
    end
}

/// What stands before the first event: an event moved to another run is noticed.
pub(crate) fn chain_start(run: &RunId) -> Sum {
    *blake3::hash(run.as_str().as_bytes()).as_bytes()
}

/// The chain after one more event.
pub(crate) fn chain_next(before: &Sum, event: &[u8]) -> Sum {
    let mut hasher = blake3::Hasher::new();
    hasher.update(before).update(event);
    *hasher.finalize().as_bytes()
}

/// An event as it is stored, without its chain.
pub(crate) fn encode_event(run: &RunId, number: u64, event: &Recorded) -> Result<Vec<u8>, StoreError> {
    let what = || format!("event {number} of run {run}");
    if event.v != EVENT_VERSION {
        return Err(StoreError::Format { what: what(), found: event.v, known: EVENT_VERSION });
    }
    let json = to_json(event)?;
    if json.len() > EVENT_BYTES_MAX {
        return Err(StoreError::TooLarge { what: what(), bytes: json.len(), limit: EVENT_BYTES_MAX });
    }
    Ok(json)
}

/// An event whose chain was found right.
pub(crate) fn decode_event(run: &RunId, number: u64, json: &[u8]) -> Result<Recorded, StoreError> {
    #[derive(Deserialize)]
    struct Version {
        v: u64,
    }
    let what = || format!("event {number} of run {run}");
    let Version { v } = from_json(json, what)?;
    if v == 0 || v > EVENT_VERSION {
        return Err(StoreError::Format { what: what(), found: v, known: EVENT_VERSION });
    }
    from_json(json, what)
}

pub(crate) fn encode_option(name: &str, option: &OptionValue) -> Result<Vec<u8>, StoreError> {
    let within = |what: String, bytes: usize, limit: usize| match bytes > limit {
        true => Err(StoreError::TooLarge { what, bytes, limit }),
        false => Ok(()),
    };
    within("the name of an option".to_owned(), name.len(), OPTION_NAME_BYTES_MAX)?;
    within(format!("option {name}"), option.value.len(), OPTION_BYTES_MAX)?;
    let sealed = seal(&option_key(name), option)?;
    // Control characters grow sixfold in JSON.
    within(format!("option {name}"), sealed.len(), EVENT_BYTES_MAX)?;
    Ok(sealed)
}

pub(crate) fn decode_option(name: &str, sealed: &[u8]) -> Result<OptionValue, StoreError> {
    unseal(&option_key(name), sealed, &format!("option {name}"))
}

pub(crate) fn decode_workflow(name: &str, sealed: &[u8]) -> Result<WorkflowRuns, StoreError> {
    unseal(&workflow_key(name), sealed, &format!("the record of workflow {name}"))
}

/// A checksum over key and content, then the content.
pub(crate) fn seal(key: &[u8], content: &impl Serialize) -> Result<Vec<u8>, StoreError> {
    let json = to_json(content)?;
    let mut sealed = seal_sum(key, &json).to_vec();
    sealed.extend_from_slice(&json);
    Ok(sealed)
}

pub(crate) fn unseal<T: DeserializeOwned>(key: &[u8], sealed: &[u8], what: &str) -> Result<T, StoreError> {
    let Some((sum, json)) = sealed.split_first_chunk::<32>() else {
        return Err(damaged(what, format!("it has only {} bytes", sealed.len())));
    };
    if *sum != seal_sum(key, json) {
        return Err(damaged(what, "its checksum is wrong"));
    }
    from_json(json, || what.to_owned())
}

fn seal_sum(key: &[u8], json: &[u8]) -> Sum {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&(key.len() as u64).to_be_bytes()).update(key).update(json);
    *hasher.finalize().as_bytes()
}

fn to_json(value: &impl Serialize) -> Result<Vec<u8>, StoreError> {
    serde_json::to_vec(value).map_err(|e| failed("write JSON", e.to_string(), false))
}

fn from_json<T: DeserializeOwned>(json: &[u8], what: impl FnOnce() -> String) -> Result<T, StoreError> {
    serde_json::from_slice(json).map_err(|e| damaged(what(), format!("it cannot be understood: {e}")))
}
