//! Memory traces of real programs: the text that valgrind's lackey tool prints, as page accesses.
//!
//! ```text
//! ==4711== Lackey, an example Valgrind tool      skipped, as is anything valgrind says itself
//! I  0401f0c0,3                                  instruction fetch: checked, not kept
//!  L 1ffefff9c8,8                                load
//!  S 1ffefff9c0,8                                store
//!  M 0421e1a8,4                                  modify: kept as one store
//! ```
//!
//! Only data accesses are kept. Instruction fetches are most of a trace and fall on few pages of
//! program text. The kernel handles those as clean file pages, but a replay of the trace accesses
//! anonymous memory.
//!
//! Three things need care. The traced program may write to the stream of lackey; the error names
//! the line, and the option `--log-file` of valgrind avoids it. The text arrives in chunks and may
//! be cut within a line. An access may touch two pages.

use std::collections::HashMap;

/// The base-2 logarithm of a page's bytes. An address is divided by the page size of the machine.
const PAGE_SHIFT: u32 = 12;

/// Slots of the direct-mapped cache in front of the page index. Most accesses hit a page that was
/// touched a moment ago; the cache replaces the hash lookup by one comparison.
const RECENT: usize = 1024;

/// The mistakes of a trace.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TraceError {
    /// A line is not a lackey record.
    #[error("line {line}: {problem}: {text:?}")]
    Line {
        /// Counted from 1.
        line: u64,
        /// The mistake of the line.
        problem: &'static str,
        /// The line, shortened.
        text: String,
    },
    /// There are more distinct pages than ids of 32 bits.
    #[error("line {line}: more than {max} distinct pages", max = 1u64 << 32)]
    TooManyPages {
        /// Counted from 1.
        line: u64,
    },
}

/// A trace as arrays: access `i` touches page `ids[i]` and writes if `writes[i]` is 1.
///
/// Pages are numbered densely in the order of their first access, so that a replay needs arrays and
/// no hash; `pages` gives the page number (address / 4096) of each id.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Accesses {
    /// The page of each access, as an index into `pages`.
    pub ids: Vec<u32>,
    /// 1 where the access is a store or a modify, 0 where it is a load.
    pub writes: Vec<u8>,
    /// The page number of each id.
    pub pages: Vec<u64>,
}

/// A parser that is fed the text in chunks of any size.
#[derive(Debug)]
pub struct Lackey {
    accesses: Accesses,
    index: HashMap<u64, u32>,
    recent: Box<[(u64, u32); RECENT]>,
    /// The beginning of a line whose end has not arrived.
    carry: Vec<u8>,
    /// Lines seen so far.
    lines: u64,
}

impl Default for Lackey {
    fn default() -> Self {
        Lackey {
            accesses: Accesses::default(),
            index: HashMap::new(),
            // No page has this number, because the top bits of an address shifted right are zero.
            recent: Box::new([(u64::MAX, 0); RECENT]),
            carry: Vec::new(),
            lines: 0,
        }
    }
}

impl Lackey {
    /// Parses the next piece of the text.
    ///
    /// # Errors
    /// The first line that is not a lackey record, has no end, accesses memory past the end of all
    /// addresses, or names one distinct page too many. Nothing after that line is read.
    pub fn feed(&mut self, mut chunk: &[u8]) -> Result<(), TraceError> {
        if !self.carry.is_empty() {
            let Some(end) = chunk.iter().position(|&byte| byte == b'\n') else {
                self.carry.extend_from_slice(chunk);
                return self.check_carry();
            };
            let mut line = std::mem::take(&mut self.carry);
            line.extend_from_slice(&chunk[..=end]);
            self.lines(&line)?;
            chunk = &chunk[end + 1..];
        }
        let complete = chunk.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
        self.lines(&chunk[..complete])?;
        self.carry.extend_from_slice(&chunk[complete..]);
        self.check_carry()
    }

    /// Ends the text; returns the trace.
    ///
    /// # Errors
    /// The last line, if it is not a lackey record.
    pub fn finish(mut self) -> Result<Accesses, TraceError> {
        if !self.carry.is_empty() {
            let mut line = std::mem::take(&mut self.carry);
            line.push(b'\n');
            self.lines(&line)?;
        }
        Ok(self.accesses)
    }

