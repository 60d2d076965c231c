//! The versions that a program has written, and the versions that it may therefore read.
//!
//! Each `write` of a page stores a *version* in every word of it: the writer, and the number of the
//! writer's write, together with a hash of the place. A word that is read therefore shows whether
//! it was written to this place at all, and whether it has the last version, an earlier version, or
//! another writer's version.
//!
//! While one thread runs, the content of each page is known exactly. While several threads run,
//! each knows its own writes and the content before the threads. Another thread's version may
//! appear at any time. But once a read has found a version of the same writer in every word of a
//! page, the page must never show an older version of this writer than the oldest found. After all
//! threads have ended, each word has the last version of one of its writers.

use super::step::Access;
use crate::memory::WORDS;
use std::collections::BTreeMap;

/// A writer and the number of its write; zero for content that was never written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Version(u32);

/// The number of writers that can be distinguished; the program itself is number 0.
pub(super) const WRITERS: usize = 1 << 8;
const SEQUENCE_BITS: u32 = 20;
const VERSION_BITS: u32 = 28;

/// The most threads of a program.
pub const MAX_THREADS: usize = WRITERS - 2;

/// The number of the program's first write after its threads, which is larger than the number of
/// any write of the set-up.
pub(super) const AFTER_THREADS: u32 = 1 << 16;

impl Version {
    /// The version of zeroes that were never overwritten.
    pub const NONE: Version = Version(0);

    /// Makes the version of write number `sequence`, from 1, of `writer`; `None` if the number is
    /// too large for a version.
    pub fn new(writer: u8, sequence: u32) -> Option<Version> {
        (sequence < 1 << SEQUENCE_BITS).then(|| Version(u32::from(writer) << SEQUENCE_BITS | sequence))
    }

    /// Returns the writer.
    pub fn writer(self) -> u8 {
        (self.0 >> SEQUENCE_BITS) as u8
    }

    /// Returns true for a version that was written before the threads started.
    pub fn is_initial(self) -> bool {
        self.0 < AFTER_THREADS
    }
}

/// The address space under which the content of files is kept, as all processes see the same
/// content. No real space has this number.
pub(super) const FILES: u32 = u32::MAX;

/// A page of a region, independent of the frame and the address space.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Place {
    /// The region's number, which no other region of the program ever had.
    pub region: u32,
    pub page: u32,
}

impl Place {
    /// Returns the value of a word of this page after the write of `version`.
    pub fn word(self, word: usize, version: Version) -> u64 {
        if version == Version::NONE {
            return 0;
        }
        let place = u64::from(self.region) << 32 | u64::from(self.page);
        let mut z = place ^ (u64::from(version.0) << 10 | word as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        // The finaliser of SplitMix64.
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ z >> 31) << VERSION_BITS | u64::from(version.0)
    }

    /// Returns the version in a word; `None` if the value was never written to this place.
    pub fn version(self, word: usize, value: u64) -> Option<Version> {
        let version = Version((value & ((1 << VERSION_BITS) - 1)) as u32);
        (self.word(word, version) == value).then_some(version)
    }
}

/// Returns the constant content of a word of a movable page.
pub(super) fn pool_word(number: u32, page: u32, word: usize) -> u64 {
    let version = Version::new(0, 1).expect("the first of many");
    Place { region: number, page }.word(word, version)
}

/// The knowledge about a page's content.
#[derive(Clone, Debug, Default, Hash)]
struct Known {
    /// The versions that each word may have; empty if the words must be zero.
    last: Vec<Version>,
    /// For each other writer, the oldest version that the page may still show, because the page has
    /// shown this version.
    floors: Vec<Version>,
    /// True if every word was seen with another thread's version, so that earlier content is gone.
    replaced: bool,
    /// True if this thread has written to the page.
    wrote: bool,
    /// True if the page is a copy that was made while other threads may have written. The copy may then have
    /// their versions.
    open: bool,
    /// True if the page is in an address space that only this thread knows, so that no other thread
    /// writes to it.
    private: bool,
    /// True if the content may be discarded at any time. A read then finds the content or zeroes.
    free: bool,
    /// True if this thread discarded the page while threads ran. Content from before the threads,
    /// and of this thread, is then gone.
    dropped: bool,
}

