//! Which proofs were used, in data that all workers share (RFC 9449 section 11.1).
//!
//! A proof has a place in one of a fixed number of sets of [`WAYS`], chosen by a mark of its key and `jti` that clients
//! can't predict. It stays there at least until it can't be accepted any more; only then its place is free for another
//! one. A set without a free place refuses new proofs: to forget one that could be used again would be worse.
//!
//! The memory is lost with the process: a proof of the last seconds could then be used once more, which nonces with
//! the secret of the process prevent.

use portcullis_core::UnixTime;
use portcullis_host::{Expected, Host, SharedDataError};
use portcullis_jose::dpop::VerifiedProof;

use super::secret::MarkingSecret;
use super::{BindingRefusal, config};

/// Proofs in one set. With 32, fewer than one new proof in 10^9 finds its set full when a quarter of
/// all places is taken, and 3 in 10,000 at a half.
pub const WAYS: usize = 32;

/// How shared keys begin; the number is the layout's version.
const PREFIX: &str = "portcullis.jwt.dpop.1.";

/// How often a set is tried. In each try another worker must have been faster for the next one to be needed.
const TRIES: usize = 8;

/// What the mark is for.
const PURPOSE: &[u8] = b"dpop proof";

/// A value is little-endian words: for each entry its tag and the first second in which it is free.
const LEN: usize = 16 * WAYS;

/// No proof is accepted for longer than this, in seconds: see the bounds of [`super::config`].
const LONGEST: u64 = config::MAX_AGE.saturating_add(config::MAX_LEEWAY).saturating_add(1);

/// The places of all proofs: `sets` shared values of 512 bytes, made when first used.
#[derive(Clone, Copy, Debug)]
pub struct ReplayMemory {
    sets: u64,
}

/// A used proof. Tag 0 is nobody's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Entry {
    tag: u64,
    free_from: u64,
}

impl ReplayMemory {
    /// For this many proofs at once, in whole sets.
    #[must_use]
    pub fn new(slots: u32) -> Self {
        Self { sets: u64::from(slots).checked_div(WAYS as u64).unwrap_or_default().max(1) }
    }

    /// Takes note that the proof was used. Call it last, when nothing else refuses the request: only a client with a
    /// valid token and its key can fill the memory.
    ///
    /// # Errors
    /// [`BindingRefusal::Replayed`] when it was used before, in any worker; [`BindingRefusal::ReplayMemoryFull`] when
    /// there is no place or other workers were always faster; [`BindingRefusal::Unavailable`] when the proxy fails.
    pub fn remember(
        &self,
        proof: &VerifiedProof,
        host: &dyn Host,
        secret: &MarkingSecret,
        now: UnixTime,
    ) -> Result<(), BindingRefusal> {
        let mark = u128::from_le_bytes(secret.mark(&[PURPOSE, &proof.thumbprint, proof.jti.as_bytes()]));
        let [set, tag] =
            [mark >> 64, mark & u128::from(u64::MAX)].map(|half| u64::try_from(half).unwrap_or_default());
        let key = format!("{PREFIX}{:x}", set.checked_rem(self.sets).unwrap_or_default());
        let entry = Entry { tag: tag.max(1), free_from: proof.accepted_until };
        for _ in 0..TRIES {
            let found = host.shared_data(&key).map_err(|_| BindingRefusal::Unavailable)?;
            let expected =
                found.as_ref().map_or(Expected::Absent, |value| Expected::Unchanged(value.version));
            let known = found.map(|value| decode(&value.bytes));
            // What was lost may have been used: all places are taken until the last of it has ended.
            let free_from = now.as_secs().saturating_add(LONGEST);
            let mut set = match known {
                None => [Entry::default(); WAYS],
                Some(set) => set.unwrap_or([Entry { tag: 0, free_from }; WAYS]),
            };
            let outcome = take(&mut set, entry, now.as_secs());
            // A refusal changes nothing, but that what was lost is noted.
            if outcome.is_err() && known != Some(None) {
                return outcome;
            }
            match host.set_shared_data(&key, &encode(&set), expected) {
                Ok(()) => return outcome,
                Err(SharedDataError::Conflict) => {}
                Err(SharedDataError::Host(_)) => return Err(BindingRefusal::Unavailable),
            }
        }
        Err(BindingRefusal::ReplayMemoryFull)
    }
}

/// Puts an entry into a free place of a set.
fn take(set: &mut [Entry; WAYS], entry: Entry, now: u64) -> Result<(), BindingRefusal> {
    // Whatever its end: after a clock that stepped back, it could be accepted again.
    if set.iter().any(|used| used.tag == entry.tag) {
        return Err(BindingRefusal::Replayed);
    }
    let free = set.iter_mut().filter(|used| used.free_from <= now).min_by_key(|used| used.free_from);
    *free.ok_or(BindingRefusal::ReplayMemoryFull)? = entry;
    Ok(())
}

fn decode(bytes: &[u8]) -> Option<[Entry; WAYS]> {
    let bytes: &[u8; LEN] = bytes.try_into().ok()?;
    let (words, _) = bytes.as_chunks::<8>();
    let mut set = [Entry::default(); WAYS];
    for (entry, &[tag, free_from]) in set.iter_mut().zip(words.as_chunks::<2>().0) {
        *entry = Entry { tag: u64::from_le_bytes(tag), free_from: u64::from_le_bytes(free_from) };
    }
    Some(set)
}

