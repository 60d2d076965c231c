//! Lists the functions of the core with their first lines.
//!
//! A step of a schedule knows the line that took it (`#[track_caller]`), and Rust offers no way
//! from a line to the name of its function. A trace with bare lines could be read only beside the
//! sources of the same version.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

const SOURCES: &str = "../core/src";

fn main() {
    println!("cargo::rerun-if-changed={SOURCES}");
    let mut files = Vec::new();
    collect(Path::new(SOURCES), &mut files);
    let mut tables: Vec<(String, Vec<(u32, String)>)> =
        files.iter().map(|file| (named(file), functions(file))).collect();
    // `FUNCTIONS` is searched by string, so the files are sorted as strings; paths sort
    // differently.
    tables.sort();
    let mut table = String::from("&[\n");
    for (name, functions) in &tables {
        writeln!(table, "    ({name:?}, &{functions:?}),").expect("a string takes it");
    }
    table.push(']');
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo says where")).join("functions.rs");
    fs::write(&out, table).unwrap_or_else(|error| panic!("{}: {error}", out.display()));
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    for entry in entries {
        let path = entry.expect("a folder that was opened can be read").path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

fn named(file: &Path) -> String {
    file.strip_prefix(SOURCES).expect("it was found there").display().to_string()
}

/// The functions of a file, as `Tlb::flush`. Those of the machine, which are most, have only their
/// name.
fn functions(file: &Path) -> Vec<(u32, String)> {
    let text = fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let mut of = None;
    let mut found = Vec::new();
    for (line, text) in (1..).zip(text.lines()) {
        if text.starts_with("impl") {
            of = implemented(text).filter(|name| *name != "Machine");
        } else if text.starts_with('}') {
            of = None;
        } else if let Some(name) = function(text) {
            found.push((line, of.map_or_else(|| name.to_owned(), |of| format!("{of}::{name}"))));
        }
    }
    found
}

/// The type of an `impl` block.
fn implemented(line: &str) -> Option<&str> {
    let after = match line.split_once(" for ") {
        Some((_, after)) => after,
        None => without_parameters(line.strip_prefix("impl")?).trim_start(),
    };
    let path = after.split(['<', ' ']).next()?;
    path.rsplit("::").next().filter(|name| !name.is_empty() && name.chars().all(char::is_alphanumeric))
}

/// The text after the parameters of an `impl` block, if it has any.
fn without_parameters(text: &str) -> &str {
    let mut depth = 0;
    let end = text.find(|c: char| {
        depth += i32::from(c == '<') - i32::from(c == '>');
        depth == 0
    });
    text.strip_prefix('<').and(end).map_or(text, |end| &text[end + 1..])
}

/// The name of the function that begins on a line, if any.
fn function(line: &str) -> Option<&str> {
    let (before, after) = line.split_once("fn ")?;
    let only_qualifiers = before.split_whitespace().all(|word| {
        matches!(word, "const" | "unsafe" | "async" | "extern" | "in")
            || word.starts_with("pub")
            || word.ends_with(')')
    });
    let end = after.find(|c: char| !c.is_alphanumeric() && c != '_')?;
    (only_qualifiers && end > 0).then(|| &after[..end])
}
