//! Handles: the names of objects that stay the same while the objects move.

use super::class::MAX_CHAIN;
use super::table::Growing;
use crate::error::{Errno, Error, Result};
use crate::memory::more_room;
use crate::page::Pfn;
use crate::sync::{AtomicU32, AtomicU64, Lock, LockClass, Ordering, acquired, broken, released, spin_until};

/// The name of an object of a pool. A handle is valid until its object is freed; afterwards every use of the
/// handle fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Handle(pub u64);

impl Handle {
    const NUMBER_BITS: u32 = 32;

    pub(super) fn number(self) -> u32 {
        self.0 as u32
    }

    fn generation(self) -> u64 {
        self.0 >> Self::NUMBER_BITS
    }

    fn new(number: u32, word: Place) -> Handle {
        Handle(u64::from(number) | word.generation() << Self::NUMBER_BITS)
    }
}

/// The word behind a handle.
///
/// | bits | what |
/// |---|---|
/// | 0 | pin bit: the object must not move |
/// | 1 | the handle is in use |
/// | 2..=12 | the number of the object in its zspage |
/// | 13..=40 | the frame in which the object begins |
/// | 41..=63 | generation: how often the handle's number was freed |
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(super) struct Place(u64);

const PIN: u64 = 1;
const LIVE: u64 = 1 << 1;
const OBJECT_SHIFT: u32 = 2;
const PFN_SHIFT: u32 = 13;
const GENERATION_SHIFT: u32 = 41;
const LAST_GENERATION: u64 = u64::MAX >> GENERATION_SHIFT;
const _: () = assert!(MAX_CHAIN * 4096 / 32 <= 1 << (PFN_SHIFT - OBJECT_SHIFT));

impl Place {
    fn generation(self) -> u64 {
        self.0 >> GENERATION_SHIFT
    }

    /// The number of the object in its zspage.
    pub fn object(self) -> u16 {
        (self.0 >> OBJECT_SHIFT & ((1 << (PFN_SHIFT - OBJECT_SHIFT)) - 1)) as u16
    }

    /// The frame in which the object begins.
    pub fn pfn(self) -> Pfn {
        Pfn((self.0 >> PFN_SHIFT & ((1 << (GENERATION_SHIFT - PFN_SHIFT)) - 1)) as u32)
    }

    /// The same handle for an object at another place.
    pub fn at(self, pfn: Pfn, object: u16) -> Place {
        let kept = self.0 & (PIN | u64::MAX << GENERATION_SHIFT);
        Place(kept | LIVE | u64::from(object) << OBJECT_SHIFT | u64::from(pfn.0) << PFN_SHIFT)
    }

    fn is(self, handle: Handle) -> bool {
        self.0 & LIVE != 0 && self.generation() == handle.generation()
    }

    fn unpinned(self) -> Place {
        Place(self.0 & !PIN)
    }
}

#[derive(Debug, Default)]
struct Cell {
    word: AtomicU64,
    /// The bytes of the object's content.
    len: AtomicU32,
}

#[derive(Clone, Debug, Default, Hash)]
struct Numbers {
    free: Vec<u32>,
    next: u32,
    /// Numbers whose generations are used up.
    retired: u32,
}

/// All handles of a pool.
#[derive(Debug)]
pub(super) struct Handles {
    cells: Growing<Cell>,
    numbers: Lock<Numbers>,
}

/// The rule behind [`Handles::cell`]: a number's cell is made before the number is given out.
const NO_CELL: &str = "a handle in use has a cell";

impl Handles {
    pub fn new() -> Handles {
        Handles {
            cells: Growing::new("the handles of a pool"),
            numbers: Lock::plain(LockClass::Leaf, Numbers::default()),
        }
    }

    fn cell(&self, number: u32) -> &Cell {
        match self.cells.get(number as usize) {
            Some(cell) => cell,
            None => broken(NO_CELL, format_args!("handle {number}")),
        }
    }

    /// The error for a handle that names no object.
    pub fn stale(handle: Handle) -> Error {
        let why = format!("handle {:#x} names no object: it was freed, or is of another pool", handle.0);
        Error::new(Errno::EINVAL, why)
    }

    /// Reserves a number for an object of `len` bytes. `ENOMEM` if the host has no memory.
    pub fn reserve(&self, len: u32) -> Result<u32> {
        let number = {
            let mut numbers = self.numbers.lock();
            match numbers.free.pop() {
                Some(number) => number,
                None if (numbers.next as usize) < Growing::<Cell>::MOST => {
                    let used = numbers.next as usize + 1;
                    let free = numbers.free.len();
                    more_room(&mut numbers.free, "the handles of a pool", used - free)?;
                    self.cells.make(used - 1)?;
                    numbers.next += 1;
                    numbers.next - 1
                }
                None => {
                    return Err(Error::new(Errno::ENOMEM, "the pool has no handle left: free some objects"));
                }
            }
        };
        // Relaxed: no other thread knows the number's new handle yet; one with an old handle notices that.
        self.cell(number).len.store(len, Ordering::Relaxed);
        Ok(number)
    }

    /// Gives back a number that was reserved and is not in use.
    pub fn give_back(&self, number: u32) {
        self.numbers.lock().free.push(number);
    }

    /// The bytes of an object's content. The caller has mapped the object. Where objects are not pinned,
    /// another thread may have freed it meanwhile, and the number may be another object's: the caller looks
    /// at the handle again.
    pub fn len(&self, number: u32) -> u32 {
        // Relaxed: the handle's number was given out after the store of the length, and the caller has it.
        self.cell(number).len.load(Ordering::Relaxed)
    }

