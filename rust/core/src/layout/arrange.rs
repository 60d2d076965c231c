//! Puts pages into the frames of a node, so that the node has a given layout.
//!
//! 1. Empty the CPUs' arrays, so that every free frame is on a buddy list.
//! 2. Go through the kinds in the order of [`Kind::ALL`]. Take each frame of a kind out of the buddy lists
//!    and make it the next that this CPU's allocations get; the ordinary operation that makes a page of the
//!    kind then makes it there, and locks, pins or isolates it. A frame to be poisoned is soft-offlined
//!    where it is.
//! 3. Drain the batches, so that the pages are on their lists.
//! 4. Add the pages that are to wait in batches.
//! 5. Set the types of the pageblocks.

use super::kind::Kind;
use crate::alloc::MigrateType;
use crate::audit::{Handle, Ledger};
use crate::error::{Errno, Error, Result, Why};
use crate::machine::Machine;
use crate::map::{AddressSpace, Area, File, FileKind, FileMap, PinKind};
use crate::memory::{more_room, room};
use crate::movable::{PagePool, PoolPage};
use crate::page::Pfn;
use crate::release::Release;
use crate::sync::{interrupted, uninterrupted};
use std::sync::Arc;

/// The pages of one mapping, with the frames that they were put into.
#[derive(Debug)]
struct Mapped {
    area: Arc<Area>,
    frames: Vec<Pfn>,
    written: bool,
}

/// The pages of a pool, each with the frame that it was put into.
type Placed = Vec<(PoolPage, Pfn)>;

/// An arrangement: the mappings, pages and pools that it has put into a node, until it is cleared.
#[derive(Debug)]
pub struct Arranged {
    space: Arc<AddressSpace>,
    mapped: Vec<Mapped>,
    files: Vec<Arc<File>>,
    pools: Vec<(Arc<PagePool>, Placed)>,
    held: Vec<(Pfn, Handle)>,
    poisoned: Vec<Pfn>,
    /// Pageblocks whose type was changed, each by its first frame, with the type before.
    typed: Vec<(Pfn, MigrateType)>,
}

impl<R: Release> Machine<R> {
    /// Fills a fresh node so that its layout is `letters`, one letter of [`Kind`] for each frame.
    /// Pages of other uses ([`Kind::Slab`] and the like) are allocated frames that remember their
    /// letter; movable pages of zsmalloc or a balloon are pages of a pool. `types` has the letter of
    /// each pageblock's migratetype; if it is empty, the types stay as they are. Handles go to `ledger`,
    /// until [`Machine::clear_arranged`] gives everything back.
    ///
    /// The machine is to be at rest. `EINVAL` for a wrong number of letters, a letter that is no kind, a kind
    /// that cannot be arranged, or more pages that wait in batches than the batches hold; `EBUSY` for a frame
    /// that is in use; `ENOMEM` if the host has no memory, or all owner slots are in use; `EINTR` if it was
    /// interrupted. After an error the node is as it was.
    pub fn arrange(&self, ledger: &Ledger, node: usize, letters: &[u8], types: &[u8]) -> Result<Arranged> {
        let invalid = |why: String| Error::new(Errno::EINVAL, why);
        let Some(found) = self.nodes.get(node) else {
            return Err(invalid(format!("no node {node}")));
        };
        if letters.len() != found.frames as usize {
            let (has, given) = (found.frames, letters.len());
            return Err(invalid(format!("a letter for each frame: node {node} has {has}, not {given}")));
        }
        if let Some(at) = letters.iter().position(|&letter| Kind::from_letter(letter).is_none()) {
            let letter = char::from(letters[at]).escape_default();
            return Err(invalid(format!("frame {at}: {letter} is no letter of a layout")));
        }
        let types = self.types_of(node, types)?;
        self.drain_pcp(node);
        let space = self.address_space()?;
        let mut arranged = Arranged {
            space,
            mapped: Vec::new(),
            files: Vec::new(),
            pools: Vec::new(),
            held: Vec::new(),
            poisoned: Vec::new(),
            typed: Vec::new(),
        };
        let filled = self.fill(&mut arranged, ledger, node, letters).and_then(|()| {
            more_room(&mut arranged.typed, "the pageblocks of a layout", types.len())?;
            types.into_iter().try_for_each(|(first, kind)| {
                let before = self.set_pageblock_type(first, kind)?;
                arranged.typed.push((first, before));
                Ok(())
            })
        });
        match filled {
            Ok(()) => Ok(arranged),
            Err(error) => {
                self.clear_all_arranged(ledger, arranged);
                Err(error)
            }
        }
    }

