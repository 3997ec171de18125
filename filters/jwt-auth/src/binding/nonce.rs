//! Nonces that the filter gives to clients for their proofs (RFC 9449 sections 8 and 9), without remembering them.
//!
//! A nonce is a period of time and a mark of it by a secret: whoever shares the secret recognizes it.

use portcullis_core::{UnixTime, constant_time};
use portcullis_jose::base64url;

use super::secret::MarkingSecret;

/// What the mark is for.
const PURPOSE: &[u8] = b"dpop nonce";

/// Makes and recognizes nonces.
#[derive(Clone, Debug)]
pub struct Nonces {
    secret: MarkingSecret,
    /// Seconds; not 0.
    lifetime: u64,
}

impl Nonces {
    /// Nonces that are accepted for one to two `lifetime`s, in seconds.
    #[must_use]
    pub const fn new(secret: MarkingSecret, lifetime: u64) -> Self {
        Self { secret, lifetime }
    }

    /// The nonce of this period: 32 characters of base64url.
    #[must_use]
    pub fn current(&self, now: UnixTime) -> String {
        self.of_period(self.period(now))
    }

    /// Whether a nonce is of this period or the one before, or of the next, which another machine of the fleet with
    /// a faster clock may be in.
    #[must_use]
    pub fn is_current(&self, nonce: &str, now: UnixTime) -> bool {
        let period = self.period(now);
        let known = [period.saturating_sub(1), period, period.saturating_add(1)];
        // All three are compared, so that the time does not tell which one it was.
        known.into_iter().fold(false, |found, period| {
            found | constant_time::equal(self.of_period(period).as_bytes(), nonce.as_bytes())
        })
    }

    fn period(&self, now: UnixTime) -> u64 {
        now.as_secs().checked_div(self.lifetime).unwrap_or_default()
    }

    fn of_period(&self, period: u64) -> String {
        let period = period.to_be_bytes();
        let mark = self.secret.mark(&[PURPOSE, &period]);
        base64url::encode(&[&period[..], &mark].concat())
    }
}

#[cfg(test)]
mod tests {
    use portcullis_host::fake::FakeHost;

    use super::*;

    // covers: JWT-POP-10
    #[test]
    fn a_nonce_is_accepted_for_its_time() {
        let host = FakeHost::at(1);
        let nonces = Nonces::new(MarkingSecret::of_process(&host).unwrap(), 100);
        let nonce = nonces.current(UnixTime::from_secs(1_000));
        assert_eq!(nonce.len(), 32);
        for (name, now, expected) in [
            ("at once", 1_000, true),
            ("in its period", 1_099, true),
            ("in the next one", 1_199, true),
            ("behind that", 1_200, false),
            ("in a year", 31_000_000, false),
            ("for a slower clock", 900, true),
            ("for a clock that is far too slow", 899, false),
        ] {
            assert_eq!(nonces.is_current(&nonce, UnixTime::from_secs(now)), expected, "{name}");
        }
        let now = UnixTime::from_secs(1_000);
        let mut forged = nonce.clone();
        forged.replace_range(31.., if nonce.ends_with('A') { "B" } else { "A" });
        for (name, other) in [
            ("empty", ""),
            ("forged", &forged),
            ("longer", &format!("{nonce}A")),
            ("padded", &format!("{nonce}=")),
        ] {
            assert!(!nonces.is_current(other, now), "{name}");
        }
    }
}