/// The knowledge of one thread, or of the program, about all pages; by address space and place.
#[derive(Clone, Debug, Default, Hash)]
pub(super) struct Content {
    pages: BTreeMap<(u32, Place), Known>,
    /// Address spaces that were forked while other threads may have written.
    open: Vec<u32>,
}

/// The actor that reads.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a> {
    pub number: u8,
    /// True if other threads may be writing.
    pub concurrent: bool,
    /// The knowledge when the threads started.
    pub before: &'a Content,
}

impl Content {
    fn known(&mut self, key: (u32, Place), reader: Reader<'_>) -> &mut Known {
        let open = self.open.contains(&key.0);
        self.pages.entry(key).or_insert_with(|| match reader.before.pages.get(&key) {
            Some(known) => Known { wrote: false, ..known.clone() },
            None => Known { open, private: open, ..Known::default() },
        })
    }

    /// Records that `version` was written to a page; `whole` says that every word was written.
    pub fn written(&mut self, space: u32, place: Place, version: Version, whole: bool, reader: Reader<'_>) {
        let known = self.known((space, place), reader);
        known.free = false;
        if whole {
            known.last.clear();
            known.replaced = false;
            known.open &= !known.private;
        } else if known.last.is_empty() {
            known.last.push(Version::NONE);
        }
        known.last.push(version);
        known.wrote = true;
    }

    /// Records that a private page was discarded. The page then has zeroes (`anon`), or the content
    /// of its file.
    pub fn dropped(&mut self, space: u32, place: Place, anon: bool, reader: Reader<'_>) {
        let key = (space, place);
        self.pages.remove(&key);
        if reader.before.pages.contains_key(&key) || reader.concurrent {
            // Knowledge from before the threads, or other threads' writes, may still apply. Only
            // the next write makes the content certain.
            let known = self.known(key, reader);
            known.free = true;
            known.dropped = reader.concurrent && anon;
        }
    }

    /// Records that the content of a page may be discarded at any time.
    pub fn freed(&mut self, space: u32, place: Place, reader: Reader<'_>) {
        self.known((space, place), reader).free = true;
    }

    /// Records that a page of a private mapping is a copy of its file's page, and that no thread has written
    /// to the copy. The copy keeps the content that the file's page has now. Earlier knowledge of the page is
    /// kept.
    pub fn copied(&mut self, space: u32, place: Place, reader: Reader<'_>) {
        let of = |space| self.pages.get(&(space, place)).or_else(|| reader.before.pages.get(&(space, place)));
        if of(space).is_none() {
            let copy = Known { wrote: false, ..of(FILES).cloned().unwrap_or_default() };
            self.pages.insert((space, place), copy);
        }
    }

    /// Records that a page of a private mapping may be a copy of its file's page from any moment since the
    /// threads started. Earlier knowledge of the page is kept.
    pub fn copied_sometime(&mut self, space: u32, place: Place, reader: Reader<'_>) {
        let key = (space, place);
        if !self.pages.contains_key(&key) && !reader.before.pages.contains_key(&key) {
            self.freed(space, place, reader);
        }
    }

    /// Judges the words of a page, and learns from them. Returns the outcome, and whether it is
    /// allowed.
    pub fn judge(
        &mut self,
        space: u32,
        place: Place,
        words: &[u64; WORDS],
        reader: Reader<'_>,
    ) -> (Access, bool) {
        if self.is_files(space, place, reader) {
            // The page of the private mapping may still be the file's page, or already a copy. So
            // nothing is learnt from its content: neither about the file nor about the mapping.
            return self.check(space, place, words, reader);
        }
        let known = self.known((space, place), reader);
        let mut worst = (Access::Ok, true);
        let mut oldest: Option<Version> = None;
        let mut one_writer = true;
        for (word, &value) in words.iter().enumerate() {
            let Some(version) = place.version(word, value) else { return (Access::Bad, false) };
            let (access, right) = known.judge(version, reader);
            if !right || matches!(access, Access::Zero | Access::Any) {
                worst = (access, right);
            }
            if !right {
                return worst;
            }
            one_writer &= oldest.is_none_or(|oldest| oldest.writer() == version.writer());
            oldest = Some(oldest.map_or(version, |oldest| oldest.min(version)));
        }
        if known.open && known.private {
            // Only this thread knows the copy, so a content that was seen once must stay as it is.
            known.last = (0..WORDS).filter_map(|word| place.version(word, words[word])).collect();
            (known.open, known.replaced) = (false, false);
            known.floors.clear();
            return worst;
        }
        if let Some(oldest) = oldest.filter(|&oldest| one_writer && !known.expects(oldest)) {
            known.replaced = true;
            match known.floors.iter_mut().find(|floor| floor.writer() == oldest.writer()) {
                Some(floor) => *floor = (*floor).max(oldest),
                None => known.floors.push(oldest),
            }
        }
        worst
    }

