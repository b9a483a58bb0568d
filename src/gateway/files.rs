//! The files that the config comes from and names, watched: when one has other contents, a reload is asked for. Editors and
//! tools replace files rather than write them, and a Kubernetes ConfigMap changes by the swap of a symbolic link above
//! them: so the folders are watched of every link on the way, and what counts is what a file holds.

use std::{
    collections::{BTreeMap, BTreeSet, hash_map::DefaultHasher},
    fs,
    hash::{Hash as _, Hasher as _},
    path::{Component, Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use notify::{
    Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _,
    event::{AccessKind, AccessMode},
};
use tokio::{
    sync::{mpsc, watch},
    task::spawn_blocking,
    time::{Instant, sleep, timeout},
};
use tracing::{debug, warn};

use super::Gateway;

/// Files change in several steps: they are read when nothing has happened for so long.
const QUIET: Duration = Duration::from_millis(200);
/// However much happens, they are read then.
const LONGEST: Duration = Duration::from_secs(2);
/// How often files are looked at where the system does not tell of changes.
const POLL: Duration = Duration::from_secs(5);
/// As many symbolic links the kernel follows in one path.
const LINKS: usize = 40;

/// Files with what tells their contents apart; `None`: it cannot be read.
pub(super) type Sight = BTreeMap<PathBuf, Option<u64>>;

/// Tells one content of a file from another.
pub(super) fn digest(file: &Path) -> Option<u64> {
    // What is no file may have no end, or no beginning.
    let bytes = file.is_file().then(|| fs::read(file).ok()).flatten()?;
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    Some(hasher.finish())
}

/// Asks for a reload whenever a file holds something else than it did when the config was `read` last. Ends with the
/// gateway.
pub(super) async fn watch(gateway: Weak<Gateway>, mut read: watch::Receiver<Sight>) {
    let (wake, mut woken) = mpsc::channel(1);
    let mut eyes: Option<Eyes> = None;
    loop {
        let known = read.borrow_and_update().clone();
        if !known.is_empty() {
            eyes.get_or_insert_with(|| Eyes::new(wake.clone())).turn_to(&known);
        }
        // After that: what changes now is told.
        let look = move || known.into_iter().filter(|(file, held)| digest(file) != *held);
        let Ok(changed) = spawn_blocking(move || look().map(|(file, _)| file).collect::<Vec<_>>()).await
        else {
            return;
        };
        if !changed.is_empty() {
            let names: Vec<_> = changed.iter().map(|file| file.display().to_string()).collect();
            let Some(gateway) = gateway.upgrade() else { return };
            let answer = gateway.reloads.ask(format!("{} has changed", names.join(", ")), false);
            drop(gateway);
            // The log has it, whatever it is.
            let _ = answer.await;
            if !read.has_changed().unwrap_or_default() {
                return;
            }
            continue;
        }
        tokio::select! {
            Some(()) = woken.recv() => {
                let begun = Instant::now();
                while begun.elapsed() < LONGEST && matches!(timeout(QUIET, woken.recv()).await, Ok(Some(()))) {}
            }
            changed = read.changed() => if changed.is_err() {
                return;
            },
            () = sleep(POLL), if eyes.as_ref().is_some_and(|eyes| eyes.blind) => {}
        }
    }
}

/// What sees changes in folders.
struct Eyes {
    watcher: Option<RecommendedWatcher>,
    /// The paths whose events matter.
    entries: Arc<Mutex<BTreeSet<PathBuf>>>,
    folders: BTreeSet<PathBuf>,
    /// True where something cannot be watched.
    blind: bool,
}

impl Eyes {
    fn new(wake: mpsc::Sender<()>) -> Self {
        let entries: Arc<Mutex<BTreeSet<PathBuf>>> = Arc::default();
        let ours = Arc::clone(&entries);
        let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            let matters = match event {
                // Reading is no change; ours would be seen as well.
                Ok(Event { kind: EventKind::Access(kind), .. })
                    if kind != AccessKind::Close(AccessMode::Write) =>
                {
                    false
                }
                Ok(event) => {
                    let ours = ours.lock().unwrap_or_else(PoisonError::into_inner);
                    event.need_rescan() || event.paths.iter().any(|path| ours.contains(path))
                }
                Err(_) => true,
            };
            if matters {
                // Where one is waiting already, that is enough.
                let _ = wake.try_send(());
            }
        });
        let watcher = watcher.map_err(|error| {
            warn!("the system tells of no changes of files ({error}); they are looked at every {POLL:?}");
        });
        Self { blind: watcher.is_err(), watcher: watcher.ok(), entries, folders: BTreeSet::new() }
    }

    /// Watches these files and no others. Folders that are watched already are watched anew: another may have taken the
    /// place of one.
    fn turn_to(&mut self, files: &Sight) {
        let Some(watcher) = &mut self.watcher else { return };
        let mut entries = BTreeSet::new();
        for file in files.keys() {
            if let Ok(file) = std::path::absolute(file) {
                follow(&file, LINKS, &mut entries);
            }
        }
        let folders: BTreeSet<PathBuf> =
            entries.iter().filter_map(|entry| entry.parent().map(Path::to_owned)).collect();
        entries.extend(folders.iter().cloned());
        *self.entries.lock().unwrap_or_else(PoisonError::into_inner) = entries;
        for folder in &self.folders {
            // It may be gone, and its watch with it.
            let _ = watcher.unwatch(folder);
        }
        let was_blind = std::mem::take(&mut self.blind);
        for folder in &folders {
            if let Err(error) = watcher.watch(folder, RecursiveMode::NonRecursive) {
                self.blind = true;
                debug!(folder = %folder.display(), %error, "a folder cannot be watched");
            }
        }
        if self.blind && !was_blind {
            warn!("some files of the config cannot be watched; they are looked at every {POLL:?}");
        }
        self.folders = folders;
    }
}

