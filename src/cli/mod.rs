//! The command line: one file per command.

mod admin;
mod asked;
mod audit;
mod automation;
mod check;
mod config;
mod ending;
mod explain;
mod explained;
mod health;
mod openapi;
mod paint;
mod routes;
mod serve;
mod table;
mod trust;
mod up;
mod words;

use std::{io::Write as _, path::PathBuf, process::ExitCode};

use clap::{Args, Parser, Subcommand};

/// A bad config, file or argument (sysexits.h, EX_CONFIG).
const EXIT_CONFIG: u8 = 78;
/// A bug of this program (sysexits.h, EX_SOFTWARE).
const EXIT_BUG: u8 = 70;

/// A gRPC-first gateway: gRPC, gRPC-Web, REST/JSON and MCP on one port, from one protobuf contract.
#[derive(Debug, Parser)]
#[command(name = "propylon", version, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: Serve,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the gateway; with no config file it runs on embedded defaults (the command when none is given)
    Serve(Serve),
    /// Serves gRPC upstreams with no config at all: their methods are read from their server reflection
    Up(Up),
    /// Says everything that is wrong with a config, with file, line and column; exits with 0 or 1
    Check(check::Check),
    /// About the config file itself
    #[command(subcommand)]
    Config(config::Config),
    /// Says which binding, route, policies and upstream a request would meet, and why
    Explain(explain::Explain),
    /// Reviews a config for what would help an attacker, and grades it
    Audit(audit::Audit),
    /// What an operator does to the accounts of a gateway
    #[command(subcommand)]
    Admin(admin::Admin),
    /// Runs the automation services as a gRPC upstream of their own, for gateways that switch theirs off
    Automation(automation::Automation),
    /// Prints the routing table
    Routes(routes::Routes),
    /// Asks a gateway, or any gRPC server, whether it serves: exit code 0 if it does, else 1
    Health(health::Health),
    /// Prints the OpenAPI 3.1 document of what is served over REST
    Openapi(Openapi),
}

#[derive(Debug, Args)]
struct Serve {
    /// The config file (TOML, or YAML or JSON by its extension)
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The address to listen on, over the config's; port 0 takes a free one
    #[arg(long, value_name = "IP:PORT")]
    listen: Option<String>,
}

#[derive(Debug, Args)]
struct Up {
    /// A gRPC upstream with server reflection: HOST:PORT, http://HOST:PORT or https://HOST:PORT; may be repeated
    #[arg(long, value_name = "HOST:PORT", required = true)]
    grpc: Vec<String>,
    /// The address to listen on; port 0 takes a free one
    #[arg(long, value_name = "IP:PORT")]
    listen: Option<String>,
}

#[derive(Debug, Args)]
struct Openapi {
    /// The config file (TOML, or YAML or JSON by its extension)
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// A gRPC upstream with server reflection, beside those of the config; may be repeated
    #[arg(long, value_name = "HOST:PORT")]
    grpc: Vec<String>,
    /// Where the gateway is reached, for the document's `servers`; may be repeated [default: where the document is got]
    #[arg(long, value_name = "URL", value_parser = openapi::server)]
    server: Vec<String>,
}

/// Runs the command the program was started with.
#[must_use]
pub fn run() -> ExitCode {
    ending::say_panics_in_a_sentence();
    ending::guarded(command)
}

fn command() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and the version are asked for; anything else is an argument that is wrong.
            let exit = if error.use_stderr() { EXIT_CONFIG } else { 0 };
            let _ = error.print();
            return ExitCode::from(exit);
        }
    };
    let outcome = match cli.command {
        None => serve::run(&cli.serve).map(done),
        Some(Command::Serve(serve)) => serve::run(&serve).map(done),
        Some(Command::Up(up)) => up::run(&up).map(done),
        Some(Command::Explain(explain)) => explain::run(&explain).map(done),
        Some(Command::Audit(audit)) => audit::run(&audit),
        Some(Command::Admin(command)) => admin::run(&command).map(done),
        Some(Command::Automation(arguments)) => automation::run(&arguments).map(done),
        Some(Command::Routes(routes)) => routes::run(routes).map(done),
        Some(Command::Health(health)) => health::run(&health),
        Some(Command::Check(arguments)) => check::run(&arguments),
        Some(Command::Config(command)) => {
            config::run(&command);
            Ok(ExitCode::SUCCESS)
        }
        Some(Command::Openapi(arguments)) => openapi::run(&arguments).map(done),
    };
    match outcome {
        Ok(exit) => exit,
        Err(failure) => {
            say_error(&failure.message);
            ExitCode::from(failure.exit)
        }
    }
}

/// A command that has done what it was asked.
fn done((): ()) -> ExitCode {
    ExitCode::SUCCESS
}

/// Why a command ends: one sentence for a person, and an exit code.
struct Failure {
    message: String,
    exit: u8,
}

impl Failure {
    /// The config, a file or an argument is wrong: exit code 78.
    fn config(message: impl std::fmt::Display) -> Self {
        Self { message: message.to_string(), exit: EXIT_CONFIG }
    }

    /// A bug, which has been told: exit code 70.
    fn bug(message: impl std::fmt::Display) -> Self {
        Self { message: message.to_string(), exit: EXIT_BUG }
    }

    /// The machine does not allow it (a port in use): exit code 1.
    fn system(message: impl std::fmt::Display) -> Self {
        Self { message: message.to_string(), exit: 1 }
    }
}

/// A command's last words go to the terminal, not into the log. Where nobody reads them there is nothing to be done.
fn say_error(message: &str) {
    let _ = writeln!(std::io::stderr(), "propylon: {message}");
}

fn warn(message: &str) {
    say_error(&format!("warning: {message}"));
}

/// What a command prints is for whoever started it; a pipe may be closed before all is read.
fn say(words: &str) {
    let mut out = std::io::stdout();
    let _ = writeln!(out, "{words}").and_then(|()| out.flush());
}
