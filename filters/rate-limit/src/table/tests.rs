//! Workers that interleave in every way a schedule says, on one shared store.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::{Condvar, Mutex};

use proptest::prelude::*;

use super::*;
use crate::rate::Rate;
#[cfg(not(target_os = "wasi"))]
use crate::{concurrency::Concurrency, lockout::Lockout};

const SECOND: u64 = 1_000_000_000;
const NOW: u64 = 1_800_000_000 * SECOND;

/// A rate for tests.
pub fn rate(requests: u32, per_secs: u64, burst: u32) -> Meter {
    let count = |n| NonZeroU32::new(n).unwrap();
    Meter::Rate(Rate::new(count(requests), Duration::from_secs(per_secs), count(burst)).unwrap())
}

/// Shared data as Envoy has it.
#[derive(Default)]
struct Shared {
    values: Values,
    now: u64,
}

impl Shared {
    fn read(&self, key: &str) -> Option<(Vec<u8>, u32)> {
        self.values.get(key).cloned()
    }

    fn write(&mut self, key: &str, value: &[u8], expected: Option<u32>) -> bool {
        let version = self.values.get(key).map(|(_, version)| *version);
        let fits = version == expected;
        if fits {
            self.values.insert(key.to_owned(), (value.to_vec(), version.unwrap_or(0) + 1));
        }
        fits
    }
}

/// Shared values with their versions.
pub type Values = BTreeMap<String, (Vec<u8>, u32)>;

/// A store for one worker, where another one may be faster or the proxy may fail.
#[derive(Default)]
pub struct FakeStore {
    shared: RefCell<Shared>,
    /// Writes that still succeed before some are lost.
    good_writes: Cell<u32>,
    /// Writes that then lose against another worker.
    lost_writes: Cell<u32>,
    /// What the faster worker has written, if not the same.
    meanwhile: RefCell<Option<Values>>,
    /// Fails from now on.
    pub fails: Cell<bool>,
    /// Damaged values seen.
    pub damaged: Cell<u32>,
}

impl FakeStore {
    /// With the clock at `nanos`.
    pub fn at(nanos: u64) -> Self {
        let store = Self::default();
        store.set_now(nanos);
        store
    }

    /// Sets the clock.
    pub fn set_now(&self, nanos: u64) {
        self.shared.borrow_mut().now = nanos;
    }

    /// Lets `good` writes succeed, then lets `lost` lose against another worker.
    pub fn lose_writes(&self, good: u32, lost: u32) {
        self.good_writes.set(good);
        self.lost_writes.set(lost);
    }

    /// Lets the next write lose against a worker that has made the values these.
    pub fn lose_write_to(&self, values: Values) {
        self.lose_writes(0, 1);
        self.meanwhile.replace(Some(values));
    }

    /// Puts all values back to what they were.
    pub fn restore(&self, values: Values) {
        self.shared.borrow_mut().values = values;
    }

    /// How many shared values there are.
    pub fn value_count(&self) -> usize {
        self.shared.borrow().values.len()
    }

    /// Overwrites all values.
    pub fn damage(&self, bytes: &[u8]) {
        for (value, _) in self.shared.borrow_mut().values.values_mut() {
            *value = bytes.to_vec();
        }
    }

    /// All values.
    pub fn values(&self) -> Values {
        self.shared.borrow().values.clone()
    }

    fn check(&self) -> Result<(), Unavailable> {
        if self.fails.get() { Err(Unavailable) } else { Ok(()) }
    }
}

impl Store for FakeStore {
    type Version = u32;

    fn read(&self, key: &str) -> Result<Option<(Vec<u8>, u32)>, Unavailable> {
        self.check()?;
        Ok(self.shared.borrow().read(key))
    }

    fn write(&self, key: &str, value: &[u8], expected: Option<u32>) -> Result<bool, Unavailable> {
        self.check()?;
        let counter = if self.good_writes.get() > 0 { &self.good_writes } else { &self.lost_writes };
        let loses = self.good_writes.get() == 0 && self.lost_writes.get() > 0;
        counter.set(counter.get().saturating_sub(1));
        if loses {
            if let Some(values) = self.meanwhile.take() {
                self.restore(values);
            }
            return Ok(false);
        }
        Ok(self.shared.borrow_mut().write(key, value, expected))
    }

