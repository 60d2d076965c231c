//! Digests of end states: 128 bits over all values that a schedule has changed.
//!
//! Every schedule of a world starts from the same state. So its end state is determined by the
//! words whose values differ from those at the start, and by the contents of the locks that were
//! opened for writing. Two schedules with the same digest left the same machine behind, up to a
//! chance of about one in 2^100, so a check of one end state holds for the other.
//!
//! An object that a schedule creates has no old value in the journal. Only the contents of a lock lead to
//! it. Contents that lead to other objects cannot be digested, so a schedule that changes such contents
//! has no digest (see [`Lock::plain`](super::Lock::plain)).

use std::hash::{Hash, Hasher};

/// The digest of an end state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Digest(u64, u64);

/// Two independent multipliers: odd numbers of random bits.
const KEYS: [u64; 2] = [0x9e37_79b9_7f4a_7c15, 0xd6e8_feb8_6659_fd93];

/// Multiplies, and returns the exclusive or of the product's two halves (wyhash's mixing step).
#[inline(always)]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

#[inline(always)]
fn mixed(key: u64, place: u64, value: u64) -> u64 {
    fold(fold(place ^ key, key.rotate_left(32)) ^ value, key ^ 0xa076_1d64_78bd_642f)
}

impl Digest {
    /// Adds `value` at `place`. The order in which a state's values are added does not matter.
    #[inline]
    pub(super) fn add(&mut self, place: u64, value: u64) {
        self.0 = self.0.wrapping_add(mixed(KEYS[0], place, value));
        self.1 = self.1.wrapping_add(mixed(KEYS[1], place, value));
    }

    /// Adds a value of several parts at `place`.
    #[inline]
    pub fn add_hash(&mut self, place: usize, value: &(impl Hash + ?Sized)) {
        let mut parts = Parts(KEYS);
        value.hash(&mut parts);
        self.0 = self.0.wrapping_add(mixed(KEYS[0], place as u64, parts.0[0]));
        self.1 = self.1.wrapping_add(mixed(KEYS[1], place as u64, parts.0[1]));
    }

    /// Returns one half of the digest, as an index for tables. The bits of the half are as good as
    /// random.
    #[inline]
    pub(crate) fn short(self) -> u64 {
        self.0
    }
}

/// A hasher of the parts of one value, in their order.
struct Parts([u64; 2]);

impl Hasher for Parts {
    #[inline]
    fn write_u64(&mut self, part: u64) {
        for (state, key) in self.0.iter_mut().zip(KEYS) {
            *state = fold(*state ^ part, key).wrapping_add(state.rotate_left(23));
        }
    }
    #[inline]
    fn write_u32(&mut self, part: u32) {
        self.write_u64(part.into());
    }
    #[inline]
    fn write_u8(&mut self, part: u8) {
        self.write_u64(part.into());
    }
    #[inline]
    fn write_usize(&mut self, part: usize) {
        self.write_u64(part as u64);
    }
    #[inline]
    fn write_isize(&mut self, part: isize) {
        self.write_u64(part as u64);
    }
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.write_u64(u64::from_le_bytes(word));
        }
    }
    fn finish(&self) -> u64 {
        self.0[0]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(parts: &[(u64, u64)]) -> Digest {
        let mut digest = Digest::default();
        parts.iter().for_each(|&(place, value)| digest.add(place, value));
        digest
    }

    #[test]
    fn places_and_values_count_but_not_their_order() {
        assert_eq!(of(&[(1, 2), (3, 4)]), of(&[(3, 4), (1, 2)]));
        for other in [&[(1, 4), (3, 2)][..], &[(1, 2)], &[(2, 1), (4, 3)], &[(1, 2), (3, 4), (5, 0)]] {
            assert_ne!(of(&[(1, 2), (3, 4)]), of(other), "{other:?}");
        }
    }

    #[test]
    fn the_parts_of_a_value_have_an_order() {
        let of = |parts: &[u32]| {
            let mut digest = Digest::default();
            digest.add_hash(7, parts);
            digest
        };
        assert_eq!(of(&[1, 2]), of(&[1, 2]));
        assert_ne!(of(&[1, 2]), of(&[2, 1]));
        assert_ne!(of(&[]), of(&[0]));
    }
}
