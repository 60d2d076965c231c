//! Records how the extension was built, for bug reports and for every JSON result, and has the linker call
//! the interpreter through `src/ending.rs`.

use std::collections::BTreeSet;
use std::process::Command;

/// The functions of the interpreter for which `src/ending.rs` has a wrapper.
fn wrapped() -> BTreeSet<String> {
    let source = std::fs::read_to_string("src/ending.rs").expect("src/ending.rs can be read");
    let words = source.split(|sign: char| !sign.is_ascii_alphanumeric() && sign != '_');
    words.filter_map(|word| word.strip_prefix("__wrap_")).map(str::to_owned).collect()
}

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=src/ending.rs");
    let var = |name: &str| std::env::var(name).unwrap_or_default();
    let rustc = Command::new(var("RUSTC"))
        .arg("--version")
        .output()
        .map(|out| String::from_utf8_lossy(&out.stdout).trim().to_owned())
        .unwrap_or_default();
    for name in wrapped() {
        println!("cargo::rustc-cdylib-link-arg=-Wl,--wrap={name}");
    }
    println!("cargo::rustc-env=MMCORE_RUSTC={rustc}");
    println!("cargo::rustc-env=MMCORE_TARGET={}", var("TARGET"));
    println!("cargo::rustc-env=MMCORE_OPT_LEVEL={}", var("OPT_LEVEL"));
}
