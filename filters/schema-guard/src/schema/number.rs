//! Exact decimal arithmetic on JSON numbers: `0.07` is a multiple of `0.01`, and 2^53 + 1 is above 2^53.

use std::cmp::Ordering;

use serde_json::Number;

/// A number as it was written: `± digits · 10^exponent`. One number may have several such forms.
///
/// Integers are exact up to 20 digits. Other numbers are the shortest decimal that reads back as the same double, so
/// up to 15 digits they are what the text says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Decimal {
    negative: bool,
    digits: u64,
    exponent: i32,
}

/// Whether a number has no fraction, however it is written.
pub(super) fn is_integer(number: &Number) -> bool {
    number.is_i64() || number.is_u64() || number.as_f64().is_some_and(|float| float.fract() == 0.0)
}

impl Decimal {
    /// None only for a number that is not finite, which JSON cannot hold.
    pub(super) fn new(number: &Number) -> Option<Self> {
        if let Some(integer) = number.as_u64() {
            return Some(Self { negative: false, digits: integer, exponent: 0 });
        }
        if let Some(integer) = number.as_i64() {
            return Some(Self { negative: true, digits: integer.unsigned_abs(), exponent: 0 });
        }
        Self::parse(&number.to_string())
    }

    /// Reads `-12.5e-7` as `serde_json` writes doubles.
    fn parse(text: &str) -> Option<Self> {
        let (negative, text) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let shift = i32::try_from(fraction.len()).ok()?;
        let mut exponent = exponent.parse::<i32>().ok()?.checked_sub(shift)?;
        // Zeros at the end go into the exponent: a large double is written out with more digits than fit.
        let (mut digits, mut zeros) = (0_u64, 0_u32);
        for byte in whole.bytes().chain(fraction.bytes()) {
            let digit = byte.checked_sub(b'0').filter(|digit| *digit < 10)?;
            if digit == 0 {
                zeros = zeros.checked_add(1)?;
                continue;
            }
            if digits != 0 {
                digits = digits.checked_mul(10_u64.checked_pow(zeros.checked_add(1)?)?)?;
            }
            digits = digits.checked_add(u64::from(digit))?;
            zeros = 0;
        }
        exponent = exponent.checked_add(i32::try_from(zeros).ok()?)?;
        Some(Self { negative: negative && digits != 0, digits, exponent })
    }

    /// Which number is larger.
    pub(super) fn compare(&self, other: &Self) -> Ordering {
        match (self.negative, other.negative) {
            (false, true) => Ordering::Greater,
            (true, false) => Ordering::Less,
            (false, false) => self.magnitude(other),
            (true, true) => other.magnitude(self),
        }
    }

    fn magnitude(&self, other: &Self) -> Ordering {
        if self.digits == 0 || other.digits == 0 {
            return self.digits.cmp(&other.digits);
        }
        if self.exponent == other.exponent {
            return self.digits.cmp(&other.digits);
        }
        // The place of the first digit decides, if it differs; else the exponents are at most 20 apart.
        let place = |decimal: &Self| {
            i32::try_from(decimal.digits.ilog10()).unwrap_or_default().saturating_add(decimal.exponent)
        };
        place(self).cmp(&place(other)).then_with(|| {
            let lowest = self.exponent.min(other.exponent);
            let scaled = |decimal: &Self| {
                let shift = u32::try_from(decimal.exponent.saturating_sub(lowest)).unwrap_or(u32::MAX);
                u128::from(decimal.digits).saturating_mul(10_u128.saturating_pow(shift))
            };
            scaled(self).cmp(&scaled(other))
        })
    }

    /// Whether this is more than zero, as a divisor must be.
    pub(super) const fn is_positive(&self) -> bool {
        !self.negative && self.digits != 0
    }