fn encode(set: &[Entry; WAYS]) -> Vec<u8> {
    set.iter().flat_map(|entry| [entry.tag, entry.free_from]).flat_map(u64::to_le_bytes).collect()
}

#[cfg(test)]
mod tests {
    use portcullis_host::fake::FakeHost;

    use super::*;

    const NOW: u64 = 1_800_000_000;

    fn proof(jti: &str, accepted_until: u64) -> VerifiedProof {
        VerifiedProof { thumbprint: [1; 32], jti: jti.to_owned(), accepted_until }
    }

    fn remember(
        host: &FakeHost,
        memory: ReplayMemory,
        proof: &VerifiedProof,
        now: u64,
    ) -> Result<(), BindingRefusal> {
        let secret = MarkingSecret::of_process(host).unwrap();
        memory.remember(proof, host, &secret, UnixTime::from_secs(now))
    }

    // covers: JWT-POP-12
    #[test]
    fn a_proof_is_used_once_by_any_worker() {
        let host = FakeHost::at(NOW);
        // Two workers have nothing in common but the host.
        let workers = [ReplayMemory::new(1_024), ReplayMemory::new(1_024)];
        let mut other_key = proof("a", NOW + 61);
        other_key.thumbprint = [2; 32];
        for (name, worker, proof, now, expected) in [
            ("first use", 0, proof("a", NOW + 61), NOW, Ok(())),
            ("in another worker", 1, proof("a", NOW + 61), NOW, Err(BindingRefusal::Replayed)),
            ("in the same worker", 0, proof("a", NOW + 61), NOW, Err(BindingRefusal::Replayed)),
            ("in its last second", 1, proof("a", NOW + 61), NOW + 60, Err(BindingRefusal::Replayed)),
            ("signed again with another date", 1, proof("a", NOW + 99), NOW, Err(BindingRefusal::Replayed)),
            ("another identifier", 1, proof("b", NOW + 61), NOW, Ok(())),
            ("of another key", 1, other_key, NOW, Ok(())),
        ] {
            assert_eq!(remember(&host, workers[worker], &proof, now), expected, "{name}");
        }
    }

    // covers: JWT-POP-12
    #[test]
    fn a_full_memory_refuses_until_a_proof_has_ended() {
        let (host, memory) = (FakeHost::at(NOW), ReplayMemory::new(WAYS.try_into().unwrap()));
        for index in 0..WAYS {
            assert_eq!(remember(&host, memory, &proof(&index.to_string(), NOW + 61), NOW), Ok(()), "{index}");
        }
        let one_more = proof("one more", NOW + 100);
        for now in [NOW, NOW + 60] {
            assert_eq!(
                remember(&host, memory, &one_more, now),
                Err(BindingRefusal::ReplayMemoryFull),
                "{now}"
            );
        }
        assert_eq!(remember(&host, memory, &proof("0", NOW + 61), NOW + 60), Err(BindingRefusal::Replayed));
        assert_eq!(remember(&host, memory, &one_more, NOW + 61), Ok(()));
    }

    // covers: JWT-POP-12
    #[test]
    fn shared_values_are_bounded_in_number_and_length() {
        let (host, memory) = (FakeHost::at(NOW), ReplayMemory::new(4 * 32));
        for index in 0..1_000_u64 {
            let _ = remember(&host, memory, &proof(&index.to_string(), NOW + index), NOW + index);
        }
        let shared = host.shared.borrow();
        let sets: Vec<_> = shared.iter().filter(|(key, _)| key.starts_with(PREFIX)).collect();
        assert_eq!(sets.len(), 4);
        assert!(sets.iter().all(|(_, (bytes, _))| bytes.len() == LEN));
    }

    #[test]
    fn a_damaged_value_refuses_until_what_it_held_has_ended() {
        let (host, memory) = (FakeHost::at(NOW), ReplayMemory::new(32));
        host.shared.borrow_mut().insert(format!("{PREFIX}0"), (b"garbage".to_vec(), 1));
        for (jti, now, expected) in [
            ("a", NOW, Err(BindingRefusal::ReplayMemoryFull)),
            ("b", NOW + 360, Err(BindingRefusal::ReplayMemoryFull)),
            ("c", NOW + 361, Ok(())),
        ] {
            assert_eq!(remember(&host, memory, &proof(jti, now + 61), now), expected, "{jti}");
        }
    }

    #[test]
    fn without_shared_data_no_proof_is_accepted() {
        for call in ["proxy_get_shared_data", "proxy_set_shared_data"] {
            let host = FakeHost::at(NOW);
            let secret = MarkingSecret::of_process(&host).unwrap();
            host.fail(call, 10);
            let outcome = ReplayMemory::new(32).remember(
                &proof("a", NOW + 61),
                &host,
                &secret,
                UnixTime::from_secs(NOW),
            );
            assert_eq!(outcome, Err(BindingRefusal::Unavailable), "{call}");
        }
    }
}
