//! Keeps a failure that every request meets from writing a line for every request.

use std::time::Duration;

use portcullis_core::UnixTime;

/// Lines that a worker may write at once: more than all warnings of a start together.
const BURST: u64 = 100;
/// Time after which it may write one more.
const PER_LINE: Duration = Duration::from_secs(1);

/// How many lines may still be written.
#[derive(Clone, Copy, Debug)]
pub struct LogLimit {
    left: u64,
    /// Until when `left` has been topped up.
    counted: UnixTime,
    /// Lines left out since the last one that was written.
    left_out: u64,
}

impl LogLimit {
    /// Nothing written yet.
    pub const fn new() -> Self {
        Self { left: BURST, counted: UnixTime::from_nanos(0), left_out: 0 }
    }

    /// Whether a line may be written at `now`: then how many were left out before it. Without a clock the first
    /// [`BURST`] lines are all there is.
    pub fn admit(&mut self, now: Option<UnixTime>) -> Option<u64> {
        if let Some(now) = now {
            let lines = now.since(self.counted).as_secs().checked_div(PER_LINE.as_secs()).unwrap_or(0);
            // A clock that stepped back must not stop the log until it is where it was.
            if lines > 0 || now < self.counted {
                self.left = self.left.saturating_add(lines).min(BURST);
                self.counted = now;
            }
        }
        match self.left.checked_sub(1) {
            Some(left) => {
                self.left = left;
                Some(std::mem::take(&mut self.left_out))
            }
            None => {
                self.left_out = self.left_out.saturating_add(1);
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Option<UnixTime> {
        Some(UnixTime::from_secs(seconds))
    }

    /// How many of `lines` are written.
    fn written(limit: &mut LogLimit, lines: u32, now: Option<UnixTime>) -> usize {
        (0..lines).filter(|_| limit.admit(now).is_some()).count()
    }

    // covers: HOST-CALL-09, HOST-CTX-10
    #[test]
    fn a_line_a_second_after_the_first_hundred_whatever_the_clock_does() {
        let mut limit = LogLimit::new();
        for (name, now, expected) in [
            ("at first", at(1_000), 100),
            ("in the same second", at(1_000), 0),
            ("a second later", at(1_001), 1),
            ("ten seconds later", at(1_011), 10),
            ("the clock steps back", at(500), 0),
            ("and goes on from there", at(501), 1),
            ("no clock", None, 0),
            ("a day later", at(90_000), 100),
            ("at the end of time", Some(UnixTime::from_nanos(u64::MAX)), 100),
            ("at its beginning", at(0), 0),
        ] {
            assert_eq!(written(&mut limit, 1_000, now), expected, "{name}");
        }
    }

    #[test]
    fn the_next_line_says_how_many_were_left_out() {
        let mut limit = LogLimit::new();
        assert_eq!(written(&mut limit, 150, at(10)), 100);
        assert_eq!(limit.admit(at(12)), Some(50));
        assert_eq!(limit.admit(at(12)), Some(0));
    }

    #[test]
    fn without_a_clock_there_is_an_end() {
        assert_eq!(written(&mut LogLimit::new(), 1_000, None), 100);
    }
}