    /// Judges the words of a page without learning from them. A page without knowledge has zeroes.
    pub fn check(
        &self,
        space: u32,
        place: Place,
        words: &[u64; WORDS],
        reader: Reader<'_>,
    ) -> (Access, bool) {
        let of = |space| self.pages.get(&(space, place)).or_else(|| reader.before.pages.get(&(space, place)));
        let open = self.open.contains(&space);
        let unknown = match of(FILES) {
            Some(file) => Known { open: open || file.open, ..file.clone() },
            None => Known { open, ..Known::default() },
        };
        let known = of(space).unwrap_or(&unknown);
        // While threads run, another thread may have made the mapping's page a copy of the file's, before
        // this thread wrote to the file.
        let may_be_copied = reader.concurrent && space != FILES && of(space).is_none();
        let before = reader.before.pages.get(&(FILES, place));
        let of_copy = |version: Version| {
            version.writer() == reader.number
                || before.map_or(version == Version::NONE, |file| file.expects(version))
        };
        let mut found = (Access::Zero, true);
        for (word, &value) in words.iter().enumerate() {
            found = match place.version(word, value) {
                Some(version) => match known.judge(version, reader) {
                    (_, false) if may_be_copied && of_copy(version) => (Access::Any, true),
                    judged => judged,
                },
                None => (Access::Bad, false),
            };
            if !found.1 {
                break;
            }
        }
        found
    }

    /// Returns true if the content of a page may be discarded at any time.
    pub fn is_freed(&self, space: u32, place: Place, reader: Reader<'_>) -> bool {
        let key = (space, place);
        self.pages.get(&key).or_else(|| reader.before.pages.get(&key)).is_some_and(|known| known.free)
    }

    /// Returns true if only the content of the mapped file's page is known, and not that of the
    /// page in this space.
    fn is_files(&self, space: u32, place: Place, reader: Reader<'_>) -> bool {
        let known = |space| {
            self.pages.contains_key(&(space, place)) || reader.before.pages.contains_key(&(space, place))
        };
        space != FILES && !known(space) && known(FILES)
    }

    /// Records a fork: the pages of `child` have the content of the pages of `parent`.
    pub fn forked(&mut self, parent: u32, child: u32, reader: Reader<'_>) {
        let of = |content: &Content| -> Vec<(Place, Known)> {
            let all = content.pages.range((parent, Place { region: 0, page: 0 })..);
            all.take_while(|((space, _), _)| *space == parent)
                .map(|(&(_, place), known)| (place, known.clone()))
                .collect()
        };
        if reader.concurrent {
            self.open.push(child);
        }
        let mut pages = of(reader.before);
        pages.extend(of(self));
        for (place, known) in pages {
            self.pages.insert(
                (child, place),
                Known { wrote: false, open: reader.concurrent, private: reader.concurrent, ..known },
            );
        }
    }

