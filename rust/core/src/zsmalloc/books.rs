//! The books of a size class: its zspages by fullness, and the objects of each.

use super::class::SizeClass;
use super::table::Growing;
use crate::error::{Errno, Error, Result};
use crate::memory::more_room;
use crate::profile::FullnessGroups;

/// The largest number of zspages of a class: as many as the table of their chains can have.
pub(super) const MAX_ZSPAGES: u32 = Growing::<()>::MOST as u32;
// A page's record names a zspage by 24 bits.
const _: () = assert!(MAX_ZSPAGES <= 1 << 24);

/// The number of groups, of which `FullnessGroups::Quarters` uses four.
const GROUPS: usize = 12;
/// The group of zspages without an object, which wait to be freed.
const EMPTY: u8 = 0;
/// The group of a zspage that is on no list: it is being set up, compacted, or has isolated pages.
const OFF: u8 = u8::MAX;
/// The group of a number that no zspage has.
const UNUSED: u8 = u8::MAX - 1;
/// The end of a list.
const NONE: u32 = u32::MAX;
/// The mark of a slot that holds an object: the number of its handle is in the other bits. A free
/// slot holds the number of the next free one.
const LIVE: u32 = 1 << 31;

#[derive(Clone, Debug, Hash)]
struct Zspage {
    group: u8,
    /// Objects in use.
    used: u16,
    /// The first free slot.
    free: u16,
    /// Pages that are isolated for a migration; counted where the profile's locking needs it.
    isolated: u8,
    prev: u32,
    next: u32,
}

/// The zspages of one class. The class lock protects them.
#[derive(Clone, Debug, Hash)]
pub(super) struct Books {
    objects: u16,
    quarters: bool,
    zspages: Vec<Zspage>,
    /// The slots of all zspages, one zspage after the other.
    slots: Vec<u32>,
    /// Numbers that no zspage has.
    unused: Vec<u32>,
    heads: [u32; GROUPS],
    /// The number of objects for which the zspages have room, and the number in use.
    room: u64,
    used: u64,
    /// True if the pool takes no object any more.
    closed: bool,
}

impl Books {
    pub fn new(class: &SizeClass, groups: FullnessGroups) -> Books {
        Books {
            objects: class.objects,
            quarters: groups == FullnessGroups::Quarters,
            zspages: Vec::new(),
            slots: Vec::new(),
            unused: Vec::new(),
            heads: [NONE; GROUPS],
            room: 0,
            used: 0,
            closed: false,
        }
    }

    /// Closes the class to further objects. Returns false, and leaves the class open, if it has an
    /// object, or a zspage that another thread is setting up or freeing.
    pub fn close(&mut self) -> bool {
        let busy = |zspage: &Zspage| zspage.used > 0 || zspage.group == OFF && zspage.isolated == 0;
        self.closed = !self.zspages.iter().any(busy);
        self.closed
    }

    pub fn reopen(&mut self) {
        self.closed = false;
    }