    /// Refuses a line that is longer than any record. A file without line ends would otherwise be
    /// collected in memory.
    fn check_carry(&self) -> Result<(), TraceError> {
        const LONGEST: usize = 1 << 16;
        if self.carry.len() > LONGEST { Err(self.bad(&self.carry, "endless line")) } else { Ok(()) }
    }

    /// Parses complete lines.
    fn lines(&mut self, text: &[u8]) -> Result<(), TraceError> {
        let mut rest = text;
        while let Some((&first, _)) = rest.split_first() {
            let used = match (first, rest.get(1)) {
                (b'I', _) => self.record(rest, b"I  ", Access::Fetch)?,
                (b' ', Some(b'L')) => self.record(rest, b" L ", Access::Load)?,
                (b' ', Some(b'S')) => self.record(rest, b" S ", Access::Store)?,
                (b' ', Some(b'M')) => self.record(rest, b" M ", Access::Store)?,
                _ => self.remark(rest)?,
            };
            self.lines += 1;
            rest = &rest[used..];
        }
        Ok(())
    }

    /// Parses the record at the beginning of `text`; returns its length with the line end.
    #[inline]
    fn record(&mut self, text: &[u8], prefix: &[u8; 3], access: Access) -> Result<usize, TraceError> {
        if !text.starts_with(prefix) {
            return Err(self.bad(text, "not a lackey record"));
        }
        let (address, digits) = number(&text[3..], 16);
        let comma = 3 + digits;
        if digits == 0 || digits > 16 || text.get(comma) != Some(&b',') {
            return Err(self.bad(text, "bad address"));
        }
        let (size, digits) = number(&text[comma + 1..], 10);
        let mut end = comma + 1 + digits;
        if text.get(end) == Some(&b'\r') {
            end += 1;
        }
        if digits == 0 || digits > 6 || size == 0 || text.get(end) != Some(&b'\n') {
            return Err(self.bad(text, "bad size"));
        }
        let Some(last) = address.checked_add(size - 1) else {
            return Err(self.bad(text, "access past the end of memory"));
        };
        if access != Access::Fetch {
            for page in address >> PAGE_SHIFT..=last >> PAGE_SHIFT {
                self.touch(page, access == Access::Store)?;
            }
        }
        Ok(end + 1)
    }

    /// Skips a line that valgrind printed about itself, or an empty line; returns its length.
    #[cold]
    fn remark(&self, text: &[u8]) -> Result<usize, TraceError> {
        let line = first_line(text);
        let marked = |mark: &[u8; 2]| {
            // ==4711== or --4711-- or **4711**
            line.strip_prefix(mark).is_some_and(|rest| {
                let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
                digits > 0 && rest[digits..].starts_with(mark)
            })
        };
        if line.trim_ascii().is_empty() || marked(b"==") || marked(b"--") || marked(b"**") {
            Ok(line.len() + 1)
        } else {
            Err(self.bad(text, "not a lackey record"))
        }
    }

    #[inline]
    fn touch(&mut self, page: u64, write: bool) -> Result<(), TraceError> {
        let slot = page as usize % RECENT;
        let id = match self.recent[slot] {
            (recent, id) if recent == page => id,
            _ => {
                let id = self.id_of(page)?;
                self.recent[slot] = (page, id);
                id
            }
        };
        self.accesses.ids.push(id);
        self.accesses.writes.push(u8::from(write));
        Ok(())
    }

    fn id_of(&mut self, page: u64) -> Result<u32, TraceError> {
        if let Some(&id) = self.index.get(&page) {
            return Ok(id);
        }
        let Ok(id) = u32::try_from(self.index.len()) else {
            return Err(TraceError::TooManyPages { line: self.lines + 1 });
        };
        self.index.insert(page, id);
        self.accesses.pages.push(page);
        Ok(id)
    }

