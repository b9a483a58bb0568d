//! `propylon check`: everything that is wrong with a config, at once, without asking any upstream.

use std::{path::PathBuf, process::ExitCode};

use clap::Args;

use super::{Failure, say, serve::runtime};
use crate::{
    config::{Loaded, Mistake, Sources},
    gateway,
};

#[derive(Debug, Args)]
pub(super) struct Check {
    /// The config file (TOML, or YAML or JSON by its extension); without one, what the environment says
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// Print a list of {file, line, column, key, path, message, text, suggestion, severity}
    #[arg(long)]
    json: bool,
}

/// Adds what a gateway would refuse to start with to what is wrong with a config already.
pub(super) fn rehearsed(mut loaded: Loaded) -> Result<Loaded, Failure> {
    // Nothing is opened, but the pools of a database belong to a runtime.
    let runtime = runtime()?;
    let _inside = runtime.enter();
    if let Err(more) = gateway::rehearse(&loaded.config, |section| loaded.hides_nothing(section)) {
        loaded.mistakes.extend(more);
    }
    Ok(loaded)
}

pub(super) fn run(arguments: &Check) -> Result<ExitCode, Failure> {
    let mut loaded = rehearsed(Sources::of_process(arguments.file.as_deref()).inspect())?;
    if loaded.config.built_ins.has_accounts()
        && let Some(why) = loaded.config.store.unlikely()
    {
        // It may be run by another user, or elsewhere.
        let why = format!("{why}: a gateway that runs here, as this user, does not start");
        loaded.mistakes.push(Mistake::new("store.database", why).warning());
    }
    let report = loaded.report();
    let what = what(arguments, &loaded);
    let (errors, warnings) = report.count();
    if arguments.json {
        say(&format!("{:#}", report.json()));
    } else if report.is_empty() {
        say(&format!("{what}: nothing is wrong"));
    } else {
        // The places in a file say which it is.
        let of = if arguments.file.is_some() { String::new() } else { format!(" of {what}") };
        say(&format!("{report}\n\n{}, {}{of}", counted(errors, "error"), counted(warnings, "warning")));
    }
    Ok(ExitCode::from(u8::from(errors > 0)))
}

/// What was checked.
fn what(arguments: &Check, loaded: &Loaded) -> String {
    if let Some(file) = &arguments.file {
        return file.display().to_string();
    }
    match loaded.source.variables().as_slice() {
        [] => "the defaults (no FILE is named, and no variable sets a key)".to_owned(),
        variables => format!("the defaults with {} (no FILE is named)", variables.join(", ")),
    }
}

fn counted(count: usize, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {what}{plural}")
}