    /// True if the class takes no object.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    fn at(&self, number: u32) -> &Zspage {
        &self.zspages[number as usize]
    }

    fn at_mut(&mut self, number: u32) -> &mut Zspage {
        &mut self.zspages[number as usize]
    }

    fn slot(&mut self, number: u32, object: u16) -> &mut u32 {
        &mut self.slots[number as usize * usize::from(self.objects) + usize::from(object)]
    }

    /// Begins a zspage, which is on no list yet. `ENOMEM` if the host has no memory, or the class has no
    /// number left.
    pub fn begin(&mut self) -> Result<u32> {
        let number = match self.unused.pop() {
            Some(number) => number,
            None if (self.zspages.len() as u32) < MAX_ZSPAGES => {
                let used = self.zspages.len() + 1;
                let what = "the zspages of a pool";
                more_room(&mut self.zspages, what, 1)?;
                more_room(&mut self.slots, what, usize::from(self.objects))?;
                more_room(&mut self.unused, what, used)?;
                let unused = Zspage { group: UNUSED, used: 0, free: 0, isolated: 0, prev: NONE, next: NONE };
                self.zspages.push(unused);
                self.slots.resize(self.slots.len() + usize::from(self.objects), 0);
                used as u32 - 1
            }
            None => {
                let why = format!("a size class has {MAX_ZSPAGES} zspages at most");
                return Err(Error::new(Errno::ENOMEM, why));
            }
        };
        *self.at_mut(number) = Zspage { group: OFF, used: 0, free: 0, isolated: 0, prev: NONE, next: NONE };
        for object in 0..self.objects {
            *self.slot(number, object) = u32::from(object) + 1;
        }
        self.room += u64::from(self.objects);
        Ok(number)
    }

    /// Ends a zspage that is on no list and has no object.
    pub fn end(&mut self, number: u32) {
        debug_assert!(self.at(number).group == OFF && self.at(number).used == 0);
        self.at_mut(number).group = UNUSED;
        self.unused.push(number);
        self.room -= u64::from(self.objects);
    }

    /// The fullness group to which a zspage belongs now (`get_fullness_group`).
    fn group_of(&self, number: u32) -> u8 {
        let (used, all) = (u32::from(self.at(number).used), u32::from(self.objects));
        match used {
            0 => EMPTY,
            _ if used == all => self.full(),
            _ if self.quarters => 1 + u8::from(used > 3 * all / 4),
            _ => (100 * used / all / 10 + 1) as u8,
        }
    }

    /// The group of full zspages.
    fn full(&self) -> u8 {
        if self.quarters { 3 } else { 11 }
    }

    /// Puts a zspage on the list of its group, and returns whether it is empty.
    pub fn insert(&mut self, number: u32) -> bool {
        let group = self.group_of(number);
        let head = self.heads[usize::from(group)];
        // Quarters keep the fuller zspages in front, to fill those first.
        let behind = self.quarters && head != NONE && self.at(number).used < self.at(head).used;
        let (prev, next) = if behind { (head, self.at(head).next) } else { (NONE, head) };
        {
            let zspage = self.at_mut(number);
            (zspage.group, zspage.prev, zspage.next) = (group, prev, next);
        }
        match prev {
            NONE => self.heads[usize::from(group)] = number,
            _ => self.at_mut(prev).next = number,
        }
        if next != NONE {
            self.at_mut(next).prev = number;
        }
        group == EMPTY
    }

    /// Takes a zspage off its list.
    pub fn remove(&mut self, number: u32) {
        let Zspage { group, prev, next, .. } = *self.at(number);
        match prev {
            NONE => self.heads[usize::from(group)] = next,
            _ => self.at_mut(prev).next = next,
        }
        if next != NONE {
            self.at_mut(next).prev = prev;
        }
        let zspage = self.at_mut(number);
        (zspage.group, zspage.prev, zspage.next) = (OFF, NONE, NONE);
    }

    /// Moves a zspage to the list of its group (`fix_fullness_group`), unless it is on no list.
    /// Returns whether it is empty.
    pub fn regroup(&mut self, number: u32) -> bool {
        let (now, due) = (self.at(number).group, self.group_of(number));
        if now != OFF && now != due {
            self.remove(number);
            self.insert(number);
        }
        due == EMPTY
    }

    /// The zspage for the next object: the first of the fullest group that has room
    /// (`find_get_zspage`). An empty zspage that waits to be freed can be used again.
    pub fn fullest(&self) -> Option<u32> {
        let groups = usize::from(self.full());
        self.heads[..groups].iter().rev().copied().find(|&head| head != NONE)
    }

    /// Takes a zspage off its list, for a compaction: the emptiest one, out of which objects move, or
    /// the fullest one with room, into which they move.
    pub fn isolate(&mut self, emptiest: bool) -> Option<u32> {
        let groups = &self.heads[1..usize::from(self.full())];
        let found = |head: &u32| *head != NONE;
        let number = match emptiest {
            true => groups.iter().copied().find(found),
            false => groups.iter().rev().copied().find(found),
        }?;
        self.remove(number);
        Some(number)
    }

    /// Takes a slot for an object (`obj_malloc`). The zspage has room.
    pub fn take(&mut self, number: u32, handle: u32) -> u16 {
        let object = self.at(number).free;
        let next = std::mem::replace(self.slot(number, object), handle | LIVE);
        let zspage = self.at_mut(number);
        zspage.free = next as u16;
        zspage.used += 1;
        self.used += 1;
        object
    }

    /// Frees an object's slot (`obj_free`).
    pub fn give(&mut self, number: u32, object: u16) {
        let next = u32::from(self.at(number).free);
        *self.slot(number, object) = next;
        let zspage = self.at_mut(number);
        zspage.free = object;
        zspage.used -= 1;
        self.used -= 1;
    }

    /// The handle of the object in a slot; `None` for a free slot.
    pub fn handle(&self, number: u32, object: u16) -> Option<u32> {
        let slot = self.slots.get(number as usize * usize::from(self.objects) + usize::from(object))?;
        (slot & LIVE != 0).then_some(slot & !LIVE)
    }

    /// The number of zspages that a compaction could free (`zs_can_compact`).
    pub fn compactable(&self) -> u64 {
        (self.room - self.used) / u64::from(self.objects)
    }

    pub fn is_full(&self, number: u32) -> bool {
        self.at(number).used == self.objects
    }

    pub fn is_empty(&self, number: u32) -> bool {
        self.at(number).used == 0
    }

    pub fn is_listed(&self, number: u32) -> bool {
        self.at(number).group < GROUPS as u8
    }

    /// The number of isolated pages of a zspage.
    pub fn isolated(&self, number: u32) -> u8 {
        self.at(number).isolated
    }

    /// Counts one more isolated page of a zspage. The first one takes the zspage off its list, so
    /// that no object is added to the zspage.
    pub fn add_isolated(&mut self, number: u32) {
        if self.at(number).isolated == 0 {
            self.remove(number);
        }
        self.at_mut(number).isolated += 1;
    }

    /// Counts a page whose isolation has ended. With the last one the zspage returns to a list. Returns
    /// true if the zspage has returned and is empty.
    pub fn remove_isolated(&mut self, number: u32) -> bool {
        self.at_mut(number).isolated -= 1;
        self.at(number).isolated == 0 && self.insert(number)
    }

    /// The first zspage on the list of empty ones.
    pub fn first_empty(&self) -> Option<u32> {
        let number = self.heads[usize::from(EMPTY)];
        (number != NONE).then_some(number)
    }

    /// Takes one empty zspage off its list, for the thread that frees it.
    pub fn take_empty(&mut self) -> Option<u32> {
        let number = self.first_empty()?;
        self.remove(number);
        Some(number)
    }

    /// The zspages whose chains can be read under the class lock. Left out are those without an object
    /// that are on no list: a thread is making or freeing them and does not hold the class lock.
    pub fn linked(&self) -> impl Iterator<Item = u32> {
        self.zspages()
            .map(|(number, _)| number)
            .filter(|&number| self.is_listed(number) || !self.is_empty(number) || self.isolated(number) > 0)
    }

    /// The number of each zspage, with its objects in use.
    pub fn zspages(&self) -> impl Iterator<Item = (u32, u16)> {
        let all = (0u32..).zip(&self.zspages);
        all.filter(|(_, zspage)| zspage.group != UNUSED).map(|(number, zspage)| (number, zspage.used))
    }

    /// Reports the contradictions in the books of a class of a machine at rest.
    pub fn check(&self, report: &mut dyn FnMut(String)) {
        let mut listed = vec![false; self.zspages.len()];
        for (group, &head) in self.heads.iter().enumerate() {
            let (mut now, mut before) = (head, NONE);
            while now != NONE {
                let zspage = self.at(now);
                if std::mem::replace(&mut listed[now as usize], true) || zspage.prev != before {
                    return report(format!("the list of group {group} is broken at zspage {now}"));
                }
                if usize::from(zspage.group) != group || self.group_of(now) != zspage.group {
                    let belongs = self.group_of(now);
                    report(format!("zspage {now} of group {belongs} is on the list of group {group}"));
                }
                (now, before) = (zspage.next, now);
            }
        }
        let (mut room, mut used) = (0, 0);
        for (number, in_use) in self.zspages() {
            let live = (0..self.objects).filter(|&object| self.handle(number, object).is_some()).count();
            if live != usize::from(in_use) {
                report(format!("zspage {number} counts {in_use} objects and has {live}"));
            }
            let isolated = self.at(number).isolated;
            if listed[number as usize] == (isolated > 0) {
                report(format!("zspage {number} with {isolated} isolated pages is on the wrong list"));
            }
            room += u64::from(self.objects);
            used += live as u64;
        }
        if (room, used) != (self.room, self.used) {
            let (counted, all) = (self.used, self.room);
            report(format!("{used} of {room} objects are in use where {counted} of {all} are counted"));
        }
    }
}
