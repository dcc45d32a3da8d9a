//! Where a path leads: `.` and `x/.` have no name that could be extended, and a link hides what is below what.

use std::path::{Component, Path, PathBuf};

/// The path with something behind its name, in the same directory.
pub(super) fn beside(path: &Path, behind: &str) -> PathBuf {
    let whole = absolute(path);
    // A link keeps its own name. What ends in `..` has none: only there it matters where it leads.
    let named = if whole.file_name().is_some() { whole } else { resolved(path) };
    let mut beside = named.into_os_string();
    beside.push(behind);
    beside.into()
}

/// The path without links, `.` and `..`, as far as it exists.
pub(super) fn resolved(path: &Path) -> PathBuf {
    let whole = absolute(path);
    let existing = whole.ancestors().find_map(|part| Some((part, part.canonicalize().ok()?)));
    let (mut resolved, rest) = match existing {
        Some((part, resolved)) => (resolved, whole.strip_prefix(part).unwrap_or(Path::new(""))),
        None => (PathBuf::new(), whole.as_path()),
    };
    for component in rest.components() {
        match component {
            Component::ParentDir => {
                resolved.pop();
            }
            named => resolved.push(named),
        }
    }
    resolved
}

/// From the root on, without `.`; as it is where the working directory is gone.
fn absolute(path: &Path) -> PathBuf {
    let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    // Without a separator at its end.
    whole.components().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sibling_path_is_outside_the_directory() {
        let here = std::env::current_dir().unwrap();
        let keys = PathBuf::from(format!("{}.keys", here.display()));
        assert_eq!(beside(Path::new("."), ".keys"), keys);
        assert_eq!(beside(Path::new("./"), ".keys"), keys);
        for path in ["x", "x/", "x/.", "./x/./"] {
            assert_eq!(beside(Path::new(path), ".keys"), here.join("x.keys"), "{path}");
        }
        let parent = here.canonicalize().unwrap().parent().unwrap().display().to_string();
        assert_eq!(beside(Path::new(".."), ".keys"), PathBuf::from(format!("{parent}.keys")));
        assert_eq!(
            beside(Path::new("x/.."), ".keys"),
            PathBuf::from(format!("{}.keys", here.canonicalize().unwrap().display()))
        );
    }

    #[test]
    fn path_resolves_links_and_missing_parts() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().canonicalize().unwrap();
        std::fs::create_dir(root.join("data")).unwrap();
        std::os::unix::fs::symlink(root.join("data"), root.join("link")).unwrap();
        assert_eq!(resolved(&root.join("link/keys")), root.join("data/keys"));
        assert_eq!(resolved(&root.join("new/../keys/deep/.")), root.join("keys/deep"));
    }
}