    /// Merges the knowledge of the threads after they have ended.
    pub fn join<'a>(&mut self, threads: impl Iterator<Item = &'a Content>, before: &Content) {
        for thread in threads {
            self.open.extend_from_slice(&thread.open);
            for (key, known) in &thread.pages {
                let first = !self.pages.contains_key(key);
                let joined = self.pages.entry(*key).or_insert_with(|| match before.pages.get(key) {
                    Some(known) => Known { wrote: false, ..known.clone() },
                    None => Known { open: known.open, ..Known::default() },
                });
                // The discard may have come before or after the other threads' writes.
                joined.free |= known.free;
                joined.dropped |= known.dropped;
                if known.wrote || (first && !before.pages.contains_key(key)) {
                    if !joined.wrote {
                        joined.last.clear();
                    }
                    joined.last.extend_from_slice(&known.last);
                    joined.wrote |= known.wrote;
                }
            }
        }
        // From here on one thread runs, and its writes replace all content.
        self.pages.values_mut().for_each(|known| {
            known.floors.clear();
            known.replaced = false;
            known.private = false;
        });
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.pages.clear();
        self.open.clear();
    }
}

impl Known {
    /// Returns true if `version` is a last version of the page, as far as is known.
    fn expects(&self, version: Version) -> bool {
        match self.last.is_empty() {
            true => version == Version::NONE,
            false => self.last.contains(&version),
        }
    }

