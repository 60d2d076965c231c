//! The random number generator behind schedules and loads.
//!
//! It is written here from the published algorithms, so that an update of a dependency never
//! changes the schedule of a seed: xoshiro256++ 1.0 (Blackman and Vigna, "Scrambled linear
//! pseudorandom number generators", 2019), seeded by SplitMix64 (Steele, Lea and Flood, "Fast
//! splittable pseudorandom number generators", 2014).

/// xoshiro256++, one stream for each pair of seed and index.
#[derive(Clone, Debug)]
pub struct Rng([u64; 4]);

/// One output of SplitMix64, whose state advances by the golden ratio.
fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = *state;
    let z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}

impl Rng {
    /// Stream number `index` of `seed`. Schedule `index` of a search is the same in whichever
    /// job it runs.
    pub fn new(seed: u64, index: u64) -> Self {
        let mut state = seed;
        let mut state = split_mix(&mut state) ^ index.wrapping_mul(0xd134_2543_de82_ef95);
        Rng(std::array::from_fn(|_| split_mix(&mut state)))
    }

    /// 64 random bits.
    #[inline]
    pub fn bits(&mut self) -> u64 {
        let s = &mut self.0;
        let out = s[0].wrapping_add(s[3]).rotate_left(23).wrapping_add(s[0]);
        let t = s[1] << 17;
        s[2] ^= s[0];
        s[3] ^= s[1];
        s[1] ^= s[2];
        s[0] ^= s[3];
        s[2] ^= t;
        s[3] = s[3].rotate_left(45);
        out
    }

    /// Returns a number below `n`, the high half of a product. Its bias is below n / 2³², so `n`
    /// should be small.
    #[inline]
    pub fn below(&mut self, n: u32) -> u32 {
        (((self.bits() >> 32) * u64::from(n)) >> 32) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_are_those_of_the_published_algorithms() {
        // SplitMix64 from 1234567, as in the test vectors that circulate with the algorithm.
        let mut state = 1_234_567;
        let first = std::array::from_fn(|_| split_mix(&mut state));
        assert_eq!(first, [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]);
        // xoshiro256++ from the state 1, 2, 3, 4: the first outputs by hand.
        let mut rng = Rng([1, 2, 3, 4]);
        assert_eq!(rng.bits(), (5u64.rotate_left(23)).wrapping_add(1));
        assert_eq!(rng.bits(), 58_720_359);
    }

    #[test]
    fn the_outputs_of_a_seed_never_change() {
        let mut rng = Rng::new(0, 0);
        assert_eq!([rng.bits(), rng.bits()], [9_579_327_875_526_494_010, 14_425_024_493_257_680_155]);
        let streams: std::collections::HashSet<u64> = (0..1000).map(|i| Rng::new(7, i).bits()).collect();
        assert_eq!(streams.len(), 1000);
    }

    #[test]
    fn numbers_below_a_bound_are_evenly_spread() {
        let mut rng = Rng::new(1, 2);
        let mut seen = [0u32; 3];
        for _ in 0..30_000 {
            seen[rng.below(3) as usize] += 1;
        }
        assert!(seen.iter().all(|n| (9_500..10_500).contains(n)), "{seen:?}");
    }
}
