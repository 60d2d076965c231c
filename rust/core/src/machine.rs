//! The machine: nodes, CPUs, page records, counters. The other modules of the crate add their
//! operations as methods of [`Machine`].

pub(crate) mod config;
mod size;
mod threads;

pub use config::{Config, MAX_CPUS, MAX_FRAMES, MAX_NODES, NodeConfig};
pub use size::{node_frames, parse_size};
pub use threads::{enter_thread, reserve_threads, too_many_threads};

use crate::alloc::capture::Capture;
use crate::alloc::pcp::Pcp;
use crate::alloc::zone::Zone;
use crate::calls::recorder::{Recorder, Recording};
use crate::compact::state::CompactSettings;
use crate::contig::pool::HugePages;
use crate::error::{Errno, Error, Result};
use crate::failure::books::Failure;
use crate::hotplug::blocks::{BlockState, Blocks, Hotplug, ZoneKind};
use crate::inject::armed::Faults;
use crate::lru::batch::Batches;
use crate::lru::lruvec::Lruvec;
use crate::map::space::Spaces;
use crate::map::swap::space::SwapSpace;
use crate::map::tlb::Tlb;
use crate::memory::Memory;
use crate::memory::copy::CopyKind;
use crate::owner::{OwnerId, Owners};
use crate::page::{Frames, PAGE_SIZE, Page, Pfn};
use crate::pressure::state::{Pressure, Wanted};
use crate::profile::Profile;
use crate::release::design::Designed;
use crate::stat::Stats;
use crate::sync::{AtomicU32, Lock, LockClass, MAX_THREADS, Ordering, PlainU32, thread_slot};
use crossbeam_utils::CachePadded;

/// A NUMA node: a range of frames with its allocator and its LRU lists.
#[derive(Debug)]
pub struct Node {
    /// The first frame.
    pub base: Pfn,
    /// The number of frames.
    pub frames: u32,
    /// The modelled access time, in nanoseconds.
    pub latency_ns: u32,
    /// True if the machine was built with this node only for movable pages. A memory block that was
    /// put online since may be in another zone.
    pub movable: bool,
    /// The states of the node's memory blocks.
    pub blocks: Blocks,
    pub(crate) zone: CachePadded<Lock<Zone>>,
    pub(crate) lruvec: CachePadded<Lock<Lruvec>>,
    /// The refault clock. The clock advances with each page that is evicted or activated, and
    /// measures refault distances.
    pub(crate) nonresident_age: AtomicU32,
    /// The number of frames that a balloon has taken from the managed pages. The number wraps below
    /// zero if the books of the balloon are wrong.
    pub(crate) unmanaged: AtomicU32,
    /// The requests for the node's daemons, kcompactd and kswapd.
    pub(crate) wanted: Wanted,
}

impl Node {
    /// Returns the state of the memory block that holds one of the node's frames.
    fn block_state(&self, pfn: Pfn) -> BlockState {
        self.blocks.state_at(pfn.0 - self.base.0)
    }

    /// Returns true if any memory of the node is online.
    pub fn has_memory(&self) -> bool {
        self.blocks.has_rest() || self.blocks.states().any(|state| state != BlockState::Offline)
    }

    /// Returns true if the node has memory in the zone of movable pages.
    pub fn has_movable_zone(&self) -> bool {
        self.blocks.any(BlockState::Online(ZoneKind::Movable))
    }

    /// Returns true if all memory of the node is in the kernel's zone, so that every page of it may be pinned
    /// for long.
    pub fn allows_lasting_pins(&self) -> bool {
        !self.has_movable_zone() && self.blocks.any(BlockState::Online(ZoneKind::Kernel))
    }
}

/// A per-CPU context. User space cannot disable preemption, so each part has a lock. Several
/// threads may share a CPU.
#[derive(Debug)]
pub struct Cpu {
    pub(crate) batches: CachePadded<Lock<Batches>>,
    /// The arrays of free frames, by node.
    pub(crate) pcp: Box<[CachePadded<Lock<Pcp>>]>,
    /// The slot for the block that a compaction on this CPU is about to make (*capture*).
    pub(crate) capture: Capture,
}

