//! The LZ4 block format, compressed with the match search of the kernel's `lz4`, so that a page takes as
//! many bytes as in the kernel (recordings z01 to z13).
//!
//! A block is a series of *sequences*: literals, then a match, which is a distance back and a length.
//! The search goes from position to position. A table holds the last position for each hash of four
//! bytes, and each position is compared with this one earlier position only. After 64 positions
//! without a match the search skips every second position, after 64 more two of three, and so on.
//! These skips decide at which position a match begins, and so how many bytes a page takes.

/// The least length of a match.
const MIN_MATCH: usize = 4;
/// The bytes at the end of a block that are always literals.
const LAST_LITERALS: usize = 5;
/// The bytes at the end of a block in which no match begins.
const MATCH_LIMIT: usize = 12;
/// The search skips one position more after each 2^6 positions without a match.
const SKIP_TRIGGER: u32 = 6;
const HASH_BITS: u32 = 13;
/// The largest number in each half of a token. A half with this number says that further bytes hold the rest
/// of the length.
const RUN: usize = 15;

/// The most bytes that `len` bytes can take after compression.
#[cfg(test)]
const fn bound(len: usize) -> usize {
    len + len / 255 + 16
}

fn four(input: &[u8], at: usize) -> u32 {
    match input.get(at..at + 4) {
        Some(bytes) => u32::from_le_bytes(bytes.try_into().unwrap_or_default()),
        None => 0,
    }
}

fn hash(input: &[u8], at: usize) -> usize {
    (four(input, at).wrapping_mul(2_654_435_761) >> (32 - HASH_BITS)) as usize
}

/// The output. Its buffer has room for input that does not compress: a byte more for each 255, and 16.
struct Output<'a> {
    bytes: &'a mut [u8],
    len: usize,
}

impl Output<'_> {
    fn byte(&mut self, byte: usize) {
        self.bytes[self.len] = byte as u8;
        self.len += 1;
    }

    /// Writes the part of a length for which the token has no room.
    fn length(&mut self, length: usize) {
        if let Some(rest) = length.checked_sub(RUN) {
            for _ in 0..rest / 255 {
                self.byte(255);
            }
            self.byte(rest % 255);
        }
    }

    /// Writes literals, and after them a match if there is one: its distance, and by how much its
    /// length exceeds [`MIN_MATCH`].
    fn sequence(&mut self, literals: &[u8], matched: Option<(usize, usize)>) {
        let short = |length: usize| length.min(RUN);
        let code = matched.map_or(0, |(_, length)| length);
        self.byte(short(literals.len()) << 4 | short(code));
        self.length(literals.len());
        self.bytes[self.len..self.len + literals.len()].copy_from_slice(literals);
        self.len += literals.len();
        if let Some((distance, length)) = matched {
            self.byte(distance & 0xff);
            self.byte(distance >> 8);
            self.length(length);
        }
    }
}

/// The number of equal bytes at two places, up to `end`.
fn equal(input: &[u8], ahead: usize, behind: usize, end: usize) -> usize {
    let (now, before) = (&input[ahead..end], &input[behind..]);
    let words = now.chunks_exact(8).zip(before.chunks_exact(8));
    let mut same = 0;
    for (a, b) in words {
        let [a, b] = [a, b].map(|bytes| u64::from_le_bytes(bytes.try_into().unwrap_or_default()));
        if a != b {
            return same + (a ^ b).trailing_zeros() as usize / 8;
        }
        same += 8;
    }
    same + now[same..].iter().zip(&before[same..]).take_while(|(a, b)| a == b).count()
}

/// Compresses at most 64 KiB into `output` and returns the number of bytes that it takes. The output has
/// room for input that does not compress: a byte more for each 255, and 16.
pub(super) fn compress(input: &[u8], output: &mut [u8]) -> usize {
    let mut out = Output { bytes: output, len: 0 };
    let mut done = 0;
    if input.len() > MATCH_LIMIT {
        done = matches(input, &mut out);
    }
    out.sequence(&input[done..], None);
    out.len
}

/// Writes all sequences with a match, and returns the first byte behind them.
fn matches(input: &[u8], out: &mut Output<'_>) -> usize {
    let (last_begin, last_end) = (input.len() - MATCH_LIMIT, input.len() - LAST_LITERALS);
    // The last position of each hash. Position 0 stands for none: it is compared like any other.
    let mut table = [0u16; 1 << HASH_BITS];
    let mut anchor = 0;
    let mut at = 1;
    let mut next_hash = hash(input, at);
    loop {
        let (mut ahead, mut step, mut tries) = (at, 1, 1u32 << SKIP_TRIGGER);
        let mut behind;
        loop {
            let now = next_hash;
            at = ahead;
            ahead += step;
            step = (tries >> SKIP_TRIGGER) as usize;
            tries += 1;
            if ahead > last_begin {
                return anchor;
            }
            behind = usize::from(table[now]);
            next_hash = hash(input, ahead);
            table[now] = at as u16;
            if four(input, behind) == four(input, at) {
                break;
            }
        }
        while at > anchor && behind > 0 && input[at - 1] == input[behind - 1] {
            at -= 1;
            behind -= 1;
        }
        // A match may follow the last one without a literal between the two.
        loop {
            let length = equal(input, at + MIN_MATCH, behind + MIN_MATCH, last_end);
            out.sequence(&input[anchor..at], Some((at - behind, length)));
            at += MIN_MATCH + length;
            anchor = at;
            if at > last_begin {
                return anchor;
            }
            table[hash(input, at - 2)] = (at - 2) as u16;
            behind = usize::from(std::mem::replace(&mut table[hash(input, at)], at as u16));
            if four(input, behind) != four(input, at) {
                break;
            }
        }
        at += 1;
        next_hash = hash(input, at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn compressed(input: &[u8]) -> Vec<u8> {
        let mut output = vec![0; bound(input.len())];
        let len = compress(input, &mut output);
        output.truncate(len);
        output
    }

    /// The page that the recordings store: `random` bytes of a generator, then zeroes.
    fn recorded(page: u64, random: usize) -> Vec<u8> {
        let mut x = 0x9e37_79b9_7f4a_7c15u64.wrapping_mul(page + 1 + 70001);
        let mut bytes = vec![0; 4096];
        for byte in &mut bytes[..random] {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            *byte = (x >> 24) as u8;
        }
        bytes
    }

    #[test]
    fn pages_take_as_many_bytes_as_in_the_kernel() {
        // z01-class-1500/1 and z13-zs-compact-rounds/1: `compr` after the stores.
        for (pages, random, bytes) in [(96, 1500, 147_168), (512, 300, 168_446)] {
            let sum: usize = (0..pages).map(|page| compressed(&recorded(page, random)).len()).sum();
            assert_eq!(sum, bytes, "{pages} pages with {random} random bytes");
        }
    }

    proptest! {
        #[test]
        fn another_decoder_reads_what_is_compressed(
            runs in proptest::collection::vec((any::<u8>(), 1usize..300, any::<bool>()), 0..40)
        ) {
            let mut input = Vec::new();
            for (seed, len, random) in runs {
                let byte = |i: usize| if random { (seed as usize * 31 + i * i * 7) as u8 } else { seed };
                input.extend((0..len).map(byte));
            }
            let output = compressed(&input);
            prop_assert!(output.len() <= bound(input.len()));
            let mut back = vec![0; input.len()];
            prop_assert_eq!(lz4_flex::block::decompress_into(&output, &mut back).unwrap(), input.len());
            prop_assert_eq!(back, input);
        }
    }
}
