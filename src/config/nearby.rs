//! Words for a file that cannot be read: why, and what is called nearly the same beside it.

use std::{ffi::OsStr, io, path::Path};

use crate::schema::did_you_mean;

/// Why a file cannot be read, as the end of a sentence.
#[must_use]
pub fn unreadable(file: &Path, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => {
            match file.parent().filter(|folder| folder.as_os_str() != "" && !folder.is_dir()) {
                Some(folder) => format!("No such file, as there is no folder {}", folder.display()),
                None => format!("No such file{}", nearest(file)),
            }
        }
        io::ErrorKind::PermissionDenied => "this user may not read it".to_owned(),
        io::ErrorKind::IsADirectory => "it is a folder, not a file".to_owned(),
        _ => error.to_string(),
    }
}

/// The nearest name in the file's folder, as the end of a sentence; empty where none is near.
fn nearest(file: &Path) -> String {
    let folder = file.parent().filter(|folder| folder.as_os_str() != "").unwrap_or(Path::new("."));
    let names: Vec<String> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    let wanted = file.file_name().and_then(OsStr::to_str).unwrap_or_default();
    did_you_mean(wanted, names.iter().map(String::as_str))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_cannot_be_read() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("propylon.toml"), "").unwrap();
        let check = |name: &str, want: &str| {
            let file = folder.path().join(name);
            let error = std::fs::read_to_string(&file).unwrap_err();
            let said = unreadable(&file, &error);
            assert!(said.starts_with(want), "{name}: {said}");
        };
        check("propylom.toml", "No such file (did you mean \"propylon.toml\"?)");
        check("quite-different", "No such file");
        check("nowhere/propylon.toml", "No such file, as there is no folder ");
        check("", "it is a folder, not a file");
    }
}