/// A whole machine. `R` is its release design, or [`Chosen`](crate::release::Chosen) for the design that the
/// profile names.
pub struct Machine<R: Designed> {
    pub(crate) profile: Profile,
    pub(crate) frames: Frames,
    pub(crate) memory: Memory,
    pub(crate) nodes: Box<[Node]>,
    /// The first frame of each node. The entry of a node that does not exist is higher than every
    /// frame number.
    bases: [u32; MAX_NODES],
    pub(crate) cpus: Box<[CachePadded<Cpu>]>,
    pub(crate) owners: Owners<R::Driver>,
    pub(crate) tlb: Tlb,
    pub(crate) spaces: Spaces,
    /// The swap space, if there is one.
    pub(crate) swap: SwapSpace,
    /// The state of memory failure.
    pub(crate) failure: Failure,
    /// The settings of compaction.
    pub(crate) compact_settings: CompactSettings,
    /// The state of memory pressure.
    pub(crate) pressure: Pressure,
    /// The owner id of the balloon; 0 without one.
    pub(crate) balloon: AtomicU32,
    /// The owners of caches. When reclaim asks them, they give back the memory that they do not need.
    pub(crate) shrinkers: Lock<Vec<OwnerId>>,
    /// The state of offlining and onlining.
    pub(crate) hotplug: Hotplug,
    /// The pools of huge pages.
    pub(crate) huge: HugePages,
    pub(crate) stats: Stats,
    /// The number of callers that keep the LRU batches disabled.
    pub(crate) lru_disabled: CachePadded<AtomicU32>,
    /// The lock under which one thread at a time drains the batches of all CPUs.
    pub(crate) lru_drain: CachePadded<Lock<()>>,
    /// The number of drains of the batches of all CPUs that have begun so far. A thread reads the number
    /// before it waits for `lru_drain`, and again once it holds that lock. If the number has grown in
    /// between, another thread has drained for it.
    pub(crate) lru_drains: CachePadded<AtomicU32>,
    /// The CPU + 1 of each thread slot; 0 for a thread without a CPU.
    bindings: Box<[PlainU32; MAX_THREADS]>,
    /// The number of threads that were given a CPU in the order of their arrival.
    arrivals: AtomicU32,
    /// The recorder of the protocol's calls, if they are recorded.
    pub(crate) recorder: Recording,
    /// The faults that threads have armed for their own next operations.
    pub(crate) next_faults: Faults,
    /// The state that the release design keeps for this machine.
    pub(crate) design: R::State,
}

impl<R: Designed> Machine<R> {
    /// Returns the name of the machine's own word at `address`, for traces. `None` for any other
    /// address; pages, areas and files name their own words.
    pub fn field_at(&self, address: usize) -> Option<String> {
        let fields = [
            (&*self.lru_disabled, "callers that keep the LRU batches disabled"),
            (&*self.lru_drains, "drains of all CPUs so far"),
            (&self.arrivals, "threads that were given a CPU"),
            (&self.balloon, "the balloon's owner id"),
        ];
        let at = |word: &AtomicU32| std::ptr::from_ref(word).addr() == address;
        let own = fields.iter().find(|(word, _)| at(word)).map(|(_, name)| (*name).to_owned());
        let cpu = || {
            let slot = self.bindings.iter().position(|word| std::ptr::from_ref(word).addr() == address)?;
            Some(format!("cpu of thread {slot}"))
        };
        let age = || {
            Some(format!(
                "refault clock of node {}",
                self.nodes.iter().position(|node| at(&node.nonresident_age))?
            ))
        };
        let unmanaged = || {
            let node = self.nodes.iter().position(|node| at(&node.unmanaged))?;
            Some(format!("frames of node {node} in the balloon"))
        };
        let capture = || {
            let cpu = self.cpus.iter().position(|cpu| cpu.capture.is_at(address))?;
            Some(format!("slot for the block that a compaction on CPU {cpu} makes"))
        };
        let recorder =
            || self.recorder.get()?.is_at(address).then(|| "whether calls are recorded".to_owned());
        let tlb = || self.tlb.field_at(address);
        let block = || {
            let of = |(number, node): (usize, &Node)| {
                Some(format!("{} of node {number}", node.blocks.field_at(address)?))
            };
            self.nodes.iter().enumerate().find_map(of)
        };
        let setting = || self.compact_settings.field_at(address).map(str::to_owned);
        let wanted = || {
            let of = |(number, node): (usize, &Node)| {
                Some(format!("{} of node {number}", node.wanted.field_at(address)?))
            };
            self.nodes.iter().enumerate().find_map(of)
        };
        own.or_else(cpu)
            .or_else(age)
            .or_else(unmanaged)
            .or_else(recorder)
            .or_else(tlb)
            .or_else(block)
            .or_else(setting)
            .or_else(wanted)
            .or_else(capture)
            .or_else(|| self.pressure.field_at(address))
            .or_else(|| self.swap.field_at(address))
    }

