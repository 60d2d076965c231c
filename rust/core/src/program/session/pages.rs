//! Single steps on pages, under the kernel's names.

use super::Session;
use super::actor::{Actor, Handles, Held, Hold, Name, Pool};
use super::process::{Outcome, check_page_count};
use super::step::{Problem, Shown, Step};
use crate::error::{Errno, Error, Why};
use crate::machine::Machine;
use crate::migrate;
use crate::page::{Flags, MAX_ORDER, Page, Pfn};
use crate::profile::{LruPolicy, ZsLocking};
use crate::program::{Allocated, Mode, Movable, Owner, Reason, Sum};
use crate::release::Release;
use crate::stat::NodeItem;
use crate::sync::stop_point;

impl<R: Release> Session<R> {
    /// Performs `verb` on each selected page. After a failure on one page, the next page follows.
    pub(super) fn each(
        &self,
        actor: &mut Actor,
        pages: &Sum<Owner>,
        verb: impl Fn(&Self, &mut Actor, Owner, u32) -> Outcome<i32>,
    ) -> Step {
        let mut step = Step::default();
        if let Err(problem) = check_page_count(pages.0.iter().flat_map(|sel| sel.pages.iter().flatten())) {
            return Step::refused(problem);
        }
        for sel in &pages.0 {
            let len = match self.length(actor, sel.of) {
                Ok(len) => len,
                Err(problem) => {
                    step.fails(problem);
                    continue;
                }
            };
            for index in sel.indices(len) {
                stop_point();
                step.page(verb(self, actor, sel.of, index));
            }
        }
        step
    }

    /// Returns the number of pages behind a name.
    fn length(&self, actor: &Actor, owner: Owner) -> Outcome<u32> {
        match owner {
            Owner::Region(region) => self.region(actor, region).map(|mapped| mapped.area.pages()),
            Owner::Movable(movable) => self.pool(actor, movable).map(|pool| pool.pages.len() as u32),
            Owner::Allocated(page) => self.frame(actor, page).map(|_| 1),
            Owner::Store(_) => Ok(self.device(actor)?.pool().pages() as u32),
            Owner::Balloon(name) => self.balloon_length(name),
        }
    }

    pub(super) fn pool<'a>(&'a self, actor: &'a Actor, movable: Movable) -> Outcome<&'a Pool> {
        let pool = actor.names.pools.get(movable).or_else(|| self.names.pools.get(movable));
        pool.ok_or_else(|| Problem::misuse(format!("there is no {movable}")))
    }

    fn frame(&self, actor: &Actor, page: Allocated) -> Outcome<Pfn> {
        let pfn = actor.names.allocated.get(page).or_else(|| self.names.allocated.get(page));
        pfn.copied().ok_or_else(|| Problem::misuse(format!("{page} was not allocated")))
    }

    pub(super) fn page(&self, pfn: Pfn) -> &Page {
        &self.machine.frames()[pfn]
    }

    /// Takes the newest handle that fits, of the actor's own handles or else of the set-up's.
    pub(super) fn take(&self, actor: &mut Actor, fits: impl Fn(&Held) -> bool) -> Option<Held> {
        actor.handles.take(&fits).or_else(|| self.shared.lock().take(&fits))
    }

    /// Takes the oldest handle that fits, unlike [`Session::take`]: references of one pin are put
    /// in the order in which they were taken.
    pub(super) fn take_oldest(&self, actor: &mut Actor, fits: impl Fn(&Held) -> bool) -> Option<Held> {
        actor.handles.take_oldest(&fits).or_else(|| self.shared.lock().take_oldest(&fits))
    }

    /// Returns the frame behind a name at this moment, without a reference.
    pub(super) fn look(&self, actor: &Actor, owner: Owner, index: u32) -> Outcome<Pfn> {
        match owner {
            Owner::Region(region) => {
                let area = &self.region(actor, region)?.area;
                self.machine.page_at(area, index).ok_or_else(|| nothing(owner, index))
            }
            Owner::Movable(movable) => {
                let Pool { pool, pages, .. } = self.pool(actor, movable)?;
                let page = *pages.get(index as usize).ok_or_else(|| nothing(owner, index))?;
                Ok(pool.pfn(page)?)
            }
            Owner::Allocated(page) => self.frame(actor, page),
            Owner::Store(_) => {
                let pool = self.device(actor)?.pool();
                pool.page(index as usize).ok_or_else(|| nothing(owner, index))
            }
            Owner::Balloon(name) => self.in_balloon(name, index)?.ok_or_else(|| nothing(owner, index)),
        }
    }

