//! How many requests of an account are under way: as many as still make it faster, and no more than the system allows.
//!
//! The number grows from [`FIRST`], doubling, for as long as it pays: after each round the rate of answers (lanes by mean
//! time of an answer) is compared with the rate before the last growth. Where more lanes only made every answer slower the
//! system is queueing, and the growth is taken back; after some rounds one more lane is tried again. This is the gradient
//! of the rate and not a bound on the time of one answer, since a batch of a thousand records takes long with any number
//! of lanes. A complaint of too many at once halves the lanes, once for all requests that were under way together, as TCP
//! does once a round trip; a hint of the system is a ceiling.
//!
//! The lanes are one queue for all runs of an account, first come, first served: each of them waits a round at most.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};

/// Lanes at the beginning, and the fewest to which slow answers lead.
const FIRST: u32 = 8;
/// The part of a growth in lanes that the rate must grow by for it to pay.
const GAIN_MIN: f64 = 0.25;
/// The fewest answers of a round; then one of each lane.
const ROUND_MIN: u32 = 8;
/// Rounds after a growth that did not pay, or after a complaint, until the next lane is tried.
const HOLD_ROUNDS: u32 = 12;

/// The lanes of one account.
#[derive(Debug)]
pub(super) struct Lanes {
    semaphore: Semaphore,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    control: Control,
    /// Lanes that close when the request in them ends.
    closing: u32,
}

/// A lane in use.
#[derive(Debug)]
pub(super) struct Lane<'a> {
    lanes: &'a Lanes,
    permit: Option<SemaphorePermit<'a>>,
    /// Complaints that had been heeded when it was entered.
    heeded: u64,
}

impl Lanes {
    pub(super) fn new(max: u32) -> Self {
        let control = Control::new(max);
        let semaphore = Semaphore::new(control.open as usize);
        Self { semaphore, state: Mutex::new(State { control, closing: 0 }) }
    }

    /// Waits for a lane. The semaphore is never closed.
    pub(super) async fn enter(&self) -> Lane<'_> {
        let permit = self.semaphore.acquire().await.ok();
        let heeded = self.state.lock().unwrap_or_else(PoisonError::into_inner).control.heeded;
        Lane { permit, lanes: self, heeded }
    }

    /// A good answer came after so long.
    pub(super) fn answered(&self, after: Duration) {
        let is_full = self.semaphore.available_permits() == 0;
        self.change(|control| control.answered(after, is_full));
    }

    /// The system says how many at once it thinks best.
    pub(super) fn hinted(&self, lanes: u32) {
        self.change(|control| control.hinted(lanes));
    }

    /// Lanes that are open now.
    pub(super) fn open(&self) -> u32 {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).control.open
    }

    /// Opens or closes as many lanes as the control says after this.
    fn change(&self, step: impl FnOnce(&mut Control)) -> u32 {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let before = state.control.open;
        step(&mut state.control);
        let after = state.control.open;
        if after > before {
            let kept = state.closing.min(after - before);
            state.closing -= kept;
            self.semaphore.add_permits((after - before - kept) as usize);
        } else {
            let surplus = before - after;
            let idle = self.semaphore.forget_permits(surplus as usize);
            state.closing += surplus - u32::try_from(idle).unwrap_or(surplus);
        }
        after
    }
}

impl Lane<'_> {
    /// The system complains, in answer to the request in this lane, of too many at the same time.
    pub(super) fn complained(&self) {
        let open = self.lanes.change(|control| control.complained(self.heeded));
        tracing::warn!(requests_at_once = open, "the system asks for fewer requests at once");
    }
}

impl Drop for Lane<'_> {
    fn drop(&mut self) {
        let mut state = self.lanes.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.closing > 0
            && let Some(permit) = self.permit.take()
        {
            state.closing -= 1;
            permit.forget();
        }
    }
}

/// The decision, without clock or lock.
#[derive(Debug)]
struct Control {
    open: u32,
    max: u32,
    /// What the system itself thinks best.
    hint: u32,
    /// Of this round: answers that came while all lanes were in use, and their time.
    answers: u32,
    time: Duration,
    /// Lanes and rate before the last growth.
    before: Option<(u32, f64)>,
    /// Whether a growth has not paid yet, or been complained of.
    doubles: bool,
    hold: u32,
    /// Complaints that halved the lanes.
    heeded: u64,
}

impl Control {
    fn new(max: u32) -> Self {
        let max = max.max(1);
        Self {
            open: FIRST.min(max),
            max,
            hint: u32::MAX,
            answers: 0,
            time: Duration::ZERO,
            before: None,
            doubles: true,
            hold: 0,
            heeded: 0,
        }
    }

    fn ceiling(&self) -> u32 {
        self.max.min(self.hint).max(1)
    }

    fn set(&mut self, open: u32) {
        self.open = open.clamp(1, self.ceiling());
        (self.answers, self.time) = (0, Duration::ZERO);
    }

    /// Of a request that entered when so many complaints had been heeded: an earlier one has said the same.
    fn complained(&mut self, heeded: u64) {
        if heeded < self.heeded {
            return;
        }
        self.heeded += 1;
        self.doubles = false;
        self.before = None;
        self.hold = HOLD_ROUNDS;
        self.set(self.open / 2);
    }