    /// Builds a machine. The whole machine takes up address space at once; a frame takes up memory
    /// of the host only from its first use on.
    ///
    /// `EINVAL`, with the reason, if the configuration is impossible; `ENOMEM` if the host refuses
    /// the memory.
    pub fn new(config: &Config) -> Result<Machine<R>> {
        let invalid = |why: String| Err(Error::new(Errno::EINVAL, why));
        if !(1..=MAX_NODES).contains(&config.nodes.len()) {
            return invalid(format!("a machine has 1 to {MAX_NODES} nodes, not {}", config.nodes.len()));
        }
        if !(1..=MAX_CPUS).contains(&config.cpus) {
            return invalid(format!("a machine has 1 to {MAX_CPUS} CPUs, not {}", config.cpus));
        }
        if let Some(empty) = config.nodes.iter().position(|node| node.frames == 0) {
            return invalid(format!("node {empty} has no frames"));
        }
        let total: u64 = config.nodes.iter().map(|node| u64::from(node.frames)).sum();
        if total > MAX_FRAMES {
            return invalid(format!(
                "{total} frames are more than the {MAX_FRAMES} ({} GiB) a machine can have",
                (MAX_FRAMES * PAGE_SIZE as u64) >> 30
            ));
        }
        if !R::serves(config.profile.release) {
            return invalid(format!(
                "the profile asks for release design {}, this machine is built for {}",
                config.profile.release,
                R::DESIGN
            ));
        }
        let mut base = Pfn(0);
        if let Some(node) = config.movable.iter().find(|&&node| node >= config.nodes.len()) {
            return invalid(format!("node {node} cannot be for movable pages only: it does not exist"));
        }
        if (0..config.nodes.len()).all(|node| config.movable.contains(&node)) {
            return invalid(
                "at least one node must also take pages that cannot move: a lasting pin needs it".into(),
            );
        }
        config.check_blocks()?;
        let nodes = config.nodes.iter().enumerate().map(|(number, node)| {
            let first = base;
            base = base.plus(node.frames);
            let mut zone = Zone::new(first, node.frames, config.profile.pageblock_order)?;
            let state = match (config.offline.contains(&number), config.movable.contains(&number)) {
                (true, _) => BlockState::Offline,
                (false, true) => BlockState::Online(ZoneKind::Movable),
                (false, false) => BlockState::Online(ZoneKind::Kernel),
            };
            if state == BlockState::Offline {
                zone.withhold();
            }
            Ok(Node {
                blocks: Blocks::new(node.frames, config.block, state),
                base: first,
                frames: node.frames,
                latency_ns: node.latency_ns,
                movable: config.movable.contains(&number),
                zone: CachePadded::new(Lock::plain(LockClass::Zone, zone)),
                lruvec: CachePadded::new(Lock::plain(
                    LockClass::Lruvec,
                    Lruvec::new(config.profile.lru_policy),
                )),
                nonresident_age: AtomicU32::new(0),
                unmanaged: AtomicU32::new(0),
                wanted: Wanted::default(),
            })
        });
        let nodes: Box<[Node]> = nodes.collect::<Result<_>>()?;
        let pcp = |node: &Node| CachePadded::new(Lock::plain(LockClass::Pcp, Pcp::for_node(node.frames)));
        let cpu = || {
            CachePadded::new(Cpu {
                batches: CachePadded::new(Lock::plain(LockClass::Batch, Batches::default())),
                pcp: nodes.iter().map(pcp).collect(),
                capture: Capture::new(),
            })
        };
        let mut bases = [u32::MAX; MAX_NODES];
        for (base, node) in bases.iter_mut().zip(&nodes) {
            *base = node.base.0;
        }
        let memory = match config.backed {
            true => Memory::backed(total as u32, config.copy.unwrap_or_else(CopyKind::best))?,
            false => Memory::unbacked(),
        };
        let machine = Machine {
            profile: config.profile.clone(),
            frames: Frames::new(total as u32)?,
            memory,
            cpus: (0..config.cpus).map(|_| cpu()).collect(),
            owners: Owners::new(config.owners)?,
            tlb: Tlb::new(),
            spaces: Spaces::new(),
            swap: SwapSpace::new(),
            failure: Failure::new(),
            compact_settings: CompactSettings::default(),
            pressure: Pressure::new(config.pressure),
            balloon: AtomicU32::new(0),
            shrinkers: Lock::plain(LockClass::Leaf, Vec::new()),
            hotplug: Hotplug::new(),
            huge: HugePages::new(),
            stats: Stats::new(nodes.len()),
            nodes,
            bases,
            lru_disabled: CachePadded::new(AtomicU32::new(0)),
            lru_drain: CachePadded::new(Lock::plain(LockClass::BatchControl, ())),
            lru_drains: CachePadded::new(AtomicU32::new(0)),
            bindings: Box::new(std::array::from_fn(|_| PlainU32::new(0))),
            arrivals: AtomicU32::new(0),
            recorder: Recorder::of(config.calls),
            next_faults: Faults::new(),
            design: R::State::default(),
        };
        machine.adapt_watermarks();
        Ok(machine)
    }