    /// The first frame and the type of each pageblock, from its letters.
    fn types_of(&self, node: usize, letters: &[u8]) -> Result<Vec<(Pfn, MigrateType)>> {
        let (has, order) = {
            let zone = self.nodes[node].zone.lock();
            (zone.pageblocks().len(), zone.pageblocks().order())
        };
        let invalid = |why: String| Err(Error::new(Errno::EINVAL, why));
        if !letters.is_empty() && letters.len() != has as usize {
            let given = letters.len();
            return invalid(format!("a type for each pageblock: node {node} has {has}, not {given}"));
        }
        let mut types = room("the pageblocks of a layout", letters.len())?;
        for (number, &letter) in (0..).zip(letters) {
            let found = MigrateType::ALL.into_iter().find(|kind| kind.letter() == char::from(letter));
            let Some(kind) = found else {
                let letter = char::from(letter).escape_default();
                return invalid(format!("pageblock {number}: {letter} is no letter of a migratetype"));
            };
            types.push((self.nodes[node].base.plus(number << order), kind));
        }
        Ok(types)
    }

    fn fill(&self, arranged: &mut Arranged, ledger: &Ledger, node: usize, letters: &[u8]) -> Result<()> {
        let frames = |wanted: Kind| {
            let base = self.nodes[node].base;
            let all = (0..).zip(letters).filter(|&(_, &letter)| letter == wanted.letter());
            let mut frames = room("the frames of a layout", all.clone().count())?;
            frames.extend(all.map(|(number, _)| base.plus(number)));
            Ok::<Vec<Pfn>, Error>(frames)
        };
        for &kind in Kind::ALL {
            let frames = frames(kind)?;
            if frames.is_empty() || matches!(kind, Kind::AnonBatched | Kind::FileBatched) {
                continue;
            }
            self.put_in(arranged, ledger, node, kind, frames)?;
        }
        self.lru_drain_all();
        // A drain would take these pages out of their batches, so they are added last. A full batch is
        // drained, so one place of each stays free.
        let fits = usize::from(self.profile.pagevec).saturating_sub(1);
        let own = self.cpu();
        let waiting = [
            (Kind::AnonBatched, frames(Kind::AnonBatched)?),
            (Kind::FileBatched, frames(Kind::FileBatched)?),
        ];
        let all: usize = waiting.iter().map(|(_, frames)| frames.len()).sum();
        if all > fits * self.cpu_count() {
            let most = fits * self.cpu_count();
            let why =
                format!("{all} pages are to wait in batches, which hold {most} before they are drained");
            return Err(Error::new(Errno::EINVAL, why));
        }
        let mut queued = 0;
        let added = waiting.into_iter().try_for_each(|(kind, mut rest)| {
            while !rest.is_empty() {
                self.bind_cpu(Some(queued / fits));
                let now = rest.len().min(fits - queued % fits);
                let part = rest.drain(..now).collect();
                queued += now;
                self.put_in(arranged, ledger, node, kind, part)?;
            }
            Ok(())
        });
        self.bind_cpu(Some(own));
        added
    }