    /// Returns the frame behind a name at this moment, with a reference.
    fn hold(&self, actor: &Actor, owner: Owner, index: u32) -> Outcome<Pfn> {
        match owner {
            Owner::Region(region) => {
                let area = &self.region(actor, region)?.area;
                self.machine.get_page_at(area, index).ok_or_else(|| nothing(owner, index))
            }
            Owner::Movable(_) | Owner::Store(_) | Owner::Balloon(_) => loop {
                let pfn = self.look(actor, owner, index)?;
                let got = self.page(pfn).try_get();
                // The reference is on the right page only if the name still means the same frame. A
                // further round is needed only if another thread has moved the page.
                match self.look(actor, owner, index) {
                    Ok(now) if now == pfn && got => return Ok(pfn),
                    again => {
                        if got {
                            self.machine.put(pfn);
                        }
                        again?;
                    }
                }
            },
            Owner::Allocated(page) => {
                let name = Name::Page(owner, 0);
                let ours = |held: &Held| held.name == name && held.hold == Hold::Allocated;
                let pfn = self.frame(actor, page)?;
                let get = |handles: &Handles| -> Option<()> {
                    // The table has the allocation's reference, and keeps it while the table is borrowed.
                    handles.find(ours)?;
                    self.page(pfn).get(pfn);
                    Some(())
                };
                actor.not_frozen(pfn)?;
                get(&actor.handles)
                    .or_else(|| get(&self.shared.lock()))
                    .map(|()| pfn)
                    .ok_or_else(|| Problem::misuse(format!("{page} is free, or another thread holds it")))
            }
        }
    }

    pub(super) fn get(&self, actor: &mut Actor, owner: Owner, index: u32) -> Outcome<i32> {
        let pfn = self.hold(actor, owner, index)?;
        actor.handles.push(Name::Page(owner, index), pfn, Hold::Ref);
        Ok(0)
    }

    pub(super) fn try_get(&self, actor: &mut Actor, owner: Owner, index: u32) -> Outcome<i32> {
        let pfn = self.look(actor, owner, index)?;
        if self.machine.try_get_page(pfn).is_none() {
            return Err(Error::at(Errno::EAGAIN, pfn, Why::NoReference).into());
        }
        // The handle names this frame. The reference keeps the page to which the frame belongs.
        actor.handles.push(Name::Page(owner, index), pfn, Hold::Ref);
        Ok(0)
    }

    /// Takes the newest handle of a kind on a name.
    fn take_page(
        &self,
        actor: &mut Actor,
        owner: Owner,
        index: u32,
        what: &'static str,
        fits: impl Fn(Hold) -> bool,
    ) -> Outcome<Held> {
        let name = Name::Page(owner, index);
        let fits = |held: &Held| held.name == name && fits(held.hold);
        if let Some(held) = actor.handles.find(fits) {
            actor.not_frozen(held.pfn)?;
        }
        self.take(actor, fits).ok_or(Problem::Lacks { what, owner, index })
    }

    pub(super) fn put(&self, actor: &mut Actor, owner: Owner, index: u32) -> Outcome<i32> {
        let held = self.take_page(actor, owner, index, "no reference", |hold| hold == Hold::Ref)?;
        self.machine.put_page(held.pfn);
        Ok(0)
    }

    pub(super) fn mark_accessed(&self, actor: &mut Actor, owner: Owner, index: u32) -> Outcome<i32> {
        let pfn = self.hold(actor, owner, index)?;
        self.machine.mark_page_accessed(pfn);
        self.machine.put(pfn);
        Ok(0)
    }

    pub(super) fn lru_add(&self, actor: &mut Actor, owner: Owner, index: u32) -> Outcome<i32> {
        let pfn = self.hold(actor, owner, index)?;
        let name = Name::Page(owner, index);
        let result = self.take(actor, |held| held.name == name && held.hold == Hold::OffLists).map(|_| {
            self.machine.lru_add(pfn);
            0
        });
        self.machine.put(pfn);
        result.ok_or_else(|| {
            Problem::misuse(format!(
                "{} cannot be added to a list: it is on one, or this thread did not allocate it",
                shown(owner, index)
            ))
        })
    }

