//! Turns the `machine` line of a program into the configuration of a machine.

use super::{MachineSpec, Program, Switch};
use crate::hotplug::BLOCK_FRAMES;
use crate::machine::{Config, MAX_FRAMES, MAX_NODES, NodeConfig};
use crate::profile::Profile;
use crate::program::session::MAX_THREADS;

/// Defaults for fields that a `machine` line leaves out, and the limits of the runner of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Defaults {
    /// The number of nodes.
    pub nodes: u32,
    /// The frames of each node.
    pub pages: u32,
    /// The number of CPUs.
    pub cpus: u32,
    /// The number of owner slots, which no program can set.
    pub owners: usize,
    /// The most threads of a program.
    pub threads: usize,
    /// The runner, as errors name it.
    pub runner: &'static str,
}

impl Defaults {
    /// The defaults for real threads: two nodes of 256 MiB, like the virtual machine in which the
    /// recordings were made (`docs/conformance.md`). Unused frames take no host memory.
    pub const RUN: Defaults = Defaults {
        nodes: 2,
        pages: 1 << 16,
        cpus: 2,
        owners: 1 << 16,
        threads: MAX_THREADS,
        runner: "a run on real threads",
    };
    /// The defaults for the explorer: a small machine, because each of millions of schedules ends
    /// with an audit.
    pub const EXPLORE: Defaults =
        Defaults { nodes: 2, pages: 8, cpus: 2, owners: 8, threads: 8, runner: "the explorer" };
}

/// The error for a program that cannot be run: the reason with the limit or the accepted values, on one line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SetupError(pub String);

fn refuse<T>(why: impl Into<String>) -> Result<T, SetupError> {
    Err(SetupError(why.into()))
}

impl MachineSpec {
    /// Returns this specification with the fields of `overrides` in place of its own.
    #[must_use]
    pub fn overridden(&self, overrides: &MachineSpec) -> MachineSpec {
        let mut profile = self.profile.clone();
        profile.extend(overrides.profile.clone());
        MachineSpec {
            nodes: overrides.nodes.or(self.nodes),
            pages: if overrides.pages.is_empty() { self.pages.clone() } else { overrides.pages.clone() },
            cpus: overrides.cpus.or(self.cpus),
            movable: if overrides.movable.is_empty() {
                self.movable.clone()
            } else {
                overrides.movable.clone()
            },
            offline: if overrides.offline.is_empty() {
                self.offline.clone()
            } else {
                overrides.offline.clone()
            },
            block: overrides.block.or(self.block),
            pressure: overrides.pressure.or(self.pressure),
            memory: overrides.memory.or(self.memory),
            kernel: overrides.kernel.clone().or_else(|| self.kernel.clone()),
            profile,
        }
    }

    /// Returns the configuration of the machine that the line asks for.
    pub fn config(&self, defaults: &Defaults) -> Result<Config, SetupError> {
        let profile = self.profile()?;
        let from_pages = if self.pages.len() > 1 { self.pages.len() as u32 } else { defaults.nodes };
        let nodes = self.nodes.unwrap_or(from_pages);
        let pages = match self.pages.as_slice() {
            // Too many nodes are refused before a list of that length is built.
            _ if nodes as usize > MAX_NODES => {
                return refuse(format!("a machine has 1 to {MAX_NODES} nodes, not {nodes}"));
            }
            [] => vec![defaults.pages; nodes as usize],
            [one] => vec![*one; nodes as usize],
            each if each.len() == nodes as usize => each.to_vec(),
            each => return refuse(format!("pages= has {} numbers for nodes={nodes}", each.len())),
        };
        if pages.iter().map(|&pages| u64::from(pages)).sum::<u64>() > MAX_FRAMES {
            return refuse(format!("a machine has {MAX_FRAMES} pages at most"));
        }
        Ok(Config {
            nodes: pages.iter().map(|&frames| NodeConfig { frames, latency_ns: 100 }).collect(),
            cpus: self.cpus.unwrap_or(defaults.cpus) as usize,
            copy: None,
            backed: true,
            profile,
            owners: defaults.owners,
            movable: self.movable.iter().map(|&node| node as usize).collect(),
            offline: self.offline.iter().map(|&node| node as usize).collect(),
            block: self.block.unwrap_or(BLOCK_FRAMES),
            pressure: self.pressure == Some(Switch::On),
            calls: false,
        })
    }

