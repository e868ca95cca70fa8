//! DataFusion's session, with its limits.

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use datafusion::error::DataFusionError;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::{FairSpillPool, MemoryConsumer, MemoryPool, MemoryReservation};
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::prelude::{SessionConfig, SessionContext};
use engine::failure::Failure;
use engine::private;

/// Into how many parts a set is divided, which are worked on at once.
const PARTITIONS: usize = 2;
/// Rows of a batch.
const BATCH_ROWS: usize = 8192;
/// What sorting keeps back so that it can merge what it put on the disk, where there is as much.
const MERGE_BYTES_MAX: usize = 10 * 1024 * 1024;
/// The largest size of what is put on the disk, in bytes; the disk itself is the limit.
const SPILL_BYTES_MAX: u64 = u64::MAX >> 8;

/// A session that uses up to `memory` bytes and then the folder `spill`.
pub(super) fn session(memory: usize, spill: &Path) -> Result<SessionContext, DataFusionError> {
    private::make_folders(spill)?;
    let disk = DiskManagerBuilder::default()
        .with_mode(DiskManagerMode::Directories(vec![spill.to_owned()]))
        .with_max_temp_directory_size(SPILL_BYTES_MAX);
    let runtime =
        RuntimeEnvBuilder::new().with_memory_pool(pool(memory)).with_disk_manager_builder(disk).build_arc()?;
    let config = SessionConfig::new()
        .with_target_partitions(PARTITIONS)
        .with_batch_size(BATCH_ROWS)
        .with_sort_spill_reservation_bytes(MERGE_BYTES_MAX.min(memory / 8));
    Ok(SessionContext::new_with_config_rt(config, runtime))
}

/// Removes what was put on the disk.
pub(super) fn clear(spill: &Path) -> Result<(), Failure> {
    match fs::remove_dir_all(spill) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Failure::io(format!("cannot remove {}", spill.display()), &error))
        }
        _ => Ok(()),
    }
}

/// One pool for all that works at the same time, since the limit is that of the process.
fn pool(memory: usize) -> Arc<dyn MemoryPool> {
    static POOL: Mutex<Option<(usize, Weak<FairSpillPool>)>> = Mutex::new(None);
    let mut shared = POOL.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((bytes, pool)) = &*shared
        && *bytes == memory
        && let Some(pool) = pool.upgrade()
    {
        return pool;
    }
    let pool = Arc::new(FairSpillPool::new(memory));
    *shared = Some((memory, Arc::downgrade(&pool)));
    pool
}

/// Memory of the limit that is not DataFusion's; it is given back at the end.
pub(crate) struct Held {
    reservation: MemoryReservation,
}

/// What all of them have together.
static HELD: Mutex<usize> = Mutex::new(0);

impl Held {
    /// As much as there is of the half that DataFusion can do without.
    pub(crate) fn take(memory: usize) -> Option<Self> {
        let mut held = HELD.lock().unwrap_or_else(PoisonError::into_inner);
        let free = (memory / 2).checked_sub(*held).filter(|free| *free > 0)?;
        let reservation = MemoryConsumer::new("held").register(&pool(memory));
        reservation.try_grow(free).ok()?;
        *held += free;
        Some(Self { reservation })
    }

    pub(crate) fn bytes(&self) -> usize {
        self.reservation.size()
    }

    /// Gives back what is not needed.
    pub(crate) fn keep(&mut self, bytes: usize) {
        let needless = self.bytes().saturating_sub(bytes);
        self.reservation.shrink(needless);
        *HELD.lock().unwrap_or_else(PoisonError::into_inner) -= needless;
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.keep(0);
    }
}