    /// Drains the batches of one CPU, or of all.
    pub(super) fn drain(&self, cpu: Option<u32>) -> Outcome {
        match cpu {
            // A process can drain all batches with a migrate_pages(2) that has nothing to move.
            None => self.machine.lru_quiet(|| ()),
            Some(cpu) if (cpu as usize) < self.machine.cpu_count() => {
                self.machine.lru_drain_cpu(cpu as usize);
            }
            Some(cpu) => {
                let why = format!("there is no CPU {cpu}: the machine has {}", self.machine.cpu_count());
                return Err(Error::new(Errno::EINVAL, why).into());
            }
        }
        Ok(())
    }

    /// Frees pages of a node, and returns the number of freed pages.
    pub(super) fn reclaim(&self, actor: &Actor, pages: u32, node: Option<u32>) -> Step {
        self.on_node(actor, node, |machine, node| machine.reclaim(node, pages))
    }

    /// Returns the number of freed pages.
    pub(super) fn kswapd(&self, actor: &Actor, node: Option<u32>, order: u8) -> Step {
        self.on_node(actor, node, |machine, node| {
            machine.take_wanted_kswapd(node);
            machine.kswapd(node, order)
        })
    }

    /// Ages the pages of a node. Returns the number of deactivated pages or, under `mglru`, of used
    /// entries.
    pub(super) fn age(&self, actor: &Actor, node: Option<u32>) -> Step {
        self.on_node(actor, node, |machine, node| machine.age_node(node))
    }

    fn on_node(
        &self,
        actor: &Actor,
        node: Option<u32>,
        work: impl Fn(&Machine<R>, usize) -> crate::error::Result<u32>,
    ) -> Step {
        // The aging of generations walks address spaces and waits for page locks.
        let may = match self.machine.profile().lru_policy {
            LruPolicy::Mglru => actor.no_page_lock(),
            _ => Ok(()),
        };
        let node = may.and_then(|()| self.node(node.unwrap_or(0)));
        match node.and_then(|node| Ok(work(&self.machine, node)?)) {
            Ok(pages) => Step { ret: pages.into(), ..Step::default() },
            Err(problem) => Step::refused(problem),
        }
    }

    pub(super) fn isolate(&self, actor: &mut Actor, owner: Owner, index: u32) -> Outcome<i32> {
        let name = Name::Page(owner, index);
        if let Owner::Movable(_) | Owner::Store(_) | Owner::Balloon(_) = owner {
            // The page is isolated by its bare frame number, as a scanner finds it.
            let pfn = self.look(actor, owner, index)?;
            if !self.machine.isolate_movable_page(pfn) {
                let why = "the page is locked, isolated, or its owner said no";
                return Err(Error::at(Errno::EBUSY, pfn, Why::State(why.into())).into());
            }
            actor.handles.push(name, pfn, Hold::IsolatedMovable);
            return Ok(0);
        }
        let pfn = self.hold(actor, owner, index)?;
        let isolated = self.machine.isolate(pfn);
        self.machine.put(pfn);
        isolated?;
        actor.handles.push(name, pfn, Hold::Isolated);
        Ok(0)
    }

    fn take_token(&self, actor: &mut Actor, owner: Owner, index: u32) -> Outcome<Held> {
        let token = |hold| matches!(hold, Hold::Isolated | Hold::IsolatedMovable);
        self.take_page(actor, owner, index, "no isolation", token)
    }

    pub(super) fn putback(&self, actor: &mut Actor, owner: Owner, index: u32) -> Outcome<i32> {
        actor.no_page_lock()?;
        let token = self.take_token(actor, owner, index)?;
        self.machine.putback_movable_pages(&mut vec![token.pfn]);
        Ok(0)
    }