    /// Puts pages of one kind into these frames.
    fn put_in(
        &self,
        arranged: &mut Arranged,
        ledger: &Ledger,
        node: usize,
        kind: Kind,
        frames: Vec<Pfn>,
    ) -> Result<()> {
        match kind {
            Kind::Free => Ok(()),
            Kind::Anon | Kind::AnonBatched => self.map_in(arranged, node, None, true, frames).map(drop),
            Kind::AnonUnevictable => {
                let area = self.map_in(arranged, node, None, true, frames)?;
                self.mlock(&arranged.space, &area, 0..area.pages())
            }
            Kind::AnonPinned => {
                let area = self.map_in(arranged, node, None, true, frames)?;
                room_to_hold(arranged, area.pages() as usize)?;
                (0..area.pages()).try_for_each(|page| {
                    Error::unless_interrupted()?;
                    let pfn = self.pin(&area, page, PinKind::Get, true)?;
                    hold(arranged, ledger, pfn, Handle::Ref);
                    Ok(())
                })
            }
            Kind::Isolated => {
                let area = self.map_in(arranged, node, None, true, frames)?;
                self.lru_drain_all();
                room_to_hold(arranged, area.pages() as usize)?;
                (0..area.pages()).try_for_each(|page| {
                    Error::unless_interrupted()?;
                    let Some(pfn) = self.page_at(&area, page) else { return Ok(()) };
                    self.isolate(pfn)?;
                    hold(arranged, ledger, pfn, Handle::Isolated);
                    Ok(())
                })
            }
            Kind::FileClean | Kind::FileBatched => {
                self.map_in(arranged, node, Some(FileKind::Disk), false, frames).map(drop)
            }
            Kind::FileDirty => self.map_in(arranged, node, Some(FileKind::Disk), true, frames).map(drop),
            Kind::Shmem => self.map_in(arranged, node, Some(FileKind::Shm), true, frames).map(drop),
            Kind::FileUnevictable => {
                let area = self.map_in(arranged, node, Some(FileKind::Disk), false, frames)?;
                self.mlock(&arranged.space, &area, 0..area.pages())
            }
            Kind::Zsmalloc | Kind::Balloon | Kind::Movable => {
                let pages = room("the pages of a layout", frames.len())?;
                let pool = PagePool::standing_for(self, kind)?;
                arranged.pools.push((Arc::clone(&pool), pages));
                let last = arranged.pools.len() - 1;
                frames.into_iter().try_for_each(|frame| {
                    Error::unless_interrupted()?;
                    self.stage(frame)?;
                    let page = pool.add(self, node)?;
                    arranged.pools[last].1.push((page, frame));
                    pool.write(self, page, 0, pattern(frame))?;
                    at(frame, Some(pool.pfn(page)?))
                })
            }
            Kind::Poisoned => {
                more_room(&mut arranged.poisoned, "the frames of a layout", frames.len())?;
                frames.into_iter().try_for_each(|frame| {
                    Error::unless_interrupted()?;
                    self.soft_offline_page(frame)?;
                    arranged.poisoned.push(frame);
                    Ok(())
                })
            }
            Kind::SwapCache | Kind::Writeback => {
                let (letter, meaning) = (char::from(kind.letter()), kind.meaning());
                let why =
                    format!("{letter} ({meaning}) cannot be arranged: only an operation makes such a page");
                Err(Error::new(Errno::EINVAL, why))
            }
            Kind::Hugetlb
            | Kind::Slab
            | Kind::PageTable
            | Kind::Reserved
            | Kind::Kernel
            | Kind::PerCpu
            | Kind::Absent
            | Kind::Unknown => {
                room_to_hold(arranged, frames.len())?;
                frames.into_iter().try_for_each(|frame| {
                    Error::unless_interrupted()?;
                    let pfn = self.allocate_frame(frame, kind)?.ok_or_else(|| in_use(frame))?;
                    hold(arranged, ledger, pfn, Handle::Ref);
                    Ok(())
                })
            }
        }
    }

