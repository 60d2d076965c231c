//! A migrator demotes pages so that the fast node has free frames, and promotes the pages that
//! users ask for.

use super::place::Place;
use super::policy::{Director, FAST, Order, SLOW};
use crate::calls::Call;
use crate::load::config::LoadConfig;
use crate::load::gauge::{Gauge, Tally};
use crate::load::planted::LostCopies;
use crate::load::poison::Poison;
use crate::load::rig::Member;
use crate::machine::Machine;
use crate::map::Area;
use crate::migrate::{Mode, Reason};
use crate::page::Pfn;
use crate::release::Release;
use crate::rng::Rng;
use crate::stat::NodeItem;
use crate::sync::ops::current;
use std::sync::Arc;

/// A migrator of the load `tiering`.
#[derive(Debug)]
pub(in crate::load) struct Migrator {
    pub gauge: Gauge,
    place: Arc<Place>,
    mailbox: usize,
    batch: usize,
    planted: LostCopies,
    poison: Poison,
}

impl Member for Migrator {
    /// Seeds the strikes of poison. No other choice of this migrator is random: the users decide
    /// which pages move.
    fn reseed(&mut self, mut rng: Rng) {
        self.poison.reseed(&mut rng);
    }
}

impl Migrator {
    pub(super) fn new(place: &Arc<Place>, me: usize, gauge: Gauge, config: &LoadConfig) -> Migrator {
        let planted = LostCopies::new(config.planted.lost_copy);
        let poison = Poison::new(config.poison_rate);
        Migrator { gauge, place: Arc::clone(place), mailbox: me, batch: config.batch, planted, poison }
    }

    /// Demotes pages if the fast node is short of free frames, then promotes pages. Returns false
    /// if neither was needed. Under a policy of the user, its orders are carried out instead.
    pub fn step<R: Release>(&mut self, machine: &Machine<R>) -> bool {
        // The strike is a soft offline, because no user of this load may notice it.
        if self.poison.strikes() {
            self.poison.offline(machine, &mut self.gauge);
        }
        let place = Arc::clone(&self.place);
        if let Some(director) = &place.director {
            return self.follow(machine, director);
        }
        let wanted = self.wanted();
        let (buddy, arrays) = machine.free_frames(FAST);
        let short = (buddy + arrays) < self.reserve(machine);
        if short {
            self.demote(machine);
        }
        if !wanted.is_empty() {
            self.promote(machine, &wanted);
        }
        short || !wanted.is_empty()
    }

    /// Carries out an order of the policy; the first migrator also asks the policy for new ones.
    /// Returns false if there was no order and the policy was not asked.
    fn follow<R: Release>(&mut self, machine: &Machine<R>, director: &Director) -> bool {
        let decided = self.mailbox == 0 && director.decide(machine, &self.place.area, self.batch);
        let order = director.next();
        match &order {
            Some(Order { node, pages }) if *node == FAST => self.promote(machine, pages),
            Some(Order { pages, .. }) => self.send_away(machine, pages),
            None => {}
        }
        decided || order.is_some()
    }

    /// Returns the number of free frames that the migrator keeps on the fast node: two batches, or
    /// an eighth of a small node.
    fn reserve<R: Release>(&self, machine: &Machine<R>) -> u32 {
        (2 * self.batch as u32).min(machine.nodes()[FAST].frames / 8)
    }

    /// Takes up to a batch of the newest letters out of the mailbox, each page once.
    fn wanted(&self) -> Vec<u32> {
        let mut mailbox = self.place.mailboxes[self.mailbox].lock();
        let rest = mailbox.len().saturating_sub(self.batch);
        let mut wanted = mailbox.split_off(rest);
        drop(mailbox);
        wanted.sort_unstable();
        wanted.dedup();
        wanted
    }

    fn demote<R: Release>(&mut self, machine: &Machine<R>) {
        let planted = &mut self.planted;
        self.gauge.measure(|| {
            machine.lru_drain_local();
            let before = current();
            machine.age_list(FAST, false);
            let (mut list, looked_at) = machine.demotion_candidates(FAST);
            if looked_at == 0 {
                // All pages of a small node may be waiting in the batches of the users' CPUs.
                machine.lru_drain_all();
                list = machine.demotion_candidates(FAST).0;
            }
            let aside = current().minus(before);
            let candidates = list.len();
            let tally = migrate(machine, &mut list, SLOW, Reason::Demotion, planted);
            machine.demoted(FAST, candidates, &list);
            debug_assert!(tally.migrated + tally.failed <= candidates as u64);
            Tally { aside, ..tally }
        });
    }

    /// Demotes the given pages of the fast node, whatever their age.
    fn send_away<R: Release>(&mut self, machine: &Machine<R>, pages: &[u32]) {
        let area = &self.place.area;
        let planted = &mut self.planted;
        self.gauge.measure(|| {
            let mut list = isolate(machine, area, pages, |node| node == FAST);
            let isolated = list.len();
            let tally = migrate(machine, &mut list, SLOW, Reason::Demotion, planted);
            // The caller of a demotion subtracts the moved pages from `nr_isolated_anon` itself.
            let moved = (isolated - list.len()) as i64;
            machine.stats.node(FAST, NodeItem::IsolatedAnon, -moved);
            machine.putback_movable_pages(&mut list);
            tally
        });
    }

    fn promote<R: Release>(&mut self, machine: &Machine<R>, wanted: &[u32]) {
        let area = &self.place.area;
        let planted = &mut self.planted;
        self.gauge.measure(|| {
            let mut list = isolate(machine, area, wanted, |node| node != FAST);
            let tally = migrate(machine, &mut list, FAST, Reason::NumaMisplaced, planted);
            machine.putback_movable_pages(&mut list);
            tally
        });
    }
}

/// Isolates the pages that are on a wrong node.
fn isolate<R: Release>(
    machine: &Machine<R>,
    area: &Area,
    pages: &[u32],
    wrong: impl Fn(usize) -> bool,
) -> Vec<Pfn> {
    let mut list = Vec::with_capacity(pages.len());
    let mut in_the_way = false;
    for &page in pages {
        let Some(pfn) = machine.get_page_at(area, page) else { continue };
        if wrong(machine.node_of(pfn)) {
            in_the_way |= !machine.isolate_to(&mut list, pfn, Call::IsolateLru);
        }
        machine.put(pfn);
    }
    machine.end_isolations(&list);
    if list.is_empty() && in_the_way {
        // The pages wait in batches. After this drain the next attempt finds them on a list.
        machine.lru_drain_all();
    }
    list
}

fn migrate<R: Release>(
    machine: &Machine<R>,
    list: &mut Vec<Pfn>,
    node: usize,
    reason: Reason,
    planted: &mut LostCopies,
) -> Tally {
    let mut target = |src: Pfn| {
        let dst = machine.alloc_pages(node, 0).ok()?;
        planted.chosen(machine, src, dst);
        Some(dst)
    };
    let result = machine.migrate_pages(list, &mut target, Mode::Async, reason);
    planted.lose(machine, list);
    Tally {
        migrated: u64::from(result.succeeded),
        failed: list.len() as u64,
        retries: u64::from(result.retries),
        ..Tally::default()
    }
}
