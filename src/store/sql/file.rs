//! The file that SQLite keeps everything in: how it is made, and what is wrong with it that waiting does not mend.

use std::{
    fs,
    io::{self, Read as _},
    path::Path,
    time::Duration,
};

use rustix::fs::{Access, access};
use sqlx::{
    ConnectOptions as _, Connection as _, Error,
    sqlite::{SqliteConnectOptions, SqliteError, SqliteJournalMode},
};

use crate::store::StoreError;

/// What each database of SQLite's begins with.
const MAGIC: &[u8; 16] = b"SQLite format 3\0";

/// Makes the file and its folder where they are missing, for this user alone: there are password hashes and a signing key
/// in it. SQLite gives its `-wal` and `-shm` the file's permissions.
pub(super) async fn make(file: &Path) -> Result<(), StoreError> {
    let away = |why: String| StoreError::Away {
        store: "database",
        retry_after: Duration::from_millis(100),
        why: why.into(),
    };
    if let Some(folder) = folder(file) {
        let made = tokio::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).await;
        made.map_err(|error| away(wrong(MAKE, folder, &error)))?;
    }
    let opened = tokio::fs::OpenOptions::new().create(true).append(true).mode(0o600).open(file).await;
    opened.map(drop).map_err(|error| away(wrong(OPEN, file, &error)))
}

/// Why nothing can be kept in this file, and waiting would not help: made where it is missing, opened, and a transaction
/// begun that writes nothing.
pub(super) async fn refused(file: &Path) -> Option<String> {
    if let Err(StoreError::Away { why, .. }) = make(file).await {
        return Some(why.into_owned());
    }
    let options = SqliteConnectOptions::new().filename(file).journal_mode(SqliteJournalMode::Wal);
    let tried = async {
        let mut connection = options.connect().await?;
        sqlx::raw_sql("BEGIN IMMEDIATE; ROLLBACK").execute(&mut connection).await?;
        connection.close().await
    };
    let Err(Error::Database(error)) = tried.await else { return None };
    error.try_downcast_ref::<SqliteError>()?;
    // Extended result codes keep the primary one in their lowest byte: PERM, READONLY, CORRUPT, CANTOPEN, AUTH, NOTADB.
    let code = error.code()?.parse::<i32>().ok()? & 0xff;
    let lasting = matches!(code, 3 | 8 | 11 | 14 | 23 | 26);
    lasting.then(|| format!("{OPEN} {}: {}", file.display(), error.message()))
}

/// What of [`refused`] is seen without making or opening anything.
pub(super) fn unlikely(file: &Path) -> Option<String> {
    let may_write = |path: &Path| access(path, Access::WRITE_OK).map_err(io::Error::from);
    let Some(folder) = folder(file) else { return unlikely(&Path::new(".").join(file)) };
    match fs::metadata(file) {
        Ok(found) if found.is_dir() => {
            return Some(wrong(OPEN, file, &io::ErrorKind::IsADirectory.into()));
        }
        Ok(_) => {
            let tried = may_write(file).and_then(|()| may_write(folder));
            if let Err(error) = tried {
                return Some(wrong(OPEN, file, &error));
            }
            let mut head = Vec::new();
            let read = fs::File::open(file).and_then(|file| file.take(16).read_to_end(&mut head));
            let foreign = read.is_ok() && !head.is_empty() && head != MAGIC;
            return foreign.then(|| format!("{OPEN} {}: file is not a database", file.display()));
        }
        Err(error) if missing(&error) => {}
        Err(error) => return Some(wrong(OPEN, file, &error)),
    }
    // The nearest folder that there is must take what is missing.
    let there =
        folder.ancestors().map(|folder| if folder.as_os_str().is_empty() { Path::new(".") } else { folder });
    for above in there {
        match fs::metadata(above) {
            Ok(found) if !found.is_dir() && above == folder => {
                return Some(wrong(MAKE, folder, &io::ErrorKind::AlreadyExists.into()));
            }
            Ok(found) if !found.is_dir() => {
                return Some(wrong(MAKE, folder, &io::ErrorKind::NotADirectory.into()));
            }
            Ok(_) => {
                let (what, path) = if above == folder { (OPEN, file) } else { (MAKE, folder) };
                return may_write(above).err().map(|error| wrong(what, path, &error));
            }
            Err(error) if missing(&error) => {}
            Err(error) => return Some(wrong(MAKE, folder, &error)),
        }
    }
    None
}

const MAKE: &str = "cannot make the folder";
const OPEN: &str = "cannot open the database";

/// The folder that a file is in, where its path names one.
fn folder(file: &Path) -> Option<&Path> {
    file.parent().filter(|folder| !folder.as_os_str().is_empty())
}

/// Nothing is there, or could be: a file is above it.
fn missing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn wrong(what: &str, path: &Path, error: &io::Error) -> String {
    use io::ErrorKind::{AlreadyExists, IsADirectory, NotADirectory};
    let why = match error.kind() {
        AlreadyExists => "a file is in its place".to_owned(),
        NotADirectory => "a file is in the place of a folder above it".to_owned(),
        IsADirectory => "a folder is in its place".to_owned(),
        // "Permission denied (os error 13)": the number tells nobody anything.
        _ => error.to_string().split(" (os error").next().unwrap_or_default().to_owned(),
    };
    format!("{what} {}: {why}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_waiting_does_not_mend_is_told_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("data"), "a file").unwrap();
        fs::create_dir(path("folder.db")).unwrap();
        fs::write(path("text.db"), "no database at all, and longer than a header of one").unwrap();
        for (name, why) in [
            ("data/x.db", "a file is in its place"),
            ("data/further/x.db", "a file is in the place of a folder above it"),
            ("folder.db", "folder.db: a folder is in its place"),
            ("text.db", "text.db: file is not a database"),
        ] {
            let (seen, met) = (unlikely(&path(name)).unwrap(), refused(&path(name)).await.unwrap());
            assert!(seen.ends_with(why) && met.ends_with(why), "{name}: {seen}; {met}");
        }
        let fresh = path("new/and/newer/x.db");
        assert_eq!(unlikely(&fresh), None);
        assert!(!path("new").exists());
        assert_eq!(refused(&fresh).await, None);
        assert_eq!((unlikely(&fresh), unlikely(Path::new("nothing.db"))), (None, None));
        // Another's transaction goes by.
        let options = SqliteConnectOptions::new().filename(&fresh);
        let mut other = options.connect().await.unwrap();
        sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut other).await.unwrap();
        let waits = tokio::time::timeout(Duration::from_millis(10), refused(&fresh)).await;
        assert!(waits.is_err() || waits == Ok(None));
    }
}
