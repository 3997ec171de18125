//! A limit's levels in the data that all workers share, changed by compare-and-swap.
//!
//! A take is one read and one conditional write. Between the two another worker may have written: then the read is
//! repeated, [`TRIES`] times at most. Nothing is ever written unconditionally, so no take is lost.

use std::time::Duration;

use crate::lease::Lease;
use crate::meter::{Ending, Level, Meter, Taken};
use crate::set::{Set, WAYS};

/// How often a take is tried. In each of the tries another worker must have been faster for the next one to be
/// needed, so somebody always gets on; more tries would only let a hot key burn this worker's time.
pub const TRIES: usize = 8;

/// The proxy failed at something without which nothing can be counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unavailable;

/// A shared value with the version that a conditional write expects.
pub type Versioned<V> = (Vec<u8>, V);

/// What the buckets need from a proxy.
pub trait Store {
    /// Names a state of a value, for conditional writes.
    type Version: Copy;

    /// A shared value; none if there never was one.
    ///
    /// # Errors
    /// When the proxy can't say.
    fn read(&self, key: &str) -> Result<Option<Versioned<Self::Version>>, Unavailable>;

    /// Writes a shared value if it is still of this version (none: if there still is none); whether it was.
    ///
    /// # Errors
    /// When the proxy can't write.
    fn write(&self, key: &str, value: &[u8], expected: Option<Self::Version>) -> Result<bool, Unavailable>;

    /// The clock, in nanoseconds since the epoch.
    ///
    /// # Errors
    /// When there is none.
    fn now(&self) -> Result<u64, Unavailable>;

    /// Takes note that a shared value was not one of ours and is begun anew.
    fn on_damaged(&self, key: &str);
}

/// Where a limit's buckets are: a fixed number of shared values.
#[derive(Debug)]
pub struct Table {
    prefix: String,
    sets: u64,
}

impl Table {
    /// The buckets of the limit `id`, for `slots` keys at once: `slots / 8` shared values, made when first used.
    #[must_use]
    pub fn new(id: &str, slots: u32) -> Self {
        let sets = u64::from(slots).checked_div(WAYS as u64).unwrap_or(1).max(1);
        Self { prefix: format!("{PREFIX}{id}."), sets }
    }

    /// The bucket of the key with this hash.
    #[must_use]
    pub fn bucket(&self, hash: u64) -> Bucket {
        let set = hash.checked_rem(self.sets).unwrap_or(0);
        let mut key = String::with_capacity(self.prefix.len().saturating_add(16));
        key.push_str(&self.prefix);
        push_hex(&mut key, set);
        // 0 stands for a free entry. That two keys share a bucket costs them, not us.
        Bucket { key, tag: hash.max(1) }
    }
}

/// How all shared keys of this filter begin.
pub const PREFIX: &str = "portcullis.rl.";

/// Lower-case hexadecimal without leading zeros; `format!` would cost more than the rest of the look-up.
fn push_hex(text: &mut String, number: u64) {
    let digits = u64::BITS.saturating_sub(number.leading_zeros()).div_ceil(4).max(1);
    for place in (0..digits).rev() {
        let digit = number.checked_shr(place.saturating_mul(4)).unwrap_or(0) & 0xf;
        text.extend(u32::try_from(digit).ok().and_then(|digit| char::from_digit(digit, 16)));
    }
}

/// One key's bucket.
#[derive(Debug, PartialEq, Eq)]
pub struct Bucket {
    key: String,
    tag: u64,
}

/// A bucket as it was read, and what taking a token from it would give.
#[derive(Debug)]
pub struct Reading<V> {
    /// The set after the take.
    set: Set,
    version: Option<V>,
    taken: Result<Taken, Duration>,
    now: u64,
}

impl<V> Reading<V> {
    /// How long until there is a token, if there is none now.
    #[must_use]
    pub fn wait(&self) -> Option<Duration> {
        self.taken.err()
    }

    /// The clock when it was read, in nanoseconds since the epoch.
    #[must_use]
    pub const fn now(&self) -> u64 {
        self.now
    }
}

/// How a take ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Take {
    /// There was room at `now`.
    Taken {
        /// What was taken, to give it back.
        taken: Taken,
        /// The clock, in nanoseconds since the epoch.
        now: u64,
    },
    /// There is no room, for as long as this.
    Exceeded(Duration),
    /// Other workers were faster every time.
    Contended,
}

