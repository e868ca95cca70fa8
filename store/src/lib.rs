//! Journals and options, durable in sled or redb, behind the engine's [`Store`](engine::outside::store::Store).
//!
//! [`OnDisk`] is the real one; [`Memory`] is for tests of other crates. Both share every rule: what an append must
//! find, how events are chained by checksum, and what is refused. A database underneath only gets, ranges and commits
//! (the trait `Disk`).
//!
//! [`SqliteDesk`] is the engine's [`Desk`](engine::outside::desk::Desk), a file of its own beside the folder;
//! [`SqliteMemory`] is the engine's [`Memory`](engine::outside::memory::Memory), another one.
//!
//! # What lies in the folder
//!
//! | Name | What |
//! | --- | --- |
//! | `lock` | locked by the process that has the store open |
//! | `witness` | epoch and number of the last commit, beside the database: a database that comes back older, as sled does after losing its tail, is refused |
//! | `reserve` | [`RESERVE_BYTES`] of nothing, given up when the disk is too full to open the database |
//! | `sled/` or `redb` | the database |
//!
//! # What lies in the database
//!
//! | Key | Value |
//! | --- | --- |
//! | `meta` | format, the folder's id, epoch (one more at each open), number of commits, of runs, of open runs, of options, and a sum of all options |
//! | `h/<run>` | number of events, checksum of the last, place of the run among all, and the run in short |
//! | `n/<place>` | the run at this place among all |
//! | `u/<run>` | a run that is open: not over, or owing alerts |
//! | `w/<workflow>` | the highest number of its runs, which of them hold the workflow, and which wait for it |
//! | `e/<run>/<number>` | checksum of the event and all before it, then the event as JSON |
//! | `o/<name>` | an option as JSON |
//!
//! Every value carries a BLAKE3 checksum over its key and content, and counts and sums say what must be there: a
//! value that is missing, changed, cut or swapped is `StoreError::Damaged`, never a smaller answer.

mod between_runs;
mod desk;
mod disk;
mod folder;
mod memory;
mod on_disk;
mod plan;
mod read;
mod record;
mod sqlite_file;
#[cfg(test)]
mod tests;
mod upgrade;

pub use between_runs::{MEMORY_FILE, SqliteMemory};
pub use desk::{REJECTS_FILE, SqliteDesk};
pub use disk::Kind;
pub use folder::RESERVE_BYTES;
pub use memory::Memory;
pub use on_disk::OnDisk;
