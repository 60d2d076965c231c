//! A file's life: it is made, mapped, removed, and ended by its last user.

use super::{File, FileKind, FileMap, MAX_FILE_PAGES};
use crate::error::{Errno, Error, Result};
use crate::machine::Machine;
use crate::map::{AddressSpace, Area, AreaKind, Areas, Of};
use crate::memory::{Table, WORDS};
use crate::owner::{Owner, OwnerId};
use crate::release::Release;
use crate::sync::{AtomicU32, Lock, LockClass, Ordering, RwLock};
use std::collections::BTreeSet;
use std::sync::Arc;

/// A call that uses a file and keeps it from ending; see [`Machine::enter_file`].
pub(super) struct Inside<'a, R: Release> {
    machine: &'a Machine<R>,
    file: &'a File,
}

impl<R: Release> Drop for Inside<'_, R> {
    fn drop(&mut self) {
        self.machine.unlink_file(self.file);
    }
}

impl<R: Release> Machine<R> {
    /// Makes a file of `pages` pages, all zeroes, none of them cached.
    ///
    /// `EINVAL` for 0 pages, `EFBIG` for more than `MAX_FILE_PAGES`, `ENOMEM` if the owner slots
    /// or the host's memory run out.
    pub fn file(&self, kind: FileKind, pages: u32) -> Result<Arc<File>> {
        if pages == 0 {
            return Err(Error::new(Errno::EINVAL, "a file has at least one page"));
        }
        if pages > MAX_FILE_PAGES {
            let why = format!("a file has {MAX_FILE_PAGES} pages at most, not {pages}");
            return Err(Error::new(Errno::EFBIG, why));
        }
        self.may_allocate("table of a file's pages")?;
        let disk = match kind {
            FileKind::Disk if self.memory.is_backed() => Some(Table::zeroed(pages as usize * WORDS)?),
            _ => None,
        };
        let slots = Table::zeroed(pages as usize)?;
        let policies = Table::zeroed(if kind == FileKind::Disk { 0 } else { pages as usize })?;
        self.may_allocate("owner slot")?;
        self.owners.insert_with(|owner| {
            let file = Arc::new(File {
                kind,
                owner,
                size: AtomicU32::new(pages),
                // The file's name is its first link.
                links: AtomicU32::new(1),
                removed: AtomicU32::new(0),
                top: AtomicU32::new(0),
                invalidate: RwLock::new(LockClass::Invalidate, ()),
                tree: Lock::new(LockClass::Tree, ()),
                last_read: AtomicU32::new(0),
                lost: AtomicU32::new(0),
                lost_pages: Lock::plain(LockClass::Leaf, BTreeSet::new()),
                losses: Default::default(),
                policies,
                slots,
                disk,
            });
            Ok((Owner::File { file: Arc::clone(&file), areas: Areas::new(Of::File) }, file))
        })
    }

    /// Removes a file's name and gives up the handle on it (`unlink`, `close`). The file ends, with
    /// all its pages, when no area maps it any more. A second call does nothing. The end may wait
    /// for page locks and write-backs.
    pub fn remove_file(&self, file: &File) {
        // AcqRel: the swap lets only one of several callers take the name's link off. Release pairs
        // with the Acquire in `File::is_removed`.
        if file.removed.swap(1, Ordering::AcqRel) == 0 {
            self.unlink_file(file);
        }
    }

    /// Returns the files that have not ended.
    pub fn files(&self) -> Vec<Arc<File>> {
        let mut files = Vec::new();
        self.owners.for_each(|_, owner| {
            if let Owner::File { file, .. } = owner {
                files.push(Arc::clone(file));
            }
        });
        files
    }

    /// Maps `pages` pages of a file into a space.
    ///
    /// `EINVAL` for 0 pages or for a range that does not lie in the file, `EBADF` for a removed
    /// file; otherwise as [`Machine::mmap`].
    pub fn mmap_file(&self, space: &AddressSpace, map: FileMap, pages: u32) -> Result<Arc<Area>> {
        let end = u64::from(map.first) + u64::from(pages);
        if pages == 0 || end > u64::from(map.file.capacity()) {
            let why =
                format!("pages {} to {end} do not lie in a file of {} pages", map.first, map.file.capacity());
            return Err(Error::new(Errno::EINVAL, why));
        }
        if map.file.is_removed() {
            return Err(removed());
        }
        self.link_file(&map.file)?;
        let file = Arc::clone(&map.file);
        let area = self.mmap_kind(space, pages, AreaKind::File(map));
        if area.is_err() {
            self.unlink_file(&file);
        }
        area
    }

    /// Takes a link that keeps a file from ending during a call. `EBADF` after its end or its
    /// removal.
    pub(super) fn enter_file<'a>(&'a self, file: &'a File) -> Result<Inside<'a, R>> {
        if file.is_removed() {
            return Err(removed());
        }
        self.stay_in_file(file)
    }

    /// Enters a file that may have been removed, on behalf of a mapping of it.
    pub(super) fn stay_in_file<'a>(&'a self, file: &'a File) -> Result<Inside<'a, R>> {
        self.link_file(file)?;
        Ok(Inside { machine: self, file })
    }

    /// Takes a link on a file. `EBADF` after the file's end.
    pub(crate) fn link_file(&self, file: &File) -> Result<()> {
        // Relaxed: only the number is needed, and the exchange checks it. Zero is final.
        let mut links = file.links.load(Ordering::Relaxed);
        loop {
            if links == 0 {
                return Err(removed());
            }
            // Relaxed: an existing link keeps the file, and the new user has learnt of the file
            // from its holder.
            match file.links.compare_exchange_weak(links, links + 1, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Ok(()),
                Err(now) => links = now,
            }
        }
    }

    /// Drops a link; the last one ends the file.
    pub(crate) fn unlink_file(&self, file: &File) {
        // AcqRel: the thread that drops the last link comes after the use by all others.
        if file.links.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.truncate_pages(file, 0);
            self.owners.remove(file.owner);
        }
    }

    /// Adds an area to the file's reverse map, after all others; see [`Machine::join_owners`].
    pub(in crate::map) fn join_file(&self, owner: OwnerId, area: &Arc<Area>) -> Result<()> {
        let joined = self.owners.update(owner, |owner| match owner {
            Owner::File { areas, .. } => areas.push(area),
            _ => crate::sync::broken(
                "a mapped file is in its owner slot",
                format_args!("area at page {}", area.first),
            ),
        });
        debug_assert!(joined.is_some(), "a file lives while an area maps it");
        joined.unwrap_or(Ok(()))
    }

    /// Removes an area from its file's reverse map. The caller still has to drop the area's link.
    pub(in crate::map) fn remove_from_file(&self, area: &Area, map: &FileMap) {
        self.owners.update(map.file.owner, |owner| {
            if let Owner::File { areas, .. } = owner {
                areas.remove(area);
            }
        });
    }

    /// Removes an area that maps nothing any more from its file's reverse map, and drops its link.
    pub(in crate::map) fn leave_file(&self, area: &Area, map: &FileMap) {
        self.remove_from_file(area, map);
        self.unlink_file(&map.file);
    }
}

#[cold]
fn removed() -> Error {
    Error::new(Errno::EBADF, "the file is removed")
}