    fn now(&self) -> Result<u64, Unavailable> {
        self.check()?;
        Ok(self.shared.borrow().now)
    }

    fn on_damaged(&self, _key: &str) {
        self.damaged.set(self.damaged.get() + 1);
    }
}

/// Whose turn it is; every store operation of a worker is one turn.
struct Turns {
    shared: Shared,
    waiting: Vec<bool>,
    running: Option<usize>,
    left: usize,
    schedule: Vec<(u8, u32)>,
    step: usize,
}

/// Lets threads go on one at a time, one store operation each, in the order of a schedule.
pub struct Scheduler {
    turns: Mutex<Turns>,
    changed: Condvar,
}

impl Scheduler {
    fn new(workers: usize, schedule: Vec<(u8, u32)>) -> Self {
        let shared = Shared { now: NOW, ..Shared::default() };
        let turns =
            Turns { shared, waiting: vec![false; workers], running: None, left: workers, schedule, step: 0 };
        Self { turns: Mutex::new(turns), changed: Condvar::new() }
    }

    /// Waits for a turn of `worker`, then works on the shared data.
    fn turn<T>(&self, worker: usize, work: impl FnOnce(&mut Shared) -> T) -> T {
        let mut turns = self.turns.lock().unwrap();
        turns.waiting[worker] = true;
        if turns.running == Some(worker) {
            turns.running = None;
        }
        Self::choose(&mut turns);
        self.changed.notify_all();
        while turns.running != Some(worker) {
            turns = self.changed.wait(turns).unwrap();
        }
        turns.waiting[worker] = false;
        work(&mut turns.shared)
    }

    /// A worker has nothing more to do.
    fn done(&self, worker: usize) {
        let mut turns = self.turns.lock().unwrap();
        turns.left -= 1;
        if turns.running == Some(worker) {
            turns.running = None;
        }
        Self::choose(&mut turns);
        self.changed.notify_all();
    }

    /// Once every worker that is left waits, the schedule says who is next and how the clock moves.
    fn choose(turns: &mut Turns) {
        let ready: Vec<usize> = (0..turns.waiting.len()).filter(|worker| turns.waiting[*worker]).collect();
        if turns.running.is_some() || ready.len() < turns.left || ready.is_empty() {
            return;
        }
        let (pick, gap) = turns.schedule[turns.step % turns.schedule.len()];
        turns.step += 1;
        turns.shared.now += u64::from(gap);
        turns.running = Some(ready[usize::from(pick) % ready.len()]);
    }
}

/// One worker's view.
struct WorkerStore<'a> {
    scheduler: &'a Scheduler,
    worker: usize,
}

impl Store for WorkerStore<'_> {
    type Version = u32;

    fn read(&self, key: &str) -> Result<Option<(Vec<u8>, u32)>, Unavailable> {
        Ok(self.scheduler.turn(self.worker, |shared| shared.read(key)))
    }

    fn write(&self, key: &str, value: &[u8], expected: Option<u32>) -> Result<bool, Unavailable> {
        Ok(self.scheduler.turn(self.worker, |shared| shared.write(key, value, expected)))
    }

    fn now(&self) -> Result<u64, Unavailable> {
        Ok(self.scheduler.turn(self.worker, |shared| shared.now))
    }

    fn on_damaged(&self, key: &str) {
        panic!("{key} is damaged");
    }
}

/// What became of one take.
struct Event {
    worker: usize,
    key: u64,
    take: Take,
}

