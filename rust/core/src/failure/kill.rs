//! Finds the processes that are signalled for a lost page: each gets SIGBUS with an address and a
//! code.

use crate::machine::Machine;
use crate::map::{AddressSpace, Area, Attributes, Entry};
use crate::owner::Owner;
use crate::owner::OwnerId;
use crate::page::{Flags, Pfn};
use crate::release::Release;
use std::fmt;

/// The `si_code` of a SIGBUS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Code {
    /// `BUS_MCEERR_AR`: the process has touched the page and cannot go on.
    ActionRequired,
    /// `BUS_MCEERR_AO`: the process has not touched the page, but wants to know.
    ActionOptional,
}

impl Code {
    /// The kernel's name.
    pub const fn name(self) -> &'static str {
        match self {
            Code::ActionRequired => "BUS_MCEERR_AR",
            Code::ActionOptional => "BUS_MCEERR_AO",
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A SIGBUS sent to an address space.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Signal {
    /// The address space.
    pub space: u32,
    /// The address of the lost page there.
    pub address: u64,
    /// The code of the signal.
    pub code: Code,
}

impl<R: Release> Machine<R> {
    /// The signals for the loss of a locked page (`collect_procs`), in the order of its reverse
    /// map: to the process whose access found the failure, and to processes that want to be
    /// signalled early. For a page of a file, each process whose mapping includes the page counts,
    /// whether it has touched the page or not.
    pub(super) fn collect_victims(&self, pfn: Pfn, current: Option<&AddressSpace>) -> Vec<Signal> {
        let early = self.early_killed();
        let current = current.map(|space| space.id);
        let mut victims = Vec::new();
        let mut add = |area: &Area, index: u32| {
            let code = match current {
                Some(id) if id == area.space => Code::ActionRequired,
                _ if early.contains(&area.space) => Code::ActionOptional,
                _ => return,
            };
            victims.push(Signal { space: area.space, address: area.address(index), code });
        };
        // Only this part of a large page is lost, if the page could not be split.
        let head = self.frames.head(pfn);
        let page = &self.frames[head];
        let index = page.index() + (pfn.0 - head.0);
        self.owners.with(OwnerId(page.owner()), |owner| match owner {
            Owner::Anon(areas) => {
                for area in areas {
                    if index < area.pages() && area.look(index).unlocked().maps(pfn) {
                        add(area, index);
                    }
                }
            }
            Owner::File { areas, .. } => {
                for area in areas {
                    let within = |&at: &u32| !area.attributes(at).contains(Attributes::UNMAPPED);
                    if let Some(at) = area.of_file(index).filter(within) {
                        add(area, at);
                    }
                }
            }
            Owner::Free | Owner::Movable(_) => {}
        });
        debug_assert!(victims.is_empty() || page.flags().intersects(Flags::ANON | Flags::FILE));
        victims
    }

    /// The signal for a process that has touched a page that was poisoned before, with the address
    /// at which the process maps it (`kill_accessing_process`).
    pub(super) fn kill_accessing(&self, pfn: Pfn, space: &AddressSpace) -> Option<Signal> {
        let areas = space.areas.read();
        let found = areas.iter().find_map(|area| {
            let here = |(_, pte): &(u32, crate::map::Pte)| match pte.unlocked().entry() {
                Entry::Present { pfn: mapped, zero } => !zero && mapped == pfn,
                Entry::Hwpoison { pfn: poisoned } => poisoned == pfn,
                _ => false,
            };
            area.mapped().find(here).map(|(index, _)| area.address(index))
        });
        found.map(|address| Signal { space: space.id, address, code: Code::ActionRequired })
    }
}
