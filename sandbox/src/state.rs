//! Everything that one stand-in knows, behind its locks.

use std::sync::{
    Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
    atomic::{AtomicU64, Ordering},
};

use crate::{
    clock::Clock,
    data::Store,
    dataverse::Tokens,
    faults::Faults,
    guid::Guid,
    log::{Numbered, REQUESTS_KEPT, Request},
    random::mix,
};

/// The state of one stand-in.
#[derive(Debug)]
pub(crate) struct State {
    /// Its clock.
    pub(crate) clock: Clock,
    /// Its ids.
    pub(crate) organisation: Organisation,
    store: RwLock<Store>,
    tokens: Mutex<Tokens>,
    faults: Mutex<Faults>,
    requests: Mutex<Numbered<Request>>,
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
    pub(crate) fn new(clock: Clock, organisation: Organisation, store: Store, tokens: Tokens, seed: u64) -> Self {
        Self {
            clock,
            organisation,
            store: RwLock::new(store),
            tokens: Mutex::new(tokens),
            faults: Mutex::new(Faults::default()),
            requests: Mutex::new(Numbered::new(REQUESTS_KEPT)),
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

    /// An id for a record that the client gave none. Its last group ascends, as the platform's sequential ids do.
    pub(crate) fn new_id(&self) -> Guid {
        let count = self.ids_given.fetch_add(1, Ordering::Relaxed);
        let high = u128::from(mix(self.seed, count)) << 64;
        let last_group = 1_u128 << 47 | u128::from(count) << 16 | u128::from(mix(self.seed, count ^ 1 << 40) & 0xffff);
        let bits = (high | last_group) & !(0xf << 76) & !(0x3 << 62);
        Guid::from_u128(bits | 0x4 << 76 | 0x2 << 62)
    }
}