/// Each worker takes from the buckets of its list of keys, giving back where it says so; all takes that count.
fn run(
    rate: &Meter,
    slots: u32,
    work: &[Vec<(u64, bool)>],
    schedule: Vec<(u8, u32)>,
) -> (Vec<Event>, Shared) {
    let scheduler = Scheduler::new(work.len(), schedule);
    let table = Table::new("test", slots);
    let events = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for (worker, keys) in work.iter().enumerate() {
            let (scheduler, table, events) = (&scheduler, &table, &events);
            scope.spawn(move || {
                let store = WorkerStore { scheduler, worker };
                for (key, undo) in keys {
                    let bucket = table.bucket(*key);
                    let reading = bucket.read(&store, rate, 1).unwrap();
                    let take = bucket.take(&store, rate, 1, reading).unwrap();
                    match take {
                        Take::Taken { taken, .. } if *undo => bucket.give_back(&store, rate, &taken),
                        _ => events.lock().unwrap().push(Event { worker, key: *key, take }),
                    }
                }
                scheduler.done(worker);
            });
        }
    });
    (events.into_inner().unwrap(), scheduler.turns.into_inner().unwrap().shared)
}

/// The clock of each take from the bucket of `key`, in order.
fn takes(events: &[Event], key: u64) -> Vec<u64> {
    let mut times: Vec<u64> = events
        .iter()
        .filter(|event| event.key == key)
        .filter_map(|event| match event.take {
            Take::Taken { now, .. } => Some(now),
            Take::Exceeded(_) | Take::Contended => None,
        })
        .collect();
    times.sort_unstable();
    times
}

fn contended(events: &[Event]) -> usize {
    events.iter().filter(|event| event.take == Take::Contended).count()
}

fn schedule(max_gap: u32) -> impl Strategy<Value = Vec<(u8, u32)>> {
    prop::collection::vec((any::<u8>(), 0..=max_gap), 1..200)
}

fn work(keys: u64, undo: bool) -> impl Strategy<Value = Vec<Vec<(u64, bool)>>> {
    let step = (1..=keys, if undo { any::<bool>().boxed() } else { Just(false).boxed() });
    prop::collection::vec(prop::collection::vec(step, 1..12), 1..5)
}

// Workers are threads, which WASI has none of.
#[cfg(not(target_os = "wasi"))]
proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]

    // covers: ENV-RL-01, ENV-RL-02, HOST-SHR-02
    /// While the clock stands still a bucket gives exactly its burst, whatever the workers' interleaving: no take is
    /// lost, none is given twice, the first creation included.
    #[test]
    fn workers_take_exactly_the_burst(schedule in schedule(0), work in work(1, false), burst in 1_u32..12) {
        let attempts: usize = work.iter().map(Vec::len).sum();
        let (events, _) = run(&rate(1, 60, burst), 8, &work, schedule);
        let taken = takes(&events, 1).len();
        prop_assert_eq!(taken, attempts.saturating_sub(contended(&events)).min(burst as usize));
    }

    // covers: ENV-RL-01
    /// In any window of any key: at most the burst and what the rate adds, with the clock running between and within
    /// the takes, with takes given back, and with more keys than the one set has entries.
    #[test]
    fn no_interleaving_gives_more_than_the_bound(
        schedule in schedule(40_000_000), work in work(12, true), burst in 1_u32..4,
    ) {
        let rate = rate(4, 1, burst);
        let (events, _) = run(&rate, 8, &work, schedule);
        for key in 1..=12 {
            let times = takes(&events, key);
            for (first, start) in times.iter().enumerate() {
                for (last, end) in times.iter().enumerate().skip(first) {
                    let refill = u128::from(end - start) * 4 / u128::from(SECOND);
                    prop_assert!((last - first + 1) as u128 <= u128::from(burst) + refill);
                }
            }
        }
    }

    /// Takes that are all given back leave full buckets behind, unless another worker's take came between.
    #[test]
    fn what_one_worker_gives_back_is_there_again(keys in prop::collection::vec(1_u64..9, 1..30)) {
        let work = [keys.iter().map(|key| (*key, true)).collect::<Vec<_>>()];
        let rate = rate(1, 60, 1);
        let (events, shared) = run(&rate, 8, &work, vec![(0, 0)]);
        prop_assert!(events.is_empty());
        let set = Set::decode(shared.values.values().next().unwrap().0.clone()).unwrap();
        for key in 1..9 {
            prop_assert!(set.clone().take(key, &rate, 1, NOW).is_ok());
        }
    }
}

