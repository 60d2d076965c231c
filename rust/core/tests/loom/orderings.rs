//! Weakens every ordering stronger than Relaxed, one half at a time. If no model fails then, no
//! modelled protocol needs the ordering. The results are the table in `docs/weak-memory.md`, which
//! this test compares with the models. `UPDATE_DOCS=1` writes the table anew.

use crate::models;
use mmcore::sync::loom::{Half, Model, Site, sites_of, weakened};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

const BEGIN: &str = "<!-- orderings: begin -->\n";
const END: &str = "<!-- orderings: end -->\n";

thread_local! {
    /// True if panics of this thread are expected and not printed.
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Turns the report of the calling thread's panics off.
pub(crate) fn quiet() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let report = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if !QUIET.get() {
                report(panic);
            }
        }));
    });
    QUIET.set(true);
}

fn repository() -> PathBuf {
    let core = Path::new(env!("CARGO_MANIFEST_DIR"));
    core.ancestors().nth(2).expect("rust/core lies in the repository").to_owned()
}

/// The text of a source file, with its name in the table.
struct Source {
    name: String,
    lines: Vec<String>,
}

impl Source {
    fn read(file: &str) -> Source {
        let text = std::fs::read_to_string(repository().join(file)).expect("a source file of this workspace");
        let name = file.split_once("src/").map_or(file, |(_, name)| name);
        Source { name: name.to_owned(), lines: text.lines().map(str::to_owned).collect() }
    }

    /// `Type::function` around a line (counted from one).
    fn function(&self, line: u32) -> String {
        let above = || self.lines[..line as usize].iter().rev();
        let word = |text: &str| -> String {
            text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
        };
        let function = above()
            .find_map(|line| {
                let line = line.trim_start();
                let (before, after) = line.split_once("fn ")?;
                // `for pfn in` contains `fn `, too, but declares no function.
                let is_word = before.is_empty() || before.ends_with(' ');
                let declares =
                    !line.starts_with("//") && !before.contains(['(', '=']) || before.starts_with("pub(");
                (is_word && declares).then(|| word(after))
            })
            .expect("code is inside of a function");
        let block = above().find(|line| line.starts_with("impl") || line.starts_with("pub trait"));
        match block {
            Some(block) => {
                let header = block.split_once(" for ").map_or(block.as_str(), |(_, of)| of);
                let generic = header.starts_with("impl<").then(|| header.split_once("> ")).flatten();
                let header = generic.map_or(header, |(_, of)| of).trim_start_matches("impl ");
                format!("{}::{function}", word(header.trim_start_matches("pub trait ")))
            }
            None => function,
        }
    }
}

/// A row of the table.
fn row(source: &Source, site: &Site, fails: Option<&str>) -> String {
    let Site { operation, ordering, half, .. } = site;
    let without = match half {
        Half::Acquire => "acquire",
        Half::Release => "release",
        Half::SeqCst => "its sequential consistency",
        Half::Fence => "the fence",
    };
    let fails = fails.map_or_else(|| "none".to_owned(), |model| format!("`{model}`"));
    let function = source.function(site.line);
    format!("| `{}` | `{function}` | `{operation}`, {ordering} | {without} | {fails} |", source.name)
}

/// True if the model fails. It stops the test if loom gave up on the model, because a limit reached
/// shows nothing.
fn fails(model: &Model) -> bool {
    let failure = model.run().failure;
    if let Some(failure) = &failure {
        assert!(!failure.contains("maximum number of branches"), "{} does not end: {failure}", model.name);
    }
    failure.is_some()
}

/// For each site the first model that fails with it weakened.
fn find_failures() -> Vec<(Site, Option<&'static str>)> {
    let models = models();
    let mut users: BTreeMap<Site, Vec<Model>> = BTreeMap::new();
    for &model in &models {
        let sites = sites_of(|| {
            let outcome = model.run();
            assert!(outcome.failure.is_none(), "{} fails: {:?}", model.name, outcome.failure);
        });
        for site in sites {
            users.entry(site).or_default().push(model);
        }
    }
    let work: Vec<(Site, Vec<Model>)> = users.into_iter().collect();
    let next = AtomicUsize::new(0);
    let found = Mutex::new(BTreeMap::new());
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                quiet();
                // Relaxed: a ticket counter; no other data depends on it.
                while let Some((site, models)) = work.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let fails =
                        weakened(*site, || models.iter().find(|model| fails(model)).map(|model| model.name));
                    found.lock().expect("no worker panics").insert(*site, fails);
                }
            });
        }
    });
    found.into_inner().expect("no worker panics").into_iter().collect()
}

/// Collects the core's source files outside of `sync`, the door to the atomics.
fn sources(directory: &Path, into: &mut BTreeMap<String, Source>) {
    for entry in std::fs::read_dir(directory).expect("a folder of the core") {
        let path = entry.expect("a folder of the core").path();
        if path.is_dir() {
            if !path.ends_with("src/sync") {
                sources(&path, into);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let file = path.strip_prefix(repository()).expect("in the repository").display().to_string();
            let source = Source::read(&file);
            into.insert(file, source);
        }
    }
}

/// Adds a row for each function with an ordering stronger than Relaxed that no model executes.
/// Mutations are left out, because only the explored crate has them.
fn not_modelled(source: &Source, modelled: &[String], rows: &mut Vec<String>) {
    for (line, text) in (1..).zip(&source.lines) {
        for ordering in ["Acquire", "Release", "AcqRel", "SeqCst"] {
            let code = text.split_once("//").map_or(text.as_str(), |(code, _)| code);
            let before = (line as usize).checked_sub(2).map_or("", |above| &source.lines[above]);
            if !code.contains(&format!("Ordering::{ordering}")) || before.contains("mutated(Mutation::") {
                continue;
            }
            let function = source.function(line);
            if !modelled.contains(&format!("{function} {ordering}")) {
                rows.push(format!("| `{}` | `{function}` | {ordering} | | not modelled |", source.name));
            }
        }
    }
}

fn table() -> String {
    let mut files = BTreeMap::new();
    sources(&repository().join("rust/core/src"), &mut files);
    let failures = find_failures();
    let mut rows = vec![
        "| file | function | operation | without | fails |".to_owned(),
        "|---|---|---|---|---|".to_owned(),
    ];
    for (file, source) in &files {
        let ours = || failures.iter().filter(|(site, _)| site.file == file);
        rows.extend(ours().map(|(site, fails)| row(source, site, *fails)));
        let modelled: Vec<String> =
            ours().map(|(site, _)| format!("{} {}", source.function(site.line), site.ordering)).collect();
        not_modelled(source, &modelled, &mut rows);
    }
    rows.join("\n") + "\n"
}

#[test]
fn the_table_of_orderings_is_true() {
    let path = repository().join("docs/weak-memory.md");
    let text = std::fs::read_to_string(&path).expect("docs/weak-memory.md");
    let (before, rest) = text.split_once(BEGIN).expect("where the table begins");
    let (written, after) = rest.split_once(END).expect("where the table ends");
    let found = table();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, format!("{before}{BEGIN}{found}{END}{after}")).expect("docs/weak-memory.md");
        return;
    }
    let differs = |a: &str, b: &str, sign: &str| -> String {
        a.lines().filter(|line| !b.lines().any(|other| other == *line)).fold(
            String::new(),
            |mut all, line| {
                let _ = writeln!(all, "{sign} {line}");
                all
            },
        )
    };
    assert!(
        written == found,
        "docs/weak-memory.md is not what the models show; UPDATE_DOCS=1 writes it anew:\n{}{}",
        differs(written, &found, "-"),
        differs(&found, written, "+"),
    );
}
