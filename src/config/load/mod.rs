//! From the sources to the config: the file is read into a tree, the environment and the flags are put over it, its shape is
//! checked, and then what it means. Everything that is wrong on the way is collected.

use std::{
    fmt,
    io::Read as _,
    ops::Range,
    path::{Path, PathBuf},
};

use super::{
    Config, Report, Source,
    check::{Check, Looks},
    document::{BARE, LARGE, Language, Node, Origin, Root, Value},
    environment::Environment,
    mistake::{Mistake, Mistakes, Part, Severity},
    nearby::unreadable,
    settings::Settings,
    shape,
};

/// Where a config comes from: flags go before the environment, the environment before the file, the file before the
/// defaults. Kept, it can be loaded again.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    pub file: Option<PathBuf>,
    pub flags: Vec<Flag>,
    pub environment: Environment,
    /// Nobody will be called on this config: a secret that is not there is no mistake.
    pub without_secrets: bool,
}

/// A flag of the command line that sets a key.
#[derive(Debug, Clone)]
pub struct Flag {
    /// As it is written: `--listen`.
    pub name: &'static str,
    /// Such as `gateway.listen`.
    pub key: &'static str,
    pub value: String,
}

/// A config with what was found wrong.
#[derive(Debug)]
pub struct Loaded {
    /// With defaults in the place of what is wrong.
    pub config: Config,
    pub source: Source,
    pub mistakes: Vec<Mistake>,
}

/// Why there is no config: every mistake with its place.
#[derive(Debug)]
pub struct ConfigError(Report);

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for ConfigError {}

impl ConfigError {
    /// What is wrong, with its places.
    #[must_use]
    pub fn report(&self) -> &Report {
        &self.0
    }
}

impl Sources {
    /// A file and the process's environment.
    #[must_use]
    pub fn of_process(file: Option<&Path>) -> Self {
        let environment = Environment::of_process();
        Self { file: file.map(Path::to_owned), environment, ..Self::default() }
    }

    /// The same with a flag, if it was given.
    #[must_use]
    pub fn with_flag(mut self, name: &'static str, key: &'static str, value: Option<&str>) -> Self {
        self.flags.extend(value.map(|value| Flag { name, key, value: value.to_owned() }));
        self
    }

    /// The same for what only looks at a config: secrets are used where they are there, and not missed elsewhere.
    #[must_use]
    pub fn without_secrets(self) -> Self {
        Self { without_secrets: true, ..self }
    }

    /// Reads and checks the config. Files of descriptors and certificates are not looked into: who loads a config to run on
    /// it reads them anyway, and may wait for one that is not there yet.
    #[must_use]
    pub fn load(&self) -> Loaded {
        self.read(false)
    }

    /// The same, with all that can be said of the files that it names.
    #[must_use]
    pub fn inspect(&self) -> Loaded {
        self.read(true)
    }

    fn read(&self, files: bool) -> Loaded {
        let Some(file) = &self.file else { return self.check(None, "", files) };
        match read(file) {
            Ok(text) => self.check(Some(file), &text, files),
            Err(NoText { why, lossy, at }) => {
                let source = Source::new(Some(file.clone()), &lossy);
                let mistake = Mistake::new("", why);
                let mistake = at.into_iter().fold(mistake, |mistake, at| mistake.at(Part::Bytes(at)));
                Loaded { config: Config::default(), source, mistakes: vec![mistake] }
            }
        }
    }

    /// Checks a file's text with the rest.
    fn check(&self, file: Option<&Path>, text: &str, files: bool) -> Loaded {
        // A mark of the byte order is no part of the text.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut source = Source::new(file.map(Path::to_owned), text);
        let mut found = Mistakes::default();
        let language = file.map_or(Language::Toml, Language::of);
        let read = language.read(text);
        for one in read.wrong {
            let value = source.shown_at(&one.at).map(|text| text.trim_matches(['"', '\'']));
            let meant = match one.why.as_str() {
                BARE => value.map(|text| format!("{text:?}")),
                LARGE => value.map(str::to_ascii_lowercase),
                _ => None,
            };
            found.push(Mistake::new("", one.why).at(Part::Bytes(one.at)).meaning(meant));
        }
        match read.root {
            Root::Whole(root) => source = source.understood(root),
            Root::UpTo(root, up_to) => {
                // What follows is not known, so that only what can be wrong by itself is told.
                shape::check_beginning(&root, language, &mut found);
                source = source.understood_up_to(root, up_to);
                return Loaded { config: Config::default(), source, mistakes: found.into_all() };
            }
            Root::Nothing => return Loaded { config: Config::default(), source, mistakes: found.into_all() },
        }
        self.environment.apply(&mut source.root, &mut found);
        for flag in &self.flags {
            let origin = Origin::Flag(flag.name.into());
            source.root.set(flag.key, Node { value: Value::Text(flag.value.clone()), origin });
        }
        let right = shape::check(&source.root, language, &mut found);
        let settings = serde_json::from_value(right).unwrap_or_else(|error| {
            // The schema is made from the settings, so what fits it can be read into them.
            found.add("", error.to_string());
            Settings::default()
        });
        let folder = file.and_then(Path::parent).unwrap_or(Path::new(""));
        let looks = Looks { folder, environment: &self.environment, files, secrets: !self.without_secrets };
        let config = Check::new(looks, &mut found).config(settings);
        Loaded { config, source, mistakes: found.into_all() }
    }
}