/// Each worker takes, and settles later in its own work; how many were under way or had failed at each moment.
#[cfg(not(target_os = "wasi"))]
fn run_and_settle(meter: &Meter, endings: &[Vec<Ending>], schedule: Vec<(u8, u32)>) -> (usize, usize) {
    let scheduler = Scheduler::new(endings.len(), schedule);
    let table = Table::new("test", 8);
    // (under way, the most that ever were, failed)
    let counts = Mutex::new((0_usize, 0_usize, 0_usize));
    std::thread::scope(|scope| {
        for (worker, endings) in endings.iter().enumerate() {
            let (scheduler, table, counts) = (&scheduler, &table, &counts);
            scope.spawn(move || {
                let store = WorkerStore { scheduler, worker };
                let bucket = table.bucket(1);
                for ending in endings {
                    let reading = bucket.read(&store, meter, 1).unwrap();
                    if !matches!(bucket.take(&store, meter, 1, reading).unwrap(), Take::Taken { .. }) {
                        continue;
                    }
                    {
                        let mut counts = counts.lock().unwrap();
                        counts.0 += 1;
                        counts.1 = counts.1.max(counts.0);
                        counts.2 += usize::from(matches!(ending, Ending::Failed(_)));
                    }
                    // Counted as over before the table knows: never more than the table says.
                    counts.lock().unwrap().0 -= 1;
                    bucket.settle(&store, meter, *ending);
                }
                scheduler.done(worker);
            });
        }
    });
    let (_, most, failed) = counts.into_inner().unwrap();
    (most, failed)
}

#[cfg(not(target_os = "wasi"))]
proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    /// However workers interleave, no more requests are under way than may be.
    #[test]
    fn workers_never_have_more_under_way_than_the_limit(
        schedule in schedule(0), requests in prop::collection::vec(1_usize..12, 1..5), limit in 1_u32..4,
    ) {
        let meter = Meter::Concurrency(Concurrency::new(NonZeroU32::new(limit).unwrap(), Duration::from_secs(60)));
        let endings: Vec<_> = requests.into_iter().map(|count| vec![Ending::Over; count]).collect();
        let (most, _) = run_and_settle(&meter, &endings, schedule);
        prop_assert!(most <= limit as usize);
    }

    /// However workers interleave, no more attempts fail than are allowed while the clock stands still.
    #[test]
    fn workers_never_let_more_attempts_fail_than_are_allowed(
        schedule in schedule(0), attempts in prop::collection::vec(1_usize..12, 1..5), allowed in 1_u32..6,
    ) {
        let secs = Duration::from_secs;
        let allowed_count = NonZeroU32::new(allowed).unwrap();
        let meter = Meter::Lockout(Lockout::new(allowed_count, secs(60), secs(600), secs(3600), false));
        let endings: Vec<_> = attempts.into_iter().map(|count| vec![Ending::Failed(1); count]).collect();
        let (_, failed) = run_and_settle(&meter, &endings, schedule);
        prop_assert!(failed <= allowed as usize);
    }
}

fn take(store: &FakeStore, table: &Table, key: u64, rate: &Meter) -> Take {
    let bucket = table.bucket(key);
    let reading = bucket.read(store, rate, 1).unwrap();
    bucket.take(store, rate, 1, reading).unwrap()
}

// covers: HOST-SHR-03
#[cfg(not(target_os = "wasi"))]
#[test]
fn sixteen_workers_on_one_key_all_get_on() {
    const TAKES: usize = 50;
    let work = vec![vec![(1, false); TAKES]; 16];
    let mut random = crate::hash::KeyHash::fixed();
    let schedule = std::iter::repeat_with(|| {
        random.number(1);
        (random.clone().finish().to_le_bytes()[0], 0)
    });
    let (events, _) = run(&rate(1_000, 1, 1_000_000), 8, &work, schedule.take(10_000).collect());
    // Every operation of every worker is on this one value, and still most takes succeed, everywhere.
    assert_eq!(takes(&events, 1).len() + contended(&events), 16 * TAKES);
    for worker in 0..16 {
        let mine = events.iter().filter(|event| event.worker == worker);
        let taken = mine.filter(|event| event.take != Take::Contended).count();
        assert!(taken > TAKES / 4, "worker {worker}: {taken} of {TAKES}");
    }
}

