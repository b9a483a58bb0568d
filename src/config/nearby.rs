//! Words for a file that cannot be read: why, and what is called nearly the same beside it.

use std::{
    ffi::OsStr,
    fs::File,
    io::{self, Read as _},
    path::Path,
};

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

/// Descriptors of whole organisations are a few MiB; what is longer is something else.
const MOST_BYTES: u64 = 64 << 20;

/// A file that a config names, whole.
///
/// # Errors
/// Why it cannot be read, as the end of a sentence: it is none, or it is too long.
pub fn read_file(file: &Path) -> Result<Vec<u8>, String> {
    read_up_to(file, MOST_BYTES)
}

/// The same with another bound. Only a regular file is read: a device or a pipe may have no end, or never begin.
pub(super) fn read_up_to(file: &Path, most: u64) -> Result<Vec<u8>, String> {
    let cannot = |error: io::Error| unreadable(file, &error);
    let found = file.metadata().map_err(cannot)?;
    if found.is_dir() {
        return Err(cannot(io::ErrorKind::IsADirectory.into()));
    }
    if !found.is_file() {
        return Err("it is a device or a pipe, not a file".to_owned());
    }
    let mut bytes = Vec::new();
    // It may grow while it is read.
    File::open(file).map_err(cannot)?.take(most + 1).read_to_end(&mut bytes).map_err(cannot)?;
    if bytes.len() as u64 > most {
        return Err(format!("it has more than {most} bytes"));
    }
    Ok(bytes)
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
    fn what_has_no_end_is_not_begun() {
        for device in ["/dev/zero", "/dev/urandom", "/dev/null"] {
            assert_eq!(read_file(Path::new(device)).unwrap_err(), "it is a device or a pipe, not a file");
        }
        assert_eq!(read_file(Path::new("/dev")).unwrap_err(), "it is a folder, not a file");
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("long");
        File::create(&file).unwrap().set_len(1 << 30).unwrap();
        assert_eq!(read_file(&file).unwrap_err(), "it has more than 67108864 bytes");
        assert_eq!(read_up_to(&file, 9).unwrap_err(), "it has more than 9 bytes");
    }

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
