//! What a limit counts, and by which rule: one [`Level`] for each key, and the ways to read it.

use std::time::Duration;

use crate::concurrency::Concurrency;
use crate::lease::Lease;
use crate::lockout::Lockout;
use crate::rate::Rate;

/// What is known of one key: an instant, and a number. What the number says is the meter's.
///
/// A level whose instant has passed says nothing any more: it may be forgotten without a trace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Level {
    /// Until when it counts, in nanoseconds since the epoch.
    pub until: u64,
    /// What is counted.
    pub detail: u64,
}

impl Level {
    /// A level that counts until then, without a number.
    #[must_use]
    pub const fn at(until: u64) -> Self {
        Self { until, detail: 0 }
    }

    /// The level, or the empty one if its time is over.
    #[must_use]
    pub fn as_of(self, now: u64) -> Self {
        if self.until > now { self } else { Self::default() }
    }

    /// The level, or the empty one if no level ends so late: it is what is left of a limit that had other parameters.
    #[must_use]
    pub fn up_to(self, horizon: u64) -> Self {
        if self.until > horizon { Self::default() } else { self }
    }

    /// A level that is as strict as both.
    #[must_use]
    pub fn joined(self, other: Self) -> Self {
        Self { until: self.until.max(other.until), detail: self.detail.max(other.detail) }
    }
}

/// How a request ended that a meter had let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It is over, and nothing follows from that.
    Over,
    /// What a [`Lockout`] counts: a failed attempt, with the hash of what it tried.
    Failed(u64),
    /// It succeeded: earlier failures are forgotten.
    Succeeded,
}

/// What a meter let through: what taking it back needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// The level before; none when the key had no entry.
    pub before: Option<Level>,
    /// The level after.
    pub after: Level,
}

/// The rule of a limit.
#[derive(Debug)]
pub enum Meter {
    /// Tokens that refill.
    Rate(Rate),
    /// Requests at one time.
    Concurrency(Concurrency),
    /// Failed attempts.
    Lockout(Lockout),
    /// Tokens that a service has granted.
    Lease(Lease),
}

impl Meter {
    /// The level after one more request of this cost at `now`, in nanoseconds since the epoch.
    ///
    /// # Errors
    /// How long until there is room. The level stays as it was.
    pub fn take(&self, level: Level, cost: u32, now: u64) -> Result<Level, Duration> {
        match self {
            Self::Rate(rate) => rate.take(level, cost, now),
            Self::Concurrency(concurrency) => concurrency.take(level, now),
            Self::Lockout(lockout) => lockout.take(level, now),
            Self::Lease(Lease) => Lease::take(level, cost, now),
        }
    }

    /// Where a key without an entry starts after `level` was pushed out by another key.
    #[must_use]
    pub fn floor(&self, level: Level, now: u64) -> Level {
        let level = level.as_of(now).up_to(self.horizon(now));
        match self {
            // Fractions of different rates can't be compared: a nanosecond emptier instead.
            Self::Rate(_) if level.detail > 0 => Level::at(level.until.saturating_add(1)),
            Self::Rate(_) | Self::Concurrency(_) => level,
            Self::Lockout(lockout) => lockout.floor(level),
            // Whoever lost its grant asks again.
            Self::Lease(Lease) => Level::default(),
        }
    }

    /// The latest end of a level that is written at `now`, in nanoseconds since the epoch.
    #[must_use]
    pub fn horizon(&self, now: u64) -> u64 {
        let span = match self {
            Self::Rate(rate) => rate.fill(),
            Self::Concurrency(concurrency) => concurrency.at_most(),
            Self::Lockout(lockout) => lockout.forget(),
            Self::Lease(Lease) => Lease::LONGEST,
        };
        // A nanosecond for what is rounded up.
        now.saturating_add(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)).saturating_add(1)
    }

    /// The level without what was taken, because the request did not go on; none to leave it as it is.
    #[must_use]
    pub fn give_back(&self, level: Level, taken: &Taken, now: u64) -> Option<Level> {
        match self {
            // After another request has taken from the bucket, adding a token could make it fuller than it would have
            // been (the refill in between may have been lost to a full bucket): then the token stays taken.
            Self::Rate(_) => (level == taken.after).then(|| taken.before.unwrap_or_default()),
            Self::Concurrency(_) | Self::Lockout(_) => self.settle(level, Ending::Over, now),
            Self::Lease(Lease) => Lease::give_back(level, taken),
        }
    }

    /// The level after a request that went on has ended; none to leave it as it is.
    #[must_use]
    pub fn settle(&self, level: Level, ending: Ending, now: u64) -> Option<Level> {
        match self {
            Self::Rate(_) | Self::Lease(_) => None,
            Self::Concurrency(_) => Concurrency::release(level),
            Self::Lockout(lockout) => lockout.settle(level, ending, now),
        }
    }

    /// Whether the end of a request matters to it.
    #[must_use]
    pub const fn settles(&self) -> bool {
        matches!(self, Self::Concurrency(_) | Self::Lockout(_))
    }
}
