//! Words of the operations on a zram device: lists of blocks, sizes of contents, bytes.

use super::word::{NotThis, Syntax, Word, quote, serde_by_text};
use serde::{Deserialize, Serialize};
use std::fmt::{self, Display};
use std::str::FromStr;

/// The blocks `first` to `last`; of each group of `of` blocks among them only the first `keep`. The text is
/// `A`, `A-B` or `A-B/K:M`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BlockRange {
    /// The first block.
    pub first: u32,
    /// The last block.
    pub last: u32,
    /// The number of blocks that are meant in each group.
    pub keep: u32,
    /// The number of blocks in a group.
    pub of: u32,
}

/// A list of blocks of a zram device, in order.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Blocks(pub Vec<BlockRange>);

impl Blocks {
    /// Returns the blocks of the list that a device of `len` blocks has.
    pub fn indices(&self, len: u32) -> impl Iterator<Item = u32> + '_ {
        self.0.iter().flat_map(move |range| {
            let all = range.first..=range.last.min(len.saturating_sub(1));
            all.filter(move |block| (block - range.first) % range.of < range.keep && *block < len)
        })
    }
}

fn number(text: &str) -> Result<u32, NotThis> {
    match text.bytes().all(|byte| byte.is_ascii_digit()) {
        true => text.parse().map_err(|_| NotThis),
        false => Err(NotThis),
    }
}

impl FromStr for BlockRange {
    type Err = NotThis;
    fn from_str(text: &str) -> Result<Self, NotThis> {
        let (range, pattern) = text.split_once('/').map_or((text, None), |(range, rest)| (range, Some(rest)));
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (keep, of) = match pattern {
            Some(pattern) => pattern.split_once(':').ok_or(NotThis)?,
            None => ("1", "1"),
        };
        let range =
            BlockRange { first: number(first)?, last: number(last)?, keep: number(keep)?, of: number(of)? };
        let valid = range.first <= range.last && range.keep >= 1 && range.of >= range.keep;
        if valid { Ok(range) } else { Err(NotThis) }
    }
}

impl Display for BlockRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let BlockRange { first, last, keep, of } = self;
        write!(f, "{first}")?;
        if last != first {
            write!(f, "-{last}")?;
        }
        if (*keep, *of) != (1, 1) {
            write!(f, "/{keep}:{of}")?;
        }
        Ok(())
    }
}

impl Word for Blocks {
    const SYNTAX: Syntax = Syntax::Blocks;
}

impl FromStr for Blocks {
    type Err = NotThis;
    fn from_str(text: &str) -> Result<Self, NotThis> {
        text.split(',').map(str::parse).collect::<Result<_, _>>().map(Blocks)
    }
}

fn joined<T: Display>(items: &[T], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    items.iter().enumerate().try_for_each(|(i, item)| write!(f, "{}{item}", if i == 0 { "" } else { "," }))
}

impl Display for Blocks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        joined(&self.0, f)
    }
}

/// The content of a block that is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BlockSize {
    /// The same value in every word: `same`.
    Same,
    /// This number of random bytes, then zeroes.
    Random(u16),
}

impl FromStr for BlockSize {
    type Err = NotThis;
    fn from_str(text: &str) -> Result<Self, NotThis> {
        match text {
            "same" => Ok(BlockSize::Same),
            _ => number(text)?.try_into().ok().filter(|&n| n <= 4096).map(BlockSize::Random).ok_or(NotThis),
        }
    }
}

impl Display for BlockSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BlockSize::Same => f.write_str("same"),
            BlockSize::Random(bytes) => bytes.fmt(f),
        }
    }
}

/// The contents of the blocks that are written: each block takes the next one of the list, and after
/// the last one the first again.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Sizes(pub Vec<BlockSize>);

impl Word for Sizes {
    const SYNTAX: Syntax = Syntax::Sizes;
}

impl FromStr for Sizes {
    type Err = NotThis;
    fn from_str(text: &str) -> Result<Self, NotThis> {
        text.split(',').map(str::parse).collect::<Result<_, _>>().map(Sizes)
    }
}

impl Display for Sizes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        joined(&self.0, f)
    }
}

/// A number of bytes: `4096`, `256K`, `1M`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Bytes(pub u64);

/// The units, largest first.
const UNITS: [(char, u64); 3] = [('G', 1 << 30), ('M', 1 << 20), ('K', 1 << 10)];

impl Word for Bytes {
    const SYNTAX: Syntax = Syntax::Bytes;
}

impl FromStr for Bytes {
    type Err = NotThis;
    fn from_str(text: &str) -> Result<Self, NotThis> {
        let unit = UNITS.iter().find_map(|(unit, bytes)| Some((text.strip_suffix(*unit)?, *bytes)));
        let (digits, bytes) = unit.unwrap_or((text, 1));
        Ok(Bytes(u64::from(number(digits)?) * bytes))
    }
}

impl Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = UNITS.iter().find(|(_, bytes)| self.0 > 0 && self.0.is_multiple_of(*bytes));
        match unit {
            Some((unit, bytes)) => write!(f, "{}{unit}", self.0 / bytes),
            None => self.0.fmt(f),
        }
    }
}

serde_by_text!(Blocks, Sizes, Bytes);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_names_the_blocks_that_the_device_has() {
        let blocks: Blocks = "0-9/2:5,3,20-30".parse().unwrap();
        assert_eq!(blocks.indices(22).collect::<Vec<_>>(), [0, 1, 5, 6, 3, 20, 21]);
        assert_eq!(blocks.to_string(), "0-9/2:5,3,20-30");
        for wrong in ["", "1-", "3-1", "1/0:2", "1/3:2", "1/1", "-1", "+1", "1,"] {
            assert!(wrong.parse::<Blocks>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn sizes_and_bytes_print_as_they_are_read() {
        for text in ["same", "100,4096", "same,60"] {
            assert_eq!(text.parse::<Sizes>().unwrap().to_string(), text);
        }
        assert!("4097".parse::<Sizes>().is_err());
        for text in ["0", "256K", "3M", "1G", "1025"] {
            assert_eq!(text.parse::<Bytes>().unwrap().to_string(), text);
        }
        assert!("K".parse::<Bytes>().is_err());
    }
}