    /// Returns the machine's profile.
    pub fn profile(&self) -> &Profile {
        &self.profile
    }

    /// Returns the machine's nodes.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Returns the number of CPUs.
    pub fn cpu_count(&self) -> usize {
        self.cpus.len()
    }

    /// Returns the machine's striped counters.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Returns the records of all frames.
    pub fn frames(&self) -> &Frames {
        &self.frames
    }

    /// Returns the bytes of all frames.
    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    /// Returns the record of a frame. `EINVAL` for a number outside the machine.
    pub fn page(&self, pfn: Pfn) -> Result<&Page> {
        self.frames.get(pfn).ok_or_else(|| self.no_frame(Errno::EINVAL, i64::from(pfn.0)))
    }

    /// Returns the error for a frame number outside the machine.
    #[cold]
    pub fn no_frame(&self, errno: Errno, number: i64) -> Error {
        let frames = self.frames.len();
        let hex = if number < 0 { String::new() } else { format!(" ({number:#x})") };
        Error::new(errno, format!("no frame {number}{hex}: the machine has {frames}, numbered from 0"))
    }

    /// Returns the managed pages of a node: its frames that are online, less those that a balloon has taken
    /// from it (`managed` in /proc/zoneinfo). Negative if the books of the balloon are wrong. `EINVAL` for a
    /// node that does not exist.
    pub fn managed_pages(&self, node: usize) -> Result<i64> {
        let found =
            self.nodes.get(node).ok_or_else(|| Error::new(Errno::EINVAL, format!("no node {node}")))?;
        // Relaxed: a counter that orders no other access.
        Ok(i64::from(found.blocks.online()) - i64::from(found.unmanaged.load(Ordering::Relaxed) as i32))
    }

    /// Returns the node of a frame.
    #[inline]
    pub fn node_of(&self, pfn: Pfn) -> usize {
        // No branch depends on the frame: the node of a random page cannot be predicted, so such a
        // branch would often be mispredicted. The branch on the number of nodes always goes the same
        // way, and spares a machine of one or two nodes the comparisons with nodes that do not exist.
        let after = |base: u32| usize::from(base <= pfn.0);
        let [_, second, others @ ..] = self.bases;
        let node = after(second);
        if self.nodes.len() <= 2 {
            return node;
        }
        node + others.into_iter().map(after).sum::<usize>()
    }

    /// Divides `pages` into runs: successive entries whose frames lie on the same node.
    #[inline]
    pub(crate) fn by_node<'a>(&'a self, pages: &'a [Pfn]) -> impl Iterator<Item = (&'a Node, &'a [Pfn])> {
        let mut left = pages;
        std::iter::from_fn(move || {
            let node = &self.nodes[self.node_of(*left.first()?)];
            let same = |pfn: &&Pfn| pfn.0.wrapping_sub(node.base.0) < node.frames;
            let (run, rest) = left.split_at(left.iter().take_while(same).count());
            left = rest;
            Some((node, run))
        })
    }

    /// Returns true if a frame lies in memory that is online.
    pub fn is_online(&self, pfn: Pfn) -> bool {
        self.nodes[self.node_of(pfn)].block_state(pfn) != BlockState::Offline
    }

    /// Returns true if a frame lies in the zone of movable pages. A page that is pinned for long
    /// does not stay in this zone.
    pub fn is_for_movable(&self, pfn: Pfn) -> bool {
        self.nodes[self.node_of(pfn)].block_state(pfn) == BlockState::Online(ZoneKind::Movable)
    }

    /// Returns the CPU of the calling thread. A thread that is bound to no CPU gets the next CPU in
    /// the order of arrival.
    #[inline]
    pub fn cpu(&self) -> usize {
        // The entry is a plain field, because only the thread that holds the slot reads or writes
        // it.
        match self.bindings[thread_slot()].get() {
            0 => self.arrive(),
            bound => bound as usize - 1,
        }
    }

    #[cold]
    fn arrive(&self) -> usize {
        // Relaxed: the number is only divided among CPUs, and orders no other access.
        let cpu = self.arrivals.fetch_add(1, Ordering::Relaxed) as usize % self.cpus.len();
        self.bind_cpu(Some(cpu));
        cpu
    }

    /// Binds the calling thread to a CPU and returns the former binding. `None`, or a CPU that the
    /// machine does not have, ends the binding; the thread's next use of the machine chooses a CPU
    /// again.
    pub fn bind_cpu(&self, cpu: Option<usize>) -> Option<usize> {
        let cpu = cpu.filter(|&cpu| cpu < self.cpus.len());
        let entry = &self.bindings[thread_slot()];
        let old = entry.get();
        entry.set(cpu.map_or(0, |cpu| cpu as u32 + 1));
        (old as usize).checked_sub(1)
    }
}
