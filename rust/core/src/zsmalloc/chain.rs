//! The pages of a zspage, and the lock that keeps them where they are.

use super::class::{MAX_CHAIN, SizeClass};
use crate::memory::Memory;
use crate::page::Pfn;
use crate::page::size::WORDS;
use crate::sync::{AtomicU64, LockClass, Ordering, PlainU32, acquired, released, spin_until};

/// The lock word while a thread changes the chain; else the word is the number of threads that use
/// objects of the zspage.
const WRITER: u64 = 1 << 63;

/// The chained pages of a zspage, behind the zspage's lock. A thread that uses an object holds the
/// lock shared; a migration that replaces a page, and a compaction that moves objects away, hold it
/// exclusively.
#[derive(Debug, Default)]
pub(super) struct Chain {
    lock: AtomicU64,
    /// Frame numbers. A thread that changes them holds `lock` exclusively *and* the class lock, so
    /// either of the two locks is enough to read them.
    pages: [PlainU32; MAX_CHAIN],
}

impl Chain {
    /// Sets up the chain of a fresh zspage, which no other thread can find yet.
    pub fn fill(&self, pages: &[Pfn]) {
        for (cell, pfn) in self.pages.iter().zip(pages) {
            cell.set(pfn.0);
        }
    }

    /// The page at a position of the chain.
    pub fn page(&self, number: usize) -> Pfn {
        Pfn(self.pages[number].get())
    }

    /// All pages of the chain.
    pub fn pages(&self, class: &SizeClass) -> impl Iterator<Item = Pfn> {
        self.pages[..usize::from(class.pages)].iter().map(|cell| Pfn(cell.get()))
    }

    /// All pages of the chain, read without either lock, as a mutation does.
    pub fn peek(&self, class: &SizeClass) -> impl Iterator<Item = Pfn> {
        self.pages[..usize::from(class.pages)].iter().map(|cell| Pfn(cell.peek()))
    }

    /// Puts a page into the chain at the position of another one.
    pub fn replace(&self, number: usize, pfn: Pfn) {
        self.pages[number].set(pfn.0);
    }

    fn key(&self) -> usize {
        std::ptr::from_ref(&self.lock).addr()
    }

    /// Names the word at `address` for traces.
    pub fn field_at(&self, address: usize) -> Option<&'static str> {
        let is_page = self.pages.iter().any(|cell| std::ptr::from_ref(cell).addr() == address);
        let page = is_page.then_some("page of the zspage");
        if self.key() == address { Some("zspage lock") } else { page }
    }

    /// Takes the lock shared (`migrate_read_lock`), waiting for a writer. `class` is the lock's place
    /// in the order of locks, which depends on the profile.
    pub fn read_lock(&self, class: LockClass) {
        loop {
            let seen = spin_until(&self.lock, |word| word & WRITER == 0);
            // Acquire pairs with the Release of `write_unlock`: the user of an object sees the
            // chain that the writer has changed, and the bytes that it has copied.
            if self.lock.compare_exchange(seen, seen + 1, Ordering::Acquire, Ordering::Relaxed).is_ok() {
                return acquired(class, self.key(), false);
            }
        }
    }

    /// Releases the shared lock.
    pub fn read_unlock(&self, class: LockClass) {
        released(class, self.key());
        // Release pairs with the Acquire of `take`: a migration copies the bytes that the
        // user of an object has stored.
        self.lock.fetch_sub(1, Ordering::Release);
    }

    /// Takes the lock exclusively if no thread holds it.
    pub fn try_write(&self, class: LockClass) -> bool {
        let taken = self.take();
        if taken {
            acquired(class, self.key(), true);
        }
        taken
    }

    fn take(&self) -> bool {
        // Acquire: see `read_unlock`.
        self.lock.compare_exchange(0, WRITER, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    /// Takes the lock exclusively, waiting for the users of objects (`migrate_write_lock`).
    pub fn write_lock(&self, class: LockClass) {
        while !self.take() {
            spin_until(&self.lock, |word| word == 0);
        }
        acquired(class, self.key(), false);
    }

    /// Releases the exclusive lock.
    pub fn write_unlock(&self, class: LockClass) {
        released(class, self.key());
        // Release: see `read_lock`.
        self.lock.store(0, Ordering::Release);
    }

    /// Loads the first words of an object. The caller holds the zspage lock.
    pub fn load(&self, class: &SizeClass, object: u16, memory: &Memory, mut into: &mut [u64]) {
        let mut at = usize::from(object) * class.words();
        while !into.is_empty() {
            let (page, word) = (at / WORDS, at % WORDS);
            let (here, rest) = into.split_at_mut((WORDS - word).min(into.len()));
            memory.load_words(self.page(page), word, here);
            at += here.len();
            into = rest;
        }
    }

    /// Stores the first words of an object. The caller holds the zspage lock.
    pub fn store(&self, class: &SizeClass, object: u16, memory: &Memory, mut from: &[u64]) {
        let mut at = usize::from(object) * class.words();
        while !from.is_empty() {
            let (page, word) = (at / WORDS, at % WORDS);
            let (here, rest) = from.split_at((WORDS - word).min(from.len()));
            memory.store_words(self.page(page), word, here);
            at += here.len();
            from = rest;
        }
    }
}
