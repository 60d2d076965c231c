//! What to run. The JSON of [`LoadConfig`] is the contract with whoever starts a rig: every field has
//! a default, an unknown one is an error.

use super::fault::LoadError;
use crate::machine::{Config, MAX_CPUS, NodeConfig};
use crate::page::PAGE_SIZE;
use crate::profile::Profile;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Which load.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Load {
    /// Migrators against mutators.
    #[default]
    Storm,
    /// A trace over a fast and a slow node.
    Tiering,
}

/// A node's size and latency.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeSpec {
    /// Size in bytes, a multiple of the page size.
    pub bytes: u64,
    /// Modelled access time; rounded to whole nanoseconds.
    #[serde(default = "default_latency")]
    pub latency_ns: f64,
}

const fn default_latency() -> f64 {
    100.0
}

/// What is planted on purpose (tests and calibration only).
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Planted {
    /// Some migrated pages end up with what their new frame held before: a copy that was skipped.
    pub lost_copy: bool,
    /// Every migration takes this share longer than it would.
    pub slowdown: f64,
}

/// A load and its machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LoadConfig {
    /// Which load.
    pub load: Load,
    /// Preset of the profile.
    pub kernel: String,
    /// Profile fields set over the preset: text, numbers or booleans.
    pub profile: Map<String, Value>,
    /// The nodes, fastest first. Empty: sizes are derived from the working set.
    pub nodes: Vec<NodeSpec>,
    /// Per-CPU contexts; 0: one for each thread.
    pub cpus: usize,
    /// Threads that migrate memory.
    pub migrators: usize,
    /// Threads that use it; 0: twice the migrators in a storm, as many in tiering.
    pub mutators: usize,
    /// In a storm: nobody uses the memory while it is migrated. The quietest measure of the protocol.
    pub alone: bool,
    /// Pages migrated by one call.
    pub batch: usize,
    /// Real bytes that are copied and checked, or page records only.
    pub copy: bool,
    /// Pages of a storm's working set; 0: what suits the nodes, 64 MiB where none are given.
    pub pages: u32,
    /// Share of a trace's footprint that the fast node holds, where `nodes` does not say.
    pub fast_share: f64,
    /// Share of the migrators' calls before which a frame goes bad.
    pub poison_rate: f64,
    /// Measure a bare `memcpy` of cold pages in each round.
    pub memcpy: bool,
    /// Decides everything that is random in setting up.
    pub seed: u64,
    /// What a user types to repeat this; messages quote it.
    pub command: Option<String>,
    /// Faults planted on purpose.
    pub planted: Planted,
}

impl Default for LoadConfig {
    fn default() -> Self {
        LoadConfig {
            load: Load::Storm,
            kernel: "6.12".into(),
            profile: Map::new(),
            nodes: Vec::new(),
            cpus: 0,
            migrators: 2,
            mutators: 0,
            alone: false,
            batch: 32,
            copy: true,
            pages: 0,
            fast_share: 0.25,
            poison_rate: 0.0,
            memcpy: true,
            seed: 1,
            command: None,
            planted: Planted::default(),
        }
    }
}

/// Writers that a word can name (`content`).
pub(super) const MAX_THREADS: usize = 31;
/// Pages that a word can name (`content`).
pub(super) const MAX_PAGES: u32 = 1 << 20;
/// Fewest pages of a storm.
const MIN_PAGES: u32 = 256;
/// 64 MiB: twice the last-level cache of an ordinary server, so that pages are cold.
const DEFAULT_PAGES: u32 = 1 << 14;

impl LoadConfig {
    /// Reads the JSON.
    ///
    /// # Errors
    /// What is wrong with it, in one line.
    pub fn from_json(json: &str) -> Result<LoadConfig, LoadError> {
        let wrong = |error: serde_json::Error| LoadError::Config(error.to_string());
        // An object: a structure would also be read from a list.
        let object: Map<String, Value> = serde_json::from_str(json).map_err(wrong)?;
        let config: LoadConfig = serde_json::from_value(object.into()).map_err(wrong)?;
        config.check()?;
        Ok(config)
    }

