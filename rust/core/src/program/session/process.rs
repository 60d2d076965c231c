//! System calls on memory: mapping, access, fork, pins.

use super::Session;
use super::actor::{Actor, Handles, Hold, Mapped, Name, Pipe, Process, Table};
use super::content::{Place, Reader, Version};
use super::history::{note_fork_start, note_write_start};
use super::refusal;
use super::step::{Access, Problem, Step};
use crate::audit::Finding;
use crate::error::{Errno, Error};
use crate::map::{Area, Entry, PinKind};
use crate::memory::WORDS;
use crate::migrate::MoveFlags;
use crate::page::PAGE_SIZE;
use crate::profile::FilePin;
use crate::program::{Address, Backing, Child, MoveOption, PageRange, PinName, Region, Sel, Sum, word};
use crate::release::Release;
use crate::sync::stop_point;
use std::ops::Range;
use std::sync::Arc;

pub(super) type Outcome<T = ()> = Result<T, Problem>;

impl<R: Release> Session<R> {
    /// Returns the actor as a reader of content.
    pub(super) fn reader<'a>(&'a self, actor: &Actor) -> Reader<'a> {
        Reader { number: actor.number, concurrent: actor.concurrent, before: &self.content }
    }

    /// Returns a region of the program's own process.
    pub(super) fn region<'a>(&'a self, actor: &'a Actor, region: Region) -> Outcome<&'a Mapped> {
        let mapped = actor.names.regions.get(region).or_else(|| self.names.regions.get(region));
        mapped.ok_or_else(|| Problem::misuse(format!("{region} is not mapped")))
    }

    /// Returns a child that has not exited.
    pub(super) fn child<'a>(&'a self, actor: &'a Actor, child: Child) -> Outcome<&'a Arc<Process>> {
        let known = actor.names.children.get(child).or_else(|| self.names.children.get(child));
        match known {
            Some(Some(process)) => Ok(process),
            Some(None) => Err(Error::new(Errno::ESRCH, format!("{child} has exited")).into()),
            None => Err(Problem::misuse(format!("{child} was not forked"))),
        }
    }

    pub(super) fn map(
        &self,
        actor: &mut Actor,
        region: Region,
        backing: Backing,
        pages: u32,
        (node, order): (Option<u32>, Option<u32>),
    ) -> Step {
        let mut map = || -> Outcome {
            actor.no_page_lock()?;
            if let Ok(old) = self.region(actor, region) {
                let area = &old.area;
                if self.space.find(area.address(0)).is_some()
                    || (0..area.pages()).any(|page| self.space.find(area.address(page)).is_some())
                {
                    return Err(Problem::misuse(format!("{region} is mapped already")));
                }
            }
            if let Some(node) = node {
                self.node(node)?;
            }
            let number = actor.new_number();
            let (area, file) = match backing {
                Backing::Anon => {
                    // An order that does not fit into a byte is refused like one that is too large.
                    let order = u8::try_from(order.unwrap_or(0)).unwrap_or(u8::MAX);
                    (self.machine.mmap_large(&self.space, pages, order)?, None)
                }
                _ if order.is_some() => {
                    return Err(Error::new(Errno::EINVAL, "only anonymous memory has large pages").into());
                }
                _ => {
                    let (area, file) = self.map_file(actor, number, backing, pages)?;
                    (area, Some(file))
                }
            };
            self.machine.prefer(&area, node.unwrap_or(0) as usize)?;
            actor.names.regions.set(region, Mapped { number, area, file });
            actor.names.frames.retain(|(of, _)| *of != region);
            Ok(())
        };
        map().into()
    }

    /// Checks the number of a node: `EINVAL` if the machine has no such node.
    pub(super) fn node(&self, node: u32) -> Outcome<usize> {
        let nodes = self.machine.nodes().len();
        match (node as usize) < nodes {
            true => Ok(node as usize),
            false => {
                Err(Error::new(Errno::EINVAL, format!("there is no node {node}: the machine has {nodes}"))
                    .into())
            }
        }
    }

    pub(super) fn access(
        &self,
        actor: &mut Actor,
        child: Option<Child>,
        pages: &Sel<Region>,
        write: bool,
    ) -> Step {
        let mut step = Step::default();
        let found = (|| -> Outcome<(u32, Mapped)> {
            check_page_count(pages.pages.iter().flatten())?;
            actor.no_page_lock()?;
            match child {
                None => Ok((self.space.id, self.region(actor, pages.of)?.clone())),
                Some(child) => {
                    let process = self.child(actor, child)?;
                    if let Some(mapped) = process.regions.get(pages.of) {
                        return Ok((process.space.id, mapped.clone()));
                    }
                    // The program mapped the region after the fork, so the child has nothing there.
                    for _ in pages.indices(self.region(actor, pages.of)?.area.pages()) {
                        step.acc.push(Access::Failed(Errno::EFAULT));
                    }
                    let why = format!("{} was not mapped when {child} was forked", pages.of);
                    Err(Error::new(Errno::EFAULT, why).into())
                }
            }
        })();
        let (space, mapped) = match found {
            Ok(found) => found,
            Err(problem) => {
                step.fails(problem);
                return step;
            }
        };
        let version = match write.then(|| actor.new_version()).transpose() {
            Ok(version) => version,
            Err(problem) => return Step::refused(problem),
        };
        for page in pages.indices(mapped.area.pages()) {
            stop_point();
            let place = Place { region: mapped.number, page };
            let outcome = match version {
                Some(version) => self.write_page(actor, space, &mapped, place, version),
                None => self.read_page(actor, space, &mapped, place, &mut step),
            };
            let access = outcome.unwrap_or_else(|error| match error.errno {
                Errno::EHWPOISON => Access::Sigbus,
                errno => {
                    step.fails(error.into());
                    Access::Failed(errno)
                }
            });
            step.acc.push(access);
        }
        step
    }

    fn write_page(
        &self,
        actor: &mut Actor,
        space: u32,
        mapped: &Mapped,
        place: Place,
        version: Version,
    ) -> Result<Access, Error> {
        let mut bytes = std::mem::take(&mut actor.buffer);
        bytes.clear();
        bytes.extend((0..WORDS).flat_map(|word| place.word(word, version).to_le_bytes()));
        let begin = note_write_start();
        let result = self.machine.write_bytes(&mapped.area, u64::from(place.page) * PAGE_SIZE as u64, &bytes);
        actor.buffer = bytes;
        let reader = self.reader(actor);
        if result.is_ok() {
            actor.content.written(mapped.content_of(space), place, version, true, reader);
            if actor.concurrent {
                actor.history.wrote(mapped.content_of(space), place, version, begin);
            }
        }
        // A write fails in the fault before the first byte, so nothing was written.
        result.map(|()| Access::Ok)
    }

    fn read_page(
        &self,
        actor: &mut Actor,
        space: u32,
        mapped: &Mapped,
        place: Place,
        step: &mut Step,
    ) -> Result<Access, Error> {
        let mut bytes = std::mem::take(&mut actor.buffer);
        bytes.resize(WORDS * 8, 0);
        let area = &mapped.area;
        let result = self.machine.read_bytes(area, u64::from(place.page) * PAGE_SIZE as u64, &mut bytes);
        let words = words(&bytes);
        actor.buffer = bytes;
        result?;
        let reader = self.reader(actor);
        let (access, right) = actor.content.judge(mapped.content_of(space), place, &words, reader);
        let discarded = !right && self.is_discarded(space, &mapped.area, place.page, actor.number);
        if discarded && access == Access::Zero {
            return Ok(Access::Lost);
        }
        if !right && !discarded && !mapped.file.as_ref().is_some_and(|file| file.lost_page(place.page)) {
            step.findings.push(Finding {
                rule: super::check::CONTENT,
                pfn: self.machine.page_at(area, place.page),
                detail: format!("page {} of space {space} reads as {access}", place.page),
            });
        }
        Ok(access)
    }

    pub(super) fn fork(&self, actor: &mut Actor, child: Child) -> Outcome {
        actor.no_page_lock()?;
        if self.child(actor, child).is_ok() {
            return Err(Problem::misuse(format!("{child} is forked already")));
        }
        let begin = note_fork_start();
        let space = self.unpreferred_anywhere(actor, || self.machine.fork(&self.space))?;
        if actor.concurrent {
            actor.history.forked(self.space.id, space.id, begin);
        }
        let mut regions = Table::default();
        for names in [&self.names, &actor.names] {
            for (region, mapped) in names.regions.iter() {
                let pages = 0..mapped.area.pages();
                let found = pages.into_iter().find_map(|page| space.find(mapped.area.address(page)));
                if let Some((area, _)) = found {
                    regions.set(*region, Mapped { area, ..mapped.clone() });
                }
            }
        }
        let reader = self.reader(actor);
        // The preference for a node belongs to the program and not to its child.
        for (_, mapped) in regions.iter() {
            self.machine.prefer(&mapped.area, 0)?;
        }
        actor.content.forked(self.space.id, space.id, reader);
        if actor.concurrent {
            // Another thread may have made private copies of pages of files before the fork.
            for (_, mapped) in regions.iter().filter(|(_, mapped)| mapped.is_private_file()) {
                for page in 0..mapped.area.pages() {
                    let place = Place { region: mapped.number, page };
                    actor.content.copied_sometime(space.id, place, reader);
                }
            }
        }
        for pipe in actor.pipes.iter_mut().filter(|pipe| matches!(pipe.name, Name::Pin(_))) {
            pipe.children.push(child);
        }
        actor.names.children.set(child, Some(Arc::new(Process { space, regions })));
        Ok(())
    }

    pub(super) fn exit(&self, actor: &mut Actor, child: Child) -> Outcome {
        actor.no_page_lock()?;
        let space = Arc::clone(&self.child(actor, child)?.space);
        self.machine.exit(&space);
        actor.names.children.set(child, None);
        actor.pipes.iter_mut().for_each(|pipe| pipe.children.retain(|&other| other != child));
        let closed = |pipe: &Pipe| pipe.children.is_empty() && matches!(pipe.name, Name::Pipe(_));
        let ended: Vec<Name> = actor.pipes.iter().filter(|pipe| closed(pipe)).map(|pipe| pipe.name).collect();
        actor.pipes.retain(|pipe| !closed(pipe));
        for name in ended {
            while let Some(held) = self.take_oldest(actor, |held| held.name == name) {
                self.machine.unpin(held.pfn, PinKind::Get);
            }
        }
        Ok(())
    }

    pub(super) fn unmap(&self, actor: &Actor, pages: &Sel<Region>) -> Step {
        let unmap = |mapped: &Mapped, run| self.machine.munmap(&self.space, &mapped.area, run);
        let step = self.each_run(actor, pages, false, Beyond::Nothing(Errno::EINVAL), unmap);
        // Unmapping a whole region removes its file.
        let file = self.region(actor, pages.of).ok().and_then(|mapped| mapped.file.clone());
        if let Some(file) = file.filter(|_| pages.pages.is_none() && step.problem.is_none()) {
            self.machine.remove_file(&file);
            if file.is_written_back() {
                self.machine.lru_quiet(|| ());
            }
        }
        step
    }

    /// Returns the region of a system call. Refuses the call if the thread holds a page lock,
    /// because the call may wait for one.
    pub(super) fn region_of(&self, actor: &Actor, pages: &Sel<Region>) -> Result<Mapped, Problem> {
        check_page_count(pages.pages.iter().flatten())?;
        actor.no_page_lock()?;
        self.region(actor, pages.of).cloned()
    }

    /// Makes one system call for each run of pages, or for each page if `each` is set. `call` gets
    /// only pages of the region; `beyond` defines the effect on other pages.
    pub(super) fn each_run(
        &self,
        actor: &Actor,
        pages: &Sel<Region>,
        each: bool,
        beyond: Beyond,
        mut call: impl FnMut(&Mapped, Range<u32>) -> Result<(), Error>,
    ) -> Step {
        let mapped = match self.region_of(actor, pages) {
            Ok(mapped) => mapped,
            Err(problem) => return Step::refused(problem),
        };
        let len = mapped.area.pages();
        let mut step = Step::default();
        for Run { first, last } in runs(pages, &mapped.area, each) {
            stop_point();
            let outside = last >= len;
            let inside = first.min(len)..if outside { len } else { last + 1 };
            let done = match beyond {
                Beyond::Nothing(_) if outside => Ok(()),
                _ if inside.is_empty() => Ok(()),
                _ => call(&mapped, inside),
            };
            let refused = || {
                let (Beyond::Nothing(errno) | Beyond::Inside(errno)) = beyond;
                Err(Error::new(errno, format!("{} has pages 0 to {}, not {last}", pages.of, len - 1)))
            };
            match done.and_then(|()| if outside { refused() } else { Ok(()) }) {
                Ok(()) => step.calls_ret.push(0),
                Err(error) => {
                    step.calls_ret.push(error.errno.status());
                    step.fails(error.into());
                }
            }
        }
        step
    }

    pub(super) fn pin(
        &self,
        actor: &mut Actor,
        pin: PinName,
        pages: &Sel<Region>,
        kind: word::PinKind,
    ) -> Step {
        // vmsplice only reads the memory; a device may write to a registered buffer.
        let (kind, write) = match kind {
            word::PinKind::Pipe => (PinKind::Get, false),
            word::PinKind::Longterm => (PinKind::Pin, true),
        };
        let mapped = match self.region_of(actor, pages) {
            Ok(mapped) => mapped,
            Err(problem) => return Step::refused(problem),
        };
        if kind == PinKind::Pin && pages.indices(mapped.area.pages()).next().is_none() {
            // io_uring registers one buffer at least (`io_sqe_buffers_register`).
            return Step::refused(Error::new(Errno::EINVAL, "there is no page to pin").into());
        }
        if kind == PinKind::Pin {
            self.copies(actor, pages);
        }
        // Each page is a buffer of its own. The kernel checks the mapping of a buffer after the
        // pin, so the first page of a disk's file ends the whole call.
        let of_disk = mapped.file.as_ref().is_some_and(|file| file.is_written_back());
        let looks = kind == PinKind::Pin && of_disk && self.machine.profile().file_pin == FilePin::Refused;
        let mut taken = Vec::new();
        let mut nothing = 0;
        if kind == PinKind::Pin {
            actor.history.pins();
        }
        let start = refusal::call_start();
        for page in pages.indices(mapped.area.pages()) {
            let looked = self.unpreferred(actor, &mapped, || self.maps_zero_page(&mapped.area, page, write));
            match looked {
                Ok(true) => {
                    nothing += 1;
                    continue;
                }
                Ok(false) => {}
                // A splice that has taken a page already ends here without an error.
                Err(_) if kind == PinKind::Get && taken.len() as i64 + nothing > 0 => break,
                Err(error) => {
                    taken.into_iter().for_each(|pfn| self.machine.unpin(pfn, kind));
                    return Step::refused(error.into());
                }
            }
            let pinned = self.unpreferred(actor, &mapped, || match kind {
                PinKind::Get => self.machine.pin(&mapped.area, page, kind, write),
                PinKind::Pin => self.machine.pin_longterm(&mapped.area, page, write),
            });
            match pinned {
                Ok(pfn) if looks => {
                    self.machine.unpin(pfn, kind);
                    let why = "the buffer maps a file of a disk";
                    return Step::refused(Error::new(Errno::EOPNOTSUPP, why).into());
                }
                Ok(pfn) => taken.push(pfn),
                Err(_) if kind == PinKind::Get && taken.len() as i64 + nothing > 0 => break,
                Err(error) => {
                    // A registered buffer takes all pages or none.
                    taken.into_iter().for_each(|pfn| self.machine.unpin(pfn, kind));
                    // Only a lasting pin has drained the batches, so only its refusal is checked.
                    let refused = error.pfn.filter(|_| kind == PinKind::Pin);
                    let findings = self.refused_for_a_batch(start, refused).into_iter().collect();
                    return Step { findings, ..Step::refused(error.into()) };
                }
            }
        }
        if kind == PinKind::Get {
            actor.pipes.push(Pipe { name: Name::Pin(pin), children: Vec::new() });
        }
        // A splice returns the number of pages that it took.
        let ret = if kind == PinKind::Get { taken.len() as i64 + nothing } else { 0 };
        let held = Hold::Pin(self.machine.held_as(kind));
        taken.into_iter().for_each(|pfn| actor.handles.push(Name::Pin(pin), pfn, held));
        Step { ret, ..Step::default() }
    }

    /// Returns true if a read of the page finds the zero page, whose references are not counted. An
    /// empty entry is faulted in first.
    fn maps_zero_page(&self, area: &Area, page: u32, write: bool) -> Result<bool, Error> {
        if write || area.file().is_some() || page >= area.pages() {
            return Ok(false);
        }
        if area.look(page).unlocked().entry() == Entry::None {
            self.machine.fault(area, page, false)?;
        }
        Ok(matches!(area.look(page).unlocked().entry(), Entry::Present { zero: true, .. }))
    }

    pub(super) fn unpin(&self, actor: &mut Actor, pin: PinName) -> Step {
        let inherited = actor.pipes.iter().position(|pipe| pipe.name == Name::Pin(pin));
        if let Some(at) = inherited {
            if !actor.pipes[at].children.is_empty() {
                // The program closes the pipe here. The last child that closes it puts the pages.
                let name = Name::Pipe(actor.new_number());
                let mut held = Handles::default();
                actor.handles.take_all(|held| held.name == Name::Pin(pin), &mut held);
                held.iter().for_each(|held| actor.handles.push(name, held.pfn, held.hold));
                actor.pipes[at].name = name;
                return Step::default();
            }
            actor.pipes.remove(at);
        }
        // A pipe may hold only zero pages, which are not counted.
        let mut any = inherited.is_some();
        let mut step = Step::default();
        while let Some(held) = self.take_oldest(actor, |held| held.name == Name::Pin(pin)) {
            let Hold::Pin(kind) = held.hold else { continue };
            if kind == PinKind::Pin {
                step.findings.extend(self.wrong_pin(actor, held.pfn));
            }
            self.machine.unpin(held.pfn, kind);
            any = true;
        }
        match any {
            true => step,
            false => Step::refused(
                Error::new(Errno::EBADF, format!("{pin} holds no pages: pin them first")).into(),
            ),
        }
    }

    /// Returns the addresses of a sum of selections, in order.
    fn addresses(&self, actor: &Actor, pages: &Sum<Address>) -> Outcome<Vec<u64>> {
        check_page_count(pages.0.iter().flat_map(|sel| sel.pages.iter().flatten()))?;
        let mut addresses = Vec::new();
        for sel in &pages.0 {
            match sel.of {
                Address::Zero => addresses.push(0),
                Address::Region(region) => {
                    let area = &self.region(actor, region)?.area;
                    // A page behind the end of this region may lie in another region, which the
                    // program did not mean. Address 0, where nothing is mapped, takes its place.
                    let address = |page| if page < area.pages() { area.address(page) } else { 0 };
                    addresses.extend(sel.indices(area.pages()).map(address));
                }
            }
        }
        Ok(addresses)
    }

    pub(super) fn move_pages(
        &self,
        actor: &Actor,
        pages: &Sum<Address>,
        node: i32,
        options: &[MoveOption],
    ) -> Step {
        let mut space = &self.space;
        let mut flags = MPOL_MF_MOVE;
        let mut alternate = false;
        for option in options {
            match option {
                MoveOption::All => flags = MPOL_MF_MOVE_ALL,
                MoveOption::Alt => alternate = true,
                MoveOption::Flags(_) => {}
                MoveOption::Pid(child) => match self.child(actor, *child) {
                    Ok(process) => space = &process.space,
                    Err(problem) => return Step::refused(problem),
                },
            }
        }
        // `flags=` replaces the flags of the other options.
        let given = options.iter().find_map(|o| if let MoveOption::Flags(f) = o { Some(*f) } else { None });
        let flags = given.unwrap_or(flags);
        let addresses = match actor.no_page_lock().and_then(|()| self.addresses(actor, pages)) {
            Ok(addresses) => addresses,
            Err(problem) => return Step::refused(problem),
        };
        if flags & !(MPOL_MF_MOVE | MPOL_MF_MOVE_ALL) != 0 {
            let why = format!("move_pages knows the flags {MPOL_MF_MOVE} and {MPOL_MF_MOVE_ALL}");
            let status = vec![None; addresses.len()];
            return Step { status, ..Step::refused(Error::new(Errno::EINVAL, why).into()) };
        }
        // A negative number becomes a number above any machine's nodes, and the call refuses it.
        let other = if node == 0 { 1 } else { 0 };
        let node_of = |at: usize| if alternate && at % 2 == 1 { other } else { node as u32 };
        let nodes: Vec<u32> = (0..addresses.len()).map(node_of).collect();
        let flags = MoveFlags { all: flags & MPOL_MF_MOVE_ALL != 0 };
        let start = refusal::call_start();
        let moved = self.machine.move_pages(space, &addresses, &nodes, flags);
        let elsewhere =
            |(status, node): &(&Option<i32>, &u32)| status.is_some_and(|s| s >= 0 && s as u32 != **node);
        let wrong = moved.status.iter().zip(&nodes).find(elsewhere).map(|(status, node)| Finding {
            rule: "a moved page is on the node that was asked for",
            pfn: None,
            detail: format!("status {status:?}, asked for node {node}"),
        });
        // A page that was isolated and did not move has no status.
        let busy = |status: &Option<i32>| status.is_none_or(|status| status == Errno::EBUSY.status());
        let refused = addresses.iter().zip(&moved.status).filter(|(_, status)| busy(status));
        let refused = refused.filter_map(|(&address, _)| space.find(address));
        let refused = refused.filter_map(|(area, index)| self.machine.page_at(&area, index));
        let mut findings: Vec<Finding> = wrong.into_iter().collect();
        if moved.ret.is_ok() {
            findings.extend(self.refused_for_a_batch(start, refused));
        }
        let mut step = Step { status: moved.status, findings, ..Step::default() };
        match moved.ret {
            Ok(left) => step.ret = left.into(),
            Err(errno) => step.fails(Error::new(errno, "move_pages ended before the last page").into()),
        }
        step
    }

    pub(super) fn query(&self, actor: &Actor, pages: &Sum<Address>) -> Step {
        let addresses = actor.no_page_lock().and_then(|()| self.addresses(actor, pages));
        match addresses.and_then(|addresses| Ok(self.machine.query_pages(&self.space, &addresses)?)) {
            Err(problem) => Step::refused(problem),
            Ok(status) => Step { status: status.into_iter().map(Some).collect(), ..Step::default() },
        }
    }
}

