//! The contents that a program writes to the blocks of its zram device.
//!
//! The contents are those of the recordings. `size=A` writes A bytes of a generator, which no
//! compressor makes shorter, and zeroes after them; the generator starts from the number of the block
//! and the number of the write. `zram_fill` writes words of a generator that starts from the number of
//! the block, and fills the rest of the block with the word from which the generator starts.

use crate::program::BlockSize;
use crate::zram::{BLOCK_WORDS, Words};
use std::collections::BTreeMap;

/// The last write of an actor to a block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Written {
    /// The number of the write; the generator starts from it.
    pub version: u32,
    pub what: Filling,
}

/// The kind of a write to a block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) enum Filling {
    /// The block was never written, or it was discarded.
    #[default]
    Nothing,
    /// `zs_put` has written the block.
    Sized(BlockSize),
    /// `zram_fill` has written the block.
    Partly,
}

/// The last write to each block, by the number of the block.
pub(super) type Known = BTreeMap<u32, Written>;

/// Returns the content of a block.
pub(super) fn content(block: u32, Written { version, what }: Written) -> Words {
    let mut words = [0; BLOCK_WORDS];
    match what {
        Filling::Nothing => {}
        Filling::Sized(BlockSize::Same) => words.fill(0x1111_1111_1111_1111 * u64::from(1 + block % 3)),
        Filling::Sized(BlockSize::Random(bytes)) => {
            let seed = u64::from(block) + 1 + 70_001 * u64::from(version);
            let mut x = START.wrapping_mul(seed);
            for at in 0..usize::from(bytes).min(BLOCK_WORDS * 8) {
                x = next(x);
                words[at / 8] |= u64::from((x >> 24) as u8) << (at % 8 * 8);
            }
        }
        Filling::Partly => {
            let start = START.wrapping_mul(u64::from(block) + 1);
            words.fill(start);
            let random = 200 + block as usize % 5 * 40;
            words.iter_mut().take(random).fold(start, |x, word| {
                *word = next(x);
                *word
            });
        }
    }
    words
}

/// The number from which the generator of a block starts is a multiple of this.
const START: u64 = 0x9e37_79b9_7f4a_7c15;

/// Returns the next number of the generator.
fn next(mut x: u64) -> u64 {
    x ^= x << 13;
    x ^= x >> 7;
    x ^ x << 17
}