impl Loaded {
    /// Everything that was found, with its places.
    #[must_use]
    pub fn report(&self) -> Report {
        self.source.report(&self.mistakes)
    }

    /// True if there is more than warnings.
    #[must_use]
    pub fn is_wrong(&self) -> bool {
        self.mistakes.iter().any(|mistake| mistake.severity == Severity::Error)
    }

    /// The config, if nothing is wrong with it, and its warnings.
    ///
    /// # Errors
    /// Every mistake with its place, warnings included.
    pub fn accept(self) -> Result<(Config, Report), ConfigError> {
        let report = self.report();
        match self.is_wrong() {
            true => Err(ConfigError(report)),
            false => Ok((self.config, report)),
        }
    }

    /// True if all that is right of a section ([`SERVICES`]: of the routes that services have) is known to be all that its author meant to be served: then a name that stands for
    /// nothing is a mistake, and not one that another mistake has hidden.
    #[must_use]
    pub fn hides_nothing(&self, section: &str) -> bool {
        let errors = || self.mistakes.iter().filter(|mistake| mistake.severity == Severity::Error);
        if section == SERVICES {
            let mut routes = errors().filter(|mistake| mistake.section() == "routes");
            return routes.all(|mistake| mistake.says_only_how() || self.is_of_a_path(mistake));
        }
        errors().filter(|mistake| mistake.section() == section).all(Mistake::says_only_how)
    }

    /// True for a mistake in a route of a path: it serves no service, whatever was meant.
    fn is_of_a_path(&self, mistake: &Mistake) -> bool {
        let index = mistake.path.strip_prefix("routes[").and_then(|rest| rest.split_once(']'));
        let route = index.and_then(|(index, _)| self.source.root.get(&format!("routes[{index}]")));
        route.is_some_and(|route| {
            let has = |key: &str| route.entry(key).is_some();
            !has("service") && (has("path") || has("prefix"))
        })
    }
}

impl Config {
    /// Checks a config's text in TOML, apart from any environment; relative paths in it are taken from `folder`.
    ///
    /// # Errors
    /// Everything that is wrong with it, and where.
    pub fn parse(text: &str, folder: &Path) -> Result<Self, ConfigError> {
        let file = folder.join("propylon.toml");
        Sources::default().check(Some(&file), text, false).accept().map(|(config, _)| config)
    }
}

/// Stands for those of `[[routes]]` that have a service.
pub const SERVICES: &str = "services";

/// A config is text that somebody wrote.
const MOST_BYTES: u64 = 16 << 20;

/// Why a file has no text that can be read.
struct NoText {
    why: String,
    /// As much of it as is text, and the bytes that are none.
    lossy: String,
    at: Option<Range<usize>>,
}

/// A file's text; for one that is a folder, no text, or not there, the reason.
fn read(file: &Path) -> Result<String, NoText> {
    let without = |why: String| NoText { why, lossy: String::new(), at: None };
    let cannot =
        |error: &std::io::Error| without(format!("the config cannot be read: {}", unreadable(file, error)));
    let mut bytes = Vec::new();
    let opened = std::fs::File::open(file).map_err(|error| cannot(&error))?;
    // Something may be read that has no end.
    opened.take(MOST_BYTES + 1).read_to_end(&mut bytes).map_err(|error| cannot(&error))?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(without(format!("the config is longer than {} MiB", MOST_BYTES >> 20)));
    }
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let lossy = String::from_utf8_lossy(error.as_bytes()).into_owned();
        let at = at..at + char::REPLACEMENT_CHARACTER.len_utf8();
        NoText { why: "the config is not UTF-8 text".to_owned(), lossy, at: Some(at) }
    })
}

#[cfg(test)]
mod tests;
