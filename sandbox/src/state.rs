//! Everything that one stand-in knows, behind its locks.

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use crate::{
    clock::Clock,
    data::Store,
    dataverse::{Protection, Tokens},
    faults::Faults,
    guid::Guid,
    log::{Numbered, REQUESTS_KEPT, Request},
    random::mix,
    salesforce,
};

/// The state of one stand-in.
#[derive(Debug)]
pub(crate) struct State {
    /// Its clock.
    pub(crate) clock: Clock,
    /// Its ids.
    pub(crate) organisation: Organisation,
    /// The Salesforce organisation.
    pub(crate) salesforce: salesforce::Org,
    store: RwLock<Store>,
    tokens: Mutex<Tokens>,
    faults: Mutex<Faults>,
    requests: Mutex<Numbered<Request>>,
    protection: Mutex<Protection>,
    latency_ms: AtomicU64,
    gzip: AtomicBool,
    seed: u64,
    ids_given: AtomicU64,
}

/// Who the organisation and its caller are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Organisation {
    /// The organisation.
    pub(crate) organisation: Guid,
    /// The business unit of the caller.
    pub(crate) business_unit: Guid,
    /// The caller; owner of what it creates.
    pub(crate) user: Guid,
}

impl State {
    /// The state at the start.
    pub(crate) fn new(
        clock: Clock,
        (organisation, salesforce): (Organisation, salesforce::Org),
        store: Store,
        tokens: Tokens,
        seed: u64,
    ) -> Self {
        Self {
            clock,
            organisation,
            salesforce,
            store: RwLock::new(store),
            tokens: Mutex::new(tokens),
            faults: Mutex::new(Faults::default()),
            requests: Mutex::new(Numbered::new(REQUESTS_KEPT)),
            protection: Mutex::new(Protection::new()),
            latency_ms: AtomicU64::new(0),
            gzip: AtomicBool::new(true),
            seed,
            ids_given: AtomicU64::new(0),
        }
    }

    /// The records as they are visible now, to read.
    pub(crate) fn store(&self) -> RwLockReadGuard<'_, Store> {
        let now = self.clock.now();
        let store = self.store.read().unwrap_or_else(PoisonError::into_inner);
        if !store.is_unsettled(now) {
            return store;
        }
        drop(store);
        self.store_mut().settle(now);
        self.store.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The records as they are visible now, to write.
    pub(crate) fn store_mut(&self) -> RwLockWriteGuard<'_, Store> {
        let mut store = self.store.write().unwrap_or_else(PoisonError::into_inner);
        store.settle(self.clock.now());
        store
    }

    /// The tokens and who may have them.
    pub(crate) fn tokens(&self) -> MutexGuard<'_, Tokens> {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The faults asked for.
    pub(crate) fn faults(&self) -> MutexGuard<'_, Faults> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The log of requests.
    pub(crate) fn requests(&self) -> MutexGuard<'_, Numbered<Request>> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The limits of users.
    pub(crate) fn protection(&self) -> MutexGuard<'_, Protection> {
        self.protection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What every answer of either system takes at least, in real time.
    pub(crate) fn latency(&self) -> Duration {
        Duration::from_millis(self.latency_ms.load(Ordering::Relaxed))
    }

    /// Sets what every answer takes at least.
    pub(crate) fn set_latency(&self, milliseconds: u64) {
        self.latency_ms.store(milliseconds, Ordering::Relaxed);
    }

    /// Whether answers are compressed for clients that accept it.
    pub(crate) fn compresses(&self) -> bool {
        self.gzip.load(Ordering::Relaxed)
    }

    /// Sets whether answers are compressed.
    pub(crate) fn set_compression(&self, on: bool) {
        self.gzip.store(on, Ordering::Relaxed);
    }

    /// An id for a record that the client gave none. Its last group ascends, as the platform's sequential ids do.
    pub(crate) fn new_id(&self) -> Guid {
        let count = self.ids_given.fetch_add(1, Ordering::Relaxed);
        let high = u128::from(mix(self.seed, count)) << 64;
        let last_group = 1_u128 << 47 | u128::from(count) << 16 | u128::from(mix(self.seed, count ^ 1 << 40) & 0xffff);
        let bits = (high | last_group) & !(0xf << 76) & !(0x3 << 62);
        Guid::from_u128(bits | 0x4 << 76 | 0x2 << 62)
    }
}