    /// Whether this is an integral number of times `divisor`. Exact; false for the divisor 0.
    pub(super) fn is_multiple_of(&self, divisor: &Self) -> bool {
        let Some(modulus) = Some(u128::from(divisor.digits)).filter(|modulus| *modulus != 0) else {
            return false;
        };
        if self.digits == 0 {
            return true;
        }
        let shift = self.exponent.saturating_sub(divisor.exponent);
        // Prices and the like need no more than 64 bits, where division is one instruction.
        let scaled =
            u32::try_from(shift).ok().and_then(|shift| self.digits.checked_mul(10_u64.checked_pow(shift)?));
        if let Some(scaled) = scaled {
            return scaled.is_multiple_of(divisor.digits);
        }
        let digits = u128::from(self.digits);
        if shift >= 0 {
            let power = power_of_ten(shift.unsigned_abs(), modulus);
            return digits
                .checked_rem(modulus)
                .unwrap_or_default()
                .saturating_mul(power)
                .is_multiple_of(modulus);
        }
        // The digits would have to hold a factor that is larger than they are.
        let factor = 10_u128.checked_pow(shift.unsigned_abs()).and_then(|power| power.checked_mul(modulus));
        factor.is_some_and(|factor| digits.is_multiple_of(factor))
    }
}

/// `10^exponent mod modulus`; the modulus has at most 64 bits, so products fit.
fn power_of_ten(mut exponent: u32, modulus: u128) -> u128 {
    let reduce = |value: u128| value.checked_rem(modulus).unwrap_or_default();
    let (mut base, mut result) = (reduce(10), reduce(1));
    while exponent > 0 {
        if exponent & 1 == 1 {
            result = reduce(result.saturating_mul(base));
        }
        base = reduce(base.saturating_mul(base));
        exponent >>= 1;
    }
    result
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decimal(text: &str) -> Decimal {
        Decimal::new(&serde_json::from_str(text).unwrap()).unwrap()
    }

    // covers: ENV-BODY-13
    #[test]
    fn multiples_are_exact() {
        for (value, divisor, expected) in [
            ("0.07", "0.01", true),
            ("0.075", "0.01", false),
            ("1e308", "0.01", true),
            ("1e308", "3", false),
            ("3e300", "3", true),
            ("1e-7", "1", false),
            ("4.5", "1.5", true),
            ("35", "1.5", false),
            ("0", "0.3", true),
            ("-9", "3", true),
            ("0.0075", "0.0001", true),
            ("0.00751", "0.0001", false),
            ("18446744073709551615", "5", true),
            ("18446744073709551615", "18446744073709551614", false),
            ("12391239123", "1e-8", true),
        ] {
            assert_eq!(decimal(value).is_multiple_of(&decimal(divisor)), expected, "{value} of {divisor}");
        }
    }

    // covers: ENV-BODY-13
    #[test]
    fn order_is_exact_beyond_doubles() {
        for (a, b, expected) in [
            ("9007199254740993", "9007199254740992", Ordering::Greater),
            ("9007199254740993", "9007199254740992.0", Ordering::Greater),
            ("18446744073709551615", "18446744073709551614", Ordering::Greater),
            ("1", "1.0", Ordering::Equal),
            ("100", "1e2", Ordering::Equal),
            ("-0.0", "0", Ordering::Equal),
            ("-1", "0.5", Ordering::Less),
            ("-2", "-1.5", Ordering::Less),
            ("1e308", "9.9e307", Ordering::Greater),
            ("5e-324", "0", Ordering::Greater),
            ("99", "1e2", Ordering::Less),
        ] {
            assert_eq!(decimal(a).compare(&decimal(b)), expected, "{a} {b}");
        }
    }

    #[test]
    fn integers_have_no_fraction() {
        for (text, expected) in
            [("1", true), ("1.0", true), ("1e2", true), ("1.5", false), ("-3", true), ("1e-1", false)]
        {
            assert_eq!(is_integer(&serde_json::from_str(text).unwrap()), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_double_is_a_decimal_in_the_same_order(a in any::<f64>(), b in any::<f64>()) {
            prop_assume!(a.is_finite() && b.is_finite());
            let decimal = |float| Decimal::new(&Number::from_f64(float).unwrap()).unwrap();
            prop_assert_eq!(Some(decimal(a).compare(&decimal(b))), a.partial_cmp(&b));
        }

        #[test]
        fn products_are_multiples(factor in 1_u32.., divisor in 1_u32..) {
            let product = Number::from(u64::from(factor).saturating_mul(u64::from(divisor)));
            prop_assert!(Decimal::new(&product).unwrap().is_multiple_of(&Decimal::new(&divisor.into()).unwrap()));
        }
    }
}
