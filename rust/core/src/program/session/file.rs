//! Files of a program. Each belongs to one region, and is removed with the region.

use super::Session;
use super::actor::{Actor, Held, Hold, Mapped, Name};
use super::check::CONTENT;
use super::content::{FILES, Place, Version};
use super::process::{Beyond, Outcome, check_page_count, words};
use super::step::{Access, Problem, Step};
use crate::audit::Finding;
use crate::error::{Errno, Error};
use crate::map::{Area, File, FileKind, FileMap, Writeback};
use crate::memory::WORDS;
use crate::page::PAGE_SIZE;
use crate::program::{Backing, Owner, Region, Sel};
use crate::release::Release;
use crate::sync::stop_point;
use std::sync::Arc;

impl<R: Release> Session<R> {
    /// Maps a new file. A file on disk has content that was written before and is not cached.
    pub(super) fn map_file(
        &self,
        actor: &mut Actor,
        number: u32,
        backing: Backing,
        pages: u32,
    ) -> Outcome<(Arc<Area>, Arc<File>)> {
        let (kind, private) = match backing {
            Backing::File => (FileKind::Disk, false),
            Backing::Filepriv => (FileKind::Disk, true),
            Backing::Tmpfs => (FileKind::Tmpfs, false),
            Backing::Tmpfspriv => (FileKind::Tmpfs, true),
            Backing::Shm | Backing::Anon => (FileKind::Shm, false),
        };
        if u64::from(pages) > super::process::MAX_PAGES {
            return Err(Error::new(Errno::ENOMEM, format!("no room for a file of {pages} pages")).into());
        }
        let file = self.machine.file(kind, pages)?;
        let map = FileMap { file: Arc::clone(&file), first: 0, private, random: backing != Backing::Shm };
        let area = match self.machine.mmap_file(&self.space, map, pages) {
            Ok(area) => area,
            Err(error) => {
                self.machine.remove_file(&file);
                return Err(error.into());
            }
        };
        let on_disk = kind == FileKind::Disk;
        // A file in memory begins with holes. Their zeroes are recorded as the file's content, so
        // that a hole in a private mapping counts as the file's content and not as the mapping's
        // own.
        let version = if on_disk { actor.new_version()? } else { Version::NONE };
        for page in 0..pages {
            stop_point();
            let place = Place { region: number, page };
            if on_disk {
                let content: [u64; WORDS] = std::array::from_fn(|word| place.word(word, version));
                self.machine.write_disk(&file, page, &content)?;
            }
            let reader = self.reader(actor);
            actor.content.written(FILES, place, version, true, reader);
        }
        if on_disk {
            self.machine.lru_drain_all();
        }
        Ok((area, file))
    }