impl Bucket {
    /// Looks whether there is room for a request of this cost, and takes nothing.
    ///
    /// # Errors
    /// When the proxy fails.
    pub fn read<S: Store>(
        &self,
        store: &S,
        meter: &Meter,
        cost: u32,
    ) -> Result<Reading<S::Version>, Unavailable> {
        let (mut set, version) = self.load(store)?;
        // After the set: so no writer's clock is behind the set's, unless the host's clock stepped back.
        let now = store.now()?;
        let stepped_back = set.follow_clock(now);
        let taken = set.take(self.tag, meter, cost, now);
        if stepped_back && taken.is_err() {
            // A refusal writes nothing otherwise. If another worker is faster, it has seen the same clock.
            store.write(&self.key, set.as_bytes(), version)?;
        }
        Ok(Reading { set, version, taken, now })
    }

    /// Takes what [`Bucket::read`] saw, or what is there meanwhile.
    ///
    /// # Errors
    /// When the proxy fails; then nothing was taken.
    pub fn take<S: Store>(
        &self,
        store: &S,
        meter: &Meter,
        cost: u32,
        mut reading: Reading<S::Version>,
    ) -> Result<Take, Unavailable> {
        for _ in 0..TRIES {
            let taken = match reading.taken {
                Ok(taken) => taken,
                Err(wait) => return Ok(Take::Exceeded(wait)),
            };
            if store.write(&self.key, reading.set.as_bytes(), reading.version)? {
                return Ok(Take::Taken { taken, now: reading.now });
            }
            reading = self.read(store, meter, cost)?;
        }
        Ok(Take::Contended)
    }

    /// Gives back what was taken as well as it can be done without ever granting too much: see [`Meter::give_back`].
    pub fn give_back<S: Store>(&self, store: &S, meter: &Meter, taken: &Taken) {
        self.change(store, |set, now| set.give_back(self.tag, meter, taken, now));
    }

    /// Notes how a request ended. If the proxy fails, or others are faster in each try, a meter counts too much until the
    /// level is over, never too little for more than this one request.
    pub fn settle<S: Store>(&self, store: &S, meter: &Meter, ending: Ending) {
        self.change(store, |set, now| set.settle(self.tag, meter, ending, now));
    }

    /// Adds tokens that the rate-limit service has granted. If the proxy fails they are lost, and asked for again.
    pub fn grant<S: Store>(&self, store: &S, tokens: u32, span: Duration) {
        self.put(store, |level, now| Lease::granted(level, tokens, now, span));
    }

    /// Notes that the service grants nothing for so long.
    pub fn refuse<S: Store>(&self, store: &S, span: Duration) {
        self.put(store, |_, now| Lease::refused(now, span));
    }

    /// Notes that the service has no whole lease for so long.
    pub fn shrink<S: Store>(&self, store: &S, span: Duration) {
        self.put(store, |_, now| Lease::shrunk(now, span));
    }

    fn put<S: Store>(&self, store: &S, level: impl Fn(Level, u64) -> Level) {
        self.change(store, |set, now| {
            set.put(self.tag, now, |before| level(before, now));
            true
        });
    }

    /// The level as it was read, without a request.
    #[must_use]
    pub fn level<V>(&self, reading: &Reading<V>) -> Level {
        reading.set.level(self.tag).unwrap_or_default()
    }

    fn change<S: Store>(&self, store: &S, change: impl Fn(&mut Set, u64) -> bool) {
        for _ in 0..TRIES {
            let Ok((mut set, version)) = self.load(store) else {
                return;
            };
            let Ok(now) = store.now() else {
                return;
            };
            set.follow_clock(now);
            if !change(&mut set, now) || store.write(&self.key, set.as_bytes(), version) != Ok(false) {
                return;
            }
        }
    }

    fn load<S: Store>(&self, store: &S) -> Result<(Set, Option<S::Version>), Unavailable> {
        let (value, version) = match store.read(&self.key)? {
            Some((value, version)) => (value, Some(version)),
            None => (Vec::new(), None),
        };
        let set = Set::decode(value).unwrap_or_else(|| {
            if version.is_some() {
                store.on_damaged(&self.key);
            }
            Set::default()
        });
        Ok((set, version))
    }
}

#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "in tests an overflow is a failed test")]
#[cfg_attr(
    target_os = "wasi",
    expect(dead_code, reason = "workers are threads there, which WASI has none of")
)]
pub mod tests;
