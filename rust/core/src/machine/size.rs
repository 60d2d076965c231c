//! Parses sizes as people write them: `64MiB`, `1GiB:250ns`.

use super::config::NodeConfig;
use crate::error::{Errno, Error, Result};
use crate::page::PAGE_SIZE;
use std::str::FromStr;

/// The units, each with its number of bytes.
const UNITS: [(&str, u64); 6] = [
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("pages", PAGE_SIZE as u64),
    ("B", 1),
];

/// Returns the number of bytes of a size, which is a number with one of `B`, `KiB`, `MiB`, `GiB`,
/// `TiB`, `pages`.
///
/// `EINVAL`, with an example of a valid size, if the text is not such a size.
pub fn parse_size(text: &str) -> Result<u64> {
    let bytes = UNITS.iter().find_map(|(unit, factor)| {
        let number = text.trim().strip_suffix(unit)?.trim_end();
        // `parse` accepts a sign, which a size must not have.
        number
            .starts_with(|c: char| c.is_ascii_digit())
            .then(|| number.parse::<u64>().ok())??
            .checked_mul(*factor)
    });
    bytes.ok_or_else(|| {
        let units = UNITS.map(|(unit, _)| unit).join(", ");
        Error::new(
            Errno::EINVAL,
            format!("{text:?} is no size: write a number and one of {units}, as in 64MiB"),
        )
    })
}

/// Returns the number of frames of a node of `bytes` bytes.
///
/// `EINVAL`, with the reason, if the bytes are not whole pages, or are more than frame numbers can
/// name.
pub fn node_frames(bytes: u64) -> Result<u32> {
    if !bytes.is_multiple_of(PAGE_SIZE as u64) {
        return Err(Error::new(Errno::EINVAL, format!("{bytes} bytes are not whole pages of {PAGE_SIZE}")));
    }
    u32::try_from(bytes / PAGE_SIZE as u64).map_err(|_| {
        Error::new(Errno::EINVAL, format!("a node of {bytes} bytes is more than a machine can have"))
    })
}

impl NodeConfig {
    /// The modelled latency of a node without a latency of its own, in nanoseconds.
    pub const LATENCY_NS: u32 = 100;

    /// Makes a node of `bytes` bytes with the default latency.
    pub fn of_bytes(bytes: u64) -> Result<NodeConfig> {
        Ok(NodeConfig { frames: node_frames(bytes)?, latency_ns: NodeConfig::LATENCY_NS })
    }
}

/// Parses `SIZE` or `SIZE:LATENCYns`.
impl FromStr for NodeConfig {
    type Err = Error;

    fn from_str(text: &str) -> Result<NodeConfig> {
        let (size, latency) = match text.split_once(':') {
            Some((size, latency)) => (size, Some(latency)),
            None => (text, None),
        };
        let node = NodeConfig::of_bytes(parse_size(size)?)?;
        let Some(latency) = latency else { return Ok(node) };
        let latency_ns = latency.trim().strip_suffix("ns").and_then(|ns| ns.trim_end().parse().ok());
        let latency_ns = latency_ns.ok_or_else(|| {
            Error::new(
                Errno::EINVAL,
                format!("{latency:?} is no latency: write a number and ns, as in 250ns"),
            )
        })?;
        Ok(NodeConfig { latency_ns, ..node })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_a_unit() {
        assert_eq!(parse_size("64MiB"), Ok(64 << 20));
        assert_eq!(parse_size("3 pages"), Ok(3 * 4096));
        assert_eq!(parse_size("12B"), Ok(12));
        for wrong in ["", "64", "MiB", "-1MiB", "+1MiB", "1.5GiB", "99999999999TiB", "1mib"] {
            assert!(parse_size(wrong).unwrap_err().to_string().contains("64MiB"), "{wrong}");
        }
    }

    #[test]
    fn a_node_is_whole_pages_with_an_optional_latency() {
        assert_eq!("1GiB:250ns".parse(), Ok(NodeConfig { frames: 1 << 18, latency_ns: 250 }));
        assert_eq!("8KiB".parse(), Ok(NodeConfig { frames: 2, latency_ns: NodeConfig::LATENCY_NS }));
        assert!("6KiB".parse::<NodeConfig>().unwrap_err().to_string().contains("whole pages"));
        assert!("64TiB".parse::<NodeConfig>().unwrap_err().to_string().contains("more than"));
        assert!("1GiB:250".parse::<NodeConfig>().unwrap_err().to_string().contains("250ns"));
    }
}