    /// Returns the file behind a region.
    fn file<'a>(&'a self, actor: &'a Actor, region: Region) -> Outcome<(&'a Mapped, &'a Arc<File>)> {
        let mapped = self.region(actor, region)?;
        let file = mapped.file.as_ref().ok_or_else(|| Problem::misuse(format!("{region} maps no file")))?;
        Ok((mapped, file))
    }

    /// Reads or writes whole pages through the file.
    pub(super) fn file_access(&self, actor: &mut Actor, pages: &Sel<Region>, write: bool) -> Step {
        let found = (|| {
            check_page_count(pages.pages.iter().flatten())?;
            actor.no_page_lock()?;
            let (mapped, file) = self.file(actor, pages.of)?;
            match file.kind {
                FileKind::Shm => Err(Problem::misuse(format!(
                    "{} is shared memory, which no path names: read or write its pages",
                    pages.of
                ))),
                FileKind::Disk | FileKind::Tmpfs => Ok((mapped.clone(), Arc::clone(file))),
            }
        })();
        let version = write.then(|| actor.new_version()).transpose();
        let ((mapped, file), version) = match (found, version) {
            (Ok(found), Ok(version)) => (found, version),
            (Err(problem), _) | (_, Err(problem)) => return Step::refused(problem),
        };
        if write && !actor.concurrent {
            self.note_copies(actor);
        }
        let mut step = Step::default();
        for page in pages.indices(mapped.area.pages()) {
            stop_point();
            let place = Place { region: mapped.number, page };
            let (offset, node) = (u64::from(page) * PAGE_SIZE as u64, mapped.area.preferred());
            let mut bytes = std::mem::take(&mut actor.buffer);
            bytes.clear();
            let result = match version {
                Some(version) => {
                    bytes.extend((0..WORDS).flat_map(|word| place.word(word, version).to_le_bytes()));
                    self.machine.file_write(&file, offset, &bytes, node)
                }
                None => {
                    bytes.resize(WORDS * 8, 0);
                    self.machine.file_read(&file, offset, &mut bytes, node)
                }
            };
            let words = words(&bytes);
            actor.buffer = bytes;
            let reader = self.reader(actor);
            let access = match (result, version) {
                (Err(error), _) => {
                    let errno = error.errno;
                    step.fails(error.into());
                    Access::Failed(errno)
                }
                (Ok(()), Some(version)) => {
                    actor.content.written(FILES, place, version, true, reader);
                    Access::Ok
                }
                (Ok(()), None) => {
                    let (access, right) = actor.content.judge(FILES, place, &words, reader);
                    if !right && !file.lost_page(place.page) {
                        let detail = format!("page {page} of the file of {} reads as {access}", pages.of);
                        step.findings.push(Finding { rule: CONTENT, pfn: None, detail });
                    }
                    access
                }
            };
            step.acc.push(access);
        }
        step
    }

    /// Makes one msync(2) with MS_SYNC for each run of pages.
    pub(super) fn msync(&self, actor: &Actor, pages: &Sel<Region>) -> Step {
        let msync = |mapped: &Mapped, run| self.machine.msync(&mapped.area, run).map(|_| ());
        self.each_run(actor, pages, false, Beyond::Inside(Errno::ENOMEM), msync)
    }

    pub(super) fn sync(&self, actor: &Actor) -> Outcome {
        actor.no_page_lock()?;
        self.machine.sync_all();
        Ok(())
    }

    /// Drops the page cache for 1 and 3. For 2 and 3 the kernel drops the file systems' own objects, which a
    /// machine lacks.
    pub(super) fn drop_caches(&self, actor: &Actor, what: u32) -> Outcome {
        if !(1..=3).contains(&what) {
            return Err(Error::new(Errno::EINVAL, format!("1, 2 or 3 can be dropped, not {what}")).into());
        }
        actor.no_page_lock()?;
        if what & 1 != 0 {
            self.machine.drop_caches();
        }
        Ok(())
    }

    pub(super) fn truncate(&self, actor: &Actor, region: Region, pages: u32) -> Outcome {
        actor.no_page_lock()?;
        let (_, file) = self.file(actor, region)?;
        Ok(self.machine.truncate_file(file, pages)?)
    }

    pub(super) fn begin_writeback(&self, actor: &mut Actor, pages: &Sel<Region>) -> Step {
        let found = (|| {
            check_page_count(pages.pages.iter().flatten())?;
            actor.no_page_lock()?;
            let (mapped, file) = self.file(actor, pages.of)?;
            Ok((mapped.clone(), Arc::clone(file)))
        })();
        let (mapped, file) = match found {
            Ok(found) => found,
            Err(problem) => return Step::refused(problem),
        };
        let mut step = Step::default();
        for index in pages.indices(mapped.area.pages()) {
            // A thread may have one write at a time, so a second page is refused after the first.
            if let Err(problem) = actor.no_page_lock() {
                step.page(Err(problem));
                continue;
            }
            step.page(match self.machine.begin_writeback(&file, index) {
                Ok(Some(Writeback { pfn, index })) => {
                    let hold = Hold::Writeback { file: file.owner, index };
                    actor.handles.push(Name::Page(Owner::Region(pages.of), index), pfn, hold);
                    Ok(1)
                }
                Ok(None) => Ok(0),
                Err(error) => Err(error.into()),
            });
        }
        step
    }

    pub(super) fn end_writeback(&self, actor: &mut Actor, pages: &Sel<Region>) -> Step {
        let found =
            check_page_count(pages.pages.iter().flatten()).and_then(|()| self.region(actor, pages.of));
        let len = match found {
            Ok(mapped) => mapped.area.pages(),
            Err(problem) => return Step::refused(problem),
        };
        let mut step = Step::default();
        for index in pages.indices(len) {
            let name = Name::Page(Owner::Region(pages.of), index);
            let write =
                self.take(actor, |held| held.name == name && matches!(held.hold, Hold::Writeback { .. }));
            step.page(match write {
                Some(held) => {
                    self.written(held);
                    Ok(0)
                }
                None => Err(Problem::misuse(format!("no write to disk of {}:{index} has begun", pages.of))),
            });
        }
        step
    }

    /// Ends a write to disk.
    pub(super) fn written(&self, held: Held) {
        // The file exists as long as the write.
        if let Hold::Writeback { file, index } = held.hold
            && let Some(file) = self.machine.owners.file(file)
        {
            self.machine.end_writeback(&file, Writeback { pfn: held.pfn, index });
        }
    }
}
