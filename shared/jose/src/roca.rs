//! The fingerprint of RSA keys that a faulty library made (ROCA, CVE-2017-15361).

/// In a ROCA key each prime is `k * M + (65537^a mod M)`, where M is the product of the first primes; so the
/// modulus is a power of 65537 modulo each of them. These are the primes that tell most ("The Return of
/// Coppersmith's Attack", section 4.1); another modulus passes all of them with a probability below 2^-27.
const PRIMES: [u32; 17] = [11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157];

/// Whether the private key of this modulus (big-endian) can be computed from it.
#[must_use]
pub fn is_vulnerable(modulus: &[u8]) -> bool {
    PRIMES.iter().all(|prime| is_power_of_65537(remainder(modulus, *prime), *prime))
}

/// Remainder of the number by one of the primes.
fn remainder(big_endian: &[u8], prime: u32) -> u32 {
    big_endian.iter().fold(0, |rest: u32, byte| times_plus(rest, 256, u32::from(*byte), prime))
}

fn is_power_of_65537(number: u32, prime: u32) -> bool {
    let mut power = 1;
    loop {
        if power == number {
            return true;
        }
        power = times_plus(power, 65_537, 0, prime);
        if power == 1 {
            return false;
        }
    }
}

/// `a * b + c` modulo a prime; nothing wraps, since `a` and the prime have 8 bits.
fn times_plus(a: u32, b: u32, c: u32, prime: u32) -> u32 {
    a.wrapping_mul(b).wrapping_add(c).checked_rem(prime).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn powers_of_65537_are_the_fingerprint() {
        // 1 is a power for every prime; 2 is none modulo 11, where 65537 is -1.
        assert!(is_vulnerable(&[1]));
        assert!(is_vulnerable(&65537u32.to_be_bytes()));
        assert!(!is_vulnerable(&[2]));
        assert!(!is_vulnerable(&[0]));
    }

    #[test]
    fn remainders_are_those_of_the_whole_number() {
        let number = 0x0123_4567_89ab_cdef_u64;
        for prime in PRIMES {
            assert_eq!(u64::from(remainder(&number.to_be_bytes(), prime)), number % u64::from(prime));
        }
    }
}