/// Collects what decides which contents a path has: itself, every symbolic link on the way and where that leads, or the
/// first thing that is not there.
fn follow(path: &Path, links: usize, entries: &mut BTreeSet<PathBuf>) {
    let mut at = PathBuf::new();
    let mut components = path.components();
    while let Some(component) = components.next() {
        match component {
            Component::Normal(name) => at.push(name),
            Component::ParentDir => {
                at.pop();
                continue;
            }
            Component::CurDir => continue,
            Component::RootDir | Component::Prefix(_) => {
                at.push(component);
                continue;
            }
        }
        match fs::symlink_metadata(&at) {
            Ok(found) if found.is_symlink() => {
                entries.insert(at.clone());
                let Some(links) = links.checked_sub(1) else { return };
                let Ok(target) = fs::read_link(&at) else { return };
                let folder = at.parent().unwrap_or(Path::new("/"));
                return follow(&folder.join(target).join(components.as_path()), links, entries);
            }
            Ok(_) => {}
            Err(_) => break,
        }
    }
    entries.insert(at);
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn every_link_on_the_way_is_followed() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        fs::create_dir_all(root.join("mount/..1")).unwrap();
        fs::write(root.join("mount/..1/p.toml"), "").unwrap();
        symlink("..1", root.join("mount/..data")).unwrap();
        symlink("..data/p.toml", root.join("mount/p.toml")).unwrap();
        symlink("mount", root.join("current")).unwrap();
        symlink("loop", root.join("loop")).unwrap();
        let check = |path: &str, want: &[&str]| {
            let mut entries = BTreeSet::new();
            follow(&root.join(path), LINKS, &mut entries);
            let want: BTreeSet<_> = want.iter().map(|entry| root.join(entry)).collect();
            assert_eq!(entries, want, "{path}");
        };
        check("mount/..1/p.toml", &["mount/..1/p.toml"]);
        check("mount/p.toml", &["mount/p.toml", "mount/..data", "mount/..1/p.toml"]);
        check("current/p.toml", &["current", "mount/p.toml", "mount/..data", "mount/..1/p.toml"]);
        check("mount/../mount/./..1/p.toml", &["mount/..1/p.toml"]);
        check("mount/missing.toml", &["mount/missing.toml"]);
        check("missing/p.toml", &["missing"]);
        check("loop", &["loop"]);
    }
}
