//! The secret behind nonces and the replay memory.

use hmac::{Hmac, KeyInit as _, Mac as _};
use portcullis_core::config::Secret;
use portcullis_host::{Expected, Host, SharedDataError};
use sha2::Sha256;

use super::BindingRefusal;

/// The shared value. Another layout would get another name, so that versions of this filter never misread it.
const KEY: &str = "portcullis.jwt.binding.secret.1";

const LEN: usize = 32;

/// How often a write is tried: the only writers are workers that start at the same time.
const TRIES: usize = 8;

/// A secret of the process or of a fleet, with which short texts are marked.
#[derive(Clone)]
pub struct MarkingSecret(Hmac<Sha256>);

impl MarkingSecret {
    /// The random secret that all workers of the process share; whoever comes first makes it. Call it once the
    /// configuration is known to be good: shared data outlives a configuration that is refused.
    ///
    /// # Errors
    /// [`BindingRefusal::Unavailable`] if the proxy has no shared data or no randomness, or the value is not ours:
    /// to begin anew would forget which proofs were used.
    pub fn of_process(host: &dyn Host) -> Result<Self, BindingRefusal> {
        for _ in 0..TRIES {
            if let Some(value) = host.shared_data(KEY).map_err(|_| BindingRefusal::Unavailable)? {
                return (value.bytes.len() == LEN)
                    .then(|| Self::new(&value.bytes))
                    .flatten()
                    .ok_or(BindingRefusal::Unavailable);
            }
            let mut random = [0; LEN];
            host.random(&mut random).map_err(|_| BindingRefusal::Unavailable)?;
            match host.set_shared_data(KEY, &random, Expected::Absent) {
                Ok(()) | Err(SharedDataError::Conflict) => {}
                Err(SharedDataError::Host(_)) => return Err(BindingRefusal::Unavailable),
            }
            // Read again even after a write: whatever is there now is what all workers have.
        }
        Err(BindingRefusal::Unavailable)
    }

    /// A secret of the configuration, the same in a whole fleet.
    #[must_use]
    pub fn of_fleet(secret: &Secret) -> Option<Self> {
        Self::new(secret.expose().as_bytes())
    }

    fn new(key: &[u8]) -> Option<Self> {
        Hmac::new_from_slice(key).ok().map(Self)
    }

    /// The first 16 bytes of HMAC-SHA256 over the parts, each with its length: `ab` + `c` is not `a` + `bc`. The
    /// first part says what the mark is for.
    #[must_use]
    pub fn mark(&self, parts: &[&[u8]]) -> [u8; 16] {
        let mut mac = self.0.clone();
        for part in parts {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        let whole: [u8; 32] = mac.finalize().into_bytes().into();
        whole.first_chunk().copied().unwrap_or_default()
    }
}

/// A secret shows nothing of itself.
impl std::fmt::Debug for MarkingSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MarkingSecret(***)")
    }
}

#[cfg(test)]
mod tests {
    use portcullis_host::fake::FakeHost;

    use super::*;

    #[test]
    fn all_workers_have_the_secret_of_the_first() {
        let host = FakeHost::at(1);
        let first = MarkingSecret::of_process(&host).unwrap();
        host.fail("random_get", 10);
        let second = MarkingSecret::of_process(&host).unwrap();
        assert_eq!(first.mark(&[b"a"]), second.mark(&[b"a"]));
        assert_ne!(first.mark(&[b"ab", b"c"]), first.mark(&[b"a", b"bc"]));
        assert_eq!(format!("{first:?}"), "MarkingSecret(***)");
    }

    #[test]
    fn without_a_secret_nothing_is_judged() {
        for call in ["proxy_get_shared_data", "proxy_set_shared_data", "random_get"] {
            let host = FakeHost::at(1);
            host.fail(call, 10);
            assert_eq!(MarkingSecret::of_process(&host).err(), Some(BindingRefusal::Unavailable), "{call}");
        }
        let host = FakeHost::at(1);
        host.shared.borrow_mut().insert(KEY.to_owned(), (b"garbage".to_vec(), 1));
        assert_eq!(MarkingSecret::of_process(&host).err(), Some(BindingRefusal::Unavailable));
    }
}