    /// What makes no sense in any load.
    pub(super) fn check(&self) -> Result<(), LoadError> {
        let one_of = |name: &str, value: usize, most: usize| match (1..=most).contains(&value) {
            true => Ok(()),
            false => Err(LoadError::Config(format!("{name} must be from 1 to {most}, not {value}"))),
        };
        one_of("migrators", self.migrators, MAX_THREADS)?;
        one_of("mutators", self.mutator_count(), MAX_THREADS)?;
        one_of("batch", self.batch, 512)?;
        if self.cpus > MAX_CPUS {
            one_of("cpus", self.cpus, MAX_CPUS)?;
        }
        if self.alone && self.load == Load::Tiering {
            return Err(LoadError::Config(
                "in tiering the accesses cause the migrations: no migrator is alone".into(),
            ));
        }
        for (at, node) in self.nodes.iter().enumerate() {
            let page = PAGE_SIZE as u64;
            if node.bytes == 0 || node.bytes % page != 0 || node.bytes / page > u64::from(u32::MAX) {
                let bytes = node.bytes;
                return Err(LoadError::Config(format!(
                    "node {at} cannot have {bytes} bytes: whole pages only"
                )));
            }
        }
        let pages = self.page_count();
        if !(MIN_PAGES..=MAX_PAGES).contains(&pages) {
            return Err(LoadError::Config(match self.pages {
                0 => format!("these nodes have room for a working set of {pages} pages: give larger nodes"),
                _ => format!("the working set must have from {MIN_PAGES} to {MAX_PAGES} pages, not {pages}"),
            }));
        }
        let share = self.fast_share;
        if !(share > 0.0 && share < 1.0) {
            return Err(LoadError::Config(format!("fast_share must be between 0 and 1, not {share}")));
        }
        if !(0.0..=1.0).contains(&self.poison_rate) {
            let rate = self.poison_rate;
            return Err(LoadError::Config(format!("poison_rate must be from 0 to 1, not {rate}")));
        }
        let slowdown = self.planted.slowdown;
        if !(0.0..=10.0).contains(&slowdown) {
            return Err(LoadError::Config(format!(
                "a planted slowdown must be from 0 to 10, not {slowdown}"
            )));
        }
        if self.planted.lost_copy && !self.copy {
            return Err(LoadError::Config("an unbacked machine has no copy to lose".into()));
        }
        if let Some(node) = self.nodes.iter().find(|node| !(0.0..1e9).contains(&node.latency_ns)) {
            let why = format!("a latency must be from 0 to a second, not {} ns", node.latency_ns);
            return Err(LoadError::Config(why));
        }
        self.choices().map(|_| ())
    }

    /// The preset with its changes.
    pub(super) fn choices(&self) -> Result<Profile, LoadError> {
        let wrong = |error: crate::profile::ProfileError| LoadError::Config(error.to_string());
        let mut profile = Profile::preset(&self.kernel).map_err(wrong)?;
        for (field, value) in &self.profile {
            let text = match value {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            profile.set(field, &text).map_err(wrong)?;
        }
        Ok(profile)
    }

    /// Threads that use memory.
    pub(super) fn mutator_count(&self) -> usize {
        match (self.mutators, self.load) {
            (0, Load::Storm) => 2 * self.migrators,
            (0, Load::Tiering) => self.migrators,
            (mutators, _) => mutators,
        }
    }

    /// Pages of a storm's working set: of given nodes nearly half, so that there is always a place to
    /// move to.
    pub(super) fn page_count(&self) -> u32 {
        if self.pages != 0 || self.load == Load::Tiering {
            return if self.pages == 0 { DEFAULT_PAGES } else { self.pages };
        }
        let frames: u64 = self.nodes.iter().map(|node| node.bytes / PAGE_SIZE as u64).sum();
        match frames {
            0 => DEFAULT_PAGES,
            frames => (frames * 3 / 8).min(u64::from(MAX_PAGES / 2)) as u32,
        }
    }

    /// CPUs of the machine.
    pub(super) fn cpu_count(&self) -> usize {
        match self.cpus {
            0 => (self.mutator_count() + self.migrators).min(MAX_CPUS),
            cpus => cpus,
        }
    }

    /// The machine, with the nodes given or else those of `derived` (frames).
    pub(super) fn machine(&self, derived: [u32; 2]) -> Result<Config, LoadError> {
        let nodes = match self.nodes.is_empty() {
            // Latencies of local DRAM and of memory behind a link such as CXL.
            true => vec![
                NodeConfig { frames: derived[0], latency_ns: 100 },
                NodeConfig { frames: derived[1], latency_ns: 250 },
            ],
            false => self
                .nodes
                .iter()
                .map(|node| NodeConfig {
                    frames: (node.bytes / PAGE_SIZE as u64) as u32,
                    latency_ns: node.latency_ns.round() as u32,
                })
                .collect(),
        };
        if nodes.len() < 2 {
            return Err(LoadError::Config("a load migrates between nodes: give two of them".into()));
        }
        Ok(Config {
            nodes,
            cpus: self.cpu_count(),
            backed: self.copy,
            profile: self.choices()?,
            ..Config::new(2, 1)
        })
    }

    /// What a user does to see the same again.
    pub(super) fn repeat(&self) -> String {
        match &self.command {
            Some(command) => command.clone(),
            None => format!("a LoadRig of {}", serde_json::to_string(self).expect("plain data")),
        }
    }
}
