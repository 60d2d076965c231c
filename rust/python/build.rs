//! Records how the extension was built, for bug reports and for every JSON result.

use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let var = |name: &str| std::env::var(name).unwrap_or_default();
    let rustc = Command::new(var("RUSTC"))
        .arg("--version")
        .output()
        .map(|out| String::from_utf8_lossy(&out.stdout).trim().to_owned())
        .unwrap_or_default();
    println!("cargo::rustc-env=MMCORE_RUSTC={rustc}");
    println!("cargo::rustc-env=MMCORE_TARGET={}", var("TARGET"));
    println!("cargo::rustc-env=MMCORE_OPT_LEVEL={}", var("OPT_LEVEL"));
}