    /// The place of a live object. `EINVAL` if the handle is stale.
    pub fn place(&self, handle: Handle) -> Result<Place> {
        let cell = self.cells.get(handle.number() as usize).ok_or_else(|| Self::stale(handle))?;
        // Acquire pairs with the Release of `record`: the chain of a fresh zspage is filled.
        let place = Place(cell.word.load(Ordering::Acquire)).unpinned();
        if place.is(handle) { Ok(place) } else { Err(Self::stale(handle)) }
    }

    /// The place of the object that has this number, which the caller's locks keep alive.
    pub fn place_of(&self, number: u32) -> Place {
        // Relaxed: the class lock orders this load with every change of the place.
        Place(self.cell(number).word.load(Ordering::Relaxed))
    }

    /// Records a new place of an object (`record_obj`), and returns the handle.
    pub fn record(&self, number: u32, pfn: Pfn, object: u16) -> Handle {
        let place = self.place_of(number).at(pfn, object);
        // Release pairs with the Acquire of `place` and `pin`. A store and no read-modify-write,
        // because no other thread changes the word meanwhile: the handle of a fresh object is known to
        // no other thread yet, and an object that moves is pinned, or the pool's lock is held
        // exclusively.
        self.cell(number).word.store(place.0, Ordering::Release);
        Handle::new(number, place)
    }

    /// Ends a handle whose object was freed, and with `pinned` its pin. A number whose generations are
    /// used up is not given out again: its next handle would equal one that was freed before.
    pub fn end(&self, number: u32, pinned: bool) {
        let cell = self.cell(number);
        let next = (self.place_of(number).generation() + 1) & LAST_GENERATION;
        if pinned {
            released(LockClass::ZsHandle, std::ptr::from_ref(&cell.word).addr());
        }
        // Release: a thread that waits for the pin sees that the object is gone.
        cell.word.store(next << GENERATION_SHIFT, Ordering::Release);
        match next {
            0 => self.numbers.lock().retired += 1,
            _ => self.give_back(number),
        }
    }

    /// The number of handles in use, for the audit.
    pub fn used(&self) -> u64 {
        let numbers = self.numbers.lock();
        u64::from(numbers.next - numbers.retired) - numbers.free.len() as u64
    }

    /// Pins an object (`pin_tag`), waiting for its present user. `EINVAL` if the handle is stale.
    pub fn pin(&self, handle: Handle) -> Result<Place> {
        let cell = self.cells.get(handle.number() as usize).ok_or_else(|| Self::stale(handle))?;
        loop {
            let seen = spin_until(&cell.word, |word| word & PIN == 0 || !Place(word).is(handle));
            if !Place(seen).is(handle) {
                return Err(Self::stale(handle));
            }
            // Acquire pairs with the Release of `unpin`: the next user sees what the former stored.
            if cell.word.compare_exchange(seen, seen | PIN, Ordering::Acquire, Ordering::Relaxed).is_ok() {
                acquired(LockClass::ZsHandle, std::ptr::from_ref(&cell.word).addr(), false);
                return Ok(Place(seen));
            }
        }
    }

    /// Pins the object that has this number if it is not pinned (`trypin_tag`).
    pub fn try_pin(&self, number: u32) -> bool {
        let cell = self.cell(number);
        // Acquire: see `pin`.
        let taken = cell.word.fetch_or(PIN, Ordering::Acquire) & PIN == 0;
        if taken {
            acquired(LockClass::ZsHandle, std::ptr::from_ref(&cell.word).addr(), true);
        }
        taken
    }

    /// Unpins an object.
    pub fn unpin(&self, number: u32) {
        let cell = self.cell(number);
        released(LockClass::ZsHandle, std::ptr::from_ref(&cell.word).addr());
        // Release: see `pin`.
        cell.word.fetch_and(!PIN, Ordering::Release);
    }

    /// Names the word at `address` for traces. The explorer asks when it has undone the schedule, so numbers
    /// that the schedule has given out are not known any more; their cells stay.
    pub fn field_at(&self, address: usize) -> Option<String> {
        let mut cells = (0..).map_while(|number| Some((number, self.cells.get(number)?)));
        cells.find_map(|(number, cell)| {
            let is = |field: usize, what: &str| (field == address).then(|| format!("{what} {number}"));
            is(std::ptr::from_ref(&cell.word).addr(), "handle")
                .or_else(|| is(std::ptr::from_ref(&cell.len).addr(), "length of the object of handle"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{GENERATION_SHIFT, Handles, LAST_GENERATION};
    use crate::page::Pfn;
    use crate::sync::Ordering;

    #[test]
    fn a_freed_handle_is_stale_after_all_generations_of_its_number() {
        let handles = Handles::new();
        let number = handles.reserve(8).unwrap();
        let first = handles.record(number, Pfn(3), 1);
        handles.end(number, false);
        // Millions of frees later.
        handles.cell(number).word.store((LAST_GENERATION - 1) << GENERATION_SHIFT, Ordering::Relaxed);
        for _ in 0..3 {
            let number = handles.reserve(8).unwrap();
            let handle = handles.record(number, Pfn(3), 1);
            assert!(handles.place(handle).is_ok());
            assert!(handles.place(first).is_err(), "{first:?} names the object of {handle:?}");
            handles.end(number, false);
        }
        assert_eq!(handles.numbers.lock().next, 2, "the first number is not used again");
    }
}