    pub(super) fn migrate(
        &self,
        actor: &mut Actor,
        pages: &Sum<Owner>,
        node: u32,
        mode: Option<Mode>,
        reason: Option<Reason>,
    ) -> Step {
        let mode = mode.map_or(migrate::Mode::Sync, Into::into);
        let reason = reason.map_or(migrate::Reason::Syscall, Into::into);
        let node = match actor.no_page_lock().and_then(|()| self.node(node)) {
            Ok(node) => node,
            Err(problem) => return Step::refused(problem),
        };
        // All tokens are taken first, in order; then the pages migrate as one batch.
        let tokens = std::cell::RefCell::new(Vec::new());
        let mut step = self.each(actor, pages, |session, actor, owner, index| {
            let token = session.take_token(actor, owner, index)?;
            tokens.borrow_mut().push(token);
            Ok(node as i32)
        });
        let tokens = tokens.into_inner();
        let mut list: Vec<Pfn> = tokens.iter().map(|token| token.pfn).collect();
        let frames = self.machine.frames();
        // The caller of a demotion counts the pages that it has isolated, as reclaim does. The
        // counts are subtracted before the migration and added again after it, because the
        // migration may leave a large page on the list in parts.
        let demoted = |pages: &[Pfn], sign| {
            let lru = |pfn: &&Pfn| !frames[**pfn].flags().contains(Flags::ISOLATED);
            pages.iter().filter(lru).for_each(|&pfn| self.machine.count_isolated(pfn, sign));
        };
        if reason == migrate::Reason::Demotion {
            demoted(&list, -1);
        }
        let result = self.machine.migrate_pages(&mut list, &mut self.machine.on_node(node), mode, reason);
        if reason == migrate::Reason::Demotion {
            demoted(&list, 1);
        }
        let kept = |token: &Held| list.contains(&token.pfn);
        let mut taken = tokens.iter();
        for status in step.status.iter_mut().filter(|status| **status == Some(node as i32)) {
            if taken.next().is_some_and(kept) {
                *status = Some(Errno::EBUSY.status());
            }
        }
        if reason == migrate::Reason::MemoryFailure {
            // After a migration for this reason, the caller has to put the isolation's reference of
            // a page that moved.
            for token in tokens.iter().filter(|token| !kept(token)) {
                actor.handles.push(token.name, token.pfn, Hold::Ref);
            }
        }
        if !list.is_empty() {
            let errno = result.errno.unwrap_or(Errno::EBUSY);
            let why = format!("{} of {} pages did not move", list.len(), tokens.len());
            step.fails(Error::new(errno, why).into());
            self.machine.putback_movable_pages(&mut list);
        }
        step
    }

    pub(super) fn lock(&self, actor: &mut Actor, owner: Owner, index: u32) -> Outcome<i32> {
        actor.no_page_lock()?;
        let pfn = self.hold(actor, owner, index)?;
        self.page(pfn).lock();
        actor.handles.push(Name::Page(owner, index), pfn, Hold::Locked);
        Ok(0)
    }

    pub(super) fn split(&self, actor: &mut Actor, owner: Owner, index: u32) -> Outcome<i32> {
        actor.no_page_lock()?;
        if let Owner::Allocated(_) = owner {
            return self.split_allocated(actor, owner);
        }
        let head = self.hold(actor, owner, index)?;
        let page = self.page(head);
        page.lock();
        let part = match page.order() {
            0 => head,
            // The part's number in the region gives its place in the large page.
            _ => head.plus(index - page.index()),
        };
        let split = self.machine.split_page(part);
        // After a split, the reference and the lock are those of the part.
        self.machine.unlock_and_put(self.machine.frames().head(part));
        split?;
        Ok(0)
    }

    /// Splits an allocated page, whose only reference is the program's. The program then has a
    /// reference on each part.
    fn split_allocated(&self, actor: &mut Actor, owner: Owner) -> Outcome<i32> {
        let held = self.take_page(actor, owner, 0, "no allocation", |hold| hold == Hold::Allocated)?;
        let mut parts = Vec::new();
        self.page(held.pfn).lock();
        let split = self.machine.split_to_list(held.pfn, &mut parts);
        self.page(held.pfn).unlock(held.pfn);
        for part in parts {
            actor.handles.push(Name::Page(owner, part.0 - held.pfn.0), part, Hold::Allocated);
        }
        actor.handles.push(held.name, held.pfn, held.hold);
        split?;
        Ok(0)
    }

