//! A request to explore from a caller outside of Rust, as plain data.

use super::program::{SCHEDULES, SHRINK};
use super::{Checks, Exhaustive, Method, Options, ProgramOptions, Sampling, Search};
use crate::program::MachineSpec;
use crate::sync::Mutation;
use serde::Deserialize;

/// The options of an exploration, in the words of the command line. A missing field has its default.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Request {
    /// Changes to the program's machine.
    pub machine: MachineSpec,
    /// `portfolio`, `random`, `pct` or `exhaustive`.
    pub search: String,
    /// The number of schedules drawn; for an exhaustive search the limit, or 0 for none.
    pub schedules: u64,
    /// The seed of the drawn schedules.
    pub seed: u64,
    /// The bound of an exhaustive search on preemptions; `None` for no bound.
    pub preemptions: Option<u32>,
    /// Leave out schedules that only reorder independent steps.
    pub reduce: bool,
    /// The number of OS threads.
    pub jobs: usize,
    /// The defect that is put into the core.
    pub mutation: Option<String>,
    /// The most schedules run to shrink a counterexample.
    pub shrink: u32,
    /// The bound on a schedule's steps; a longer one counts as endless.
    pub max_steps: u32,
    /// `state` or `all`: the rules against which the schedules are checked.
    pub checks: String,
    /// Gather the pairs of steps that the search interleaves.
    pub pairs: bool,
}

impl Default for Request {
    fn default() -> Self {
        Request {
            machine: MachineSpec::default(),
            search: "portfolio".into(),
            schedules: SCHEDULES,
            seed: 0,
            preemptions: Some(2),
            reduce: true,
            jobs: 1,
            mutation: None,
            shrink: SHRINK,
            max_steps: Options::default().max_steps,
            checks: "state".into(),
            pairs: false,
        }
    }
}

impl Request {
    /// The words that `search` takes.
    pub const SEARCHES: &'static [&'static str] = &["portfolio", "random", "pct", "exhaustive"];

    /// The words that `checks` takes.
    pub const CHECKS: &'static [&'static str] = &["state", "all"];

    /// The words of `memory` in the machine line.
    pub const MEMORIES: &'static [&'static str] = &["sc", "tso"];

    /// Reads a request. An error is one line.
    pub fn from_json(json: &str) -> Result<Request, String> {
        serde_json::from_str(json).map_err(|error| error.to_string())
    }

    /// The options of each schedule.
    pub fn options(&self) -> Result<Options, String> {
        let checks = match self.checks.as_str() {
            "state" => Checks::State,
            "all" => Checks::All,
            other => {
                return Err(format!(
                    "there is no checks '{other}'; choose one of {}",
                    Request::CHECKS.join(", ")
                ));
            }
        };
        Ok(Options { max_steps: self.max_steps, checks, pairs: self.pairs, ..Options::default() })
    }

    /// The defect, if one is named.
    pub fn mutation(&self) -> Result<Option<Mutation>, String> {
        let Some(name) = &self.mutation else { return Ok(None) };
        match Mutation::from_name(name) {
            Some(mutation) => Ok(Some(mutation)),
            None => {
                let near = Mutation::ALL.iter().map(|known| known.name());
                let near = near.min_by_key(|known| strsim::damerau_levenshtein(known, name));
                Err(format!("there is no mutation '{name}'; did you mean '{}'?", near.unwrap_or_default()))
            }
        }
    }

    /// The options for [`explore_program`](super::explore_program).
    pub fn program_options(&self) -> Result<ProgramOptions, String> {
        let sample = |method| Search::Sample(Sampling { method, schedules: self.schedules, seed: self.seed });
        let search = match self.search.as_str() {
            "portfolio" => sample(Method::Portfolio),
            "random" => sample(Method::Walk { stay: 0 }),
            "pct" => sample(Method::Pct { depth: 3 }),
            "exhaustive" => Search::Exhaustive(Exhaustive {
                preemptions: self.preemptions,
                reduce: self.reduce,
                limit: if self.schedules == 0 { u64::MAX } else { self.schedules },
            }),
            other => {
                return Err(format!(
                    "there is no search '{other}'; choose one of {}",
                    Request::SEARCHES.join(", ")
                ));
            }
        };
        Ok(ProgramOptions {
            machine: self.machine.clone(),
            search,
            options: self.options()?,
            jobs: self.jobs.max(1),
            mutation: self.mutation()?,
            shrink: self.shrink,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::MemoryModel;

    #[test]
    fn an_empty_request_is_the_default() {
        let options = Request::from_json("{}").unwrap().program_options().unwrap();
        assert_eq!(options, ProgramOptions::default());
    }

    #[test]
    fn every_search_that_is_named_is_one() {
        for search in Request::SEARCHES {
            let request = Request { search: (*search).into(), ..Request::default() };
            assert!(request.program_options().is_ok(), "{search}");
        }
    }

    #[test]
    fn every_word_of_checks_is_one() {
        for checks in Request::CHECKS {
            let request = Request { checks: (*checks).into(), ..Request::default() };
            assert!(request.program_options().is_ok(), "{checks}");
        }
    }

    #[test]
    fn every_word_of_memory_is_one() {
        for memory in Request::MEMORIES {
            assert!(memory.parse::<MemoryModel>().is_ok(), "{memory}");
        }
    }

    #[test]
    fn a_misspelt_request_is_an_error_of_one_line() {
        for (json, why) in [
            (r#"{"serch": "pct"}"#, "serch"),
            (r#"{"search": "dfs"}"#, "portfolio, random, pct, exhaustive"),
            (r#"{"checks": "some"}"#, "state, all"),
            (r#"{"mutation": "hook-without-locks"}"#, "'hook-without-lock'"),
        ] {
            let error = Request::from_json(json).and_then(|r| r.program_options()).unwrap_err();
            assert!(error.contains(why) && !error.contains('\n'), "{error}");
        }
    }
}