    #[cold]
    fn bad(&self, text: &[u8], problem: &'static str) -> TraceError {
        const SHOWN: usize = 60;
        let line = first_line(text);
        let text = String::from_utf8_lossy(&line[..line.len().min(SHOWN)]).into_owned();
        TraceError::Line { line: self.lines + 1, problem, text }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Access {
    Fetch,
    Load,
    Store,
}

fn first_line(text: &[u8]) -> &[u8] {
    text.split(|&byte| byte == b'\n').next().unwrap_or(text)
}

/// Returns the number at the beginning of `text`, and its number of digits. The value wraps past 64
/// bits; the caller limits the digits.
#[inline]
fn number(text: &[u8], radix: u64) -> (u64, usize) {
    let mut value = 0u64;
    let mut digits = 0;
    for &byte in text {
        let Some(digit) = (byte as char).to_digit(radix as u32) else { break };
        value = value.wrapping_mul(radix).wrapping_add(u64::from(digit));
        digits += 1;
    }
    (value, digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Accesses, TraceError> {
        let mut parser = Lackey::default();
        parser.feed(text.as_bytes())?;
        parser.finish()
    }

    const SMALL: &str = "==12== Lackey\n\nI  0401f0c0,3\n L 1ffefff9c8,8\n S 1ffefff9c0,8\n M 0421e1a8,4\n";

    #[test]
    fn data_accesses_are_kept_and_pages_numbered_by_first_access() {
        let accesses = parse(SMALL).unwrap();
        assert_eq!(accesses.ids, [0, 0, 1]);
        assert_eq!(accesses.writes, [0, 1, 1]);
        assert_eq!(accesses.pages, [0x1ffefff, 0x421e]);
    }

    #[test]
    fn chunks_may_be_cut_anywhere() {
        let whole = parse(SMALL).unwrap();
        for size in 1..SMALL.len() {
            let mut parser = Lackey::default();
            for chunk in SMALL.as_bytes().chunks(size) {
                parser.feed(chunk).unwrap();
            }
            assert_eq!(parser.finish().unwrap(), whole, "chunks of {size}");
        }
    }

    #[test]
    fn an_access_across_a_boundary_touches_both_pages() {
        let accesses = parse(" S 00001ffc,8\n").unwrap();
        assert_eq!((accesses.pages, accesses.writes), (vec![1, 2], vec![1, 1]));
    }

    #[test]
    fn the_last_line_needs_no_end_and_a_carriage_return_is_tolerated() {
        assert_eq!(parse(" L 1000,8\r\n L 2000,8").unwrap().pages, [1, 2]);
    }

    #[test]
    fn pages_that_share_a_cache_slot_keep_their_ids() {
        let (near, far) = (1u64, 1 + RECENT as u64);
        let text: String =
            [near, far, near, far].iter().map(|page| format!(" L {:x},1\n", page << 12)).collect();
        let accesses = parse(&text).unwrap();
        assert_eq!((accesses.ids, accesses.pages), (vec![0, 1, 0, 1], vec![near, far]));
    }

    #[test]
    fn a_malformed_line_is_named() {
        for (line, problem) in [
            ("hello", "not a lackey record"),
            ("=== chapter", "not a lackey record"),
            ("I 0401f0c0,3", "not a lackey record"),
            (" X 1000,8", "not a lackey record"),
            (" L ,8", "bad address"),
            (" L 1000 8", "bad address"),
            (" L 11112222333344445,8", "bad address"),
            (" L 1000,", "bad size"),
            (" L 1000,0", "bad size"),
            (" L 1000,8 junk", "bad size"),
            (" S ffffffffffffffff,2", "access past the end of memory"),
        ] {
            let text = format!("{SMALL}{line}\n L 1000,8\n");
            let expected = TraceError::Line { line: 7, problem, text: line.to_owned() };
            assert_eq!(parse(&text).unwrap_err(), expected);
        }
    }

    #[test]
    fn text_without_line_ends_is_refused_early() {
        let mut parser = Lackey::default();
        let fed = (0..100).find_map(|_| parser.feed(&[b'x'; 4096]).err());
        assert!(matches!(fed, Some(TraceError::Line { line: 1, problem: "endless line", .. })));
    }
}