    /// Allocates a frame for one of the kernel's own uses, with one reference. `None` if it is not free;
    /// `EBUSY` if another thread on this CPU took the frame meanwhile.
    pub(crate) fn allocate_frame(&self, frame: Pfn, kind: Kind) -> Result<Option<Pfn>> {
        if !self.stage_frame(frame) {
            return Ok(None);
        }
        self.allocate_staged(frame, kind).map(Some)
    }

    /// Allocates the frame that was staged on this CPU, or no frame.
    fn allocate_staged(&self, frame: Pfn, kind: Kind) -> Result<Pfn> {
        let pfn = self.alloc_pages(self.node_of(frame), 0)?;
        // A page in another frame has no other holder, so nobody else would free it.
        at(frame, Some(pfn)).inspect_err(|_| self.put(pfn))?;
        self.frames[pfn].set_extra(0, kind.letter().into());
        Ok(pfn)
    }

    /// Maps one page into each frame: anonymous memory, or a file of a kind. `write` makes the
    /// pages dirty, and gives each a content of its own.
    fn map_in(
        &self,
        arranged: &mut Arranged,
        node: usize,
        file: Option<FileKind>,
        write: bool,
        frames: Vec<Pfn>,
    ) -> Result<Arc<Area>> {
        // No node has more frames than fit in 32 bits.
        let pages = frames.len() as u32;
        let area = match file {
            None => self.mmap(&arranged.space, pages)?,
            Some(kind) => {
                let file = self.file(kind, pages)?;
                arranged.files.push(Arc::clone(&file));
                let map = FileMap { file, first: 0, private: false, random: true };
                self.mmap_file(&arranged.space, map, pages)?
            }
        };
        self.prefer(&area, node)?;
        for (page, &frame) in (0..).zip(&frames) {
            Error::unless_interrupted()?;
            self.stage(frame)?;
            self.fault(&area, page, write)?;
            if write && self.memory.is_backed() {
                self.write_word(&area, page, 0, pattern(frame))?;
            }
            at(frame, self.page_at(&area, page))?;
        }
        arranged.mapped.push(Mapped { area: Arc::clone(&area), frames, written: write });
        Ok(area)
    }

    /// Makes a frame the next that this CPU's allocations get.
    fn stage(&self, frame: Pfn) -> Result<()> {
        match self.stage_frame(frame) {
            true => Ok(()),
            false => Err(in_use(frame)),
        }
    }

    /// Gives back everything that an arrangement has made, wherever its pages are now. `EINTR` if it was
    /// interrupted: another call gives the rest back.
    pub fn clear_arranged(&self, ledger: &Ledger, arranged: &mut Arranged) -> Result<()> {
        each(&mut arranged.typed, |(first, before)| {
            // Cannot fail: the frame was found when its pageblock got its type.
            let _ = self.set_pageblock_type(first, before);
        })?;
        each(&mut arranged.held, |(pfn, handle)| {
            ledger.remove(pfn, handle);
            match handle {
                Handle::Isolated => self.putback(pfn),
                _ => self.put(pfn),
            }
        })?;
        self.exit_unless_interrupted(&arranged.space)?;
        each(&mut arranged.files, |file| self.remove_file(&file))?;
        for (pool, pages) in &mut arranged.pools {
            each(pages, |(page, _)| {
                // Cannot fail: the pool has the page until it is released here.
                let _ = pool.release(self, page);
            })?;
        }
        arranged.pools.drain(..).for_each(|(pool, _)| pool.close(self));
        self.lru_drain_all();
        each(&mut arranged.poisoned, |frame| {
            // A frame that a user of the machine has unpoisoned is free already.
            let _ = self.unpoison_memory(frame);
        })
    }

    /// Does the same, and cannot be interrupted.
    pub fn clear_all_arranged(&self, ledger: &Ledger, mut arranged: Arranged) {
        // Cannot fail: no question is asked.
        let _ = uninterrupted(|| self.clear_arranged(ledger, &mut arranged));
    }