/// The most pages that one operation may name: enough for a region of 4 GiB. An operation on more
/// pages would seem to hang.
pub(super) const MAX_PAGES: u64 = 1 << 20;

/// Refuses a list of pages that is too long for one operation.
pub(super) fn check_page_count<'a>(ranges: impl Iterator<Item = &'a PageRange>) -> Outcome {
    let pages: u64 = ranges.map(|range| u64::from(range.last - range.first) + 1).sum();
    match pages <= MAX_PAGES {
        true => Ok(()),
        false => Err(Problem::misuse(format!("an operation names {MAX_PAGES} pages at most, not {pages}"))),
    }
}

const MPOL_MF_MOVE: u32 = 1 << 1;
const MPOL_MF_MOVE_ALL: u32 = 1 << 2;

/// The effect of a system call on pages beyond the end of a region, where nothing is mapped.
#[derive(Clone, Copy, Debug)]
pub(super) enum Beyond {
    /// The call fails with this error and does nothing.
    Nothing(Errno),
    /// The call works on the pages inside of the region first, then fails with this error.
    Inside(Errno),
}

/// Neighbouring pages `first` to `last`, both included: the end of a half-open range, one more than the
/// largest page number, would overflow.
struct Run {
    first: u32,
    last: u32,
}

/// Returns the selected pages of an area as runs of neighbours, or page by page: one system call
/// for each.
fn runs(pages: &Sel<Region>, area: &Area, each: bool) -> Vec<Run> {
    let indices: Vec<u32> = pages.indices(area.pages()).collect();
    let runs = indices.chunk_by(|&a, &b| !each && a.checked_add(1) == Some(b));
    runs.map(|run| Run { first: run[0], last: run[run.len() - 1] }).collect()
}

/// Returns the words of a page.
pub(super) fn words(bytes: &[u8]) -> [u64; WORDS] {
    let mut words = [0; WORDS];
    for (word, bytes) in words.iter_mut().zip(bytes.as_chunks::<8>().0) {
        *word = u64::from_le_bytes(*bytes);
    }
    words
}
