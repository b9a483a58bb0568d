//! `propylon admin reset-password`: an operator's way back in. It works on the database of the config, whether a gateway runs
//! on it or not; those that do take notice within seconds.

use std::{
    io::{BufRead as _, IsTerminal as _, Read as _},
    path::PathBuf,
};

use clap::{Args, Subcommand};

use super::{Failure, asked, say, serve::runtime};
use crate::{
    config::Config,
    gateway,
    services::accounts::{OperatorError, Reset, Whose},
    store::DatabaseUrl,
};

/// A longer line is no password.
const MOST_BYTES: u64 = 64 << 10;

#[derive(Debug, Subcommand)]
pub(super) enum Admin {
    /// Sets another password for an account, and ends all its sessions; without --password-stdin one is made up and shown
    ResetPassword(ResetPassword),
}

#[derive(Debug, Args)]
pub(super) struct ResetPassword {
    /// The account's e-mail address; the one active admin when left out
    #[arg(long, value_name = "ADDRESS")]
    email: Option<String>,
    /// Read the password from the first line of stdin
    #[arg(long)]
    password_stdin: bool,
    /// Make the account an active admin, too
    #[arg(long)]
    make_admin: bool,
    /// The config file that says where the accounts are
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print {email, password, sessions, admin, active} as JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(command: &Admin) -> Result<(), Failure> {
    match command {
        Admin::ResetPassword(arguments) => reset_password(arguments),
    }
}

fn reset_password(arguments: &ResetPassword) -> Result<(), Failure> {
    let config = asked::config(arguments.config.as_deref())?;
    if !config.built_ins.has_accounts() {
        let why = "this config has no accounts: [builtin.auth] and [builtin.users] are switched off";
        return Err(Failure::config(why));
    }
    is_there(&config)?;
    let password = arguments.password_stdin.then(first_line).transpose()?;
    let whose = match &arguments.email {
        Some(email) => Whose::Email(email),
        None => Whose::TheAdmin,
    };
    let runtime = runtime()?;
    let done = runtime.block_on(async {
        let directory = gateway::directory(&config).map_err(OperatorError::Broken)?;
        directory.reset_password(whose, password.as_deref(), arguments.make_admin).await
    });
    runtime.shutdown_background();
    let reset = done.map_err(|error| failure(&error, whose))?;
    say(&if arguments.json { as_json(&reset) } else { in_words(&reset) });
    Ok(())
}

/// A database that is a file is not made here: it would be an empty one.
fn is_there(config: &Config) -> Result<(), Failure> {
    let DatabaseUrl::Sqlite(path) = &config.store.database else { return Ok(()) };
    if path.is_file() {
        return Ok(());
    }
    let from = match std::env::current_dir() {
        Ok(folder) if path.is_relative() => format!(" (from the folder {})", folder.display()),
        _ => String::new(),
    };
    let why = format!(
        "there is no database at {}{from}: run this where the gateway runs, or say where in store.database",
        path.display()
    );
    Err(Failure::system(why))
}

/// A person is asked, and sees what is typed; a program writes a line.
fn first_line() -> Result<String, Failure> {
    let input = std::io::stdin();
    if input.is_terminal() {
        super::say_error("the new password, which will be seen as it is typed:");
    }
    let mut line = String::new();
    let read = input.lock().take(MOST_BYTES).read_line(&mut line);
    read.map_err(|error| Failure::system(format!("the password cannot be read from stdin: {error}")))?;
    let password = line.trim_end_matches(['\n', '\r']);
    if password.is_empty() {
        return Err(Failure::config("there is no password on the first line of stdin"));
    }
    Ok(password.to_owned())
}

fn failure(error: &OperatorError, whose: Whose<'_>) -> Failure {
    if !error.is_of_the_operator() {
        return Failure::system(error);
    }
    match whose {
        Whose::TheAdmin => Failure::config(format!("{error} (--email ADDRESS)")),
        Whose::Email(_) => Failure::config(error),
    }
}

fn in_words(reset: &Reset) -> String {
    let Reset { account, password, sessions } = reset;
    let mut words = match password {
        Some(password) => format!("The password of {} is now {password} (shown this once).", account.email),
        None => format!("The password of {} is another now.", account.email),
    };
    words.push_str(&match sessions {
        0 => " It had no session.".to_owned(),
        1 => " Its session has ended.".to_owned(),
        more => format!(" Its {more} sessions have ended."),
    });
    if !account.active {
        words.push_str("\nIt is switched off, and cannot log in: --make-admin switches it on.");
    } else if !account.is_admin() {
        words.push_str("\nIt is no admin: --make-admin makes it one.");
    }
    words
}

fn as_json(reset: &Reset) -> String {
    let Reset { account, password, sessions } = reset;
    let said = serde_json::json!({
        "email": account.email, "password": password, "sessions": sessions, "admin": account.is_admin(),
        "active": account.active,
    });
    said.to_string()
}
