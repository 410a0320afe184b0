//! The packet scripts of the project.

use std::path::{Path, PathBuf};

/// All of them: scenarios, regressions and examples, in order.
///
/// # Panics
/// Where they are not: they are part of the repository.
pub fn all() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    for directory in [
        "scenarios",
        "scenarios/ext",
        "regressions",
        "../../examples/scripts",
    ] {
        let entries = std::fs::read_dir(root.join(directory))
            .expect("the scripts are part of the repository");
        let paths = entries.map(|e| e.expect("a directory entry").path());
        found.extend(paths.filter(|p| p.extension().is_some_and(|e| e == "pal")));
    }
    found.sort();
    found
}