// covers: HOST-SHR-03
#[test]
fn a_take_is_tried_eight_times() {
    let (table, rate) = (Table::new("a", 8), rate(1, 1, 1));
    for (lost, expected) in [(0, true), (7, true), (8, false), (100, false)] {
        let store = FakeStore::at(NOW);
        store.lose_writes(0, lost);
        let take = take(&store, &table, 1, &rate);
        assert_eq!(matches!(take, Take::Taken { .. }), expected, "{lost} lost writes");
        assert!(expected || take == Take::Contended);
        assert_eq!(store.lost_writes.get(), lost.saturating_sub(8));
    }
}

// covers: HOST-SHR-01, ENV-RL-03
#[test]
fn a_hundred_thousand_keys_make_no_more_values_than_there_are_sets() {
    let (store, table, rate) = (FakeStore::at(NOW), Table::new("a", 512), rate(1, 60, 2));
    let mut taken = 0;
    for client in 0..100_000_u64 {
        let mut hash = crate::hash::KeyHash::fixed();
        hash.number(client);
        taken += usize::from(matches!(take(&store, &table, hash.finish(), &rate), Take::Taken { .. }));
    }
    assert_eq!(store.value_count(), 512 / WAYS);
    assert!(store.values().values().all(|(value, _)| value.len() == crate::set::LEN));
    assert_eq!(taken, 2 * 512, "the table as a whole gives one burst for each slot");
}

// covers: HOST-SHR-04
#[test]
fn a_damaged_value_is_begun_anew() {
    let (table, rate) = (Table::new("a", 8), rate(1, 60, 1));
    for garbage in [&b""[..], b"garbage", &[0xff; crate::set::LEN]] {
        let store = FakeStore::at(NOW);
        assert!(matches!(take(&store, &table, 1, &rate), Take::Taken { .. }));
        store.damage(garbage);
        assert!(matches!(take(&store, &table, 1, &rate), Take::Taken { .. }));
        assert!(matches!(take(&store, &table, 1, &rate), Take::Exceeded(_)));
        assert_eq!(store.damaged.get(), 1);
    }
}

// covers: ENV-RL-06
#[test]
fn after_a_step_back_of_the_clock_refused_clients_recover_in_time() {
    let (store, table, rate) = (FakeStore::at(NOW), Table::new("a", 8), rate(1, 60, 1));
    assert!(matches!(take(&store, &table, 1, &rate), Take::Taken { .. }));
    let earlier = NOW - 3_600 * SECOND;
    for (after, expected) in [(0, false), (30, false), (59, false), (60, true)] {
        store.set_now(earlier + after * SECOND);
        assert_eq!(matches!(take(&store, &table, 1, &rate), Take::Taken { .. }), expected, "after {after} s");
    }
}

#[test]
fn refusals_write_nothing() {
    let (store, table, rate) = (FakeStore::at(NOW), Table::new("a", 8), rate(1, 60, 1));
    take(&store, &table, 1, &rate);
    let before = store.values();
    assert!(matches!(take(&store, &table, 1, &rate), Take::Exceeded(_)));
    assert_eq!(store.values(), before);
}

#[test]
fn keys_are_short_and_hexadecimal() {
    for (number, expected) in [(0, "0"), (9, "9"), (16, "10"), (0xabc, "abc"), (u64::MAX, "ffffffffffffffff")]
    {
        let mut text = String::new();
        push_hex(&mut text, number);
        assert_eq!(text, expected);
    }
    assert_eq!(Table::new("login", 16_384).bucket(2_049).key, "portcullis.rl.login.1");
}