    fn hinted(&mut self, lanes: u32) {
        self.hint = lanes.max(1);
        if self.open > self.ceiling() {
            self.before = None;
            self.set(self.ceiling());
        }
    }

    fn answered(&mut self, after: Duration, is_full: bool) {
        // With lanes to spare more of them change nothing, and tell nothing.
        if !is_full {
            return;
        }
        self.answers += 1;
        self.time += after;
        if self.answers < self.open.max(ROUND_MIN) {
            return;
        }
        let mean = (self.time.as_secs_f64() / f64::from(self.answers)).max(1e-6);
        let rate = f64::from(self.open) / mean;
        (self.answers, self.time) = (0, Duration::ZERO);
        if self.hold > 0 {
            self.hold -= 1;
            return;
        }
        match self.before.take() {
            Some((fewer, slower)) if fewer < self.open => {
                let growth = f64::from(self.open) / f64::from(fewer) - 1.0;
                if rate / slower - 1.0 < GAIN_MIN * growth {
                    self.doubles = false;
                    self.hold = HOLD_ROUNDS;
                    return self.set(fewer);
                }
                self.grow(rate);
            }
            _ => self.grow(rate),
        }
    }

    fn grow(&mut self, rate: f64) {
        if self.open >= self.ceiling() {
            return;
        }
        self.before = Some((self.open, rate));
        let more = if self.doubles { self.open } else { 1 };
        self.set(self.open + more);
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// A system that answers so many requests at once in 50 ms, and queues what is more; how many lanes are open after so
    /// many answers.
    fn after(control: &mut Control, capacity: u32, answers: u32) -> u32 {
        for _ in 0..answers {
            let queue = f64::from(control.open.max(capacity)) / f64::from(capacity);
            control.answered(Duration::from_millis(50).mul_f64(queue), true);
        }
        control.open
    }

    #[test]
    fn lanes_grow_as_long_as_they_make_it_faster() {
        for (max, capacity, least, most) in
            [(8, 64, 8, 8), (52, 64, 52, 52), (52, 16, 16, 18), (52, 5, 8, 9), (1, 64, 1, 1)]
        {
            let mut control = Control::new(max);
            let open = after(&mut control, capacity, 2_000);
            assert!((least..=most).contains(&open), "{capacity} at once of {max} lanes: {open}");
        }
        // Three rounds lead from the first lanes to as many as Dataverse allows.
        assert_eq!(after(&mut Control::new(52), 64, 8 + 16 + 32), 52);
    }

    #[test]
    fn at_no_latency_slow_answers_close_no_lane_below_the_first() {
        let mut control = Control::new(52);
        for _ in 0..1_000 {
            control.answered(Duration::from_micros(u64::from(control.open) * 100), true);
            assert!(control.open >= FIRST);
        }
    }

    #[test]
    fn a_complaint_halves_the_lanes_a_hint_is_a_ceiling_and_good_answers_open_them_again() {
        let mut control = Control::new(8);
        after(&mut control, 64, 100);
        for expected in [4, 2, 1, 1] {
            control.complained(control.heeded);
            assert_eq!(control.open, expected);
        }
        assert!(after(&mut control, 64, 8 * (HOLD_ROUNDS + 1)) == 2);
        assert_eq!(after(&mut control, 64, 2_000), 8);
        control.hinted(3);
        assert_eq!((control.open, after(&mut control, 64, 1_000)), (3, 3));
    }

    #[tokio::test]
    async fn a_run_with_one_request_at_a_time_waits_a_round_at_most_behind_one_that_fills_all_lanes() {
        let (lanes, others) = (Lanes::new(4), Cell::new(0));
        let fill = async |_| {
            while others.get() < 1_000 {
                let lane = lanes.enter().await;
                others.set(others.get() + 1);
                tokio::task::yield_now().await;
                drop(lane);
            }
        };
        let one_by_one = async {
            for _ in 0..20 {
                let before = others.get();
                let lane = lanes.enter().await;
                assert!(others.get() - before <= 4, "{} went first", others.get() - before);
                tokio::task::yield_now().await;
                drop(lane);
            }
            assert!(others.get() < 1_000, "the other run was to have work for as long");
        };
        tokio::join!(futures::future::join_all((0..4).map(fill)), one_by_one);
    }

    #[tokio::test]
    async fn requests_that_were_under_way_together_halve_the_lanes_once() {
        let lanes = Lanes::new(8);
        let burst = futures::future::join_all((0..8).map(|_| lanes.enter())).await;
        burst.iter().for_each(Lane::complained);
        assert_eq!(lanes.open(), 4);
        drop(burst);
        lanes.enter().await.complained();
        assert_eq!(lanes.open(), 2);
    }

    #[tokio::test]
    async fn lanes_in_use_close_as_they_end() {
        let lanes = Lanes::new(4);
        let mut used = Vec::new();
        for _ in 0..4 {
            used.push(lanes.enter().await);
        }
        used[0].complained();
        used.truncate(2);
        assert_eq!((lanes.open(), lanes.semaphore.available_permits()), (2, 0));
        used.clear();
        assert_eq!(lanes.semaphore.available_permits(), 2);
    }
}