    fn profile(&self) -> Result<Profile, SetupError> {
        let error = |error: crate::profile::ProfileError| SetupError(error.to_string());
        let mut profile = match &self.kernel {
            None => Profile::default(),
            Some(kernel) => Profile::preset(kernel.as_str()).map_err(error)?,
        };
        for (field, value) in &self.profile {
            profile.set(field.as_str(), value.as_str()).map_err(error)?;
        }
        Ok(profile)
    }
}

impl Program {
    /// Returns the configuration of the machine that the program asks for, changed by `overrides`, and the
    /// CPU of each thread. A thread without `cpu=` gets the CPU of its own number, modulo the number of CPUs.
    pub fn configured(
        &self,
        overrides: &MachineSpec,
        defaults: &Defaults,
    ) -> Result<(Config, Vec<usize>), SetupError> {
        let config = self.machine.clone().unwrap_or_default().overridden(overrides).config(defaults)?;
        if self.threads.len() > defaults.threads {
            return refuse(format!(
                "{} takes at most {} threads, and the program has {}",
                defaults.runner,
                defaults.threads,
                self.threads.len()
            ));
        }
        self.check_names()?;
        let cpus = self.threads.iter().enumerate().map(|(number, thread)| match thread.cpu {
            None => Ok(number % config.cpus.max(1)),
            Some(cpu) if (cpu as usize) < config.cpus => Ok(cpu as usize),
            Some(cpu) => refuse(format!(
                "thread {}: there is no CPU {cpu}: the machine has {}",
                thread.name, config.cpus
            )),
        });
        let cpus = cpus.collect::<Result<_, _>>()?;
        Ok((config, cpus))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::Design;
    use crate::program::parse;

    fn configured(text: &str, by: &str) -> Result<(Config, Vec<usize>), SetupError> {
        let by = parse(by).unwrap().machine.unwrap_or_default();
        parse(text).unwrap().configured(&by, &Defaults::EXPLORE)
    }

    #[test]
    fn overrides_replace_fields_of_the_program() {
        let (config, cpus) = configured(
            "machine nodes=3 pages=4 kernel=6.1 pagevec=3\nthread A\nthread B cpu=0\nthread C",
            "machine pages=1,2,3 release=packed",
        )
        .unwrap();
        assert_eq!(config.nodes.iter().map(|node| node.frames).collect::<Vec<_>>(), [1, 2, 3]);
        let profile = &config.profile;
        assert_eq!((profile.release, profile.pagevec, profile.passes), (Design::Packed, 3, 10));
        assert_eq!(cpus, [0, 0, 0]);
        assert_eq!(configured("thread A\nthread B", "machine pages=5,6,7").unwrap().0.nodes.len(), 3);
    }

    #[test]
    fn an_impossible_machine_is_refused_with_the_reason() {
        for (text, why) in [
            ("machine nodes=4000000000", "1 to 8 nodes"),
            ("machine pages=4000000000", "at most"),
            ("machine kernel=5.0", "6.12"),
            ("machine pagevecs=3", "pagevec"),
            ("machine pagevec=0", "1 to 31"),
            ("thread A cpu=2", "no CPU 2"),
            (
                "thread A\nthread B\nthread C\nthread D\nthread E\nthread F\nthread G\nthread H\nthread I",
                "the explorer takes at most 8 threads, and the program has 9",
            ),
        ] {
            let error = configured(text, "").unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