    fn judge(&self, version: Version, reader: Reader<'_>) -> (Access, bool) {
        if self.free {
            let gone = version.is_initial() || version.writer() == reader.number;
            let wrong = self.dropped && version != Version::NONE && gone;
            return (if wrong { Access::Old } else { Access::Any }, !wrong);
        }
        let expected = self.expects(version);
        let outcome = if version == Version::NONE { Access::Zero } else { Access::Ok };
        if expected && !self.replaced {
            return (outcome, true);
        }
        if version == Version::NONE || expected {
            return (if expected { Access::Old } else { Access::Zero }, false);
        }
        let foreign = version.writer() != 0 && version.writer() != reader.number;
        if foreign && ((reader.concurrent && !self.private) || self.open) {
            let floor = self.floors.iter().find(|floor| floor.writer() == version.writer());
            let right = floor.is_none_or(|floor| version >= *floor);
            return (if right { Access::Ok } else { Access::Old }, right);
        }
        // The version is a write of this thread or of the set-up, but not the last one, or a write
        // of another known writer.
        let newest = self.last.iter().filter(|last| last.writer() == version.writer()).max();
        let old = newest.is_none_or(|newest| version < *newest);
        (if old { Access::Old } else { Access::Bad }, false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: Place = Place { region: 3, page: 7 };

    fn page(version: Version) -> [u64; WORDS] {
        std::array::from_fn(|word| PLACE.word(word, version))
    }

    fn version(writer: u8, sequence: u32) -> Version {
        Version::new(writer, sequence).unwrap()
    }

    #[test]
    fn a_word_shows_whether_it_belongs_to_its_place() {
        let written = version(1, 5);
        assert_eq!(PLACE.version(1, PLACE.word(1, written)), Some(written));
        assert_eq!(PLACE.version(0, PLACE.word(1, written)), None);
        let elsewhere = Place { page: 8, ..PLACE };
        assert_eq!(elsewhere.version(1, PLACE.word(1, written)), None);
        assert_eq!(PLACE.version(0, 0), Some(Version::NONE));
        assert_eq!(Version::new(1, 1 << SEQUENCE_BITS), None);
    }

    #[test]
    fn without_threads_only_the_last_version_is_right() {
        let before = Content::default();
        let me = Reader { number: 0, concurrent: false, before: &before };
        let mut content = Content::default();
        assert_eq!(content.judge(1, PLACE, &[0; WORDS], me), (Access::Zero, true));
        content.written(1, PLACE, version(0, 1), true, me);
        content.written(1, PLACE, version(0, 2), true, me);
        assert_eq!(content.judge(1, PLACE, &page(version(0, 2)), me), (Access::Ok, true));
        assert_eq!(content.judge(1, PLACE, &page(version(0, 1)), me), (Access::Old, false));
        assert_eq!(content.judge(1, PLACE, &[0; WORDS], me), (Access::Zero, false));
        let mut torn = page(version(0, 2));
        torn[0] = 7;
        assert_eq!(content.judge(1, PLACE, &torn, me), (Access::Bad, false));
    }

    #[test]
    fn another_thread_may_write_at_any_time_but_not_go_back() {
        let mut before = Content::default();
        let nobody = Content::default();
        let main = Reader { number: 0, concurrent: false, before: &nobody };
        before.written(1, PLACE, version(0, 1), true, main);
        let me = Reader { number: 1, concurrent: true, before: &before };
        let mut content = Content::default();
        assert_eq!(content.judge(1, PLACE, &page(version(0, 1)), me), (Access::Ok, true));
        let mut half = page(version(0, 1));
        half[0] = PLACE.word(0, version(2, 4));
        assert_eq!(content.judge(1, PLACE, &half, me), (Access::Ok, true));
        assert_eq!(content.judge(1, PLACE, &page(version(2, 4)), me), (Access::Ok, true));
        // From here on an older version of that thread, or content from before it, is wrong.
        assert_eq!(content.judge(1, PLACE, &page(version(2, 3)), me), (Access::Old, false));
        assert_eq!(content.judge(1, PLACE, &page(version(0, 1)), me), (Access::Old, false));
        // A version that this thread wrote later and does not find was lost.
        content.written(1, PLACE, version(1, 1), true, me);
        content.written(1, PLACE, version(1, 2), true, me);
        assert_eq!(content.judge(1, PLACE, &page(version(1, 1)), me), (Access::Old, false));
        assert_eq!(content.judge(1, PLACE, &page(version(0, 1)), me), (Access::Old, false));
        assert_eq!(content.judge(1, PLACE, &page(version(2, 5)), me), (Access::Ok, true));
    }

    #[test]
    fn after_the_threads_each_word_is_the_last_version_of_a_writer() {
        let nobody = Content::default();
        let main = Reader { number: 0, concurrent: false, before: &nobody };
        let mut before = Content::default();
        before.written(1, PLACE, version(0, 1), true, main);
        let mut threads = [Content::default(), Content::default()];
        for (number, content) in (1u8..).zip(&mut threads) {
            let me = Reader { number, concurrent: true, before: &before };
            content.written(1, PLACE, version(number, 1), true, me);
            content.written(1, PLACE, version(number, 2), true, me);
        }
        let mut joined = Content::default();
        joined.join(threads.iter(), &before);
        let finally = Reader { number: 0, concurrent: false, before: &before };
        let mut mixed = page(version(1, 2));
        mixed[0] = PLACE.word(0, version(2, 2));
        assert_eq!(joined.judge(1, PLACE, &mixed, finally), (Access::Ok, true));
        assert_eq!(joined.judge(1, PLACE, &page(version(2, 1)), finally), (Access::Old, false));
        assert_eq!(joined.judge(1, PLACE, &page(version(0, 1)), finally), (Access::Old, false));
    }

    #[test]
    fn a_private_mapping_shows_the_file_until_it_is_written() {
        let nobody = Content::default();
        let main = Reader { number: 0, concurrent: false, before: &nobody };
        let mut content = Content::default();
        content.written(FILES, PLACE, version(0, 1), true, main);
        assert_eq!(content.judge(1, PLACE, &page(version(0, 1)), main), (Access::Ok, true));
        content.written(FILES, PLACE, version(0, 2), true, main);
        assert_eq!(content.judge(1, PLACE, &page(version(0, 1)), main), (Access::Old, false));
        content.written(1, PLACE, version(0, 3), true, main);
        content.written(FILES, PLACE, version(0, 4), true, main);
        assert_eq!(content.judge(1, PLACE, &page(version(0, 3)), main), (Access::Ok, true));
        assert_eq!(content.judge(1, PLACE, &page(version(0, 4)), main), (Access::Bad, false));
        assert_eq!(content.judge(FILES, PLACE, &page(version(0, 4)), main), (Access::Ok, true));
    }

    #[test]
    fn a_child_does_not_see_what_its_parent_writes_later() {
        let nobody = Content::default();
        let main = Reader { number: 0, concurrent: false, before: &nobody };
        let mut content = Content::default();
        content.written(1, PLACE, version(0, 1), true, main);
        content.forked(1, 2, main);
        content.written(1, PLACE, version(0, 2), true, main);
        assert_eq!(content.judge(2, PLACE, &page(version(0, 1)), main), (Access::Ok, true));
        assert_eq!(content.judge(2, PLACE, &page(version(0, 2)), main), (Access::Bad, false));
    }
}