    /// The first page of an arrangement whose content is not what was written to it, as the frame
    /// that it was put into. `None` if all are intact, or the machine is unbacked, and after an interruption.
    pub fn damaged(&self, arranged: &Arranged) -> Option<Pfn> {
        if !self.memory.is_backed() {
            return None;
        }
        let mapped = arranged.mapped.iter().flat_map(|mapped| {
            let wanted = |frame| if mapped.written { pattern(frame) } else { 0 };
            (0..).zip(&mapped.frames).map(move |(page, &frame)| (mapped, page, frame, wanted(frame)))
        });
        let lost = mapped
            .take_while(|_| !interrupted())
            .filter(|(mapped, page, _, wanted)| self.read_word(&mapped.area, *page, 0).ok() != Some(*wanted))
            .map(|(_, _, frame, _)| frame);
        let pools = arranged.pools.iter().flat_map(|(pool, pages)| {
            pages
                .iter()
                .take_while(|_| !interrupted())
                .filter(|(page, frame)| pool.read(self, *page, 0).ok() != Some(pattern(*frame)))
        });
        lost.chain(pools.map(|&(_, frame)| frame)).next()
    }
}

/// Takes all values out of a list, the last one first, and gives each back. `EINTR` if the call was
/// interrupted: the values that are left stay on the list.
fn each<T>(list: &mut Vec<T>, mut give_back: impl FnMut(T)) -> Result<()> {
    while let Some(value) = list.pop() {
        give_back(value);
        Error::unless_interrupted()?;
    }
    Ok(())
}

/// The word that is written to the page that was put into a frame.
fn pattern(frame: Pfn) -> u64 {
    0x6d6d_0000_0000_0000 | u64::from(frame.0)
}

/// Reserves room for handles of an arrangement, before the first page is held. A page that was held and could
/// not be recorded would never be given back.
fn room_to_hold(arranged: &mut Arranged, pages: usize) -> Result<()> {
    more_room(&mut arranged.held, "the pages of a layout", pages)
}

/// Records a handle of an arrangement, for which there is room.
fn hold(arranged: &mut Arranged, ledger: &Ledger, pfn: Pfn, handle: Handle) {
    ledger.add(pfn, handle);
    arranged.held.push((pfn, handle));
}

/// The error for a frame that is not free.
fn in_use(frame: Pfn) -> Error {
    let why = "it is in use: arrange a node whose frames are all free".into();
    Error::at(Errno::EBUSY, frame, Why::State(why))
}

/// Checks that a page was made in the frame that was staged for it.
fn at(frame: Pfn, made: Option<Pfn>) -> Result<()> {
    if made == Some(frame) {
        return Ok(());
    }
    let why = "another thread took the frame: arrange a machine that no other thread uses".into();
    Err(Error::at(Errno::EBUSY, frame, Why::State(why)))
}

#[cfg(all(test, not(feature = "explored")))]
mod tests {
    use super::*;
    use crate::machine::Config;
    use crate::release::Split;

    #[test]
    fn a_page_in_a_frame_that_was_not_wanted_is_given_back() {
        let machine = Machine::<Split>::new(&Config::new(1, 64)).unwrap();
        assert!(machine.stage_frame(Pfn(7)));
        // Another thread on this CPU allocates first.
        assert_eq!(machine.alloc_pages(0, 0), Ok(Pfn(7)));
        let lost = machine.allocate_staged(Pfn(7), Kind::Slab).unwrap_err();
        assert_eq!((lost.errno, lost.pfn), (Errno::EBUSY, Some(Pfn(7))));
        machine.put(Pfn(7));
        machine.drain_pcp(0);
        assert_eq!(machine.free_frames(0), (64, 0));
        assert!(machine.audit(&Ledger::default()).is_empty());
    }
}