    pub(super) fn trylock(&self, actor: &mut Actor, owner: Owner, index: u32) -> Outcome<i32> {
        let pfn = self.hold(actor, owner, index)?;
        if !self.page(pfn).trylock() {
            self.machine.put(pfn);
            return Err(Error::at(Errno::EAGAIN, pfn, Why::Locked).into());
        }
        actor.handles.push(Name::Page(owner, index), pfn, Hold::Locked);
        Ok(0)
    }

    pub(super) fn unlock(&self, actor: &mut Actor, owner: Owner, index: u32) -> Outcome<i32> {
        let held = self.take_page(actor, owner, index, "no page lock", |hold| hold == Hold::Locked)?;
        self.machine.unlock_and_put(held.pfn);
        Ok(0)
    }

    pub(super) fn freeze(&self, actor: &mut Actor, owner: Owner, index: u32, refs: u32) -> Outcome<i32> {
        let name = Name::Page(owner, index);
        let pfn = match actor.handles.find(|held| held.name == name) {
            Some(held) => held.pfn,
            None => {
                // The thread takes all handles of the set-up on the page, so that no other thread
                // can put a reference meanwhile.
                let mut shared = self.shared.lock();
                let held = shared.find(|held| held.name == name);
                let held = held.ok_or_else(|| not_all(owner, index, 0, refs))?;
                shared.take_all(|other| other.pfn == held.pfn, &mut actor.handles);
                held.pfn
            }
        };
        actor.not_frozen(pfn)?;
        let ours = || actor.handles.iter().filter(|held| held.pfn == pfn);
        let held: u32 = ours().map(|held| held.hold.references()).sum();
        if refs == 0 || held != refs {
            return Err(not_all(owner, index, held, refs));
        }
        let page = self.page(pfn);
        let frozen = match ours().any(|held| held.hold == Hold::Locked) {
            true => self.machine.freeze(pfn, refs),
            false => page.freeze(refs),
        };
        let failed = |count| Error::at(Errno::EAGAIN, pfn, Why::Count { count, expected: refs });
        frozen.map_err(failed)?;
        actor.handles.push(name, pfn, Hold::Frozen(refs));
        Ok(0)
    }

    /// Ends a thread's freezes, page locks, writes to disk and isolations of zsmalloc's pages, for which
    /// other threads may wait.
    pub fn leave(&self, actor: &mut Actor) {
        while let Some(held) = actor.handles.take(|held| matches!(held.hold, Hold::Frozen(_))) {
            if let Hold::Frozen(refs) = held.hold {
                self.page(held.pfn).unfreeze(held.pfn, refs);
            }
        }
        while let Some(held) = actor.handles.take(|held| held.hold == Hold::Locked) {
            self.machine.unlock_and_put(held.pfn);
        }
        while let Some(held) = actor.handles.take(|held| matches!(held.hold, Hold::Writeback { .. })) {
            self.written(held);
        }
        let mut isolated = Handles::default();
        actor.handles.take_all(|held| self.delays_close(held), &mut isolated);
        let mut pages: Vec<Pfn> = isolated.iter().map(|held| held.pfn).collect();
        if !pages.is_empty() {
            self.machine.putback_movable_pages(&mut pages);
        }
    }

    /// True if the handle is an isolation whose end the close of a zsmalloc pool waits for.
    pub(super) fn delays_close(&self, held: &Held) -> bool {
        self.machine.profile().zs_locking == ZsLocking::Class
            && held.hold == Hold::IsolatedMovable
            && matches!(held.name, Name::Page(Owner::Store(_), _))
    }

    pub(super) fn unfreeze(&self, actor: &mut Actor, owner: Owner, index: u32, refs: u32) -> Outcome<i32> {
        let name = Name::Page(owner, index);
        let frozen = |held: &Held| held.name == name && matches!(held.hold, Hold::Frozen(_));
        let held = self
            .take(actor, frozen)
            .ok_or_else(|| Problem::misuse(format!("{} is not frozen", shown(owner, index))))?;
        let Hold::Frozen(before) = held.hold else { return Ok(0) };
        // If the unfreeze sets another count, the thread gains or loses plain references.
        let plain = actor.handles.iter().filter(|h| h.pfn == held.pfn && h.hold == Hold::Ref).count() as u32;
        if refs == 0 || before.saturating_sub(refs) > plain {
            actor.handles.push(held.name, held.pfn, held.hold);
            let why = format!("{} references are held that only a put may end", before - plain);
            return Err(Problem::misuse(why));
        }
        for _ in refs..before {
            actor.handles.take(|h| h.pfn == held.pfn && h.hold == Hold::Ref);
        }
        for _ in before..refs {
            actor.handles.push(name, held.pfn, Hold::Ref);
        }
        self.page(held.pfn).unfreeze(held.pfn, refs);
        Ok(0)
    }

    pub(super) fn allocate(
        &self,
        actor: &mut Actor,
        page: Allocated,
        order: Option<u32>,
        node: Option<u32>,
    ) -> Outcome {
        let owner = Owner::Allocated(page);
        let held = |held: &Held| held.name == Name::Page(owner, 0) && held.hold == Hold::Allocated;
        if actor.handles.find(held).is_some() || self.shared.lock().find(held).is_some() {
            return Err(Problem::misuse(format!("{page} is allocated already")));
        }
        let order = order.unwrap_or(0);
        let order = u8::try_from(order).ok().filter(|&order| order <= MAX_ORDER).ok_or_else(|| {
            Problem::from(Error::new(Errno::EINVAL, format!("the largest order is {MAX_ORDER}, not {order}")))
        })?;
        let pfn = match node {
            Some(node) => self.machine.alloc_pages(self.node(node)?, order)?,
            None => self.machine.alloc_pages_near(0, order)?,
        };
        actor.names.allocated.set(page, pfn);
        actor.handles.push(Name::Page(owner, 0), pfn, Hold::Allocated);
        actor.handles.push(Name::Page(owner, 0), pfn, Hold::OffLists);
        Ok(())
    }

    pub(super) fn free(&self, actor: &mut Actor, page: Allocated) -> Outcome {
        let owner = Owner::Allocated(page);
        self.frame(actor, page)?;
        let held = self.take_page(actor, owner, 0, "no allocation", |hold| hold == Hold::Allocated)?;
        let name = Name::Page(owner, 0);
        self.take(actor, |other| other.name == name && other.hold == Hold::OffLists);
        self.machine.put(held.pfn);
        // After a split, each part has a reference of its own.
        let part = |held: &Held| {
            held.hold == Hold::Allocated && matches!(held.name, Name::Page(of, _) if of == owner)
        };
        while let Some(held) = self.take(actor, part) {
            self.machine.put(held.pfn);
        }
        Ok(())
    }

    pub(super) fn isolated(&self) -> Step {
        let total =
            |item| (0..self.machine.nodes().len()).map(|node| self.machine.stats().on_node(node, item)).sum();
        let isolated = Some([total(NodeItem::IsolatedAnon), total(NodeItem::IsolatedFile)]);
        Step { isolated, ..Step::default() }
    }
}

fn shown(owner: Owner, index: u32) -> String {
    Shown(&owner, &index).to_string()
}

pub(super) fn nothing(owner: Owner, index: u32) -> Problem {
    Problem::Absent { owner, index }
}

fn not_all(owner: Owner, index: u32, held: u32, refs: u32) -> Problem {
    Problem::misuse(format!(
        "a freeze needs all references, and the thread must hold them: it holds {held} of {refs} on {}",
        shown(owner, index)
    ))
}

impl From<Mode> for migrate::Mode {
    fn from(mode: Mode) -> migrate::Mode {
        match mode {
            Mode::Async => migrate::Mode::Async,
            Mode::SyncLight => migrate::Mode::SyncLight,
            Mode::Sync => migrate::Mode::Sync,
        }
    }
}

impl From<Reason> for migrate::Reason {
    fn from(reason: Reason) -> migrate::Reason {
        match reason {
            Reason::Compaction => migrate::Reason::Compaction,
            Reason::MemoryFailure => migrate::Reason::MemoryFailure,
            Reason::MemoryHotplug => migrate::Reason::MemoryHotplug,
            Reason::Syscall => migrate::Reason::Syscall,
            Reason::MempolicyMbind => migrate::Reason::MempolicyMbind,
            Reason::NumaMisplaced => migrate::Reason::NumaMisplaced,
            Reason::ContigRange => migrate::Reason::ContigRange,
            Reason::LongtermPin => migrate::Reason::LongtermPin,
            Reason::Demotion => migrate::Reason::Demotion,
        }
    }
}
